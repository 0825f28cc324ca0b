"""What `db.sql` returns: rows that print as a table and turn into what people work with."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, overload

from safeconsole.cluster.engine import Column, Row
from safeconsole.cluster.values import is_integer, typed_rows
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
    `rows.polars()` and `rows.text("csv")` turn it into something else. What is printed is the server's own text; values
    are read from it, a TIME as a timedelta, since it may be negative and longer than a day.

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
        # As the server wrote them, which no float or decimal tells again; see `_values`.
        self._texts = rows

    @cached_property
    def _values(self) -> list[Row]:
        return typed_rows(self.columns, self._texts)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def dicts(self) -> list[dict[str, Any]]:
        """One dictionary a row. Raises ConfigurationError when two columns have one name."""
        self._require_unique()
        return [dict(zip(self.names, row, strict=True)) for row in self._values]

    def scalars(self) -> list[Any]:
        """The first column's values."""
        return [row[0] for row in self._values]

    def scalar(self) -> Any:  # noqa: ANN401 (whatever the column holds)
        """The first value of the first row, None without rows."""
        return self._values[0][0] if self._values else None

    def text(self, form: str = "table") -> str:
        """All the rows as text in one of the console's formats. Raises ValueError for an unknown one."""
        return render(self.columns, self._texts, form)

    def pandas(self) -> Any:  # noqa: ANN401 (a library that need not be there)
        """
        A pandas DataFrame; whole numbers stay whole beside NULL, as Int64 and UInt64.

        Raises ConfigurationError when pandas is not installed.
        """
        pandas = _library("pandas")
        frame = pandas.DataFrame(index=range(len(self._values)))
        series = [
            pandas.Series(values, dtype=_pandas_type(column, values), name=column.name)
            for column, values in zip(self.columns, self._by_column(), strict=True)
        ]
        return pandas.concat([frame, *series], axis=1) if series else frame

    def polars(self) -> Any:  # noqa: ANN401 (a library that need not be there)
        """
        A polars DataFrame.

        Raises ConfigurationError when polars is not installed, or does not hold a column's values.
        """
        self._require_unique()
        polars = _library("polars")
        columns = dict(zip(self.names, self._by_column(), strict=True))
        for column in self.columns:
            _require_polars_digits(column, columns[column.name])
        kinds = {column.name: _polars_type(polars, column) for column in self.columns}
        return polars.DataFrame(columns, schema=kinds, strict=True, infer_schema_length=None)

    def _by_column(self) -> list[Sequence[object]]:
        return list(zip(*self._values, strict=True)) or [()] * len(self.columns)

    def _require_unique(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ConfigurationError(f"two columns have one name: {', '.join(self.names)}", instead="name them with AS")

    @overload
    def __getitem__(self, at: int) -> Row: ...
    @overload
    def __getitem__(self, at: slice) -> list[Row]: ...
    def __getitem__(self, at: int | slice) -> Row | list[Row]:
        return self._values[at]

    def __len__(self) -> int:
        return len(self._texts)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._values)

    def __repr__(self) -> str:
        where = f", {span_text(self.seconds)}, {safe(self.node)}" if self.node else ""
        if not self.columns:
            return f"done, {counted(self.changed_rows, 'row')} changed{where}"
        more = f"{SHOWN_ROWS} of " if len(self._texts) > SHOWN_ROWS else ""
        shown = render(self.columns, self._texts[:SHOWN_ROWS], "table", _TERMINAL)
        return f"{shown}{more}{counted(len(self._texts), 'row')}{where}"


_DIGITS_OF_POLARS = 38


def _pandas_type(column: Column, values: Sequence[object]) -> str | None:
    """Return the type of a column of whole numbers, None where pandas finds a fitting one itself."""
    if not is_integer(column):
        return None
    unsigned = column.type_name.endswith("unsigned")
    if None not in values:
        return "uint64" if unsigned else "int64"
    # Otherwise one NULL would turn a whole column into floats, which round from 2**53 on.
    return "UInt64" if unsigned else "Int64"


def _polars_type(polars: Any, column: Column) -> Any:  # noqa: ANN401 (a library that need not be there)
    if not is_integer(column):
        return None
    return polars.UInt64 if column.type_name.endswith("unsigned") else polars.Int64


def _require_polars_digits(column: Column, values: Sequence[object]) -> None:
    digits = max((_digits(value) for value in values if isinstance(value, Decimal)), default=0)
    if digits > _DIGITS_OF_POLARS:
        raise ConfigurationError(
            f"column {safe(column.name)} holds a number of {digits} digits, and polars holds {_DIGITS_OF_POLARS}",
            instead=f"SELECT CAST({safe(column.name)} AS CHAR) for its text, or use .pandas(), which holds every digit",
        )


def _digits(value: Decimal) -> int:
    _, digits, exponent = value.as_tuple()
    return max(len(digits), -int(exponent))


def _library(name: str) -> Any:  # noqa: ANN401 (a library that need not be there)
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigurationError(
            f"{name} is not installed beside safeconsole",
            instead=f"install it into the same environment: pip install {name}",
        ) from None
