"""What a session needs from a database engine: connections, answers, results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Identity, Reading
from safeconsole.policy.watchdog import Sample
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Estimate, Statement
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName

Row = tuple[Any, ...]
"""One tuple a row, in column order: None, str, bytes, int, float, Decimal, date, time or datetime."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a result.

    Attributes:
        type_name: the family's word for its type ("int", "varchar", "blob", "json", …).
        numeric: whether values are aligned as numbers.
        binary: whether values are bytes without a character set.
    """

    name: str
    type_name: str = ""
    numeric: bool = False
    binary: bool = False


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """What the server said when a statement was over.

    Attributes:
        changed_rows: rows changed, as the server reports them; 0 for a read.
        warnings: its warnings, one line each.
        peak_memory_bytes: highest session memory sampled, 0 when it was too quick to sample.
        in_transaction: whether a transaction is open on this connection.
        inserted_id: the number that the server gave to the first row inserted, 0 when it gave none.
    """

    changed_rows: int = 0
    warnings: tuple[str, ...] = ()
    peak_memory_bytes: int = 0
    in_transaction: bool = False
    inserted_id: int = 0


class Answer(Protocol):
    """A statement that was sent; rows stream from the server as they are asked for."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result's columns, empty when the statement returns none."""
        ...

    @property
    def received_bytes(self) -> int:
        """Bytes of rows that have reached this process so far, counted where they arrive."""
        ...

    def batches(self) -> Iterator[Sequence[Row]]:
        """Yield rows as they arrive, in batches of at most a few thousand.

        Raises:
            StoppedError: a limit fired and the statement is over.
            ServerError: the server ended it with an error.
            OutcomeUnknownError: the connection broke after the send.
        """
        ...

    def finish(self) -> Completion:
        """End the statement's own transaction and say what was done; call once, after the last batch.

        Raises:
            StoppedError, ServerError, OutcomeUnknownError: as `batches`.
        """
        ...


class Connection(Protocol):
    """One open connection with its guards in force and read back, and its watchdog beside it.

    Implemented by adapters. Only the gate calls `send`. After a `stop`, an error that is not a
    `ServerError`, or a `send` whose rows were not all read, the connection is `broken` and is closed.
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
    def in_transaction(self) -> bool:
        """Whether a transaction is open on it, as the server said last, also after an error of its own."""
        ...

    def prove(self) -> Reading:
        """Read role and identity from the live session, now. Raises UnreachableError."""
        ...

    def estimate(self, statement: Statement) -> Estimate:
        """Ask the server's opinion without running the statement; never raises for what the server says of it."""
        ...

    def send(self, permit: Permit, *, watch: Callable[[Sample], None] | None = None, as_text: bool = False) -> Answer:
        """Send the permitted text once.

        Args:
            permit: what to send; identity and role are compared with the live session first when it elevates.
            watch: called from the watchdog's thread with each sample, about every 200 ms.
            as_text: leave values as the text the server sent (str or None, bytes for binary columns), for exports.

        Raises:
            RefusedError: identity or role changed since the permit was made, or the transaction that it belongs to
                is not open here; nothing was sent.
            StoppedError, ServerError, OutcomeUnknownError: as `Answer.batches`.
        """
        ...

    @property
    def has_slots(self) -> bool:
        """Whether its server keeps locks that all consoles see; without them nothing can be counted across consoles."""
        ...

    def take_slot(self, names: tuple[str, ...], *, within_seconds: float) -> str:
        """Take one of the server's named locks for what is sent next, held until `free_slot` or this connection's end.

        Args:
            names: the slots, the first free one is taken.
            within_seconds: how long to wait for one at most, >= 0; 0 looks once.

        Returns:
            Its name, or "" when none came free in time.

        Raises:
            RefusedError: the server gives no such locks; the message says why.
            UnreachableError: the connection is lost.
        """
        ...

    def slot_holders(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Say who holds each slot, one line each; never raises."""
        ...

    def free_slot(self) -> None:
        """Free the slot, if there is one; never raises: a connection that cannot be told is ended, which frees it."""
        ...

    def stop(self) -> str:
        """Stop what runs, on the server; called again, without waiting for it to end gently.

        Returns:
            What the process list says then: "killed", "already over", "missed" or "unreachable".
        """
        ...

    def close(self) -> None:
        """Undo what is open, and close it and its watchdog; never raises."""
        ...


def stop_insistently(stop: Callable[[], str]) -> tuple[str, bool]:
    """Stop what runs, while the person may press Ctrl-C again.

    Args:
        stop: as `Connection.stop`; called a second time, it no longer waits for a gentle end.

    Returns:
        What the process list says then, and whether the person asked again: they leave then. After a third time
        nobody waits for an answer, and it is "missed".
    """
    try:
        return stop(), False
    except KeyboardInterrupt:
        pass
    try:
        return stop(), True
    except KeyboardInterrupt:
        return "missed", True


class Engine(Protocol):
    """One cluster of one family."""

    @property
    def flavour(self) -> Flavour:
        """The family member, found out where the configuration says auto."""
        ...

    @property
    def rules(self) -> LexicalRules: ...

    def topology(self) -> tuple[Reading, ...]:
        """Measure every node, in parallel; a node that cannot be reached is a reading that says so."""
        ...

    def connect(self, node: NodeName, account: Account, *, schema: str = "") -> Connection:
        """Open a guarded connection to a node.

        Raises:
            UnreachableError: no connection, a wrong password, or a guard that did not hold; the message says which.
            ConfigurationError: the account or its secret is not configured.
        """
        ...

    def position(self, node: NodeName) -> str:
        """Return how far a node's own history goes, "" where it keeps no account of that; never raises."""
        ...

    def has_reached(self, node: NodeName, position: str, *, within_seconds: float) -> bool:
        """Tell whether a replica has applied all up to a position, waiting for it; never raises.

        It is asked over another connection than those that statements are sent on.

        Args:
            position: as `position` returned it.
            within_seconds: how long to wait at most, > 0 and at most 1.

        Returns:
            False also when the replica cannot tell.
        """
        ...


class Sensor(Protocol):
    """Reads one number from the world beside the connection, such as the host's free memory."""

    def read(self) -> int | None:
        """Return the reading in bytes, or None when it cannot be had now."""
        ...
