"""What a command writes as rows."""

import io

import pytest

from safeconsole.cli.rows import write_list

ROWS = [
    ("aa11", "2026-12-01 12:11", "0:02", "15, 1 elevated, 1 row changed, and more than fits"),
    ("bb22", "", "", "1"),
]
COLUMNS = ("session", "opened, UTC", "lasted", "statements")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
def test_a_list_has_a_line_a_row_at_every_width(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    written = Terminal()
    write_list(COLUMNS, ROWS, written)
    head, _, first, second = written.getvalue().splitlines()
    assert head.split() == ["session", "opened,", "UTC", "lasted", "statements"]
    assert second.split() == ["bb22", "1"]
    assert max(map(len, written.getvalue().splitlines())) <= columns
    assert ("…" in first) == (columns < 86)


def test_a_list_of_nothing_has_its_head_alone():
    written = Terminal()
    write_list(COLUMNS, [], written)
    assert "session" in written.getvalue()
