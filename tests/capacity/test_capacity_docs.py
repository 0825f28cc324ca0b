"""docs/capacity.md says what the code does."""

import re
from pathlib import Path


from safeconsole.capacity.survey import DRAFT_HOLDS_SECONDS
from safeconsole.capacity.leftovers import KNOWN_PATTERNS
from safeconsole.capacity.reports import KEPT_REPORTS
from safeconsole.config.settings import LeftoverSettings
from safeconsole.cli.capacity import capacity
from safeconsole.capacity import asking
from safeconsole.capacity import investigating
from safeconsole.capacity import leftovers
from safeconsole.capacity import reports
from safeconsole.capacity import sizes
from safeconsole.capacity import survey

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "capacity.md").read_text(encoding="utf-8")


def test_every_option_is_on_the_page_and_no_other():
    options = {option for parameter in capacity.params for option in parameter.opts if option.startswith("--")}
    assert (
        set(re.findall(r"(?<![\w-])--[a-z]+(?=[\s`.,])", PAGE))
        - {"--tables", "--rows", "--shape", "--runs", "--at-once", "--flavour", "--at"}
        == options
    )


def test_every_tool_is_on_the_page():
    for pattern in KNOWN_PATTERNS:
        for word in pattern.tool.removeprefix("by hand, or a ").removesuffix(" migration").split(" or "):
            assert word.removeprefix("the ") in PAGE


def test_every_state_and_every_setting_is_on_the_page():
    assert set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) >= {state.value for state in leftovers.LeftoverState}
    for name in LeftoverSettings.__struct_fields__:
        assert f"{name} = " in PAGE


def test_the_numbers_are_the_codes():
    assert f"pages of {sizes.PAGE_TABLES} rows" in PAGE
    assert f"first {survey.SAMPLE_ROWS} rows" in PAGE
    assert f"{investigating.LOOKED_AT} leftovers at most" in PAGE
    assert f"within {leftovers.BUSY_SECONDS / 60:.0f} minutes" in PAGE
    assert leftovers.QUIET_SECONDS == DRAFT_HOLDS_SECONDS == 86_400
    assert asking.REST == 4
    assert f"pieces of {leftovers.PIECE_ROWS:,} rows" in PAGE
    assert leftovers.DRAINED_FROM_BYTES == 1024**3
    assert f"the last {KEPT_REPORTS} of each cluster" in PAGE
    assert reports.FORMAT == 1
