"""Ctrl-C, a closed terminal (SIGHUP) and `kill` (SIGTERM): raised where they can be handled, deferred elsewhere.

Python runs signal handlers in the main thread, between any two steps of it. So an interrupt that must not fall into
the middle of something (a COMMIT, the record of an end) is held until that is over. No other thread is interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

AGAIN_SECONDS = 5.0
"""Between two reminders to a program that was told to leave and goes on: code of the person's may swallow one."""

_REMINDERS = 4
"""After so many it is left without them."""

_WORDS = {signal.SIGHUP: "the terminal was closed", signal.SIGTERM: "the program was told to end"}


class ToldToLeave(KeyboardInterrupt):
    """SIGHUP or SIGTERM: handled as Ctrl-C pressed twice; the statement is stopped and the program leaves."""


class _State:
    """The received signal, and the function that handles it.

    Attributes:
        signal: the first signal that told the program to leave, 0 before that.
        held: how many blocks hold interrupts back now.
        pending: what arrived meanwhile, raised at the end of the outermost block.
        answers: what to do in place of raising, the innermost last.
        last: what is done before the program is left without its main thread.
        reminded: how often the program was told, while nothing was held back.
        terminals: the standard streams that were a terminal when the program began.
    """

    def __init__(self) -> None:
        self.signal = 0
        self.held = 0
        self.pending: KeyboardInterrupt | None = None
        self.answers: list[Callable[[], object]] = []
        self.last: list[Callable[[], object]] = []
        self.reminded = 0
        self.terminals: tuple[int, ...] = ()


state = _State()


def listen() -> None:
    """Handle the three signals from now on; one that is ignored, as under `nohup`, stays ignored."""
    state.terminals = tuple(descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor))
    for number, answer in ((signal.SIGINT, _interrupted), (signal.SIGHUP, _told), (signal.SIGTERM, _told)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, answer)


def told() -> int:
    """Return the signal that told the program to leave, 0 if none did."""
    return state.signal


def told_words() -> str:
    """Return why the program leaves, or ""."""
    number = state.signal
    return f"{_WORDS[signal.Signals(number)]} ({signal.Signals(number).name})" if number else ""


@contextmanager
def held() -> Iterator[None]:
    """Defer interrupts to the end of the context; a second Ctrl-C is raised at once.

    Raises:
        KeyboardInterrupt: in the main thread; no other one is interrupted.
    """
    hold()
    try:
        yield
    finally:
        release()


def hold() -> None:
    """Start deferring interrupts until `release`, where `held` cannot be used."""
    if threading.current_thread() is threading.main_thread():
        state.held += 1


def release() -> None:
    """Stop deferring interrupts. Raises KeyboardInterrupt, as `held`."""
    if threading.current_thread() is not threading.main_thread():
        return
    state.held -= 1
    if not state.held:
        pending, state.pending = state.pending, None
        if pending is not None:
            raise pending


@contextmanager
def answered_by(act: Callable[[], object]) -> Iterator[None]:
    """Call a function instead of raising when the program is told to leave; it MUST be safe in a signal handler."""
    state.answers.append(act)
    try:
        yield
    finally:
        state.answers.remove(act)


@contextmanager
def at_last(act: Callable[[], object]) -> Iterator[None]:
    """Call a function in a thread of its own, because the main thread swallows interrupts."""
    state.last.append(act)
    try:
        yield
    finally:
        state.last.remove(act)


def leave_at_once(code: int) -> NoReturn:
    """End the process without waiting for its other threads, which may be blocked for ever."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _interrupted(_number: int, _frame: object) -> None:
    if state.held and state.pending is None:
        state.pending = KeyboardInterrupt()
        return
    raise KeyboardInterrupt


def _told(number: int, _frame: object) -> None:
    if not state.signal:
        state.signal = number
        threading.Thread(target=_remind, daemon=True, name="safeconsole-leaving").start()
    _let_go_of_the_terminal()
    if state.held:
        # Never raised twice over: a shell and the system may both tell it.
        state.pending = ToldToLeave(told_words())
        return
    state.reminded += 1
    if state.answers:
        state.answers[-1]()
    else:
        raise ToldToLeave(told_words())


def _remind() -> None:
    while state.reminded < _REMINDERS:
        time.sleep(AGAIN_SECONDS)
        os.kill(os.getpid(), state.signal)
    for act in reversed(state.last):
        act()
    leave_at_once(128 + state.signal)


def _let_go_of_the_terminal() -> None:
    """Discard output to a closed terminal: its errors would break an orderly end."""
    for descriptor in state.terminals:
        if not os.isatty(descriptor):
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, descriptor)
            os.close(null)
