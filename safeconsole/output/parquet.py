"""Parquet: a file of typed columns, written a group of rows at a time. Imported only for an export to one.

What a column holds follows from the type that the server gave it. A decimal keeps its scale and every digit; a date
that no calendar has ("0000-00-00") is refused rather than changed.
"""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from safeconsole.cluster.engine import Column, Row
from safeconsole.cluster.values import is_integer, reader_of
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import safe, text_of, unique_names

GROUP_ROWS = 50_000
"""Rows held before they are written: a row group of this size reads well, and costs some MB of memory."""

_DIGITS = 76
_SCALE = 30
_TYPES: Mapping[str, Callable[[], pa.DataType]] = {
    "float": pa.float64,
    "double": pa.float64,
    "date": pa.date32,
    "datetime": lambda: pa.timestamp("us"),
    "timestamp": lambda: pa.timestamp("us"),
    "null": pa.null,
}


class _ParquetBuffer(io.RawIOBase):
    """The library's output; the library closes a forgotten file by itself, so a file can be abandoned here."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.given_up = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401  (whatever holds bytes)
        """Write bytes to the file, or drop them after `abandon`."""
        if not self.given_up:
            self._stream.write(data)
        return len(data)


class ParquetWriter:
    """One Parquet file; see `formats.RowWriter`."""

    def __init__(self, columns: Sequence[Column], stream: BinaryIO) -> None:
        self._columns = columns
        self._names = unique_names([column.name for column in columns])
        self._sink = _ParquetBuffer(stream)
        self._held: list[Row] = []
        self._schema: Any = None
        self._file: Any = None

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows, or hold them until there is a group of them.

        Raises:
            ConfigurationError: a value does not fit its column's type.
        """
        self._held.extend(batch)
        if len(self._held) >= GROUP_ROWS:
            self._write()

    def end(self, _note: str = "", /) -> None:
        self._write()
        if self._file is not None:
            self._file.close()

    def abandon(self, _note: str = "", /) -> None:
        """Write nothing more: a file without its footer cannot be read as complete."""
        self._sink.given_up = True

    def _write(self) -> None:
        texts = list(zip(*self._held, strict=True)) or [()] * len(self._columns)
        values = [_read(column, held) for column, held in zip(self._columns, texts, strict=True)]
        if self._schema is None:
            # The first group settles the scale of decimals, which the server keeps for a whole column.
            types = [_type_of(column, held) for column, held in zip(self._columns, values, strict=True)]
            self._schema = pa.schema(list(zip(self._names, types, strict=True)))
        try:
            arrays = [
                _array(column, kind, held)
                for column, kind, held in zip(self._columns, self._schema.types, values, strict=True)
            ]
        except ConfigurationError:
            self.abandon()
            raise
        if self._file is None:
            self._file = pq.ParquetWriter(self._sink, self._schema)
        self._file.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._held = []


def _read(column: Column, values: Sequence[object]) -> Sequence[object]:
    read = reader_of(column)
    if read is None or column.type_name == "time":
        return values
    try:
        return [read(value) if isinstance(value, str) else value for value in values]
    except (ValueError, ArithmeticError):
        # Said of the whole column by what cannot hold it.
        return values


def _type_of(column: Column, values: Sequence[object]) -> pa.DataType:
    name = column.type_name
    if column.binary:
        return pa.binary()
    if name == "decimal":
        scale = next((-int(value.as_tuple().exponent) for value in values if isinstance(value, Decimal)), _SCALE)
        return pa.decimal256(_DIGITS, scale)
    if is_integer(column):
        return pa.uint64() if name.endswith("unsigned") else pa.int64()
    return _TYPES.get(name, pa.string)()


def _array(column: Column, kind: pa.DataType, values: Sequence[object]) -> pa.Array:
    if kind == pa.string():
        values = [None if value is None else text_of(value) for value in values]
    elif pa.types.is_temporal(kind):
        _require_dates(column, values)
    try:
        return pa.array(values, type=kind)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        reason = safe(str(error).splitlines()[0])
        raise ConfigurationError(
            f"column {safe(column.name)} has a value that Parquet does not hold as {kind}: {reason}",
            instead="export to .csv or .jsonl, which hold every value, or CAST the column to CHAR",
        ) from None


def _require_dates(column: Column, values: Sequence[object]) -> None:
    strange = next((value for value in values if value is not None and not isinstance(value, dt.date)), None)
    if strange is not None:
        raise ConfigurationError(
            f"column {safe(column.name)} holds {safe(text_of(strange))}, which is not a date",
            instead="export to .csv or .jsonl, which hold every value, or leave those rows out",
        )
