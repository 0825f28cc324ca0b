"""Two consoles on one cluster do whatever they like; nothing elevated is sent without a grant that is on disk and in force."""

from random import Random
from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from msgspec.structs import replace

from safeconsole.approvals.requests import Approval
from safeconsole.policy.decision import Scope
from safeconsole.errors import AuditUnavailableError, OutcomeUnknownError, RefusedError, SafeConsoleError
from safeconsole.audit.record import Approved, Confirmed, ElevationChanged, Intent
from safeconsole.session.context import SessionContext
from safeconsole.sqltext.vocabulary import Account, Role
from safeconsole.session.session import Session
from safeconsole.session.context import People
from tests.harness.fakes import (
    FakeClock,
    FakeConfirmer,
    FakeEngine,
    FakeJournal,
    FakeFace,
    FakeSecond,
    Planned,
    three_nodes,
)
from tests.session.conftest import (
    ASKED,
    CLOSED,
    HELD,
    OTHER_WRITE,
    PERSON,
    JUSTIFICATION,
    READ,
    RULES,
    WRITE,
    policy_of,
)

WIDER = (WRITE.replace("= 1", "< 4000"), WRITE.replace("1", "2"), f"{WRITE} ", f"{WRITE} -- all of them")
"""What shares its digest with `WRITE`, and is another statement."""

TEXTS = (
    READ,
    ASKED,
    HELD,
    CLOSED,
    WRITE,
    *WIDER,
    OTHER_WRITE,
    "ALTER TABLE orders ADD COLUMN a INT",
    "DROP TABLE orders",
)
ANSWERS = st.lists(st.sampled_from([*[True] * 20, False, KeyboardInterrupt()]), min_size=2, max_size=3)
SECOND = st.sampled_from([None, None, RefusedError("nobody approved it"), KeyboardInterrupt()])
FAILS_IN = st.sampled_from([0] * 60 + list(range(1, 8)))
"""Which of the next records cannot be written; 0 for none."""

EARLIER = st.sampled_from([None, None, Approval(request="h", approver="grace", key="k-1", signature="")])
"""What a second person answered to what an agent put down before."""

ELEVATION = {"two_persons": ["ddl"], "approval_may_be_skipped": True, "window_seconds": 60}
BRAKE = {"id": "brake", "when": "stmt.kind in ['delete', 'drop table']", "brake": True, "message": "this goes"}
POLICY = policy_of(elevation=ELEVATION, rules=[*RULES, BRAKE])
NIGHT = {"id": "night", "when": "stmt.kind == 'delete'", "then": "deny", "message": "not at night"}
STRICTER = replace(policy_of(elevation=ELEVATION, rules=[*RULES, BRAKE, NIGHT]), hash="cd" * 32)
ANOTHER = replace(POLICY, hash="ef" * 32)
AGENT = replace(PERSON, agent="robot", terminal=False)


class Shelf:
    """The policy's file, which somebody may change."""

    def __init__(self):
        self.policy = POLICY


class Console:
    """One session, and what its journal says is in force, read from the journal alone."""

    def __init__(self, name, nodes, clock, justification, *, shelf, agent=False):
        self.events, self.clock, self.shelf, self.agent = [], clock, shelf, agent
        self.begun = shelf.policy
        self.journal = FakeJournal(self.events)
        self.journal.session = name
        self.engine = FakeEngine(clock, self.events, nodes=nodes)
        self.confirmer, self.second = FakeConfirmer(self.events), FakeSecond(self.events)
        self.gate = Session(
            context=SessionContext(
                cluster="shop",
                environment="staging",
                face="sql",
                person=AGENT if agent else PERSON,
                schema="shop",
                justification=justification,
            ),
            policy=self.begun,
            reread=lambda: shelf.policy,
            engine=self.engine,
            journal=self.journal,
            clock=clock,
            people=People(confirmer=self.confirmer, second=self.second),
        )
        self.granted_text = {}
        self.name, self.live, self.used, self.asked, self.approved = name, {}, None, set(), set()
        self.read_so_far, self.intent, self.question, self.said = 0, None, "", {}
        self.confirmed, self.primary_at = None, {}
        self.troubles = 0

    def attempt(self, act, *, answers, second, fails_in, earlier=None):
        """Do something with answers planned, and hold the journal to what was sent in between."""
        self.second.answered = (SimpleNamespace(id="s0.1"), earlier) if earlier and self.agent else None
        self.confirmer.answers, self.second.refusal = list(answers), second
        self.journal.fails_at = self.journal.appended + fails_in if fails_in else None
        try:
            act()
        except AuditUnavailableError:
            self.troubles += 1
        except (SafeConsoleError, KeyboardInterrupt):
            pass
        finally:
            self.read()

    def read(self):
        for event in self.events[self.read_so_far :]:
            if event[0] == "durable":
                self._recorded(event[1])
            elif event[0] == "sent":
                self._sent(event[1])
            elif event[0] in {"elevate", "skip", "confirm"}:
                self.question = event[0]
                if event[0] == "elevate":
                    self.shown = event[2].statement.text if event[2] else ""
            elif event[0] == "answered":
                self.said[self.question] = event[1]
        self.read_so_far = len(self.events)
        # Whatever became of the attempt, what was granted for it is over; a journal that failed says nothing more.
        if not self.troubles:
            assert all(record.scope == Scope.BREAK_GLASS for record, _ in self.live.values())

    def _recorded(self, record):
        match record:
            case Intent():
                self.intent = record
            case Confirmed(answer="yes"):
                # A yes that is on record is the person's own, and for one statement.
                assert self.said.get("confirm") is True
                self.confirmed = record.statement
            case Approved():
                self.approved.add(record.request)
            case ElevationChanged(state="asked"):
                self.asked.add(record.id)
                self.said = {}
            case ElevationChanged(state="granted"):
                assert record.id in self.asked
                assert self.shelf.policy is self.begun
                assert not self.agent or record.scope == Scope.STATEMENT
                assert self.said.get("elevate") is True
                assert self.said.get("skip", True) is True
                assert record.id.startswith(self.name)
                self.live[record.id] = (record, self.clock.seconds)
                self.granted_text[record.id] = self.shown
                self.primary_at[record.id] = {node.server for node in self.engine.nodes if node.role is Role.PRIMARY}
            case ElevationChanged():
                ended = self.live.pop(record.id, None)
                self.used = ended if record.event == "used" else None

    def _sent(self, permit):
        assert self.intent is not None
        assert (self.intent.digest, self.intent.elevation) == (permit.statement.digest, permit.elevation)
        needs_grant = permit.account is Account.ELEVATED or not permit.read_only or permit.elevation
        intent, used = self.intent, self.used
        self.intent, self.used = None, None
        if "delete" in permit.statement.kind:
            assert self.shelf.policy is not STRICTER
        if not needs_grant:
            return
        assert self.shelf.policy is self.begun
        record, began = self.live.get(permit.elevation) or used
        assert record.id == permit.elevation
        assert began <= self.clock.seconds < began + record.window_seconds
        if record.scope == Scope.STATEMENT:
            assert (record.digest, record.server) == (permit.statement.digest, permit.identity.server)
            # What was shown with the question is what is sent, to the letter, and the journal says which it was.
            assert self.granted_text[record.id] == permit.statement.text
            assert record.statement == intent.statement
        if record.scope == Scope.BREAK_GLASS:
            # Whatever was lost and opened anew since: it is the server that the window was opened for.
            assert permit.read_only or permit.identity.server in self.primary_at[record.id]
            braked = permit.statement.kind in {"delete", "drop table"}
            assert not braked or self.confirmed == intent.statement
        if record.scope == Scope.BREAK_GLASS or "ddl" in permit.statement.effects or self.agent:
            assert record.id in self.approved


class Consoles(RuleBasedStateMachine):
    @initialize(pleas=st.tuples(st.booleans(), st.booleans()))
    def open(self, pleas):
        self.clock, self.nodes, self.opened, self.shelf = FakeClock(), three_nodes(), 2, Shelf()
        self.consoles = [
            Console(f"s{number}", self.nodes, self.clock, JUSTIFICATION if justification else None, shelf=self.shelf)
            for number, justification in enumerate(pleas)
        ]

    @rule(
        which=st.integers(0, 1), text=st.sampled_from(TEXTS), answers=ANSWERS, second=SECOND,
        fails_in=FAILS_IN, breaks=st.sampled_from([*[False] * 5, True]),
        passes=st.sampled_from([0.0, 0.0, 0.0, 61.0, -5.0]), earlier=EARLIER, restarts=st.booleans(),
    )  # fmt: skip
    def run(self, which, text, answers, second, fails_in, breaks, passes, earlier, restarts):  # noqa: PLR0913
        console = self._console(which)
        (statement,) = console.gate.split(text)
        lost = Planned(refusal=OutcomeUnknownError("the connection broke"))
        console.engine.answers = {text: lost} if breaks else {}
        # Time passes while the person reads the question.
        late = [self._late(console, passes, answer, restarts=restarts) for answer in answers]
        console.attempt(
            lambda: FakeFace(console.events).run(console.gate, statement),
            answers=late, second=second, fails_in=fails_in, earlier=earlier,
        )  # fmt: skip

    def _late(self, console, seconds, answer, *, restarts=False):
        def say():
            self.clock.seconds += seconds
            if restarts:
                # What was granted does not reach the server.
                self.restart(0)
            console.events.append(("answered", answer))
            return answer

        return say

    @rule(
        which=st.integers(0, 1), answers=ANSWERS, second=SECOND,
        fails_in=FAILS_IN, window=st.sampled_from([1.0, 60.0, 60.0, 60.0, 60.0, 3600.0, 1e9]),
        earlier=EARLIER,
    )  # fmt: skip
    def elevate(self, which, answers, second, fails_in, window, earlier):
        console = self._console(which)
        console.attempt(
            lambda: console.gate.elevate(reason="incident 7", window_seconds=window),
            answers=[self._late(console, 0.0, answer) for answer in answers], second=second, fails_in=fails_in,
            earlier=earlier,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), fails_in=st.sampled_from([0, 1]))
    def stand_down(self, which, fails_in):
        console = self.consoles[which]
        console.attempt(console.gate.stand_down, answers=(), second=None, fails_in=fails_in)
        assert console.gate.status().elevated_seconds == 0

    @rule(which=st.integers(0, 1), justification=st.booleans(), agent=st.booleans())
    def leave_and_come_back(self, which, justification, agent):
        self._reopen(which, justification, agent)

    @rule(policy=st.sampled_from([POLICY, STRICTER, ANOTHER]))
    def change_the_policy(self, policy):
        self.shelf.policy = policy

    def _console(self, which):
        # A session whose journal failed sends nothing more; we look at that once, and open another.
        if self.consoles[which].troubles > 1:
            self._reopen(which, self.consoles[which].gate.context.justification is not None, self.consoles[which].agent)
        return self.consoles[which]

    def _reopen(self, which, justification, agent):
        self.consoles[which].gate.close()
        self.consoles[which].read()
        self.opened += 1
        self.consoles[which] = Console(
            f"s{self.opened}",
            self.nodes,
            self.clock,
            JUSTIFICATION if justification else None,
            shelf=self.shelf,
            agent=agent,
        )

    @rule(seconds=st.sampled_from([0.5, 10.0, 59.0, 61.0, 4000.0, -1.0, -30.0, -5000.0]))
    def time_passes_or_runs_backwards(self, seconds):
        self.clock.seconds += seconds

    @rule()
    def fail_over(self):
        roles = [node.role for node in self.nodes]
        for node, role in zip(self.nodes, roles[-1:] + roles[:-1], strict=True):
            node.role = role

    @rule(node=st.integers(0, 2))
    def restart(self, node):
        self.nodes[node].server += "'"

    @invariant()
    def a_console_is_elevated_only_while_its_own_journal_says_so(self):
        for console in getattr(self, "consoles", ()):
            left = console.gate.status().elevated_seconds
            console.read()
            if left > 0:
                ((record, began),) = console.live.values()
                assert left <= record.window_seconds - (self.clock.seconds - began)

    @invariant()
    def there_is_one_primary(self):
        assert [node.role for node in getattr(self, "nodes", three_nodes())].count(Role.PRIMARY) == 1


Consoles.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestConsoles = Consoles.TestCase


def at_random(chance):
    """One step of a busy night, as `Consoles` takes them: mostly people who ask, and say yes."""
    which, yes = chance.randrange(2), [True] * 19 + [False]
    answers = [chance.choice(yes), chance.choice(yes), True]
    fails_in = chance.randrange(1, 8) if chance.random() < 0.02 else 0
    second = RefusedError("nobody approved it") if chance.random() < 0.2 else None
    answered = Approval(request="h", approver="grace", key="k-1", signature="") if chance.random() < 0.5 else None
    asked = {"which": which, "answers": answers, "second": second, "fails_in": fails_in, "earlier": answered}
    steps = [
        (60, "run", {
            **asked, "text": chance.choice(TEXTS), "breaks": chance.random() < 0.05,
            "passes": chance.choice([0.0] * 8 + [61.0, -5.0]), "restarts": chance.random() < 0.05,
        }),
        (15, "elevate", {**asked, "window": chance.choice([1.0, 60.0, 60.0, 1e9])}),
        (3, "stand_down", {"which": which, "fails_in": 0}),
        (10, "leave_and_come_back", {"which": which, "justification": chance.random() < 0.7, "agent": chance.random() < 0.4}),
        (4, "change_the_policy", {"policy": chance.choice([POLICY, POLICY, STRICTER, ANOTHER])}),
        (5, "time_passes_or_runs_backwards", {"seconds": chance.choice([0.5, 10.0, 59.0, 61.0, -1.0, -5000.0])}),
        (2, "fail_over", {}),
        (1, "restart", {"node": chance.randrange(3)}),
    ]  # fmt: skip
    ((_, name, given),) = chance.choices(steps, weights=[weight for weight, _, _ in steps])
    return name, given


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_nothing_elevated_goes_out_on_a_busy_night_without_a_grant_on_disk(seed):
    """The machine above looks for small failures; this one gets far into a session, where elevations are held and lost."""
    chance, night = Random(seed), Consoles()
    night.open(pleas=(True, False))
    for _ in range(80):
        name, given = at_random(chance)
        getattr(night, name)(**given)
        night.a_console_is_elevated_only_while_its_own_journal_says_so()
        night.there_is_one_primary()
