"""Named queries: files that a team reviews, and values that never become SQL."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError
from safeconsole.queries import filled, named_queries, named_query, query_names
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Flavour
from tests.harness.desk import demo_configuration
from tests.servers.conftest import private_cluster, shared_clusters  # noqa: F401  (fixtures)

MYSQL, SQLITE = (LexicalRules(dialect=DIALECTS[flavour]) for flavour in (Flavour.MYSQL, Flavour.SQLITE))
ORDERS = """\
-- Orders of a customer, newest first
-- :customer integer   whose orders
-- :states text... = 'new,paid'
-- :most integer = 5   how many

SELECT id FROM orders WHERE customer_id = :customer AND status IN (:states) AND note <> ':most' -- :none
ORDER BY id DESC LIMIT :most
"""


@pytest.fixture
def folder(tmp_path):
    def put(**files):
        for name, text in files.items():
            (tmp_path / f"{name.replace('_', '-')}.sql").write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path)

    return put


def sql_of(text):
    return " ".join(line for line in text.splitlines() if not line.startswith("--")).split()


def test_a_file_says_what_it_is_for_and_what_it_takes(folder):
    query = named_query(folder(orders_of=ORDERS), "orders-of")
    assert query.about == "Orders of a customer, newest first"
    assert query.usage == "orders-of CUSTOMER [STATES…=new,paid] [MOST=5]"
    assert [each.about for each in query.parameters] == ["whose orders", "", "how many"]
    assert query.digest == hashlib.sha256(ORDERS.encode()).hexdigest()


@pytest.mark.parametrize("rules", [MYSQL, SQLITE], ids=["mysql", "sqlite"])
def test_values_stand_where_their_names_stood_and_nowhere_else(folder, rules):
    query = named_query(folder(orders_of=ORDERS), "orders-of")
    found = " ".join(sql_of(filled(query, ["7", "most=9"], rules)))
    assert "customer_id = 7 AND status IN ( 'new', 'paid' ) AND note <> ':most' -- :none ORDER" in found
    assert found.endswith("LIMIT 9")


HOSTILE = ("' OR '1'='1", "\\' OR 1=1 -- ", "x'; DROP TABLE orders; -- ", "*/ 1", ":most", "a\nb", "\\")


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("rules", [MYSQL, SQLITE], ids=["mysql", "sqlite"])
def test_no_value_becomes_sql(folder, rules, value):
    query = named_query(folder(named="-- :name\nSELECT id FROM orders WHERE status = :name"), "named")
    statements = [
        each for text in (filled(query, [value], rules), filled(query, ["a"], rules)) for each in analyse(text, rules)
    ]
    assert len(statements) == 2 and len({each.normalised for each in statements}) == 1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ((), "orders-of needs customer"),
        (("seven",), "customer is a whole number, and 'seven' is none"),
        (("7 OR 1=1",), "customer is a whole number"),
        (("1", "a", "2", "3"), "takes fewer values"),
        (("1", "customer=2"), "is given customer twice"),
    ],
)
def test_values_that_do_not_fit_are_refused_with_the_usage(folder, given, why):
    with pytest.raises(ConfigurationError, match=why):
        filled(named_query(folder(orders_of=ORDERS), "orders-of"), given, MYSQL)


@pytest.mark.parametrize(
    ("text", "given", "why"),
    [
        ("SELECT :id", (), "uses :id and does not declare it"),
        ("-- :id\nSELECT 1", ("1",), "declares :id and does not use it"),
        ("-- :id\n-- :ID text\nSELECT :id", (), "declares :id twice"),
        (b"SELECT '\xff'", (), "is not UTF-8 text: byte 8"),
    ],
)
def test_a_file_that_is_wrong_is_named_and_the_others_are_there(folder, text, given, why):
    directory = folder(wrong=text, good="SELECT 1")
    with pytest.raises(ConfigurationError, match=why):
        filled(named_query(directory, "wrong"), given, MYSQL)
    assert list(named_queries(directory)) == ["good", "wrong"]


@pytest.mark.parametrize("name", ["../secret", "nosuch", "", ".hidden", "good.sql"])
def test_only_files_of_the_directory_have_names(folder, tmp_path, name):
    directory = folder(good="SELECT 1")
    (tmp_path.parent / "secret.sql").write_text("SELECT 2")
    with pytest.raises(ConfigurationError, match="no query is named"):
        named_query(directory, name)


def test_without_a_directory_the_setting_is_named():
    with pytest.raises(ConfigurationError, match="no directory of named queries") as refused:
        query_names("")
    assert "[queries] directory" in refused.value.instead


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def team(request, shared_clusters, tmp_path_factory):  # noqa: F811  (a fixture)
    """A function that runs a one-shot with named queries, and its directory."""
    home = tmp_path_factory.mktemp("team")
    config = demo_configuration(shared_clusters(request.param), home)
    (home / "queries").mkdir()
    (home / "queries" / "by-id.sql").write_text(
        "-- One order\n-- :id integer\nSELECT id, 'a' AS a FROM orders WHERE id = :id"
    )
    (home / "queries" / "pay.sql").write_text("-- :id integer\nUPDATE orders SET status = 'paid' WHERE id = :id")
    config.write_text(f"{config.read_text()}\n[queries]\ndirectory = {json.dumps(str(home / 'queries'))}\n")

    def run(*words):
        ended = subprocess.run(
            [sys.executable, "-m", "safeconsole", "--config", str(config), "sql", "shop", *words],
            capture_output=True, text=True, check=False, env={**os.environ, "HOME": str(home)}, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        return ended.stdout, ended.stderr, ended.returncode

    return run, home


def test_a_named_query_is_judged_run_and_recorded_by_its_name(team):
    run, home = team
    assert run("--run", "by-id", "id=7", "--format", "csv")[0] == "id,a\n7,a\n"
    _, said, code = run("--run", "pay", "7")
    assert code == 3 and "this writes" in said
    assert run("--run", "by-id", "7", "-e", "SELECT 1")[2] == 2
    assert "usage: by-id ID" in run("--run", "by-id")[1]
    assert run("7")[2] == 2
    journals = "".join(path.read_text() for path in home.rglob("sessions/*.jsonl"))
    assert '"what":"named query","detail":"by-id, sha256 ' in journals
    assert '"what":"named query","detail":"pay, sha256 ' in journals
