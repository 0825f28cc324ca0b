"""The gate: the one path of every statement, readable top to bottom.

    split ─► route ─► estimate ─► decide ─► confirm or elevate ─► prove the role (and take a slot, where it is heavy)
        ─► record the intent ─► send, watched ─► rows, as they are pulled ─► record the outcome

Nothing else in the program sends a statement to a server. What fails on the way leaves a record and one error that says
why; what was not recorded is not sent. Each part of a session holds its own data and answers with values; what they
mean for one another is decided here.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress

import msgspec
from msgspec.structs import replace

from safeconsole.audit.record import CodeEntered, CommandGiven, Confirmed, Journal, Noticed, SessionClosed
from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine, Splice
from safeconsole.cluster.routing import Choice
from safeconsole.errors import (
    Action,
    AuditUnavailableError,
    DeniedError,
    LostError,
    NotSentError,
    OutcomeUnknownError,
    RefusedError,
    Remedy,
    SafeConsoleError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.policy.decision import (
    Considered,
    ElevationRequest,
    Grant,
    Permit,
    Scope,
    exact_of,
    permit_from_decision,
)
from safeconsole.policy.explanation import with_way_to_loosen
from safeconsole.policy.facts import COUNTED
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy, session_limits
from safeconsole.policy.readings import Gates, Reading
from safeconsole.session.admission import Rate, SlotQueue
from safeconsole.session.cache import Cache
from safeconsole.session.connections import Nodes
from safeconsole.session.deciding import (
    DecisionInput,
    PoliciesInForce,
    Reread,
    considered_of,
    estimate_of_no_read,
    evidence_of_nodes,
    is_estimated,
    judged,
    quoting_no_secret,
    require_alike,
)
from safeconsole.session.elevation import ElevationEvent, Elevations
from safeconsole.session.protocols import People
from safeconsole.session.recorder import Recorder
from safeconsole.session.result import Batch, Progress, Result, Tally, delivered, failure_of, unseen, unsent
from safeconsole.session.retry import may_be_sent_again, note_of_retry, stands_alone
from safeconsole.session.state import OwnWrites, SessionState
from safeconsole.session.transactions import TransactionEvent, Transactions
from safeconsole.session.visit import Plea, Status, Visit, circumstances_of
from safeconsole.sqltext.analysis import analyse, schema_after
from safeconsole.sqltext.behind import with_behind
from safeconsole.sqltext.statement import ENDS, Estimate, Statement, is_no_statement
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Role, Route, Verdict

_ENDINGS = {
    ElevationEvent.FAILED_OVER: TransactionEvent.FAILED_OVER,
    ElevationEvent.RECONNECTED: TransactionEvent.CONNECTION_LOST,
}
"""The effect of an elevation's end on a transaction that it allowed."""

_ASKED_AT_MOST = 2
"""A connection may have been cut for reasons of its own, once."""


class _Way(msgspec.Struct, kw_only=True):
    """One statement on its way; `considered`, `permit` and `connection` are known step by step."""

    number: int
    statement: Statement
    plea: Plea | None
    by_console: bool
    as_text: bool
    splice: Splice | None
    progress: Progress
    retry_note: str = ""
    considered: Considered | None = None
    permit: Permit | None = None


class Session:
    """One person's session on one cluster, for one thread at a time; `stop` may be called from another one.

    Attributes:
        visit: who came, and what for.
        policy: the rules that the session began with.
        to: where the person sends what follows, see `Visit`.
        limits: what holds for a statement before its rules tighten it.
    """

    def __init__(  # noqa: PLR0913 (what a session is made of, each named)
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
        self.to = visit.to
        self.limits = session_limits(policy, visit.limits)
        self._asked_limits = dict(visit.limits)
        self._engine = engine
        self._clock = clock
        self._confirmer = people.confirmer
        self._policies = PoliciesInForce(policy, reread)
        self._recorder = Recorder(journal, rules=lambda: engine.rules, literals=policy.literals)
        self._nodes = nodes = Nodes(engine, clock, visit.schema)
        self._elevations = Elevations(
            settings=policy.elevation,
            visit=visit,
            journal=self._recorder,
            clock=clock,
            people=people,
            is_the_demo=lambda: bool(visit.demo) and nodes.is_the_demo(visit.demo),
        )
        self._transactions = Transactions(policy.transactions, clock)
        self._cache = Cache(policy, clock)
        self._rate, self._slots = Rate(clock), SlotQueue(policy, clock)
        self._state, self._own_writes = SessionState(), OwnWrites(engine, clock)
        self._statements = 0
        self._last: Considered | None = None
        self._result: Result | None = None
        self._at_work: Connection | None = None
        self._stopped = self._interrupted = False
        self._lock, self._reader = threading.RLock(), 0

    # The road.

    def split(self, *texts: str) -> tuple[Statement, ...]:
        """Analyse texts, one after the other, into statements; never raises for what they say."""
        rules, schema = self._engine.rules, self._nodes.schema
        statements: tuple[Statement, ...] = ()
        for text in texts:
            found = self._cache.statements(text, rules, schema=schema)
            statements, schema = (*statements, *found), schema_after(found, rules, schema=schema)
        return statements

    def execute(
        self,
        statement: Statement,
        *,
        by_console: bool = False,
        plea: Plea | None = None,
        as_text: bool = False,
        splice: Splice | None = None,
        progress: Progress = unseen,
    ) -> Result:
        """Run one statement through all checks, until its first rows are here.

        A read that was lost with its replica is sent once more, to another one, where that is safe.

        Args:
            by_console: the console asks for itself, such as for completion: recorded as that, refused where a person
                would be asked, and no `last`.
            plea: what an elevation of this statement alone is asked with; None: what was said at the door.
            as_text: leave values as the text that the server sent (exports).
            splice: hand on the server's packets instead of values (gateway).
            progress: see `Progress`.

        Raises:
            SafeConsoleError: nothing was sent, or the send itself failed; the journal knows it already. What fails
                later is raised by the result.
        """
        with self._alone():
            self._end_result()
            self._interrupted = False
            way = _Way(
                number=self._next_number(),
                statement=statement,
                plea=plea or self.visit.plea,
                by_console=by_console,
                as_text=as_text,
                splice=splice,
                progress=progress,
            )
            may_retry = not by_console and self._may_retry(statement)
            try:
                result = self._attempt(way)
                failure = result.begin()
            except (LostError, UnreachableError) as error:
                if not may_retry or not (note := self._retry_note(way, error)):
                    raise
            else:
                if not may_retry or not isinstance(failure, LostError) or not (note := self._retry_note(way, failure)):
                    return result
            self._recorder.append(Noticed(what="read retried", detail=note))
            result = self._attempt(replace(way, number=self._next_number(), retry_note=note, permit=None))
            result.begin()
            return result

    def _attempt(self, way: _Way) -> Result:
        """Do everything up to the send; the result that is returned sends."""
        number = way.number
        way.statement = statement = self._as_read_now(way.statement)
        self._recorder.asked(number, statement, by_console=way.by_console)
        try:
            last = self._last
            considered = self._consider(statement)
            self._last = last if way.by_console else considered
            self._record_decision(number, considered)
            if way.by_console:
                _require_allowed(considered)
            way.permit = permit = self._permit(number, considered, way.plea)
            connection = self._proven(permit)
            if self._slots.are_for(considered):
                connection = self._queued(number, permit, connection, way.progress)
            way.considered = considered = self._noted(way, considered, permit, connection)
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
                self._recorder.ended(self._recorder.refused(number, statement, failure), durable=True)
            finally:
                self._leave()
            if isinstance(error, SafeConsoleError) and failure is not error:
                raise failure from None
            raise
        tally = Tally(self._clock)
        self._reader = threading.get_ident()
        self._result = Result(considered, self._answered(way, considered, permit, connection, tally), tally)
        return self._result

    def _answered(
        self, way: _Way, considered: Considered, permit: Permit, connection: Connection, tally: Tally
    ) -> Generator[Batch]:
        """Send, yield once when the statement is sent and then its rows, and record how it ended."""
        try:
            try:
                self._at_work = connection
                # MUST come after it is held: whoever stops meanwhile finds either the word kept, or something to stop.
                self._require_going()
                self._rate.sent()
                watch = self._recorder.watching(way.number, way.progress)
                answer = connection.send(permit, watch=watch, as_text=way.as_text, splice=way.splice)
                tally.columns, tally.head = answer.columns, answer.head
                yield ()
                yield from delivered(answer, connection, permit.limits, tally)
                completion = answer.finish()
            except BaseException as error:
                failure = self._failed(way.number, considered, permit, connection, tally, error)
                if isinstance(error, GeneratorExit) and isinstance(failure, StoppedError):
                    return
                if failure is error:
                    raise
                # The engine's own error says the same in other words, which may quote what this one leaves out.
                hidden = isinstance(error, SafeConsoleError) or not isinstance(error, Exception)
                raise failure from (None if hidden else error)
            self._at_work = None
            tally.warnings = completion.warnings
            # Before the record: what the server did is so, whatever fails after it.
            self._nodes.was_used(permit.node, permit.route)
            self._record(self._transactions.went_on(permit, completion))
            if permit.statement.kind == "use":
                self._nodes.change_schema(connection.schema, keep=connection)
            self._state.was_done(permit, connection)
            self._hold_asked(permit)
            self._own_writes.wrote(permit)
            tally.ended = self._recorder.done(way.number, completion, tally)
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
        failure = with_way_to_loosen(failure_of(error, connection, permit), considered.decision, self.policy)
        self._at_work = None
        if isinstance(failure, OutcomeUnknownError):
            self._own_writes.wrote(permit)
        try:
            self._let_go_after(permit, connection, failure)
        finally:
            tally.ended = self._recorder.failed(number, permit.statement, failure, tally)
            self._recorder.ended(tally.ended)
        return failure

    # Before the send: what is found out, and what is decided.

    def _as_read_now(self, statement: Statement) -> Statement:
        """Return a statement as it is read now: it may have been split in another schema, or by other rules."""
        rules = self._engine.rules
        if not (self._nodes.has_moved or self._cache.may_have_read_otherwise(rules)):
            return statement
        again = analyse(statement.text, rules, schema=self._nodes.schema)
        # A text of several, under a delimiter of its own, is never a read and says its schemas itself.
        return replace(again[0], vertical=statement.vertical) if len(again) == 1 else statement

    def _consider(self, statement: Statement) -> Considered:
        """Route, estimate and decide. Raises UnreachableError, ConfigurationError: the cluster cannot be asked."""
        self._settle()
        if self._policies.look() and self._elevations.grant is not None:
            # It was granted by what the policy said before.
            self._end_elevated(ElevationEvent.POLICY_CHANGED)
        to, window = self._transactions.narrowed(statement, self.to), self._elevations.has_window
        route = self._transactions.route_of(statement, to=to, window=window)
        choice = self._choose(statement, route, to, connected=statement.changes_nothing)
        estimate = quoting_no_secret(self._estimate(statement, choice), statement, self._engine.rules)
        through = with_behind(statement, estimate.behind)
        if through.effects != statement.effects:
            # It is what stands behind its names, and belongs where a text that says so belongs.
            route = self._transactions.route_of(through, to=to, window=self._elevations.has_window)
            choice = self._choose(through, route, to, connected=through.changes_nothing)
        if estimate.disagrees and not to:
            # It is no read after all, and belongs where changes belong.
            route = Route.PRIMARY
            choice = self._choose(through, route, to, connected=False)
        found = DecisionInput(choice=choice, estimate=estimate, route=route, limits=self.limits)
        self._last = self._decide(through, found)
        return self._last

    def _choose(self, statement: Statement, route: Route, to: str, *, connected: bool) -> Choice:
        """Choose the node; while a transaction is open, the one it is open on, as long as that is of the right kind."""
        gates, opened = self._policies.gates, self._transactions.opened
        choice = None
        if to not in {"", Route.PRIMARY, Route.REPLICA}:
            choice = self._nodes.choose(route, gates, node=to, connected=connected)
        elif opened is not None:
            # Whatever the load: what is open is ended where it is open.
            ends = Gates(threads_running=sys.maxsize) if statement.kind in ENDS else gates
            connected = connected and not opened.writes
            choice = self._nodes.choose(route, ends, node=opened.node, connected=connected)
            if choice.reading is None or choice.reading.role is not Role(route):
                choice = None
        if choice is None:
            choice = self._nodes.choose(route, gates, node="", connected=connected)
        if self._nodes.take_failover():
            # The elevation was asked for the cluster as it was.
            self._end_elevated(ElevationEvent.FAILED_OVER)
        return choice

    def _estimate(self, statement: Statement, choice: Choice) -> Estimate:
        """Ask the server's opinion of what is a read, and of what nobody understood: it may say what is wrong."""
        if not statement.is_plain_read:
            self._cache.forget_estimates()
        if choice.reading is None or not is_estimated(statement):
            return Estimate()
        node, rules, schema = choice.reading.node, self._engine.rules, self._nodes.schema
        if not (statement.changes_nothing and Effect.READ in statement.effects):
            connection = None
            with suppress(SafeConsoleError):
                connection = self._nodes.connect(node, Account.READ)
            return estimate_of_no_read(statement, connection, rules, schema)
        for _ in range(_ASKED_AT_MOST):
            connection = self._nodes.connect(node, Account.READ)
            require_alike(statement, connection, rules=rules, schema=schema)
            where = self._nodes.number_of(node, Account.READ), connection.schema
            estimate = self._cache.known_estimate(statement, where)
            if estimate is None:
                asked_seconds = self._clock.monotonic()
                estimate = connection.estimate(statement)
                self._cache.keep_estimate(statement, where, estimate, asked_seconds=asked_seconds)
            if estimate.asked or not connection.broken:
                return estimate
        raise UnreachableError(
            f"{node} was asked for its plan of this, and lost the connection over it; nothing was sent",
            instead="look at the server, or use another node",
            remedies=(Remedy(Action.NAME_NODE),),
        )

    def _decide(self, statement: Statement, found: DecisionInput) -> Considered:
        """Return the policies' decision; one on identical inputs is reused."""
        reading, opened = found.choice.reading, self._transactions.opened
        server = reading.identity.server if reading and reading.identity else ""
        grant, rate = (
            self._elevations.covering(statement.text, server) if self._elevations.grant else None,
            self._rate.read(),
        )
        counted: dict[str, object] = dict(zip(COUNTED, (self._statements, *rate), strict=True))
        read_by = self._engine.rules, self._nodes.schema
        basis = read_by, found.choice, found.route, found.limits, grant, opened, self._policies.hashes
        known = self._cache.known_decision(statement, basis, found.estimate, counted)
        if known is not None:
            return known
        circumstances = circumstances_of(
            self.visit, flavour=self._engine.flavour, statements=self._statements, rate=rate, grant=grant
        )
        statement, facts, decision = judged(statement, found, circumstances, self._policies)
        decision = self._transactions.decided(
            decision,
            statement,
            node=reading.node if reading else None,
            route=found.choice.route,
            window=self._elevations.has_window,
        )
        considered = considered_of(
            statement, found, facts, decision, cluster=self.visit.cluster, policies=self._policies
        )
        if opened is None and not self._policies.news:
            self._cache.keep_decision(considered, basis)
        return considered

    def _record_decision(self, number: int, considered: Considered) -> None:
        """Record what was decided; what the server would answer with an error is answered with it now."""
        estimate, denied = considered.estimate, considered.decision.verdict is Verdict.DENY
        self._recorder.decided(number, considered)
        would_fail = considered.statement.changes_nothing or is_no_statement(considered.statement, estimate)
        if estimate.objection and not estimate.disagrees and would_fail and not denied:
            raise ServerError(estimate.objection_code, estimate.objection)

    # Before the send: what a person answers, and the connection.

    def _permit(self, number: int, considered: Considered, plea: Plea | None) -> Permit:
        """Ask the person where the verdict demands it, and make the permit of the answer.

        Raises:
            DeniedError, RefusedError, NoFitNodeError: there is no permit; the message says why.
        """
        held, window = self._elevations.grant is not None, self._elevations.has_window
        refusal = self._transactions.refusal_of(considered, one_grant=plea is not None or (held and not window))
        if refusal is not None:
            if refusal[1] is not None:
                self._end_transaction(refusal[1])
            raise refusal[0]
        decision, identity, statement = considered.decision, considered.identity, considered.statement
        confirmed = False
        grant = None
        if identity is not None and self._elevations.grant is not None:
            grant = self._elevations.covering(statement.text, identity.server)
        if grant is None and identity is not None and not decision.observed:
            if decision.verdict is Verdict.CONFIRM:
                confirmed = self._is_confirmed(number, considered)
            elif decision.verdict is Verdict.ELEVATE and plea is not None:
                request = ElevationRequest(
                    cluster=self.visit.cluster,
                    scope=Scope.STATEMENT,
                    reason=plea.reason,
                    ticket=plea.ticket,
                    digest=statement.digest,
                    exact=exact_of(statement.text),
                    statement=number,
                    schema=self._nodes.schema,
                    server=identity.server,
                    window_seconds=self.policy.elevation.window_seconds,
                )
                sql = self._recorder.readable(statement)
                grant = self._elevations.ask(request, considered, sql=sql, closed=self._policies.look())
                # Whoever answered saw the statement with everything that a brake would say.
                confirmed = self.visit.person.terminal or self._elevations.needs_a_person
        if grant is not None and decision.brakes and decision.verdict is Verdict.ELEVATE and not confirmed:
            confirmed = self._is_released(number, considered, plea) or self._is_confirmed(number, considered)
        return permit_from_decision(
            considered,
            grant=grant,
            confirmed=confirmed,
            now_seconds=self._clock.monotonic(),
            within=self._transactions.is_within(considered),
            idle_seconds=self._transactions.idle_seconds(considered),
            by_a_person=decision.verdict is Verdict.ELEVATE and self._elevations.needs_a_person,
        )

    def _is_released(self, number: int, considered: Considered, plea: Plea | None) -> bool:
        """Whether every rule that asks once more was answered beforehand; that is recorded as an answer."""
        decision = considered.decision
        if plea is None or not set(plea.despite).issuperset(decision.brakes):
            return False
        answer = f"given beforehand: {', '.join(decision.brakes)}"
        confirmed = Confirmed(statement=number, digest=considered.statement.digest, answer=answer)
        self._recorder.append(confirmed, durable=True)
        return True

    def _is_confirmed(self, number: int, considered: Considered) -> bool:
        """Ask whether to run exactly this, and record the answer; an interrupt is a no."""
        answer = "interrupted"
        try:
            answer = "yes" if self._confirmer.confirm(considered) else "no"
        except KeyboardInterrupt:
            pass
        finally:
            digest = considered.statement.digest
            self._recorder.append(Confirmed(statement=number, digest=digest, answer=answer), durable=True)
        return answer == "yes"

    def _proven(self, permit: Permit) -> Connection:
        """Return the connection for a permit, with the instance and its role proven on the live session.

        Raises:
            RefusedError: the server or its role is not what the permit was made for; the elevation ends.
            UnreachableError, ConfigurationError: as `Engine.connect`.
        """
        if self._settle() and permit.elevation:
            raise RefusedError("nothing was sent: the elevation ended", instead="check the topology, then run it again")
        if permit.within and self._transactions.opened is None:
            raise RefusedError("nothing was sent: the transaction that it belongs to is over")
        connection = self._nodes.connect(permit.node, permit.account)
        require_alike(permit.statement, connection, rules=self._engine.rules, schema=self._nodes.schema)
        if connection.identity.server != permit.identity.server:
            found = f"{permit.node} is now another server: {connection.identity.server}"
        elif permit.read_only and permit.account is Account.READ and permit.route is Route.REPLICA:
            # It is compared by the connection, when the permit is sent.
            return connection
        else:
            reading = connection.prove()
            if reading.role == Role(permit.route):
                return connection
            role = "of unknown role" if reading.role is Role.UNKNOWN else f"a {reading.role}"
            found = f"{permit.node} is now {role}: {reading.proof}"
        # Kept, a connection that leads elsewhere would refuse everything that comes after.
        self._end_transaction(TransactionEvent.FAILED_OVER)
        self._nodes.drop_node(permit.node)
        self._void(ElevationEvent.FAILED_OVER)
        raise RefusedError(
            f"nothing was sent: {found}",
            instead="check the topology, then run it again; an elevation does not survive a failover",
        )

    def _queued(self, number: int, permit: Permit, connection: Connection, progress: Progress) -> Connection:
        """Take a slot on the connection's node, and return the connection, proven again where that took time."""
        for note in self._slots.take(permit.node, connection, progress):
            self._recorder.append(Noticed(what=f"slot for statement {number}", detail=note))
        if not self._slots.waited:
            return connection
        # Who waited was proven long ago, and an elevation may have ended since.
        if self._proven(permit) is not connection:
            raise UnreachableError(f"the connection to {permit.node} was lost while it waited for a slot")
        return connection

    def _noted(self, way: _Way, considered: Considered, permit: Permit, connection: Connection) -> Considered:
        lost = self._state.note_before(permit, connection, connection.rules)
        old = ""
        if self._own_writes.are_any:
            old = self._own_writes.note_before(permit, self._nodes.reading_of(permit.node))
        notes = (*considered.notes, *filter(None, (lost, old, way.retry_note)))
        for each in notes:
            self._recorder.append(Noticed(what=f"said beside statement {way.number}", detail=each))
        return considered if notes == considered.notes else replace(considered, notes=notes)

    # A second attempt.

    def _may_retry(self, statement: Statement) -> bool:
        return (
            self.to in {"", Route.REPLICA}
            and self._transactions.opened is None
            and not self._state.is_set
            and stands_alone(statement, self._engine.rules)
        )

    def _retry_note(self, way: _Way, failure: SafeConsoleError) -> str:
        """Return the note on a retry, "" without one: see `retry`."""
        lost_with: NodeName | None = None
        if isinstance(failure, LostError):
            if way.considered is None or way.permit is None or not may_be_sent_again(way.considered, way.permit):
                return ""
            lost_with = way.permit.node
        try:
            readings = self._nodes.measure()
            choice = self._nodes.choose(Route.REPLICA, self._policies.gates, node="", connected=True)
        except SafeConsoleError:
            return ""
        return note_of_retry(failure, lost_with, readings, choice)

    # What is let go of, and when.

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other threads out: what is open and what is elevated belong to one at a time. Raises DeniedError."""
        if not self._lock.acquire(blocking=False):
            raise _in_use()
        try:
            result = self._result
            if result is not None and result.ended is None and self._reader != threading.get_ident():
                raise _in_use()
            yield
        finally:
            self._lock.release()

    def _next_number(self) -> int:
        self._statements += 1
        return self._statements

    def _require_going(self) -> None:
        """Refuse to go on once the session, or this statement, was stopped. Raises StoppedError."""
        if self._stopped or self._interrupted:
            raise StoppedError("stopped by you: nothing was sent", by="person", verified="already over")

    def _end_result(self) -> None:
        """Stop the statement whose result nobody read to its end: a session has one at a time."""
        result, self._result = self._result, None
        if result is not None:
            result.close()

    def _leave(self) -> None:
        """Release what one attempt held, however it ended; a journal that cannot be written ends the session."""
        with suppress(AuditUnavailableError):
            self._elevations.end_attempt()
        self._at_work = self._result = None
        self._slots.leave()

    def _hold_asked(self, permit: Permit) -> None:
        for ask in permit.statement.asks if permit.statement.kind == "set" else ():
            # A policy that only observes lets more pass; the read-back of the guards then ends that connection.
            if ask.value <= getattr(permit.limits, ask.limit):
                self.tighten(ask.limit, ask.value)

    def _let_go_after(self, permit: Permit, connection: Connection, failure: SafeConsoleError) -> None:
        """Release connections after a failed statement; an elevation does not survive a broken connection."""
        event = self._transactions.failed(permit, connection, failure)
        if event is TransactionEvent.SERVER_ENDED:
            self._record(self._transactions.end(event))
        elif event is not None:
            self._end_transaction(event)
        if isinstance(failure, ServerError):
            self._settle()
            return
        self._nodes.forget()
        self._nodes.drop(permit.node, permit.account)
        if isinstance(failure, NotSentError) and not isinstance(failure, UnreachableError):
            # It is not what it was: nothing that was opened to it before is used again.
            self._nodes.drop_node(permit.node)
            self._void(ElevationEvent.FAILED_OVER)
        elif permit.account is Account.ELEVATED:
            self._void(ElevationEvent.RECONNECTED)

    def _settle(self) -> bool:
        """Release what is broken or over; return whether an elevation ended by that."""
        if self._at_work is not None:
            return False
        was_elevated, opened = self._elevations.grant is not None, self._transactions.opened
        lost = False
        if opened is not None and self._transactions.has_idled:
            self._end_transaction(TransactionEvent.IDLED)
        elif opened is not None and self._nodes.is_lost(opened.node, opened.account):
            self._end_transaction(TransactionEvent.CONNECTION_LOST)
            lost = opened.writes
        broken = self._nodes.discard_broken()
        if broken:
            self._nodes.forget()
        if lost or Account.ELEVATED in broken:
            self._void(ElevationEvent.RECONNECTED)
        try:
            if was_elevated:
                self._elevations.current()
        finally:
            if self._elevations.grant is None:
                self._drop_elevated(ElevationEvent.TIME_PASSED)
        return was_elevated and self._elevations.grant is None

    def _void(self, event: ElevationEvent) -> None:
        """End the elevation and what it opened; the cluster changed."""
        self._nodes.forget()
        self._end_elevated(event)

    def _end_elevated(self, event: ElevationEvent) -> None:
        try:
            self._drop_elevated(event)
        finally:
            self._elevations.end(event)

    def _drop_elevated(self, event: ElevationEvent) -> None:
        """Close the elevated account's connections; open transactions on them are rolled back and reported."""
        opened = self._transactions.opened
        try:
            if opened is not None and opened.account is Account.ELEVATED:
                self._end_transaction(_ENDINGS.get(event, TransactionEvent.ELEVATION_ENDED))
        finally:
            self._nodes.drop_elevated()

    def _end_transaction(self, event: TransactionEvent) -> None:
        """Close the connection of what is open, if anything is: the server undoes what was not committed."""
        opened = self._transactions.opened
        if opened is not None:
            self._nodes.drop(opened.node, opened.account)
            self._record(self._transactions.end(event))

    def _record(self, notice: Noticed | None) -> None:
        if notice is not None:
            self._recorder.append(notice, durable=True)

    # The doors beside it: none of them sends what a person wrote.

    def consider(self, statement: Statement) -> Considered:
        """Route, estimate and decide, and run nothing.

        Raises:
            UnreachableError, ConfigurationError: the cluster cannot be asked at all.
        """
        with self._alone():
            return self._consider(statement)

    def check(self, statement: Statement) -> Considered:
        """Consider a statement on record, and run nothing; raises as `consider`."""
        with self._alone():
            number = self._next_number()
            statement = self._as_read_now(statement)
            self._recorder.asked(number, statement, by_console=False)
            considered = self._consider(statement)
            self._recorder.decided(number, considered)
            self._recorder.append(Noticed(what=f"statement {number} was only checked", detail="it is not run"))
            return considered

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
                self._void(ElevationEvent.FAILED_OVER)
            settings = self.policy.elevation
            try:
                request = ElevationRequest(
                    cluster=self.visit.cluster,
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
        """Return the tables of the change that lacked an elevation last: a window is opened on that."""
        last = self._last
        if last is None or last.decision.verdict is not Verdict.ELEVATE:
            return ()
        changes = not last.statement.effects.isdisjoint({Effect.WRITE, Effect.DDL})
        return tuple(dict.fromkeys(map(str, last.statement.tables))) if changes else ()

    def stand_down(self) -> None:
        with self._alone():
            self._void(ElevationEvent.STOOD_DOWN)

    @property
    def is_elevated(self) -> bool:
        """Whether an elevation is held; it may have expired."""
        return self._elevations.grant is not None

    def status(self) -> Status:
        """The status for a prompt; never raises.

        It lets go of what is over, so it is asked by the thread that runs statements, and by no other: an idle
        connection with something to read is a broken one, unless somebody else is just being answered on it.
        """
        # Another thread that is at work lets go of what is over itself.
        with suppress(AuditUnavailableError, DeniedError), self._alone():
            # An elevation that is over ends here too, so that nothing stays open at an idle prompt.
            self._settle()
        used = self._nodes.used
        return Status(
            cluster=self.visit.cluster,
            environment=self.visit.environment,
            node=used or "",
            role=self._nodes.role_of(used) if used else "",
            schema=self._nodes.schema,
            elevated_seconds=self._elevations.remaining_seconds(),
            limits=self.limits,
            to=self.to,
            transaction=self._transactions.opened,
            transaction_seconds=self._transactions.open_seconds,
            servers=self._nodes.servers,
        )

    @property
    def needs_a_person(self) -> bool:
        """Whether the person is an agent whose elevations somebody else has to approve."""
        return self._elevations.needs_a_person

    def last(self) -> Considered | None:
        return self._last

    def use(self, to: str) -> None:
        """Send what follows to "replica", "primary", a node's name, or "" to let the console choose."""
        with self._alone():
            known = "", Route.PRIMARY, Route.REPLICA
            if to not in known and to not in (nodes := [reading.node for reading in self._nodes.measure()]):
                raise RefusedError(
                    f"cluster {self.visit.cluster} has no node {to}", instead=f"one of {', '.join(nodes)}"
                )
            self.to = to

    def use_schema(self, schema: str) -> None:
        """Change the session's schema; what it is, the next statement finds out.

        Raises:
            RefusedError: a transaction is open, whose connection is in the schema of now.
        """
        with self._alone():
            opened = self._transactions.opened
            if opened is not None:
                raise RefusedError(
                    f"a transaction is open on {opened.place}, and the schema is changed by opening connections anew",
                    instead="end the transaction first, with COMMIT or ROLLBACK",
                )
            self._nodes.change_schema(schema)

    @property
    def told(self) -> tuple[str, ...]:
        return self._transactions.told

    def take_told(self) -> tuple[str, ...]:
        """Return, once, pending messages to the person: how a transaction ended."""
        with suppress(AuditUnavailableError, DeniedError), self._alone():
            self._settle()
        return self._transactions.take_told()

    def tighten(self, name: str, value: float) -> Limits:
        """Set one ceiling for the session: tighter always, looser up to the policy's ceilings.

        Raises:
            ConfigurationError: it is unknown, out of range, or looser than the policy allows.
        """
        asked = {**self._asked_limits, name: value}
        self.limits, self._asked_limits = session_limits(self.policy, asked), asked
        return self.limits

    @property
    def addresses(self) -> tuple[str, ...]:
        """The nodes' addresses at the last measurement; may be read from any thread."""
        return self._nodes.addresses

    def topology(self) -> tuple[Reading, ...]:
        with self._alone():
            return self._nodes.measure()

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

    def stop(self) -> str:
        """Stop what runs, and let nothing further be sent; for another thread than the session's.

        Called again, it no longer waits for a gentle end. What is just about to be sent is not met by the first call:
        it is called until that thread is through.

        Returns:
            As `Connection.stop`.
        """
        self._stopped = True
        return self.interrupt()

    def interrupt(self) -> str:
        """Stop the statement that runs or is about to be sent, and let the session go on; from another thread.

        Returns:
            As `Connection.stop`.
        """
        self._interrupted = True
        connection = self._at_work
        return connection.stop() if connection is not None else "already over"

    def close(self, reason: str = "") -> tuple[str, ...]:
        """End the session: what runs is over, connections are closed, the journal is durable; never raises.

        Returns:
            What the person should know: a transaction that was undone, notices that were not delivered, and that a
            session that used break-glass waits for their closing note.
        """
        troubles: tuple[str, ...] = ()
        try:
            self._let_go()
            self._elevations.end(ElevationEvent.SESSION_ENDED)
            undelivered = self._elevations.settle()
            troubles = (*self._transactions.take_told(), *undelivered, *self._owed())
            for trouble in undelivered:
                self.note("notice not delivered", trouble)
            self._recorder.append(SessionClosed(statements=self._statements, reason=reason))
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
                self._end_result()
            self._end_transaction(TransactionEvent.LEFT)
        finally:
            self._nodes.close()


def _in_use() -> DeniedError:
    return DeniedError(
        "nothing was sent: another thread uses this session",
        instead="run one statement after the other, or open a session for each thread",
    )


def _require_allowed(considered: Considered) -> None:
    """Refuse what the console asks for itself unless it is plainly allowed: nobody is asked for its comfort."""
    if considered.decision.verdict is not Verdict.ALLOW:
        raise RefusedError(f"the console does not ask for this by itself: {considered.decision.message}")
