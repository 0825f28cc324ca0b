"""Lines that turn between words at a terminal's edge."""

from hypothesis import given
from hypothesis import strategies as st

from safeconsole.output.text import PLAIN, StreamStyle
from safeconsole.output.text import in_words

NARROW = StreamStyle(terminal=True, columns=30)
LINE = "the server says: SELECT command denied to user 'console_read'"


def test_a_line_turns_between_words_and_hangs():
    assert in_words(LINE, NARROW).split("\n") == [
        "the server says: SELECT",
        "  command denied to user",
        "  'console_read'",
    ]
    assert in_words(f"  {LINE}\nshort\n", NARROW).split("\n")[1:] == [
        "    command denied to user",
        "    'console_read'",
        "short",
        "",
    ]


def test_pipes_and_what_is_drawn_are_left_alone():
    assert in_words(LINE, PLAIN) == LINE
    drawn = f"\x1b[1m{LINE}\x1b[0m"
    assert in_words(drawn, NARROW) == drawn


def test_a_path_stays_whole():
    path = "/" + "long/" * 20
    assert path in in_words(f"wrote {path}, 64.0 MiB", NARROW).replace("\n  ", "\n").split("\n")[1]


@given(st.text(st.sampled_from("ab üñ字\n "), max_size=200), st.integers(20, 60))
def test_no_word_is_lost_and_none_is_cut(text, columns):
    wrapped = in_words(text, StreamStyle(terminal=True, columns=columns))
    assert wrapped.split() == text.split()
