"""A guarded connection and its watchdog; the gate sends permits to it."""

from __future__ import annotations

import time
from collections.abc import Callable

from pymysql.constants import COMMAND

from safeconsole.cluster.engine import Answer, Splice
from safeconsole.errors import NotSentError, RefusedError, UnreachableError
from safeconsole.mysql.error_codes import is_lost, statement_error, text_of
from safeconsole.mysql.estimate import Dictionary, Ending, estimate_of
from safeconsole.mysql.guards import RESET, ServerSession, rules_of
from safeconsole.mysql.inventory import OpenThread
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.readiness import Readiness
from safeconsole.mysql.running import BREAKS, MySqlRunning
from safeconsole.mysql.slots import free, holders, take_one
from safeconsole.mysql.topology import prove_role
from safeconsole.mysql.wire import IN_TRANSACTION
from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Identity, Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement

LAST_RESORT_SECONDS = 15.0
"""Time after the deadline at which a read that nothing ended is abandoned; the watchdog acts long before."""


class MySqlConnection:
    """One connection; see `Connection`.

    Args:
        link: the connection and its watchdog, guards in force for the default limits.
        session: what the session said when they were read back.
    """

    def __init__(self, link: MySqlLink, session: ServerSession) -> None:
        self._link = link
        link.wire.largest_bytes = session.packet_bytes
        self._readiness = Readiness(link, session)
        self._rules = rules_of(link.dialect, link.version, session.sql_mode)
        self._running: MySqlRunning | None = None
        self._dictionary = Dictionary()
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
        session = self._readiness.session
        return {**session.guards, "sql_mode": session.sql_mode, "charset": session.character_set}

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
            # Nobody waits for the end; the next question begins with its answer.
            self._readiness.stand_down()
        except BREAKS:
            self._link.give_up()
        return self._is_idle and not self._slot and not self.in_transaction and not self.broken

    def may_be_in(self, schema: str) -> bool:
        """Whether the connection can change to a schema; a server has no way back to no schema."""
        return bool(schema) or not self._link.schema

    def joins(self, server: str, rules: LexicalRules, *, shares_writes: bool) -> bool:
        """Whether it leads to a server that was measured meanwhile; it goes by what was measured then."""
        self._link.shares_writes = shares_writes
        return not self.broken and self.identity.server == server and self._link.dialect is rules.dialect

    def prepare(self) -> None:
        """Let the watchdog open its control connection in the background; never raises or waits."""
        self._link.watchdog.prepare()

    def renew(self, schema: str) -> None:
        """Reset the session on the server and set its guards again, in one round trip.

        Raises:
            UnreachableError: the connection is lost, or not what it was; the message says which.
        """
        link = self._link
        link.wire.wait_at_most(link.patience_seconds)
        enter = ((COMMAND.COM_INIT_DB, schema),) if schema else ()
        try:
            is_same = self._readiness.renew(RESET, *enter)
        except BREAKS as error:
            raise self._readiness.unreachable(error) from None
        except KeyboardInterrupt:
            link.give_up()
            raise
        if not is_same:
            link.give_up()
            raise UnreachableError(f"the connection to {link.node} is not what it was; nothing was sent")
        self.prepare()

    def enter(self, schema: str) -> bool:
        """Take the session to another schema and read its guards back: one round trip; see `Connection`."""
        link = self._link
        if not schema or self.broken or not self._is_idle:
            return False
        link.wire.wait_at_most(link.patience_seconds)
        try:
            is_same = self._readiness.reread((COMMAND.COM_INIT_DB, schema))
        except BREAKS as error:
            if is_lost(error):
                link.give_up()
            return False
        except KeyboardInterrupt:
            link.give_up()
            raise
        if not is_same:
            link.give_up()
        return is_same

    def prove(self, permit: Permit | None = None) -> Reading:
        """Read role and identity from the live session; see `Connection`."""
        link, started = self._link, time.monotonic()
        try:
            measured = self._readiness.prove(permit if permit is not None and self._is_idle else None)
        except BREAKS as error:
            raise self._readiness.unreachable(error) from None
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
        ending = Ending(texts=self._readiness.behind_a_plan)
        try:
            self._readiness.stand_down()
            estimate = estimate_of(link, statement, self._dictionary, ending)
            if ending.replies:
                self._readiness.stand_by(ending.replies, asked)
        except BREAKS:
            link.give_up()
            return Estimate()
        except KeyboardInterrupt:
            # Its answer is still on the way; the watchdog ends what runs.
            link.give_up()
            raise
        return estimate

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
            bracket = self._readiness.make_ready(permit)
            guards = self._readiness.guards
            running = MySqlRunning(self._link, permit, guards, bracket=bracket, as_text=as_text, splice=splice)
            fresh = bool(permit.statement.hazards)
            watched = self._link.watchdog.watch(permit.limits, needed=permit.sensors, report=watch, fresh=fresh)
        except (NotSentError, KeyboardInterrupt):
            self._link.give_up()
            raise
        except BREAKS as error:
            if is_lost(error):
                raise self._readiness.unreachable(error) from None
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
            self._readiness.stand_down()
            self._slot = take_one(self._link.wire, names, within_seconds=within_seconds)
        except BREAKS as error:
            if is_lost(error):
                raise self._readiness.unreachable(error) from None
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
            self._readiness.stand_down()
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
            self._readiness.stand_down()
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
