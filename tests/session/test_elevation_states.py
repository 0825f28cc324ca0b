"""No way leads from asking to an elevation in force but a recorded yes, and every way out of it is final."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from safeconsole.session.elevation import ELEVATION_TRANSITIONS, ElevationEvent, next_state
from safeconsole.policy.decision import Grant, ElevationRequest, Scope, ElevationState, covers, exact_of

FINAL = {ElevationState.DECLINED, ElevationState.EXPIRED, ElevationState.STOOD_DOWN, ElevationState.REVOKED}


def request(**rest):
    return ElevationRequest(**{"cluster": "shop", "scope": Scope.BREAK_GLASS, "reason": "the site is down", **rest})


def grant(*, scope=Scope.BREAK_GLASS, state=ElevationState.GRANTED, began=100.0, ends=200.0):
    bound = {"digest": "d", "exact": exact_of("d"), "server": "s"} if scope is Scope.STATEMENT else {}
    return Grant(id="g", request=request(scope=scope, **bound), granted_seconds=began, ends_seconds=ends, state=state)


def test_only_a_recorded_yes_grants():
    assert [pair for pair, state in ELEVATION_TRANSITIONS.items() if state is ElevationState.GRANTED] == [
        (ElevationState.ASKED, ElevationEvent.SELF_APPROVED)
    ]


def test_nothing_leads_back_to_asking_and_nothing_leaves_an_end():
    assert ElevationState.ASKED not in ELEVATION_TRANSITIONS.values()
    assert not [pair for pair in ELEVATION_TRANSITIONS if pair[0] in FINAL]


@pytest.mark.parametrize("state", ElevationState)
def test_every_state_can_be_reached_and_what_is_not_final_can_end(state):
    reached = {ElevationState.ASKED} | set(ELEVATION_TRANSITIONS.values())
    assert state in reached
    ends = {after for (before, _), after in ELEVATION_TRANSITIONS.items() if before is state}
    assert (state in FINAL) == (not ends)


@pytest.mark.parametrize(
    "event", [ElevationEvent.FAILED_OVER, ElevationEvent.SESSION_ENDED, ElevationEvent.TIME_PASSED]
)
def test_what_ends_everything_ends_a_grant(event):
    assert next_state(ElevationState.GRANTED, event) in FINAL


def test_an_interrupt_while_asked_is_a_no():
    assert next_state(ElevationState.ASKED, ElevationEvent.INTERRUPTED) is ElevationState.DECLINED


@given(st.sampled_from(ElevationState), st.sampled_from(ElevationEvent))
def test_a_step_that_is_not_in_the_table_is_refused(state, event):
    if (state, event) in ELEVATION_TRANSITIONS:
        assert next_state(state, event) is ELEVATION_TRANSITIONS[state, event]
    else:
        with pytest.raises(ValueError, match=f"an elevation that is {state} cannot meet {event}"):
            next_state(state, event)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"reason": ""}, "needs a reason"),
        ({"reason": " \t\n"}, "needs a reason"),
        ({"window_seconds": 0}, "positive window"),
        ({"window_seconds": -1}, "positive window"),
        ({"window_seconds": math.nan}, "positive window"),
        ({"scope": Scope.STATEMENT}, "bound to its text and a server"),
        ({"scope": Scope.STATEMENT, "digest": "d", "exact": "e"}, "bound to its text and a server"),
        ({"scope": Scope.STATEMENT, "digest": "d", "server": "s"}, "bound to its text and a server"),
    ],
)
def test_a_request_that_says_too_little_cannot_be_made(wrong, complaint):
    with pytest.raises(ValueError, match=complaint):
        request(**wrong)


@pytest.mark.parametrize(
    ("now", "covered"),
    [(99.9, False), (100.0, True), (199.9, True), (200.0, False), (-1.0, False), (math.inf, False), (math.nan, False)],
)
def test_a_grant_covers_from_its_beginning_to_before_its_end(now, covered):
    assert covers(grant(), "any", "any", now) is covered


@pytest.mark.parametrize("state", sorted(set(ElevationState) - {ElevationState.GRANTED}))
def test_only_what_is_granted_covers(state):
    assert not covers(grant(state=state), "any", "any", 150.0)


@pytest.mark.parametrize(("text", "server", "covered"), [("d", "s", True), ("d", "x", False), ("x", "s", False)])
def test_a_grant_of_one_statement_covers_it_on_its_server_only(text, server, covered):
    assert covers(grant(scope=Scope.STATEMENT), text, server, 150.0) is covered


TEXTS = st.from_regex(r"UPDATE orders SET status = '[a-c ]{0,2}' WHERE id [<=] [0-9]{1,3}( -- [xy])?", fullmatch=True)


@given(TEXTS, TEXTS)
def test_a_grant_of_one_text_covers_no_other_that_differs_in_a_value_a_space_or_a_comment(granted, asked):
    one = request(scope=Scope.STATEMENT, digest="d", exact=exact_of(granted), server="s")
    held = Grant(id="g", request=one, granted_seconds=100.0, ends_seconds=200.0)
    assert covers(held, asked, "s", 150.0) is (granted == asked)


class Elevation(RuleBasedStateMachine):
    """One request, with the clock, the journal and the person doing whatever they like."""

    @initialize(scope=st.sampled_from(Scope), now=st.floats(0, 1e6))
    def ask(self, scope, now):
        self.state, self.now, self.scope = ElevationState.ASKED, now, scope
        self.recorded = False
        self.grant = None
        self.ended = False

    @rule(event=st.sampled_from(ElevationEvent))
    def something_happens(self, event):
        before = self.state
        # As the road does: the record is durable first, and the state changes after it.
        if event is ElevationEvent.SELF_APPROVED and before is ElevationState.ASKED:
            self.recorded = True
        try:
            self.state = next_state(before, event)
        except ValueError:
            assert (before, event) not in ELEVATION_TRANSITIONS
            return
        if self.state is ElevationState.GRANTED:
            self.grant = grant(scope=self.scope, began=self.now, ends=self.now + 900.0)
        elif self.grant is not None:
            self.grant = grant(
                scope=self.scope, began=self.grant.granted_seconds, ends=self.grant.ends_seconds, state=self.state
            )
        self.ended = self.ended or self.state in FINAL

    @rule(seconds=st.floats(-1e4, 1e4))
    def time_passes_or_runs_backwards(self, seconds):
        self.now += seconds

    @invariant()
    def nothing_is_in_force_without_a_recorded_yes(self):
        if self.state is ElevationState.GRANTED:
            assert self.recorded

    @invariant()
    def nothing_is_in_force_outside_its_time_or_after_its_end(self):
        in_force = self.grant is not None and covers(self.grant, "d", "s", self.now)
        if in_force:
            assert self.state is ElevationState.GRANTED
            assert not self.ended
            assert self.grant.granted_seconds <= self.now < self.grant.granted_seconds + 900.0

    @invariant()
    def an_end_is_final(self):
        assert not (self.ended and self.state not in FINAL)


TestElevation = Elevation.TestCase
