"""The watchdog: a thread on a second connection that ends a statement whose limit passed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from safeconsole.errors import UnreachableError
from safeconsole.mysql.sensors import ANSWER_SECONDS, Baseline, Found, Lookout, sample_of
from safeconsole.mysql.wire import IN_TRANSACTION, DriverError, Wire
from safeconsole.policy.limits import Limits
from safeconsole.policy.readings import Identity
from safeconsole.policy.watchdog import (
    Breach,
    Sample,
    SensorName,
    WatchEvent,
    WatchState,
    breach_of,
    breach_of_misses,
    counted_misses,
    next_state,
)
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.vocabulary import Account, NodeName

_AWAKE = float("-inf")


class Alarm:
    """The sleep of one thread; others ring only when they must: a needless call costs two changes of thread."""

    def __init__(self) -> None:
        self._called = threading.Event()
        self._wakes_seconds = _AWAKE

    def sleep_until(self, moment_seconds: float, *, unless: Callable[[], bool]) -> None:
        """Sleep until a moment of the monotonic clock, or until somebody rings; it may return sooner.

        Args:
            unless: there is work already; asked once it shows when this thread wakes, so that who brings work and then
                looks at that cannot be missed by both.
        """
        self._wakes_seconds = moment_seconds
        if not unless():
            self._called.wait(max(moment_seconds - time.monotonic(), 0.001))
        self._wakes_seconds = _AWAKE
        self._called.clear()

    def ring(self) -> None:
        self._called.set()

    def ring_before(self, moment_seconds: float) -> None:
        """Wake the thread if it would sleep past a moment; the work for then MUST have been added before."""
        if self._wakes_seconds > moment_seconds:
            self._called.set()


class Watched(msgspec.Struct, kw_only=True):
    """One statement under watch, shared by the person's thread and the watchdog's.

    Attributes:
        sent_seconds: monotonic reading at the send.
        first: the sample that growth is counted from.
        needed: the sensors that must be readable.
        report: called with each sample, or None.
        misses: how many looks in a row each of those told nothing.
        rows: rows that reached the client; written by the person's thread.
        breach: the ceiling behind the kill, or None.
        verified: what the process list said in the end, "" while nobody had to look.
        blind: whether the watchdog could not look any more, and ended it for that.
    """

    limits: Limits
    sent_seconds: float
    first: Sample
    needed: tuple[SensorName, ...] = ()
    report: Callable[[Sample], None] | None = None
    rows: int = 0
    breach: Breach | None = None
    verified: str = ""
    killed: bool = False
    blind: bool = False
    peak_memory_bytes: int = 0
    finished: bool = False
    interrupted: bool = False
    insisted: bool = False
    ending: bool = False
    state: WatchState = WatchState.RUNNING
    misses: dict[SensorName, int] = msgspec.field(default_factory=dict)
    resume_seconds: float = 0.0
    over: threading.Event = msgspec.field(default_factory=threading.Event)

    @property
    def elapsed_seconds(self) -> float:
        """Seconds since the send."""
        return time.monotonic() - self.sent_seconds


# What to do when is the table of `policy.watchdog`; here is only how. The thread never waits for the person's thread,
# which may be blocked in a read, and kills nothing but the statement that is watched. It looks up five times a second
# while statements come and go, so that one which is over sooner costs it nothing; it is called earlier only for a
# deadline that comes before its next look.

SAMPLE_SECONDS = 0.2
GRACE_SECONDS = 0.5
IDLE_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.02
_SETTLE_SECONDS = 2 * GRACE_SECONDS + 3 * ANSWER_SECONDS

_DOZES = 5
"""Looks without a statement after which the thread goes; the next one starts another."""

_FINAL = frozenset({WatchState.OVER, WatchState.MISSED})


class Watchdog:
    """Watches the statements of one connection, one at a time.

    Args:
        lookout: its eyes and hands, on a second connection.
    """

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        # Held while aiming and while a statement is declared over, so that no kill falls between two statements.
        self._aim = threading.Lock()
        # Held while the second connection is used: it answers one thread at a time.
        self._looking = threading.Lock()
        self._thread: threading.Thread | None = None
        self._current: Watched | None = None
        self._alarm = Alarm()
        self._closed = False
        self._baseline = Baseline(lookout)

    def watch(
        self,
        limits: Limits,
        *,
        needed: tuple[SensorName, ...] = (),
        report: Callable[[Sample], None] | None = None,
        fresh: bool = False,
    ) -> Watched:
        """Start watching; call right before the send.

        Args:
            needed: the sensors that must be readable now, and while it runs.
            fresh: count growth from now rather than from a look of the last seconds.

        Raises:
            UnreachableError: a needed sensor cannot be read, or the watchdog's connection is gone and does not come
                back; nothing may be sent.
        """
        before = self._current
        if before is not None and not before.finished:
            raise UnreachableError("the watchdog still watches another statement; nothing was sent")
        with self._looking:
            numbers = self._baseline.seen(needed, fresh=fresh)
        first = sample_of(numbers, elapsed=0.0, rows=0)
        watched = Watched(limits=limits, sent_seconds=time.monotonic(), first=first, needed=needed, report=report)
        with self._aim:
            # MUST come before the look at when it wakes: a thread that is about to sleep looks for work last.
            self._current = watched
            thread = self._thread
            if thread is None or not thread.is_alive():
                # A daemon: a console that leaves must not wait for a server that does not answer.
                thread = self._thread = threading.Thread(target=self._live, daemon=True, name="safeconsole-watchdog")
                thread.start()
                return watched
        self._alarm.ring_before(watched.sent_seconds + min(SAMPLE_SECONDS, limits.run_seconds))
        return watched

    def finish(self, watched: Watched) -> None:
        """Declare a statement over; returns when no kill can follow any more."""
        with self._aim:
            watched.finished = True
        if watched.ending:
            watched.over.wait(_SETTLE_SECONDS)

    def stop(self, watched: Watched) -> str:
        """End a statement now, for the person; asked again, end its connection without any more grace.

        Returns:
            "killed", "already over", "missed" or "unreachable", as the process list says then.
        """
        watched.insisted = watched.interrupted
        watched.interrupted = True
        self._alarm.ring()
        if not watched.over.wait(_SETTLE_SECONDS):
            return "unreachable"
        return watched.verified or "already over"

    def look(self, asked: Callable[[Wire, str], Found], text: str) -> Found:
        """Ask something beside the watched connection. Raises UnreachableError: as every look."""
        with self._looking:
            return self._lookout.look(lambda wire: asked(wire, text))

    def still_there(self) -> str:
        """End the watched connection, which is lost to us, and say as `stop` what became of its statement."""
        watched = Watched(limits=Limits(), sent_seconds=time.monotonic(), first=Sample(elapsed_seconds=0.0))
        watched.state = WatchState.KILLING_CONNECTION
        with self._looking:
            self._end(watched, self._lookout.kill_connection)
        return watched.verified

    def close(self) -> None:
        """Stop watching and close the connection; never raises."""
        self._closed = True
        self._alarm.ring()
        thread, self._thread = self._thread, None
        if thread is not None:
            # Every read of the watchdog's connection ends by itself, so this does too.
            thread.join(_SETTLE_SECONDS)
        self._lookout.close()

    def _live(self) -> None:
        rested = 0
        while not self._closed:
            watched = self._current
            if watched is not None and not (watched.finished or watched.over.is_set()):
                rested = 0
                self._see_through(watched)
                continue
            if watched is not None:
                watched.over.set()
            if rested >= _DOZES and self._goes(watched):
                return
            self._doze(time.monotonic() + SAMPLE_SECONDS, watched)
            rested += 1

    def _goes(self, watched: Watched | None) -> bool:
        with self._aim:
            if self._current is not watched:
                return False
            self._thread = None
            return True

    def _doze(self, until_seconds: float, watched: Watched | None) -> None:
        def has_work() -> bool:
            stopped = watched is not None and watched.interrupted and not watched.over.is_set()
            return self._closed or self._current is not watched or stopped

        self._alarm.sleep_until(until_seconds, unless=has_work)

    def _see_through(self, watched: Watched) -> None:
        ended = False
        try:
            while (event := self._wait_for_event(watched)) is not WatchEvent.FINISHED:
                with self._looking:
                    self._pursue(watched, event)
                if not self._resume(watched):
                    break
            ended = True
        finally:
            if not ended:
                # Nobody watches any more: the statement may not go on unwatched.
                self._lookout.target.cut()
            watched.over.set()

    def _wait_for_event(self, watched: Watched) -> WatchEvent:
        next_look = max(SAMPLE_SECONDS, watched.resume_seconds)
        while True:
            due = max(min(next_look, watched.limits.run_seconds), watched.resume_seconds)
            self._doze(watched.sent_seconds + due, watched)
            if watched.finished:
                return WatchEvent.FINISHED
            if watched.interrupted:
                return WatchEvent.INTERRUPTED
            elapsed = watched.elapsed_seconds
            if elapsed < due:
                continue
            next_look = elapsed + SAMPLE_SECONDS
            try:
                with self._looking:
                    watched.breach = self._breach(watched)
            except UnreachableError:
                return WatchEvent.UNREACHABLE
            if watched.breach is not None:
                return WatchEvent.LIMIT_PASSED

    def _breach(self, watched: Watched) -> Breach | None:
        """Look, report, and return the ceiling that was passed. Raises UnreachableError."""
        elapsed = watched.elapsed_seconds
        if elapsed > watched.limits.run_seconds:
            # No sample first: a server in trouble may take long to answer it.
            return breach_of(watched.limits, watched.first, Sample(elapsed_seconds=elapsed))
        # A server that says nothing is to be noticed long before a deadline that is far away.
        within = min(ANSWER_SECONDS, watched.limits.run_seconds - elapsed)
        numbers = self._lookout.numbers(within_seconds=within)
        sample = sample_of(numbers, elapsed=watched.elapsed_seconds, rows=watched.rows)
        watched.peak_memory_bytes = max(watched.peak_memory_bytes, sample.session_memory_bytes or 0)
        if watched.report and not watched.finished:
            # A face that fails must not end the watch.
            with suppress(Exception):
                watched.report(sample)
        watched.misses = counted_misses(watched.misses, watched.needed, sample)
        return breach_of_misses(watched.misses) or breach_of(watched.limits, watched.first, sample)

    def _pursue(self, watched: Watched, event: WatchEvent) -> None:
        with self._aim:
            if watched.finished:
                return
            watched.ending = True
        watched.blind = event is WatchEvent.UNREACHABLE
        watched.state = next_state(watched.state, event)
        for kill in (self._lookout.kill_query, self._lookout.kill_connection):
            self._end(watched, kill)
            if watched.state in _FINAL:
                break
        if not watched.killed and watched.verified == "already over":
            # It ended by itself, or by the server's own cap, between the look and the aim.
            watched.breach, watched.blind = None, False
        if watched.state is WatchState.MISSED:
            self._lookout.target.cut()

    def _resume(self, watched: Watched) -> bool:
        with self._aim:
            if watched.finished or watched.interrupted or watched.killed or watched.state is WatchState.MISSED:
                return False
            watched.state, watched.verified, watched.ending = WatchState.RUNNING, "", False
            watched.resume_seconds = watched.elapsed_seconds + IDLE_LOOK_SECONDS
            return True

    def _end(self, watched: Watched, kill: Callable[[], bool]) -> None:
        try:
            event = self._kill(watched, kill)
        except UnreachableError:
            event = WatchEvent.UNREACHABLE
        watched.state = next_state(watched.state, event)
        if watched.state is WatchState.OVER:
            watched.verified = "killed" if watched.killed else "already over"
        elif watched.state is WatchState.MISSED:
            watched.verified = "unreachable" if event is WatchEvent.UNREACHABLE else "missed"

    def _kill(self, watched: Watched, kill: Callable[[], bool]) -> WatchEvent:
        with self._aim:
            if watched.finished:
                return WatchEvent.FINISHED
            if not self._lookout.is_at_work():
                return WatchEvent.GONE
            watched.killed = kill() or watched.killed
        return self._wait_for_effect(watched)

    def _wait_for_effect(self, watched: Watched) -> WatchEvent:
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            if watched.finished:
                return WatchEvent.FINISHED
            if not self._lookout.is_at_work():
                return WatchEvent.GONE
            if watched.insisted and watched.state is WatchState.KILLING_QUERY:
                return WatchEvent.INTERRUPTED
            time.sleep(_POLL_SECONDS)
        return WatchEvent.GRACE_PASSED


class MySqlLink(msgspec.Struct, kw_only=True):
    """One connection to one instance, and what is known of it.

    Attributes:
        version: as in `LexicalRules.version`.
        wire: the connection that statements are sent on.
        watchdog: watches them from a second one.
        identity: the instance, compared at the start.
        patience_seconds: how long the console's own questions may take.
        schema: the session's current schema, or "".
    """

    node: NodeName
    account: Account
    dialect: Dialect
    version: int
    wire: Wire
    watchdog: Watchdog
    identity: Identity
    patience_seconds: float
    schema: str = ""
    broken: bool = False

    @property
    def address(self) -> str:
        return self.identity.address

    def give_up(self) -> None:
        """End the connection without a word: what it might still say is of no use."""
        self.broken = True
        self.wire.discard()

    def close(self) -> None:
        """Undo what is open, and close the connection and its watchdog; never raises."""
        if not self.broken and self.wire.server_status & IN_TRANSACTION:
            # Closing alone undoes it too, but the server would say so only by its locks being gone.
            with suppress(DriverError, OSError):
                self.wire.wait_at_most(self.patience_seconds)
                self.wire.run("ROLLBACK")
        if self.broken:
            self.wire.discard()
        else:
            self.broken = True
            self.wire.quit()
        self.watchdog.close()
