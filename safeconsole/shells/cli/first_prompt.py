"""
The first prompt, drawn before what a prompt needs is imported.

What is typed meanwhile waits in the terminal and is read by the real prompt, which is drawn over this one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from safeconsole.shells.cli.application import Application
from safeconsole.shells.terminal.looks import is_production, look_of

if TYPE_CHECKING:
    from safeconsole.core.settings import ClusterSettings

BRACKETED_PASTE = "\x1b[?2004h"
"""Switched on at once: lines that are pasted this early must not look like lines that were typed."""

PLAIN_PASTE = "\x1b[?2004l"


def draw_first_prompt(app: Application, cluster: str, schema: str) -> None:
    """Draw a cluster's prompt where a person can see it and type; what is wrong is told by what follows."""
    settings = drawable(app, cluster)
    if settings is not None:
        sys.stdout.write(first_prompt_text(cluster, schema or settings.schema, settings.environment))
        sys.stdout.flush()


def drawable(app: Application, cluster: str) -> ClusterSettings | None:
    """Return the cluster's settings where there is one, and a prompt of it can be drawn before the real one."""
    settings = app.settings().clusters.get(cluster)
    return settings if sys.stdin.isatty() and look_of(sys.stdout, app.environ).decorated else None


def first_prompt_text(cluster: str, schema: str, environment: str) -> str:
    """Return the prompt as it is before anything was asked, for a terminal with colours."""
    style = "1;31" if is_production(environment) else "1"
    # Names come from the person's own configuration, but a terminal obeys whoever writes to it.
    name, where = (text if text.isprintable() else "?" for text in (cluster, f"/{schema}" if schema else ""))
    return f"{BRACKETED_PASTE}\x1b[{style}m{name}\x1b[0m{where}> "


def step_aside(app: Application) -> None:
    """Leave the line to the real prompt, which begins at its start."""
    if sys.stdin.isatty() and look_of(sys.stdout, app.environ).decorated:
        sys.stdout.write("\r")
        sys.stdout.flush()
