"""A guarded connection and its watchdog; the gate sends permits to it."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
from pymysql.constants import COMMAND

from safeconsole.cluster.engine import Answer, Splice
from safeconsole.errors import NotSentError, RefusedError, UnreachableError
from safeconsole.mysql.error_codes import is_lost, statement_error, text_of
from safeconsole.mysql.estimate import Dictionary, Ending, estimate_of
from safeconsole.mysql.guards import (
    BEGIN,
    CHARACTERS,
    RESET,
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
    rules_of,
    setting_of,
)
from safeconsole.mysql.inventory import OpenThread
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.measuring import Measured, Questions, measure
from safeconsole.mysql.running import BREAKS, MySqlRunning
from safeconsole.mysql.slots import free, holders, take_one
from safeconsole.mysql.topology import prove_role
from safeconsole.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, DriverError, ServerReply
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity, Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Account, Route

LAST_RESORT_SECONDS = 15.0
"""Time after the deadline at which a read that nothing ended is abandoned; the watchdog acts long before."""

READY_SECONDS = 1.0
"""How long what was read back behind a plan holds for the statement that follows it at once."""


class _Ready(msgspec.Struct, frozen=True, kw_only=True):
    """An empty read-only transaction left open after an estimate, with guards read back, for the statement's send.

    Attributes:
        read_seconds: monotonic reading when it was asked for.
        writes: as `Wire.writes` then; whatever was asked since makes it worthless.
    """

    proof: Proof
    read_seconds: float
    writes: int


class MySqlConnection:
    """One connection; see `Connection`.

    Args:
        link: the connection and its watchdog, guards in force for the default limits.
        session: what the session said when they were read back.
    """

    def __init__(self, link: MySqlLink, session: ServerSession) -> None:
        self._link = link
        self._session = session
        link.wire.largest_bytes = session.packet_bytes
        self._guards = guards_of(link.dialect, link.version)
        self._reading = reading_of(link.dialect, self._guards)
        self._following = tuple(guard for guard in self._guards if guard.limit)
        self._limits = Limits()
        self._rules = rules_of(link.dialect, link.version, session.sql_mode)
        self._running: MySqlRunning | None = None
        self._held: tuple[dict[str, str], str, Limits] | None = None
        self._dictionary = Dictionary()
        self._ready: _Ready | None = None
        self._slot = ""
        self.privileges = link.privileges

    @property
    def identity(self) -> Identity:
        return self._link.identity

    @property
    def rules(self) -> LexicalRules:
        return self._rules

    @property
    def guards(self) -> dict[str, str]:
        return {**self._session.guards, "sql_mode": self._session.sql_mode, "charset": self._session.character_set}

    @property
    def schema(self) -> str:
        """The session's current schema, or ""."""
        return self._link.schema

    @property
    def broken(self) -> bool:
        """Whether it must be discarded; true also when the server has closed the idle connection."""
        if self._is_idle and not self._link.broken and self._link.wire.has_ended:
            self._link.give_up()
        return self._link.broken

    @property
    def is_retired(self) -> bool:
        """Whether its account will end soon, so that another connection takes over between two statements."""
        return self._link.wire.is_retired

    @property
    def in_transaction(self) -> bool:
        return not self._link.broken and bool(self._link.wire.server_status & IN_TRANSACTION)

    @property
    def _is_idle(self) -> bool:
        return self._running is None or self._running.over

    @property
    def is_closed(self) -> bool:
        return self._link.broken

    @property
    def as_thread(self) -> OpenThread:
        return self._link.as_thread

    def put_down(self) -> bool:
        """End the prepared transaction; return whether the connection is now idle with nothing open."""
        try:
            if self._ready is not None:
                self._stand_down()
                # Nobody waits for the end; the next question begins with its answer.
                self._link.wire.server_status &= ~(IN_TRANSACTION | IN_TRANSACTION_READONLY)
        except BREAKS:
            self._link.give_up()
        return self._is_idle and not self._slot and not self.in_transaction and not self.broken

    def may_be_in(self, schema: str) -> bool:
        """Whether the connection can change to a schema; a server has no way back to no schema."""
        return bool(schema) or not self._link.schema

    def prepare(self) -> None:
        """Let the watchdog open its control connection in the background; never raises or waits."""
        self._link.watchdog.prepare()

    def renew(self, schema: str) -> None:
        """Reset the session on the server and set its guards again, in one round trip.

        Raises:
            UnreachableError: the connection is lost, or not what it was; the message says which.
        """
        link, limits = self._link, Limits()
        link.wire.wait_at_most(link.patience_seconds)
        enter = ((COMMAND.COM_INIT_DB, schema),) if schema else ()
        setting = setting_of(self._guards, limits, first=f"{CHARACTERS}, SESSION autocommit = 1")
        try:
            proof = read_back(link.wire, self._reading, self._guards, first=(RESET, *enter, setting))
        except BREAKS as error:
            raise self._unreachable(error) from None
        except KeyboardInterrupt:
            link.give_up()
            raise
        session = proof.session
        is_same = (session.server, session.sql_mode) == (self._session.server, self._session.sql_mode)
        if proof.in_transaction or not is_same or first_open(self._guards, session, limits):
            link.give_up()
            raise UnreachableError(f"the connection to {link.node} is not what it was; nothing was sent")
        self._session, self._limits, self._held, self._ready = session, limits, None, None
        link.schema = session.schema
        self.prepare()

    def enter(self, schema: str) -> bool:
        """Take the session to another schema and read its guards back: one round trip; see `Connection`."""
        link = self._link
        if not schema or self.broken or not self._is_idle:
            return False
        link.wire.wait_at_most(link.patience_seconds)
        try:
            self._stand_down()
            session = read_back(link.wire, self._reading, self._guards, first=((COMMAND.COM_INIT_DB, schema),)).session
        except BREAKS as error:
            if is_lost(error):
                link.give_up()
            return False
        except KeyboardInterrupt:
            link.give_up()
            raise
        is_same = (session.server, session.sql_mode) == (self._session.server, self._session.sql_mode)
        if not is_same or first_open(self._guards, session, self._limits):
            link.give_up()
            return False
        self._session, self._held, link.schema = session, None, session.schema
        return True

    def prove(self) -> Reading:
        """Read role and identity from the live session; see `Connection`."""
        link = self._link
        started = time.monotonic()
        try:
            self._stand_down()
            measured = measure(link.wire, Questions(dialect=link.dialect, with_health=False))
        except BREAKS as error:
            raise self._unreachable(error) from None
        except KeyboardInterrupt:
            link.give_up()
            raise
        proof = prove_role(measured.facts)
        return Reading(
            node=link.node,
            role=proof.role,
            proof=proof.words,
            identity=Identity(server=measured.server, address=link.address),
            flavour=link.dialect.flavour,
            version=link.wire.server_version,
            lag_seconds=proof.lag_seconds,
            replicating=proof.replicating,
            shares_writes=measured.facts.shares_writes,
            read_only=measured.facts.read_only or measured.facts.innodb_read_only,
            mark=measured.mark,
            measured_seconds=started,
        )

    def estimate(self, statement: Statement) -> Estimate:
        """Ask the server's opinion without running the statement; see `Connection`."""
        if self.broken:
            return Estimate()
        link, asked = self._link, time.monotonic()
        ending = Ending(texts=(UNDO, self._reading, BEGIN))
        try:
            self._stand_down()
            estimate = estimate_of(link, statement, self._dictionary, ending)
            if ending.replies:
                self._make_stand_by(ending.replies, asked)
        except BREAKS:
            link.give_up()
            return Estimate()
        except KeyboardInterrupt:
            # Its answer is still on the way; the watchdog ends what runs.
            link.give_up()
            raise
        return estimate

    def _make_stand_by(self, replies: list[ServerReply], asked_seconds: float) -> None:
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
        proof = proof_of(read, self._guards, behind=[begun])
        self._ready = _Ready(proof=proof, read_seconds=asked_seconds, writes=wire.writes)

    def _stand_down(self) -> None:
        """End the prepared transaction before anything else is sent. Raises DriverError, OSError."""
        ready, self._ready = self._ready, None
        if ready is not None and not self._link.broken:
            self._link.wire.run_unawaited(UNDO)

    def send(
        self,
        permit: Permit,
        *,
        watch: Callable[[Sample], None] | None = None,
        as_text: bool = False,
        splice: Splice | None = None,
    ) -> Answer:
        """Send the permitted text once; see `Connection`."""
        self._check_permit(permit)
        try:
            bracket = self._make_ready(permit)
            running = MySqlRunning(self._link, permit, self._guards, bracket=bracket, as_text=as_text, splice=splice)
            fresh = bool(permit.statement.hazards)
            watched = self._link.watchdog.watch(permit.limits, needed=permit.sensors, report=watch, fresh=fresh)
        except (NotSentError, KeyboardInterrupt):
            self._link.give_up()
            raise
        except BREAKS as error:
            if is_lost(error):
                raise self._unreachable(error) from None
            self._link.give_up()
            raise statement_error(error, server=self._link.node, changes=False) from None
        self._running = running
        self._link.wire.wait_at_most(permit.limits.run_seconds + LAST_RESORT_SECONDS)
        try:
            running.send(watched)
        finally:
            if self._link.broken:
                self._running = None
        return running

    @property
    def has_slots(self) -> bool:
        return True

    def take_slot(self, names: tuple[str, ...], *, within_seconds: float) -> str:
        if self.broken:
            raise UnreachableError(f"the connection to {self._link.node} is closed")
        self._link.wire.wait_at_most(self._link.patience_seconds)
        try:
            self._stand_down()
            self._slot = take_one(self._link.wire, names, within_seconds=within_seconds)
        except BREAKS as error:
            if is_lost(error):
                raise self._unreachable(error) from None
            raise RefusedError(
                f"{self._link.node} gives no slot for a heavy statement: {text_of(error)}; nothing was sent",
                instead="where a server knows no GET_LOCK, have the policy say slots.at_once: 0",
            ) from None
        except KeyboardInterrupt:
            # Its answer may still be on the way, and the slot with it: the end of the connection frees both.
            self._link.give_up()
            raise
        return self._slot

    def slot_holders(self, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            self._stand_down()
            held = holders(self._link.wire, names)
        except BREAKS:
            self._link.give_up()
            return ()
        except KeyboardInterrupt:
            # Its answer is still on the way, and would be taken for the next one's.
            self._link.give_up()
            raise
        return tuple(
            f"slot {name}: {'nobody' if by is None else f'connection {by}'}"
            for name, by in zip(names, held, strict=True)
        )

    def free_slot(self) -> None:
        """Free the slot, if there is one; see `Connection`."""
        slot, self._slot = self._slot, ""
        if not slot or self._link.broken:
            return
        if not self._is_idle:
            self._link.give_up()
            return
        try:
            self._link.wire.wait_at_most(self._link.patience_seconds)
            self._stand_down()
            free(self._link.wire, slot)
        except BREAKS:
            self._link.give_up()
        except KeyboardInterrupt:
            self._link.give_up()
            raise

    def stop(self) -> str:
        """Stop the running statement on the server; see `Connection`."""
        running = self._running
        watched = running.watched if running else None
        if watched is None or watched.finished:
            return "already over"
        try:
            return self._link.watchdog.stop(watched)
        finally:
            # Cut, not closed: the thread that reads from it may be another one.
            self._link.broken = True
            self._link.wire.cut()

    def chase(self) -> str:
        return self._link.watchdog.still_there()

    def close(self) -> None:
        """Close it and its watchdog; never raises."""
        self.stop()
        self._link.close()

    def _check_permit(self, permit: Permit) -> None:
        if self.broken:
            raise UnreachableError(f"the connection to {self._link.node} is closed")
        if not self._is_idle:
            self._link.give_up()
            raise UnreachableError(f"the connection to {self._link.node} still runs another statement")
        if permit.identity.server != self._link.identity.server:
            raise RefusedError(
                f"the permit is for another server than {self._link.node}",
                evidence=(f"permit: {permit.identity.server}", f"connected: {self._link.identity.server}"),
            )
        if permit.account is not self._link.account:
            raise RefusedError(f"the permit is for the {permit.account} account, not {self._link.account}")

    def _require_role(self, permit: Permit, measured: Measured) -> None:
        found = prove_role(measured.facts)
        if measured.server != permit.identity.server or found.role != permit.route.value:
            raise RefusedError(
                f"{self._link.node} is not the {permit.route} any longer: nothing was sent",
                evidence=(f"it proves to be: {found.role}, {found.words}",),
                instead="check the topology, then run it again",
            )

    def _make_ready(self, permit: Permit) -> Bracket:
        """Set the permit's limits, read back every guard, and open the transaction around the statement.

        All of it is one round trip: whoever finds anything amiss ends the connection, and the bracket with it.

        Raises:
            UnreachableError: a guard is not in force, or the transaction is not what it was asked to be.
            RefusedError: the server or its session is not what the permit was made for.
            DriverError, OSError: the connection is lost, or the server refused.
        """
        link = self._link
        link.wire.wait_at_most(link.patience_seconds)
        bracket = bracket_of(permit, in_transaction=self.in_transaction)
        ready, self._ready = self._ready, None
        questions = Questions(dialect=link.dialect, with_health=False)
        # What may change something goes to a server whose whole role is proven in the same flight.
        asked = () if permit.read_only and permit.account is not Account.ELEVATED else questions.texts
        if ready is not None and not asked and bracket is Bracket.READ_ONLY and self._is_good_for(permit, ready):
            proof = ready.proof
            link.wire.server_status = proof.status
        else:
            opening = opening_of(bracket, permit, read_only_variable=link.dialect.server.read_only_variable)
            proof = self._read_back(permit, first=(UNDO,) if ready else (), then=(*asked, *opening))
        self._require_alike(permit, proof.session)
        if asked:
            self._require_role(permit, questions.measured(link.wire, proof.replies[: len(asked)]))
        for reply in proof.replies[len(asked) :]:
            if reply.error is not None:
                raise reply.error
        if not is_open(bracket, permit, was_in_transaction=proof.in_transaction, status=proof.status):
            raise UnreachableError(
                f"the transaction on {link.node} is not open any more; nothing was sent"
                if permit.within
                else f"{link.node} did not open the transaction that it was asked for; nothing was sent"
            )
        self._session, link.schema = proof.session, proof.session.schema
        return bracket

    def _is_good_for(self, permit: Permit, ready: _Ready) -> bool:
        is_new = time.monotonic() - ready.read_seconds < READY_SECONDS and ready.writes == self._link.wire.writes
        return is_new and not permit.idle_seconds and not are_set_anew(self._following, self._limits, permit.limits)

    def _read_back(self, permit: Permit, *, first: tuple[str, ...], then: tuple[str, ...]) -> Proof:
        link, following, limits = self._link, self._following, permit.limits
        setting = (setting_of(following, limits),) if are_set_anew(following, self._limits, limits) else ()
        idle = (idle_setting(link.dialect.server.idle_variables, permit.idle_seconds),) if permit.idle_seconds else ()
        try:
            proof = read_back(link.wire, self._reading, self._guards, first=(*first, *setting, *idle), then=then)
        except DriverError as error:
            if not is_lost(error):
                enforce_each(link.wire, following, limits, server=link.node)
            raise
        self._limits = limits
        return proof

    def _require_alike(self, permit: Permit, session: ServerSession) -> None:
        link = self._link
        open_guard = self._first_open(session, permit.limits)
        if open_guard:
            raise UnreachableError(f"{link.node} lost a guard: {open_guard}; nothing was sent")
        if session.server != permit.identity.server:
            raise RefusedError(f"{link.node} answers as another server now: nothing was sent")
        if session.sql_mode != self._session.sql_mode:
            raise RefusedError(f"{link.node} reads text by another sql_mode now: nothing was sent")
        # One of several that take writes is read as a replica is, by the account that may not write.
        may_write = session.writable and not (link.shares_writes and permit.account is Account.READ)
        if permit.route is Route.REPLICA and may_write and permit.account is not Account.DIAGNOSE:
            raise RefusedError(
                f"{link.node} is no longer a replica: it takes writes; nothing was sent",
                instead="check the topology, then run it again",
            )

    def _first_open(self, session: ServerSession, limits: Limits) -> str:
        reading = (session.guards, session.character_set, limits)
        if reading == self._held:
            return ""
        open_guard = first_open(self._guards, session, limits)
        self._held = None if open_guard else reading
        return open_guard

    def _unreachable(self, error: BaseException) -> UnreachableError:
        self._link.give_up()
        return UnreachableError(
            f"the connection to {self._link.node} is lost: {text_of(error).lower()}; nothing was sent"
        )
