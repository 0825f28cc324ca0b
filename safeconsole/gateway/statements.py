"""Runs a client's statements: answered here, or sent through the gate in the client's transaction.

A client believes that its connection is a server's. What it believes of its transaction is kept here: a transaction of
changes lives on the primary under an elevation, one of reads on a replica, and between the two this moves it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from msgspec.structs import replace

from safeconsole.cluster.engine import Splice
from safeconsole.errors import (
    Action,
    ConfigurationError,
    DeniedError,
    NoFitNodeError,
    RefusedError,
    Remedy,
    SafeConsoleError,
)
from safeconsole.gateway.absorbing import ClientSettings, Refusal, absorbed
from safeconsole.gateway.answering import NOTE_NUMBER, Answering, Done, Note, OwnRows, notes_of_error
from safeconsole.gateway.packets import ServerStatus
from safeconsole.gateway.procedures import OwnCall, Question, call_of, question_of
from safeconsole.gateway.refusals import ErrorReply, ToldError, state_of, told_of
from safeconsole.gateway.selecting import Selection, selection_of
from safeconsole.gateway.texts import Charset
from safeconsole.policy.decision import Assessment
from safeconsole.session.context import Justification
from safeconsole.session.result import Result
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import BEGINS, Statement
from safeconsole.sqltext.vocabulary import Effect, Isolation, Route, Verdict

_PLAIN_ENDS = frozenset({"commit", "end", "rollback"})
_CHANGES = frozenset({Effect.WRITE, Effect.LOCK})
_SAVEPOINTS = frozenset({"savepoint", "release savepoint", "release"})
_SEVERAL = ErrorReply(
    number=1064,
    state="42000",
    message="several statements in one text: this client did not ask for that (CLIENT_MULTI_STATEMENTS)",
)

Ask = Callable[[Question | Selection], OwnRows | str | None]
Carry = Callable[[OwnCall], OwnRows | str]


class Statements:
    """The statements of one client connection.

    Attributes:
        has_defined: a table may be another than the client was told; whoever tells it again sets this back.

    Args:
        ask: answers a question about this connection; None where the gate has to.
        carry: carries a procedure out.
        settings: as they are after the login.
        several: whether a text may hold several statements.
        count: counts a statement by its verdict, and the seconds until it was over.
    """

    def __init__(  # noqa: PLR0913 (what a client connection is made of, each named)
        self,
        session: Session,
        rules: Callable[[], LexicalRules],
        answering: Answering,
        *,
        ask: Ask,
        carry: Carry,
        count: Callable[[str, float], None],
        time_limit: int,
        several: bool,
        settings: ClientSettings,
    ) -> None:
        self.session = session
        self.settings = self._first_settings = settings
        self.several = several
        self.justification: Justification | None = None
        self.last_done = Done(affected=-1)
        self.last_inserted = 0
        self.last_text = ""
        self.has_defined = False
        self._usual_run_seconds = session.limits.run_seconds
        self._rules = rules
        self._answering = answering
        self._ask = ask
        self._carry = carry
        self._count = count
        self._time_limit = time_limit
        self._told_open = False
        self._isolation: Isolation | None = None
        self._was_elevated = self._sets_state = False

    def run(self, text: str, *, binary: bool = False) -> bool:
        """Answer one command's text; return whether all of it went well."""
        statements = self.session.split(text)
        if not statements:
            return self.fail(ErrorReply(number=1065, state="42000", message="the text holds no statement"))
        if len(statements) > 1:
            if not self.several:
                return self.fail(_SEVERAL)
            try:
                self._judge_all(statements)
            except ToldError as error:
                return self.fail(error.told)
            except SafeConsoleError as error:
                return self.fail(told_of(error, time_limit=self._time_limit))
        for place, statement in enumerate(statements, start=1):
            if not self._one(statement, binary=binary, more=place < len(statements)):
                return False
        return True

    def fail(self, told: ErrorReply) -> bool:
        """Tell the client an error, keep its evidence for SHOW WARNINGS, and return False."""
        self._answering.notes = notes_of_error(told)
        self.last_done = Done(affected=-1)
        self._answering.error(told)
        return False

    def end_transaction(self) -> None:
        """Roll back the open transaction, as a reset does. Raises SafeConsoleError."""
        if self._told_open:
            self._say("ROLLBACK")
        self._follow()

    def rest(self) -> None:
        """Give back clean connections to the nodes: an idle client holds none."""
        if not self._told_open and not self._sets_state:
            with suppress(SafeConsoleError):
                self.session.let_go()

    def forget(self) -> None:
        """Reset to the state after the login: no settings, no variables, the first schema. Raises SafeConsoleError."""
        self.settings = replace(self._first_settings, charset=self.settings.charset)
        self.justification, self.last_done, self.last_inserted, self._was_elevated = None, Done(affected=-1), 0, False
        self.session.tighten("run_seconds", self._usual_run_seconds)
        if self._sets_state:
            # Variables are on the connections, and go with them.
            self.session.let_go()
            self.session.use_schema(self.session.context.schema)
            self._sets_state = False
        self._answering.notes = ()
        self._follow()

    def _one(self, statement: Statement, *, binary: bool, more: bool) -> bool:
        before, began = self.session.last(), time.monotonic()
        try:
            return self._outcome_of(statement, binary=binary, more=more)
        finally:
            last = self.session.last()
            verdict = last.decision.verdict.word if last is not None and last is not before else "none"
            self._count(verdict, time.monotonic() - began)

    def _outcome_of(self, statement: Statement, *, binary: bool, more: bool) -> bool:
        try:
            question = question_of(statement.text) or selection_of(statement.text, self._rules())
            own = self._ask(question) if question is not None else None
            if own is None:
                self._answering.notes = ()
                call = call_of(statement.text, self._rules())
                own = self._carry(call) if call is not None else None
            if own is not None:
                self._follow()
                self._answer_own(own, binary=binary, more=more)
                return True
            done = self._performed(statement, binary=binary, more=more)
        except ToldError as error:
            return self.fail(error.told)
        except SafeConsoleError as error:
            self._follow()
            self.last_text = statement.text
            return self.fail(told_of(self._with_end_of_elevation(error), time_limit=self._time_limit))
        self.last_done = done
        self.last_inserted = done.inserted or self.last_inserted
        return True

    def _answer_own(self, own: OwnRows | str, *, binary: bool, more: bool) -> None:
        if isinstance(own, str):
            self._answering.notes = (*self._answering.notes, *(_note(own),) * bool(own))
            self._answering.ok(more=more, info=own)
        else:
            self._answering.own(own, binary=binary, more=more)

    def _performed(self, statement: Statement, *, binary: bool, more: bool) -> Done:
        if statement.kind.startswith("set"):
            rest = self._absorb(statement)
            if rest is None:
                return self._nothing_to_do(more=more)
            statement = rest
        if self._is_end(statement) and not self._told_open:
            # What a server does without a transaction: nothing, at once.
            return self._nothing_to_do(more=more)
        if statement.kind in _SAVEPOINTS and not self._told_open and not self._begins_by_itself:
            return self._nothing_to_do(more=more)
        notes = self._bring_into_transaction(statement)
        isolation = None
        if statement.kind in BEGINS:
            isolation = self._next_isolation()
            statement = self._begin_as_asked(statement)
        self._sets_state |= Effect.SESSION in statement.effects or statement.kind == "create temporary table"
        self.has_defined |= Effect.DDL in statement.effects
        splice = Splice.BINARY if binary else Splice.TEXT
        result = self._executed(statement, splice, isolation)
        # Known before the client reads of it: an answer's status bits say whether a transaction is open.
        if not result.columns:
            with result:
                for _ in result:
                    pass
        self._follow(after=statement)
        limit = self.settings.select_limit if statement.kind == "select" else 0
        done = self._answering.spliced(result, more=more, most_rows=limit, utf8=self.settings.charset is Charset.UTF8)
        self._answering.notes = (*self._answering.notes, *map(_note, (*notes, *self.session.take_told())))
        return done

    def _executed(self, statement: Statement, splice: Splice, isolation: Isolation | None) -> Result:
        try:
            return self.session.execute(statement, splice=splice, justification=self.justification, isolation=isolation)
        except NoFitNodeError:
            # What drivers ask while they connect. Refused, their person could not even name another node.
            if self.session.to or not _asks_of_the_server_alone(statement):
                raise
        self.session.use(Route.PRIMARY)
        try:
            return self.session.execute(statement, splice=splice, justification=self.justification)
        finally:
            self.session.use("")

    def _nothing_to_do(self, *, more: bool) -> Done:
        self._answering.ok(more=more)
        return Done()

    # Several statements at once.

    def _judge_all(self, statements: Sequence[Statement]) -> None:
        """Refuse a text of several statements before the first one runs, if one of them would be refused."""
        for number, statement in enumerate(statements, start=1):
            text, rules = statement.text, self._rules()
            if question_of(text) or call_of(text, rules) or selection_of(text, rules):
                continue
            if statement.kind.startswith("set") and absorbed(statement.text, self.settings, self._rules()):
                continue
            # On record, since its plan is asked of a server.
            considered = self.session.check(statement)
            decision = considered.decision
            if decision.observed or decision.verdict is Verdict.ALLOW:
                continue
            if decision.verdict is Verdict.ELEVATE and self.session.is_elevated:
                continue
            what = f"nothing of it was run: statement {number} of {len(statements)}: {decision.message}"
            self.session.note("script refused", what, sql=statement.text)
            raise _refusal_of(considered, what, cluster=self.session.context.cluster)

    # The client's own settings.

    def _absorb(self, statement: Statement) -> Statement | None:
        """Apply the client's part of a SET; return the rest for the gate, or None."""
        found = absorbed(statement.text, self.settings, self._rules())
        if found is None:
            return statement
        if isinstance(found, Refusal):
            raise ToldError(ErrorReply(number=found.number, state=state_of(found.number), message=found.message))
        before, self.settings = self.settings, found.settings
        if self.settings.autocommit and not before.autocommit and self._told_open:
            # As servers do.
            self._say("COMMIT")
        if self.settings.run_seconds != before.run_seconds:
            self._hold_time()
        self._answering.notes = tuple(map(_note, found.notes))
        self._follow()
        return self.session.split(found.rest)[0] if found.rest else None

    def _hold_time(self) -> None:
        asked, longest = self.settings.run_seconds, self._usual_run_seconds
        try:
            self.session.tighten("run_seconds", min(asked, longest) if asked else longest)
        except ConfigurationError as error:
            self._answering.notes = (_note(f"the time limit stays as it is: {error.message}"),)

    # The client's transaction.

    @property
    def _begins_by_itself(self) -> bool:
        return not self.settings.autocommit and self.session.is_elevated

    def _is_end(self, statement: Statement) -> bool:
        return statement.kind in _PLAIN_ENDS and " TO " not in f" {' '.join(statement.text.upper().split())} "

    def _bring_into_transaction(self, statement: Statement) -> tuple[str, ...]:
        """Begin or move the client's transaction if the statement needs it; return the notes for the client.

        Raises:
            RefusedError: it needs an elevation; what is open stays open.
        """
        changes = bool(statement.effects & _CHANGES)
        opened = self.session.status().transaction if self._told_open else None
        if opened is None:
            if self._begins_by_itself and not self._told_open and (changes or statement.kind in _SAVEPOINTS):
                self._say("START TRANSACTION", isolation=self._next_isolation())
            return ()
        if opened.writes or not (changes or statement.kind in BEGINS):
            return ()
        if not self.session.is_elevated and changes:
            # Asked for its verdict alone: sent from here it would be refused for the place where it would run.
            considered = self.session.check(statement)
            if considered.decision.verdict in {Verdict.ELEVATE, Verdict.CONFIRM} and not considered.decision.observed:
                raise _refusal_of(considered, considered.decision.message, cluster=self.session.context.cluster)
            return ()
        # What was open read on a replica, and nothing is undone by leaving it.
        self._say("ROLLBACK")
        if statement.kind in BEGINS:
            return ()
        self._say("START TRANSACTION", isolation=self._isolation)
        return (f"the transaction goes on at the primary: what it read until now was read on {opened.node}",)

    def _next_isolation(self) -> Isolation | None:
        """Return the level that the transaction which begins now was asked to have."""
        asked, self.settings = self.settings.next_isolation, replace(self.settings, next_isolation=None)
        self._isolation = asked or self.settings.isolation
        return self._isolation

    def _begin_as_asked(self, statement: Statement) -> Statement:
        """Return a BEGIN completed with the mode that SET TRANSACTION chose."""
        asked, self.settings = self.settings.next_read_only, replace(self.settings, next_read_only=None)
        read_only = self.settings.read_only if asked is None else asked
        said = " ".join(statement.text.upper().split())
        if not read_only or "READ ONLY" in said or "READ WRITE" in said:
            return statement
        return self.session.split("START TRANSACTION READ ONLY")[0]

    def _say(self, text: str, *, isolation: Isolation | None = None) -> None:
        """Send a transaction statement on the client's behalf. Raises SafeConsoleError."""
        (statement,) = self.session.split(text)
        self.session.execute(statement, isolation=isolation).take()
        self._follow(after=statement)

    def _follow(self, *, after: Statement | None = None) -> None:
        """Update the status bits after a statement that may have changed the transaction."""
        if after is not None:
            ends = self._is_end(after)
            if after.kind in BEGINS or ends or self._told_open:
                opened = self.session.status().transaction
                # One that was undone stays told until it is acknowledged: what follows is no part of anything.
                self._told_open = opened is not None or (self._told_open and not ends)
        status = ServerStatus.IN_TRANSACTION if self._told_open else ServerStatus(0)
        if self.settings.autocommit:
            status |= ServerStatus.AUTOCOMMIT
        self._answering.status = status
        if self.session.is_elevated:
            self._was_elevated = True

    def _with_end_of_elevation(self, error: SafeConsoleError) -> SafeConsoleError:
        """Return a refusal that begins, once, with the end of the elevation."""
        if not self._was_elevated or self.session.is_elevated:
            return error
        self._was_elevated = False
        told = self.session.take_told()
        why = told[0] if told else "its time is over, or the cluster changed"
        return error.replaced(message=f"the elevation ended: {why}. {error.message}")


def _refusal_of(considered: Assessment, message: str, *, cluster: str) -> RefusedError:
    decision = considered.decision
    kind = DeniedError if decision.verdict is Verdict.DENY else RefusedError
    action = {Verdict.ELEVATE: Action.ELEVATE, Verdict.CONFIRM: Action.CONFIRM}.get(decision.verdict)
    return kind(
        message,
        evidence=considered.evidence,
        instead=decision.instead,
        remedies=(Remedy(action, of=cluster),) if action is not None else (),
    )


_OF_THE_SERVER = frozenset({"version", "database", "schema", "user", "current_user", "concat", "connection_id"})


def _asks_of_the_server_alone(statement: Statement) -> bool:
    """Whether it reads system variables or functions only, and no table."""
    plain = statement.kind == "select" and statement.effects == {Effect.READ} and not statement.hazards
    return plain and statement.tables_known and not statement.tables and _OF_THE_SERVER.issuperset(statement.functions)


def _note(text: str) -> Note:
    return ("Note", NOTE_NUMBER, text)
