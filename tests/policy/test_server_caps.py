"""What a server's own time limit ends, as it was measured; the page says the same."""

from pathlib import Path

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.analysis import analyse
from safeconsole.session.deciding import evidence_of
from safeconsole.policy.decision import Decision
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.policy.limits import Limits
from safeconsole.cluster.routing import Choice
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Flavour, NodeName, Role, Route, Verdict

VERSIONS = {Flavour.MYSQL: 90_704, Flavour.AURORA_MYSQL: 80_039, Flavour.MARIADB: 101_119, Flavour.SQLITE: 0}


def one(text, flavour):
    (statement,) = analyse(text, LexicalRules(dialect=DIALECTS[flavour], version=VERSIONS[flavour]), schema="shop")
    return statement


@pytest.mark.parametrize(
    ("text", "mysql", "mariadb"),
    [
        ("SELECT * FROM orders", True, True),
        ("WITH x AS (SELECT 1) SELECT * FROM x", True, True),
        ("SELECT 1 UNION SELECT 2", True, True),
        ("EXPLAIN SELECT * FROM orders", True, True),
        ("SELECT mine(id) FROM orders", False, True),
        ("DO SLEEP(20)", False, True),
        ("SET @v = (SELECT COUNT(*) FROM orders)", False, True),
        ("SHOW TABLES WHERE (SELECT COUNT(*) FROM orders) > 0", False, True),
        ("SHOW TABLE STATUS", False, True),
        ("UPDATE orders SET total = 1", False, True),
        ("INSERT INTO orders SELECT * FROM orders", False, True),
        ("DELETE FROM orders", False, True),
        ("CREATE TABLE copy AS SELECT * FROM orders", False, True),
        ("ALTER TABLE orders ADD COLUMN x INT", False, True),
        ("CALL work()", False, False),
        ("BEGIN NOT ATOMIC SELECT 1; END", False, False),
    ],
)
def test_what_is_capped_is_what_was_measured(text, mysql, mariadb):
    for flavour, capped in ((Flavour.MYSQL, mysql), (Flavour.AURORA_MYSQL, mysql), (Flavour.MARIADB, mariadb)):
        found = analyse(text, LexicalRules(dialect=DIALECTS[flavour], version=VERSIONS[flavour]), schema="shop")
        assert all(DIALECTS[flavour].ends_by_itself(statement) for statement in found) is capped, flavour


def test_nothing_is_capped_where_there_is_no_server():
    assert not DIALECTS[Flavour.SQLITE].ends_by_itself(one("SELECT 1", Flavour.SQLITE))
    assert not DIALECTS[Flavour.SQLITE].may_end_within(one("SELECT 1", Flavour.SQLITE))


@pytest.mark.parametrize(
    ("text", "flavour", "may"),
    [
        ("CALL work()", Flavour.MARIADB, True),
        ("UPDATE orders SET total = 1", Flavour.MARIADB, True),
        ("CALL work()", Flavour.MYSQL, False),
        ("UPDATE orders SET total = 1", Flavour.MYSQL, False),
        ("SELECT 1", Flavour.MYSQL, True),
    ],
)
def test_the_cap_may_end_what_is_inside_a_routine_on_mariadb_alone(text, flavour, may):
    assert DIALECTS[flavour].may_end_within(one(text, flavour)) is may


@pytest.mark.parametrize(
    ("text", "flavour", "said"),
    [
        ("UPDATE orders SET total = 1", Flavour.MYSQL, True),
        ("UPDATE orders SET total = 1", Flavour.MARIADB, False),
        ("SELECT 1", Flavour.MYSQL, False),
        ("CALL work()", Flavour.MARIADB, True),
        ("SELECT 1", Flavour.SQLITE, False),
    ],
)
def test_the_evidence_says_where_the_watchdog_is_alone(text, flavour, said):
    reading = Reading(node=NodeName("primary"), role=Role.PRIMARY, proof="a test", flavour=flavour)
    choice = Choice(route=Route.PRIMARY, reading=reading, reasons=())
    decision = Decision(verdict=Verdict.ALLOW, rules=("all",), limits=Limits())
    lines = evidence_of(one(text, flavour), choice, Estimate(), decision)
    line = f"time limit: {flavour} has none for this statement; only the console's watchdog ends it"
    assert (line in lines) is said


def test_the_page_says_so():
    page = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
    assert "the watchdog is the only limit, and the evidence says so" in " ".join(page.split())
