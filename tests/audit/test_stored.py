"""Exported files answer a search as the journal does."""

import shutil
import subprocess
import sys

import msgspec
import pyarrow
import pytest
from pyarrow import parquet

from safeconsole.audit.parquet import write_parquet
from safeconsole.audit.search import Query, matches
from safeconsole.audit.stored import stored
from safeconsole.audit.story import StatementStory
from safeconsole.errors import ConfigurationError

STORIES = [
    StatementStory(
        session=session,
        statement=number,
        person=person,
        login="ops",
        cluster=cluster,
        asked=f"2026-11-{day:02d}T11:30:03.00000{number}Z",
        sent=f"2026-11-{day:02d}T11:30:04.000000Z" if verdict == "allow" else "",
        ended=f"2026-11-{day:02d}T11:30:05.000000Z",
        sql=sql,
        kind="select",
        tables=("shop.orders", "shop.Straße"),
        verdict=verdict,
        ticket="INC-7" if verdict == "elevate" else "",
        outcome="done" if verdict == "allow" else "refused",
        by_console=number == 3,
        rows=number,
        elapsed_seconds=0.25,
    )
    for session, person, cluster, day in (("aa11", "ana", "shop", 7), ("bb22", "Ärne", "TILL", 30))
    for number, (sql, verdict) in enumerate(
        [
            ("SELECT * FROM orders", "allow"),
            ("SELECT 'Straße', '100%_'", "elevate"),
            ("SELECT 'STRASSE'", "deny"),
            ("SHOW TABLES", "allow"),
        ]
    )
]
QUERIES = [
    Query(),
    Query(console=True),
    Query(text="strasse"),
    Query(text="straße"),
    Query(text="ORDERS"),
    Query(text="0%_"),
    Query(text="' OR 1 = 1 --"),
    Query(person="ANA"),
    Query(person="ärne"),
    Query(person="OPS", verdict="Allow"),
    Query(cluster="till"),
    Query(table="shop.strasse"),
    Query(table="ORDERS", ticket="inc-7"),
    Query(since="2026-11-08"),
    Query(since="2026-11-07T11:30:03.000002", until="2026-11-07"),
    Query(until="2026-11-07"),
    Query(outcome="refused", kind="SELECT"),
]


def written(path, stories):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_parquet(stories, file)
    return path


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    folder = tmp_path_factory.mktemp("months")
    for session in ("aa11", "bb22"):
        written(
            folder / f"host={session}" / "month=2026-11" / "a.parquet",
            [each for each in STORIES if each.session == session],
        )
    return folder


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_files_answer_as_the_journal_does(months, query):
    assert list(stored([months], query)) == [each for each in STORIES if matches(query, each)]


def test_a_session_is_named_by_the_beginning_of_its_id(months):
    assert {each.session for each in stored([months], Query(), ("bb",))} == {"bb22"}
    assert not list(stored([months], Query(), ("b%",)))


def test_of_a_statement_in_two_files_the_later_end_counts(tmp_path):
    earlier = msgspec.structs.replace(STORIES[0], ended="", outcome="")
    written(tmp_path / "a.parquet", [earlier, STORIES[1]])
    written(tmp_path / "b.parquet", STORIES[:2])
    assert list(stored([tmp_path, tmp_path / "a.parquet"], Query())) == STORIES[:2]


def test_a_file_of_an_older_version_lacks_a_column(tmp_path):
    table = parquet.read_table(written(tmp_path / "new.parquet", STORIES[:1]))
    parquet.write_table(table.drop_columns(["end_message", "rows"]), tmp_path / "old.parquet")
    (tmp_path / "new.parquet").unlink()
    written(tmp_path / "other.parquet", STORIES[1:2])
    first, _ = stored([tmp_path], Query())
    assert first == msgspec.structs.replace(STORIES[0], rows=0)


def foreign(tmp_path):
    parquet.write_table(pyarrow.table({"a": [1]}), tmp_path / "foreign.parquet")
    return tmp_path / "foreign.parquet"


def cut(tmp_path):
    whole = written(tmp_path / "cut.parquet", STORIES)
    whole.write_bytes(whole.read_bytes()[:-100])
    return whole


def pattern(tmp_path):
    return shutil.copy(written(tmp_path / "a.parquet", STORIES), tmp_path / "*.parquet")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (lambda path: path, "there is no .*parquet file in"),
        (foreign, "the files cannot be searched"),
        (cut, "the files cannot be searched"),
        (pattern, "cannot be searched"),
    ],
    ids=["none", "foreign", "cut", "pattern"],
)
def test_what_is_no_export_is_one_clear_line(tmp_path, place, says):
    with pytest.raises(ConfigurationError, match=says) as refused:
        list(stored([place(tmp_path)], Query()))
    assert "\n" not in refused.value.message
    assert refused.value.instead


def test_what_runs_now_is_in_no_file(months):
    with pytest.raises(ConfigurationError, match="what runs now"):
        list(stored([months], Query(outcome="running")))


def test_without_the_library_the_way_to_it_is_said(months):
    code = (
        "import sys; sys.modules['duckdb'] = None; from pathlib import Path\n"
        "from safeconsole.audit.stored import stored; from safeconsole.audit.search import Query\n"
        f"list(stored([Path({str(months)!r})], Query()))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "needs the extra parquet" in out.stderr
