"""
Completes tables and columns where Python alone knows none: behind `db.tables`, and inside the text of a statement.

From names that were learnt already; nothing here asks a server.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

SHOWN_COMPLETIONS = 100
"""More than this nobody reads; the next letter narrows them."""

LONGEST_CHARACTERS = 20_000
"""In a longer entry only Python's own names are completed: typing must stay quick."""

_TABLE = re.compile(r"\bdb\.tables\.(\w*)\Z")
_COLUMN = re.compile(r"\bdb\.tables\.(\w+)\.(?:c|columns)\.(\w*)\Z")
_STATEMENT = re.compile(
    r"\b(?:sql|execute|executemany|text|read_sql|read_sql_query)\(\s*[rR]?"
    r"(?P<quote>\"{3}|'{3}|\"|')(?P<text>(?:(?!(?P=quote)).)*)\Z",
    re.DOTALL,
)


class Names(Protocol):
    """The names known of the session's schema."""

    def learn(self) -> None:
        """Learn a page more, where a replica was asked last; never raises for what a server says."""
        ...

    def tables_from(self, prefix: str, most: int) -> Iterable[str]:
        """The tables that begin so, in any case, at most so many."""
        ...

    def columns_of(self, table: str) -> Iterable[str]:
        """The columns of a table, none while they are not known."""
        ...

    @property
    def in_statements(self) -> Completer:
        """Completes a statement's text."""
        ...


class NamesCompleter(Completer):
    """
    Completes what stands before the cursor.

    Args:
        python: completes everything else.
        names: see `Names`.
    """

    def __init__(self, python: Completer, names: Names) -> None:
        self._python = python
        self._names = names

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield what fits."""
        before = document.text_before_cursor
        if len(before) > LONGEST_CHARACTERS:
            return self._python.get_completions(document, complete_event)
        if found := _COLUMN.search(before):
            return _named(self._names.columns_of(found[1]), found[2], "column")
        if found := _TABLE.search(before):
            return _named(self._names.tables_from(found[1], SHOWN_COMPLETIONS), found[1], "table")
        if found := _STATEMENT.search(before):
            after = document.text_after_cursor.partition(found["quote"])[0]
            inside = Document(found["text"] + after, len(found["text"]))
            return self._names.in_statements.get_completions(inside, complete_event)
        return self._python.get_completions(document, complete_event)


def _named(names: Iterable[str], written: str, kind: str) -> Iterator[Completion]:
    for name in names:
        # What is no identifier is written db.tables["…"].
        if name.isidentifier() and name.lower().startswith(written.lower()):
            yield Completion(name, start_position=-len(written), display_meta=kind)
