import re

import pytest

from safeconsole.output.evidence import panel_text
from safeconsole.output.text import StreamStyle

from safeconsole.errors import (
    DeniedError,
    OutcomeUnknownError,
    RefusedError,
    SafeConsoleError,
    ServerError,
    StoppedError,
    UnreachableError,
)
from safeconsole.sqltext.vocabulary import Verdict
from safeconsole.output.evidence import error_text, evidence_text, one_line, split_label

UPDATE = "UPDATE orders\n   SET status = 'x'\x1b[2J WHERE id = 1"


@pytest.mark.parametrize("verdict", list(Verdict))
def test_evidence_reads_as_its_golden_text(verdict, considered, golden):
    golden(f"evidence.{verdict.word}.txt", evidence_text(considered(verdict, text=UPDATE, kind="update")))


def test_a_decorated_panel_matches_its_golden_text(considered, decorated, golden):
    golden("evidence.decorated.txt", evidence_text(considered(Verdict.ELEVATE, text=UPDATE, kind="update"), decorated))


def test_a_panel_keeps_to_the_width_of_the_terminal(considered, decorated):
    import re

    text = evidence_text(considered(Verdict.ELEVATE, text="SELECT " + "x" * 500, kind="update"), decorated)
    assert {len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in text.splitlines()} == {80}


def test_an_observed_decision_says_that_it_runs(considered):
    assert "(observed only: the policy lets it run)" in evidence_text(considered(Verdict.DENY, observed=True))
    assert "observed" not in evidence_text(considered(Verdict.ALLOW, observed=True))


@pytest.mark.parametrize(
    "error",
    [
        SafeConsoleError("plain"),
        RefusedError(
            "a write needs an elevation", evidence=("node: primary", "a line without a label"), instead="count first"
        ),
        DeniedError("hostile \x1b]0;x\x07", instead="nothing \x9b"),
        UnreachableError("replica-1: connection refused"),
        ServerError(1146, "Table 'shop.x' doesn't exist"),
        StoppedError("stopped after 3 rows", by="console", ceiling="fetched_rows"),
        OutcomeUnknownError("primary: the connection was lost"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_one_clear_line_then_evidence_then_the_way_out(error, golden):
    text = error_text(error, next_step="elevate")
    golden(f"error.{type(error).__name__}.txt", text)
    assert text.startswith("safeconsole: ")
    assert text.endswith("  or: elevate\n")


def test_no_error_lets_a_server_drive_the_terminal(decorated):
    for error in (DeniedError("\x1b[2J\x07", evidence=("\x07: \x9b",), instead="\r"), ServerError(1, "\x07\x1b]0;")):
        text = error_text(error, decorated)
        assert "\x07" not in text
        assert "\x1b[2J" not in text
        assert "\x1b]" not in text


def test_a_label_is_a_short_word_before_a_colon():
    assert split_label("node: primary: yes") == ("node", "primary: yes")
    assert split_label("the server expects to examine 1 rows: really") == (
        "",
        "the server expects to examine 1 rows: really",
    )
    assert split_label("no colon") == ("", "no colon")
    assert split_label("\x1b[8A\x1b[J: \x1b[2J") == ("\\x1b[8A\\x1b[J", "\\x1b[2J")
    assert split_label("\x9b2J") == ("", "\\x9b2J")


def test_a_long_statement_is_cut_for_the_eye():
    assert len(one_line("SELECT " + "x" * 1000)) == 300
    assert one_line("  SELECT\n\t1 ") == "SELECT 1"


def test_evidence_without_a_node_says_where_it_belongs(considered):
    import msgspec

    text = evidence_text(
        msgspec.structs.replace(considered(), node=None, evidence=("replica-1: unreachable: refused",))
    )
    assert "  node: none is fit; it needs a replica\n  replica-1: unreachable: refused\n" in text


@pytest.mark.parametrize("columns", [40, 60, 100, 200])
@pytest.mark.parametrize("length", range(1, 140, 3))
def test_no_word_of_a_title_is_cut_off_however_narrow_the_terminal(columns, length):
    title = " ".join(f"w{number}" for number in range(length))
    shown = panel_text(
        title, (("instead", "wait"),), StreamStyle(decorated=True, terminal=True, columns=columns), colour="red"
    )
    words = re.sub(r"\x1b\[[0-9;]*m", " ", shown).split()
    assert [word for word in words if re.fullmatch(r"w\d+", word)] == title.split()
    assert "…" not in shown


LONG_REFUSAL = RefusedError(
    "unsafe on a primary: sizes of every table: the engine is asked for each one, and expired figures are stored again",
    evidence=(
        "node: primary, a primary (read_only=0, no replication channel), free memory unknown, 4 threads running, at least 64 tables",
        "statement: select, effects read",
        "tables: information_schema.tables, information_schema.columns",
        "hazard: information-schema-sizes (writes): sizes of every table: the engine is asked for each one, and expired "
        "figures are stored again",
        "hazard: information-schema-details (linear-in-objects): it lists the columns of every table",
        "estimate: the server expects to examine 1,106 rows",
        "full scan: cat",
        "rule: reads-on-the-primary, metadata-on-the-primary (baseline@59f61d0f5fa1)",
    ),
    instead="safeconsole capacity shop (sizes from persistent statistics, page by page)",
)
STEP = "\\once REASON runs exactly this; \\elevate REASON opens a window of 15:00 on shop"


def rows_of(text, columns):
    return sum(max(1, -(-len(re.sub("\x1b\\[[0-9;]*m", "", line)) // columns)) for line in text.splitlines())


@pytest.mark.parametrize("columns", [80, 100, 140])
@pytest.mark.parametrize("kind", ["plain", "decorated"])
def test_a_refusal_fits_eight_lines_and_says_where_the_rest_is(columns, kind, golden):
    style = StreamStyle(decorated=kind == "decorated", terminal=True, columns=columns)
    text = error_text(LONG_REFUSAL, style, next_step=STEP, more="\\why shows all evidence")
    golden(f"refusal.{kind}.{columns}.txt", re.sub("\x1b\\[[0-9;]*m", "", text))
    assert rows_of(text, columns) <= (8 if columns >= 100 else 10)
    assert all(word in text for word in ("metadata-on-the-primary", "\\why", "safeconsole capacity shop", "\\once"))
    assert text.count("figures are stored again") <= 1


def test_evidence_that_fits_is_shown_whole():
    error = RefusedError("this writes", evidence=("node: primary", "tables: shop.orders", "rule: writes"))
    assert error_text(error, more="\\why shows all evidence") == (
        "safeconsole: not run: this writes\n  node: primary\n  tables: shop.orders\n  rule: writes\n"
    )
