"""Panels and trees for a decorated terminal; imported only when one is drawn."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from safeconsole.output.style import Look

PANEL_COLUMNS = 100
"""Panels are not drawn wider than this: long lines are hard to read under stress."""

FRAME_COLUMNS = 6
"""What corners and the spaces around a title take of a panel's upper edge."""


def panel_text(title: str, lines: Sequence[tuple[str, str]], look: Look, *, style: str) -> str:
    """Return a framed panel of labelled lines that ends with a newline; a title too long for the frame stands in it."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    for label, text in lines:
        # Text, never markup: brackets in data must not become styles.
        strong = "bold" if label in {"instead", "or"} else ""
        grid.add_row(Text(label), Text(text, style=strong))
    width = min(look.columns, PANEL_COLUMNS)
    heading = Text(title, style="bold")
    fits = "\n" not in title and heading.cell_len <= width - FRAME_COLUMNS
    frame = Panel(
        grid if fits else Group(heading, grid),
        title=heading if fits else None,
        title_align="left",
        border_style=style,
        box=box.ROUNDED,
        width=width,
    )
    return _drawn(frame, look)


def tree_text(title: str, branches: Sequence[tuple[str, str, Sequence[str]]], look: Look) -> str:
    """
    Return a tree of one level that ends with a newline.

    Args:
        branches: a branch's heading, its style, and its leaves.
    """
    tree = Tree(Text(title, style="bold"), guide_style="dim")
    for heading, style, leaves in branches:
        branch = tree.add(Text(heading, style=style))
        for leaf in leaves:
            branch.add(Text(leaf))
    return _drawn(tree, look)


def _drawn(renderable: RenderableType, look: Look) -> str:
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=look.columns,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        highlight=False,
    )
    console.print(renderable)
    return stream.getvalue()
