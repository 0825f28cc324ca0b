"""Bars, the progress line and the treemap: nothing lost, nothing that data could drive."""

import io
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from safeconsole.output.charts import Bar, bars_text, key_of_bars
from safeconsole.output.text import width_of
from safeconsole.output.progress import JobProgress
from safeconsole.output.text import PLAIN, StreamStyle
from safeconsole.output.charts import Area, Branch, Leaf, squarified, treemap_page

DECORATED = StreamStyle(terminal=True, decorated=True, columns=80)
_STYLE = re.compile(r"\x1b\[\d+m")


def test_bars_are_drawn_to_the_largest_in_two_tones():
    text = bars_text([Bar(label="a", first=750, second=250), Bar(label="bb", first=10, notes=("small",))], PLAIN)
    first, second = text.splitlines()
    assert (first.count("#"), first.count("=")) == (22, 8)
    assert second.count("#") == 1
    assert second.endswith("small")


def test_the_key_of_bars_draws_their_two_parts():
    assert key_of_bars("data", "indexes", PLAIN) == "# data, = indexes"
    decorated = key_of_bars("data", "indexes", DECORATED)
    assert _STYLE.sub("", decorated) == "█ data, ▒ indexes"
    drawn = bars_text([Bar(label="a", first=1, second=1)], DECORATED)
    assert all(tone in decorated for tone in _STYLE.findall(drawn))


def test_a_bar_of_nothing_is_empty_and_no_bars_are_no_text():
    assert "#" not in bars_text([Bar(label="a", first=0), Bar(label="b", first=0)], PLAIN)
    assert bars_text([], PLAIN) == ""


@given(
    st.lists(
        st.builds(
            Bar,
            label=st.text(max_size=80),
            first=st.integers(0, 2**60),
            second=st.integers(0, 2**60),
            notes=st.lists(st.text(max_size=60), max_size=4).map(tuple),
        ),
        max_size=5,
    )
)
def test_bars_keep_to_the_width_whatever_they_are_about(bars):
    for line in bars_text(bars, DECORATED).splitlines():
        assert width_of(_STYLE.sub("", line)) <= 80


def test_a_note_is_shown_whole_or_not_at_all_and_the_first_ones_are_kept():
    bars = [Bar(label="x" * 30, first=1, notes=("3 d old", "1,000,000,000 rows of it", "data"))]
    assert bars_text(bars, StreamStyle(terminal=True, decorated=False, columns=80)).rstrip().endswith(" 3 d old")
    assert bars_text(bars, PLAIN).rstrip().endswith("3 d old, 1,000,000,000 rows of it, data")


def test_what_must_be_said_is_below_where_it_does_not_fit_on_the_line():
    bars = [Bar(label="a", first=1, detail="short"), Bar(label="b", first=1, detail="a long " + "word " * 30)]
    narrow = bars_text(bars, DECORATED).splitlines()
    assert narrow[1] == "      short"
    assert max(map(width_of, narrow[3:])) <= 80
    assert " ".join(line.strip() for line in narrow[3:]) == bars[1].detail.strip()
    assert bars_text(bars, PLAIN).count("\n") == 2


def test_data_cannot_drive_the_terminal():
    text = bars_text([Bar(label="\x1b]0;owned\a", first=1, notes=("\x1b[2J",), detail="\r\x1b[A")], DECORATED)
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text
    assert "\x1b[A" not in text


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_the_progress_line_says_how_many_how_fast_and_how_long():
    stream, clock = io.StringIO(), Clock()
    progress = JobProgress(
        stream, StreamStyle(terminal=True, decorated=False, columns=120), noun="tables", seconds=clock
    )
    progress.draw(200, 1000)
    clock.seconds = 2.0
    progress.draw(600, 1000)
    assert "600 of about 1,000 tables, 200/s, 0:02 left" in stream.getvalue()
    progress.draw(600, 1000, "lag 45 s over 30 s")
    assert "waiting for a fit node: lag 45 s over 30 s" in stream.getvalue()


def test_the_progress_of_an_earlier_run_counts_for_no_speed():
    stream, clock = io.StringIO(), Clock()
    progress = JobProgress(
        stream, StreamStyle(terminal=True, decorated=False, columns=120), noun="tables", seconds=clock
    )
    progress.draw(5_000, 6_000)
    clock.seconds = 1.0
    progress.draw(5_100, 6_000)
    assert "100/s" in stream.getvalue()


def test_on_a_pipe_the_progress_says_nothing():
    stream = io.StringIO()
    progress = JobProgress(stream, PLAIN, noun="tables")
    progress.draw(1, 2)
    progress.clear()
    assert stream.getvalue() == ""


weights = st.lists(st.integers(1, 10**12), min_size=1, max_size=40).map(lambda found: sorted(found, reverse=True))


@given(weights)
@example([27435336399, 1, 1])
@example([2**60, 2**40, 2**20, 1, 1, 1])
@example([10**12] + [1] * 40)
@example([2**200, 1, 1])
def test_areas_are_as_large_as_their_weights_and_lie_within(found):
    whole = Area(x=0, y=0, width=1600, height=900)
    areas = list(squarified(found, whole))
    assert len(areas) == len(found)
    for weight, area in zip(found, areas, strict=True):
        assert area.width * area.height == pytest.approx(weight / sum(found) * 1600 * 900, rel=1e-9)
        assert area.x >= 0
        assert area.y >= 0
        assert area.x + area.width <= 1600 + 1e-9
        assert area.y + area.height <= 900 + 1e-9


@given(weights, st.sampled_from([(0.0, 0.0), (0.0, 900.0), (1600.0, 0.0)]))
def test_an_area_without_room_is_divided_into_areas_without_room(found, size):
    areas = list(squarified(found, Area(x=5, y=7, width=size[0], height=size[1])))
    assert len(areas) == len(found)
    assert all(5 <= each.x <= 5 + size[0] and 7 <= each.y <= 7 + size[1] for each in areas)
    assert not any(each.width * each.height for each in areas)


@given(weights)
@example([27435336399, 1, 1])
def test_areas_do_not_overlap(found):
    areas = list(squarified(found[:12], Area(x=0, y=0, width=1600, height=900)))
    for at, one in enumerate(areas):
        for other in areas[at + 1 :]:
            apart_x = one.x + one.width <= other.x + 1e-3 or other.x + other.width <= one.x + 1e-3
            apart_y = one.y + one.height <= other.y + 1e-3 or other.y + other.height <= one.y + 1e-3
            assert apart_x or apart_y


def test_the_page_is_whole_loads_nothing_runs_nothing_and_shows_names_as_text():
    evil = "<script>alert(1)</script>\x1b"
    leaves = (Leaf(label=evil, weight=900, detail=evil), Leaf(label="_orders_gho", weight=100, marked=True))
    page = treemap_page(
        f"Capacity of {evil}", [evil], [Branch(label=evil, leaves=leaves), Branch(label="empty", leaves=())]
    )
    assert "<script" not in page
    assert not re.search(r"(?:src|href|url)\s*[=(]", page)
    svg = ET.fromstring(page[page.index("<svg") : page.index("</svg>") + 6])
    boxes = [each for each in svg.iter("rect") if "leaf" in each.get("class")]
    assert len(boxes) == 2
    assert sum("marked" in each.get("class") for each in boxes) == 1
    assert evil.replace("\x1b", "\\x1b") in "".join(svg.itertext())


def test_a_page_of_nothing_is_a_page():
    assert "<svg" in treemap_page("Capacity", [], [])


def test_a_size_in_a_box_is_whole_or_not_there():
    """`96.0…` of `96.0 MiB` would be read as another size."""
    leaves = tuple(Leaf(label=f"table_{number}", weight=10**9 // (number + 1) + 7) for number in range(60))
    page = treemap_page("Capacity", [], [Branch(label="shop", leaves=leaves)], key="left behind")
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", page)
    assert sum(text.endswith("iB") for text in texts) > 5
    assert not [text for text in texts if text[0].isdigit() and not text.endswith("iB")]
    assert '<li class="key">left behind</li>' in page
    assert 'class="key"' not in treemap_page("Capacity", [], [])
