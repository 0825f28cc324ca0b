"""Looks at the nodes that are not fit, from a thread of its own that lives only while there are some."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from safeconsole.reconnect.board import Board, Finding, Node

FIRST_SECONDS = 0.05
"""How soon the second look follows the first; each later one waits twice as long."""


class Prober:
    """
    One engine's looks.

    Args:
        board: takes in what is found.
        look: looks at one node; never raises.
        longest_seconds: the longest wait between two looks.
    """

    def __init__(self, board: Board, look: Callable[[Node], Finding], *, longest_seconds: float) -> None:
        self._board = board
        self._look = look
        self._longest_seconds = longest_seconds
        self._lock = threading.Lock()
        self._alarm = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def alarm(self) -> None:
        """Look now, and then often."""
        with self._lock:
            self._alarm.set()
            # A process that was forked has the object, but not the thread.
            if not self._stopped and (self._thread is None or not self._thread.is_alive()):
                # A daemon: an application that leaves must not wait for a server that does not answer.
                self._thread = threading.Thread(target=self._run, daemon=True, name="safeconsole-reconnect")
                self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._alarm.set()

    def _run(self) -> None:
        wait_seconds = FIRST_SECONDS
        while not self._stopped:
            self._alarm.clear()
            nodes = self._board.to_look_at()
            self._look_at(nodes)
            if not nodes and self._leave():
                return
            if self._alarm.wait(_about(wait_seconds)):
                # Many alarms at once are one: what they are about is looked at together.
                time.sleep(_about(FIRST_SECONDS))
                wait_seconds = FIRST_SECONDS
            else:
                wait_seconds = min(wait_seconds * 2, self._longest_seconds)

    def _look_at(self, nodes: tuple[Node, ...]) -> None:
        """Look at nodes beside each other; each is reported at once: one that does not answer holds up no other."""
        looks = [threading.Thread(target=self._look_at_one, args=(node,), daemon=True) for node in nodes]
        for look in looks:
            look.start()
        for look in looks:
            look.join()

    def _look_at_one(self, node: Node) -> None:
        self._board.report(node, self._look(node))

    def _leave(self) -> bool:
        with self._lock:
            if self._alarm.is_set():
                return False
            self._thread = None
            return True


def _about(seconds: float) -> float:
    """Return a time that many processes do not share."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
