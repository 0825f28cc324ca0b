"""
A cluster, a journal, a clock and a person for tests of the road: no mock library, faults are planned.

Everything that happens goes into one list of events, so that a test can say what came before what.
The engine passes the contract of the real ones (`tests/contract`).
"""

import threading
import time
from dataclasses import dataclass, field

from safeconsole.audit.journal import happened
from safeconsole.dialects import DIALECTS
from safeconsole.approvals.requests import Approval, Waiting
from safeconsole.errors import (
    AuditUnavailableError,
    ConfigurationError,
    RefusedError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.literal_rules import LiteralKey
from safeconsole.policy.readings import Identity, Reading
from safeconsole.sqltext.statement import Estimate
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName, Role
from safeconsole.policy.watchdog import Sample
from safeconsole.cluster.engine import Column, Completion

RULES = LexicalRules(dialect=DIALECTS[Flavour.MYSQL], version=80_400)
READ_ONLY_ERROR = 1792


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self, seconds=1000.0):
        self.seconds = seconds

    def monotonic(self):
        return self.seconds

    def pass_by(self, seconds):
        self.seconds += seconds

    def utc(self):
        return "2026-01-01T00:00:00.000000Z"


class FakeJournal:
    """
    Keeps its records in the list of events.

    Attributes:
        fails_at: number of the append that fails, counted from 1, or None; later ones succeed again, as on a disk that
            had no space for a moment.
        appended: how many appends were asked for.
    """

    session = "s1"
    literal_key = LiteralKey(secret=b"the fake journal's literal key")

    def __init__(self, events):
        self.events = events
        self.fails_at = None
        self.appended = 0
        self.owed = []
        self.closed = False

    def append(self, record, *, durable=False):
        self.appended += 1
        if self.appended == self.fails_at:
            self.events.append(("append failed", record))
            self.owed += [record] if happened(record) else []
            raise AuditUnavailableError("the audit journal cannot be written: no space left", instead="free space")
        self.events += [("durable", late) for late in self.owed]
        self.owed.clear()
        self.events.append(("durable" if durable else "append", record))

    def keep_rows(self, change):
        self.events.append(("kept", change))

    def close(self):
        self.closed = True

    @property
    def records(self):
        return [event[1] for event in self.events if event[0] in {"append", "durable"}]


class FakeConfirmer:
    """Gives planned answers in order: True, False, an exception to raise, or a function to call for one of these."""

    def __init__(self, events):
        self.events = events
        self.answers = []

    def confirm(self, considered):
        return self._answer("confirm", considered)

    def elevate(self, request, considered):
        return self._answer("elevate", request, considered)

    def show_approval(self, code, request):
        self.events.append(("shown code", request))

    def paste_approval(self, code, request):
        return self._answer("paste", request)

    def skip_approval(self, request, skipped):
        return self._answer("skip", skipped)

    def _answer(self, what, *about):
        self.events.append((what, *about))
        answer = self.answers.pop(0) if self.answers else False
        answer = answer() if callable(answer) else answer
        if isinstance(answer, BaseException):
            raise answer
        return answer


class FakeSecond:
    """A second person who approves whatever they are asked, or raises the planned refusal; `answered` is an earlier yes."""

    def __init__(self, events, *, refusal=None, answered=None):
        self.events = events
        self.refusal = refusal
        self.answered = answered
        self.waiting, self.keys = [], set()

    def expiry(self):
        return 2_000_000_000

    def approvers(self, person):
        return ("grace", "linus")

    def how(self, person, waiting):
        return f"one of grace, linus runs `safeconsole approve {waiting.code}`"

    def holds_key_of(self, person):
        return person in self.keys

    def earlier(self, request):
        found, self.answered = self.answered, None
        return found

    def give_back(self, request, approval):
        self.events.append(("given back", request))

    def put_down(self, request):
        self.events.append(("put down", request))
        self.waiting.append(request)
        return Waiting(request=request, code="s1-1", by_hand=False)

    def approve(self, request):
        self.events.append(("second", request))
        if self.refusal is not None:
            raise self.refusal
        return Approval(request="hash", approver="grace", key="k-1", signature="")


class FakeFace:
    """
    Pulls a result as a face does and keeps what it is shown.

    `faults` maps "begin", "rows", "waits" or "end" to an exception that it raises there.
    """

    def __init__(self, events=None, *, faults=None, as_text=False):
        self.events = [] if events is None else events
        self.faults = faults or {}
        self.as_text = as_text
        self.columns, self.shown, self.samples, self.waited, self.ended = (), [], [], [], None
        self.warnings = ()

    def run(self, session, statement, **how):
        """Take a statement down the road and show its result; returns the record of its end."""
        result = session.execute(statement, as_text=self.as_text, progress=self.progress, **how)
        try:
            with result:
                self.begin(result.considered, result.columns)
                for batch in result:
                    self.rows(batch)
        finally:
            self.warnings = result.warnings
            self.end(result.ended)
        return result.ended

    def begin(self, considered, columns):
        self._fail("begin")
        self.events.append(("begin", considered))
        self.columns = columns

    def rows(self, batch):
        self._fail("rows")
        self.shown += batch

    def progress(self, what):
        if isinstance(what, str):
            self._fail("waits")
            self.waited.append(what)
        else:
            self.samples.append(what)

    def end(self, ended):
        self.ended = ended
        self.events.append(("shown", ended))
        self._fail("end")

    def _fail(self, where):
        if where in self.faults:
            raise self.faults[where]


@dataclass
class FakeNode:
    """
    One server.

    Attributes:
        server: its identity; two nodes never share one.
        unreachable: why it cannot be measured, or "".
        refuses: accounts whose connections are refused.
        rules: how it reads text.
        enters: whether its connections can be taken to another schema.
    """

    name: str
    role: Role
    server: str
    lag_seconds: float | None = 0.0
    replicating: bool = True
    unreachable: str = ""
    refuses: frozenset = frozenset()
    tags: frozenset = frozenset()
    rules: LexicalRules = RULES
    enters: bool = False

    def reading(self, seconds):
        if self.unreachable:
            return Reading(node=NodeName(self.name), unreachable=self.unreachable, measured_seconds=seconds)
        replica = self.role is Role.REPLICA
        return Reading(
            node=NodeName(self.name),
            role=self.role,
            proof=f"a test says {self.role}",
            identity=Identity(server=self.server, address=f"{self.name}:3306"),
            flavour=Flavour.MYSQL,
            version="8.4.0",
            lag_seconds=self.lag_seconds if replica else None,
            replicating=replica and self.replicating,
            read_only=replica,
            tags=self.tags,
            measured_seconds=seconds,
        )


@dataclass
class Planned:
    """
    What a text is answered with.

    Attributes:
        batches: rows, batch by batch.
        columns: names of the columns.
        refusal: raised by `send` itself.
        fault: raised after the batches were given.
        at_end: raised by `finish`.
        slow_seconds: how long it runs before its batches come.
        bytes_a_second: by how much its session grows meanwhile.
        changed: rows changed.
        effect: called when a change is committed.
        writes: whether a read-only transaction refuses it.
        batch_bytes: what each batch counts.
        undoes: whether its error ends the transaction, as a deadlock does.
        vanishes: whether the transaction is not open any more after it, whatever it was.
    """

    batches: tuple = ()
    columns: tuple = ("id",)
    refusal: BaseException | None = None
    fault: BaseException | None = None
    at_end: BaseException | None = None
    slow_seconds: float = 0.0
    bytes_a_second: int = 0
    changed: int = 0
    effect: object = None
    writes: bool = False
    batch_bytes: int = 100
    undoes: bool = False
    vanishes: bool = False


@dataclass
class FakeEngine:
    """
    A cluster in memory.

    Attributes:
        nodes: its servers; a test changes them while the road is walked.
        answers: text to `Planned`, or to a function of no argument that returns one; what is not there has one row.
        estimates: text to the server's opinion.
        hooks: "topology", "connect", "prove", "estimate", "take slot", "waiting", "send": called when it happens, before it does.
        connections: all that were opened, in order.
        written: how far its history goes.
        behind: nodes that have not applied all of it.
        waited: who was waited for, and until which position.
        has_slots: whether its servers keep named locks.
        held: server to the names of its slots that are taken, and by which connection.
    """

    clock: FakeClock
    events: list
    nodes: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)
    estimates: dict = field(default_factory=dict)
    hooks: dict = field(default_factory=dict)
    connections: list = field(default_factory=list)
    written: str = "p-1"
    behind: set = field(default_factory=set)
    waited: list = field(default_factory=list)
    has_slots: bool = True
    held: dict = field(default_factory=dict)
    flavour: Flavour = Flavour.MYSQL
    rules: LexicalRules = RULES

    def node(self, name):
        return next(node for node in self.nodes if node.name == name)

    def happens(self, what, *about):
        if what in self.hooks:
            self.hooks[what]()
        self.events.append((what, *about))

    def topology(self, *, since_seconds=None, only=frozenset()):
        self.happens("topology")
        return tuple(node.reading(self.clock.monotonic()) for node in self.nodes)

    def measure_ahead(self, only=frozenset()):
        """Nobody waits for what this one measures."""

    expected = None

    def expect(self, to, schema):
        """It has every connection at once."""

    def connect(self, node, account, *, schema=""):
        self.happens("connect", node, account)
        found = next((each for each in self.nodes if each.name == node), None)
        if found is None:
            raise ConfigurationError(f"the cluster has no node {node}")
        if found.unreachable or account in found.refuses:
            raise UnreachableError(f"{node} does not answer: {found.unreachable or 'access denied'}")
        connection = FakeConnection(engine=self, node=found, server=found.server, account=account, schema=schema)
        self.connections.append(connection)
        return connection

    def park(self, connection, *, last=False):
        if last:
            connection.close()

    def reclaim(self, connection):
        return not connection.broken

    def position(self, node):
        return self.written if node in {each.name for each in self.nodes} else ""

    def lacking(self, statement, *, schema):
        return ""

    def has_reached(self, node, position, *, within_seconds):
        self.waited.append((node, position))
        return node in {each.name for each in self.nodes} - self.behind

    def close(self):
        self.events.append(("engine closed",))


@dataclass
class FakeConnection:
    """One connection; see `Connection`."""

    engine: FakeEngine
    node: FakeNode
    server: str
    account: Account
    schema: str
    broken: bool = False
    is_retired: bool = False
    running: object = None
    in_transaction: bool = False
    pending: list = field(default_factory=list)

    @property
    def identity(self):
        return Identity(server=self.server, address=f"{self.node.name}:3306")

    @property
    def rules(self):
        return self.node.rules

    def enter(self, schema):
        if self.node.enters:
            self.schema = schema
        return self.node.enters

    @property
    def guards(self):
        return {"transaction_read_only": "1"}

    def prove(self, permit=None):
        self.engine.happens("prove", self.node.name, self.account)
        if self.broken:
            raise UnreachableError(f"the connection to {self.node.name} is closed")
        return self.node.reading(self.engine.clock.monotonic())

    def estimate(self, statement):
        self.engine.happens("estimate", self.node.name, statement.text)
        return self.engine.estimates.get(statement.text, Estimate(asked=True))

    def send(self, permit, *, watch=None, as_text=False, splice=None):
        self.engine.hooks.get("send", lambda: None)()
        self._compare(permit)
        self.engine.events.append(("sent", permit))
        planned = self.engine.answers.get(permit.statement.text, Planned(batches=([(1,)],)))
        planned = planned() if callable(planned) else planned
        if permit.read_only and planned.writes:
            raise ServerError(READ_ONLY_ERROR, "cannot execute statement in a READ ONLY transaction")
        if planned.refusal is not None:
            self.broken = self.broken or not isinstance(planned.refusal, ServerError)
            self.in_transaction = self.in_transaction and not (self.broken or planned.undoes)
            raise planned.refusal
        self.running = FakeAnswer(self, permit, planned, watch, as_text)
        return self.running

    def _compare(self, permit):
        if permit.within != self.in_transaction and (permit.within or not permit.read_only):
            raise RefusedError(f"the transaction on {self.node.name} is not what it was: nothing was sent")
        if self.broken or (self.running is not None and not self.running.over):
            raise UnreachableError(f"the connection to {self.node.name} is not free: nothing was sent")
        if permit.account is not self.account:
            raise RefusedError(f"the permit is for the {permit.account} account: nothing was sent")
        if permit.identity.server != self.server:
            raise RefusedError(f"the permit is for another server than {self.node.name}: nothing was sent")
        if self.node.role != Role(permit.route) and (permit.account is Account.ELEVATED or permit.read_only):
            self.broken = True
            raise RefusedError(f"{self.node.name} is not the {permit.route} any longer: nothing was sent")

    @property
    def has_slots(self):
        return self.engine.has_slots

    def take_slot(self, names, *, within_seconds):
        self.engine.happens("take slot", self.node.name)
        if not self.engine.has_slots:
            raise RefusedError("the engine has no slots")
        if self.broken:
            raise UnreachableError(f"the connection to {self.node.name} is closed")
        held = self.engine.held.setdefault(self.server, {})
        until = self.engine.clock.monotonic() + within_seconds
        while True:
            free = next((name for name in names if name not in held), "")
            if free:
                held[free] = self
                return free
            if self.engine.clock.monotonic() >= until:
                return ""
            getattr(self.engine.clock, "pass_by", time.sleep)(0.1)
            self.engine.hooks.get("waiting", lambda: None)()

    def slot_holders(self, names):
        held = self.engine.held.get(self.server, {})
        return tuple(f"slot {name}: {'somebody' if name in held else 'nobody'}" for name in names)

    def free_slot(self):
        held = self.engine.held.get(self.server, {})
        for name in [name for name, by in held.items() if by is self]:
            self.engine.events.append(("free slot", name))
            del held[name]

    def stop(self):
        if self.running is None or self.running.over:
            return "already over"
        self.engine.events.append(("stop", self.node.name))
        self.running.stopped.set()
        self.running.over = self.broken = True
        return "killed"

    def chase(self):
        self.engine.events.append(("chase", self.node.name))
        return "killed"

    def close(self):
        if not self.broken:
            self.stop()
        self.broken, self.in_transaction = True, False
        self.pending.clear()
        self.free_slot()
        self.engine.events.append(("close", self.node.name, self.account))


class FakeAnswer:
    """One statement that was sent; see `Answer`."""

    def __init__(self, connection, permit, planned, watch, as_text):
        self.connection, self.permit, self.planned = connection, permit, planned
        self.watch, self.as_text = watch, as_text
        self.stopped = threading.Event()
        self.over = False
        self.received_bytes, self.head = 0, b""

    def is_undone(self, verified):
        return False

    @property
    def columns(self):
        return tuple(Column(name=name) for name in self.planned.columns) if self.planned.batches else ()

    def batches(self):
        self._run()
        for batch in self.planned.batches:
            self.received_bytes += self.planned.batch_bytes
            yield batch
            if self.stopped.is_set():
                raise StoppedError("stopped", by="person", verified="killed")
        if self.planned.fault is not None:
            raise self._ended(self.planned.fault)

    has_more = False

    def next_set(self): ...

    def finish(self):
        if self.planned.at_end is not None:
            raise self._ended(self.planned.at_end)
        allowed = self.permit.limits.changed_rows
        if self.planned.changed > allowed:
            raise self._ended(StoppedError("too many rows", by="console", ceiling="changed_rows", verified="killed"))
        self.over = True
        words = self.permit.statement.kind.split(" ")
        if "begin" in words or "start" in words:
            self.connection.in_transaction = True
        if words[0] == "commit":
            for effect in self.connection.pending:
                effect()
        if words[0] in {"commit", "rollback"} and " TO " not in self.permit.statement.text.upper():
            self.connection.in_transaction = "CHAIN" in self.permit.statement.text.upper()
            self.connection.pending.clear()
        if self.planned.vanishes:
            self.connection.in_transaction = False
        if words[0] == "use":
            self.connection.schema = self.permit.statement.text.split()[-1].strip("`")
        if self.planned.effect is not None and self.connection.in_transaction:
            self.connection.pending.append(self.planned.effect)
        elif self.planned.effect is not None:
            self.planned.effect()
        return Completion(changed_rows=self.planned.changed, in_transaction=self.connection.in_transaction)

    def _run(self):
        """Take the planned time, under the deadline, watched."""
        clock = self.connection.engine.clock
        started, limits = clock.monotonic(), self.permit.limits
        while (elapsed := clock.monotonic() - started) < self.planned.slow_seconds:
            if self.watch is not None and elapsed > 0:
                held = round(elapsed * self.planned.bytes_a_second) or None
                self.watch(Sample(elapsed_seconds=elapsed, session_memory_bytes=held))
            if elapsed > limits.run_seconds:
                self.over = self.connection.broken = True
                raise StoppedError("stopped", by="watchdog", ceiling="run_seconds", verified="killed")
            if self.stopped.wait(0.01):
                raise StoppedError("stopped", by="person", verified="killed")

    def _ended(self, fault):
        self.over = True
        self.connection.broken = self.connection.broken or not isinstance(fault, ServerError)
        return fault


def three_nodes():
    """One primary and two replicas, of which the first is the fitter."""
    return [
        FakeNode("primary", Role.PRIMARY, "u-0"),
        FakeNode("replica-1", Role.REPLICA, "u-1"),
        FakeNode("replica-2", Role.REPLICA, "u-2", lag_seconds=1.0),
    ]


def fail_over(engine):
    """The primary is demoted, and the first replica promoted."""
    engine.node("primary").role, engine.node("replica-1").role = Role.REPLICA, Role.PRIMARY
