"""`python -m safeconsole` and the `safeconsole` command."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    _open_missing_streams()
    # Imported here, so that an interrupt during the imports is an interrupt and not a traceback.
    try:
        from safeconsole.app import run

        code = run(sys.argv[1:], os.environ)
    except KeyboardInterrupt:
        code = 130
    _leave(code)


def _leave(code: int) -> NoReturn:
    """Leave with an exit code, once threads and exit handlers are done and the streams are written.

    The interpreter would then take every module and object down one by one, which a one-shot waits 30 ms for.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 (as the interpreter does, in its order)
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        # What cannot be written was told before, or has nobody to be told to.
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _open_missing_streams() -> None:
    """Put the null device where a standard stream was closed: the journal must never become standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (open as long as the process)


if __name__ == "__main__":
    main()
