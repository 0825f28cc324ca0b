import stat
import time

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.console.completing import SHOWN_COMPLETIONS, SqlCompleter, quoted, scope_of
from safeconsole.console.names import ForeignKey, SchemaNames, load_names, save_names

MYSQL = LexicalRules(dialect=DIALECTS[Flavour.MYSQL])


@pytest.fixture
def names():
    names = SchemaNames()
    names.set_tables(["orders", "Order_items", "customers", "odd name", "select"])
    names.columns = {"orders": ("id", "customer_id", "status", "order"), "customers": ("id", "name")}
    names.keys = {"orders": (ForeignKey(columns=("customer_id",), table="customers", targets=("id",)),)}
    names.schema, names.schemas = "shop", ("app", "Archive", "shop")
    names.elsewhere = {"archive": ("Old", "rank")}
    return names


COMMANDS = {"\\why": "", "\\watch": "SECONDS", "\\use": "replica|primary|NODE|auto", "\\d": "TABLE", "\\u": "SCHEMA"}


def completed(names, text, *, requested=False):
    """The completions at the mark `|` in a text."""
    before, _, after = text.partition("|")
    completer = SqlCompleter(lambda: MYSQL, lambda: names, COMMANDS)
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
        ("SELECT o.st| FROM orders o", ["status", "customer_id"]),
        ("SELECT customers.n| FROM customers", ["name"]),
        ("SELECT o.sta| FROM shop.orders AS o", ["status"]),
        ("SELECT cust| FROM orders", ["customer_id"]),
        ("SELECT na| FROM customers; SELECT 1", ["name", "natural"]),
        ("SELECT 1; SELECT statu| FROM orders", ["status"]),
        ("UPDATE ord|", ["Order_items", "orders"]),
        ("SELECT 'sel|", []),
        ("SELECT -- sel|", []),
        ("SELECT /* sel|", []),
        ("SELECT unknown.|", []),
        ("|", []),
        # Names are written as they are spelled, and quoted.
        ("SELECT Mixe| FROM orders MixedCase", ["MixedCase"]),
        ("SELECT m| FROM MixedCase", ["MixedCase"]),
        ("SELECT * FROM `od|", ["`odd name`"]),
        ("SELECT * FROM `od|` WHERE 1", ["`odd name"]),
        ("SELECT `orde| FROM orders WHERE id = 1", ["`order`", "`orders`"]),
        ("SELECT o.`sta| FROM orders o", ["`status`"]),
        ("SELECT * FROM `ba`|", []),
        # Where a name is expected.
        ("\\d cus|", ["customers"]),
        ("\\d `od|", ["`odd name`"]),
        ("\\d |", ["customers", "`odd name`", "Order_items", "orders", "`select`"]),
        ("\\u |", ["app", "Archive", "shop"]),
        ("\\u a|", ["app", "Archive"]),
        ("\\use re|", ["replica"]),
        ("USE ar|", ["Archive"]),
        ("use `ar|", ["`Archive`"]),
        ("SELECT * FROM shop.cus|", ["customers"]),
        ("SELECT * FROM archive.|", ["Old", "`rank`"]),
        ("SELECT * FROM nosuch.|", []),
        # Common table expressions and subqueries.
        ("WITH big AS (SELECT id, total AS Sum FROM orders) SELECT * FROM bi|", ["big"]),
        ("WITH big AS (SELECT id, total AS Sum FROM orders) SELECT s| FROM big", ["status", "Sum"]),
        ("WITH a AS (SELECT 1), b (x, y) AS (SELECT 1, 2) SELECT b.| FROM a, b", ["x", "y"]),
        ("SELECT d.| FROM (SELECT o.id, COUNT(*) AS n, status FROM orders o GROUP BY 1) AS d", ["id", "n", "status"]),
        ("SELECT d.| FROM (SELECT c.*, 1 AS one FROM customers c) d", ["one", "id", "name"]),
        ("SELECT 1 FROM (SELECT 1) d, cus|", ["customers"]),
        # Settings.
        ("SELECT @@max_exec|", ["max_execution_time"]),
        ("SELECT @@session.tx_i|", ["tx_isolation"]),
        ("SET SESSION time_z|", ["time_zone"]),
        ("SET max_exec|", ["max_execution_time"]),
        ("SET time_zone = '+00:00', group_con|", ["group_concat_max_len"]),
        # What does not begin with it comes after what does.
        ("SELECT * FROM ite|", ["Order_items"]),
        ("SELECT * FROM orit|", ["Order_items"]),
        ("SELECT * FROM zzz|", []),
    ],
)
def test_what_fits_is_offered(text, expected, names):
    assert completed(names, text) == expected


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("SELECT 1 FROM orders o JOIN customers C ON |", "o.customer_id = C.id"),
        ("SELECT 1 FROM customers JOIN orders ON ord|", "orders.customer_id = customers.id"),
        ("SELECT 1 FROM orders a LEFT JOIN orders b ON |", "id"),
        ("SELECT 1 FROM orders a JOIN `order_ITEMS` b JOIN customers AS c ON |", "a.customer_id = c.id"),
    ],
)
def test_a_join_is_offered_by_its_foreign_key(text, first, names):
    assert completed(names, text)[0] == first


def test_a_join_is_offered_by_all_columns_of_its_key(names):
    names.keys["orders"] = (ForeignKey(columns=("a", "b"), table="customers", targets=("key", "rank")),)
    assert completed(names, "SELECT 1 FROM orders o JOIN customers c ON o|")[0] == "o.a = c.`key` AND o.b = c.`rank`"


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


def test_the_servers_own_variables_are_offered_where_they_are_known(names):
    names.variables = ("hostname", "max_execution_time", "time_zone", "version")
    assert completed(names, "SELECT @@ver|") == ["version"]
    assert completed(names, "SELECT @@max_sta|") == []
    assert completed(names, "SET max_|") == ["max_execution_time"]
    assert completed(names, "SET host|") == []


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
    for prefix in ("t", "table_", "table_0", "table_4999", "x", "le_49", "tb99", "zzz", "le_x9", "`le_4"):
        started = time.thread_time()
        assert len(completed(names, f"SELECT * FROM {prefix}|")) <= SHOWN_COMPLETIONS
        spent.append(time.thread_time() - started)
    assert sorted(spent)[len(spent) // 2] < 0.05


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
    assert [quoted(name, DIALECTS[Flavour.MYSQL]) for name in ("orders", "select", "odd name", "back`tick", "9lives", "日本", "rank", "_latin1", "_x")] == [
        "orders", "`select`", "`odd name`", "`back``tick`", "`9lives`", "`日本`", "`rank`", "`_latin1`", "_x",
    ]  # fmt: skip


def test_named_queries_and_formats_are_offered(names):
    commands = {"\\run": "NAME [VALUES]", "\\queries": "[NAME]", "\\format": "[FORMAT]"}
    completer = SqlCompleter(lambda: MYSQL, lambda: names, commands, lambda: ("orders-of", "stuck-orders"))

    def offered(text):
        return [found.text for found in completer.get_completions(Document(text, len(text)), CompleteEvent())]

    assert offered("\\run or") == ["orders-of", "stuck-orders"]
    assert offered("\\queries st") == ["stuck-orders"]
    assert offered("\\format in") == ["insert"]
