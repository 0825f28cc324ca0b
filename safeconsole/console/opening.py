"""A session that is opened behind the prompt: one may type at once, and the first Enter waits if it must."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    # A prompt stands before these are imported.
    from safeconsole.console.state import Services
    from safeconsole.session.gate import Gate


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a console needs of an open session.

    Attributes:
        gate: the road.
        services: see `Services`.
    """

    gate: Gate
    services: Services


class Opening:
    """
    A session that is open, or being opened in a thread of its own.

    Args:
        act: opens it; called once, in that thread.
    """

    def __init__(self, act: Callable[[], Opened]) -> None:
        self._act = act
        self._opened: Opened | None = None
        self._failure: BaseException | None = None
        self._begun = threading.Lock()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, opened: Opened) -> Opening:
        """Return the opening of what is open already."""
        made = cls(lambda: opened)
        made._opened = opened
        return made

    def begin(self, done: Callable[[], None] = lambda: None) -> None:
        """
        Begin to open, once; returns at once.

        Args:
            done: called in the opening thread when it is open, or cannot be.
        """
        with self._begun:
            if self._opened is None and self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, args=(done,), name="safeconsole-opening", daemon=True
                )
                self._thread.start()

    def now(self) -> Opened | None:
        """Return the session if it is open; never waits."""
        return self._opened

    @property
    def failure(self) -> BaseException | None:
        """Why it cannot be opened, None as long as it may be."""
        return self._failure

    def get(self) -> Opened:
        """
        Return the session; waits for it.

        Raises:
            SafeConsoleError: it cannot be opened.
        """
        self.begin()
        self.settle()
        if self._failure is not None:
            raise self._failure
        opened = self._opened
        assert opened is not None
        return opened

    def settle(self) -> None:
        """Wait until what was begun is over, well or not."""
        if self._thread is not None:
            self._thread.join()

    def _work(self, done: Callable[[], None]) -> None:
        try:
            self._opened = self._act()
        except BaseException as error:  # noqa: BLE001 (raised again, in the thread that asks for it)
            self._failure = error
        done()
