"""Two consoles on one cluster do whatever they like; nothing elevated is sent without a grant that is on disk and in force."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from safeconsole.core.elevation import Scope
from safeconsole.core.errors import AuditUnavailableError, OutcomeUnknownError, RefusedError, SafeConsoleError
from safeconsole.core.record import Approved, ElevationChanged, Intent
from safeconsole.core.visit import Visit
from safeconsole.core.vocabulary import Account, Role
from safeconsole.gate import Gate
from safeconsole.interfaces import People
from tests.fakes import (
    FakeClock,
    FakeConfirmer,
    FakeEngine,
    FakeJournal,
    FakePresenter,
    FakeSecond,
    Planned,
    three_nodes,
)
from tests.gate.conftest import ASKED, CLOSED, HELD, OTHER_WRITE, PERSON, PLEA, READ, WRITE, policy_of

TEXTS = (READ, ASKED, HELD, CLOSED, WRITE, OTHER_WRITE, "ALTER TABLE orders ADD COLUMN a INT", "DROP TABLE orders")
ANSWERS = st.lists(st.sampled_from([*[True] * 20, False, KeyboardInterrupt()]), min_size=2, max_size=3)
SECOND = st.sampled_from([None, None, RefusedError("nobody approved it"), KeyboardInterrupt()])
FAILS_IN = st.sampled_from([0] * 60 + list(range(1, 8)))
"""Which of the next records cannot be written; 0 for none."""

POLICY = policy_of(elevation={"two_persons": ["ddl"], "approval_may_be_skipped": True, "window_seconds": 60})


class Console:
    """One session, and what its journal says is in force, read from the journal alone."""

    def __init__(self, name, nodes, clock, plea):
        self.events, self.clock = [], clock
        self.journal = FakeJournal(self.events)
        self.journal.session = name
        self.engine = FakeEngine(clock, self.events, nodes=nodes)
        self.confirmer, self.second = FakeConfirmer(self.events), FakeSecond(self.events)
        self.gate = Gate(
            visit=Visit(cluster="shop", environment="staging", face="sql", person=PERSON, schema="shop", plea=plea),
            policy=POLICY,
            engine=self.engine,
            journal=self.journal,
            clock=clock,
            people=People(confirmer=self.confirmer, second=self.second),
        )
        self.name, self.live, self.used, self.asked, self.approved = name, {}, None, set(), set()
        self.read_so_far, self.intent, self.question, self.said = 0, None, "", {}
        self.troubles = 0

    def attempt(self, act, *, answers, second, fails_in):
        """Do something with answers planned, and hold the journal to what was sent in between."""
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
            elif event[0] == "answered":
                self.said[self.question] = event[1]
        self.read_so_far = len(self.events)

    def _recorded(self, record):
        match record:
            case Intent():
                self.intent = record
            case Approved():
                self.approved.add(record.request)
            case ElevationChanged(state="asked"):
                self.asked.add(record.id)
                self.said = {}
            case ElevationChanged(state="granted"):
                assert record.id in self.asked
                assert self.said.get("elevate") is True
                assert self.said.get("skip", True) is True
                assert record.id.startswith(self.name)
                self.live[record.id] = (record, self.clock.seconds)
            case ElevationChanged():
                ended = self.live.pop(record.id, None)
                self.used = ended if record.event == "used" else None

    def _sent(self, permit):
        assert self.intent is not None
        assert (self.intent.digest, self.intent.elevation) == (permit.statement.digest, permit.elevation)
        needs_grant = permit.account is Account.ELEVATED or not permit.read_only or permit.elevation
        self.intent, used, self.used = None, self.used, None
        if not needs_grant:
            return
        record, began = self.live.get(permit.elevation) or used
        assert record.id == permit.elevation
        assert began <= self.clock.seconds < began + record.window_seconds
        if record.scope == Scope.STATEMENT:
            assert (record.digest, record.server) == (permit.statement.digest, permit.identity.server)
        if record.scope == Scope.BREAK_GLASS or "ddl" in permit.statement.effects:
            assert record.id in self.approved


class Consoles(RuleBasedStateMachine):
    @initialize(pleas=st.tuples(st.booleans(), st.booleans()))
    def open(self, pleas):
        self.clock, self.nodes, self.opened = FakeClock(), three_nodes(), 2
        self.consoles = [
            Console(f"s{number}", self.nodes, self.clock, PLEA if plea else None) for number, plea in enumerate(pleas)
        ]

    @rule(
        which=st.integers(0, 1), text=st.sampled_from(TEXTS), answers=ANSWERS, second=SECOND,
        fails_in=FAILS_IN, breaks=st.sampled_from([*[False] * 5, True]),
        passes=st.sampled_from([0.0, 0.0, 0.0, 61.0, -5.0]),
    )  # fmt: skip
    def run(self, which, text, answers, second, fails_in, breaks, passes):
        console = self._console(which)
        (statement,) = console.gate.split(text)
        lost = Planned(refusal=OutcomeUnknownError("the connection broke"))
        console.engine.answers = {text: lost} if breaks else {}
        # Time passes while the person reads the question.
        late = [self._late(console, passes, answer) for answer in answers]
        console.attempt(
            lambda: console.gate.run(statement, FakePresenter(console.events)),
            answers=late, second=second, fails_in=fails_in,
        )  # fmt: skip

    def _late(self, console, seconds, answer):
        def say():
            self.clock.seconds += seconds
            console.events.append(("answered", answer))
            return answer

        return say

    @rule(
        which=st.integers(0, 1), answers=ANSWERS, second=SECOND,
        fails_in=FAILS_IN, window=st.sampled_from([1.0, 60.0, 60.0, 60.0, 60.0, 3600.0, 1e9]),
    )  # fmt: skip
    def elevate(self, which, answers, second, fails_in, window):
        console = self._console(which)
        console.attempt(
            lambda: console.gate.elevate(reason="incident 7", window_seconds=window),
            answers=[self._late(console, 0.0, answer) for answer in answers], second=second, fails_in=fails_in,
        )  # fmt: skip

    @rule(which=st.integers(0, 1), fails_in=st.sampled_from([0, 1]))
    def stand_down(self, which, fails_in):
        console = self.consoles[which]
        console.attempt(console.gate.stand_down, answers=(), second=None, fails_in=fails_in)
        assert console.gate.status().elevated_seconds == 0

    @rule(which=st.integers(0, 1), plea=st.booleans())
    def leave_and_come_back(self, which, plea):
        self._reopen(which, plea)

    def _console(self, which):
        # A session whose journal failed sends nothing more; we look at that once, and open another.
        if self.consoles[which].troubles > 1:
            self._reopen(which, self.consoles[which].gate.visit.plea is not None)
        return self.consoles[which]

    def _reopen(self, which, plea):
        self.consoles[which].gate.close()
        self.consoles[which].read()
        self.opened += 1
        self.consoles[which] = Console(f"s{self.opened}", self.nodes, self.clock, PLEA if plea else None)

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
