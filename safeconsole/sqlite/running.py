"""Runs one statement on a file: transaction, limits, rows, and how it ended."""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes
import re
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from safeconsole.cluster.engine import Column, Completion, Row, by_whom
from safeconsole.errors import OutcomeUnknownError, SafeConsoleError, ServerError, StoppedError
from safeconsole.interrupts import ToldToLeave
from safeconsole.policy.decision import Permit
from safeconsole.policy.limits import FLOORS, Limits
from safeconsole.policy.watchdog import (
    Breach,
    Sample,
    SensorName,
    breach_of,
    breach_of_misses,
    breach_words,
    counted_misses,
    unseen,
)
from safeconsole.sqlite.link import Authorizer, Mode, SqliteLink


def held_memory_bytes() -> int | None:
    memory_used = _memory_used()
    return None if memory_used is None else memory_used()


def free_memory_bytes() -> int | None:
    """Return the memory that programs may still have without swapping; Linux says, others do not."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


@cache
def _memory_used() -> Callable[[], int] | None:
    """Return SQLite's own counter, taken from the very library that Python's driver uses.

    Python's driver does not offer it. Where the library is built into the interpreter without its
    symbols, there is no sensor, and only the hard heap limit holds.
    """
    path = getattr(_sqlite3, "__file__", None)
    try:
        function = ctypes.CDLL(path).sqlite3_memory_used
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int64
    function.argtypes = ()

    def memory_used() -> int:
        return int(function())

    return memory_used


# It runs in the statement's own thread; what it says is done at once. It must never raise: the driver swallows what a
# callback raises, and an interrupt would be lost.


STEPS_BETWEEN_LOOKS = 4000
"""Machine steps between two looks: about a tenth of a millisecond."""

SAMPLE_SECONDS = 0.2


class Watch(msgspec.Struct, kw_only=True):
    """The measurements and limits of a running statement.

    Attributes:
        needed: the sensors that must be readable.
        tell: called with each sample, or None.
        rows: rows that have reached the client.
        breach: the ceiling that was passed, or None.
        thrown: what was raised while it looked: an interrupt, or a fault of `tell`.
        told_to_stop: whether somebody asked for its end.
        peak_memory_bytes: the most that the statement held when it was looked at.
    """

    limits: Limits
    monotonic: Callable[[], float]
    needed: tuple[SensorName, ...] = ()
    tell: Callable[[Sample], None] | None = None
    rows: int = 0
    breach: Breach | None = None
    thrown: BaseException | None = None
    told_to_stop: bool = False
    peak_memory_bytes: int = 0
    _began: float = 0.0
    _next_sample: float = 0.0
    _misses: dict[SensorName, int] = msgspec.field(default_factory=dict)
    _first: Sample = Sample(elapsed_seconds=0.0)

    def __post_init__(self) -> None:
        self._began = self.monotonic()
        self._next_sample = self._began + SAMPLE_SECONDS
        self._first = Sample(elapsed_seconds=0.0, instance_memory_bytes=held_memory_bytes())

    @property
    def blind(self) -> tuple[SensorName, ...]:
        return unseen(self.needed, self.sample(0.0))

    @property
    def elapsed_seconds(self) -> float:
        return self.monotonic() - self._began

    @property
    def must_end(self) -> bool:
        return self.told_to_stop or self.thrown is not None or self.breach is not None

    def __call__(self) -> int:
        try:
            self.look()
        except BaseException as error:  # noqa: BLE001 - see the module: it is kept, and raised where it can be
            self.thrown = self.thrown or error
        return int(self.must_end)

    def look(self) -> None:
        """Compare with the ceilings; memory is read only at the sampling interval."""
        now = self.monotonic()
        elapsed = now - self._began
        if elapsed > self.limits.run_seconds:
            self.breach = self.breach or Breach(ceiling="run_seconds", read=elapsed, allowed=self.limits.run_seconds)
        if now < self._next_sample:
            return
        self._next_sample = now + SAMPLE_SECONDS
        sample = self.sample(elapsed)
        self._misses = counted_misses(self._misses, self.needed, sample)
        breach = breach_of_misses(self._misses) or breach_of(self.limits, self._first, sample)
        self.breach = self.breach or breach
        if self.tell is not None:
            self.tell(sample)

    def sample(self, elapsed_seconds: float) -> Sample:
        """Measure now; the statement's memory is the growth of the process since its start."""
        held, before = held_memory_bytes(), self._first.instance_memory_bytes
        own = None if held is None or before is None else max(0, held - before)
        self.peak_memory_bytes = max(self.peak_memory_bytes, own or 0)
        return Sample(
            elapsed_seconds=elapsed_seconds,
            session_memory_bytes=own,
            instance_memory_bytes=held,
            free_memory_bytes=free_memory_bytes(),
            rows=self.rows,
        )


BATCH_BYTES = 1024 * 1024
BATCH_ROWS = 1000
FIRST_ROWS = 16
"""Rows read before the columns are described: their values tell which columns hold numbers."""

_Result = TypeVar("_Result")
_BRACKETED = frozenset(
    {"insert", "replace", "update", "delete", "with", "create", "drop", "alter", "reindex", "analyze"}
)
_SMALLEST_VALUE_BYTES = 1024 * 1024


class SqliteRunning:
    """One permitted statement on one file; also the `Answer` that the gate reads.

    Attributes:
        over: whether it was let go: finished, stopped or failed.
        ended: set when the file was let go.
    """

    def __init__(self, link: SqliteLink, permit: Permit, watch: Watch) -> None:
        self.watch = watch
        self._stepping = False
        self.over = False
        self.ended = threading.Event()
        self._link = link
        self._permit = permit
        self._authorizer = Authorizer(Mode.READS if permit.read_only else Mode.CHANGES)
        self._cursor = link.raw.cursor()
        self._batch: Sequence[Row] = ()
        self._bracketed = False
        self._complete = False
        self._changes_before = 0
        self._received_bytes = 0

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result's columns, described by the first rows."""
        return _columns(self._cursor.description, self._batch)

    def send(self) -> None:
        """Send the text, once, and read its first rows. Raises as `Answer.batches`."""
        raw, limits = self._link.raw, self._permit.limits
        raw.set_progress_handler(self.watch, STEPS_BETWEEN_LOOKS)
        self._step(self._open_bracket)
        # MUST come after the last statement of our own, which lifts it.
        self._link.authorize(self._authorizer)
        raw.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(limits.fetched_bytes, _SMALLEST_VALUE_BYTES))
        self._step(partial(self._cursor.execute, self._permit.statement.text))
        self._batch = self._step(partial(self._cursor.fetchmany, FIRST_ROWS))
        self._complete = not self._batch
        self.watch.rows += len(self._batch)

    @property
    def head(self) -> bytes:
        """Nothing: SQLite sends no packets."""
        return b""

    @property
    def received_bytes(self) -> int:
        """Bytes of rows that have reached this process so far: texts and bytes whole, other values as eight."""
        return self._received_bytes

    def batches(self) -> Iterator[Sequence[Row]]:
        """Yield rows as they arrive; see `Answer`."""
        batch = self._batch
        while batch:
            wanted = _next_rows(batch)
            self._received_bytes += sum(map(_size, chain.from_iterable(batch)))
            yield batch
            batch = self._step(partial(self._cursor.fetchmany, wanted))
            self.watch.rows += len(batch)
        self._complete = True

    @property
    def has_more(self) -> bool:
        """False: a statement of SQLite has one result set."""
        return False

    def next_set(self) -> None: ...

    def finish(self) -> Completion:
        """End the transaction around the statement and return the completion; see `Answer`."""
        if self.watch.must_end:
            raise self._ended(None)
        if self.over or not self._complete:
            raise self.cut_short()
        try:
            changed = self._link.raw.total_changes - self._changes_before
        except sqlite3.Error as error:
            raise self._unknown(error) from None
        allowed, exactly = self._permit.limits.changed_rows, self._permit.exactly_rows
        within, touched = self._permit.within, self._cursor.rowcount
        another = 0 <= exactly != touched
        if (self._bracketed or within) and (changed > allowed or another):
            self._roll_back()
            whole = ", and with it the whole transaction" if within else ""
            if within:
                # Closing the connection undoes it.
                self._link.give_up()
            why = f"it found {touched} rows, and {exactly} were shown"
            raise StoppedError(
                f"rolled back on {self._link.place.node}{whole}: "
                f"{why if another else f'{changed} rows changed, over {allowed}'}",
                by="console",
                ceiling="exactly_rows" if another else "changed_rows",
                verified="already over",
            )
        self._commit()
        self.release()
        return Completion(
            changed_rows=0 if self._permit.read_only else changed,
            peak_memory_bytes=self.watch.peak_memory_bytes,
            in_transaction=self._link.raw.in_transaction,
            inserted_id=0 if self._permit.read_only else self._cursor.lastrowid or 0,
        )

    def is_undone(self, verified: str) -> bool:  # noqa: ARG002 (as `Answer`)
        """Whether all that it changed so far is undone when it ends now; see `Answer`."""
        return self._permit.read_only or self._bracketed or self._permit.within

    def is_at_work(self) -> bool:
        return self._stepping

    def abandon(self) -> str:
        """End it from its own thread, between two steps; return how certain its end is."""
        already = self.over
        self._roll_back()
        return "already over" if already else "killed"

    def cut_short(self) -> StoppedError:
        """End it because its rows were not all read; return the error to raise."""
        verified = self.abandon()
        self._link.give_up()
        return StoppedError(
            f"stopped on {self._link.place.node}: its rows were not all read", by="console", verified=verified
        )

    def release(self) -> None:
        """Release the file: close the cursor, which holds a lock, and stop watching."""
        self.over = True
        # A connection that was closed meanwhile has let go of everything already.
        with contextlib.suppress(sqlite3.ProgrammingError):
            self._cursor.close()
            self._link.raw.set_progress_handler(None, 0)
        self.ended.set()

    def _open_bracket(self) -> None:
        self._changes_before = self._link.raw.total_changes
        first = self._permit.statement.kind.split(" ", 1)[0]
        if self._link.writable:
            self._link.own(f"PRAGMA query_only = {int(self._permit.read_only)}")
        wait_seconds = min(self._permit.limits.lock_wait_seconds, self._permit.limits.run_seconds)
        self._link.own(f"PRAGMA busy_timeout = {max(1, round(wait_seconds * 1000))}")
        if not self._permit.read_only and first in _BRACKETED and not self._link.raw.in_transaction:
            # Not IMMEDIATE: that would lock the file under both its names, each against the other.
            self._link.own("BEGIN")
            self._bracketed = True

    def _step(self, action: Callable[[], _Result]) -> _Result:
        """Run one step of SQLite. Raises as `Answer.batches`."""
        # A short step may be over before SQLite looks, and a person may have been away since the last one.
        if self.watch():
            raise self._ended(None)
        self._stepping = True
        try:
            return action()
        except KeyboardInterrupt as error:
            self.watch.thrown = error
            raise self._ended(error) from None
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
            raise self._ended(error) from None
        finally:
            self._stepping = False

    def _ended(self, error: BaseException | None) -> BaseException:
        self._roll_back()
        watch, node = self.watch, self._link.place.node
        if watch.thrown is not None and not isinstance(watch.thrown, KeyboardInterrupt):
            self._link.give_up()
            return watch.thrown
        if watch.breach is not None:
            self._link.give_up()
            breach = watch.breach
            return StoppedError(
                f"stopped on {node}: {breach_words(breach, floors=FLOORS)}",
                by="watchdog",
                ceiling=breach.ceiling,
                verified="killed",
            )
        interrupted = isinstance(error, sqlite3.Error) and _code(error) == sqlite3.SQLITE_INTERRUPT
        # An interrupt that reached the driver between our own lines is swallowed there, and leaves this trace only.
        if watch.told_to_stop or watch.thrown is not None or interrupted:
            self._link.give_up()
            said, leaving = f"stopped on {node}{by_whom()}", isinstance(watch.thrown, ToldToLeave)
            return StoppedError(said, by="person", verified="killed", leaving=leaving)
        return self._failed(error)

    def _failed(self, error: BaseException | None) -> SafeConsoleError:
        node = self._link.place.node
        code = _code(error)
        if isinstance(error, MemoryError) or code in {sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_TOOBIG}:
            self._link.give_up()
            ceiling = "fetched_bytes" if code == sqlite3.SQLITE_TOOBIG else "session_memory_bytes"
            return StoppedError(
                f"stopped on {node}: over {ceiling}", by="server", ceiling=ceiling, verified="already over"
            )
        if self._authorizer.denied:
            return ServerError(code, f"not authorized: {self._authorizer.denied}")
        return ServerError(code, str(error))

    def _commit(self) -> None:
        if not self._bracketed:
            return
        # What is done is kept, however late.
        self._link.raw.set_progress_handler(None, 0)
        try:
            self._link.own("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            self._link.give_up()
            if _code(error) & 0xFF in _NOT_COMMITTED:
                raise ServerError(_code(error), str(error), instead="nothing was changed: ask again") from None
            raise self._unknown(error) from None
        except KeyboardInterrupt as error:
            raise self._unknown(error) from None

    def _unknown(self, error: BaseException) -> OutcomeUnknownError:
        self._link.give_up()
        why = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        return OutcomeUnknownError(
            f"the end on {self._link.place.node} was lost: {why}; it may or may not have happened"
        )

    def _roll_back(self) -> None:
        self.release()
        try:
            if self._bracketed and self._link.raw.in_transaction:
                self._link.own("ROLLBACK")
        except sqlite3.Error:
            # Closing the connection rolls back too.
            self._link.give_up()


def _code(error: BaseException | None) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0)


def _next_rows(batch: Sequence[Row]) -> int:
    """Return how many rows to read next, so that a batch stays about as large as `BATCH_BYTES`."""
    held = sum(len(value) for row in batch for value in row if isinstance(value, (str, bytes)))
    return max(1, min(BATCH_ROWS, BATCH_BYTES * len(batch) // max(held, 1)))


def _columns(description: Sequence[tuple[Any, ...]] | None, batch: Sequence[Row]) -> tuple[Column, ...]:
    columns = []
    for index, (name, *_) in enumerate(description or ()):
        found = {type(row[index]) for row in batch} - {type(None)}
        columns.append(
            Column(
                name=name,
                type_name=_TYPE_NAMES.get(next(iter(found)), "") if len(found) == 1 else "",
                numeric=bool(found) and found <= {int, float},
                binary=found == {bytes},
            )
        )
    return tuple(columns)


_NOT_COMMITTED = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_INTERRUPT}
)
_TYPE_NAMES = {int: "integer", float: "real", str: "text", bytes: "blob"}


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, bytes)) else 8
