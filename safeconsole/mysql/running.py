"""Runs one statement: transaction, watchdog, rows, and how it ended."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, cast

from msgspec.structs import replace

from safeconsole.cluster.engine import Column, Completion, Row, Splice, stop_insistently
from safeconsole.errors import UNSEEN, LostError, SafeConsoleError, ServerError, StoppedError, stop_words
from safeconsole.interrupts import ToldToLeave, held
from safeconsole.mysql.answers import (
    Field,
    ResultEnd,
    ResultHead,
    column_of,
    decoder_of,
    has_more,
    packet_batches,
    read_head,
    row_batches,
)
from safeconsole.mysql.endings import (
    UNDONE,
    another_number,
    cut_with_a_warning,
    disguised_cut,
    in_doubt_of,
    lost_at_commit,
    lost_at_end,
    lost_before_commit,
    not_committed,
    silent_cut,
    stays_though_late,
    stop_of,
    stopped_by_you,
    too_many_changed,
)
from safeconsole.mysql.error_codes import CLOSES_CONNECTION, code_of, is_lost, statement_error
from safeconsole.mysql.guards import Bracket, close_bracket, setting_of
from safeconsole.mysql.keeping import kept_after, kept_before
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.protocol import Packets, PacketTooLargeError
from safeconsole.mysql.watched import Watched
from safeconsole.mysql.wire import IN_TRANSACTION, DriverError
from safeconsole.policy.decision import Permit
from safeconsole.sqltext.dialect import Guard
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.undoing import KeptRows
from safeconsole.sqltext.vocabulary import Effect

# Whatever happens to the conversation comes out as one of the console's own errors, named by what happened to the
# data.

BREAKS = (DriverError, OSError, ValueError, IndexError, AssertionError, struct.error, PacketTooLargeError)
"""Exceptions that end a conversation with a server, besides an interrupt."""

COMMIT_SECONDS = 10.0
_WARNINGS_SHOWN = 20
_WARNINGS_LOOKED_AT = 1_000
_SWALLOWING_KINDS = frozenset({"do", "call"})


class MySqlRunning:
    """One permitted statement on one connection; also the `Answer` that the gate reads."""

    def __init__(
        self,
        link: MySqlLink,
        permit: Permit,
        guards: tuple[Guard, ...],
        *,
        bracket: Bracket,
        as_text: bool,
        splice: Splice | None = None,
    ) -> None:
        self._link = link
        self._guards = guards
        self._permit = permit
        self._as_text = as_text
        self._splice = splice
        self._bracket = bracket
        self._watched: Watched | None = None
        self._packets: Packets | None = None
        self._head = ResultHead()
        self._fields: tuple[Field, ...] = ()
        self._next: tuple[ResultHead, tuple[Field, ...]] | Exception | None = None
        self._tail = b""
        self._end = ResultEnd()
        self._away_seconds = self._left_seconds = 0.0
        self._notes: list[str] = []
        self._commit_sent = self._is_done = False
        self._kept: KeptRows | None = None
        self.over = False

    @property
    def watched(self) -> Watched | None:
        """The watchdog's record of it, None before the send."""
        return self._watched

    @property
    def columns(self) -> tuple[Column, ...]:
        """The result's columns, empty when the statement returns none."""
        latitude_first = self._link.dialect.latitude_first
        return tuple(column_of(field, latitude_first=latitude_first) for field in self._fields)

    @property
    def head(self) -> bytes:
        return self._head.raw

    @property
    def received_bytes(self) -> int:
        return self._packets.taken_bytes if self._packets is not None else 0

    @property
    def changes(self) -> bool:
        return self._permit.changes

    @property
    def _is_undone_with_its_connection(self) -> bool:
        return self._bracket is Bracket.WITHIN and not self._permit.commits

    @property
    def _ends_alike(self) -> bool:
        return self._permit.statement.kind in _SWALLOWING_KINDS

    @property
    def _may_be_cut_silently(self) -> bool:
        return not self.changes or self._link.dialect.ends_by_itself(self._permit.statement)

    @property
    def _commits_by_itself(self) -> bool:
        return self.changes and self._bracket is not Bracket.READ_WRITE and not self._is_undone_with_its_connection

    def is_undone(self, verified: str) -> bool:
        """Whether the server would roll back all its changes if the connection ended now; see `Answer`."""
        if not self.changes or self._is_undone_with_its_connection:
            return True
        if self._bracket is not Bracket.READ_WRITE or self._commit_sent:
            return False
        # If the storage engines are unknown, trust the rollback only if the process list showed the statement ended.
        return self._permit.transactional if self._permit.transactional is not None else verified not in UNSEEN

    def _fated(self, stopped: StoppedError) -> SafeConsoleError:
        """Return a stop completed with what happened to its changes."""
        if not self.changes or self._is_undone_with_its_connection:
            return stopped
        return not_committed(stopped) if self.is_undone(stopped.verified) else in_doubt_of(stopped)

    @property
    def _waited_seconds(self) -> float:
        """Seconds since the send, without the time that the reader took."""
        return self._watched.elapsed_seconds - self._away_seconds if self._watched is not None else 0.0

    def send(self, watched: Watched) -> None:
        """Send the text, once. Raises as `Answer.batches`."""
        self._watched = watched
        limits = self._permit.limits
        try:
            self._keep_before()
            self._packets, self._head = self._link.wire.begin_statement(
                self._permit.statement.text,
                packet_bytes=max(limits.fetched_bytes, 1024 * 1024),
                # What returns no rows is answered alike in both protocols.
                prepared=self._splice is Splice.BINARY and _may_return_rows(self._permit.statement),
            )
            self._fields = self._head.fields
        except KeyboardInterrupt as interrupt:
            raise self.interrupted(interrupt) from None
        except BREAKS as error:
            raise self._ended(error) from None
        if not self._fields:
            self._end = _end_of(self._head)
            self._go_to_next_set()
            if self.has_more:
                self.next_set()

    def batches(self) -> Iterator[Sequence[Row]]:
        """Yield rows as they arrive; see `Answer`."""
        watched, packets = self._watched, self._packets
        if self._end.reached or watched is None or packets is None:
            return
        if self._splice is not None:
            # Typed as rows: nobody but the one who asked for packets takes them.
            rows = cast("Iterator[Sequence[Row]]", packet_batches(packets, self._end))
        else:
            decoders = [decoder_of(field, as_text=self._as_text) for field in self._fields]
            rows = row_batches(packets, decoders, self._end)
        while True:
            try:
                batch = next(rows, None)
            except KeyboardInterrupt as interrupt:
                raise self.interrupted(interrupt) from None
            except BREAKS as error:
                raise self._ended(error) from None
            if batch is None:
                break
            if watched.killed:
                raise self._swallowed(watched)
            watched.rows += len(batch)
            left = time.monotonic()
            yield batch
            self._away_seconds += time.monotonic() - left
        self._go_to_next_set()

    @property
    def has_more(self) -> bool:
        return self._next is not None

    def next_set(self) -> None:
        """Go on to the next result set; see `Answer`."""
        self._away_seconds += time.monotonic() - self._left_seconds
        follows, self._next = self._next, None
        if isinstance(follows, Exception):
            raise self._ended(follows)
        if follows is not None:
            (self._head, self._fields), self._end = follows, ResultEnd()

    def finish(self) -> Completion:
        """End the transaction around the statement and return the completion; see `Answer`."""
        watched = self._watched
        if watched is None or not self._end.reached:
            raise self._cut_short()
        try:
            # What commits by itself has done so, whatever becomes of its connection.
            self._is_done = self._commits_by_itself
            warnings: tuple[str, ...] = ()
            changed = self._head.changed_rows
            warnings = self._warnings()
            self._hold_changed_rows(changed)
            self._keep_after()
            self._keep()
            if self._permit.within:
                self._put_idle_back()
            elif Effect.SESSION in self._permit.statement.effects and self._permit.statement.kind != "set":
                self._link.schema = self._link.wire.rows("SELECT DATABASE()")[0][0] or ""
        except KeyboardInterrupt as interrupt:
            self._broke_off("interrupted", interrupt)
        except BREAKS as error:
            if not is_lost(error):
                raise self._refused_at_commit(error) from None
            self._broke_off("lost", error)
        self.over = True
        return Completion(
            changed_rows=changed if self.changes else 0,
            warnings=(*self._notes, *warnings),
            peak_memory_bytes=watched.peak_memory_bytes,
            in_transaction=bool(self._link.wire.server_status & IN_TRANSACTION),
            inserted_id=self._head.inserted_id if self.changes else 0,
            kept=self._kept,
            tail=self._tail,
        )

    def _keep_before(self) -> None:
        """Lock and read the rows that the policy keeps of a change. Raises as `BREAKS`: nothing was changed."""
        if self._permit.keep is not None:
            held, keep = self._link.privileges, self._permit.keep
            self._kept, lacks = kept_before(self._link.wire, keep, held=held, commits=self._commits_by_itself)
            self._notes += lacks

    def _keep_after(self) -> None:
        if self._kept is not None:
            self._kept, lacks = kept_after(self._link.wire, self._kept, touched=self._head.touched_rows)
            self._notes += lacks

    def interrupted(self, interrupt: KeyboardInterrupt) -> SafeConsoleError:
        """Stop it for the person and return the error to raise; a second interrupt kills it and leaves."""
        verified, leaving = "already over", isinstance(interrupt, ToldToLeave)
        if self._watched is not None:
            verified, leaving = stop_insistently(partial(self._link.watchdog.stop, self._watched), interrupt)
        self._link.give_up()
        return self._fated(stopped_by_you(verified, server=self._link.node, thread=self._thread, leaving=leaving))

    def _go_to_next_set(self) -> None:
        """The last row of a result set was read: find the next one, or that it was the last. Raises as `batches`."""
        while self._packets is not None and has_more(self._end.status):
            try:
                head = read_head(self._packets)
                fields = head.fields
            except KeyboardInterrupt as interrupt:
                raise self.interrupted(interrupt) from None
            except BREAKS as error:
                # Raised once the reader goes on: this result set is whole.
                self._next, self._left_seconds = error, time.monotonic()
                return
            if fields:
                self._next, self._left_seconds = (head, fields), time.monotonic()
                return
            # What stands behind the sets of a CALL: what it changed.
            self._tail, self._end = head.raw, _end_of(head)
            self._head = replace(head, width=self._head.width, raw=self._head.raw)
        self._came_to_its_end()

    def _came_to_its_end(self) -> None:
        """Check, once everything was read, that no limit ended it. Raises as `batches`."""
        watched = self._watched
        assert watched is not None
        self._link.wire.server_status = self._end.status
        waited = self._waited_seconds
        self._link.watchdog.finish(watched)
        stopped = stop_of(watched, server=self._link.node, thread=self._thread, kind=self._permit.statement.kind)
        if stopped is None and waited >= watched.limits.run_seconds and self._may_be_cut_silently:
            stopped = silent_cut(waited, watched.limits.run_seconds, server=self._link.node)
        if stopped is None:
            return
        if self._commits_by_itself and not self._ends_alike:
            # It commits by itself and came to its end: done, although late.
            self._notes.append(stays_though_late(stopped))
            return
        self._link.give_up()
        raise self._fated(stopped)

    def _swallowed(self, watched: Watched) -> SafeConsoleError:
        """Return the stop of a statement that the watchdog is ending while rows still arrive.

        They are taken in, so that the server can send its last word, but not decoded: that would keep the
        watchdog's thread from running, and the person waiting for rows of an answer that is not whole.
        """
        self._link.wire.swallow(watched.over)
        return self._ended(ConnectionAbortedError("its rows were given up"))

    def _ended(self, error: BaseException) -> SafeConsoleError:
        self.over = True
        watched, waited = self._watched, self._waited_seconds
        assert watched is not None
        self._link.watchdog.finish(watched)
        lost = is_lost(error) or isinstance(error, PacketTooLargeError)
        stopped = stop_of(watched, server=self._link.node, thread=self._thread, kind=self._permit.statement.kind)
        if stopped is not None:
            self._link.give_up()
            # An autocommitting statement that returned an error was not committed.
            return stopped if self._commits_by_itself and not lost else self._fated(stopped)
        verified = ""
        if lost:
            self._link.give_up()
            verified = self._link.watchdog.still_there()
        outcome = self._outcome_of(error, verified=verified, lost=lost)
        if waited >= watched.limits.run_seconds and self._is_cut_at_cap(outcome):
            outcome = disguised_cut(
                code_of(error),
                waited,
                watched.limits.run_seconds,
                server=self._link.node,
                kind=self._permit.statement.kind,
            )
        if isinstance(outcome, StoppedError) and not (self._commits_by_itself and not lost):
            outcome = self._fated(outcome)
        if not isinstance(outcome, ServerError) or code_of(error) in CLOSES_CONNECTION:
            self._link.give_up()
            return outcome
        try:
            self._close_bracket(keep=False)
        except BREAKS:
            self._link.give_up()
        return outcome

    def _is_cut_at_cap(self, outcome: SafeConsoleError) -> bool:
        named = isinstance(outcome, StoppedError) and outcome.ceiling
        server_ends_it = isinstance(outcome, (ServerError, StoppedError)) and not named
        return server_ends_it and self._link.dialect.may_end_within(self._permit.statement)

    def _outcome_of(self, error: BaseException, *, verified: str, lost: bool) -> SafeConsoleError:
        undone, server = self.is_undone(verified), self._link.node
        outcome = statement_error(error, server=server, changes=not undone, verified=verified)
        if not (undone and lost and isinstance(outcome, LostError)):
            return outcome
        if self._bracket is Bracket.READ_WRITE:
            return lost_before_commit(server, verified=verified, evidence=outcome.evidence)
        return outcome.replaced(instead=UNDONE) if self.changes else outcome

    @property
    def _thread(self) -> int:
        return self._link.watchdog.target.thread

    def _cut_short(self) -> SafeConsoleError:
        verified = self._link.watchdog.stop(self._watched) if self._watched else "already over"
        self._link.give_up()
        said = stop_words(verified, f"on {self._link.node}: its rows were not all read")
        return self._fated(StoppedError(said, by="console", verified=verified))

    def _hold_changed_rows(self, changed: int) -> None:
        allowed, exactly = self._permit.limits.changed_rows, self._permit.exactly_rows
        another = 0 <= exactly != self._head.touched_rows
        if not self.changes or self._commits_by_itself or (changed <= allowed and not another):
            return
        within = self._bracket is Bracket.WITHIN
        self._roll_back()
        server = self._link.node
        if another:
            stopped = another_number(self._head.touched_rows, exactly, within=within, server=server)
        else:
            stopped = too_many_changed(changed, allowed, within=within, server=server)
        raise stopped if self._permit.transactional is not False else in_doubt_of(stopped)

    def _keep(self) -> None:
        """Commit the change. Raises DriverError, OSError, KeyboardInterrupt."""
        if self._bracket is not Bracket.READ_WRITE:
            self._close_bracket(keep=True)
            return
        try:
            # Ctrl-C waits for the answer, so that it is known; pressed again it does not.
            with held():
                self._commit_sent = True
                self._close_bracket(keep=True)
                self._is_done = True
        except KeyboardInterrupt:
            if not self._is_done:
                raise
            self._notes.append("interrupted while COMMIT was on its way: it is committed")

    def _warnings(self) -> tuple[str, ...]:
        """Return the server's warnings. Raises SafeConsoleError: one of them says that it cut the statement short."""
        if not self._end.warnings:
            return ()
        rows = self._link.wire.rows(f"SHOW WARNINGS LIMIT {_WARNINGS_LOOKED_AT}")
        self._require_not_cut(rows, lacking=self._end.warnings - len(rows))
        lines = [f"{level} {code}: {text}" for level, code, text in rows[:_WARNINGS_SHOWN]]
        more = self._end.warnings - len(lines)
        return (*lines, f"and {more:,} more") if more > 0 else tuple(lines)

    def _require_not_cut(self, rows: Sequence[tuple[Any, ...]], *, lacking: int) -> None:
        stopped = cut_with_a_warning(rows, self._permit.statement, lacking=lacking, server=self._link.node)
        if stopped is None:
            return
        if self._commits_by_itself:
            self._notes.append(f"{stopped.message}; it commits by itself and stays as it is")
            return
        if self.changes:
            self._roll_back()
        self._link.give_up()
        raise self._fated(stopped)

    def _roll_back(self) -> None:
        if self._bracket is Bracket.WITHIN:
            self._link.wire.run("ROLLBACK")
        else:
            self._close_bracket(keep=False)
        self._link.give_up()

    def _close_bracket(self, *, keep: bool) -> None:
        """End the bracket. Raises DriverError, OSError."""
        link = self._link
        link.wire.wait_at_most(COMMIT_SECONDS)
        close_bracket(link.wire, self._bracket, keep=keep, read_only_variable=link.dialect.server.read_only_variable)

    def _put_idle_back(self) -> None:
        """Restore the connection's ordinary idle timeout after its transaction; never raises."""
        link = self._link
        shared = tuple(guard for guard in self._guards if guard.variable in link.dialect.server.idle_variables)
        if link.wire.server_status & IN_TRANSACTION or not shared:
            return
        try:
            # Where it is refused, the transaction is over as it was asked; what is lost is its connection only.
            link.wire.run_unawaited(setting_of(shared, self._permit.limits))
        except BREAKS:
            link.give_up()

    def _refused_at_commit(self, error: BaseException) -> SafeConsoleError:
        self._link.give_up()
        # The server refused the commit, and ends the transaction with the connection.
        return statement_error(error, server=self._link.node, changes=self.changes)

    def _broke_off(self, how: str, error: BaseException) -> None:
        """Handle a connection lost while the statement ended; raises unless the statement is done.

        Args:
            how: "lost" or "interrupted".
        """
        link = self._link
        link.give_up()
        verified = link.watchdog.still_there()
        if self._is_done:
            self._notes.append(f"it is done; its connection was {how} right after it")
            return
        if self._commit_sent:
            raise lost_at_commit(how, verified, server=link.node) from None
        if not self.changes:
            raise lost_at_end(how, verified, server=link.node) from None
        if how == "interrupted":
            leaving = isinstance(error, ToldToLeave)
            raise self._fated(stopped_by_you(verified, server=link.node, thread=self._thread, leaving=leaving))
        raise self._fated(lost_before_commit(link.node, verified=verified, evidence=()))


def _may_return_rows(statement: Statement) -> bool:
    return statement.returns_rows or Effect.UNKNOWN in statement.effects


def _end_of(head: ResultHead) -> ResultEnd:
    return ResultEnd(reached=True, warnings=head.warnings, status=head.status or 0)
