"""
What a job has under way on many clusters, and the person's word to stop it on all of their servers.

    going ─► told to stop: nothing begins, what runs is killed ─► told again: killed without grace, and soon left behind
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from safeconsole.core.errors import StoppedError

INSIST_SECONDS = 0.5
"""Between two tellings to stop: one that comes right before a statement is sent does not meet it."""


class Underway:
    """
    What is under way, held so that another thread than the one that works can stop it.

    Attributes:
        words: how often the person asked to stop.
        wake: is called at each of their words; MUST be safe in a signal handler.
    """

    def __init__(self) -> None:
        self.words = 0
        self.wake: Callable[[], None] = _nothing
        self._lock = threading.Lock()
        self._told = threading.Event()
        self._held: list[Callable[[], str]] = []

    @property
    def is_told(self) -> bool:
        """Whether everything was told to stop."""
        return self._told.is_set()

    def interrupt(self) -> None:
        """Take the person's word; it takes no lock, so that a signal handler may call it."""
        self.words += 1
        self.wake()

    @contextmanager
    def holding(self, stop: Callable[[], str]) -> Iterator[None]:
        """Hold what stops one cluster's work, as `Gate.stop` does, while that is under way."""
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
        """Wait, unless told to stop. Raises StoppedError: it was told to."""
        if self._told.wait(seconds):
            raise StoppedError("stopped at your word, between two statements", by="person", verified="already over")

    def stop(self) -> None:
        """Tell all of it to stop, each from a thread of its own; told again, it ends without grace."""
        self._told.set()
        with self._lock:
            held = tuple(self._held)
        for stop in held:
            # A daemon: leaving must not wait for a server that does not answer.
            threading.Thread(target=self._insist, args=(stop,), daemon=True, name="stop").start()

    def _insist(self, stop: Callable[[], str]) -> None:
        """Tell one to stop until it is through."""
        while True:
            stop()
            threading.Event().wait(INSIST_SECONDS)
            with self._lock:
                if stop not in self._held:
                    return


def _nothing() -> None:
    """Nobody waits for the person's word yet."""
