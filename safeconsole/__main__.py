"""`python -m safeconsole` and the `safeconsole` command."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    # Imported here, so that an interrupt during the imports is an interrupt and not a traceback.
    try:
        from safeconsole.wiring import run

        code = run(sys.argv[1:], os.environ)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
