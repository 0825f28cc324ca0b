"""What the road needs from the world, as protocols; adapters implement them, shells and jobs use them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import msgspec

from safeconsole.core.approval import Approval, ApprovalRequest, Waiting
from safeconsole.core.decision import Considered, Permit
from safeconsole.core.elevation import Request
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.literal_rules import LiteralKey
from safeconsole.core.notice import Notice
from safeconsole.core.record import Entry, Finding, Record, SessionSummary
from safeconsole.core.routing import Identity, Reading
from safeconsole.core.search import Glance
from safeconsole.core.statement import Estimate, Statement
from safeconsole.core.vocabulary import Account, Flavour, NodeName
from safeconsole.core.watchdog import Sample
from safeconsole.core.witness import Compared

Row = tuple[Any, ...]
"""One tuple a row, in column order: None, str, bytes, int, float, Decimal, date, time or datetime."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """
    One column of a result.

    Attributes:
        name: as the server names it.
        type_name: the family's word for its type ("int", "varchar", "blob", "json", …).
        numeric: whether values are aligned as numbers.
        binary: whether values are bytes without a character set.
    """

    name: str
    type_name: str = ""
    numeric: bool = False
    binary: bool = False


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the server said when a statement was over.

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
        """
        Yield rows as they arrive, in batches of at most a few thousand.

        Raises:
            StoppedError: a limit fired and the statement is over.
            ServerError: the server ended it with an error.
            OutcomeUnknownError: the connection broke after the send.
        """
        ...

    def finish(self) -> Completion:
        """
        End the statement's own transaction and say what was done; call once, after the last batch.

        Raises:
            StoppedError, ServerError, OutcomeUnknownError: as `batches`.
        """
        ...


class Connection(Protocol):
    """
    One open connection with its guards in force and read back, and its watchdog beside it.

    Implemented by adapters. Only the gate calls `send`. After a `stop`, an error that is not a
    `ServerError`, or a `send` whose rows were not all read, the connection is `broken` and is closed.
    """

    @property
    def identity(self) -> Identity:
        """The instance it is connected to."""
        ...

    @property
    def rules(self) -> LexicalRules:
        """How this server reads text, from its version and its live sql_mode."""
        ...

    @property
    def guards(self) -> dict[str, str]:
        """The settings that protect the server, as read back from it."""
        ...

    @property
    def schema(self) -> str:
        """The session's current schema, or ""."""
        ...

    @property
    def broken(self) -> bool:
        """Whether it must be discarded."""
        ...

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
        """
        Send the permitted text once.

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
        """
        Take one of the server's named locks for what is sent next, held until `free_slot` or this connection's end.

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
        """
        Stop what runs, on the server; called again, without waiting for it to end gently.

        Returns:
            What the process list says then: "killed", "already over", "missed" or "unreachable".
        """
        ...

    def close(self) -> None:
        """Undo what is open, and close it and its watchdog; never raises."""
        ...


def stop_insistently(stop: Callable[[], str]) -> tuple[str, bool]:
    """
    Stop what runs, while the person may press Ctrl-C again.

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
    def rules(self) -> LexicalRules:
        """How its servers read text, before a connection says so itself."""
        ...

    def topology(self) -> tuple[Reading, ...]:
        """Measure every node, in parallel; a node that cannot be reached is a reading that says so."""
        ...

    def connect(self, node: NodeName, account: Account, *, schema: str = "") -> Connection:
        """
        Open a guarded connection to a node.

        Raises:
            UnreachableError: no connection, a wrong password, or a guard that did not hold; the message says which.
            ConfigurationError: the account or its secret is not configured.
        """
        ...

    def position(self, node: NodeName) -> str:
        """Return how far a node's own history goes, "" where it keeps no account of that; never raises."""
        ...

    def has_reached(self, node: NodeName, position: str, *, within_seconds: float) -> bool:
        """
        Tell whether a replica has applied all up to a position, waiting for it; never raises.

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


class Clock(Protocol):
    """Time, so that the road can be tested without waiting."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        ...

    def utc(self) -> str:
        """UTC now, ISO 8601 with microseconds and a trailing Z."""
        ...


class Journal(Protocol):
    """The session's append-only record."""

    @property
    def session(self) -> str:
        """The session's id."""
        ...

    @property
    def literal_key(self) -> LiteralKey:
        """What literals in it are hashed with, where the policy says so."""
        ...

    def append(self, record: Record, *, durable: bool = False) -> None:
        """
        Add one record; with `durable`, return only when it and all before it are on disk.

        Raises:
            AuditUnavailableError: it could not be written or made durable; nothing may be sent after that.
        """
        ...

    def close(self) -> None:
        """Make everything durable and close. Raises AuditUnavailableError."""
        ...


class Secrets(Protocol):
    """Where passwords come from."""

    def password(self, cluster: str, account: str, node: str = "") -> str:
        """
        Return the password of an account.

        Args:
            node: the address that it is for, where a source makes one for each node; "" for the first configured.

        Raises:
            ConfigurationError: no source has one; the message names the sources tried and the command to set it.
        """
        ...


class Confirmer(Protocol):
    """Asks the person; without a terminal every answer is no."""

    def confirm(self, considered: Considered) -> bool:
        """Show the evidence and ask whether to run exactly this statement."""
        ...

    def elevate(self, request: Request, considered: Considered | None) -> bool:
        """Show the evidence and have the cluster's name typed; an interrupt is a no."""
        ...

    def show_approval(self, code: str, request: ApprovalRequest) -> None:
        """Show what a second person runs; their answer comes by itself."""
        ...

    def paste_approval(self, code: str, request: ApprovalRequest) -> str:
        """Show what a second person runs and return the answer that the person pastes, "" for none."""
        ...

    def skip_approval(self, request: ApprovalRequest, skipped: tuple[str, ...]) -> bool:
        """Say who would be left out and that they are told, and have it asked for by name; an interrupt is a no."""
        ...


class SecondPerson(Protocol):
    """Gets the approval of somebody else."""

    def expiry(self) -> int:
        """Seconds since 1970 after which a request made now counts no more."""
        ...

    def approvers(self, person: str) -> tuple[str, ...]:
        """Return who could approve what a person asks for, sorted."""
        ...

    def earlier(self, request: ApprovalRequest) -> tuple[ApprovalRequest, Approval] | None:
        """
        Return a request put down before for exactly the same, with the approval that holds for it; it counts once.

        Raises:
            RefusedError: an answer was brought, and it does not count.
            ConfigurationError: what was put down cannot be read.
        """
        ...

    def put_down(self, request: ApprovalRequest) -> Waiting:
        """
        Keep a request until somebody approves it or its time is over, or find the one for the same that waits already.

        Raises:
            ConfigurationError: it cannot be kept.
        """
        ...

    def approve(self, request: ApprovalRequest) -> Approval:
        """
        Wait for an approval that holds for exactly this request, and return it.

        Raises:
            RefusedError: nobody approved in time, or the answer does not count.
            ConfigurationError: nobody could.
        """
        ...


class Notifier(Protocol):
    """Tells others what becomes of elevations."""

    def notify(self, notice: Notice) -> None:
        """Hand one notice over for delivery, now or later; never waits for a receiver, never raises."""
        ...

    def deliver(self, notice: Notice) -> str:
        """Deliver one notice now, within seconds; returns why it was not, or ""."""
        ...

    def settle(self) -> tuple[str, ...]:
        """Give what is left a moment, and return what was not delivered, one line a channel; never raises."""
        ...


class People(msgspec.Struct, frozen=True, kw_only=True):
    """
    Who is asked, and who is told.

    Attributes:
        confirmer: asks the person.
        second: gets somebody else's approval, or None where nobody can be asked.
        notifier: tells others, or None where nobody is to be told.
    """

    confirmer: Confirmer
    second: SecondPerson | None = None
    notifier: Notifier | None = None


class Presenter(Protocol):
    """Shows one statement's result as it arrives."""

    @property
    def wants_text(self) -> bool:
        """Whether values are wanted as the text the server sent (exports)."""
        ...

    def waits(self, what: str) -> None:
        """A statement is not sent yet, because it waits: for `what`, which is said again while it lasts."""
        ...

    def begin(self, considered: Considered, columns: tuple[Column, ...]) -> None:
        """A statement was sent; its rows follow."""
        ...

    def rows(self, batch: Sequence[Row]) -> None:
        """More rows."""
        ...

    def progress(self, sample: Sample) -> None:
        """The statement still runs; called from another thread."""
        ...

    def warned(self, warnings: Sequence[str]) -> None:
        """Take what the server warned of once all rows were read, one line each; `end` follows. MUST not fail."""
        ...

    def end(self, ended: Record) -> None:
        """It is over; the outcome record says how."""
        ...


class TerminalRecording(Protocol):
    """A recording of one session's terminal: a convenience, which never fails whoever writes to it."""

    @property
    def keeps_rows(self) -> bool:
        """Whether rows are wanted in it."""
        ...

    def output(self, text: str) -> None:
        """Add what was shown."""
        ...


class Archive(Protocol):
    """The journals kept on this computer, for reading."""

    def sessions(self) -> tuple[SessionSummary, ...]:
        """Every session found, oldest first; one that cannot be read is a summary that says so."""
        ...

    def glance(self) -> tuple[Glance, ...]:
        """Every session by its first record alone, oldest first."""
        ...

    def entries(self, session: str) -> Iterator[Entry]:
        """
        Yield one session's entries in order; a unique prefix of its id is enough.

        Raises:
            ConfigurationError: no such session, or the prefix is ambiguous.
        """
        ...

    def verify(self, session: str = "") -> tuple[Finding, ...]:
        """Check one session, or all; nothing found means that everything holds."""
        ...

    def compare(self, copy: Iterable[bytes]) -> Compared:
        """Look for each line of a copy that was kept elsewhere; a line that is not here any more is a finding."""
        ...
