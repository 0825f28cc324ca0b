import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safeconsole.output.text import clipped, padded, safe, safe_lines, shown, size_of, text_of, width_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain Zoë 日本 👍", "plain Zoë 日本 👍"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nb\tc\rd\0", "a\\nb\\tc\\rd\\0"),
        ("c1 \x9b31m", "c1 \\x9b31m"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("hid\u200bden\ufeff", "hid\\u200bden\\ufeff"),
        ("tag \U000e0041", "tag \\U000e0041"),
        ("lone \ud800", "lone \\ud800"),
        ("line\u2028separator", "line\\u2028separator"),
        ("family \U0001f468\u200d\U0001f469", "family \U0001f468\u200d\U0001f469"),
        ("no-break\u00a0space", "no-break\u00a0space"),
    ],
)
def test_data_cannot_drive_a_terminal(text, expected):
    assert safe(text) == expected


@given(st.text())
def test_no_text_leaves_a_control_character(text):
    import unicodedata

    assert not {unicodedata.category(c) for c in safe(text)} & {"Cc", "Cs", "Zl", "Zp"}


@given(st.text())
def test_safe_text_is_left_alone(text):
    once = safe(text)
    assert safe(once) == once


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "NULL"),
        ("", ""),
        (12, "12"),
        (1.5, "1.5"),
        (Decimal("0.10"), "0.10"),
        (b"", "0x"),
        (bytearray(b"\x00\xff"), "0x00ff"),
        (dt.date(2023, 11, 7), "2023-11-07"),
        (dt.datetime(2023, 11, 7, 11, 49), "2023-11-07 11:49:00"),
        (dt.datetime(2023, 11, 7, 11, 49, 0, 5), "2023-11-07 11:49:00.000005"),
        (dt.timedelta(hours=838, minutes=59, seconds=59), "838:59:59"),
        (dt.timedelta(seconds=-1, microseconds=500000), "-00:00:00.500000"),
    ],
)
def test_a_value_reads_as_the_server_writes_it(value, expected):
    assert text_of(value) == expected


def test_a_long_binary_value_is_shown_by_its_beginning_and_its_size():
    assert shown(b"\x89PNG" + b"x" * 1996) == "0x89504e4778787878… (2,000 bytes)"
    assert shown(b"x" * 32) == "0x" + "78" * 32


def test_width_counts_cells_and_not_characters():
    assert [width_of(text) for text in ("abc", "日本", "é", "e\u0301", "")] == [3, 4, 1, 1, 0]


@given(st.text().map(safe), st.integers(1, 30))
def test_a_clipped_text_fits(text, width):
    assert width_of(clipped(text, width)) <= width


def test_padding_fills_by_cells():
    assert padded("日本", 6) + "|" == "日本  |"
    assert padded("7", 3, right=True) == "  7"


def test_lines_of_a_text_are_safe_each():
    assert safe_lines("a\r\nb\x1b\nc") == ["a", "b\\x1b", "c"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("500", 500), ("64M", 64 << 20), ("64 MiB", 64 << 20), ("1.5g", 3 << 29), ("2tb", 2 << 40), ("10k", 10 << 10)],
)
def test_a_size_is_read_as_people_write_it(text, size):
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "many", "-1", "1x", "M", "1e9", "0x10", "٣"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        size_of(text)
