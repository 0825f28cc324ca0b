"""
The one road that every statement walks, readable top to bottom.

    ask ─► consider (route, estimate, decide) ─► answer the demand (confirm, elevate) ─► prove the role
(and take a slot, where it is heavy)
        ─► record the intent ─► send, watched ─► rows, as they are pulled ─► record the outcome

Nothing else in the program sends a statement to a server. What fails on the way leaves a record and
one error that says why; what was not recorded is not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from safeconsole.audit.record import CodeEntered, CommandGiven, Journal, Noticed, SessionClosed
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine
from safeconsole.errors import (
    AuditUnavailableError,
    LostError,
    OutcomeUnknownError,
    RefusedError,
    SafeConsoleError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.policy.decision import Considered, Grant, Permit
from safeconsole.policy.explanation import with_way_to_loosen
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy, session_limits
from safeconsole.policy.readings import Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.session.considering import PoliciesInForce, Reread
from safeconsole.session.elevation import ElevationEvent
from safeconsole.session.evidence import evidence_of_nodes
from safeconsole.session.parts import assemble
from safeconsole.session.protocols import People
from safeconsole.session.result import Batch, Progress, Result, Tally, delivered, failure_of, unseen, unsent
from safeconsole.session.transactions import Transaction
from safeconsole.session.transactions import TransactionEvent as Ending
from safeconsole.session.visit import Plea, Visit
from safeconsole.sqltext.analysis import analyse, schema_after
from safeconsole.sqltext.statement import Statement, is_no_statement
from safeconsole.sqltext.vocabulary import Route, Verdict


class _SessionSettings(msgspec.Struct, kw_only=True):
    """What the person changes while the session lasts."""

    to: str
    asked_limits: dict[str, float]
    limits: Limits
    statements: int = 0
    last: Considered | None = None


class Gate:
    """
    One person's session on one cluster.

    Attributes:
        visit: who came, and what for.
        policy: the rules in force.
    """

    def __init__(  # noqa: PLR0913 (the parts that wiring brings together, each named)
        self,
        *,
        visit: Visit,
        policy: Policy,
        engine: Engine,
        journal: Journal,
        clock: Clock,
        people: People,
        reread: Reread | None = None,
    ) -> None:
        self.visit = visit
        self.policy = policy
        self._engine = engine
        self._clock = clock
        policies = PoliciesInForce(policy, reread)
        parts = assemble(visit=visit, policies=policies, engine=engine, journal=journal, clock=clock, people=people)
        self._recorder, self._nodes, self._elevations = parts.recorder, parts.nodes, parts.elevations
        self._transactions, self._custody = parts.transactions, parts.custody
        self._considering, self._demands = parts.considering, parts.demands
        self._understanding, self._slots, self._again = parts.understanding, parts.slots, parts.again
        self._own_writes, self._session_state, self._rate = parts.own_writes, parts.session_state, parts.rate
        limits = session_limits(policy, visit.limits)
        self._result: Result | None = None
        self._state = _SessionSettings(to=visit.to, asked_limits=dict(visit.limits), limits=limits)

    # The road.

    def split(self, *texts: str) -> tuple[Statement, ...]:
        """Analyse texts, one after the other, into statements; never raises for what they say."""
        rules, schema = self._engine.rules, self._nodes.schema
        statements: tuple[Statement, ...] = ()
        for text in texts:
            found = self._understanding.statements(text, rules, schema=schema)
            statements, schema = (*statements, *found), schema_after(found, rules, schema=schema)
        return statements

    def execute(
        self,
        statement: Statement,
        *,
        by_console: bool = False,
        plea: Plea | None = None,
        as_text: bool = False,
        progress: Progress = unseen,
    ) -> Result:
        """
        Take one statement down the whole road, until its first rows are here.

        A read that was lost with its replica is sent once more, to another one, where that is safe.

        Args:
            by_console: the console asks for itself, such as for completion: recorded as that, refused where a person
                would be asked, and no `last`.
            plea: what an elevation of this statement alone is asked with; None: what was said at the door.
            as_text: leave values as the text that the server sent (exports).
            progress: see `Progress`.

        Raises:
            SafeConsoleError: nothing was sent, or the send itself failed; the journal knows it already. What fails
                later is raised by the result.
        """
        self._end_result()
        walk = partial(
            self._walk,
            statement,
            by_console=by_console,
            plea=plea or self.visit.plea,
            as_text=as_text,
            progress=progress,
        )
        if not self._again.may_be_tried(statement, to=self._state.to) or by_console:
            return walk()[0]
        result: Result | None = None
        failure: SafeConsoleError | None
        try:
            result, failure = walk()
        except (LostError, UnreachableError) as error:
            failure = error
        if isinstance(failure, LostError | UnreachableError) and self._again.helps(failure):
            return walk()[0]
        if result is None:
            assert failure is not None
            raise failure
        return result

    def _walk(
        self, statement: Statement, *, by_console: bool, plea: Plea | None, as_text: bool, progress: Progress
    ) -> tuple[Result, SafeConsoleError | None]:
        """Return the result, and the failure that its iteration raises, if there is one already."""
        self._state.statements += 1
        number = self._state.statements
        statement = self._as_read_now(statement)
        self._recorder.asked(number, statement, by_console=by_console)
        last = self._state.last
        try:
            considered = self.consider(statement)
            self._state.last = last if by_console else considered
            self._record_decision(number, considered)
            if by_console:
                _require_allowed(considered)
            permit = self._demands.permit(number, considered, plea)
            connection = self._slots.proven(number, considered, permit, progress)
            considered = self._noted(number, considered, permit, connection)
            self._custody.require_going()
            # MUST come before the send: after a crash there may be an intent without an outcome,
            # never an outcome without an intent.
            self._recorder.intent(number, permit, connection.guards)
            if permit.elevation:
                self._elevations.use(self._recorder.text_of(statement))
        except AuditUnavailableError:
            self._leave()
            raise
        except BaseException as error:
            # Interrupted while the intent went to disk, too: nothing was sent, and the record says so.
            failure = unsent(error, statement)
            try:
                self._recorder.ended(self._recorder.refused(number, statement, failure), durable=True)
            finally:
                self._leave()
            if isinstance(error, SafeConsoleError) and failure is not error:
                raise failure from None
            raise
        tally = Tally(self._clock)
        watch = self._recorder.watching(number, progress)
        answered = self._answered(number, considered, permit, connection, tally, watch=watch, as_text=as_text)
        self._result = result = Result(considered, answered, tally)
        return result, result.begin()

    def _end_result(self) -> None:
        """Stop the statement whose result nobody read to its end: a session has one at a time."""
        result, self._result = self._result, None
        if result is not None:
            result.close()

    def _leave(self) -> None:
        """Let go of what one attempt held, however it was left; a journal that cannot be written ends the session."""
        with suppress(AuditUnavailableError):
            self._elevations.end_attempt()
        self._custody.end()
        self._slots.leave()

    def _noted(self, number: int, considered: Considered, permit: Permit, connection: Connection) -> Considered:
        """Wait for the session's own writes, and record what the person is told beside the answer."""
        lost = self._session_state.note_before(permit, connection, connection.rules)
        told = (lost, self._own_writes.note_before(permit), self._again.note_before(considered, permit))
        notes = (*considered.notes, *filter(None, told))
        for each in notes:
            self._recorder.append(Noticed(what=f"said beside statement {number}", detail=each))
        return considered if notes == considered.notes else replace(considered, notes=notes)

    def consider(self, statement: Statement) -> Considered:
        """
        Route, estimate and decide, and run nothing.

        Raises:
            UnreachableError, ConfigurationError: the cluster cannot be asked at all.
        """
        self._custody.settle()
        self._state.last = self._considering.consider(
            statement, to=self._state.to, limits=self._state.limits, statements=self._state.statements
        )
        return self._state.last

    def check(self, statement: Statement) -> Considered:
        """Consider a statement on record, and run nothing; raises as `consider`."""
        self._state.statements += 1
        number = self._state.statements
        statement = self._as_read_now(statement)
        self._recorder.asked(number, statement, by_console=False)
        considered = self.consider(statement)
        self._recorder.decided(number, considered)
        self._recorder.append(Noticed(what=f"statement {number} was only checked", detail="it is not run"))
        return considered

    def _as_read_now(self, statement: Statement) -> Statement:
        """Return a statement as it is read now: it may have been split in another schema, or by other rules."""
        rules = self._engine.rules
        if not (self._nodes.has_moved or self._understanding.may_have_read_otherwise(rules)):
            return statement
        again = analyse(statement.text, rules, schema=self._nodes.schema)
        # A text of several, under a delimiter of its own, is never a read and says its schemas itself.
        return replace(again[0], vertical=statement.vertical) if len(again) == 1 else statement

    def _record_decision(self, number: int, considered: Considered) -> None:
        """Record what was decided; what the server would answer with an error is answered with it now."""
        estimate = considered.estimate
        self._recorder.decided(number, considered)
        would_fail = considered.statement.changes_nothing or is_no_statement(considered.statement, estimate)
        if (
            estimate.objection
            and not estimate.disagrees
            and would_fail
            and considered.decision.verdict is not Verdict.DENY
        ):
            raise ServerError(estimate.objection_code, estimate.objection)

    def _answered(  # noqa: PLR0913 (the way's own values, each named)
        self,
        number: int,
        considered: Considered,
        permit: Permit,
        connection: Connection,
        tally: Tally,
        *,
        watch: Callable[[Sample], None],
        as_text: bool,
    ) -> Generator[Batch]:
        """Send, yield once when the statement is sent and then its rows, and record how it ended."""
        try:
            try:
                self._custody.begin(connection)
                self._rate.sent()
                answer = connection.send(permit, watch=watch, as_text=as_text)
                tally.columns = answer.columns
                yield ()
                yield from delivered(answer, connection, permit.limits, tally)
                completion = answer.finish()
            except BaseException as error:
                failure = self._failed(number, considered, permit, connection, tally, error)
                if isinstance(error, GeneratorExit) and isinstance(failure, StoppedError):
                    return
                if failure is error:
                    raise
                # The engine's own error says the same in other words, which may quote what this one leaves out.
                hidden = isinstance(error, SafeConsoleError) or not isinstance(error, Exception)
                raise failure from (None if hidden else error)
            tally.warnings = completion.warnings
            self._custody.end()
            # Before the record: what the server did is so, whatever fails after it.
            self._custody.was_done(permit, connection, completion)
            self._session_state.was_done(permit, connection)
            self._hold_asked(permit)
            self._own_writes.wrote(permit)
            tally.ended = self._recorder.done(number, completion, tally)
            self._recorder.ended(tally.ended)
        finally:
            self._leave()

    def _failed(
        self,
        number: int,
        considered: Considered,
        permit: Permit,
        connection: Connection,
        tally: Tally,
        error: BaseException,
    ) -> SafeConsoleError:
        """Return what a failure after the send means, once it is recorded."""
        failure = with_way_to_loosen(failure_of(error, connection, permit), considered.decision, self.policy)
        self._custody.end()
        if isinstance(failure, OutcomeUnknownError):
            self._own_writes.wrote(permit)
        try:
            self._custody.has_failed(permit, connection, failure)
        finally:
            tally.ended = self._recorder.failed(number, permit.statement, failure, tally)
            self._recorder.ended(tally.ended)
        return failure

    def _hold_asked(self, permit: Permit) -> None:
        """Hold for what follows, on every connection, the ceilings that a SET has set on the one it ran on."""
        for ask in permit.statement.asks if permit.statement.kind == "set" else ():
            # A policy that only observes lets more pass; the read-back of the guards then ends that connection.
            if ask.value <= getattr(permit.limits, ask.limit):
                self.tighten(ask.limit, ask.value)

    # The doors beside it: none of them sends what a person wrote.

    def elevate(self, *, reason: str, ticket: str = "", window_seconds: float | None = None) -> Grant:
        """
        Open a break-glass window on the cluster.

        Args:
            reason: why, in the person's words.
            ticket: reference of the incident or change, or "".
            window_seconds: how long, the policy's own window when None.

        Raises:
            RefusedError: the person did not grant it, or the policy forbids it.
        """
        # What is the primary now is what the elevation is for.
        seen = evidence_of_nodes(self._nodes.measure())
        if self._nodes.take_failover() and self._elevations.is_held:
            # Whatever is answered now: what is held was granted for the cluster as it was.
            self._custody.void(ElevationEvent.FAILED_OVER)
        return self._demands.window(
            self._state.last, evidence=seen, reason=reason, ticket=ticket, window_seconds=window_seconds
        )

    def stand_down(self) -> None:
        """End the elevation, and close what it opened."""
        self._custody.void(ElevationEvent.STOOD_DOWN)

    @property
    def is_elevated(self) -> bool:
        """Whether an elevation is held; its time may be over."""
        return self._elevations.is_held

    def status(self) -> Status:
        """
        What a prompt shows; never raises.

        It lets go of what is over, so it is asked by the thread that runs statements, and by no other: an idle
        connection with something to read is a broken one, unless somebody else is just being answered on it.
        """
        elevated_seconds = 0.0
        with suppress(AuditUnavailableError):
            # An elevation that is over ends here too, so that nothing stays open at an idle prompt.
            self._custody.settle()
            elevated_seconds = self._elevations.remaining_seconds()
        used = self._nodes.used
        return Status(
            cluster=self.visit.cluster,
            environment=self.visit.environment,
            node=used or "",
            role=self._nodes.role_of(used) if used else "",
            schema=self._nodes.schema,
            elevated_seconds=elevated_seconds,
            limits=self._state.limits,
            to=self._state.to,
            transaction=self._transactions.opened,
            transaction_seconds=self._transactions.open_seconds,
            servers=self._nodes.servers,
        )

    @property
    def needs_a_person(self) -> bool:
        """Whether the person is an agent whose elevations somebody else has to approve."""
        return self._elevations.needs_a_person

    @property
    def to(self) -> str:
        """Where the person sends what follows, see `Visit`; may be read from any thread, unlike `status`."""
        return self._state.to

    @property
    def limits(self) -> Limits:
        """What holds for a statement before its rules tighten it; may be read from any thread."""
        return self._state.limits

    def last(self) -> Considered | None:
        r"""The last statement considered, for \why."""
        return self._state.last

    def use(self, to: str) -> None:
        """Send what follows to "replica", "primary", a node's name, or "" to let the console choose."""
        known = "", Route.PRIMARY, Route.REPLICA
        if to not in known and to not in (nodes := [reading.node for reading in self._nodes.measure()]):
            raise RefusedError(f"cluster {self.visit.cluster} has no node {to}", instead=f"one of {', '.join(nodes)}")
        self._state.to = to

    def use_schema(self, schema: str) -> None:
        """
        Change the session's schema; what it is, the next statement finds out.

        Raises:
            RefusedError: a transaction is open, whose connection is in the schema of now.
        """
        self._transactions.require_none("the schema is changed by opening connections anew")
        self._nodes.change_schema(schema)

    @property
    def told(self) -> tuple[str, ...]:
        """What `take_told` would return."""
        return self._transactions.told

    def take_told(self) -> tuple[str, ...]:
        """Return, once, what the person must be told that no statement of theirs said: how a transaction ended."""
        with suppress(AuditUnavailableError):
            self._custody.settle()
        return self._transactions.take_told()

    def tighten(self, name: str, value: float) -> Limits:
        """
        Set one ceiling for the session: tighter always, looser up to the policy's ceilings.

        Raises:
            ConfigurationError: it is unknown, out of range, or looser than the policy allows.
        """
        asked = {**self._state.asked_limits, name: value}
        self._state.limits, self._state.asked_limits = session_limits(self.policy, asked), asked
        return self._state.limits

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the cluster's nodes were when they were last measured; may be read from any thread."""
        return self._nodes.addresses

    def topology(self) -> tuple[Reading, ...]:
        """Measure every node now."""
        return self._nodes.measure()

    def note(self, what: str, detail: str = "", *, sql: str = "") -> None:
        """
        Record a console command, or something that the person was told.

        Args:
            sql: statements that it ends with, recorded as any other statement's text is.
        """
        if sql.strip():
            detail = f"{detail} {self.as_recorded(sql)}"
        self._recorder.append(CommandGiven(command=detail) if what == "command" else Noticed(what=what, detail=detail))

    def as_recorded(self, sql: str) -> str:
        """Return statements as the journal holds them, one after the other."""
        return "; ".join(map(self._recorder.text_of, self.split(sql)))

    def enter_code(self, source: str, *, language: str = "python") -> None:
        """Record source that the person entered, durably, before it runs. Raises AuditUnavailableError."""
        self._recorder.append(CodeEntered(language=language, source=source), durable=True)

    def stop(self) -> str:
        """Stop what runs, and send nothing further, from another thread than the session's; see `Custody.stop`."""
        return self._custody.stop()

    def close(self, reason: str = "") -> tuple[str, ...]:
        """
        End the session: what runs is over, connections are closed, the journal is durable; never raises.

        Returns:
            What the person should know: a transaction that was undone, notices that were not delivered, and that a
            session which broke the glass waits for their closing note.
        """
        troubles: tuple[str, ...] = ()
        try:
            self._let_go()
            self._elevations.end(ElevationEvent.SESSION_ENDED)
            undelivered = self._elevations.settle()
            troubles = (*self._transactions.take_told(), *undelivered, *self._owed())
            for trouble in undelivered:
                self.note("notice not delivered", trouble)
            self._recorder.append(SessionClosed(statements=self._state.statements, reason=reason))
            self._recorder.close()
        except AuditUnavailableError:
            # Nothing more will be sent; the archive shows a session that did not end in order.
            pass
        return troubles

    def _owed(self) -> tuple[str, ...]:
        if not self._elevations.broke_the_glass:
            return ()
        session = self._recorder.session
        return (f"this session broke the glass: say what came of it, safeconsole audit review {session} --note TEXT",)

    def _let_go(self) -> None:
        try:
            with suppress(SafeConsoleError):
                self._end_result()
            self._transactions.end(Ending.LEFT)
        finally:
            self._nodes.close()


def _require_allowed(considered: Considered) -> None:
    """Refuse what the console asks for itself unless it is plainly allowed: nobody is asked for its comfort."""
    if considered.decision.verdict is not Verdict.ALLOW:
        raise RefusedError(f"the console does not ask for this by itself: {considered.decision.message}")


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a prompt shows.

    Attributes:
        cluster, environment: from the configuration.
        node, role: where the last statement went; "" before the first.
        schema: the session's schema, or "".
        servers: the identities of the cluster's nodes as last measured; empty before that.
        elevated_seconds: seconds left of an elevation, 0 when there is none.
        limits: what holds for a statement before its rules tighten it.
        to: "replica", "primary" or a node's name, "" when the console chooses.
        transaction: what the person has open, or None.
        transaction_seconds: how long it has been open, 0 without one.
    """

    cluster: str
    environment: str
    node: str
    role: str
    schema: str
    elevated_seconds: float
    limits: Limits
    to: str
    transaction: Transaction | None = None
    transaction_seconds: float = 0.0
    servers: frozenset[str] = frozenset()
