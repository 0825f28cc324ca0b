"""A policy's file that changes under a session tightens it at once, and loosens nothing."""

import os

import pytest

from safeconsole.config.policies import PolicyFiles
from safeconsole.errors import DeniedError, PolicyInvalidError, RefusedError
from safeconsole.audit.record import ElevationChanged, Intent, Noticed
from safeconsole.session.session import Session
from safeconsole.session.context import People
from tests.harness.fakes import FakeFace
from tests.session.conftest import READ, WRITE, Walk

FIRST = """
rules:
  - {id: reads, when: stmt.plain_read, then: allow}
  - {id: writes, when: "'write' in stmt.effects", then: elevate, message: this writes}
limits: {run_seconds: 20}
"""


class File:
    """A policy's file on disk, and the session that began with it."""

    def __init__(self, place, text=FIRST):
        self.path = place / "mine.yaml"
        place.chmod(0o755)
        self.write(text)
        files = PolicyFiles(place)
        self.walk = Walk(policy=files.load("mine"))
        self.rebuild(files.rereading("mine", self.walk.gate.policy))

    def rebuild(self, reread):
        walk = self.walk
        walk.gate = Session(
            context=walk.context, policy=walk.gate.policy, engine=walk.engine, journal=walk.journal, clock=walk.clock,
            people=People(confirmer=walk.confirmer), reread=reread,
        )  # fmt: skip

    def write(self, text):
        draft = self.path.with_suffix(".new")
        draft.write_text(text)
        draft.chmod(0o644)
        draft.replace(self.path)

    def records(self, kind):
        return [record for record in self.walk.journal.records if isinstance(record, kind)]


@pytest.fixture
def file(tmp_path):
    return File(tmp_path)


def test_while_nothing_changes_nothing_is_said(file):
    file.walk.run(READ)
    os.utime(file.path)
    file.walk.run(READ)
    assert file.records(Noticed) == []
    assert file.walk.gate.last().decision.policy == file.walk.gate.policy.label


def test_what_the_file_forbids_now_is_refused_at_once(file):
    file.walk.run(READ)
    file.write(FIRST + "  # changed\n")
    file.write(FIRST.replace("then: allow", "then: deny, message: closed for the night"))
    with pytest.raises(DeniedError, match="closed for the night"):
        file.walk.run(READ)
    assert file.walk.gate.last().decision.policy.count("mine@") == 2


def test_limits_are_the_tightest_of_both_and_it_is_said(file):
    file.write(FIRST.replace("run_seconds: 20", "run_seconds: 5"))
    face = FakeFace(file.walk.events)
    file.walk.run(READ, face)
    assert file.records(Intent)[-1].limits["run_seconds"] == 5
    assert any("the policy's file has changed" in record.detail for record in file.records(Noticed))


@pytest.mark.parametrize(
    "looser",
    [
        FIRST.replace("run_seconds: 20", "run_seconds: 300"),
        FIRST.replace("then: elevate", "then: allow"),
        FIRST.replace("rules:", "mode: observe\nrules:"),
    ],
    ids=["limits", "verdict", "observe"],
)
def test_nothing_is_loosened_while_the_session_lasts(file, looser):
    file.write(looser)
    file.walk.run(READ)
    assert file.records(Intent)[-1].limits["run_seconds"] == 20
    with pytest.raises(RefusedError, match="this writes"):
        file.walk.run(WRITE)


def test_a_session_that_only_observed_is_held_to_a_policy_that_enforces(tmp_path):
    file = File(tmp_path, FIRST.replace("rules:", "mode: observe\nrules:"))
    file.write(FIRST.replace("then: allow", "then: deny, message: closed"))
    with pytest.raises(DeniedError, match="closed"):
        file.walk.run(READ)


def test_an_elevation_ends_and_no_other_is_granted(file):
    file.walk.elevate()
    file.walk.run(WRITE)
    file.write(FIRST.replace("run_seconds: 20", "run_seconds: 5"))
    with pytest.raises(RefusedError):
        file.walk.run(WRITE)
    assert [record.event for record in file.records(ElevationChanged)][-1] == "policy-changed"
    assert file.walk.gate.status().elevated_seconds == 0
    with pytest.raises(RefusedError, match="no elevation is granted any more") as caught:
        file.walk.elevate()
    assert "open a new session" in caught.value.instead


def test_a_request_that_is_the_first_to_see_the_change_is_refused_and_the_window_before_it_ends(file):
    file.walk.elevate()
    file.write(FIRST.replace("run_seconds: 20", "run_seconds: 5"))
    with pytest.raises(RefusedError, match="no elevation is granted any more"):
        file.walk.elevate()
    with pytest.raises(RefusedError):
        file.walk.run(WRITE)
    assert [record.event for record in file.records(ElevationChanged)][-1] == "policy-changed"


@pytest.mark.parametrize("broken", ["rules: [", "rules: []\nnonsense: 1\n", ""])
def test_a_file_that_is_no_policy_any_more_lets_nothing_pass(file, broken):
    file.write(broken)
    for _ in range(2):
        with pytest.raises(PolicyInvalidError, match="the policy's file has changed and is no longer valid"):
            file.walk.run(READ)
    assert file.records(Intent) == []
    file.write(FIRST)
    file.walk.run(READ)
    assert len(file.records(Intent)) == 1


def test_a_file_that_is_gone_lets_nothing_pass(file):
    file.path.unlink()
    with pytest.raises(PolicyInvalidError, match="cannot be read any more"):
        file.walk.run(READ)


def test_a_file_that_everybody_may_write_now_lets_nothing_pass(file):
    file.path.chmod(0o646)
    with pytest.raises(PolicyInvalidError, match="may be written by everybody"):
        file.walk.run(READ)


def test_what_changed_between_loading_and_the_first_statement_is_seen(tmp_path):
    tmp_path.chmod(0o755)
    file = File(tmp_path)
    files = PolicyFiles(tmp_path)
    begun = files.load("mine")
    file.write(FIRST.replace("then: allow", "then: deny, message: closed"))
    file.rebuild(files.rereading("mine", begun))
    with pytest.raises(DeniedError, match="closed"):
        file.walk.run(READ)
