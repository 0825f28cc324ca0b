"""
The same work on many clusters: a few at a time, each walking the whole road by itself, none of them lost.

A breach (a limit that stopped one, or an outcome that nobody knows) begins no further cluster: what hurt one may hurt
the next. What is under way ends under its own limits.
"""

from __future__ import annotations

import fnmatch
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Generic, TypeVar

import msgspec

from safeconsole.core.errors import ConfigurationError, OutcomeUnknownError, SafeConsoleError, StoppedError

AT_ONCE = 4
"""Clusters worked on at a time, if nothing else is asked for."""

Found = TypeVar("Found")


class Member(msgspec.Struct, Generic[Found], frozen=True, kw_only=True):
    """
    How one cluster ended.

    Attributes:
        found: what the work gave, None when it did not end well.
        error: why it did not, or None.
        begun: whether it was begun at all; without a beginning nothing was sent there.
    """

    cluster: str
    found: Found | None = None
    error: SafeConsoleError | None = None
    begun: bool = True


def clusters_named(patterns: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """
    Return the clusters that shell patterns name, each once, in alphabetical order.

    Raises:
        ConfigurationError: a pattern names none.
    """
    names = sorted(known)
    found: set[str] = set()
    for pattern in patterns:
        matching = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigurationError(
                f"no configured cluster is named {pattern}",
                instead=f"configured clusters: {', '.join(names) or 'none'}",
            )
        found.update(matching)
    return tuple(sorted(found))


def over_clusters(
    clusters: Iterable[str], work: Callable[[str], Found], *, at_once: int = AT_ONCE
) -> Iterator[Member[Found]]:
    """
    Work on clusters, and yield how each ended, as they end; every cluster is yielded once.

    Args:
        work: is called in threads, once a cluster; a `SafeConsoleError` is how it says that it did not end well.
        at_once: how many at a time, > 0.

    Raises:
        Exception: the work raised something that is no `SafeConsoleError`; what is under way ends first.
    """
    breached = threading.Event()

    def one(cluster: str) -> Member[Found]:
        if breached.is_set():
            return Member(cluster=cluster, begun=False)
        try:
            return Member(cluster=cluster, found=work(cluster))
        except SafeConsoleError as error:
            if isinstance(error, StoppedError | OutcomeUnknownError):
                breached.set()
            return Member(cluster=cluster, error=error)
        except BaseException:
            breached.set()
            raise

    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="cluster") as pool:
        running: list[Future[Member[Found]]] = [pool.submit(one, cluster) for cluster in clusters]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            # The person left, or nobody takes the results any more: nothing further begins.
            breached.set()
