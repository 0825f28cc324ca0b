"""Hands rows to a pager as they arrive, so that a wide result is scrolled and none of it is held here."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from safeconsole.core.errors import ConfigurationError
from safeconsole.shells.terminal.looks import PLAIN
from safeconsole.shells.terminal.presenting import Screen

USUAL_PAGER = "less -SRFX"
"""Long lines are scrolled and not folded, colours pass, what fits on one screen needs no key."""

_COLOURFUL = frozenset({"less", "more", "most", "cat", "bat", "moar", "moor", "ov"})
"""Programs that colours are left to; another one, such as an editor, would show their escapes as text."""


@contextmanager
def paged(screen: Screen, pager: str) -> Iterator[Screen]:
    """
    Give a screen whose rows go to a pager; leave when the person left it, and show the messages then.

    Args:
        screen: where to write without a pager.
        pager: its command line, "" for none.

    Raises:
        ConfigurationError: it cannot be started.
    """
    if not pager:
        yield screen
        return
    try:
        words = shlex.split(pager)
        process = subprocess.Popen(words, stdin=subprocess.PIPE, env={**os.environ, "LESS": _less_options()})
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(f"the pager {pager!r} cannot be started: {error}", instead="\\pager off") from error
    assert process.stdin is not None
    told = io.StringIO()
    rows = io.TextIOWrapper(process.stdin, encoding="utf-8", errors="backslashreplace")
    try:
        # Rows may be as wide as they are, and what is said meanwhile would be drawn over the pager's page.
        look = replace(screen.data_look, columns=0, decorated=screen.data_look.decorated and _shows_colours(words[0]))
        yield replace(screen, data=rows, data_look=look, messages=told, messages_look=PLAIN)
    finally:
        with suppress(BrokenPipeError):
            rows.close()
        _wait_for(process)
        screen.messages.write(told.getvalue())
        screen.messages.flush()


def _less_options() -> str:
    """Return the person's own options of less, and that colours pass, which they may leave out of the command."""
    return f"{os.environ.get('LESS', '')} -R".strip()


def _shows_colours(program: str) -> bool:
    return Path(program).name in _COLOURFUL


def _wait_for(process: subprocess.Popen[bytes]) -> None:
    """Wait until the person leaves the pager; Ctrl-C is the pager's there."""
    while process.poll() is None:
        with suppress(KeyboardInterrupt):
            process.wait()
