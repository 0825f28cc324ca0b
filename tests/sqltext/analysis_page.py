"""
The tables of docs/analysis.md, and one of docs/limits.md, made from the data: `python -m tests.sqltext.analysis_page`
writes them anew.
"""

from pathlib import Path


from benchmarks.catalogue import recorded
from safeconsole.mysql.recognising import version_of
from safeconsole.dialects import DIALECTS
from safeconsole.sqltext.findings import ACTIONS
from safeconsole.sqltext.dialect import EVERY_VERSION
from safeconsole.dialects.settings import HARMLESS_HINTS, HARMLESS_SETTINGS, SESSION_VARIABLES
from safeconsole.dialects.kinds import FAMILY_KINDS
from safeconsole.dialects.sqlite import SQLITE
from safeconsole.sqltext.vocabulary import Flavour
from safeconsole.dialects import functions as natives

DOCS = Path(__file__).parents[2] / "docs"
NAMED = 8
MEASURED = recorded()
"""Longer lists of variables are counted: the data lists them."""

PAGE, LIMITS_PAGE = DOCS / "analysis.md", DOCS / "limits.md"


def kinds():
    groups = {}
    for column, table in enumerate((FAMILY_KINDS, SQLITE.kinds)):
        for kind in table.values():
            effects = ", ".join(sorted(effect.value for effect in kind.effects))
            names = groups.setdefault(effects, ([], []))[column]
            if kind.name not in names:
                names.append(kind.name)
    yield "| effects at least | MySQL, MariaDB, Aurora | SQLite |"
    yield "|---|---|---|"
    for effects, (family, sqlite) in groups.items():
        yield f"| {effects} | {', '.join(family) or '–'} | {', '.join(sqlite) or '–'} |"


def version(number):
    return f"{number // 10000}.{number // 100 % 100}"


def versions(row):
    if row.since:
        return f"{version(row.since)} and later"
    return f"up to {version(row.until)}" if row.until != EVERY_VERSION else "all"


def objects():
    for flavour in (Flavour.MYSQL, Flavour.MARIADB, Flavour.SQLITE):
        yield f"**{flavour.value}**" + (", and aurora-mysql" if flavour is Flavour.MYSQL else "")
        yield ""
        yield "| id | objects | cost | measured | again on |"
        yield "|---|---|---|---|---|"
        for row in DIALECTS[flavour].catalogue.objects:
            yield f"| {row.id} | {named(row)} | {costs(row)} | {row.measured} | {measured_again(flavour, row)} |"
        yield ""


def named(row):
    names = ", ".join(f"`{name}`" for name in sorted(row.names)) or "every other object"
    only = f" ({versions(row)})" if versions(row) != "all" else ""
    columns = ": " + ", ".join(f"`{column.lower()}`" for column in sorted(row.columns)) if row.columns else ""
    return (f"{row.schema}: " if row.schema else "") + names + only + columns


def measured_again(flavour, row):
    """The versions on which `python -m benchmarks.catalogue` read the row's objects."""
    keys = [f"{flavour.value}/{row.id}/{row.schema}.{name}" for name in row.names]
    found = {version for key in keys for version in MEASURED.get(key, {})}
    return ", ".join(sorted(found, key=version_of)) or "never met"


def costs(row):
    one = f"; one schema {row.one_schema.value}" if row.keys else ""
    return row.cost.value + one + ("; **cannot be stopped**" if row.uninterruptible else "")


def actions():
    yield "| id | cost | why |"
    yield "|---|---|---|"
    for hazard in ACTIONS.values():
        yield f"| {hazard.id} | {hazard.cost.value} | {hazard.why} |"


def functions():
    yield "| flavour | pure built-ins | version-bound among them |"
    yield "|---|---|---|"
    yield f"| mysql, aurora-mysql | {len(natives.PURE_MYSQL)} | {len(natives.SINCE_MYSQL) + len(natives.REMOVED_MYSQL)} |"
    yield f"| mariadb | {len(natives.PURE_MARIADB)} | {len(natives.SINCE_MARIADB)} |"
    yield f"| sqlite | {len(SQLITE.functions.pure)} | 0 |"
    yield ""
    dangers = {}
    for name, danger in natives.IMPURE.items():
        dangers.setdefault(danger, []).append(f"`{name}()`")
    yield (
        "Native, and not pure: "
        + "; ".join(f"{', '.join(names)} ({danger})" for danger, names in dangers.items())
        + "."
    )


def settings():
    yield "Settings: " + ", ".join(f"`{name}`" for name in sorted(HARMLESS_SETTINGS)) + "."
    yield ""
    yield "Hints: " + ", ".join(f"`{name}`" for name in sorted(HARMLESS_HINTS)) + "."


def session_variables():
    yield "| | why | variables |"
    yield "|---|---|---|"
    for row in SESSION_VARIABLES:
        few = ", ".join(f"`{name}`" for name in sorted(row.names))
        yield f"| {row.ruling.value} | {row.why} | {few if len(row.names) <= NAMED else len(row.names)} |"


BLOCKS = {"kinds": kinds, "objects": objects, "actions": actions, "functions": functions, "settings": settings}
LIMITS_BLOCKS = {"session variables": session_variables}


def rendered(page, blocks=BLOCKS):
    """Return the page with every block made anew."""
    for name, make in blocks.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        assert mark and end, name
        page = before + mark + "\n".join(make()).rstrip("\n") + "\n" + end + after
    return page


if __name__ == "__main__":
    for path, blocks in ((PAGE, BLOCKS), (LIMITS_PAGE, LIMITS_BLOCKS)):
        path.write_text(rendered(path.read_text(encoding="utf-8"), blocks), encoding="utf-8")
