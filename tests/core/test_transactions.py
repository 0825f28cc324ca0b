"""What looks like a transaction is one, or is refused."""

import pytest

from safeconsole.core.transactions import BEGINS, NEEDS_ONE, objection, way_out


@pytest.mark.parametrize("kind", sorted({"select", "update", *BEGINS, "commit"}))
def test_without_a_transaction_and_an_elevation_everything_may_go_on(kind):
    assert objection(kind, elevated=False, open_on="", goes_to="replica-1") == ""


@pytest.mark.parametrize("kind", sorted(NEEDS_ONE))
@pytest.mark.parametrize("elevated", [False, True])
def test_nothing_is_undone_that_is_committed_already(kind, elevated):
    assert "no transaction is open" in objection(kind, elevated=elevated, open_on="", goes_to="primary")
    assert objection(kind, elevated=False, open_on="replica-1", goes_to="replica-1") == ""
    assert "changes it back" in way_out(kind, open_on="")


@pytest.mark.parametrize("kind", sorted(BEGINS))
def test_elevated_statements_are_not_held_together(kind):
    assert "each is committed" in objection(kind, elevated=True, open_on="", goes_to="replica-1")
    assert way_out(kind, open_on="") == "leave BEGIN and COMMIT out"


@pytest.mark.parametrize("kind", ["select", "update", "commit", "rollback", "begin"])
@pytest.mark.parametrize("elevated", [False, True])
def test_nothing_runs_beside_an_open_transaction_as_if_it_were_in_it(kind, elevated):
    why = objection(kind, elevated=elevated, open_on="replica-1", goes_to="primary (elevated)")
    assert "replica-1" in why
    assert "primary (elevated)" in why
    assert "COMMIT or ROLLBACK" in way_out(kind, open_on="replica-1")


def test_reads_of_a_transaction_stay_in_it():
    assert objection("select", elevated=True, open_on="replica-1", goes_to="replica-1") == ""
