"""The pages about all clusters: what policies' rules decided, and sizes, growth and leftovers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from safeconsole.audit.central_archive import Covered
from safeconsole.capacity.overview import Overview
from safeconsole.output.text import size_text
from safeconsole.web.pages import Child, Viewer, page, table_of, tag

COVERED_DAYS = 30
COVERAGE_HEADS = ("rule", "verdict", "statements", "last day")
FLEET_HEADS = ("cluster", "measured (UTC)", "tables", "size", "grown", "grew most", "leftovers", "note")


def coverage_page(viewer: Viewer, covered: Sequence[Covered], rules: Mapping[str, Sequence[str]]) -> str:
    """Return what each rule decided, policy by policy, and the rules that decided nothing.

    Args:
        covered: in the order of the policies.
        rules: ids by policy, of the policies that this server's configuration names.
    """
    parts: list[Child] = [tag("p", f"What rules decided in the last {COVERED_DAYS} days.", class_="quiet")]
    fired: dict[str, set[str]] = {}
    for policy, held in groupby(covered, key=lambda each: each.policy):
        shown = list(held)
        fired.setdefault(policy.partition("@")[0], set()).update(each.rule for each in shown)
        rows = [(each.rule, each.verdict, f"{each.statements:,}", each.last) for each in shown]
        parts += [tag("h2", policy), table_of(COVERAGE_HEADS, rows, class_="wide")]
    for name, ids in rules.items():
        idle = [each for each in ids if each not in fired.get(name, ())]
        if idle:
            parts += [tag("h2", f"{name}: never"), tag("p", ", ".join(idle), class_="quiet")]
    if not covered:
        parts.append(tag("p", "No statement was decided, or none is in the index yet.", class_="quiet"))
    return page("Policy coverage", viewer, *parts)


def fleet_page(viewer: Viewer, rows: Sequence[Overview], why_not: str) -> str:
    """Return a row a cluster, or why there are none."""
    if why_not or not rows:
        return page("Fleet", viewer, tag("p", why_not or "The reports are being read.", class_="quiet"))
    told = (
        "From each cluster's newest capacity report; growth since the one a week before. Leftovers are told by their "
        "names alone: safeconsole capacity CLUSTER --leftovers looks at them."
    )
    cells = [
        (
            row.cluster, row.measured[:16].replace("T", " "), f"{row.tables:,}" if row.measured else "",
            size_text(row.total_bytes) if row.measured else "", _grown(row),
            ", ".join(f"{label} {size_text(size)}" for label, size in row.fastest),
            f"{row.leftovers} ({size_text(row.leftover_bytes)})" if row.leftovers else "", row.trouble,
        )
        for row in rows
    ]  # fmt: skip
    return page("Fleet", viewer, tag("p", told, class_="quiet"), table_of(FLEET_HEADS, cells, class_="wide"))


def _grown(row: Overview) -> str:
    if not row.days:
        return ""
    sign = "-" if row.grown_bytes < 0 else "+"
    return f"{sign}{size_text(abs(row.grown_bytes))} in {row.days:.0f} days"
