"""
What a team's journal holds: many statements written, shipped to one database, exported and searched.

    python -m benchmarks.scale [--statements 1000000] [--each 200] [--directory DIRECTORY] [--write]

Sessions of `--each` statements are written by the journal's own code, without a sync a statement. Then the commands
run as a person would, each as a process of its own: seconds, and the largest resident memory. The database is a
PostgreSQL that is started here, its table in parts by month as docs/scale.md makes it. --write puts the figures there.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import sqlalchemy
from msgspec.structs import replace

from benchmarks.console import machine, written
from safeconsole.audit.journal import open_journal
from safeconsole.audit.record import Asked, Decided, Ended, Intent, SessionClosed
from safeconsole.policy.limits import LIMIT_NAMES
from tests.harness.journals import OPENED, HandClock
from tests.harness.postgres import own_postgres, postgres_binaries

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
PEOPLE, CLUSTERS, TABLES = 1_000, 500, 200
LIMITS = dict.fromkeys(LIMIT_NAMES, 1000.0)
GUARDS = {f"guard_{number}": "1000" for number in range(10)}
FACTS = {f"stmt.fact_{number}": "value" for number in range(30)}
RARE = "a word that is nowhere else"


def table_by_month() -> str:
    """The statements that make the central table, as docs/scale.md prints them."""
    (found,) = re.findall(r"```sql\n([\s\S]*?)```", PAGE.read_text(encoding="utf-8"))
    return found


def fill(directory: Path, statements: int, each: int) -> None:
    """Write sessions of `each` statements, of many people on many clusters; one statement is rare."""
    chance, clock = random.Random(7), HandClock()
    for number in range(statements // each):
        journal = open_journal(directory, clock=clock)
        person, cluster = f"person{chance.randrange(PEOPLE)}", f"cluster{chance.randrange(CLUSTERS)}"
        journal.append(replace(OPENED, person=person, login=person, cluster=cluster))
        for at in range(1, each + 1):
            _statement(journal, at, chance, rare=number == 1 and at == 1)
        journal.append(SessionClosed(statements=each))
        journal.close()


def _statement(journal, number: int, chance: random.Random, *, rare: bool) -> None:
    table, digest = f"shop.table{chance.randrange(TABLES)}", f"{chance.randrange(5_000):064x}"
    where = f"customer_id = {chance.randrange(10**6)} AND status = 'open'"
    sql = f"SELECT id, status, total FROM {table} WHERE {where} LIMIT 50"
    if rare:
        sql = f"SELECT '{RARE}'"
    refused = chance.randrange(50) == 0
    journal.append(
        Asked(statement=number, sql=sql, digest=digest, kind="select", effects=("read",), tables=(table,), hazards=())
    )
    journal.append(
        Decided(
            statement=number, verdict="deny" if refused else "allow", rules=("read-on-replica",),
            policy="baseline@0123456789ab", route="replica", node="replica-1", server="0" * 36, facts=FACTS,
            limits=LIMITS, message="",
        )
    )  # fmt: skip
    if refused:
        journal.append(Ended(statement=number, outcome="refused"))
        return
    journal.append(
        Intent(
            statement=number, sql=sql, digest=digest, node="replica-1", server="0" * 36, role="replica", account="read",
            read_only=True, guards=GUARDS, limits=LIMITS,
        )
    )  # fmt: skip
    journal.append(Ended(statement=number, outcome="done", rows=50, bytes=2048, elapsed_seconds=0.0123))


def size(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def run(directory: Path, words: tuple[object, ...], shown: Path, sinks: str = "") -> float:
    """Run one command on the archive, its data into a file; return its largest resident megabytes."""
    config = directory / "config.toml"
    config.write_text(f'[audit]\ndirectory = "{directory / "audit"}"\n{sinks}')
    config.chmod(0o600)
    command = (sys.executable, "-m", "safeconsole", "--config", str(config), *map(str, words))
    with shown.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, env={**os.environ, "HOME": str(directory)})
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{words} ended with {process.returncode}")
    return used.ru_maxrss / 1024


def measured(directory: Path, statements: int, each: int) -> list[tuple[str, float, float, str]]:
    """Return (what, seconds, megabytes resident, what came of it)."""
    found = []

    def took(what, act):
        began = time.monotonic()
        memory, told = act()
        found.append((what, time.monotonic() - began, memory, told))
        print(found[-1], file=sys.stderr, flush=True)

    def by(*words, sinks=""):
        shown = directory / "shown"
        memory = run(directory, words, shown, sinks)
        return memory, f"{len(shown.read_bytes().splitlines()):,} lines"

    took(
        "write them", lambda: (0.0, fill(directory / "audit", statements, each) or _of(directory / "audit", statements))
    )
    took("search one word", lambda: by("audit", "search", RARE, "--format", "jsonl"))
    took("search one person", lambda: by("audit", "search", "--person", "person77", "--format", "jsonl"))
    took("verify", lambda: by("audit", "verify"))
    with own_postgres(postgres_binaries()) as (address, _, _):
        base = sqlalchemy.create_engine(address)
        with base.begin() as connection:
            connection.execute(sqlalchemy.text(table_by_month()))
        sink = f'[audit.sinks.central]\nkind = "database"\naddress = "{address}"\n'
        took("ship them to PostgreSQL", lambda: by("audit", "ship", sinks=sink))
        with base.connect() as connection:
            rows, stored = connection.execute(sqlalchemy.text(COUNTED)).one()
            (stream,) = connection.execute(sqlalchemy.text(A_SESSION)).one()
            found[-1] = (*found[-1][:3], f"{rows:,} rows, {stored / statements:,.0f} bytes a statement with indexes")
            for what, text in QUESTIONS.items():
                question = sqlalchemy.text(text)
                took(what, lambda q=question: (0.0, f"{len(connection.execute(q, {'stream': stream}).all()):,} rows"))
        base.dispose()
    exported = directory / "exported" / "all.parquet"
    exported.parent.mkdir()
    took("export as Parquet", lambda: (run(directory, EXPORT, exported), _of(exported.parent, statements)))
    took("search one word in it", lambda: by("audit", "search", RARE, "--from", exported, "--format", "jsonl"))
    took(
        "search one person in it",
        lambda: by("audit", "search", "--person", "person77", "--from", exported, "--format", "jsonl"),
    )
    return found


EXPORT = ("audit", "export", "--format", "parquet")
COUNTED = (
    "SELECT (SELECT count(*) FROM safeconsole_entries),"
    " (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'safeconsole_entries'::regclass)"
)
A_SESSION = "SELECT max(stream) FROM safeconsole_entries WHERE kind = 'outcome'"
QUESTIONS = {
    "one session in PostgreSQL": "SELECT line FROM safeconsole_entries WHERE stream = :stream ORDER BY number",
    "the newest hundred in PostgreSQL": "SELECT line FROM safeconsole_entries ORDER BY time DESC LIMIT 100",
}


def _of(path: Path, statements: int) -> str:
    return f"{size(path) / statements:,.0f} bytes a statement"


def told(found: list[tuple[str, float, float, str]], given: argparse.Namespace) -> str:
    """Return the section of the page."""
    statements, each = given.statements, given.each
    lines = [
        *machine(given),
        f"{statements:,} statements in {statements // each:,} sessions, of {PEOPLE:,} people on {CLUSTERS} clusters.",
        "",
        "| | seconds | a second | resident, MB | |",
        "|---|---:|---:|---:|---|",
    ]
    for what, seconds, memory, came in found:
        whole = " in PostgreSQL" not in what
        lines.append(
            f"| {what} | {seconds:,.2f} | {f'{statements / seconds:,.0f}' if whole else ''} |"
            f" {f'{memory:.0f}' if memory else ''} | {came} |"
        )
    return "\n".join([*lines, ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, default=1_000_000)
    parser.add_argument("--each", type=int, default=200, help="statements of a session")
    parser.add_argument("--directory", type=Path, help="where there is room for 4 GB a million")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/scale.md")
    given = parser.parse_args()
    given.flavour, given.mycli, given.client = "PostgreSQL", None, None
    directory = Path(tempfile.mkdtemp(dir=given.directory, prefix="scale-"))
    try:
        text = told(measured(directory, given.statements, given.each), given)
    finally:
        shutil.rmtree(directory)
    print(text)
    if given.write:
        written("scale", text, page=PAGE)


if __name__ == "__main__":
    main()
