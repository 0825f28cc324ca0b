"""The interface of a database engine: connections, answers, results."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import msgspec

from safeconsole.errors import CrowdedError
from safeconsole.interrupts import ToldToLeave, held, told_words
from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Identity, Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.undoing import KeptRows
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName

PACKET_HEADER_BYTES = 4
"""Three bytes of length, and the packet's number."""

Row = tuple[Any, ...]
"""One tuple a row, in column order: None, str, bytes, int, float, Decimal, date, timedelta or datetime."""

Opened = TypeVar("Opened")

TURN_SECONDS = 10.0
"""How long a person waits for a connection where their account has none left."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a result.

    Attributes:
        type_name: the family's name of the type ("int", "varchar", "blob", "json", …).
        numeric: whether values are aligned as numbers.
        binary: whether values are bytes without a character set.
        latitude_first: whether its server writes the latitude of a geographic point before the longitude.
        origin: schema, table and column that it is, where the server says so; empty texts for anything else.
    """

    name: str
    type_name: str = ""
    numeric: bool = False
    binary: bool = False
    latitude_first: bool = False
    origin: tuple[str, str, str] = ("", "", "")


class Splice(StrEnum):
    """The protocol whose packets are passed through unchanged, instead of decoded values."""

    TEXT = "text"
    BINARY = "binary"


class SplicedRows(msgspec.Struct, frozen=True, kw_only=True):
    """A batch of rows of a spliced answer, as packets; its length is the number of rows.

    Attributes:
        data: the packets one after the other, with their headers.
        rows: how many rows they are.
        packets: how many packets; more than rows where one is longer than a packet can be.
    """

    data: bytes | memoryview
    rows: int
    packets: int

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, first: slice) -> SplicedRows:
        """Return the first few rows, `[:count]`; each is one packet, as in every batch of more than one row."""
        count, stop = len(range(self.rows)[first]), 0
        for _ in range(count):
            stop += PACKET_HEADER_BYTES + int.from_bytes(self.data[stop : stop + 3], "little")
        return SplicedRows(data=self.data[:stop], rows=count, packets=count)


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """The server's report at the end of a statement.

    Attributes:
        changed_rows: rows changed, as the server reports them; 0 for a read.
        peak_memory_bytes: highest session memory sampled, 0 when it was too quick to sample.
        in_transaction: whether a transaction is open on this connection.
        inserted_id: the number that the server generated for the first row inserted, or 0.
        kept: the rows before and after the change, where the permit asked for them and they could be kept.
        tail: of an answer with result sets, the payload of the server's OK behind the last one, if it sent one.
    """

    changed_rows: int = 0
    warnings: tuple[str, ...] = ()
    peak_memory_bytes: int = 0
    in_transaction: bool = False
    inserted_id: int = 0
    kept: KeptRows | None = None
    tail: bytes = b""


class Answer(Protocol):
    """A statement that was sent; rows are streamed from the server on request, one result set after the other."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the result set that is read, empty when the statement returns none."""
        ...

    @property
    def head(self) -> bytes:
        """What came before the first row, of a spliced answer: the packets that describe the columns, as they came;
        without a result set the payload of the server's OK.
        """
        ...

    @property
    def received_bytes(self) -> int:
        """Bytes of rows received by this process so far."""
        ...

    def batches(self) -> Iterator[Sequence[Row]]:
        """Yield the rows of one result set as they arrive, in batches of at most a few thousand.

        Those of a spliced answer come as `SplicedRows`.

        Raises:
            StoppedError: a limit fired and the statement is over.
            ServerError: the server ended it with an error.
            OutcomeUnknownError: the connection broke after the send.
        """
        ...

    @property
    def has_more(self) -> bool:
        """Whether something follows, once all rows of this result set were taken: another one, or an error."""
        ...

    def next_set(self) -> None:
        """Go on to the next result set, where there is more. Raises as `batches`."""
        ...

    def finish(self) -> Completion:
        """End the statement's own transaction and return the completion; call once, after the last batch.

        Raises StoppedError, ServerError, OutcomeUnknownError as `batches`.
        """
        ...

    def is_undone(self, verified: str) -> bool:
        """Whether the server would roll back all changes so far if the connection ended now.

        Args:
            verified: what the process list says of it, see `StoppedError`.
        """
        ...


class Connection(Protocol):
    """One open connection with its guards in force and read back, and its watchdog.

    Only the gate calls `send`. After a `stop`, an error that is not a `ServerError`, or a `send` whose rows were not
    all read, the connection is `broken` and is closed.
    """

    @property
    def identity(self) -> Identity: ...

    @property
    def rules(self) -> LexicalRules: ...

    @property
    def guards(self) -> dict[str, str]: ...

    @property
    def schema(self) -> str:
        """The session's current schema, or ""."""
        ...

    @property
    def broken(self) -> bool: ...

    @property
    def is_retired(self) -> bool:
        """Whether its account will end soon, so that another connection takes over between two statements."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as the server last said, also after an error of its own."""
        ...

    def enter(self, schema: str) -> bool:
        """Take it to another schema with all that is on it; False where it cannot be, and is to be closed."""
        ...

    def prove(self, permit: Permit | None = None) -> Reading:
        """Read role and identity from the live session.

        Args:
            permit: what is sent next, so that it can be made ready for in the same round trip; nothing is sent of it.

        Raises UnreachableError.
        """
        ...

    def estimate(self, statement: Statement) -> Estimate:
        """Ask the server's estimate without running the statement; an error of the server's is part of it."""
        ...

    def send(
        self,
        permit: Permit,
        *,
        watch: Callable[[Sample], None] | None = None,
        as_text: bool = False,
        splice: Splice | None = None,
    ) -> Answer:
        """Send the permitted text once.

        Args:
            permit: what to send; identity and role are compared with the live session first when it elevates.
            watch: called from the watchdog's thread with each sample, about every 200 ms.
            as_text: leave values as the text the server sent (str or None, bytes for binary columns), for exports.
            splice: hand on packets of this protocol instead of values.

        Raises:
            RefusedError: identity or role changed since the permit was made, the transaction that it belongs to is not
                open here, or there are no packets to hand on; nothing was sent.
            StoppedError, ServerError, OutcomeUnknownError: as `Answer.batches`.
        """
        ...

    @property
    def has_slots(self) -> bool:
        """Whether the server has locks that all consoles see, so that slots can be counted across consoles."""
        ...

    def take_slot(self, names: tuple[str, ...], *, within_seconds: float) -> str:
        """Take the first free named lock on the server for the next statement, held until `free_slot` or the
        connection's end.

        Args:
            within_seconds: longest wait, >= 0; 0 tries once.

        Returns:
            Its name, or "" when none became free in time.

        Raises:
            RefusedError: the server gives no such locks; the message says why.
            UnreachableError: the connection is lost.
        """
        ...

    def slot_holders(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return who holds each slot, one line each; never raises."""
        ...

    def free_slot(self) -> None:
        """Free the slot, if any; never raises: if the server cannot be told, closing the connection frees it."""
        ...

    def stop(self) -> str:
        """Kill the running statement on the server; a second call does not wait for a graceful end.

        Returns:
            The process list's answer: "killed", "already over", "missed" or "unreachable".
        """
        ...

    def chase(self) -> str:
        """Look once more for a statement that was not seen to stop, and kill its connection; works on a closed one.

        Returns:
            As `stop`.
        """
        ...

    def close(self) -> None:
        """Roll back what is open, and close the connection and its watchdog; never raises."""
        ...


class ProcessShare(msgspec.Struct, frozen=True, kw_only=True):
    """A process among several that serve a cluster together.

    Attributes:
        processes: how many they are; what an account may have open on a server is divided among them.
        inventory: the file in which this one writes down its connections, or "".
    """

    processes: int = 1
    inventory: str = ""


def stop_insistently(stop: Callable[[], str], interrupt: BaseException | None = None) -> tuple[str, bool]:
    """Stop the running statement; a further Ctrl-C ends the wait.

    Args:
        stop: as `Connection.stop`; a second call no longer waits for a graceful end.
        interrupt: what it is stopped for; who was told to leave leaves when it is over.

    Returns:
        The process list's answer, and whether the person interrupted again and leaves. A third interrupt waits for no
        answer, which is then "missed".
    """
    if isinstance(interrupt, ToldToLeave):
        with suppress(KeyboardInterrupt), held():
            verified = stop()
        return verified, True
    try:
        return stop(), False
    except KeyboardInterrupt:
        pass
    try:
        return stop(), True
    except KeyboardInterrupt:
        return "missed", True


_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.05, 0.8


def in_turn(open_it: Callable[[], Opened], *, within_seconds: float = TURN_SECONDS) -> Opened:
    """Run a function that opens a connection; retry while the account's connection limit is reached.

    Whoever waits holds nothing that another one may need, and tries at times that nobody else tries at.

    Raises:
        CrowdedError: no room was made in time.
        BaseException: as `open_it`.
    """
    until, longest = time.monotonic() + within_seconds, _FIRST_PAUSE_SECONDS
    while True:
        try:
            return open_it()
        except CrowdedError:
            left = until - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(random.uniform(longest / 4, longest), left))  # noqa: S311 (it spreads load)
            longest = min(longest * 2, _LONGEST_PAUSE_SECONDS)


def by_whom() -> str:
    """Return who interrupted the statement, as the end of a sentence."""
    why = told_words()
    return f": {why}" if why else " by you"


class Engine(Protocol):
    """One cluster of one family."""

    @property
    def flavour(self) -> Flavour:
        """The flavour; measured where the configuration says auto."""
        ...

    @property
    def rules(self) -> LexicalRules: ...

    def topology(
        self, *, since_seconds: float | None = None, only: frozenset[NodeName] = frozenset()
    ) -> tuple[Reading, ...]:
        """Return every node's reading, measured in parallel; an unreachable node is a reading that says so.

        Args:
            since_seconds: how old a reading may be that another session had measured, by the clock; None: measured now.
            only: the nodes that must be as new as that, all where it is empty; the others' are what was known last.
        """
        ...

    def measure_ahead(self, only: frozenset[NodeName] = frozenset()) -> None:
        """Start measuring in the background; `only` as in `topology`. Never waits."""
        ...

    def expect(self, to: str | None, schema: str) -> None:
        """Connect, beside the first measurement, to the node that a statement will probably go to. Never waits.

        Nothing is sent there for that: whoever chooses the node then finds the connection, else it is closed.

        Args:
            to: where the person sends it: replica, primary, a node's name, or ""; None where none follows at once.
            schema: the one that it begins in, or "".
        """
        ...

    @property
    def expected(self) -> NodeName | None:
        """The node that was connected to so and that nobody chose yet; of nodes that are equally fit it is the one."""
        ...

    def connect(self, node: NodeName, account: Account, *, schema: str = "") -> Connection:
        """Lend a guarded connection to a node to the caller, until it is parked or closed.

        Raises:
            UnreachableError: no connection, a wrong password, or a guard that is not in force; the message says which.
            ConfigurationError: the account or its secret is not configured.
        """
        ...

    def park(self, connection: Connection, *, last: bool = False) -> None:
        """Park a connection between statements; the engine may close it, or reset it and lend it to another session.

        Nothing that its session still needs may be on it: a transaction, a variable, a lock. Never raises.

        Args:
            last: its session does not come back for it.
        """
        ...

    def reclaim(self, connection: Connection) -> bool:
        """Take back a parked connection unchanged; False if it was closed or lent, and must not be used."""
        ...

    def end_abandoned(self, inventory: str) -> Sequence[tuple[str, str]]:
        """Kill what a process that died had open on the cluster's servers.

        Args:
            inventory: the file in which it wrote that down.

        Returns:
            Each connection that ran a statement, and what the process list says of it, as `Connection.stop`.
        """
        ...

    def close(self) -> None:
        """Close what no session owns; never raises."""
        ...

    def position(self, node: NodeName) -> str:
        """Return a node's own replication position, "" where it keeps none; never raises."""
        ...

    def lacking(self, statement: Statement, *, schema: str) -> str:
        """Return what the elevated account lacks for a statement, by its own grants, as evidence for a person.

        Returns:
            "" where nothing is known against it.
        """
        ...

    def has_reached(self, node: NodeName, position: str, *, within_seconds: float) -> bool:
        """Return whether a replica has applied everything up to a position, waiting for it; never raises.

        Uses another connection than those that statements are sent on. False also when the replica cannot tell.

        Args:
            position: as `position` returned it.
            within_seconds: longest wait, > 0 and at most 1.
        """
        ...


class Sensor(Protocol):
    """A source of one number beside the connection, such as the host's free memory."""

    def read(self) -> int | None:
        """Return the reading in bytes, or None when it is unavailable now."""
        ...
