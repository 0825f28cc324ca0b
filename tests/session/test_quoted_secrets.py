"""A server quotes the statement in its error; a password in it goes no further than the connection."""

import traceback

import pytest

from safeconsole.errors import ServerError
from safeconsole.sqltext.statement import Estimate
from tests.harness.fakes import Planned
from tests.session.conftest import JUSTIFICATION

SECRET = "CREATE USER u IDENTIFIED BY 'planted' NONSENSE"
SAID = "syntax error near 'IDENTIFIED BY 'planted' NONSENSE' at line 1"
PLAIN = "SELECT nosuch FROM orders"


def failing(said):
    try:
        raise OSError(f"the driver says: {said}")
    except OSError as error:
        server_error = ServerError(1064, said)
        server_error.__cause__ = error
        return server_error


@pytest.mark.parametrize("planned", [lambda error: Planned(refusal=error), lambda error: Planned(fault=error)])
def test_an_error_that_quotes_a_password_is_shown_recorded_and_traced_without_it(walk, planned):
    road = walk(justification=JUSTIFICATION)
    road.answers(True)
    road.engine.answers[SECRET] = planned(failing(SAID))
    with pytest.raises(ServerError) as caught:
        road.run(SECRET)
    assert "planted" not in "".join(traceback.format_exception(caught.value)) + caught.value.server_message
    assert caught.value.message == "the server says: syntax error near 'IDENTIFIED BY '?' NONSENSE' at line 1 (1064)"
    assert "planted" not in repr(road.journal.records)


def test_an_error_about_a_statement_without_a_secret_stays_as_it_is(walk):
    road = walk()
    error = ServerError(1054, "Unknown column 'nosuch' in 'field list'")
    road.engine.answers[PLAIN] = Planned(refusal=error)
    with pytest.raises(ServerError, match="Unknown column 'nosuch' in 'field list'"):
        road.run(PLAIN)


def test_an_objection_is_shown_to_nobody_with_a_password_in_it(walk):
    road = walk()
    text = "SELECT id FROM orders WHERE api_token = 'planted'"
    said = "no column api_token near 'api_token = 'planted''"
    road.engine.estimates[text] = Estimate(asked=True, objection=said, disagrees=True)
    (statement,) = road.gate.split(text)
    considered = road.gate.consider(statement)
    told = repr((considered.evidence, considered.decision, considered.facts, considered.estimate))
    assert "no column api_token near 'api_token = '?''" in told
    assert "planted" not in told
