"""Statements as a file of columns. `python tests/audit/test_audit_parquet.py` writes the page's list of columns anew."""

import io
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow
from pyarrow import parquet

from safeconsole.audit.story import StatementStory
from safeconsole.audit.parquet import GROUP_ROWS, columns, write_parquet

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "audit.md"
_PLACE = re.compile(r"(?<=test_audit_parquet.py -->\n)[\s\S]*?(?=<!-- /parquet -->)")


def listed():
    """The columns as the page lists them."""
    by_type = {}
    for name, kind in columns():
        by_type.setdefault(kind, []).append(f"`{name}`")
    return "| type | columns |\n|---|---|\n" + "".join(
        f"| {kind} | {', '.join(names)} |\n" for kind, names in by_type.items()
    )


def read(stories):
    file = io.BytesIO()
    write_parquet(stories, file)
    return parquet.read_table(io.BytesIO(file.getvalue()))


def story(number, **fields):
    return StatementStory(session="s1", statement=number, asked="2026-11-07T11:30:03.000001Z", **fields)


def test_what_is_written_is_what_is_read():
    written = story(
        1, sql="SELECT '\udcff', 'ü'", effects=("read",), rules=("a", "b"), rows=5, elapsed_seconds=0.25, read_only=True
    )
    table = read([written])
    (row,) = table.to_pylist()
    expected = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in msgspec.structs.asdict(written).items()
    }
    expected |= {"sql": "SELECT '\\udcff', 'ü'", "sent": None, "ended": None, "asked": row["asked"]}
    assert row == expected
    assert row["asked"].isoformat() == "2026-11-07T11:30:03.000001+00:00"


def test_the_schema_is_the_same_whatever_is_in_it_so_that_files_add_up():
    empty, full = read([]), read([story(1, sent="2026-11-07T11:30:04Z", tables=("a.b",))])
    assert empty.schema == full.schema
    assert pyarrow.concat_tables([empty, full, full]).num_rows == 2
    assert tuple(full.schema.names) == StatementStory.__struct_fields__


def test_many_statements_are_written_in_groups():
    table = read(story(number) for number in range(GROUP_ROWS + 5))
    assert table.column("statement").to_pylist() == list(range(GROUP_ROWS + 5))


def test_the_page_lists_every_column():
    assert _PLACE.search(PAGE.read_text()).group() == listed()


def test_without_its_extra_the_command_says_which_it_needs():
    code = "import sys; sys.modules['pyarrow'] = None; import safeconsole.audit.parquet"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "needs the extra parquet" in out.stderr


if __name__ == "__main__":
    PAGE.write_text(_PLACE.sub(lambda _: listed(), PAGE.read_text()))
