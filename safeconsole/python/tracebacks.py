"""Errors of the person's code: their own lines and the message, without this program's frames."""

from __future__ import annotations

import os
import sys
import traceback
from types import TracebackType

import safeconsole
from safeconsole.errors import Action, Remedy, SafeConsoleError, ServerError
from safeconsole.output.evidence import error_text
from safeconsole.output.text import PLAIN, StreamStyle, safe, safe_lines

_OURS = os.path.dirname(os.path.abspath(safeconsole.__file__)) + os.sep  # noqa: PTH100, PTH120 (compared with strings)
_LIBRARIES = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def failure_text(error: BaseException, style: StreamStyle = PLAIN) -> str:
    """Return a failure as text that ends with a newline.

    A refusal, a stop or a loss is shown with its evidence and the way out, below the person's own lines; anything
    else as Python shows it, without this program's frames. What a server quoted cannot drive the terminal.
    """
    refusal = console_error(error)
    if refusal is None:
        return "".join(f"{line}\n" for line in safe_lines("".join(_formatted(error)).rstrip("\n")))
    lines = [f"  {safe(where)}\n" for where in _places(error.__traceback__)]
    return "".join(lines) + error_text(refusal, style, words=words, more="why() shows all evidence")


_FLAGS = {"run_seconds": "--timeout S", "fetched_rows": "--max-rows N", "fetched_bytes": "--max-bytes N"}


def words(remedy: Remedy) -> str:
    flag = _FLAGS.get(remedy.of)
    if remedy.action is Action.RAISE_LIMIT and flag:
        return f"{flag} when you open it raises it, to at most {remedy.most:,.15g}"
    if remedy.action is Action.ELEVATE:
        return 'to run it anyway: with elevate(reason="…", ticket="…"): …'
    if remedy.action is Action.RELEASE_BRAKE:
        return "a person runs it at a terminal, and answers"
    return "name one with --to NODE when you open it" if remedy.action is Action.NAME_NODE else ""


def interrupted_text(error: KeyboardInterrupt) -> str:
    """Return the line that says that the person stopped the statement, and its outcome."""
    return f"interrupted{f': {safe(str(error))}' if str(error) else ''}\n"


def console_error(error: BaseException) -> SafeConsoleError | None:
    """Return the console's own error in an exception or its causes."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        if isinstance(found, SafeConsoleError):
            # What the server itself answered has a traceback like any driver's.
            return found if found is error or not isinstance(found, ServerError) else None
        found = found.__cause__
    return None


def _places(trace: TracebackType | None) -> list[str]:
    """Return where the person's code was, outermost first, one line each."""
    frames = [frame for frame in traceback.extract_tb(trace) if is_theirs(frame.filename)]
    return [f"{frame.filename}, line {frame.lineno}: {(frame.line or '').strip()}".rstrip(": ") for frame in frames]


def is_theirs(filename: str) -> bool:
    """Whether a file is the person's own code, not a library's and not this program's."""
    return not filename.startswith(
        ("<sqlalchemy generated", "<frozen", _OURS, sys.prefix + os.sep, sys.base_prefix + os.sep)
    ) and not any(part in filename for part in _LIBRARIES)


def _formatted(error: BaseException) -> list[str]:
    shown = traceback.TracebackException.from_exception(error)
    _drop_ours(shown)
    return list(shown.format())


def _drop_ours(shown: traceback.TracebackException) -> None:
    # What the database said needs no walk through the library that carried it.
    of_database = _module_of(shown).startswith(("sqlalchemy.", "safeconsole."))
    theirs = [frame for frame in shown.stack if is_theirs(frame.filename)]
    kept = theirs if of_database and theirs else [each for each in shown.stack if not _is_ours(each.filename)]
    shown.stack[:] = kept
    # An error of the server carries the console's own behind it, which says the same.
    if shown.__cause__ is not None and _module_of(shown.__cause__).startswith("safeconsole."):
        shown.__cause__, shown.__suppress_context__ = None, True
    for inner in (shown.__cause__, shown.__context__):
        if inner is not None:
            _drop_ours(inner)


def _is_ours(filename: str) -> bool:
    return filename.startswith(_OURS) or f"{os.sep}ptpython{os.sep}" in filename


def _module_of(shown: traceback.TracebackException) -> str:
    return f"{getattr(shown.exc_type, '__module__', '')}."
