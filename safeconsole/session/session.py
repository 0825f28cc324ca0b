"""A session: one person on one cluster, and the interface that faces use.

Every statement goes through the gate; nothing here sends one. A session belongs to one thread at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from safeconsole.audit.record import CodeEntered, CommandGiven, Journal, Noticed, SessionClosed
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Engine, Splice
from safeconsole.errors import AuditUnavailableError, DeniedError, RefusedError, SafeConsoleError, StoppedError
from safeconsole.policy.decision import Assessment, ElevationRequest, Grant, Scope
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy
from safeconsole.policy.readings import Reading
from safeconsole.session.connections import Nodes
from safeconsole.session.context import Justification, People, SessionContext, Status
from safeconsole.session.deciding import PoliciesInForce, Reread, evidence_of_nodes
from safeconsole.session.elevation import ElevationEvent, Elevations
from safeconsole.session.gate import Gate
from safeconsole.session.holding import with_holders
from safeconsole.session.recorder import Recorder
from safeconsole.session.resources import ANOTHER_PRIMARY, Resources
from safeconsole.session.result import Progress, Result, unseen
from safeconsole.session.retry import Attempt
from safeconsole.session.transactions import TransactionEvent, Transactions
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect, Isolation, NodeName, Route, Verdict


class Session:
    """One person's session on one cluster, for one thread at a time; `stop` may be called from another one.

    Attributes:
        context: who came, and what for.
        policy: the rules that the session began with.
    """

    def __init__(  # noqa: PLR0913 (what a session is made of, each named)
        self,
        *,
        context: SessionContext,
        policy: Policy,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        people: People,
        reread: Reread | None = None,
    ) -> None:
        self.context = context
        self.policy = policy
        self._engine = engine
        self._policies = PoliciesInForce(policy, context.limits, reread)
        self._recorder = Recorder(journal, rules=lambda: engine.rules, literals=policy.literals)
        self._nodes = nodes = Nodes(engine, clock, context.schema)
        self._elevations = Elevations(
            settings=policy.elevation,
            context=context,
            journal=self._recorder,
            clock=clock,
            people=people,
            is_the_demo=lambda: bool(context.demo) and nodes.is_the_demo(context.demo),
        )
        self._transactions = Transactions(policy.transactions, clock)
        self._held = Resources(nodes, self._transactions, self._elevations, self._recorder)
        self._gate = Gate(
            context=context,
            policies=self._policies,
            engine=engine,
            clock=clock,
            recorder=self._recorder,
            held=self._held,
        )
        self._lock, self._reader = threading.RLock(), 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Raise DeniedError if another thread is using the session."""
        if not self._lock.acquire(blocking=False):
            raise _in_use()
        try:
            result = self._gate.result
            if result is not None and result.ended is None and self._reader != threading.get_ident():
                raise _in_use()
            yield
        finally:
            if self._gate.result is None:
                self._gate.park()
            self._lock.release()

    # Statements.

    def split(self, *texts: str) -> tuple[Statement, ...]:
        """Analyse texts, one after the other, into statements; never raises for their content."""
        return self._gate.split(*texts)

    def execute(  # noqa: PLR0913 (how a statement may be asked, each by name)
        self,
        statement: Statement,
        *,
        by_console: bool = False,
        justification: Justification | None = None,
        as_text: bool = False,
        splice: Splice | None = None,
        progress: Progress = unseen,
        to: str | None = None,
        exactly_rows: int = -1,
        isolation: Isolation | None = None,
    ) -> Result:
        """Run one statement through all checks, up to its first rows; see `Gate.execute` and `Attempt`.

        Args:
            justification: None: what was said at the door.
        """
        with self._alone():
            self._gate.end_result()
            self._reader = threading.get_ident()
            attempt = Attempt(
                statement=statement,
                justification=justification or self.context.justification,
                by_console=by_console,
                as_text=as_text,
                splice=splice,
                progress=progress,
                to=to,
                exactly_rows=exactly_rows,
                isolation=isolation,
            )
            try:
                result = self._gate.execute(attempt)
            except StoppedError as error:
                raise (error if by_console else self._with_holders(error)) from None
            if result.failure is not None and not by_console:
                result.failure = self._with_holders(result.failure)
            return result

    def _with_holders(self, failure: SafeConsoleError) -> SafeConsoleError:
        return with_holders(
            failure,
            self._gate.last,
            self._gate,
            known=self._engine.rules.dialect.diagnosis,
            diagnoses=self.context.diagnoses,
            schema=self._nodes.schema,
            within=self._transactions.opened is not None,
        )

    def consider(self, statement: Statement) -> Assessment:
        """Route, estimate and decide without running the statement.

        Raises:
            UnreachableError, ConfigurationError: the cluster cannot be asked at all.
        """
        with self._alone():
            return self._gate.consider(statement)

    def check(self, statement: Statement) -> Assessment:
        """Decide on a statement and record it, without running it; raises as `consider`."""
        with self._alone():
            return self._gate.check(statement)

    def last(self) -> Assessment | None:
        return self._gate.last

    def expect_statement(self) -> None:
        """Start what the next statement would wait for, while it is typed; may be called from another thread.

        Nodes that were measured just now are not asked again. What fails is told when the statement comes.
        """
        self._engine.measure_ahead()

    def stop(self) -> str:
        """Stop the running statement and send nothing further; may be called from another thread.

        Called again, it no longer waits for a gentle end. What is just about to be sent is not met by the first call:
        it is called until that thread is through.

        Returns:
            As `Connection.stop`.
        """
        return self._gate.stop()

    def interrupt(self) -> str:
        """Stop the current statement; the session continues. May be called from another thread.

        Returns:
            As `Connection.stop`.
        """
        return self._gate.interrupt()

    # Elevation.

    def elevate(self, *, reason: str, ticket: str = "", window_seconds: float | None = None) -> Grant:
        """Open a break-glass window on the cluster.

        Args:
            reason: why, in the person's words.
            ticket: reference of the incident or change, or "".
            window_seconds: how long, the policy's own window when None.

        Raises:
            RefusedError: the person did not grant it, or the policy forbids it.
        """
        with self._alone():
            # What is the primary now is what the elevation is for.
            seen = evidence_of_nodes(self._nodes.measure())
            if self._nodes.take_failover() and self._elevations.grant is not None:
                # Whatever is answered now: what is held was granted for the cluster as it was.
                self._held.void(ElevationEvent.FAILED_OVER, ANOTHER_PRIMARY)
            settings = self.policy.elevation
            try:
                request = ElevationRequest(
                    cluster=self.context.cluster,
                    scope=Scope.BREAK_GLASS,
                    reason=reason,
                    ticket=ticket,
                    window_seconds=settings.window_seconds if window_seconds is None else window_seconds,
                    evidence=seen,
                )
            except ValueError as error:
                raise RefusedError(str(error)) from None
            tables = self._tables_refused()
            return self._elevations.ask(request, None, closed=self._policies.look(), tables=tables)

    def _tables_refused(self) -> tuple[str, ...]:
        """Return the tables of the change that was last refused for lack of an elevation."""
        last = self._gate.last
        if last is None or last.decision.verdict is not Verdict.ELEVATE:
            return ()
        changes = not last.statement.effects.isdisjoint({Effect.WRITE, Effect.DDL})
        return tuple(dict.fromkeys(map(str, last.statement.tables))) if changes else ()

    def stand_down(self) -> None:
        with self._alone():
            self._held.void(ElevationEvent.STOOD_DOWN)

    @property
    def is_elevated(self) -> bool:
        """Whether an elevation is held; it may have expired."""
        return self._elevations.grant is not None

    @property
    def needs_a_person(self) -> bool:
        """Whether the person is an agent whose elevations somebody else has to approve."""
        return self._elevations.needs_a_person

    # What a person sees and sets.

    @property
    def to(self) -> str:
        """Where the person sends statements, see `SessionContext`."""
        return self._gate.to

    @property
    def limits(self) -> Limits:
        """The limits of a statement before its rules tighten them."""
        return self._policies.limits

    def status(self) -> Status:
        """The status for a prompt; never raises.

        It lets go of what is over, so it is asked by the thread that runs statements, and by no other: an idle
        connection with something to read is a broken one, unless somebody else is just being answered on it.
        """
        # Another thread that is at work lets go of what is over itself.
        with suppress(AuditUnavailableError, DeniedError), self._alone():
            # An elevation that is over ends here too, so that nothing stays open at an idle prompt.
            self._held.settle()
        used, reads_at = self._nodes.used, self._reads_at()
        return Status(
            cluster=self.context.cluster,
            environment=self.context.environment,
            node=used or "",
            role=self._nodes.role_of(used) if used else "",
            schema=self._nodes.schema,
            elevated_seconds=self._elevations.remaining_seconds(),
            limits=self.limits,
            to=self.to,
            transaction=self._transactions.opened,
            transaction_seconds=self._transactions.open_seconds,
            servers=self._nodes.servers,
            elevation_ended=self._elevations.ended,
            reads_at=reads_at or "",
            reads_role=self._nodes.role_of(reads_at) if reads_at else "",
        )

    def _reads_at(self) -> NodeName | None:
        """Return the node that the next read would go to, as far as that is known; see `Gate._choose`."""
        if self.to not in {"", Route.PRIMARY, Route.REPLICA}:
            return NodeName(self.to)
        opened = self._transactions.opened
        if opened is not None and (not self.to or self._nodes.role_of(opened.node) == self.to):
            return opened.node
        return self._nodes.stays_at(Route.PRIMARY if self.to == Route.PRIMARY else Route.REPLICA)

    @property
    def told(self) -> tuple[str, ...]:
        return (*self._transactions.told, *self._elevations.told, *self._held.pursuits.told)

    def take_told(self) -> tuple[str, ...]:
        """Return and clear pending messages to the person: how a transaction ended, why a window ended."""
        with suppress(AuditUnavailableError, DeniedError), self._alone():
            self._held.settle()
        told = (*self._transactions.take_told(), *self._elevations.take_told())
        return (*told, *self._held.pursuits.take_told())

    @property
    def addresses(self) -> tuple[str, ...]:
        """The nodes' addresses at the last measurement; may be read from any thread."""
        return self._nodes.addresses

    def topology(self) -> tuple[Reading, ...]:
        with self._alone():
            return self._nodes.measure()

    def use(self, to: str) -> None:
        """Send statements to "replica", "primary", a node's name, or "" to let the console choose."""
        with self._alone():
            known = "", Route.PRIMARY, Route.REPLICA
            if to not in known and to not in (nodes := [reading.node for reading in self._nodes.measure()]):
                raise RefusedError(
                    f"cluster {self.context.cluster} has no node {to}", instead=f"one of {', '.join(nodes)}"
                )
            self._gate.to = to

    def use_schema(self, schema: str) -> None:
        """Change the session's schema; the next statement shows whether it exists.

        Raises:
            RefusedError: a transaction is open, whose connection is in the schema of now.
        """
        with self._alone():
            opened = self._transactions.opened
            if opened is not None:
                raise RefusedError(
                    f"a transaction is open on {opened.place}, and stays in its schema",
                    instead="end the transaction first, with COMMIT or ROLLBACK",
                )
            self._nodes.change_schema(schema)

    def let_go(self) -> None:
        """Release the connections to the nodes and their state; the next statement opens new ones."""
        with self._alone():
            self._nodes.close()
            self._gate.forget_state()

    def tighten(self, name: str, value: float) -> Limits:
        """Set one ceiling for the session: tighter always, looser up to the policy's ceilings.

        Raises:
            ConfigurationError: it is unknown, out of range, or looser than the policy allows.
        """
        return self._policies.tighten(name, value)

    # The record, and the end.

    def note(self, what: str, detail: str = "", *, sql: str = "") -> None:
        """Record a console command, or a message to the person.

        Args:
            sql: statements that it ends with, recorded as any other statement's text is.
        """
        if sql.strip():
            detail = f"{detail} {self.as_recorded(sql)}"
        self._recorder.append(CommandGiven(command=detail) if what == "command" else Noticed(what=what, detail=detail))

    def as_recorded(self, sql: str) -> str:
        return "; ".join(map(self._recorder.text_of, self.split(sql)))

    def enter_code(self, source: str, *, language: str = "python") -> None:
        """Record source that the person entered, durably, before it runs. Raises AuditUnavailableError."""
        self._recorder.append(CodeEntered(language=language, source=source), durable=True)

    def close(self, reason: str = "") -> tuple[str, ...]:
        """End the session: stop its statement, close connections and journal; never raises.

        Returns:
            What the person should know: a transaction that was undone, what was not seen to stop, notices that were
            not delivered, and that a session that used break-glass waits for their closing note.
        """
        troubles: tuple[str, ...] = ()
        try:
            self._let_go()
            self._elevations.leave_question()
            self._elevations.end(ElevationEvent.SESSION_ENDED)
            undelivered = self._elevations.settle()
            unseen = self._held.pursuits.settle()
            troubles = (*self._transactions.take_told(), *unseen, *undelivered, *self._owed())
            for trouble in undelivered:
                self.note("notice not delivered", trouble)
            self._recorder.append(SessionClosed(statements=self._gate.statements, reason=reason))
            self._recorder.close()
        except AuditUnavailableError:
            # Nothing more will be sent; the archive shows a session that did not end in order.
            pass
        return troubles

    def _owed(self) -> tuple[str, ...]:
        if not self._elevations.broke_the_glass:
            return ()
        session = self._recorder.session
        return (
            f"this session used break-glass; write its closing note: safeconsole audit review {session} --note TEXT",
        )

    def _let_go(self) -> None:
        try:
            with suppress(SafeConsoleError), self._alone():
                self._gate.end_result()
            self._held.end_transaction(TransactionEvent.LEFT)
        finally:
            self._nodes.close()


IN_USE = "in-use"
"""The code of what is refused because another thread uses the session at that moment."""


def _in_use() -> DeniedError:
    return DeniedError(
        "nothing was sent: another thread uses this session",
        code=IN_USE,
        instead="run one statement after the other, or open a session for each thread",
    )
