"""The live view of one node: every few seconds two statements, limited and recorded as any other."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable
from typing import Any, Self

from safeconsole.console.incident import age_text, asks_of, sheet_of
from safeconsole.console.session_commands import number_of
from safeconsole.console.state import ConsoleState
from safeconsole.diagnosis.asking import Diagnosing, ServerSessionRow
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import clipped, counted, safe, size_text, span_text
from safeconsole.policy.readings import Reading

_LEAST_SECONDS, _USUAL_SECONDS = 1.0, 2.0
_HEADER_LINES = 6


def top(state: ConsoleState, argument: str) -> None:
    """Show a node's load and its running statements, longest first, until q or Ctrl-C."""
    words = argument.split()
    seconds = number_of(words.pop(), "\\top needs seconds") if words and words[-1][0].isdigit() else _USUAL_SECONDS
    if seconds < _LEAST_SECONDS:
        raise ConfigurationError(f"\\top looks at most once in {_LEAST_SECONDS:g} s")
    asks = asks_of(state, " ".join(words))
    before: tuple[float, int] | None = None
    try:
        with _Keys(state.services.pause) as keys:
            while True:
                started = time.monotonic()
                sessions, numbers = asks.working(), asks.numbers()
                reading = next((each for each in state.session.topology() if each.node == asks.node), None)
                took = time.monotonic() - started
                page = _page(state, asks, (sessions, numbers, reading), before, (seconds, took))
                state.answer(page)
                before = started, numbers.get("queries", 0)
                if keys.wait(seconds) in {"q", "Q"}:
                    break
    except KeyboardInterrupt:
        pass
    state.say("left \\top")


def _page(
    state: ConsoleState,
    asks: Diagnosing,
    look: tuple[tuple[ServerSessionRow, ...], dict[str, int], Reading | None],
    before: tuple[float, int] | None,
    pace: tuple[float, float],
) -> str:
    sessions, numbers, reading = look
    style = state.screen().data_style
    columns = style.columns or 100
    title = f"{safe(state.session.context.cluster)} {safe(asks.node)}"
    role = f" ({reading.role})" if reading and reading.role not in asks.node else ""
    lines = [
        f"{title}{role} · every {pace[0]:g} s · a look took {span_text(pace[1])} · q leaves",
        _numbers_line(numbers, before),
        _health_line(numbers, reading),
        "",
    ]
    listed = sheet_of(sessions).lines(columns, decorated=style.decorated) if sessions else ["nothing runs"]
    room = max(shutil.get_terminal_size().lines - _HEADER_LINES, 2) if style.decorated else len(listed)
    lines += listed[:room]
    if len(listed) > room:
        lines.append(f"({counted(len(sessions), 'session')} at work in all: \\processlist)")
    clear = "\x1b[H\x1b[2J" if style.decorated else ""
    return clear + "\n".join(clipped(line, columns) if "\x1b" not in line else line for line in lines)


def _numbers_line(numbers: dict[str, int], before: tuple[float, int] | None) -> str:
    parts = [
        f"{numbers.get('threads_running', 0):,} running",
        f"{numbers.get('threads_connected', 0):,} of {numbers.get('max_connections', 0):,} connected",
        f"{numbers.get('innodb_row_lock_current_waits', 0):,} wait for a row",
    ]
    if before is not None:
        rate = (numbers.get("queries", 0) - before[1]) / max(time.monotonic() - before[0], 0.001)
        parts.append(f"{max(rate, 0):,.0f} statements/s")
    return " · ".join(parts)


def _health_line(numbers: dict[str, int], reading: Reading | None) -> str:
    history = numbers.get("history_length", numbers.get("innodb_history_list_length"))
    parts = [
        f"history length {'unknown' if history is None else f'{history:,}'}",
        f"oldest transaction {age_text(numbers['oldest_transaction'])}"
        if "oldest_transaction" in numbers
        else "no transaction",
    ]
    if "memory_used" in numbers:
        parts.append(f"memory {size_text(numbers['memory_used'])}")
    if reading is not None and reading.role == "replica":
        lag = "unknown" if reading.lag_seconds is None else f"{reading.lag_seconds:.1f} s"
        parts.append(f"lag {lag}" if reading.replicating else "replication is not running")
    return " · ".join(parts)


class _Keys:
    """Waits for a key on the terminal, if there is one."""

    def __init__(self, pause: Callable[[float], None]) -> None:
        self._pause = pause
        self._before: list[Any] | None = None

    def __enter__(self) -> Self:
        if sys.stdin is not None and sys.stdin.isatty():
            self._before = termios.tcgetattr(sys.stdin.fileno())
            tty.setcbreak(sys.stdin.fileno())
        return self

    def __exit__(self, *_error: object) -> None:
        if self._before is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str:
        """Return the key pressed within some seconds, or ""."""
        if self._before is None:
            self._pause(seconds)
            return ""
        ready, _, _ = select.select([sys.stdin.fileno()], [], [], seconds)
        return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") if ready else ""
