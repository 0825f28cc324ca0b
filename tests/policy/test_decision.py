"""A permit is made from a decision whose demands are met, and from nothing else."""

from msgspec.structs import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.cli.application import exit_code_of
from safeconsole.policy.decision import Assessment, Decision, judged_as_asked, permit_from_decision, with_disagreement
from safeconsole.policy.decision import Grant, ElevationRequest, Scope, ElevationState, exact_of
from safeconsole.errors import DeniedError, NoFitNodeError, RefusedError
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.statement import Ask, Estimate, Statement
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Route, Verdict

IDENTITY = Identity(server="s", address="127.0.0.1:3306")


def considered(verdict=Verdict.ALLOW, *effects, observed=False, **rest):
    statement = Statement(text="x", kind="x", effects=frozenset(effects or {Effect.READ}), digest="d")
    decision = Decision(
        verdict=verdict, rules=("r",), limits=Limits(run_seconds=7), message="because", instead="try", observed=observed
    )
    facts = {"route": Route.REPLICA, "node": NodeName("n"), "identity": IDENTITY, "evidence": ("seen",), **rest}
    return Assessment(**{"statement": statement, "estimate": Estimate(), "decision": decision, **facts})


def grant(*, text="x", server="s", state=ElevationState.GRANTED):
    request = ElevationRequest(
        cluster="shop", scope=Scope.STATEMENT, reason="why", digest="d", exact=exact_of(text), server=server
    )
    return Grant(id="g1", request=request, granted_seconds=100, ends_seconds=200, state=state)


def permit(asked, *, grant=None, confirmed=False, now=150.0):
    return permit_from_decision(asked, grant=grant, confirmed=confirmed, now_seconds=now)


def test_what_is_allowed_is_permitted_with_its_limits_on_the_reading_account():
    made = permit(considered())
    assert (made.account, made.read_only, made.elevation) == (Account.READ, True, "")
    assert (made.limits.run_seconds, made.rules, made.node, made.identity, made.route) == (
        7,
        ("r",),
        "n",
        IDENTITY,
        Route.REPLICA,
    )
    assert made.statement.text == "x"


@pytest.mark.parametrize("given_grant", [None, grant()])
@pytest.mark.parametrize("confirmed", [False, True])
def test_what_is_denied_stays_denied_whoever_agrees(given_grant, confirmed):
    with pytest.raises(DeniedError) as refusal:
        permit(considered(Verdict.DENY), grant=given_grant, confirmed=confirmed)
    assert (refusal.value.message, refusal.value.evidence, refusal.value.instead) == ("because", ("seen",), "try")
    assert exit_code_of(refusal.value) == 4


@pytest.mark.parametrize("missing", [{"node": None}, {"identity": None}])
@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.CONFIRM, Verdict.ELEVATE])
def test_without_a_node_there_is_no_permit(missing, verdict):
    with pytest.raises(NoFitNodeError):
        permit(considered(verdict, **missing), grant=grant(), confirmed=True)


def test_a_denial_is_told_even_without_a_node():
    with pytest.raises(DeniedError):
        permit(considered(Verdict.DENY, node=None, identity=None))


def test_a_confirmation_is_asked_for_and_enough():
    with pytest.raises(RefusedError) as refusal:
        permit(considered(Verdict.CONFIRM))
    assert exit_code_of(refusal.value) == 3
    assert permit(considered(Verdict.CONFIRM), confirmed=True).account is Account.READ


def test_a_confirmation_is_no_elevation():
    with pytest.raises(RefusedError) as refusal:
        permit(considered(Verdict.ELEVATE), confirmed=True)
    assert not isinstance(refusal.value, DeniedError)


def test_an_elevation_permits_on_the_elevated_account_and_is_named():
    made = permit(considered(Verdict.ELEVATE, Effect.WRITE), grant=grant())
    assert (made.account, made.read_only, made.elevation) == (Account.ELEVATED, False, "g1")


@pytest.mark.parametrize(("verdict", "named"), [(Verdict.ALLOW, ""), (Verdict.CONFIRM, "g1")])
def test_an_elevation_is_named_where_a_person_would_be_asked_and_used_where_the_account_needs_it(verdict, named):
    made = permit(considered(verdict), grant=grant())
    assert (made.account, made.elevation) == (Account.READ, named)


@pytest.mark.parametrize(
    ("not_in_force", "now"),
    [
        (grant(text="x "), 150),
        (grant(server="other"), 150),
        (grant(state=ElevationState.EXPIRED), 150),
        (grant(state=ElevationState.REVOKED), 150),
        (grant(), 200),
        (grant(), 99),
    ],
)
def test_an_elevation_of_something_else_or_of_another_time_is_none(not_in_force, now):
    for verdict in (Verdict.ELEVATE, Verdict.CONFIRM):
        with pytest.raises(RefusedError):
            permit(considered(verdict), grant=not_in_force, now=now)


@pytest.mark.parametrize("verdict", list(Verdict))
def test_observing_stops_nothing_and_elevates_nothing(verdict):
    made = permit(considered(verdict, Effect.WRITE, observed=True), grant=grant())
    assert (made.account, made.read_only, made.elevation) == (Account.READ, False, "")


@pytest.mark.parametrize(
    ("effects", "read_only"),
    [
        ([Effect.READ], True),
        ([Effect.SESSION], True),
        ([Effect.READ, Effect.SESSION], True),
        ([Effect.READ, Effect.LOCK], False),
        ([Effect.READ, Effect.UNKNOWN], False),
        ([Effect.ADMIN], False),
    ],
)
def test_only_reads_run_read_only(effects, read_only):
    assert permit(considered(Verdict.ALLOW, *effects)).read_only is read_only


GRANTS = (
    st.builds(
        grant, text=st.sampled_from(["x", "x "]), server=st.sampled_from("st"), state=st.sampled_from(ElevationState)
    )
    | st.none()
)


@given(st.sampled_from(Verdict), st.sets(st.sampled_from(Effect), min_size=1), GRANTS, st.booleans(), st.floats(0, 300))
def test_the_elevated_account_is_never_reached_without_a_grant_in_force(verdict, effects, given_grant, confirmed, now):
    try:
        made = permit(considered(verdict, *effects), grant=given_grant, confirmed=confirmed, now=now)
    except RefusedError:
        return
    assert verdict is not Verdict.DENY
    in_force = given_grant and given_grant.state is ElevationState.GRANTED and 100 <= now < 200
    bound = given_grant and (given_grant.request.exact, given_grant.request.server) == (exact_of("x"), "s")
    assert (made.account is Account.ELEVATED) == (verdict is Verdict.ELEVATE)
    if verdict is Verdict.ELEVATE:
        assert in_force
        assert bound
    if verdict is Verdict.CONFIRM:
        assert confirmed or (in_force and bound)


OBJECTION = Estimate(asked=True, disagrees=True, objection="it writes", objection_code=1792)


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.CONFIRM])
def test_the_servers_contradiction_needs_an_elevation(verdict):
    decision = considered(verdict).decision
    stricter = with_disagreement(decision, OBJECTION, Route.PRIMARY)
    assert stricter.verdict is Verdict.ELEVATE
    assert stricter.rules == ("r", "server-disagrees")
    assert "it writes" in stricter.message


@pytest.mark.parametrize("verdict", [Verdict.ELEVATE, Verdict.DENY])
def test_it_never_loosens(verdict):
    decision = considered(verdict).decision
    assert with_disagreement(decision, OBJECTION, Route.PRIMARY) == decision


def test_a_plain_error_is_no_contradiction():
    decision = considered().decision
    assert with_disagreement(decision, replace(OBJECTION, disagrees=False), Route.PRIMARY) == decision


@pytest.mark.parametrize("verdict", [Verdict.ALLOW, Verdict.CONFIRM, Verdict.ELEVATE])
@pytest.mark.parametrize("route", [Route.REPLICA, Route.NONE])
def test_what_the_server_calls_no_read_never_runs_on_a_replica(verdict, route):
    stricter = with_disagreement(considered(verdict).decision, OBJECTION, route)
    assert (stricter.verdict, stricter.message) == (
        Verdict.DENY, "this was analysed as a read, but the server says: it writes",
    )  # fmt: skip
    assert "send it to the primary" in stricter.instead


def test_what_the_server_calls_no_read_does_not_run_as_one():
    made = permit(considered(Verdict.ELEVATE, estimate=OBJECTION), grant=grant())
    assert made.read_only is False


def asking(*values, lifts="limit-lifting-hint"):
    asks = tuple(Ask(limit="run_seconds", value=value, words=f"T({value})", lifts=lifts) for value in values)
    return Statement(text="x", kind="select", effects=frozenset({Effect.READ}), asks=asks)


def lenient(statement):
    """A policy that holds reads to 7 s, and denies what lifts a limit."""
    verdict = Verdict.DENY if statement.hazards else Verdict.ALLOW
    sources = ("run_seconds: r", "fetched_rows: session")
    return {}, Decision(verdict=verdict, rules=("r",), limits=Limits(run_seconds=7.0), limit_sources=sources)


@pytest.mark.parametrize("values, held", [((0.3,), 0.3), ((7,), 7), ((5, 0.3, 6), 0.3), ((), 7)])
def test_what_a_text_asks_for_at_or_under_what_is_in_force_holds(values, held):
    statement, _, decision = judged_as_asked(asking(*values), lenient)
    assert (statement.hazards, decision.verdict, decision.limits.run_seconds) == ((), Verdict.ALLOW, held)
    source = "run_seconds: statement" if held < 7 else "run_seconds: r"
    assert set(decision.limit_sources) == {source, "fetched_rows: session"}


@pytest.mark.parametrize("values", [(7.001,), (0.3, 30), (1e9,)])
def test_what_a_text_asks_for_over_what_is_in_force_lifts_a_limit(values):
    statement, _, decision = judged_as_asked(asking(*values), lenient)
    assert [hazard.id for hazard in statement.hazards] == ["limit-lifting-hint"]
    assert (decision.verdict, decision.limits.run_seconds) == (Verdict.DENY, 7)
    assert statement.hazards[0].why.startswith(f"T({max(values)}): ")


def test_two_forms_that_lift_a_limit_are_both_named():
    both = asking(30)
    both = replace(both, asks=(*both.asks, *asking(40, lifts="console-owned-setting").asks))
    statement, _, _ = judged_as_asked(both, lenient)
    assert [hazard.id for hazard in statement.hazards] == ["limit-lifting-hint", "console-owned-setting"]
