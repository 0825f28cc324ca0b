"""A stranger follows calls, not folders: how far a read by key travels before the engine first writes."""

import pytest

from tests.architecture.trace import PAGE, outline, page_with, trace_of_a_read

MOST_FILES, MOST_CALLS = 25, 150


@pytest.fixture(scope="module")
def trace():
    return trace_of_a_read()


def test_the_path_of_a_read_stays_within_its_budget(trace):
    print(outline(trace))
    print(f"{len(trace.files)} files, {trace.calls} calls, {trace.changes} changes of file")
    assert len(trace.files) <= MOST_FILES
    assert trace.calls <= MOST_CALLS


def test_the_page_shows_the_path_that_is_taken(trace):
    assert PAGE.read_text(encoding="utf-8") == page_with(outline(trace)), "python -m tests.architecture.trace"
