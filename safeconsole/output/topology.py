"""The nodes of a cluster as they were measured, and why each of them is or is not fit."""

from __future__ import annotations

from collections.abc import Iterable

from safeconsole.cluster.engine import Column, Row
from safeconsole.output.evidence import tree_text
from safeconsole.output.formats import render
from safeconsole.output.text import PLAIN, StreamStyle, safe, size_text
from safeconsole.policy.readings import Gates, Reading, unfit_reasons
from safeconsole.sqltext.vocabulary import Role

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
_STYLES = {Role.PRIMARY: "bold cyan", Role.REPLICA: "bold green", Role.UNKNOWN: "bold yellow"}


def topology_rows(readings: Iterable[Reading], gates: Gates) -> tuple[Row, ...]:
    """Return one row a node in the order of `TOPOLOGY_COLUMNS`: the primary first, what is not proven last."""
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
    return _STYLES[reading.role] if _fitness(reading, gates) == "yes" else "bold red"


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
