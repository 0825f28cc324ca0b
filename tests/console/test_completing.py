import stat
import time

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.console.completing import SHOWN_COMPLETIONS, SqlCompleter, quoted, scope_of
from safeconsole.console.names import SchemaNames, load_names, save_names

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL])


@pytest.fixture
def names():
    names = SchemaNames()
    names.set_tables(["orders", "Order_items", "customers", "odd name", "select"])
    names.columns = {"orders": ("id", "customer_id", "status", "order"), "customers": ("id", "name")}
    return names


def completed(names, text, *, requested=False):
    """The completions at the mark `|` in a text."""
    before, _, after = text.partition("|")
    completer = SqlCompleter(lambda: MYSQL, lambda: names, ("\\why", "\\watch", "\\use"))
    event = CompleteEvent(completion_requested=requested, text_inserted=not requested)
    return [found.text for found in completer.get_completions(Document(before + after, len(before)), event)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\w|", ["\\why", "\\watch"]),
        ("\\why |", []),
        ("sele|", ["select"]),
        ("SELE|", ["SELECT"]),
        ("s|", []),
        ("SELECT * FROM or|", ["Order_items", "orders"]),
        ("select * from OR|", ["Order_items", "orders"]),
        ("SELECT * FROM od|", ["`odd name`"]),
        ("SELECT * FROM sel|", ["`select`"]),
        ("SELECT * FROM orders, cu|", ["customers"]),
        ("SELECT * FROM orders o JOIN cu|", ["customers"]),
        ("DESC cu|", ["customers"]),
        ("SELECT * FROM orders ORDER BY id DESC LIMI|", ["LIMIT"]),
        ("SELECT o.|  FROM orders o", ["id", "customer_id", "status", "`order`"]),
        ("SELECT o.st| FROM orders o", ["status"]),
        ("SELECT customers.n| FROM customers", ["name"]),
        ("SELECT o.st| FROM shop.orders AS o", ["status"]),
        ("SELECT cust| FROM orders", ["customer_id"]),
        ("SELECT na| FROM customers; SELECT 1", ["name", "natural"]),
        ("SELECT 1; SELECT statu| FROM orders", ["status"]),
        ("UPDATE ord|", ["Order_items", "orders"]),
        ("SELECT 'sel|", []),
        ("SELECT -- sel|", []),
        ("SELECT /* sel|", []),
        ("SELECT unknown.|", []),
        ("|", []),
    ],
)
def test_what_fits_is_offered(text, expected, names):
    assert completed(names, text) == expected


def test_a_name_that_is_none_leads_to_the_one_that_was_meant():
    names = SchemaNames()
    names.set_tables(["Orders", "order_items", "customers"])
    assert [names.nearest(word) for word in ("ordes", "ODRERS", "customer", "nothing", "")] == [
        "Orders",
        "Orders",
        "customers",
        None,
        None,
    ]


def test_nothing_typed_is_completed_only_when_asked(names):
    assert completed(names, "SELECT * FROM |", requested=True) == [
        "customers",
        "`odd name`",
        "Order_items",
        "orders",
        "`select`",
    ]
    assert completed(names, "SELECT * FROM |") == []


def test_a_word_of_a_list_of_columns_is_no_table(names):
    assert scope_of("SELECT a, b FROM orders o WHERE x IN (1, 2)", 10, MYSQL).tables == {"o": "orders"}
    assert scope_of("INSERT INTO orders (id, status) VALUES (1, 2)", 30, MYSQL).tables == {"orders": "orders"}


def test_fifty_thousand_tables_complete_within_a_keystroke():
    names = SchemaNames()
    names.set_tables(f"table_{number:05d}" for number in range(50_000))
    spent = []
    for prefix in ("t", "table_", "table_0", "table_4999", "x"):
        started = time.thread_time()
        assert len(completed(names, f"SELECT * FROM {prefix}|")) <= SHOWN_COMPLETIONS
        spent.append(time.thread_time() - started)
    assert sorted(spent)[len(spent) // 2] < 1.0


def test_names_are_kept_between_sessions_for_their_owner_alone(tmp_path, names):
    save_names(str(tmp_path / "new"), "shop/x", "s", names)
    (path,) = (tmp_path / "new").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = load_names(str(tmp_path / "new"), "shop/x", "s")
    assert (kept.tables, kept.columns) == (names.tables, names.columns)
    assert load_names(str(tmp_path / "new"), "shop/x", "other").tables == []


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"tables": 3, "columns": {}}'])
def test_names_that_cannot_be_read_are_none(text, tmp_path):
    (tmp_path / "shop.s.names").write_bytes(text)
    assert load_names(str(tmp_path), "shop", "s").tables == []


def test_names_that_cannot_be_kept_stop_nothing(tmp_path, names):
    (tmp_path / "file").touch()
    save_names(str(tmp_path / "file"), "shop", "s", names)
    save_names("", "shop", "s", names)
    assert load_names("", "shop", "s").tables == []


def test_columns_of_a_table_that_is_gone_are_forgotten(names):
    names.set_tables(["customers"])
    assert list(names.columns) == ["customers"]
    assert names.table_like("ORDERS") is None
    assert names.table_like("CUSTOMERS") == "customers"


def test_a_name_is_quoted_where_it_must_be():
    assert [quoted(name) for name in ("orders", "select", "odd name", "back`tick", "9lives", "日本")] == [
        "orders", "`select`", "`odd name`", "`back``tick`", "`9lives`", "`日本`",
    ]  # fmt: skip
