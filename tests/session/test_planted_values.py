"""A value that a policy keeps out of the journal is in none of its bytes, whichever way a statement goes."""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safeconsole.clock import SystemClock
from safeconsole.audit.journal import open_journal
from safeconsole.errors import SafeConsoleError, ServerError
from safeconsole.sqltext.literal_rules import LiteralKey
from safeconsole.sqltext.statement import Estimate
from tests.harness.fakes import FakeFace, Planned
from tests.session.conftest import JUSTIFICATION, policy_of

PLANTED = "planted-4711-value"
STATEMENTS = [
    "SELECT id FROM orders WHERE mail = '{}'",
    "SELECT id FROM asked WHERE mail IN ('a', '{}')",
    "SELECT id FROM held WHERE LOWER(mail) = '{}'",
    "SELECT id FROM closed WHERE mail LIKE '{}'",
    "UPDATE orders SET mail = '{}' WHERE id = 1",
    "INSERT INTO orders (id, mail) VALUES (1, '{}')",
    "CALL find_by_mail('{}')",
    "SET @mail = '{}'",
    "SELEC '{}' FROM orders",
    "SELECT id FROM orders WHERE mail = '{}",
    "SELECT id FROM orders WHERE id = 1 -- {}",
]
QUOTES = ["syntax error near '{}'", "Duplicate entry '{}' for key 'mail'", "customer {} is blocked", 'Truncated: "{}"']


def fates(text, said):
    quoting = ServerError(1062, said)
    yield "as it comes", lambda engine: None
    yield "refused by the server", lambda engine: engine.answers.update({text: Planned(refusal=quoting)})
    yield "lost half way", lambda engine: engine.answers.update({text: Planned(fault=quoting)})
    signal = ServerError(1644, said)
    yield "signalled", lambda engine: engine.answers.update({text: Planned(fault=signal)})
    for disagrees in (True, False):
        opinion = Estimate(asked=True, objection=said, objection_code=1064, disagrees=disagrees)
        yield f"objected {disagrees}", lambda engine, opinion=opinion: engine.estimates.update({text: opinion})


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.sampled_from(STATEMENTS),
    st.sampled_from(QUOTES),
    st.sampled_from([{"literals": "drop"}, {"literals": "hash"}, {"literals_of": {"shop.*.mail": "drop"}},
                     {"literals_of": {"*.*.m*": "hash"}}, {"literals_of": {"shop.*": "hash"}}]),
)  # fmt: skip
def test_the_planted_value_is_in_no_byte_of_the_journal(walk, tmp_path_factory, shape, quote, literals):
    text, said = shape.format(PLANTED), quote.format(PLANTED)
    for name, plan in fates(text, said):
        directory = tmp_path_factory.mktemp("audit")
        journal = open_journal(directory, clock=SystemClock(), literal_key=LiteralKey(secret=b"k" * 32))
        road = walk(policy=policy_of(**literals), justification=JUSTIFICATION, journal=journal)
        road.answers(True, True)
        plan(road.engine)
        for statement in road.gate.split(text):
            with contextlib.suppress(SafeConsoleError):
                FakeFace().run(road.gate, statement)
        road.gate.note("command", r"\explain", sql=text)
        road.gate.close()
        written = b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())
        assert b'"outcome"' in written, name
        assert PLANTED.encode() not in written, (name, written)


def test_a_command_is_recorded_with_its_sql_as_any_statement_is(walk):
    road = walk(policy=policy_of(literals_of={"shop.orders.mail": "drop"}))
    road.gate.note("command", r"\export /tmp/x.csv", sql="SELECT id FROM orders WHERE mail = 'a' AND id = 5")
    road.gate.note("command", r"\explain", sql="SET PASSWORD = 'hunter2'")
    assert [record.command for record in road.records("command")] == [
        r"\export /tmp/x.csv SELECT id FROM orders WHERE mail = ? AND id = 5",
        r"\explain SET PASSWORD = '<secret>'",
    ]


@pytest.mark.parametrize("word", ["hash", "drop"])
def test_what_the_server_says_of_other_tables_stays(walk, word):
    road = walk(policy=policy_of(literals_of={"shop.customers": word}))
    text = "SELECT nosuch FROM orders"
    road.engine.answers[text] = Planned(refusal=ServerError(1054, "Unknown column 'nosuch' in 'field list'"))
    with pytest.raises(ServerError):
        road.run(text)
    assert "Unknown column 'nosuch'" in road.records("outcome")[0].message
