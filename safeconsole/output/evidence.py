"""Errors, evidence, explanations and nodes for a person: plain lines, or panels and trees on a decorated terminal."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from safeconsole.cluster.engine import Column, Row
from safeconsole.errors import DeniedError, OutcomeUnknownError, RefusedError, Remedy, SafeConsoleError
from safeconsole.output.formats import render
from safeconsole.output.text import PLAIN, StreamStyle, clipped, clock_text, safe, size_text, until_text, width_of
from safeconsole.policy.decision import Assessment
from safeconsole.policy.policy import Policy, explanation_of
from safeconsole.policy.readings import Gates, Reading, unfit_reasons
from safeconsole.sqltext.vocabulary import Role, Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType

    from safeconsole.approvals.requests import ApprovalRequest


SHOWN_STATEMENT = 300
"""Characters of a statement shown as evidence; the journal holds it whole."""

_STYLES = {Verdict.ALLOW: "green", Verdict.CONFIRM: "yellow", Verdict.ELEVATE: "red", Verdict.DENY: "red"}
_TITLES = {
    Verdict.ALLOW: "may run",
    Verdict.CONFIRM: "needs a confirmation",
    Verdict.ELEVATE: "needs an elevation",
    Verdict.DENY: "is denied",
}

Lines = tuple[tuple[str, str], ...]
"""One pair a line: what it is about, and what is to say of it."""


def evidence_lines(considered: Assessment) -> Lines:
    """Return the evidence about a statement, as known before it ran."""
    decision = considered.decision
    lines = [("asked", one_line(considered.statement.text))]
    if considered.node is None:
        lines.append(("node", f"none is fit; it needs a {considered.route}"))
    lines += [split_label(line) for line in considered.evidence]
    if decision.limit_sources:
        lines.append(("limits", ", ".join(decision.limit_sources)))
    if decision.sensors:
        lines.append(("sensors", f"must be readable while it runs: {', '.join(decision.sensors)}"))
    if decision.message:
        lines.append(("because", decision.message))
    if decision.instead:
        lines.append(("instead", decision.instead))
    return tuple((safe(label), safe(text)) for label, text in lines)


def evidence_text(considered: Assessment, style: StreamStyle = PLAIN) -> str:
    """Return the evidence as text that ends with a newline, in a panel where the style allows one."""
    return block_text(title_of(considered), evidence_lines(considered), style, colour=colour_of(considered))


def colour_of(considered: Assessment) -> str:
    return _STYLES[considered.decision.verdict]


def title_of(considered: Assessment) -> str:
    verdict = considered.decision.verdict
    title = f"{considered.statement.kind} {_TITLES[verdict]}"
    if considered.decision.observed and verdict is not Verdict.ALLOW:
        title += " (observed only: the policy lets it run)"
    return title


Words = Callable[[Remedy], str]
"""Words a remedy in a face's own commands; "" where the face does not offer it."""


def no_words(remedy: Remedy) -> str:  # noqa: ARG001 (as `Words`)
    return ""


def way_out(error: SafeConsoleError, words: Words) -> str:
    return "; ".join(part for part in (error.instead, *map(words, error.remedies)) if part)


REFUSAL_LINES = 8
"""Lines that a refusal takes at most on a screen of `PANEL_COLUMNS`, where its ways out are not longer than that."""

_RANKS = {
    label: rank
    for rank, labels in enumerate(
        (
            ("rule",),
            ("careful", "the server objects", "hazard", "because"),
            ("node",),
            ("estimate", "full scan", "time limit", "asked"),
            ("tables", "statement"),
        )
    )
    for label in labels
}
"""Evidence by its label, the most telling first; a label that is not here comes after the hazards."""


def error_text(
    error: SafeConsoleError,
    style: StreamStyle = PLAIN,
    *,
    words: Words = no_words,
    next_step: str = "",
    more: str = "",
) -> str:
    """Return an error as text that ends with a newline: one line, the evidence, the remedies.

    Args:
        words: how this face words what can be done.
        next_step: what this face offers beyond the safer way, such as how to elevate, or "".
        more: where this face shows all of a refusal's evidence; "" where it has no such place, and all is shown.
    """
    lines = tuple(split_label(line) for line in error.evidence)
    steps = "; ".join(filter(None, map(words, error.remedies)))
    offers = (("instead", error.instead), ("or" if error.instead else "instead", steps), ("or", next_step))
    ways = tuple((label, safe(way)) for label, way in offers if way)
    title = f"{_what_became_of_it(error)}{safe(error.message)}"
    if not style.decorated:
        title = f"safeconsole: {title}"
    if more and isinstance(error, RefusedError):
        lines = _most_telling(lines, title, ways, style, more)
    if not style.decorated:
        return block_text(title, (*lines, *ways), style)
    colour = "red" if isinstance(error, DeniedError | OutcomeUnknownError) else "yellow"
    return block_text(title, (*lines, *ways), style, colour=colour)


def _most_telling(lines: Lines, title: str, ways: Lines, style: StreamStyle, more: str) -> Lines:
    """Return the evidence lines that fit into `REFUSAL_LINES` with the title and the remedies, in order."""
    # A hazard's reason that the title gives is not said twice.
    lines = tuple(line for line in lines if not (line[0] == "hazard" and line[1].partition("): ")[2] in title))
    columns = min(style.columns or PANEL_COLUMNS, PANEL_COLUMNS)
    widest = max((len(label) for label, _ in (*lines, *ways)), default=0)

    def room(label: str) -> int:
        # A panel has a frame and a column of labels; a plain line has an indent and a colon.
        return max(1, columns - (FRAME_COLUMNS + widest if style.decorated else 4 + len(label)))

    frame = 2 if style.decorated else 0
    heading = _rows(title, columns - FRAME_COLUMNS) if style.decorated else _rows(title, columns)
    # A title of one line stands in the panel's upper edge.
    taken = frame + (0 if frame and heading <= 1 else max(1, heading))
    free = max(2, REFUSAL_LINES - taken - sum(_rows(text, room(label)) for label, text in ways))
    if len(lines) <= free and all(_rows(text, room(label)) == 1 for label, text in lines):
        return lines
    by_rank = sorted(range(len(lines)), key=lambda at: (_RANKS.get(lines[at][0], 2), at))
    shown = (lines[at] for at in sorted(by_rank[: free - 1]))
    return (*((label, clipped(text, room(label))) for label, text in shown), ("more", more))


def _rows(text: str, columns: int) -> int:
    return -(-width_of(text) // columns)


def block_text(title: str, lines: Lines, style: StreamStyle = PLAIN, *, colour: str = "") -> str:
    """Return a title and labelled lines as text that ends with a newline, in a panel where the style allows one."""
    if style.decorated and lines:
        return panel_text(title, lines, style, colour=colour)
    return "".join([f"{title}\n", *(f"  {label}: {text}\n" if label else f"  {text}\n" for label, text in lines)])


def one_line(sql: str) -> str:
    return clipped(safe(" ".join(sql.split())), SHOWN_STATEMENT)


def split_label(line: str) -> tuple[str, str]:
    """Return an evidence line's label and text, both safe; a line without a short label has the label ""."""
    label, colon, text = line.partition(": ")
    return (safe(label), safe(text)) if colon and len(label) <= 20 else ("", safe(line))


def request_lines(request: ApprovalRequest) -> Lines:
    """Return what a second person is shown of a request, what would run last; the texts are as they came."""
    said = (
        ("who", f"{request.person} on {request.host}{f', by a program: {request.agent}' if request.agent else ''}"),
        ("where", f"{request.cluster} ({request.environment}) {request.node}".rstrip()),
        ("schema", request.schema or "none"),
        ("reason", request.reason),
        ("ticket", request.ticket or "none"),
        ("for", clock_text(request.window_seconds)),
        ("until", f"{until_text(request.expires_epoch)}, once"),
        ("what", request.sql or "every statement that needs an elevation"),
    )
    return (*(split_label(line) for line in request.evidence), *said)


def _what_became_of_it(error: SafeConsoleError) -> str:
    if isinstance(error, DeniedError):
        return "denied: "
    return "not run: " if isinstance(error, RefusedError) else ""


def explanation_text(considered: Assessment, policy: Policy, style: StreamStyle = PLAIN) -> str:
    """Return a decision explained, as text that ends with a newline, in a panel where the style allows one."""
    # The explanation names every limit, where the evidence names those that are not the policy's.
    evidence = tuple(line for line in evidence_lines(considered) if line[0] not in {"limits", "sensors"})
    reasons = tuple(split_label(safe(line)) for line in explanation_of(considered, policy))
    return block_text(title_of(considered), (*evidence, *reasons), style, colour=colour_of(considered))


PANEL_COLUMNS = 100
"""Panels are not drawn wider than this: long lines are hard to read under stress."""

FRAME_COLUMNS = 6
"""Columns of a panel's upper edge that corners and the spaces around a title take."""


def panel_text(title: str, lines: Sequence[tuple[str, str]], style: StreamStyle, *, colour: str) -> str:
    """Return a framed panel of labelled lines that ends with a newline; a title too long for the frame stands in it."""
    # Imported here, as in the next two: a pipe and a plain terminal never need it, and it takes long.
    from rich import box  # noqa: PLC0415
    from rich.console import Group  # noqa: PLC0415
    from rich.panel import Panel  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True, justify="right")
    grid.add_column(overflow="fold")
    for label, text in lines:
        # Text, never markup: brackets in data must not become styles.
        strong = "bold" if label in {"instead", "or"} else ""
        grid.add_row(Text(label), Text(text, style=strong))
    width = min(style.columns, PANEL_COLUMNS)
    heading = Text(title, style="bold")
    fits = "\n" not in title and heading.cell_len <= width - FRAME_COLUMNS
    frame = Panel(
        grid if fits else Group(heading, grid),
        title=heading if fits else None,
        title_align="left",
        border_style=colour,
        box=box.ROUNDED,
        width=width,
    )
    return _drawn(frame, style)


def tree_text(title: str, branches: Sequence[tuple[str, str, Sequence[str]]], style: StreamStyle) -> str:
    """Return a tree of one level that ends with a newline.

    Args:
        branches: a branch's heading, its colour, and its leaves.
    """
    from rich.text import Text  # noqa: PLC0415
    from rich.tree import Tree  # noqa: PLC0415

    tree = Tree(Text(title, style="bold"), guide_style="dim")
    for heading, colour, leaves in branches:
        branch = tree.add(Text(heading, style=colour))
        for leaf in leaves:
            branch.add(Text(leaf))
    return _drawn(tree, style)


def _drawn(renderable: RenderableType, style: StreamStyle) -> str:
    from rich.console import Console  # noqa: PLC0415

    stream = io.StringIO()
    console = Console(
        file=stream,
        width=style.columns,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
        highlight=False,
    )
    console.print(renderable)
    return stream.getvalue()


TOPOLOGY_COLUMNS: tuple[Column, ...] = (
    Column(name="node"),
    Column(name="role"),
    Column(name="fit"),
    Column(name="lag_seconds", numeric=True),
    Column(name="threads_running", numeric=True),
    Column(name="free_memory_bytes", numeric=True),
    Column(name="used_memory_bytes", numeric=True),
    Column(name="tables", numeric=True),
    Column(name="version"),
    Column(name="server"),
    Column(name="address"),
    Column(name="tags"),
    Column(name="found"),
    Column(name="unseen"),
    Column(name="why"),
)
"""Columns of `topology_rows`: sizes in bytes, lag in seconds, NULL for what could not be measured."""

_ORDER = {Role.PRIMARY: 0, Role.REPLICA: 1, Role.UNKNOWN: 2}
_ROLE_STYLES = {Role.PRIMARY: "bold cyan", Role.REPLICA: "bold green", Role.UNKNOWN: "bold yellow"}


def topology_rows(readings: Iterable[Reading], gates: Gates) -> tuple[Row, ...]:
    """Return one row for each node, with `TOPOLOGY_COLUMNS`: the primary first, unproven nodes last."""
    return tuple(_row(reading, gates) for reading in _ordered(readings))


def topology_text(cluster: str, readings: Iterable[Reading], gates: Gates, style: StreamStyle = PLAIN) -> str:
    """Return the nodes as a tree on a decorated terminal, else as a plain table with the reasons below it."""
    ordered = _ordered(readings)
    if style.decorated:
        branches = [(_heading(reading, gates), _style(reading, gates), _leaves(reading, gates)) for reading in ordered]
        return tree_text(safe(cluster), branches, style)
    rows = [
        (str(reading.node), str(reading.role), _fitness(reading, gates), _lag(reading), *_measured(reading))
        for reading in ordered
    ]
    table = render(("node", "role", "fit", "lag", "threads", "free memory", "server memory"), rows, "table")
    reasons = [(reading, line) for reading in ordered for line in (_why(reading, gates), *_told(reading))]
    return table + "".join(f"{safe(str(reading.node))}: {safe(line)}\n" for reading, line in reasons)


def _ordered(readings: Iterable[Reading]) -> list[Reading]:
    return sorted(readings, key=lambda reading: (_ORDER[reading.role], reading.node))


def _row(reading: Reading, gates: Gates) -> Row:
    identity = reading.identity
    return (
        str(reading.node),
        str(reading.role),
        _fitness(reading, gates),
        reading.lag_seconds,
        reading.threads_running,
        reading.free_memory_bytes,
        reading.used_memory_bytes,
        reading.tables,
        reading.version or None,
        identity.server if identity else None,
        identity.address if identity else None,
        " ".join(sorted(reading.tags)) or None,
        reading.found or None,
        reading.unseen or None,
        _why(reading, gates),
    )


def _fitness(reading: Reading, gates: Gates) -> str:
    return "no" if reading.role is Role.UNKNOWN or unfit_reasons(reading, gates) else "yes"


def _why(reading: Reading, gates: Gates) -> str:
    unfit = unfit_reasons(reading, gates)
    if unfit:
        return "; ".join(unfit)
    if reading.role is Role.UNKNOWN:
        return f"role not proven: {reading.proof}"
    return f"fit {reading.role}: {reading.proof}"


def _told(reading: Reading) -> list[str]:
    found = [f"not in the configuration, but found: {reading.found}"] if reading.found else []
    return [*found, *([reading.unseen] if reading.unseen else [])]


def _heading(reading: Reading, gates: Gates) -> str:
    mark = "✓" if _fitness(reading, gates) == "yes" else "✗"
    return safe(f"{mark} {reading.node}  {reading.role}")


def _style(reading: Reading, gates: Gates) -> str:
    return _ROLE_STYLES[reading.role] if _fitness(reading, gates) == "yes" else "bold red"


def _leaves(reading: Reading, gates: Gates) -> list[str]:
    leaves = [_why(reading, gates), *_told(reading)]
    if not reading.unreachable:
        readings = (
            ("lag", _lag(reading)),
            *zip(("threads running", "free memory", "server memory"), _measured(reading), strict=True),
        )
        known = [f"{name} {value}" for name, value in readings if value not in {"-", "unknown"}]
        leaves += [", ".join(known)] if known else []
        address = reading.identity.address if reading.identity else "address unknown"
        tags = f", tagged {', '.join(sorted(reading.tags))}" if reading.tags else ""
        leaves.append(f"{reading.version or 'version unknown'} at {address}{tags}")
    return [safe(leaf) for leaf in leaves]


def _lag(reading: Reading) -> str:
    if reading.lag_seconds is None:
        return "-" if reading.role is Role.PRIMARY else "unknown"
    return f"{reading.lag_seconds:.1f} s"


def _measured(reading: Reading) -> tuple[str, str, str]:
    threads = "unknown" if reading.threads_running is None else str(reading.threads_running)
    return (threads, _size(reading.free_memory_bytes), _size(reading.used_memory_bytes))


def _size(size: int | None) -> str:
    return "unknown" if size is None else size_text(size)
