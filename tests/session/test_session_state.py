"""Variables and settings live on one connection: where they are not set, that is said before anything is misread."""

import pytest

from safeconsole.dialects import DIALECTS
from safeconsole.errors import DeniedError, ServerError
from safeconsole.session.state import lost_variable
from safeconsole.sqltext.analysis import analyse
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Flavour
from tests.harness.fakes import FakeFace
from tests.session.conftest import READ, WRITE

SET = "SET @a = 7"
USES = "SELECT id FROM orders WHERE id = @a"


def notes_of(road, text):
    face = FakeFace([])
    road.run(text, face)
    (begun,) = [event[1] for event in face.events if event[0] == "begin"]
    return begun.notes


def test_where_they_were_set_nothing_is_said(walk):
    road = walk()
    road.run(SET)
    assert notes_of(road, READ) == notes_of(road, USES) == ()


def test_without_any_nothing_is_said(walk):
    road = walk()
    for text in (READ, "BEGIN", READ, "COMMIT", "USE shop", READ):
        road.run(text)
    road.engine.connections[0].broken = True
    assert notes_of(road, READ) == ()


def test_a_lost_connection_takes_them_along_and_that_is_said_once(walk):
    road = walk()
    road.run(SET)
    road.engine.connections[0].broken = True
    assert notes_of(road, READ) == (
        "variables and settings of replica-1 were lost with its connection: set them again on replica-1",
    )
    assert notes_of(road, READ) == ()
    assert [record.detail for record in road.records("notice")] == [
        "variables and settings of replica-1 were lost with its connection: set them again on replica-1"
    ]


@pytest.mark.parametrize("text", ["SET time_zone = '+00:00'", "SELECT 1 INTO @a", "DO @a := 1", SET])
def test_another_node_does_not_have_them_and_that_is_said(walk, text):
    road = walk()
    road.run(text)
    road.engine.node("replica-1").unreachable = "no route"
    road.clock.seconds += 6
    (moved, *rest) = notes_of(road, READ)
    assert "takes the place of" in moved
    assert rest == ["variables and settings that you set on replica-1 are not set on replica-2"]


@pytest.mark.parametrize("sets", [SET, "SELECT 7 INTO @a", "DO @a := 7", "SET @`A` = 7"])
def test_what_reads_a_variable_where_it_is_not_set_is_refused(walk, sets):
    """It would read NULL, and a program sees no note."""
    road = walk()
    road.run(sets)
    road.gate.use("primary")
    for text in (USES, "SET @b = @a + 1", "SET @a = @a + 1", "SELECT @A"):
        with pytest.raises(DeniedError, match=r"@[aA] was set on replica-1, and is not set on primary"):
            road.run(text)
    assert notes_of(road, READ) == ("variables and settings that you set on replica-1 are not set on primary",)
    assert road.run("SELECT @never").outcome == "done"


def test_a_variable_is_refused_once_another_was_set_on_the_other_connection(walk):
    road = walk()
    road.run(SET)
    road.elevate()
    for text in ("BEGIN", "SET @b = 1", "UPDATE orders SET status = @b WHERE id = 1"):
        road.run(text)
    with pytest.raises(DeniedError, match="@a was set on replica-1"):
        road.run("UPDATE orders SET status = @a WHERE id = 1")


def test_a_variable_that_was_lost_with_its_connection_is_refused_until_it_is_set_again(walk):
    road = walk()
    road.run(SET)
    road.engine.connections[0].broken = True
    for _ in range(2):
        with pytest.raises(DeniedError, match="whose connection is gone"):
            road.run(USES)
    road.run(SET)
    assert road.run(USES).outcome == "done"


def test_what_lets_go_of_the_connections_forgets_the_variables(walk):
    road = walk()
    road.run(SET)
    road.gate.let_go()
    assert notes_of(road, USES) == ()


def test_a_temporary_table_is_read_where_it_is_and_refused_elsewhere(walk):
    road = walk()
    road.elevate()
    road.run("CREATE TEMPORARY TABLE mine (id INT)")
    road.run("INSERT INTO mine VALUES (1)")
    text = "SELECT id FROM mine"
    road.engine.estimates[text] = Estimate(asked=True, objection="Table 'mine' doesn't exist", objection_code=1146)
    with pytest.raises(DeniedError, match=r"shop.mine is a temporary table on primary \(elevated\)"):
        road.run(text)
    road.run("BEGIN")
    assert road.run(text).outcome == "done"
    road.run("COMMIT")
    road.gate.stand_down()
    with pytest.raises(DeniedError, match=r"the temporary table shop.mine was lost with its connection"):
        road.run(text)
    with pytest.raises(ServerError, match="doesn't exist"):
        road.run(text)


def test_a_temporary_table_that_is_dropped_hides_no_other(walk):
    road = walk()
    road.elevate()
    road.run("CREATE TEMPORARY TABLE orders (id INT)")
    with pytest.raises(DeniedError, match="shop.orders is a temporary table"):
        road.run(READ)
    road.run("DROP TEMPORARY TABLE orders")
    assert road.run(READ).outcome == "done"


def test_a_change_by_a_variable_that_is_set_elsewhere_is_refused(walk):
    """It would write NULL, or find no row, without a word."""
    road = walk()
    road.run(SET)
    road.elevate()
    with pytest.raises(DeniedError, match="@a was set on replica-1, and is not set on primary") as caught:
        road.run("UPDATE orders SET status = 'x' WHERE id = @a")
    assert "inside the transaction" in caught.value.instead
    assert len(road.sent()) == 1
    assert road.run(WRITE).outcome == "done"


def test_inside_a_transaction_they_are_where_its_changes_are(walk):
    road = walk()
    road.elevate()
    for text in ("BEGIN", SET, "UPDATE orders SET status = 'x' WHERE id = @a", "COMMIT"):
        road.run(text)
    assert [account for _, _, account in road.sent()] == ["elevated"] * 4


def test_setting_them_again_is_enough(walk):
    road = walk()
    road.run(SET)
    road.gate.use("primary")
    road.run(SET)
    assert notes_of(road, USES) == ()


@pytest.mark.parametrize(
    ("script", "lost"),
    [
        ("SET @x = 5; UPDATE t SET a = @x", (2, "@x")),
        ("SELECT 1 INTO @X; SELECT 2; DELETE FROM t WHERE id = @x", (3, "@x")),
        ("SET @x = 5; BEGIN; UPDATE t SET a = @x; COMMIT", (3, "@x")),
        ("BEGIN; SET @x = 5; COMMIT; UPDATE t SET a = @x", (4, "@x")),
        ("BEGIN; SET @x = 5; UPDATE t SET a = @x; COMMIT", None),
        ("SET @x = 5; SELECT @x", None),
        ("UPDATE t SET a = @x", None),
        ("SET @x = 5; UPDATE t SET a = '@x'", None),
    ],
)
def test_a_script_that_loses_a_variable_is_known_beforehand(script, lost):
    rules = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
    assert lost_variable(analyse(script, rules), rules, opened=False) == lost


def test_inside_a_transaction_a_script_keeps_its_variables():
    rules = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=90704)
    assert lost_variable(analyse("SET @x = 5; UPDATE t SET a = @x", rules), rules, opened=True) is None
