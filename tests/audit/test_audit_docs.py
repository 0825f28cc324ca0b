"""docs/audit.md says what the code does. `SAFECONSOLE_WRITE_DOCS=1` writes the generated parts anew."""

import json
import os
import re
import typing
from pathlib import Path

import msgspec
import pytest

from safeconsole.audit.journal import CHECKPOINT_RECORDS
from safeconsole.audit.record import SCHEMA_VERSION, Entry, Record
from safeconsole.cli.audit import audit

PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"


def records():
    yield "| `type` | what happened | fields |"
    yield "|---|---|---|"
    for kind in typing.get_args(Record):
        what = kind.__doc__.strip().split("\n")[0]
        fields = ", ".join(f"`{name}`" for name in kind.__struct_fields__)
        yield f"| `{kind.__struct_config__.tag}` | {what} | {fields} |"


def schema():
    whole = msgspec.json.schema(Entry)
    yield "```json"
    yield f'{{"$ref": {json.dumps(whole["$ref"])}, "$defs": {{'
    yield ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in sorted(whole["$defs"].items()))
    yield "}}"
    yield "```"


@pytest.mark.parametrize(("name", "lines"), [("records", records), ("schema", schema)])
def test_the_generated_parts_are_up_to_date(name, lines):
    text = PAGE.read_text()
    found = re.search(rf"(<!-- {name}: [^\n]*-->\n)(.*?)(<!-- /{name} -->)", text, re.DOTALL)
    fresh = "\n".join(lines()) + "\n"
    if os.environ.get("SAFECONSOLE_WRITE_DOCS"):
        PAGE.write_text(text[: found.start(2)] + fresh + text[found.end(2) :])
    else:
        assert found.group(2) == fresh, "run this test with SAFECONSOLE_WRITE_DOCS=1"


def test_the_published_schema_is_json_and_of_this_version():
    (block,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert json.loads(block) == msgspec.json.schema(Entry)
    assert f"Version {SCHEMA_VERSION}." in PAGE.read_text()


def test_the_page_names_every_command_and_the_figures_of_the_code():
    text = PAGE.read_text()
    for name in audit.commands:
        assert f"audit {name}" in text, name
    assert f"Every {CHECKPOINT_RECORDS} records" in text
