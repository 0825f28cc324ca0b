"""`python -m safeconsole` and the `safeconsole` command."""

from __future__ import annotations

import atexit
import gc
import io
import os
import select
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from safeconsole import interrupts

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SAYS_MORE = frozenset({1, 5, 6, 7})
"""Exit codes that tell of the data, and so more than that the program was told to leave."""

_PATIENCE_SECONDS = 1.0

_OBJECTS_OF_A_START = 100_000
"""More than the imports of a start leave, none of it garbage: the collector would look through them ninety times."""


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    gc.set_threshold(_OBJECTS_OF_A_START)
    _open_missing_streams()
    _let_messages_be_lost()
    interrupts.listen()
    # Imported here, so that an interrupt during the imports is an interrupt and not a traceback.
    try:
        from safeconsole.app import run

        code = run(sys.argv[1:], os.environ)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as leaving:
        # Of the person's own Python code.
        code = _code_of(leaving)
    interrupts.hold()
    told = interrupts.told()
    _leave(128 + told if told and code not in _SAYS_MORE else code)


def _leave(code: int) -> NoReturn:
    """Exit with a code, after threads, exit handlers and output are finished.

    The interpreter would then take every module and object down one by one, which a one-shot waits 30 ms for.
    """
    if not interrupts.told():
        # Who is told to leave waits for nobody: a thread may be blocked on a terminal that is gone.
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 (as the interpreter does, in its order)
    atexit._run_exitfuncs()  # noqa: SLF001
    # What cannot be written was told before, or has nobody to be told to.
    interrupts.leave_at_once(code)


def _open_missing_streams() -> None:
    """Open the null device for closed standard streams, so that the journal never becomes standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (open as long as the process)


def _code_of(leaving: SystemExit) -> int:
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    sys.stderr.write(f"{leaving.code}\n")
    return 1


class _LossyFile(io.FileIO):
    """A file that ignores write errors: a full disk or a closed terminal ends nothing."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as much as possible; the rest counts as written."""
        with suppress(OSError):
            # A terminal that does not block, as a program that shares it may have left it, says None when it is full.
            while (written := super().write(data)) is None:
                if not select.select((), (self.fileno(),), (), _PATIENCE_SECONDS)[1]:
                    break
            else:
                return written
        return memoryview(data).nbytes


def _let_messages_be_lost() -> None:
    """Ignore errors of message output: a lost status line must not end a change."""
    said = sys.stderr
    if said is not None:
        raw = _LossyFile(2, "w", closefd=False)
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(raw), encoding=said.encoding, errors="backslashreplace", line_buffering=True
        )


if __name__ == "__main__":
    main()
