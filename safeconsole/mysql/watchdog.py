"""The watchdog: one thread for each node ends statements that pass a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from safeconsole.cluster.engine import Sensor
from safeconsole.errors import SafeConsoleError, UnreachableError
from safeconsole.mysql.control import ANSWER_SECONDS, Control
from safeconsole.mysql.sensors import Eye, Found, Lookout, Numbers, Target, lock_waited_for, sample_of
from safeconsole.mysql.watched import SAMPLE_SECONDS, Alarm, Watched
from safeconsole.mysql.wire import Wire
from safeconsole.policy.limits import Limits
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

GRACE_SECONDS = 0.5
IDLE_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.02
_SETTLE_SECONDS = 2 * GRACE_SECONDS + 3 * ANSWER_SECONDS

_EARLY_SECONDS = 0.01
"""How much earlier than planned a look may come, so that statements share one."""

_DOZES = 5
"""Looks without a statement after which the thread goes; the next one starts another."""

_FINAL = frozenset({WatchState.OVER, WatchState.MISSED})


class NodeWatch:
    """Watches one account's statements on a node, in one thread that never waits for the server.

    So no answer that is late makes a deadline late: each look at the server and each pursuit has a thread of its own.
    While statements come and go the thread looks up five times a second, so that one which is over sooner costs it
    nothing; it is called earlier only for a deadline that comes before its next look.

    Args:
        control: the node's control connection.
        free_memory: a source for the host's free memory, or None.
        left: called when a watched connection is closed.
    """

    def __init__(
        self, control: Control, *, free_memory: Sensor | None = None, left: Callable[[], None] = lambda: None
    ) -> None:
        self.control = control
        self.left = left
        self.eye = Eye(control, free_memory=free_memory)
        self._lock = threading.Lock()
        self._live: dict[Watched, Watchdog] = {}
        self._thread: threading.Thread | None = None
        self._alarm = Alarm()
        self._looking = self._closed = False

    def add(self, watched: Watched, watchdog: Watchdog) -> None:
        """Watch a statement from now on."""
        with self._lock:
            # MUST come before the look at when the thread wakes: one that is about to sleep looks for work last.
            self._live[watched] = watchdog
            if self._thread is None or not self._thread.is_alive():
                # A daemon: a console that leaves must not wait for a server that does not answer.
                self._thread = threading.Thread(target=self._keep_time, daemon=True, name="safeconsole-watchdog")
                self._thread.start()
                return
        self._alarm.ring_before(watched.sent_seconds + min(SAMPLE_SECONDS, watched.limits.run_seconds))

    def ring(self) -> None:
        self._alarm.ring()

    @property
    def is_ready(self) -> bool:
        """Whether a statement can be sent without reading the sensors first."""
        return self.control.is_open and self.eye.has_looked

    def rest(self, *, idle_seconds: float) -> float | None:
        """Close the control connection after it was idle for some seconds; the next query opens it again.

        Returns:
            The seconds until it may be closed, None where nothing is open.
        """
        if not self.control.is_open:
            return None
        left = self.control.used_seconds + idle_seconds - self.control.now()
        if self._live or left > 0:
            return max(left, SAMPLE_SECONDS)
        self.control.rest()
        return None

    def close(self) -> None:
        """Stop watching and close the control connection; never raises."""
        self._closed = True
        self._alarm.ring()
        thread = self._thread
        if thread is not None:
            thread.join(_SETTLE_SECONDS)
        self.control.close()

    def _keep_time(self) -> None:
        rested = 0
        try:
            while not self._closed and (rested < _DOZES or not self._goes()):
                live, known = self._sorted_out()
                rested = 0 if live else rested + 1
                now = time.monotonic()
                for watched, watchdog in live.items():
                    if watched.interrupted:
                        watchdog.pursue(watched, WatchEvent.INTERRUPTED)
                    elif now >= watched.deadline_seconds:
                        watchdog.pursue(watched, WatchEvent.LIMIT_PASSED)
                self._look_at(live, now)
                self._doze(live, known)
        finally:
            # Whatever ends this thread: no statement may go on unwatched.
            for watched, watchdog in tuple(self._live.items()):
                if watched.is_live and not watched.pursued:
                    watchdog.cut(watched)

    def _sorted_out(self) -> tuple[dict[Watched, Watchdog], int]:
        """Remove ended statements; return the running ones that no thread is ending, and the count of all."""
        with self._lock:
            for watched in [each for each in self._live if not each.is_live and not each.pursued]:
                watched.over.set()
                del self._live[watched]
            return {watched: dog for watched, dog in self._live.items() if not watched.pursued}, len(self._live)

    def _goes(self) -> bool:
        with self._lock:
            if self._live:
                return False
            self._thread = None
            return True

    def _doze(self, live: dict[Watched, Watchdog], known: int) -> None:
        until = time.monotonic() + SAMPLE_SECONDS
        for watched in live:
            if not watched.pursued:
                until = min(until, watched.deadline_seconds)
        self._alarm.sleep_until(until, unless=lambda: len(self._live) != known)

    def _look_at(self, live: dict[Watched, Watchdog], now: float) -> None:
        due = {each: dog for each, dog in live.items() if now >= each.sent_seconds + each.look_seconds - _EARLY_SECONDS}
        # One look at a time: a server that does not answer this one does not answer another.
        if due and not self._looking:
            self._looking = True
            for watched in due:
                watched.look_seconds = now - watched.sent_seconds + SAMPLE_SECONDS
            threading.Thread(target=self._look, args=(due,), daemon=True, name="safeconsole-look").start()

    def _look(self, due: dict[Watched, Watchdog]) -> None:
        try:
            read = self._read([dog.target for dog in due.values()])
        finally:
            self._looking = False
        for watched, watchdog in due.items():
            watchdog.saw(watched, read.get(watchdog.target.thread))

    def _read(self, targets: Sequence[Target]) -> dict[int, Numbers]:
        """Return each thread's sensor readings; none for threads whose server does not answer."""
        read: dict[int, Numbers] = {}
        for server in {target.server for target in targets}:
            threads = [target.thread for target in targets if target.server == server]
            with suppress(UnreachableError):
                read |= self.eye.look(threads, server=server)
        return read


# What to do when is the table of `policy.watchdog`; here is only how. Nothing waits for the person's thread, which may
# be blocked in a read, and nothing is killed but the statement that is watched.


class Watchdog:
    """Watches the statements of one connection, one at a time.

    Args:
        node: keeps the time, over the control connection of the node.
        lookout: its eyes and hands.
    """

    def __init__(self, node: NodeWatch, lookout: Lookout) -> None:
        self._node = node
        self._lookout = lookout
        self._closed = False
        # Held while aiming and while a statement is declared over, so that no kill falls between two statements.
        self._aim = threading.Lock()
        self._current: Watched | None = None
        self._preparing: threading.Thread | None = None

    @property
    def target(self) -> Target:
        return self._lookout.target

    def prepare(self) -> None:
        """Open the control connection and read the sensors in the background; never raises or waits."""
        if self._preparing is None and not (self.target.host and self._node.is_ready):
            self._preparing = threading.Thread(target=self._prepare, daemon=True, name="safeconsole-look")
            self._preparing.start()

    def _prepare(self) -> None:
        # What is wrong is found out once more, and said, when the watch begins.
        with suppress(SafeConsoleError):
            self._require_sight()
            self._node.eye.baseline(self.target, (), fresh=False)

    def _require_sight(self) -> None:
        """Require an open control connection that sees the watched one. Raises UnreachableError."""
        if not self._node.control.is_open:
            self._node.eye.open_again(self._lookout)
        if not self.target.host and not self._lookout.find_host():
            raise UnreachableError("the watchdog does not see the connection that it is to watch; nothing was sent")

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
            UnreachableError: a needed sensor cannot be read, or the control connection is gone and does not come back;
                nothing may be sent.
        """
        before = self._current
        if before is not None and not before.finished:
            raise UnreachableError("the watchdog still watches another statement; nothing was sent")
        preparing, self._preparing = self._preparing, None
        if preparing is not None:
            preparing.join()
        self._require_sight()
        numbers = self._node.eye.baseline(self.target, needed, fresh=fresh)
        first = sample_of(numbers, elapsed=0.0, rows=0)
        watched = Watched(limits=limits, sent_seconds=time.monotonic(), first=first, needed=needed, report=report)
        self._current = watched
        self._node.add(watched, self)
        return watched

    def finish(self, watched: Watched) -> None:
        """Mark a statement as over; returns when no kill can follow."""
        with self._aim:
            watched.finished = True
        if watched.ending:
            watched.over.wait(_SETTLE_SECONDS)

    def stop(self, watched: Watched) -> str:
        """End a statement for the person; a second call ends its connection without grace.

        Returns:
            "killed", "already over", "missed" or "unreachable", as the process list says then.
        """
        watched.insisted = watched.interrupted
        watched.interrupted = True
        self._node.ring()
        if not watched.over.wait(_SETTLE_SECONDS):
            return "unreachable"
        return watched.verified or "already over"

    def look(self, asked: Callable[[Wire, str], Found], text: str) -> Found:
        """Run a query over the control connection. Raises UnreachableError."""
        return self._lookout.look(lambda wire: asked(wire, text))

    def find_host(self) -> str:
        """Return the client address of the watched connection in the process list, or "". Raises UnreachableError."""
        return self._lookout.find_host()

    def still_there(self) -> str:
        """Kill a watched connection that was lost, and return as `stop` what the process list shows."""
        watched = Watched(limits=Limits(), sent_seconds=time.monotonic(), first=Sample(elapsed_seconds=0.0))
        watched.state = WatchState.KILLING_CONNECTION
        self._end(watched, self._lookout.kill_connection)
        return watched.verified

    def close(self) -> None:
        """Stop watching; never raises."""
        watched = self._current
        if watched is not None:
            self.finish(watched)
        if not self._closed:
            self._closed = True
            self._node.left()

    # For the thread that keeps the time.

    def cut(self, watched: Watched) -> None:
        """Close the connection locally; its server cannot be reached."""
        self.target.cut()
        watched.over.set()

    def saw(self, watched: Watched, numbers: Numbers | None) -> None:
        """Report a sample; end the statement if it passed a ceiling or a needed sensor is silent."""
        if not watched.is_live or watched.pursued:
            return
        if numbers is None:
            self.pursue(watched, WatchEvent.UNREACHABLE)
            return
        sample = sample_of(numbers, elapsed=watched.elapsed_seconds, rows=watched.rows)
        watched.peak_memory_bytes = max(watched.peak_memory_bytes, sample.session_memory_bytes or 0)
        watched.misses = counted_misses(watched.misses, watched.needed, sample)
        breach = breach_of_misses(watched.misses) or breach_of(watched.limits, watched.first, sample)
        if watched.report and not watched.finished and not watched.reporting:
            # A face that fails must not end the watch, and one that hangs must not either.
            watched.reporting = True
            with suppress(Exception):
                watched.report(sample)
            watched.reporting = False
        if breach is not None:
            self.pursue(watched, WatchEvent.LIMIT_PASSED, breach)

    def pursue(self, watched: Watched, event: WatchEvent, breach: Breach | None = None) -> None:
        """Start a thread that ends a statement, unless one is doing so."""
        with self._aim:
            if watched.pursued or not watched.is_live:
                return
            watched.pursued = True
        if event is WatchEvent.LIMIT_PASSED:
            allowed = watched.limits.run_seconds
            watched.breach = breach or Breach(
                ceiling="run_seconds", read=max(watched.elapsed_seconds, allowed), allowed=allowed
            )
        threading.Thread(target=self._see_through, args=(watched, event), daemon=True, name="safeconsole-kill").start()

    def _see_through(self, watched: Watched, event: WatchEvent) -> None:
        settled = resumed = False
        try:
            self._pursue(watched, event)
            resumed = self._resume(watched)
            settled = True
        finally:
            if not settled:
                # Nobody ends it any more: it may not go on.
                self.target.cut()
            if not resumed:
                watched.over.set()
            self._node.ring()

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
            self.target.cut()

    def _resume(self, watched: Watched) -> bool:
        with self._aim:
            if watched.finished or watched.interrupted or watched.killed or watched.state is WatchState.MISSED:
                return False
            watched.state, watched.verified, watched.ending = WatchState.RUNNING, "", False
            watched.resume_seconds = watched.look_seconds = watched.elapsed_seconds + IDLE_LOOK_SECONDS
            watched.pursued = False
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
            state = self._lookout.state_at_work()
            if state is None:
                return WatchEvent.GONE
            watched.waits = watched.waits or lock_waited_for(state)
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
