"""The gate: the one path of every statement, readable top to bottom.

    split ─► route ─► estimate ─► decide ─► confirm or elevate ─► prove the role (and take a slot, where it is heavy)
        ─► record the intent ─► send, watched ─► rows, as they are pulled ─► record the outcome

Nothing else in the program runs a statement of a person's; one whose intent was not recorded is not run. The estimate
sends text before the decision, though: a read's, or what a change would read, as PREPARE and EXPLAIN in a read-only
transaction (or the one that the person opened) of the capped session. That does not execute it, but planning may run a
subquery or function in it (`mysql/estimate.py`). What fails on the way leaves a record and one error that says why.
Each part of a session holds its own data and answers with values; what they mean for one another is decided here.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import suppress

from msgspec.structs import replace

from safeconsole import interrupts
from safeconsole.audit.record import Noticed
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Answer, Connection, Engine
from safeconsole.cluster.routing import Choice
from safeconsole.errors import (
    AuditUnavailableError,
    LostError,
    OutcomeUnknownError,
    SafeConsoleError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.policy.decision import Assessment, Permit, held_to_rows, permit_from_decision
from safeconsole.policy.facts import COUNTED
from safeconsole.policy.policy import with_way_to_loosen
from safeconsole.policy.readings import OPEN_GATES, Gates
from safeconsole.session.admission import Rate, SlotQueue
from safeconsole.session.cache import Cache
from safeconsole.session.context import SessionContext, circumstances_of
from safeconsole.session.deciding import (
    DecisionInput,
    PoliciesInForce,
    assessment_of,
    estimate_of_no_read,
    is_estimated,
    judged,
    quoting_no_secret,
    require_allowed,
    require_no_lock,
)
from safeconsole.session.elevation import ElevationEvent
from safeconsole.session.recorder import Recorder
from safeconsole.session.resources import ANOTHER_PRIMARY, Resources
from safeconsole.session.result import Batch, Execution, Progress, Result, delivered, failure_of, unsent
from safeconsole.session.retry import Attempt, leaves_nothing, note_of_retry, stands_alone
from safeconsole.session.state import ASKS_BACK, OwnWrites, SessionState, note_on_asking_back
from safeconsole.sqltext.analysis import schema_after
from safeconsole.sqltext.statement import ENDS, Estimate, Statement, is_no_statement, with_behind
from safeconsole.sqltext.vocabulary import Account, Effect, Role, Route, Verdict


class Gate:
    """The gate of one session; one statement at a time.

    Attributes:
        to: where the person sends what follows, see `SessionContext`.
        last: what was considered last, or None.
        result: the result that is being read, or None.
        statements: how many were asked.
    """

    def __init__(
        self,
        *,
        context: SessionContext,
        policies: PoliciesInForce,
        engine: Engine,
        clock: Clock,
        recorder: Recorder,
        held: Resources,
    ) -> None:
        policy = policies.begun
        self.to = context.to
        self.last: Assessment | None = None
        self.result: Result | None = None
        self.statements = 0
        self._visit, self._policies = context, policies
        self._engine, self._clock = engine, clock
        self._recorder, self._held, self._nodes = recorder, held, held.nodes
        self._elevations, self._transactions = held.elevations, held.transactions
        self._cache = Cache(policy, clock)
        self._rate, self._slots = Rate(clock), SlotQueue(policy, clock)
        self._state, self._own_writes = SessionState(), OwnWrites(engine, clock)
        self._stopped = self._interrupted = False

    # The road.

    def split(self, *texts: str) -> tuple[Statement, ...]:
        """Analyse texts, one after the other, into statements; never raises for their content."""
        rules, schema = self._engine.rules, self._nodes.schema
        statements: tuple[Statement, ...] = ()
        for text in texts:
            found = self._cache.statements(text, rules, schema=schema)
            statements, schema = (*statements, *found), schema_after(found, rules, schema=schema)
        return statements

    def execute(self, attempt: Attempt) -> Result:
        """Run one statement through all checks, up to its first rows.

        A read that was lost with its replica is sent once more, to another one, where that is safe.

        Raises:
            SafeConsoleError: nothing was sent, or the send itself failed; the journal knows it already. What fails
                later is raised by the result.
        """
        self._interrupted = False
        self._nodes.avoided = {}
        attempt.number = self._next_number()
        may_retry = not attempt.by_console and self._may_retry(attempt.statement)
        try:
            result = self._attempt(attempt)
            failure = result.begin()
        except (StoppedError, UnreachableError) as error:
            if not may_retry or not (note := note_of_retry(attempt, error, self._nodes, self._policies.gates)):
                raise
        else:
            if (
                not may_retry
                or not isinstance(failure, LostError)
                or not (note := note_of_retry(attempt, failure, self._nodes, self._policies.gates))
            ):
                return result
        self._recorder.append(Noticed(what="read retried", detail=note))
        result = self._attempt(replace(attempt, number=self._next_number(), retry_note=note, permit=None))
        result.begin()
        return result

    def _attempt(self, attempt: Attempt) -> Result:
        """Do every step before the send; the returned result sends."""
        number = attempt.number
        attempt.statement = statement = self._cache.read_now(
            attempt.statement, self._engine.rules, schema=self._nodes.schema, moved=self._nodes.has_moved
        )
        self._recorder.asked(number, statement, by_console=attempt.by_console)
        try:
            last = self.last
            considered = self.consider(statement, attempt.to)
            self.last = last if attempt.by_console else considered
            self._record_decision(number, considered)
            if considered.estimate.waits:
                require_no_lock(considered, goes_on=bool(attempt.justification or self._elevations.grant))
            if attempt.by_console:
                require_allowed(considered)
            if attempt.exactly_rows >= 0:
                considered = held_to_rows(considered, attempt.exactly_rows)
            attempt.permit = permit = self._permit(attempt, considered)
            connection = self._held.proven(permit, rules=self._engine.rules)
            if self._slots.are_for(considered):
                connection = self._queued(number, permit, connection, attempt.progress)
            attempt.considered = considered = self._noted(attempt, considered, permit, connection)
            self._require_going()
            # MUST come before the send: after a crash there may be an intent without an outcome,
            # never an outcome without an intent.
            self._recorder.intent(number, permit, connection.guards)
            if permit.elevation:
                self._elevations.use(statement, self._recorder.text_of(statement))
        except AuditUnavailableError:
            self._leave()
            raise
        except BaseException as error:
            # Interrupted while the intent went to disk, too: nothing was sent, and the record says so.
            failure = unsent(error, statement, self._engine.rules)
            try:
                self._recorder.ended(self._recorder.refused(number, statement, failure), durable=True, sent=False)
            finally:
                self._leave()
            if isinstance(error, SafeConsoleError) and failure is not error:
                raise failure from None
            raise
        execution = Execution(self._clock, permit.masking, splice=attempt.splice)
        self.result = Result(considered, self._answered(attempt, considered, permit, connection, execution), execution)
        return self.result

    def _answered(
        self, attempt: Attempt, considered: Assessment, permit: Permit, connection: Connection, execution: Execution
    ) -> Generator[Batch]:
        """Send the statement, yield once after the send and then each batch, and record how it ended."""
        answer: Answer | None = None
        try:
            try:
                self._held.at_work = connection
                # MUST come after `at_work` is set: a concurrent stop is either seen here or finds a connection to kill.
                self._require_going()
                self._rate.sent()
                watch = self._recorder.watching(attempt.number, attempt.progress)
                answer = connection.send(permit, watch=watch, as_text=attempt.as_text, splice=attempt.splice)
                execution.begin_set(answer)
                yield ()
                yield from delivered(answer, connection, permit, execution)
                completion = answer.finish()
            except BaseException as error:
                known = failure_of(error, connection, permit, answer)
                failure = self._failed(attempt.number, considered, permit, connection, execution, known)
                if isinstance(error, GeneratorExit) and isinstance(failure, StoppedError):
                    return
                if failure is error:
                    raise
                # The engine's own error says the same in other words, which may quote what this one leaves out.
                hidden = isinstance(error, SafeConsoleError) or not isinstance(error, Exception)
                raise failure from (None if hidden else error)
            self._held.at_work = None
            said = self._recorder.kept(attempt.number, permit, completion, self._visit.cluster, self._nodes.schema)
            execution.warnings, execution.tail = (*completion.warnings, *said), completion.tail
            # Before the record: what the server did is so, whatever fails after it.
            # What a command of the console asks one node for moves nobody there.
            if permit.account is not Account.DIAGNOSE and attempt.to is None:
                self._nodes.was_used(permit.node, permit.route)
            self._held.record(self._transactions.went_on(permit, completion))
            if permit.statement.kind == "use":
                self._nodes.change_schema(connection.schema, keep=connection)
            self._state.was_done(permit, connection)
            self._policies.hold_asked(permit)
            self._own_writes.wrote(permit)
            execution.ended = self._recorder.done(attempt.number, completion, execution)
            self._recorder.ended(execution.ended)
        finally:
            if not leaves_nothing(permit.statement, self._engine.rules):
                self._nodes.pin(permit.node, permit.account)
            self._leave()

    def _failed(
        self,
        number: int,
        considered: Assessment,
        permit: Permit,
        connection: Connection,
        execution: Execution,
        failure: SafeConsoleError,
    ) -> SafeConsoleError:
        failure = with_way_to_loosen(failure, considered.decision, self._policies.begun)
        self._held.at_work = None
        if isinstance(failure, OutcomeUnknownError):
            self._own_writes.wrote(permit)
        try:
            self._held.release_after(permit, connection, failure)
        finally:
            execution.ended = self._recorder.failed(number, permit.statement, failure, execution)
            self._recorder.ended(execution.ended)
            self._held.pursuits.begin(number, permit.node, connection, failure)
        return failure

    # Before the send: what is found out, and what is decided.

    def consider(self, statement: Statement, to: str | None = None) -> Assessment:
        """Route, estimate and decide. Raises UnreachableError, ConfigurationError: the cluster cannot be asked."""
        self._held.settle()
        if self._policies.look() and self._elevations.grant is not None:
            # It was granted by what the policy said before.
            self._held.end_elevated(ElevationEvent.POLICY_CHANGED)
        to = self._transactions.narrowed(statement, self.to if to is None else to)
        window = self._elevations.has_window
        route = self._transactions.route_of(statement, to=to, window=window)
        choice = self._choose(statement, route, to, connected=statement.changes_nothing)
        estimate = self._estimate(statement, choice)
        if estimate.waits and route is Route.REPLICA and choice.reading and to in {"", Route.REPLICA}:
            # Who waits for a lock on one replica may not on another; inside a transaction there is no other.
            self._nodes.avoided = {choice.reading.node: f"waited for a {estimate.waits} there"}
            other = self._choose(statement, route, to, connected=statement.changes_nothing)
            if other.reading is not None and other.reading.node != choice.reading.node:
                choice, estimate = other, self._estimate(statement, other)
        estimate = quoting_no_secret(estimate, statement, self._engine.rules)
        through = with_behind(statement, estimate.behind)
        if through.effects != statement.effects:
            # Views or functions add effects; route the statement as if they were written in it.
            route = self._transactions.route_of(through, to=to, window=self._elevations.has_window)
            choice = self._choose(through, route, to, connected=through.changes_nothing)
        if estimate.disagrees and not to:
            # It is no read after all, and belongs where changes belong.
            route = Route.PRIMARY
            choice = self._choose(through, route, to, connected=False)
        account = Account.DIAGNOSE if statement.diagnosis and self._visit.diagnoses else Account.READ
        limits = self._policies.limits
        found = DecisionInput(choice=choice, estimate=estimate, route=route, limits=limits, account=account)
        self.last = self._decide(through, found)
        return self.last

    def check(self, statement: Statement) -> Assessment:
        """Decide on a statement and record it, without running it; raises as `consider`."""
        number = self._next_number()
        statement = self._cache.read_now(
            statement, self._engine.rules, schema=self._nodes.schema, moved=self._nodes.has_moved
        )
        self._recorder.asked(number, statement, by_console=False)
        considered = self.consider(statement)
        self._recorder.decided(number, considered)
        self._recorder.append(Noticed(what=f"statement {number} was only checked", detail="it is not run"))
        return considered

    def _choose(self, statement: Statement, route: Route, to: str, *, connected: bool) -> Choice:
        """Choose the node; inside a transaction its own node, if that has the right role."""
        gates, opened = self._policies.gates, self._transactions.opened
        choice = None
        if statement.diagnosis:
            # It asks how the server is: however that is, and whatever else is open.
            node = "" if to in {"", Route.PRIMARY, Route.REPLICA} else to
            choice = self._nodes.choose(route, OPEN_GATES, node=node, connected=False, proven=False)
        elif to not in {"", Route.PRIMARY, Route.REPLICA}:
            choice = self._nodes.choose(route, gates, node=to, connected=connected)
        elif opened is not None:
            # Whatever the load: what is open is ended where it is open.
            ends = Gates(threads_running=sys.maxsize) if statement.kind in ENDS else gates
            connected = connected and not opened.writes
            choice = self._nodes.choose(route, ends, node=opened.node, connected=connected)
            if choice.reading is None or choice.reading.role is not Role(route):
                choice = None
        if choice is None:
            elevated = self._elevations.grant is not None
            choice = self._nodes.choose(route, gates, node="", connected=connected, everywhere=elevated)
        if self._nodes.take_failover():
            # The elevation was asked for the cluster as it was.
            self._held.end_elevated(ElevationEvent.FAILED_OVER, ANOTHER_PRIMARY)
        return choice

    def _estimate(self, statement: Statement, choice: Choice) -> Estimate:
        """Ask the server for an estimate of a read, or for its objection to an unknown statement."""
        if not statement.is_plain_read:
            self._cache.forget_estimates()
        if choice.reading is None or statement.diagnosis or not is_estimated(statement):
            return Estimate()
        node, rules = choice.reading.node, self._engine.rules
        if statement.changes_nothing and Effect.READ in statement.effects:
            estimate = self._nodes.estimate_on(statement, node, self._cache, rules=rules)
            if estimate.objection and self._own_writes.may_explain(choice.reading):
                estimate = self._nodes.estimate_on(statement, node, self._cache, rules=rules)
            return self._state.allowing_for(statement, estimate) if estimate.objection else estimate
        connection = None
        with suppress(SafeConsoleError):
            connection = self._nodes.connect(node, Account.READ)
        return estimate_of_no_read(statement, connection, rules, self._nodes.schema)

    def _decide(self, statement: Statement, found: DecisionInput) -> Assessment:
        """Return the policies' decision; reuse the cached one when every input is identical."""
        choice, opened = found.choice, self._transactions.opened
        server = choice.reading.identity.server if choice.reading and choice.reading.identity else ""
        grant, rate = self._elevations.covering(statement.text, server), self._rate.read()
        counted: dict[str, object] = dict(zip(COUNTED, (self.statements, *rate), strict=True))
        read_by = self._engine.rules, self._nodes.schema
        basis = read_by, choice, found.route, found.limits, grant, opened, self._policies.hashes
        known = self._cache.known_decision(statement, basis, found.estimate, counted)
        if known is not None:
            return known
        circumstances = circumstances_of(
            self._visit, flavour=self._engine.flavour, statements=self.statements, rate=rate, grant=grant
        )
        statement, facts, decision = judged(statement, found, circumstances, self._policies, self._engine.rules)
        decision = self._transactions.decided(decision, statement, choice, window=self._elevations.has_window)
        considered = assessment_of(
            statement, found, facts, decision, cluster=self._visit.cluster, policies=self._policies
        )
        if opened is None and not self._policies.news:
            self._cache.keep_decision(considered, basis)
        return considered

    def _record_decision(self, number: int, considered: Assessment) -> None:
        """Record the decision; raise the server's error now if it would reject the statement."""
        estimate, denied = considered.estimate, considered.decision.verdict is Verdict.DENY
        self._recorder.decided(number, considered)
        would_fail = considered.statement.changes_nothing or is_no_statement(considered.statement, estimate)
        if estimate.objection and not estimate.disagrees and would_fail and not denied:
            raise ServerError(estimate.objection_code, estimate.objection)

    # Before the send: what a person answers, and the connection.

    def _permit(self, attempt: Attempt, considered: Assessment) -> Permit:
        """Ask the person if the verdict requires it, and make the permit.

        Raises:
            DeniedError, RefusedError, NoFitNodeError: there is no permit; the message says why.
        """
        held, window = self._elevations.grant is not None, self._elevations.has_window
        justification, statement = attempt.justification, considered.statement
        refusal = self._transactions.refusal_of(
            considered, one_grant=justification is not None or (held and not window)
        )
        if refusal is not None:
            if refusal[1] is not None:
                self._held.end_transaction(refusal[1])
            raise refusal[0]
        grant, confirmed = self._elevations.answered(
            considered,
            justification,
            number=attempt.number,
            schema=self._nodes.schema,
            sql=self._recorder.readable(considered.statement) if justification is not None else "",
            # As of the last look, when this was considered.
            closed=self._policies.news,
        )
        reads = statement.changes_nothing
        return permit_from_decision(
            considered,
            grant=grant,
            confirmed=confirmed,
            now_seconds=self._clock.monotonic(),
            within=self._transactions.is_within(considered),
            idle_seconds=self._transactions.idle_seconds(considered),
            exactly_rows=attempt.exactly_rows,
            isolation=attempt.isolation,
            keep=None if reads else self._policies.keep_order(statement, self._engine.rules, schema=self._nodes.schema),
            lapsed=self._elevations.ended,
            lacks="" if reads else self._lacking(statement),
            by_a_person=considered.decision.verdict is Verdict.ELEVATE and self._elevations.needs_a_person,
        )

    def _lacking(self, statement: Statement) -> str:
        """Return why an elevation would not help a statement, as far as that is known, or ""."""
        return self._engine.lacking(statement, schema=self._nodes.schema) or self._elevations.lacking(statement)

    def _queued(self, number: int, permit: Permit, connection: Connection, progress: Progress) -> Connection:
        """Take a slot on the connection's node; return the connection, proven again after a wait."""
        for note in self._slots.take(permit.node, connection, progress):
            self._recorder.append(Noticed(what=f"slot for statement {number}", detail=note))
        if not self._slots.waited:
            return connection
        # Who waited was proven long ago, and an elevation may have ended since.
        if self._held.proven(permit, rules=self._engine.rules) is not connection:
            raise UnreachableError(f"the connection to {permit.node} was lost while it waited for a slot")
        return connection

    def _noted(self, attempt: Attempt, considered: Assessment, permit: Permit, connection: Connection) -> Assessment:
        if permit.account is Account.DIAGNOSE:
            return considered
        lost = self._state.note_before(permit, connection, connection.rules)
        old = self._own_writes.note_before(permit, self._nodes.reading_of) if self._own_writes.are_any else ""
        back = "" if ASKS_BACK.isdisjoint(permit.statement.functions) else note_on_asking_back(permit)
        notes = (*considered.notes, *filter(None, (lost, old, back, attempt.retry_note)))
        for each in notes:
            self._recorder.append(Noticed(what=f"said beside statement {attempt.number}", detail=each))
        return considered if notes == considered.notes else replace(considered, notes=notes)

    # A second attempt.

    def _may_retry(self, statement: Statement) -> bool:
        return (
            self.to in {"", Route.REPLICA}
            and not statement.diagnosis
            and self._transactions.opened is None
            and not self._state.is_set
            and stands_alone(statement, self._engine.rules)
        )

    # What is let go of, and when.

    def _next_number(self) -> int:
        self.statements += 1
        return self.statements

    def _require_going(self) -> None:
        """Raise StoppedError if the session or this statement was stopped."""
        if interrupts.state.signal:
            raise StoppedError(
                f"nothing was sent: {interrupts.told_words()}", by="person", verified="already over", leaving=True
            )
        if self._stopped or self._interrupted:
            raise StoppedError("stopped by you: nothing was sent", by="person", verified="already over")

    def end_result(self) -> None:
        """Stop a statement whose result was not read to the end: a session runs one at a time."""
        result, self.result = self.result, None
        if result is not None:
            result.close()

    def _leave(self) -> None:
        """Release what an attempt held, however it ended; an unwritable journal ends the session."""
        with suppress(AuditUnavailableError):
            self._elevations.end_attempt()
        self._held.at_work = self.result = None
        self._slots.leave()
        self.park()

    def forget_state(self) -> None:
        self._state = SessionState()

    def park(self) -> None:
        """Give clean connections back for other sessions."""
        opened = self._transactions.opened
        self._nodes.park(but=(opened.node, opened.account) if opened is not None else None)

    def stop(self) -> str:
        """Stop the running statement and send nothing further; see `Session.stop`."""
        self._stopped = True
        return self.interrupt()

    def interrupt(self) -> str:
        """Stop the current statement; see `Session.interrupt`."""
        self._interrupted = True
        connection = self._held.at_work
        return connection.stop() if connection is not None else "already over"
