"""An elevation is asked, recorded, held for a while, and over."""

from types import SimpleNamespace

import pytest

from safeconsole.approvals.requests import LARGEST_BYTES, Approval
from safeconsole.policy.decision import Assessment, Decision
from safeconsole.session.elevation import ElevationEvent
from safeconsole.policy.decision import ElevationRequest, Scope, exact_of
from safeconsole.errors import AuditUnavailableError, RefusedError
from safeconsole.policy.limits import Limits
from safeconsole.config.identity import NameProof, Person
from safeconsole.policy.policy import ElevationSettings
from safeconsole.audit.record import Approved, ElevationChanged
from safeconsole.sqltext.redaction import LEFT_OUT
from safeconsole.policy.readings import Identity
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.session.context import SessionContext
from safeconsole.sqltext.vocabulary import Effect, NodeName, Route, Verdict
from safeconsole.session.elevation import Elevations
from safeconsole.session.context import People
from tests.harness.fakes import FakeClock, FakeConfirmer, FakeJournal, FakeSecond
from tests.session.conftest import PERSON, JUSTIFICATION, WRITE

STATEMENT = {"scope": Scope.STATEMENT, "digest": "d", "exact": exact_of("x"), "server": "s", "statement": 3}
AGENT = Person(name="ada", login="ada", groups=(), host="laptop", terminal=False, agent="robot")


class Told:
    """A notifier that keeps what it is told; `trouble` is why it does not deliver, or an interrupt."""

    def __init__(self, trouble=""):
        self.notices, self.trouble = [], trouble

    def notify(self, notice):
        self.notices.append(notice)

    def deliver(self, notice):
        if isinstance(self.trouble, BaseException):
            raise self.trouble
        return self.trouble

    def settle(self):
        return ()


def of_text(text, *effects):
    return Assessment(
        statement=Statement(text=text, kind="x", effects=frozenset(effects or {Effect.WRITE}), digest="d"),
        route=Route.PRIMARY,
        node=NodeName("primary"),
        identity=Identity(server="s", address="a"),
        estimate=Estimate(),
        decision=Decision(verdict=Verdict.ELEVATE, rules=(), limits=Limits()),
        evidence=("seen",),
    )


class Held:
    """Elevations with everything beside them."""

    def __init__(self, *, person=PERSON, second=None, notifier=None, governed=False, is_the_demo=bool, **settings):
        self.notifier = notifier
        self.events = []
        self.clock = FakeClock(100.0)
        self.journal = FakeJournal(self.events)
        self.confirmer = FakeConfirmer(self.events)
        self.elevations = Elevations(
            settings=ElevationSettings(**settings),
            context=SessionContext(cluster="shop", environment="staging", face="sql", person=person, governed=governed),
            journal=self.journal,
            clock=self.clock,
            people=People(
                confirmer=self.confirmer, second=second(self.events) if second else None, notifier=self.notifier
            ),
            is_the_demo=is_the_demo,
        )

    def ask(self, *answers, considered=None, sql="", **request):
        self.confirmer.answers = list(answers) or [True]
        if request.get("scope") is Scope.STATEMENT and considered is None:
            considered = of_text(sql)
        request = {"cluster": "shop", "scope": Scope.BREAK_GLASS, "reason": "why", "window_seconds": 60.0, **request}
        return self.elevations.ask(ElevationRequest(**request), considered, sql=sql)

    def states(self):
        return [(record.state, record.event) for record in self.journal.records if isinstance(record, ElevationChanged)]


def test_it_is_asked_answered_recorded_and_only_then_held():
    held = Held()
    grant = held.ask(ticket="T-1")
    assert [event[0] for event in held.events] == ["durable", "elevate", "durable"]
    assert held.states() == [("asked", "asked"), ("granted", "self-approved")]
    assert held.elevations.current() == grant
    assert (grant.id, grant.granted_seconds, grant.ends_seconds) == ("s1.1", 100.0, 160.0)
    record = held.journal.records[-1]
    assert (record.scope, record.cluster, record.reason, record.ticket) == ("break-glass", "shop", "why", "T-1")


def test_the_window_begins_with_the_answer_and_not_with_the_question():
    held = Held()

    def yes_after_a_while():
        held.clock.seconds += 30
        return True

    assert held.ask(yes_after_a_while).ends_seconds == 190.0


@pytest.mark.parametrize(
    ("answer", "event", "error"),
    [
        (False, "answered-no", RefusedError), (KeyboardInterrupt(), "interrupted", RefusedError),
        (BrokenPipeError(), "interrupted", BrokenPipeError),
    ],
)  # fmt: skip
def test_who_does_not_say_yes_is_not_elevated(answer, event, error):
    held = Held()
    with pytest.raises(error):
        held.ask(answer)
    assert held.elevations.current() is None
    assert held.states() == [("asked", "asked"), ("declined", event)]


@pytest.mark.parametrize("fails_at", [1, 2])
def test_what_cannot_be_recorded_is_not_granted(fails_at):
    held = Held()
    held.journal.fails_at = fails_at
    with pytest.raises(AuditUnavailableError):
        held.ask()
    assert held.elevations.current() is None
    assert held.elevations.remaining_seconds() == 0


@pytest.mark.parametrize(("passed", "left"), [(0.0, 60.0), (59.0, 1.0), (60.0, 0.0), (-1.0, 0.0)])
def test_it_holds_until_its_end_and_not_before_its_beginning(passed, left):
    """Time that runs backwards proves nothing, so it ends the elevation too."""
    held = Held()
    held.ask()
    held.clock.seconds += passed
    assert held.elevations.remaining_seconds() == left
    assert (held.elevations.current() is None) == (left == 0)
    if not left:
        assert held.states()[-1] == ("expired", "time-passed")
        assert held.elevations.remaining_seconds() == 0


def test_one_of_a_statement_covers_that_statement_on_that_server_only():
    held = Held()
    grant = held.ask(**STATEMENT)
    assert held.elevations.covering("x", "s") == grant
    for text, server in (("other", "s"), ("x", "other"), ("", ""), ("x", ""), ("x ", "s"), ("X", "s")):
        assert held.elevations.covering(text, server) is None
    assert held.journal.records[-1].statement == 3


def test_one_of_a_statement_ends_with_the_attempt_and_a_window_does_not():
    held = Held()
    held.ask(**STATEMENT)
    held.elevations.end_attempt()
    assert held.elevations.current() is None
    assert held.states()[-1] == ("expired", "attempt-over")
    window = held.ask()
    held.elevations.end_attempt()
    assert held.elevations.current() == window


def test_a_window_covers_every_statement():
    held = Held()
    grant = held.ask()
    assert held.elevations.covering("any", "server") == grant


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (ElevationEvent.STOOD_DOWN, "stood-down"), (ElevationEvent.FAILED_OVER, "revoked"),
        (ElevationEvent.SESSION_ENDED, "revoked"), (ElevationEvent.TIME_PASSED, "expired"),
    ],
)  # fmt: skip
def test_every_end_is_final_and_recorded_once(event, state):
    held = Held()
    held.ask()
    held.elevations.end(event)
    held.elevations.end(event)
    assert held.elevations.covering("any", "server") is None
    assert held.states()[2:] == [(state, event)]


def test_it_ends_even_when_that_cannot_be_recorded():
    held = Held()
    held.ask()
    held.journal.fails_at = 3
    with pytest.raises(AuditUnavailableError):
        held.elevations.end(ElevationEvent.STOOD_DOWN)
    assert held.elevations.current() is None


ALONE = {"staging": ("robot",)}


@pytest.mark.parametrize("alone", [{}, {"production": ("robot",)}, {"staging": ("ci", "no-terminal")}, {"staging": ()}])
def test_an_agent_elevates_by_itself_only_where_the_policy_names_it(alone):
    held = Held(person=AGENT, second=FakeSecond, agents_may_elevate=alone)
    assert held.elevations.needs_a_person
    with pytest.raises(RefusedError, match="robot"):
        held.ask(**STATEMENT)
    assert held.elevations.current() is None
    for trusted in ({"governed": True}, {"is_the_demo": lambda: True}):
        assert Held(person=AGENT, agents_may_elevate=ALONE, **trusted).ask()
        assert not Held(person=AGENT, agents_may_elevate=ALONE, **trusted).elevations.needs_a_person
        assert Held(person=AGENT, agents_may_elevate=alone, **trusted).elevations.needs_a_person
    # Whoever writes the configuration may name any environment in it, and any policy.
    assert Held(person=AGENT, agents_may_elevate=ALONE).elevations.needs_a_person


def test_no_window_is_opened_for_an_agent():
    held = Held(person=AGENT, second=FakeSecond)
    with pytest.raises(RefusedError, match="no window"):
        held.ask()
    assert held.events == []


def test_what_an_agent_asks_for_waits_for_somebody_else():
    told = Told()
    held = Held(person=AGENT, second=FakeSecond, notifier=told)
    with pytest.raises(RefusedError) as caught:
        held.ask(**STATEMENT, sql="UPDATE t SET a = 1")
    assert "one of grace, linus runs `safeconsole approve s1-1` before 03:33:20 UTC" in caught.value.instead
    (request,) = held.elevations._agreements._people.second.waiting
    assert (request.agent, request.sql, request.digest, request.server) == ("robot", "UPDATE t SET a = 1", "d", "s")
    assert held.states() == [("asked", "asked"), ("declined", "answered-no")]
    assert "second" not in [event[0] for event in held.events]
    assert ("waits for a person", "until 03:33:20 UTC: safeconsole approve s1-1", ("grace", "linus")) in [
        (each.what, each.detail, each.concerns) for each in told.notices
    ]


def test_what_somebody_approved_before_is_granted_to_the_agent_on_record():
    answered = (SimpleNamespace(id="s0.1"), Approval(request="h", approver="grace", key="k-1", signature=""))
    held = Held(person=AGENT, second=lambda events: FakeSecond(events, answered=answered))
    grant = held.ask(**STATEMENT)
    assert held.elevations.covering("x", "s") == grant
    approved = held.journal.records[1]
    assert (approved.approver, approved.request, approved.reason) == ("grace", "s1.1", "asked for as s0.1")
    held.elevations.use(of_text("x").statement, "x")
    with pytest.raises(RefusedError):
        held.ask(**STATEMENT)


@pytest.mark.parametrize(
    ("text", "shown", "carried"),
    [
        ("UPDATE t SET a = 1", "UPDATE t SET a = 1", True),
        ("UPDATE t SET a = 1 -- see the ticket", "UPDATE t SET a = 1", True),
        ("UPDATE t SET password = 'one'", "UPDATE t SET password = '<secret>'", False),
        ("UPDATE t SET a = 1 -- the password is one", "UPDATE t SET a = 1", False),
    ],
)
def test_an_earlier_approval_counts_for_the_exact_text_and_schema_and_not_where_something_is_hidden(
    text, shown, carried
):
    answered = (SimpleNamespace(id="s0.1"), Approval(request="h", approver="grace", key="k-1", signature=""))
    held = Held(second=lambda events: FakeSecond(events, answered=answered), two_persons=("write",))
    statement = STATEMENT | {"exact": exact_of(text), "schema": "shop"}
    held.ask(**statement, sql=shown, considered=of_text(text, Effect.WRITE))
    approved = next(record for record in held.journal.records if isinstance(record, Approved))
    assert (approved.reason == "asked for as s0.1", approved.statement) == (carried, 3)
    if not carried:
        (request,) = [event[1] for event in held.events if event[0] == "second"]
        assert (request.exact, request.schema) == ("", "shop")


@pytest.mark.parametrize("sql", ["CREATE USER u IDENTIFIED BY '<secret>'", LEFT_OUT])
def test_nobody_is_handed_what_they_cannot_read_whole(sql):
    held = Held(person=AGENT, second=FakeSecond)
    with pytest.raises(RefusedError, match="a statement with a secret"):
        held.ask(**STATEMENT, sql=sql)
    assert held.elevations._agreements._people.second.waiting == []


@pytest.mark.parametrize("person", [AGENT, PERSON])
def test_what_is_too_long_to_be_read_is_not_handed_to_anybody(person):
    held = Held(person=person, second=FakeSecond, two_persons=("write",))
    with pytest.raises(RefusedError, match="too long for a second person"):
        held.ask(**STATEMENT, sql="x" * LARGEST_BYTES, considered=considered(Effect.WRITE))
    assert held.states()[-1][0] == "declined"
    assert "second" not in [event[0] for event in held.events]


def test_an_agent_whom_nobody_could_approve_is_told_so():
    class Nobody(FakeSecond):
        def approvers(self, person):
            return ()

    held = Held(person=AGENT, second=Nobody)
    with pytest.raises(RefusedError, match="no approver is configured") as caught:
        held.ask(**STATEMENT)
    assert "ada runs it at a terminal" in caught.value.instead


@pytest.mark.parametrize("ticket", ["", "  "])
def test_a_ticket_is_needed_where_the_policy_says_so(ticket):
    held = Held(ticket_required=True)
    with pytest.raises(RefusedError, match="ticket"):
        held.ask(ticket=ticket)
    assert held.events == []
    assert held.ask(ticket="T-1")


def test_no_window_is_longer_than_the_policy_allows():
    held = Held(max_window_seconds=60.0)
    assert held.ask(window_seconds=60.0)
    for seconds in (60.1, float("inf")):
        with pytest.raises(RefusedError, match="60 s"):
            held.ask(window_seconds=seconds)


def test_ids_are_never_used_twice():
    held = Held()
    assert [held.ask().id, held.ask().id] == ["s1.1", "s1.2"]


# Two persons.


def considered(*effects):
    return of_text("x", *effects)


def test_a_second_person_is_asked_after_the_first_and_recorded_before_the_grant():
    held = Held(second=FakeSecond, two_persons=("ddl",))
    held.ask(**STATEMENT, considered=considered(Effect.DDL), sql="ALTER ?")
    assert [event[0] for event in held.events] == ["durable", "elevate", "second", "durable", "durable"]
    request, approved = held.events[2][1], held.journal.records[1]
    assert (request.id, request.sql, request.digest, request.node, request.person) == (
        "s1.1", "ALTER ?", "d", "primary", "ada",
    )  # fmt: skip
    assert (request.evidence, request.expires_epoch) == (("seen",), 2_000_000_000)
    assert (approved.approver, approved.answer, approved.key, approved.request) == ("grace", "approved", "k-1", "s1.1")
    assert held.states()[-1] == ("granted", "self-approved")


@pytest.mark.parametrize("sent", [True, False])
def test_an_approval_is_spent_by_what_is_sent_and_by_nothing_else(sent):
    asked = SimpleNamespace(id="s0.1")
    answered = (asked, Approval(request="h", approver="grace", key="k-1", signature=""))
    held = Held(person=AGENT, second=lambda events: FakeSecond(events, answered=answered))
    held.ask(**STATEMENT)
    if sent:
        held.elevations.use(of_text("x").statement, "x")
    held.elevations.end_attempt()
    held.elevations.end_attempt()
    assert [event[1] for event in held.events if event[0] == "given back"] == ([] if sent else [asked])
    told = [record.what for record in held.journal.records if hasattr(record, "what")]
    assert told == ([] if sent else ["approval given back"])


@pytest.mark.parametrize("sent", [True, False])
def test_an_approval_that_somebody_waited_for_is_spent_by_what_is_sent_too(sent):
    held = Held(second=FakeSecond, two_persons=("write",))
    held.ask(**STATEMENT | {"exact": "e"}, sql="x")
    (request,) = [event[1] for event in held.events if event[0] == "second"]
    if sent:
        held.elevations.use(of_text("x").statement, "x")
    held.elevations.end_attempt()
    assert [event[1] for event in held.events if event[0] == "given back"] == ([] if sent else [request])


def test_what_opens_a_window_is_used_by_that_and_what_was_not_opened_is_not():
    held = Held(second=FakeSecond, two_persons=("write",))
    held.ask()
    held.elevations.end_attempt()
    assert held.elevations.has_window
    assert not [event for event in held.events if event[0] == "given back"]
    untold = Held(second=FakeSecond, two_persons=("write",), notifier=Told("no route"), notice_required=True)
    with pytest.raises(RefusedError, match="no route"):
        untold.ask()
    assert [event[0] for event in untold.events if event[0] in {"second", "given back"}] == ["second", "given back"]


@pytest.mark.parametrize("holds_the_key", [False, True])
def test_one_person_is_not_two_by_the_word_of_sudo(holds_the_key):
    """Ann says that she is Ben, and approves as Ann: what tells them apart is the key of the name that she gives."""

    def second(events):
        made = FakeSecond(events)
        made.keys = {"ben"} if holds_the_key else {"ann"}
        return made

    said = Person(name="ben", login="root", groups=(), host="laptop", terminal=True, proof=NameProof.SUDO_USER)
    held = Held(person=said, second=second, two_persons=("write",))
    if holds_the_key:
        assert held.ask().state == "granted"
        return
    with pytest.raises(RefusedError, match="SUDO_USER says that ben asks"):
        held.ask()
    assert held.states()[-1] == ("declined", "answered-no")
    assert not any(isinstance(record, Approved) for record in held.journal.records)


@pytest.mark.parametrize("earlier", [False, True])
def test_who_asks_under_another_name_is_no_second_person(earlier):
    """SUDO_USER can be set by anybody; the account that the console runs as cannot."""
    hidden = Person(name="zed", login="grace", groups=(), host="laptop", terminal=True)
    answer = Approval(request="h", approver="grace", key="k-1", signature="")
    asked = SimpleNamespace(id="s0.1")
    held = Held(
        person=hidden,
        second=lambda events: FakeSecond(events, answered=(asked, answer) if earlier else None),
        two_persons=("write",),
    )
    with pytest.raises(RefusedError, match="grace is the account that asks"):
        held.ask()
    assert held.states()[-1] == ("declined", "answered-no")
    assert not any(isinstance(record, Approved) for record in held.journal.records)


def test_a_second_person_is_not_asked_for_what_the_policy_leaves_to_one():
    held = Held(second=FakeSecond, two_persons=("ddl",))
    assert held.ask(**STATEMENT, considered=considered(Effect.WRITE))
    assert "second" not in [event[0] for event in held.events]


@pytest.mark.parametrize("scope", [{}, {"considered": considered(Effect.WRITE)}])
def test_a_window_needs_whatever_any_statement_in_it_could_need(scope):
    held = Held(second=FakeSecond, two_persons=("ddl",))
    held.ask(**scope)
    request = held.events[2][1]
    assert (request.sql, request.digest, request.node, request.evidence) == ("", "", "", ())


@pytest.mark.parametrize(
    "second", [None, lambda events: FakeSecond(events, refusal=RefusedError("declined"))], ids=["nobody", "declined"]
)
def test_without_the_second_persons_yes_nothing_is_granted(second):
    held = Held(second=second, two_persons=("write",))
    with pytest.raises(RefusedError):
        held.ask()
    assert held.elevations.current() is None
    assert held.states() == [("asked", "asked"), ("declined", "answered-no")]


def unapproved(events):
    return FakeSecond(events, refusal=RefusedError("no second person approved it"))


def test_a_second_person_is_left_out_only_where_the_policy_says_so_and_everybody_is_told():
    told = Told()
    held = Held(second=unapproved, notifier=told, two_persons=("write",), approval_may_be_skipped=True)
    assert held.ask(True, True)
    assert [event[0] for event in held.events] == ["durable", "elevate", "second", "skip", "durable", "durable"]
    skipped = held.journal.records[1]
    assert (skipped.answer, skipped.approver, skipped.request, skipped.key, skipped.reason) == (
        "skipped", "grace, linus", "s1.1", "", "why",
    )  # fmt: skip
    assert ("approval skipped", "not waited for grace, linus", ("grace", "linus")) in [
        (each.what, each.detail, each.concerns) for each in told.notices
    ]


@pytest.mark.parametrize(
    ("answer", "person", "settings"),
    [
        (True, PERSON, {}),
        (False, PERSON, {"approval_may_be_skipped": True}),
        (KeyboardInterrupt(), PERSON, {"approval_may_be_skipped": True}),
        (
            True,
            AGENT,
            {"approval_may_be_skipped": True, "agents_may_elevate": {"staging": ("robot",)}, "governed": True},
        ),
    ],
    ids=["policy", "answer", "interrupt", "agent"],
)
def test_a_second_person_is_not_left_out_otherwise(answer, person, settings):
    held = Held(person=person, second=unapproved, two_persons=("write",), **settings)
    with pytest.raises(RefusedError):
        held.ask(True, answer)
    assert held.elevations.current() is None
    assert held.states()[-1][0] == "declined"


def test_the_second_person_of_a_window_is_shown_the_nodes_too():
    held = Held(second=FakeSecond, two_persons=("ddl",))
    held.ask(evidence=("node: primary",))
    assert held.events[2][1].evidence == ("node: primary",)


def test_an_approval_that_does_not_count_is_no_reason_to_leave_the_journal_without_an_end():
    held = Held(second=lambda events: FakeSecond(events, refusal=KeyboardInterrupt()), two_persons=("write",))
    with pytest.raises(RefusedError, match="interrupted"):
        held.ask()
    assert held.states()[-1] == ("declined", "interrupted")


def test_a_new_grant_ends_the_one_before_it_on_record():
    held = Held()
    held.ask()
    held.ask()
    assert held.states()[1:] == [
        ("granted", "self-approved"), ("asked", "asked"), ("stood-down", "stood-down"), ("granted", "self-approved"),
    ]  # fmt: skip


def test_an_approval_that_cannot_be_recorded_grants_nothing():
    held = Held(second=FakeSecond, two_persons=("write",))
    held.journal.fails_at = 2
    with pytest.raises(AuditUnavailableError):
        held.ask()
    assert held.elevations.current() is None


# Notices.


@pytest.mark.parametrize(
    ("trouble", "event"), [("webhook: timed out", "answered-no"), (KeyboardInterrupt(), "interrupted")]
)
def test_what_must_be_told_first_and_is_not_is_not_granted(trouble, event):
    held = Held(notifier=Told(trouble), notice_required=True)
    with pytest.raises(RefusedError):
        held.ask()
    assert held.elevations.current() is None
    assert held.states()[-1] == ("declined", event)
    assert "granted" not in [each.what for each in held.notifier.notices]


def test_without_a_notifier_nothing_that_must_be_told_is_granted():
    with pytest.raises(RefusedError, match="none is configured"):
        Held(notice_required=True).ask()


def test_others_are_told_of_every_step_after_it_is_on_disk():
    held = Held(notifier=Told())
    held.ask()
    held.elevations.use(of_text("x").statement, "UPDATE t SET a = 1")
    held.elevations.end(ElevationEvent.STOOD_DOWN)
    assert [(each.what, each.detail) for each in held.notifier.notices] == [
        ("asked", ""), ("granted", ""), ("used", "UPDATE t SET a = 1"), ("ended (stood-down)", ""),
    ]  # fmt: skip


def test_using_what_is_not_held_tells_nobody():
    told = Told()
    held = Held(notifier=told)
    held.elevations.use(of_text("x").statement, "SELECT 1")
    assert (told.notices, held.events) == ([], [])


def test_where_others_must_be_told_first_a_notice_that_arrived_is_enough():
    assert Held(notifier=Told(), notice_required=True).ask()


def test_a_session_that_broke_the_glass_asks_for_its_closing_note_when_it_ends(walk):
    road = walk()
    road.elevate()
    road.gate.stand_down()
    (owed,) = road.gate.close()
    assert "safeconsole audit review s1 --note TEXT" in owed
    assert walk().gate.close() == ()


def test_an_elevation_for_one_statement_owes_no_note(walk):
    road = walk(justification=JUSTIFICATION)
    road.answers(True)
    road.run(WRITE)
    assert road.gate.close() == ()
