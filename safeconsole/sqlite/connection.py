"""One open file as the gate sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Splice
from safeconsole.dialects.sqlite import SQLITE
from safeconsole.errors import RefusedError, UnreachableError
from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Identity, Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.sqlite.link import SqliteLink, read_guards
from safeconsole.sqlite.planning import estimate
from safeconsole.sqlite.running import SqliteRunning
from safeconsole.sqlite.sidecar import FileNode, FileProof, prove
from safeconsole.sqlite.watchdog import Watch, free_memory_bytes, held_memory_bytes
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Account, Flavour, Role

STOP_SECONDS = 1.0
"""How long a stop waits for the thread that runs the statement to say that it is over."""

RULES = LexicalRules(
    dialect=SQLITE,
    version=sqlite3.sqlite_version_info[0] * 10000
    + sqlite3.sqlite_version_info[1] * 100
    + sqlite3.sqlite_version_info[2],
)


class SqliteConnection:
    """One open file.

    Args:
        link: the file, its guards in force.
        cluster: every node, to prove the role of this one.
        identity: what the file proved to be when it was opened.
    """

    def __init__(
        self, link: SqliteLink, cluster: tuple[FileNode, ...], *, account: Account, identity: Identity, clock: Clock
    ) -> None:
        self._link = link
        self._cluster = cluster
        self._account = account
        self._identity = identity
        self._clock = clock
        self._file = _file_of(link.place)
        self._running: SqliteRunning | None = None

    @property
    def identity(self) -> Identity:
        return self._identity

    @property
    def rules(self) -> LexicalRules:
        return RULES

    @property
    def guards(self) -> dict[str, str]:
        """The settings that protect the file, as read back when they are asked for."""
        try:
            return {**read_guards(self._link), "authorizer": "asked for every action"}
        except sqlite3.Error as error:
            self._link.give_up()
            return {"unreadable": str(error)}

    @property
    def schema(self) -> str:
        return self._link.schema

    @property
    def broken(self) -> bool:
        return self._link.broken

    @property
    def in_transaction(self) -> bool:
        return not self._link.broken and self._link.raw.in_transaction

    def prove(self) -> Reading:
        """Read role and identity from the sidecars, now. Raises UnreachableError."""
        if _file_of(self._link.place) != self._file:
            self._link.give_up()
            raise UnreachableError(f"{self._link.place.node} is another file now: {self._link.place.path}")
        try:
            tables = int(self._link.own("SELECT count(*) FROM main.sqlite_schema WHERE type = 'table'")[0][0])
        except sqlite3.Error as error:
            self._link.give_up()
            raise UnreachableError(f"{self._link.place.node} cannot be read: {error}") from None
        return reading_of(self._link.place, self._cluster, clock=self._clock, tables=tables)

    def estimate(self, statement: Statement) -> Estimate:
        """Ask SQLite's opinion without running the statement; never raises for what it says."""
        if self._running is not None and not self._running.over:
            return Estimate()
        return estimate(self._link, statement, self._clock.monotonic)

    def send(
        self,
        permit: Permit,
        *,
        watch: Callable[[Sample], None] | None = None,
        as_text: bool = False,  # noqa: ARG002
        splice: Splice | None = None,
    ) -> SqliteRunning:
        """Send the permitted text once; see `interfaces.Connection`."""
        # A face that looks out for those who come past the gate hears of it.
        self._compare(permit)
        if splice is not None:
            raise RefusedError("sqlite speaks no protocol whose packets could be handed on; nothing was sent")
        looks = Watch(limits=permit.limits, needed=permit.sensors, monotonic=self._clock.monotonic, tell=watch)
        blind = looks.blind
        if blind:
            raise UnreachableError(
                f"sqlite tells no {', '.join(blind)}, and the policy needs it for this statement; nothing was sent",
                instead="have the rule that names the sensor leave sqlite out: node.flavour != 'sqlite'",
            )
        running = SqliteRunning(self._link, permit, looks)
        self._running = running
        running.send()
        return running

    @property
    def has_slots(self) -> bool:
        """Never: SQLite has no locks by name, and a file beside the database would be one more thing to lose."""
        return False

    def take_slot(self, names: tuple[str, ...], *, within_seconds: float) -> str:
        """Refuse: there are none; see `interfaces.Connection`."""
        raise RefusedError(f"sqlite has no slots: none of {len(names)} came within {within_seconds:g} s")

    def slot_holders(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"slot {name}: sqlite has none" for name in names)

    def free_slot(self) -> None: ...

    def stop(self) -> str:
        """Stop what runs, and return what is certain then: "killed", "already over" or "missed"."""
        running = self._running
        if running is None or running.over:
            return "already over"
        self._link.give_up()
        running.watch.told_to_stop = True
        if not running.is_at_work():
            # Nothing is at work between two steps, and no further step is taken.
            return running.abandon()
        self._link.raw.interrupt()
        return "killed" if running.ended.wait(STOP_SECONDS) or not running.is_at_work() else "missed"

    def close(self) -> None:
        """Close it; never raises."""
        if self._running is not None and not self._running.over:
            self.stop()
        self._link.close()

    def _compare(self, permit: Permit) -> None:
        """Compare a permit with the live file.

        Raises:
            RefusedError: another account, file or role than it was made for, or a statement is still running.
            UnreachableError: the file cannot be looked at.
        """
        node = self._link.place.node
        if self._link.broken or (self._running is not None and not self._running.over):
            raise RefusedError(f"the connection to {node} is not free: nothing was sent")
        if permit.account is not self._account:
            raise RefusedError(f"the permit is for the {permit.account} account of {node}: nothing was sent")
        if permit.within != self.in_transaction and (permit.within or not permit.read_only):
            raise RefusedError(f"the transaction on {node} is not what the permit was made for: nothing was sent")
        reading = self.prove()
        if reading.identity != permit.identity:
            raise RefusedError(f"{node} is another file than the permit was made for: nothing was sent")
        if reading.role != Role(permit.route):
            raise RefusedError(
                f"{node} is not the {permit.route} any longer: nothing was sent",
                evidence=(f"it proves to be: {reading.role}, {reading.proof}",),
                instead="check the topology, then run it again",
            )


def reading_of(place: FileNode, cluster: tuple[FileNode, ...], *, clock: Clock, tables: int | None) -> Reading:
    now_seconds = datetime.fromisoformat(clock.utc()).timestamp()
    proof = prove(place, cluster, now_seconds=now_seconds)
    return Reading(
        node=place.node,
        role=proof.role,
        proof=proof.text,
        identity=_identity(place, proof),
        flavour=Flavour.SQLITE,
        version=sqlite3.sqlite_version,
        lag_seconds=proof.lag_seconds,
        replicating=proof.replicating,
        read_only=proof.role is not Role.PRIMARY,
        free_memory_bytes=free_memory_bytes(),
        used_memory_bytes=held_memory_bytes(),
        tables=tables,
        mark=proof.mark,
        tags=place.tags,
        unreachable="" if proof.identity else proof.text,
        measured_seconds=clock.monotonic(),
    )


def _identity(place: FileNode, proof: FileProof) -> Identity | None:
    return Identity(server=proof.identity, address=str(place.path)) if proof.identity else None


def _file_of(place: FileNode) -> tuple[int, int]:
    try:
        status = place.path.stat()
    except OSError:
        return (0, 0)
    return (status.st_dev, status.st_ino)
