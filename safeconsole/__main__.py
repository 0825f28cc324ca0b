"""`python -m safeconsole` and the `safeconsole` command."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    _open_missing_streams()
    # Imported here, so that an interrupt during the imports is an interrupt and not a traceback.
    try:
        from safeconsole.app import run

        code = run(sys.argv[1:], os.environ)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


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
