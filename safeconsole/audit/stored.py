"""Search in statements that were exported as Parquet: of many days, computers and engineers, by DuckDB.

DuckDB narrows the rows down; `search.matches` has the last word, so that a file answers as the journal does. The
database reads the named files and nothing else: it is closed to the network, to extensions and to every other path.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

from safeconsole.audit.search import Query, matches
from safeconsole.audit.story import StatementStory
from safeconsole.errors import ConfigurationError

ROWS_AT_ONCE = 2_000
TIMES = ("asked", "sent", "ended")
_TEXTS = ("sql", "reason", "message", "end_message")
_EQUAL = ("cluster", "ticket", "verdict", "outcome", "kind")


def stored(places: Sequence[Path], query: Query, sessions: Sequence[str] = ()) -> Iterator[StatementStory]:
    """
    Yield the matching statements of Parquet files by `audit export`, the earliest first, each once.

    Of a statement that several files hold, the one that ended last counts: an export of an open session is older.

    Args:
        places: files, and directories that are searched for `*.parquet` at any depth.
        sessions: only sessions whose ids begin so; all when empty.

    Raises:
        ConfigurationError: DuckDB is missing; there is no file; one is no export of ours; what runs now is asked for.
    """
    if query.outcome.casefold() == "running":
        raise ConfigurationError("an exported file does not know what runs now", instead="search without --from")
    duckdb = _library()
    files = _files_of(places)
    conditions, values = _narrowed(query, sessions)
    text = (
        # By name: a file of an older version lacks the newest columns, and reads as null there.
        "SELECT * FROM read_parquet(?, union_by_name = true, hive_partitioning = false)"  # noqa: S608 (values are parameters)
        f" WHERE {' AND '.join(conditions) or 'true'}"
        " QUALIFY row_number() OVER (PARTITION BY session, statement ORDER BY ended DESC NULLS LAST) = 1"
        " ORDER BY asked, session, statement"
    )
    with duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    ) as base:
        base.execute("SET allowed_paths = ?", [files])
        base.execute("SET enable_external_access = false")
        base.execute("SET lock_configuration = true")
        try:
            answer = base.execute(text, [files, *values])
            names = [column[0] for column in answer.description]
            _require_ours(names, files)
            while rows := answer.fetchmany(ROWS_AT_ONCE):
                for row in rows:
                    story = _story(dict(zip(names, row, strict=True)))
                    if matches(query, story):
                        yield story
        except duckdb.Error as error:
            what = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"the files cannot be searched: {what}", instead="name files of `audit export --format parquet`"
            ) from None


def _library() -> Any:  # noqa: ANN401 (a module that may be missing)
    try:
        import duckdb  # noqa: PLC0415 (an extra)
    except ImportError:
        raise ConfigurationError(
            "searching Parquet files needs the extra parquet", instead="pip install 'safeconsole[parquet]'"
        ) from None
    return duckdb


def _files_of(places: Sequence[Path]) -> list[str]:
    found = [file for place in places for file in (sorted(place.rglob("*.parquet")) if place.is_dir() else [place])]
    files = sorted({str(file.absolute()) for file in found})
    if not files:
        raise ConfigurationError(
            f"there is no *.parquet file in {', '.join(map(str, places))}",
            instead="safeconsole audit export --format parquet > FILE.parquet",
        )
    for file in files:
        # DuckDB reads these signs of a name as a pattern.
        if set(file) & set("*?[{"):
            raise ConfigurationError(f"{file}: a name with * ? [ or {{ cannot be searched", instead="rename it")
    return files


def _narrowed(query: Query, sessions: Sequence[str]) -> tuple[list[str], list[object]]:
    """Return conditions, and their values, that let through whatever `matches` may; it is asked afterwards."""
    conditions, values = list[str](), list[object]()

    def add(condition: str, *given: object) -> None:
        conditions.append(f"({condition})")
        values.extend(given)

    if not query.console:
        add("by_console IS NOT TRUE")
    if query.since and (since := _moment(query.since)):
        add("asked >= ?", since)
    for name in _EQUAL:
        if (wanted := getattr(query, name)).isascii() and wanted:
            add(f"{name} = ? OR {_alike(name)}", wanted, wanted)
    if query.person and query.person.isascii():
        add(f"{_alike('person')} OR {_alike('login')}", query.person, query.person)
    if query.text and query.text.isascii():
        # Case is ignored as Python does, where "ß" equals "SS": of what is not ASCII, Python alone decides.
        held = " OR ".join(f"contains(lower({name}), lower(?)) OR {_foreign(name)}" for name in _TEXTS)
        add(held, *[query.text] * len(_TEXTS))
    if sessions:
        add(" OR ".join("starts_with(session, ?)" for _ in sessions), *sessions)
    return conditions, values


def _alike(name: str) -> str:
    return f"lower({name}) = lower(?) OR {_foreign(name)}"


def _foreign(name: str) -> str:
    return f"strlen({name}) <> length({name})"


def _moment(since: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _require_ours(names: Sequence[str], files: Sequence[str]) -> None:
    if missing := {"session", "statement", "asked", "sql", "outcome"} - set(names):
        raise ConfigurationError(
            f"{files[0]} has no column {min(missing)}: it is no export of a journal",
            instead="name files of `audit export --format parquet`",
        )


def _story(row: dict[str, Any]) -> StatementStory:
    fields = {name: row[name] for name in _HINTS if row.get(name) is not None}
    for name in TIMES:
        if name in fields:
            fields[name] = f"{fields[name].astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    for name in _LISTS:
        if name in fields:
            fields[name] = tuple(fields[name])
    return StatementStory(**fields)


_HINTS = {
    name: kind for name, kind in get_type_hints(StatementStory).items() if name in StatementStory.__struct_fields__
}
_LISTS = tuple(name for name, kind in _HINTS.items() if kind == tuple[str, ...])
