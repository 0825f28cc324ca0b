"""Runs the same work on many clusters, a few at a time, each through its own gate, bounded and stoppable.

After a limit stopped one, or an outcome is unknown, no further cluster is started: what hurt one may hurt the next.
What is running ends under its own limits, or is killed when the person interrupts; a second interrupt kills at once and
leaves soon.
"""

from __future__ import annotations

import fnmatch
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import msgspec

from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import ConfigurationError, OutcomeUnknownError, SafeConsoleError, StoppedError

#     going ─► told to stop: nothing begins, what runs is killed ─► told again: killed without grace, and soon left
#     behind


INSIST_SECONDS = 0.5
"""Pause between repeated stops: one that comes right before a statement is sent misses it."""


class Underway:
    """Running work that another thread can stop.

    Attributes:
        words: how often the person interrupted.
        wake: called at each interrupt; MUST be safe in a signal handler.
    """

    def __init__(self) -> None:
        self.words = 0
        self.wake: Callable[[], None] = _nothing
        self._lock = threading.Lock()
        self._told = threading.Event()
        self._held: list[Callable[[], str]] = []

    @property
    def is_told(self) -> bool:
        return self._told.is_set()

    def interrupt(self) -> None:
        """Count an interrupt; takes no lock, so that a signal handler may call it."""
        self.words += 1
        self.wake()

    @contextmanager
    def holding(self, stop: Callable[[], str]) -> Iterator[None]:
        """Register a function that stops one cluster's work, while that runs."""
        with self._lock:
            self._held.append(stop)
        try:
            if self.is_told:
                stop()
            yield
        finally:
            with self._lock:
                self._held.remove(stop)

    def rest(self, seconds: float) -> None:
        """Wait, unless stopped. Raises StoppedError."""
        if self._told.wait(seconds):
            raise StoppedError("stopped by you, between two statements", by="person", verified="already over")

    def stop(self) -> None:
        """Stop all work, each from its own thread; called again, it kills without grace."""
        self._told.set()
        with self._lock:
            held = tuple(self._held)
        for stop in held:
            # A daemon: leaving must not wait for a server that does not answer.
            threading.Thread(target=self._insist, args=(stop,), daemon=True, name="safeconsole-stop").start()

    def _insist(self, stop: Callable[[], str]) -> None:
        while True:
            stop()
            threading.Event().wait(INSIST_SECONDS)
            with self._lock:
                if stop not in self._held:
                    return


def _nothing() -> None: ...


# A breach (a limit that stopped one, or an outcome that nobody knows) begins no further cluster: what hurt one may
# hurt the next. What is under way ends under its own limits, or is killed at the person's word. Who says it again
# leaves soon.


AT_ONCE = 4
"""Default number of clusters worked on at a time."""

LEAVE_SECONDS = 3.0
"""How long leaving waits for the servers' confirmation after a second interrupt."""

_LOOK_SECONDS = 0.2

Found = TypeVar("Found")


class ClusterOutcome(msgspec.Struct, Generic[Found], frozen=True, kw_only=True):
    """How one cluster ended.

    Attributes:
        found: the result, None on failure.
        error: the failure, or None.
        begun: whether it was begun; otherwise nothing was sent there.
    """

    cluster: str
    found: Found | None = None
    error: SafeConsoleError | None = None
    begun: bool = True


def clusters_named(patterns: Iterable[str], known: Mapping[str, ClusterSettings]) -> tuple[str, ...]:
    """Return the clusters that match shell patterns, or carry the label of an `@label`, sorted.

    Raises ConfigurationError: a pattern matches none.
    """
    names = sorted(known)
    found: set[str] = set()
    for pattern in patterns:
        if pattern.startswith("@"):
            matching = [name for name in names if pattern[1:] in known[name].labels]
        else:
            matching = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matching and pattern.startswith("@"):
            labels = sorted({label for cluster in known.values() for label in cluster.labels})
            raise ConfigurationError(
                f"no configured cluster has the label {pattern[1:]}",
                instead=f"labels: {', '.join(labels) or 'none; they are clusters.*.labels'}",
            )
        if not matching:
            raise ConfigurationError(
                f"no configured cluster is named {pattern}",
                instead=f"configured clusters: {', '.join(names) or 'none'}",
            )
        found.update(matching)
    return tuple(sorted(found))


def over_clusters(
    clusters: Iterable[str],
    work: Callable[[str], Found],
    *,
    at_once: int = AT_ONCE,
    underway: Underway | None = None,
) -> Iterator[ClusterOutcome[Found]]:
    """Run work on clusters, and yield each outcome as it ends, once per cluster.

    Args:
        work: called in threads, once per cluster; it fails by raising SafeConsoleError.
        at_once: concurrency, > 0.
        underway: registers running work, and carries the person's interrupts.

    Raises:
        Exception: the work raised something else; all running work is stopped first.
    """
    names, underway = tuple(clusters), underway or Underway()
    crew = _Crew(names, work)
    underway.wake = crew.wake
    left = set(names)
    crew.begin(min(at_once, len(names)))
    try:
        for ended in _as_they_end(crew, underway, left):
            if isinstance(ended, BaseException):
                raise ended
            left.discard(ended.cluster)
            yield ended
    finally:
        # The person left, or nobody takes the results any more: nothing further begins, and nothing runs on.
        crew.hold_back()
        underway.stop()
        # Who asked twice has waited already.
        crew.await_end(until_seconds=time.monotonic() + (0.0 if underway.words > 1 else LEAVE_SECONDS))
    for cluster in sorted(left):
        yield ClusterOutcome(cluster=cluster, error=_left_behind())


def _as_they_end(
    crew: _Crew[Found], underway: Underway, left: set[str]
) -> Iterator[ClusterOutcome[Found] | BaseException]:
    leave_seconds = float("inf")
    while left and time.monotonic() < leave_seconds:
        news = crew.news(within_seconds=_LOOK_SECONDS if leave_seconds < float("inf") else None)
        if news is not None:
            yield news
        elif underway.words:
            crew.hold_back()
            underway.stop()
            if underway.words > 1:
                leave_seconds = min(leave_seconds, time.monotonic() + LEAVE_SECONDS)
            if underway.words > 2:
                return


def _left_behind() -> StoppedError:
    return StoppedError(
        "left by you before its server said that it is over",
        by="person",
        verified="missed",
        instead="look at its process list; the server's own time limit ends a read that still runs",
    )


class _Crew(Generic[Found]):
    """Daemon worker threads, so that leaving waits for none of them."""

    def __init__(self, clusters: tuple[str, ...], work: Callable[[str], Found]) -> None:
        self._waiting = deque(clusters)
        self._work = work
        self._held_back = threading.Event()
        self._news: SimpleQueue[ClusterOutcome[Found] | BaseException | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def begin(self, count: int) -> None:
        """Begin so many clusters; each that ends is followed by the next."""
        for number in range(count):
            thread = threading.Thread(target=self._work_off, daemon=True, name=f"safeconsole-cluster-{number}")
            self._threads.append(thread)
            thread.start()

    def news(self, *, within_seconds: float | None) -> ClusterOutcome[Found] | BaseException | None:
        """Return the next outcome, or None for a call of `wake` or after the timeout."""
        try:
            return self._news.get(timeout=within_seconds)
        except Empty:
            return None

    def wake(self) -> None:
        """Wake the waiting thread; safe in a signal handler, as `SimpleQueue.put` is."""
        self._news.put(None)

    def hold_back(self) -> None:
        self._held_back.set()

    def await_end(self, *, until_seconds: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, until_seconds - time.monotonic()))

    def _work_off(self) -> None:
        while True:
            try:
                cluster = self._waiting.popleft()
            except IndexError:
                return
            self._news.put(self._one(cluster))

    def _one(self, cluster: str) -> ClusterOutcome[Found] | BaseException:
        if self._held_back.is_set():
            return ClusterOutcome(cluster=cluster, begun=False)
        try:
            return ClusterOutcome(cluster=cluster, found=self._work(cluster))
        except SafeConsoleError as error:
            if isinstance(error, StoppedError | OutcomeUnknownError):
                self.hold_back()
            return ClusterOutcome(cluster=cluster, error=error)
        except BaseException as error:  # noqa: BLE001 (raised again where the results are taken)
            self.hold_back()
            return error
