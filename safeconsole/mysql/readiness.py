"""What holds on a statement connection, and what was made ready on it for the coming statement."""

from __future__ import annotations

import time

import msgspec

from safeconsole.errors import RefusedError, UnreachableError
from safeconsole.mysql.error_codes import is_lost, text_of
from safeconsole.mysql.guards import (
    BEGIN,
    CHARACTERS,
    UNDO,
    Bracket,
    Proof,
    ServerSession,
    are_set_anew,
    bracket_of,
    enforce_each,
    first_open,
    guards_of,
    idle_setting,
    is_open,
    opening_of,
    proof_of,
    read_back,
    reading_of,
    setting_of,
)
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.measuring import Measured, Questions
from safeconsole.mysql.topology import prove_role
from safeconsole.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, DriverError, Question, ServerReply
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.vocabulary import Account, Route

_OWN = frozenset({Bracket.READ_ONLY, Bracket.READ_WRITE})
"""Brackets that are a transaction of the console's own; empty, it holds nothing."""

READY_SECONDS = 1.0
"""How long what was read back holds for the statement that follows it at once."""


class _Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A bracket that stands open with nothing in it, guards read back, for the statement's send.

    Attributes:
        read_seconds: monotonic reading when it was asked for.
        writes: as `Wire.writes` then; whatever was asked since makes it worthless.
        permit: the one that it was made for, None for any read that is allowed the same.
        measured: what the server said of its role in the same flight, None where it was not asked.
    """

    proof: Proof
    bracket: Bracket
    read_seconds: float
    writes: int
    permit: Permit | None = None
    measured: Measured | None = None


class Readiness:
    """The guards of one connection, the limits that they are set to, and the bracket that stands by.

    Args:
        session: what the session said when its guards were read back, for the default limits.
    """

    def __init__(self, link: MySqlLink, session: ServerSession) -> None:
        self.session = session
        self.guards = guards_of(link.dialect, link.version)
        self.ready: _Ready | None = None
        self._link = link
        self._reading = reading_of(link.dialect, self.guards)
        self._following = tuple(guard for guard in self.guards if guard.limit)
        self._limits = Limits()
        self._held: tuple[dict[str, str], str, Limits] | None = None

    def renew(self, *first: Question) -> bool:
        """Set all guards anew and read them back, after some commands; False where it is not what it was.

        Raises:
            DriverError, OSError, ValueError: the connection is lost, or the server refused.
        """
        limits = Limits()
        setting = setting_of(self.guards, limits, first=f"{CHARACTERS}, SESSION autocommit = 1")
        proof = read_back(self._link.wire, self._reading, self.guards, first=(*first, setting))
        if proof.in_transaction or not self._is_alike(proof.session, limits):
            return False
        self._limits, self.ready = limits, None
        self._adopt(proof.session)
        return True

    def reread(self, *first: Question) -> bool:
        """Read the guards back, after some commands; False where it is not what it was. Raises as `renew`."""
        self.stand_down()
        session = read_back(self._link.wire, self._reading, self.guards, first=first).session
        if not self._is_alike(session, self._limits):
            return False
        self._adopt(session)
        return True

    def _is_alike(self, session: ServerSession, limits: Limits) -> bool:
        is_same = (session.server, session.sql_mode) == (self.session.server, self.session.sql_mode)
        return is_same and not first_open(self.guards, session, limits)

    def _adopt(self, session: ServerSession) -> None:
        self.session, self._held, self._link.schema = session, None, session.schema

    # What stands by.

    @property
    def behind_a_plan(self) -> tuple[str, ...]:
        """What is asked in the flight of a plan, for `stand_by`."""
        return UNDO, self._reading, BEGIN

    def stand_by(self, replies: list[ServerReply], asked_seconds: float) -> None:
        """Keep the guards read back with a plan, and its open transaction, for the statement's send.

        Raises:
            DriverError, OSError, ValueError: the connection is lost, or a setting cannot be read.
        """
        wire = self._link.wire
        undone, read, begun = replies
        if undone.error is not None:
            raise undone.error
        if read.error is not None or begun.error is not None:
            # A kill that was meant for the plan came late.
            wire.run_unawaited(UNDO)
            return
        proof = proof_of(read, self.guards, behind=[begun])
        self.ready = _Ready(proof=proof, bracket=Bracket.READ_ONLY, read_seconds=asked_seconds, writes=wire.writes)

    def stand_down(self) -> None:
        """End what stands by, before anything else is sent. Raises DriverError, OSError."""
        for text in self._undoing():
            self._link.wire.run_unawaited(text)

    def _undoing(self) -> tuple[str, ...]:
        ready, self.ready = self.ready, None
        return (UNDO,) if ready is not None and ready.bracket in _OWN and not self._link.broken else ()

    def prove(self, permit: Permit | None) -> Measured:
        """Ask the server which one it is and what its role is, in one round trip.

        With a permit the flight also sets its limits, reads the guards back and opens its bracket, so that the
        statement can follow at once.

        Raises:
            DriverError, OSError, ValueError: the connection is lost, or the server does not say.
        """
        link, started = self._link, time.monotonic()
        link.wire.wait_at_most(link.patience_seconds)
        questions = Questions(dialect=link.dialect, with_health=False)
        bracket = self._bracket(permit) if permit is not None else Bracket.LIFTED
        # A level is for the next transaction, whichever that would be; and nothing stands by that may write at once.
        if permit is None or permit.isolation is not None or bracket is Bracket.LIFTED:
            self.stand_down()
            return questions.measured(link.wire, link.wire.flight(*questions.texts))
        undoing, asked = self._undoing(), questions.texts
        settings, opening = self._settings(permit), self._opening(bracket, permit)
        replies = link.wire.flight(*undoing, *settings, self._reading, *asked, *opening)
        set_up, (read, *behind) = replies[: len(undoing + settings)], replies[len(undoing + settings) :]
        measured, opened = questions.measured(link.wire, behind[: len(asked)]), behind[len(asked) :]
        if any(reply.error is not None for reply in (*set_up, read, *opened)):
            # Asked once more when it is sent, one by one where it must be, to say what is refused.
            if bracket in _OWN:
                link.wire.run_unawaited(UNDO)
            return measured
        self._limits = permit.limits
        # Of the session's status an error says nothing, and a server may refuse to tell of a group.
        proof = proof_of(read, self.guards, behind=opened)
        if bracket in _OWN:
            # What stands by is the console's, and no transaction of the person's.
            link.wire.server_status &= ~(IN_TRANSACTION | IN_TRANSACTION_READONLY)
        self.ready = _Ready(
            proof=proof,
            bracket=bracket,
            read_seconds=started,
            writes=link.wire.writes,
            permit=permit,
            measured=measured,
        )
        return measured

    # The send.

    def make_ready(self, permit: Permit) -> Bracket:
        """Set the permit's limits, read back every guard, and open the transaction around the statement.

        All of it is one round trip, none where it was done a moment ago: whoever finds anything amiss ends the
        connection, and the bracket with it.

        Raises:
            UnreachableError: a guard is not in force, or the transaction is not what it was asked to be.
            RefusedError: the server or its session is not what the permit was made for.
            DriverError, OSError: the connection is lost, or the server refused.
        """
        link = self._link
        link.wire.wait_at_most(link.patience_seconds)
        # What may change something goes to a server whose whole role is proven in the same flight.
        proves = not permit.read_only or permit.account is Account.ELEVATED
        bracket, ready = self._bracket(permit), self.ready
        measured: Measured | None = None
        refused: DriverError | None = None
        if ready is not None and self._is_good_for(permit, ready, bracket, proves=proves):
            self.ready = None
            proof, measured = ready.proof, ready.measured
            link.wire.server_status = proof.status
        else:
            proof, measured, refused = self._opened(permit, bracket, proves=proves)
        self._require_alike(permit, proof.session)
        if measured is not None:
            self._require_role(permit, measured)
        if refused is not None:
            raise refused
        if not is_open(bracket, permit, was_in_transaction=proof.in_transaction, status=proof.status):
            raise UnreachableError(
                f"the transaction on {link.node} is not open any more; nothing was sent"
                if permit.within
                else f"{link.node} did not open the transaction that it was asked for; nothing was sent"
            )
        self.session, link.schema = proof.session, proof.session.schema
        return bracket

    def _opened(
        self, permit: Permit, bracket: Bracket, *, proves: bool
    ) -> tuple[Proof, Measured | None, DriverError | None]:
        """Open a bracket in one round trip; return also what the server refused of that. Raises as `make_ready`."""
        link, questions = self._link, Questions(dialect=self._link.dialect, with_health=False)
        asked = questions.texts if proves else ()
        undoing, settings, opening = self._undoing(), self._settings(permit), self._opening(bracket, permit)
        try:
            proof = read_back(
                link.wire, self._reading, self.guards, first=(*undoing, *settings), then=(*asked, *opening)
            )
        except DriverError as error:
            if not is_lost(error):
                enforce_each(link.wire, self._following, permit.limits, server=link.node)
            raise
        self._limits = permit.limits
        measured = questions.measured(link.wire, proof.replies[: len(asked)]) if asked else None
        # Who is no primary any more refuses to open it, which says less than its role.
        return proof, measured, next((each.error for each in proof.replies[len(asked) :] if each.error), None)

    def _bracket(self, permit: Permit) -> Bracket:
        return bracket_of(permit, in_transaction=bool(self._link.wire.server_status & IN_TRANSACTION))

    def _opening(self, bracket: Bracket, permit: Permit) -> tuple[str, ...]:
        return opening_of(bracket, permit, read_only_variable=self._link.dialect.server.read_only_variable)

    def _settings(self, permit: Permit) -> tuple[str, ...]:
        following, limits, variables = self._following, permit.limits, self._link.dialect.server.idle_variables
        setting = (setting_of(following, limits),) if are_set_anew(following, self._limits, limits) else ()
        return (*setting, idle_setting(variables, permit.idle_seconds)) if permit.idle_seconds else setting

    def _is_good_for(self, permit: Permit, ready: _Ready, bracket: Bracket, *, proves: bool) -> bool:
        is_new = time.monotonic() - ready.read_seconds < READY_SECONDS and ready.writes == self._link.wire.writes
        if not is_new or ready.bracket is not bracket:
            return False
        if ready.permit is not None:
            return ready.permit is permit
        return not proves and not permit.idle_seconds and not are_set_anew(self._following, self._limits, permit.limits)

    def _require_alike(self, permit: Permit, session: ServerSession) -> None:
        link = self._link
        open_guard = self._first_open(session, permit.limits)
        if open_guard:
            raise UnreachableError(f"{link.node} lost a guard: {open_guard}; nothing was sent")
        if session.server != permit.identity.server:
            raise RefusedError(f"{link.node} answers as another server now: nothing was sent")
        if session.sql_mode != self.session.sql_mode:
            raise RefusedError(f"{link.node} reads text by another sql_mode now: nothing was sent")
        # One of several that take writes is read as a replica is, by the account that may not write.
        may_write = session.writable and not (link.shares_writes and permit.account is Account.READ)
        if permit.route is Route.REPLICA and may_write and permit.account is not Account.DIAGNOSE:
            raise RefusedError(
                f"{link.node} is no longer a replica: it takes writes; nothing was sent",
                instead="check the topology, then run it again",
            )

    def _require_role(self, permit: Permit, measured: Measured) -> None:
        found = prove_role(measured.facts)
        if measured.server != permit.identity.server or found.role != permit.route.value:
            raise RefusedError(
                f"{self._link.node} is not the {permit.route} any longer: nothing was sent",
                evidence=(f"it proves to be: {found.role}, {found.words}",),
                instead="check the topology, then run it again",
            )

    def _first_open(self, session: ServerSession, limits: Limits) -> str:
        reading = (session.guards, session.character_set, limits)
        if reading == self._held:
            return ""
        open_guard = first_open(self.guards, session, limits)
        self._held = None if open_guard else reading
        return open_guard

    def unreachable(self, error: BaseException) -> UnreachableError:
        """Give the connection up, and return why."""
        self._link.give_up()
        return UnreachableError(
            f"the connection to {self._link.node} is lost: {text_of(error).lower()}; nothing was sent"
        )
