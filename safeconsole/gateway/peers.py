"""Several gateway processes before one cluster: the numbers of their connections, and what they ask of one another.

They meet in a database: the one of `gateway.tokens`, or a file of the processes of `--workers`. Each holds a lease on a
number, the upper bits of its connections' ids, so that no two live ones number alike, and an id says whose it is. A
KILL or SHOW PROCESSLIST for another process is a row that it takes, carries out and answers: see
docs/decisions/0028-gateways-meet-in-their-database.md.
"""

from __future__ import annotations

import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Engine

from safeconsole.audit.central import AlreadyThereError, TeamTables, open_database
from safeconsole.config.settings import GatewaySettings
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import safe

METADATA = MetaData()
PROCESSES = Table(
    "safeconsole_gateways",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("process", String(32), nullable=False),
    Column("cluster", String(190), nullable=False),
    Column("ends_epoch", Double, nullable=False),
)
REQUESTS = Table(
    "safeconsole_gateway_requests",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("about", String(16), nullable=False),
    Column("person", String(64), nullable=False),
    Column("connection", BigInteger, nullable=False),
    Column("asked_epoch", Double, nullable=False),
    Column("taken_by", String(32), nullable=False),
    # Sixteen MiB on MySQL, where Text alone ends at 64 KiB.
    Column("answer", Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb"), nullable=True),
)

COUNTER_BITS = 20
"""An id is 32 bits in the protocol: twelve for the process, the rest counts its connections."""

MOST_PROCESSES = 2 ** (32 - COUNTER_BITS) - 1
LEASE_SECONDS, RENEW_SECONDS, MARGIN_SECONDS = 30.0, 8.0, 5.0
"""A lease is renewed long before its end, and nobody is numbered by it shortly before."""

UNTOUCHED_SECONDS = 60.0
"""How long a number rests after the end of its lease: clocks of two computers differ."""

POLL_SECONDS = 0.25
TAKEN_WITHIN_SECONDS = 2.0
"""How long a request waits until its process takes it; then it is withdrawn."""

ANSWERED_WITHIN_SECONDS = 9.0
"""How long a kill that was taken is waited for: longer than it is looked whether the statement stopped."""

_LOOK_SECONDS = 0.05
_FORGOTTEN_SECONDS = 3600.0
_TRIES, _BEGINNINGS = 20, 3


class PeerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one process asks of another, for a person who logged in there.

    Attributes:
        about: "query" or "connection", which is to be killed; "list" for the person's connections.
        connection: the id to kill, 0 for a list.
    """

    about: str
    person: str
    connection: int = 0


Respond = Callable[[PeerRequest], str]


class _Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: until_seconds: the reading of the monotonic clock up to which it is ours beyond doubt."""

    number: int
    until_seconds: float


class Peers:
    """The processes that serve one cluster, as one of them sees the others; thread-safe.

    Args:
        epoch, monotonic: clocks.
    """

    def __init__(
        self,
        engine: Engine,
        cluster: str,
        *,
        epoch: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tables, self._cluster = TeamTables(engine, METADATA, what="the gateways' numbers"), cluster
        self._epoch, self._monotonic = epoch, monotonic
        self._process = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._lease: _Lease | None = None
        self._count = 0
        self._trouble = ""

    # Numbers.

    def next_id(self) -> int:
        """Return an id that no connection of another live process has. Raises ConfigurationError: no lease is held."""
        with self._lock:
            lease = self._lease
            if lease is None or self._monotonic() >= lease.until_seconds:
                raise ConfigurationError(
                    f"connections cannot be numbered: {self._trouble or 'the lease on a number is over'}"
                )
            self._count = self._count % (2**COUNTER_BITS - 1) + 1
            return (lease.number << COUNTER_BITS) + self._count

    def renew(self) -> None:
        """Hold the lease for longer, or take one. Raises ConfigurationError: the database does not answer."""
        began, lease = self._monotonic(), self._lease
        held = lease is not None and self._prolonged(lease.number)
        number = lease.number if lease is not None and held else self._taken_number()
        with self._lock:
            # Who lost its number counts anew in the next one.
            self._count = self._count if held else 0
            self._lease = _Lease(number=number, until_seconds=began + LEASE_SECONDS - MARGIN_SECONDS)

    def leave(self) -> None:
        """Give the number back; never raises."""
        with self._lock:
            lease, self._lease = self._lease, None
        if lease is not None:
            with suppress(ConfigurationError), self._tables.begin() as connection:
                ours = update(PROCESSES).where(PROCESSES.c.number == lease.number, PROCESSES.c.process == self._process)
                connection.execute(ours.values(ends_epoch=self._epoch()))
        self._tables.engine.dispose()

    def _prolonged(self, number: int) -> bool:
        with self._tables.begin() as connection:
            now = self._epoch()
            connection.execute(delete(REQUESTS).where(REQUESTS.c.asked_epoch < now - _FORGOTTEN_SECONDS))
            ours = update(PROCESSES).where(PROCESSES.c.number == number, PROCESSES.c.process == self._process)
            return bool(connection.execute(ours.values(ends_epoch=now + LEASE_SECONDS)).rowcount)

    def _taken_number(self) -> int:
        """Take the first number that nobody had yet, or the one whose lease is over the longest."""
        for _ in range(_TRIES):
            with suppress(AlreadyThereError), self._tables.begin() as connection:
                now = self._epoch()
                ours = {"process": self._process, "cluster": self._cluster, "ends_epoch": now + LEASE_SECONDS}
                known = {row.number: row for row in connection.execute(select(PROCESSES))}
                number = next((each for each in range(1, MOST_PROCESSES + 1) if each not in known), 0)
                if number:
                    connection.execute(insert(PROCESSES).values(number=number, **ours))
                    return number
                last = min(known.values(), key=lambda row: float(row.ends_epoch))
                if last.ends_epoch > now - UNTOUCHED_SECONDS:
                    raise ConfigurationError(f"{MOST_PROCESSES} gateway processes hold a number")
                same = update(PROCESSES).where(
                    PROCESSES.c.number == last.number, PROCESSES.c.ends_epoch == last.ends_epoch
                )
                if connection.execute(same.values(**ours)).rowcount:
                    return int(last.number)
            time.sleep(secrets.randbelow(50) / 1000)
        raise ConfigurationError("no number could be taken: too many gateway processes begin at once")

    # What is asked of others.

    def has(self, connection: int) -> bool:
        """Whether an id is one of another process's."""
        lease = self._lease
        number = connection >> COUNTER_BITS
        return 0 < number <= MOST_PROCESSES and (lease is None or number != lease.number)

    def kill(self, person: str, connection: int, *, query: bool) -> str:
        """Have the process of a person's connection kill it, or its statement alone.

        Returns:
            What it answered; "not taken" where it took no notice, and was not asked any more then; "asked" where it
            did and has not said what became of it.

        Raises:
            ConfigurationError: the database does not answer.
        """
        number = connection >> COUNTER_BITS
        if number not in self._live():
            return "unknown"
        request = PeerRequest(about="query" if query else "connection", person=person, connection=connection)
        return self._ask((number,), request, within_seconds=ANSWERED_WITHIN_SECONDS)[number]

    def lists(self, person: str) -> Mapping[int, str]:
        """Return the answer of each other process about a person's connections. Raises as `kill`."""
        request = PeerRequest(about="list", person=person)
        return self._ask(self._live(), request, within_seconds=TAKEN_WITHIN_SECONDS)

    def _live(self) -> Sequence[int]:
        """Return the numbers of the other live processes of the cluster."""
        with self._tables.begin() as connection:
            live = select(PROCESSES.c.number).where(
                PROCESSES.c.ends_epoch > self._epoch(),
                PROCESSES.c.cluster == self._cluster,
                PROCESSES.c.process != self._process,
            )
            return sorted(connection.execute(live).scalars())

    def _ask(self, numbers: Sequence[int], request: PeerRequest, *, within_seconds: float) -> dict[int, str]:
        if not numbers:
            return {}
        ids = {secrets.token_hex(16): number for number in numbers}
        asked = {
            "about": request.about, "person": request.person, "connection": request.connection,
            "asked_epoch": self._epoch(), "taken_by": "",
        }  # fmt: skip
        with self._tables.begin() as connection:
            connection.execute(insert(REQUESTS), [{"id": each, "number": ids[each], **asked} for each in ids])
        began = self._monotonic()
        found: dict[int, str] = {}
        while len(found) < len(ids):
            time.sleep(_LOOK_SECONDS)
            waited = self._monotonic() - began
            with self._tables.begin() as connection:
                rows = connection.execute(select(REQUESTS).where(REQUESTS.c.id.in_(ids))).all()
                found |= {ids[row.id]: row.answer for row in rows if row.answer is not None}
            is_at_work = any(row.taken_by and row.answer is None for row in rows)
            if waited >= within_seconds or (waited >= TAKEN_WITHIN_SECONDS and not is_at_work):
                break
        return {**dict.fromkeys(numbers, "asked"), **self._withdrawn(ids), **found}

    def _withdrawn(self, ids: Mapping[str, int]) -> dict[int, str]:
        """Remove requests; return "not taken" for those that nobody took, and nobody will take now."""
        withdrawn = {}
        with self._tables.begin() as connection:
            for each, number in ids.items():
                untaken = delete(REQUESTS).where(REQUESTS.c.id == each, REQUESTS.c.taken_by == "")
                if connection.execute(untaken).rowcount:
                    withdrawn[number] = "not taken"
            connection.execute(delete(REQUESTS).where(REQUESTS.c.id.in_(ids)))
        return withdrawn

    # What others ask.

    def serve(self, respond: Respond, ended: threading.Event) -> None:
        """Renew the lease and answer what others ask, until ended; then give the number back."""
        renewed = float("-inf") if self._lease is None else self._monotonic()
        while not ended.is_set():
            try:
                if self._monotonic() - renewed >= RENEW_SECONDS:
                    self.renew()
                    renewed = self._monotonic()
                for each, request in self._taken():
                    # A kill waits until it is seen to be done; others do not wait for that.
                    threading.Thread(
                        target=self._answer, args=(each, request, respond), name="safeconsole-gateway-peer", daemon=True
                    ).start()
                self._trouble = ""
            except ConfigurationError as failure:
                self._say(failure)
            ended.wait(POLL_SECONDS)
        self.leave()

    def begin(self) -> None:
        """Take a number; where the database does not answer, nobody is let in until it does."""
        for _ in range(_BEGINNINGS):
            try:
                self.renew()
            except ConfigurationError as failure:
                # Two that begin at once make the same tables, and one of them is told that they are there.
                said = failure
                time.sleep(_LOOK_SECONDS)
            else:
                return
        self._say(said)

    def _taken(self) -> Iterator[tuple[str, PeerRequest]]:
        lease = self._lease
        if lease is None:
            return
        taken = []
        with self._tables.begin() as connection:
            mine = select(REQUESTS).where(REQUESTS.c.number == lease.number, REQUESTS.c.taken_by == "")
            for row in connection.execute(mine).all():
                still = update(REQUESTS).where(REQUESTS.c.id == row.id, REQUESTS.c.taken_by == "")
                if connection.execute(still.values(taken_by=self._process)).rowcount:
                    taken.append(row)
        for row in taken:
            yield row.id, PeerRequest(about=row.about, person=row.person, connection=row.connection)

    def _answer(self, asked: str, request: PeerRequest, respond: Respond) -> None:
        answer = respond(request)
        with suppress(ConfigurationError), self._tables.begin() as connection:
            connection.execute(update(REQUESTS).where(REQUESTS.c.id == asked).values(answer=answer))

    def _say(self, failure: ConfigurationError) -> None:
        """Say what is wrong, once until it is over."""
        if not self._trouble:
            sys.stderr.write(f"safeconsole: {safe(failure.message)}; nobody is let in without a number\n")
        self._trouble = failure.message


def open_peers(settings: GatewaySettings, cluster: str, environ: Mapping[str, str], *, own: str = "") -> Peers:
    """Return the other processes of a cluster, as the configured database knows them.

    Args:
        own: the address of a database to meet in where none is configured.

    Raises:
        ConfigurationError: the secret is not set, or the address cannot be used.
    """
    configured = "://" in settings.tokens
    engine, _ = open_database(
        settings.tokens if configured else own,
        setting="gateway.tokens",
        secret_variable=settings.secret_variable if configured else "",
        environ=environ,
        example="postgresql+psycopg://name:{secret}@host/database, sqlite:////srv/safeconsole/tokens.db",
        keeps=True,
    )
    return Peers(engine, cluster)
