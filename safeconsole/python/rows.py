"""What `db.sql` returns: rows that print as a table and turn into what people work with."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

from safeconsole.cluster.engine import Column, Row
from safeconsole.errors import ConfigurationError
from safeconsole.output.formats import render
from safeconsole.output.text import StreamStyle, counted, safe, span_text

SHOWN_ROWS = 50
"""Rows that a result prints; it holds all of them."""

_TERMINAL = StreamStyle(terminal=True)
"""A person reads it: control characters in data are escaped."""


class Rows(Sequence[Row]):
    """
    A result: a sequence of tuples in column order.

    It prints as a table. `rows[0]`, `len(rows)` and loops work; `rows.dicts()`, `rows.scalars()`, `rows.pandas()`,
    `rows.polars()` and `rows.text("csv")` turn it into something else.

    Attributes:
        columns: the result's columns.
        changed_rows: rows that the statement changed, as the server reports them.
        node: where it ran.
        seconds: how long it took.
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        rows: list[Row],
        *,
        changed_rows: int = 0,
        node: str = "",
        seconds: float = 0.0,
    ) -> None:
        self.columns = columns
        self.changed_rows = changed_rows
        self.node = node
        self.seconds = seconds
        self._rows = rows

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def dicts(self) -> list[dict[str, Any]]:
        """One dictionary a row. Raises ConfigurationError when two columns have one name."""
        self._require_unique()
        return [dict(zip(self.names, row, strict=True)) for row in self._rows]

    def scalars(self) -> list[Any]:
        """The first column's values."""
        return [row[0] for row in self._rows]

    def scalar(self) -> Any:  # noqa: ANN401 (whatever the column holds)
        """The first value of the first row, None without rows."""
        return self._rows[0][0] if self._rows else None

    def text(self, form: str = "table") -> str:
        """All the rows as text in one of the console's formats. Raises ValueError for an unknown one."""
        return render(self.columns, self._rows, form)

    def pandas(self) -> Any:  # noqa: ANN401 (a library that need not be there)
        """A pandas DataFrame. Raises ConfigurationError when pandas is not installed."""
        return _library("pandas").DataFrame.from_records(self._rows, columns=list(self.names))

    def polars(self) -> Any:  # noqa: ANN401 (a library that need not be there)
        """A polars DataFrame. Raises ConfigurationError when polars is not installed."""
        self._require_unique()
        return _library("polars").DataFrame(self._rows, schema=list(self.names), orient="row", infer_schema_length=None)

    def _require_unique(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ConfigurationError(f"two columns have one name: {', '.join(self.names)}", instead="name them with AS")

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return self._rows[at]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __repr__(self) -> str:
        where = f", {span_text(self.seconds)}, {safe(self.node)}" if self.node else ""
        if not self.columns:
            return f"done, {counted(self.changed_rows, 'row')} changed{where}"
        more = f"{SHOWN_ROWS} of " if len(self._rows) > SHOWN_ROWS else ""
        shown = render(self.columns, self._rows[:SHOWN_ROWS], "table", _TERMINAL)
        return f"{shown}{more}{counted(len(self._rows), 'row')}{where}"


def _library(name: str) -> Any:  # noqa: ANN401 (a library that need not be there)
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"{name} is not installed beside safeconsole",
            instead=f"install it into the same environment: pip install {name}",
        ) from None
