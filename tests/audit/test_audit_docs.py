"""
docs/audit.md and docs/audit.schema.json say what the code does. `SAFECONSOLE_WRITE_DOCS=1` writes the generated parts
anew.
"""

import json
import os
import re
import typing
from pathlib import Path

import msgspec

from safeconsole.audit.journal import CHECKPOINT_RECORDS
from safeconsole.audit.record import SCHEMA_VERSION, Entry, Record
from safeconsole.cli.audit import audit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"
SCHEMA = PAGE.with_name("audit.schema.json")


def records():
    yield "| `type` | what happened |"
    yield "|---|---|"
    for kind in typing.get_args(Record):
        what = kind.__doc__.strip().split("\n")[0]
        yield f"| `{kind.__struct_config__.tag}` | {what} |"


def schema():
    whole = msgspec.json.schema(Entry)
    yield f'{{"$ref": {json.dumps(whole["$ref"])}, "$defs": {{'
    yield ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(whole["$defs"].items()))
    yield "}}"


def written(file, text, fresh):
    """Compare with the file, or write it anew where the environment says so."""
    if os.environ.get("SAFECONSOLE_WRITE_DOCS"):
        file.write_text(fresh)
    else:
        assert text == fresh, "run this test with SAFECONSOLE_WRITE_DOCS=1"


def test_the_table_of_records_is_up_to_date():
    text = PAGE.read_text()
    found = re.search(r"(<!-- records: [^\n]*-->\n)(.*?)(<!-- /records -->)", text, re.DOTALL)
    written(PAGE, text, text[: found.start(2)] + "\n".join(records()) + "\n" + text[found.end(2) :])


def test_the_published_schema_is_up_to_date_and_of_this_version():
    fresh = "\n".join(schema()) + "\n"
    written(SCHEMA, SCHEMA.read_text() if SCHEMA.exists() else "", fresh)
    assert json.loads(fresh) == msgspec.json.schema(Entry)
    assert f"Version {SCHEMA_VERSION}." in PAGE.read_text()


def test_the_page_names_every_command_and_the_figures_of_the_code():
    text = PAGE.read_text()
    for name in audit.commands:
        assert f"audit {name}" in text, name
    assert f"Every {CHECKPOINT_RECORDS} records" in text
