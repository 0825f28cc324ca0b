"""One-shots: code from the command line, a file or a pipe, run once."""

from __future__ import annotations

from typing import Any

from safeconsole.core.errors import SafeConsoleError
from safeconsole.shells.python.line import Line
from safeconsole.shells.python.rows import Rows
from safeconsole.shells.python.sources import run_source
from safeconsole.shells.python.tracebacks import console_error, failure_text, interrupted_text

FAILED, INTERRUPTED = 1, 130


def run_script(line: Line, source: str, namespace: dict[str, Any], *, name: str) -> int:
    """
    Run code once; a last expression that has a value is printed.

    Args:
        name: what tracebacks call it.

    Returns:
        The exit code: 0, the console's own for what it refused or stopped, 1 for any other failure.
    """
    screen = line.screen
    try:
        with line.at_work():
            result = run_source(line, source, namespace, name=name)
            if result is not None:
                screen.data.write(f"{result.text() if isinstance(result, Rows) else repr(result)}".rstrip("\n") + "\n")
    except KeyboardInterrupt as error:
        screen.messages.write(interrupted_text(error))
        refusal = console_error(error)
        return refusal.exit_code if refusal else INTERRUPTED
    except Exception as error:  # noqa: BLE001 (it is the person's code that failed, and they are told)
        screen.messages.write(failure_text(error, screen.messages_look))
        refusal = console_error(error)
        return refusal.exit_code if isinstance(refusal, SafeConsoleError) else FAILED
    finally:
        screen.data.flush()
        screen.messages.flush()
    return 0
