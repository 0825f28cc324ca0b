"""Streaming writers for each output format; memory is constant for any number of rows.

A value is the server's own text in every format; bytes are `0x…`. In JSON what is a number stays one, digit for
digit, and a JSON column is nested. NULL is `NULL` for a person, null in JSON and `\\N` in TSV, which `LOAD DATA` reads
back; in CSV see `CsvWriter`. On a terminal, control characters in data are escaped; in a pipe, CSV and TSV carry them
as their format says.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TextIO, cast

import msgspec

from safeconsole.cluster.engine import Column, Row
from safeconsole.cluster.values import reader_of
from safeconsole.errors import ConfigurationError
from safeconsole.output.text import FORMATS, PLAIN, StreamStyle, safe, safe_lines, text_of, unique_names
from safeconsole.patterns import late

if TYPE_CHECKING:
    from safeconsole.output.row_statements import RowTarget

LONE_NULL = "\\N"
"""NULL of a CSV file with one column, where nothing would be an empty line, which many readers skip."""

_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"})

# What csv writes as the server would; everything else passes `text_of` first.
_CSV_TYPES = frozenset({str, int, float, type(None), dt.date, dt.time})
_CSV_SPECIAL = late(r'[",\r\n]')


class RowWriter(Protocol):
    """Writes one result as it arrives; its head is written when it is made."""

    def rows(self, batch: Sequence[Row]) -> None: ...

    def end(self, note: str = "", /) -> None:
        """Write the end of the format, with the note on an incomplete result if the format has a place for it."""
        ...

    def abandon(self, note: str, /) -> None:
        """Write held rows of a failed result; a JSON array stays open, so that it cannot pass for complete."""
        ...


def writer_for(
    name: str, columns: Sequence[Column], stream: TextIO, style: StreamStyle = PLAIN, *, null: str | None = None
) -> RowWriter:
    """Return a writer of one result.

    Args:
        null: what stands for NULL in CSV, see `CsvWriter`; None for its default.

    Raises:
        ValueError: there is no such format.
    """
    match name:
        case "table" | "vertical":
            # Imported here: an export needs no widths.
            from safeconsole.output.tables import TableWriter, VerticalWriter  # noqa: PLC0415

            return (TableWriter if name == "table" else VerticalWriter)(columns, stream, style)
        case "json" | "jsonl":
            return JsonWriter(columns, stream, style, layout=JSON_LAYOUTS[name])
        case "csv":
            return CsvWriter(columns, stream, style, null=null)
        case "tsv":
            return TsvWriter(columns, stream, style)
        case "parquet":
            # Imported here: it is an optional extra, and only a file can hold it.
            from safeconsole.output.parquet import ParquetWriter  # noqa: PLC0415

            return ParquetWriter(columns, cast("BinaryIO", cast("io.TextIOWrapper", stream).buffer))
        case "markdown":
            return MarkdownWriter(columns, stream)
        case _:
            raise ValueError(f"unknown format {name!r}: one of {', '.join(FORMATS)}")


_BETWEEN_SETS = {"tsv": "\\.\n"}
"""A line that no row can be; an empty one everywhere else."""


class SetsWriter:
    """Writes the result sets of one statement, one after the other.

    Tables stand under each other, as do the blocks of CSV, each with its header, with an empty line between two of
    them; in TSV that line is `\\.`, since a row may be empty there. What may return any number of sets is a list of
    lists in JSON, however many there are, and a list a line in JSON lines.

    Args:
        several: whether it may return any number of sets.
        target: the table that rows are written for, of the formats that are statements.
    """

    def __init__(
        self,
        name: str,
        stream: TextIO,
        style: StreamStyle = PLAIN,
        *,
        null: str | None = None,
        several: bool = False,
        target: RowTarget | None = None,
    ) -> None:
        self._name, self._stream, self._style, self._null = name, stream, style, null
        self._several, self._target = several, target
        self._writer: RowWriter | None = None
        self.sets = 0

    def begin(self, columns: Sequence[Column]) -> None:
        """Begin a result set. Raises ValueError as `writer_for`, ConfigurationError: the format holds one set only."""
        if self._writer is not None:
            self._writer.end()
            if self._name == "parquet":
                raise ConfigurationError("a Parquet file holds one result set, and there are several")
        self.sets += 1
        if self._target is not None:
            # Imported here: few need it.
            from safeconsole.output.row_statements import RowStatementWriter  # noqa: PLC0415

            self._writer = RowStatementWriter(columns, self._stream, self._target)
            return
        is_json = self._name in JSON_LAYOUTS
        if is_json and self._several:
            self._stream.write("" if self._name == "jsonl" else "," if self.sets > 1 else "[")
            layout = JSON_LAYOUTS["json"] if self._name == "json" else _ONE_LINE
            self._writer = JsonWriter(columns, self._stream, self._style, layout=layout)
        else:
            if self.sets > 1 and not is_json:
                self._stream.write(_BETWEEN_SETS.get(self._name, "\n"))
            self._writer = writer_for(self._name, columns, self._stream, self._style, null=self._null)

    def rows(self, batch: Sequence[Row]) -> None:
        if self._writer is not None:
            self._writer.rows(batch)

    def end(self, note: str = "", /) -> None:
        if self._writer is not None:
            self._writer.end(note)
        if self._several and self._name == "json":
            self._stream.write("]\n" if self.sets else "[]\n")

    def abandon(self, note: str, /) -> None:
        if self._writer is not None:
            self._writer.abandon(note)


def render(columns: Sequence[Column | str], rows: Iterable[Row], name: str, style: StreamStyle = PLAIN) -> str:
    """Return a small result as text that ends with a newline.

    Args:
        columns: columns, or their names; a column known by name only is a number when all its values are.
    """
    held = [tuple(row) for row in rows]
    stream = io.StringIO()
    writer = writer_for(name, [_column_of(column, at, held) for at, column in enumerate(columns)], stream, style)
    writer.rows(held)
    writer.end()
    return stream.getvalue()


def is_csv_null(text: str) -> bool:
    """Whether a text can stand for NULL in CSV: it is written without quotes."""
    return not _CSV_SPECIAL.search(text)


class CsvWriter:
    """Comma-separated values of RFC 4180 with a header line and newlines alone between lines.

    NULL is `null`, never in quotes; a value that reads the same is always in quotes, so the two stay apart. This is
    what PostgreSQL's COPY writes and reads.

    Args:
        null: what stands for NULL, of which `is_csv_null` holds; None for nothing, or `LONE_NULL` for one column.
    """

    def __init__(
        self, columns: Sequence[Column], stream: TextIO, style: StreamStyle, *, null: str | None = None
    ) -> None:
        self._stream = stream
        self._shield = safe if style.terminal else None
        is_alone = len(columns) == 1
        self._null = null if null is not None else LONE_NULL if is_alone else ""
        # An empty text alone would be an empty line.
        self._quoted = {self._null, ""} if is_alone else {self._null}
        self._by_cell = is_alone or self._shield is not None
        self._is_plain = True
        self.rows([tuple(column.name for column in columns)])

    def rows(self, batch: Sequence[Row]) -> None:
        """Write more rows; batches of texts are written together, others of plain types by the csv module."""
        text = None if self._by_cell else self._texts(batch)
        if text is not None:
            self._stream.write(text)
        elif self._by_cell or any(self._null in row for row in batch):
            self._stream.write("".join([",".join(map(self._cell, row)) + "\n" for row in batch]))
        elif not self._null and _CSV_TYPES.issuperset(map(type, chain.from_iterable(batch))):
            self._stream.write(_csv_text(batch))
        else:
            null = self._null
            rows = [[null if value is None else text_of(value) for value in row] for row in batch]
            self._stream.write(_csv_text(rows))

    def _texts(self, batch: Sequence[Row]) -> str | None:
        """Return a batch of texts as CSV, None where a value is something else."""
        # Where one batch needs quotes, the next one does.
        text = _plain_text(batch, self._null) if self._is_plain else None
        self._is_plain = text is not None
        return text if self._is_plain else self._quoted_texts(batch)

    def _quoted_texts(self, batch: Sequence[Row]) -> str | None:
        """Return texts as CSV in half the csv module's time: only columns that need quotes are looked at by value."""
        columns: list[Sequence[Any]] = []
        for column in zip(*batch, strict=True):
            try:
                texts = [self._null if value is None else value for value in column] if None in column else column
                whole = "".join(texts)
            except TypeError:
                return None
            if self._null in column:
                texts = [self._cell(value) for value in column]
            elif '"' in whole or "," in whole or "\n" in whole or "\r" in whole:
                # Spelt out, since a call for each value would take as long as all the rest.
                texts = [
                    '"' + text.replace('"', '""') + '"'
                    if '"' in text or "," in text or "\n" in text or "\r" in text
                    else text
                    for text in texts
                ]
            columns.append(texts)
        return "\n".join([*map(",".join, zip(*columns, strict=True)), ""])

    def end(self, _note: str = "", /) -> None: ...

    abandon = end

    def _cell(self, value: object) -> str:
        if value is None:
            return self._null
        text = self._shield(text_of(value)) if self._shield else text_of(value)
        if text not in self._quoted and is_csv_null(text):
            return text
        doubled = text.replace('"', '""')
        return f'"{doubled}"'


def _plain_text(rows: Sequence[Sequence[Any]], null: str) -> str | None:
    """Return texts as CSV when none of them needs a quote, else None.

    A fifth of the csv module's time, which looks at every character. Whether a value holds a comma or a newline shows
    in how many the whole batch holds.
    """
    width = len(rows[0]) if rows else 0
    if width < 2:
        return None
    try:
        lines = [
            ",".join(row) if None not in row else ",".join([null if value is None else value for value in row])
            for row in rows
            if null not in row
        ]
    except TypeError:
        return None
    text = "\n".join([*lines, ""])
    is_plain = text.count("\n") == len(rows) and text.count(",") == len(rows) * (width - 1)
    return text if is_plain and '"' not in text and "\r" not in text else None


def _csv_text(rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    text = buffer.getvalue()
    if "\r" not in text:
        return text
    # The csv module quotes a return only where returns end lines.
    return "".join([_csv_line(row) for row in rows])


def _csv_line(row: Sequence[object]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerow(row)
    return buffer.getvalue().removesuffix("\r\n") + "\n"


class TsvWriter:
    """Tab-separated values with a header line; tab, newline, return, NUL and backslash are escaped by a backslash."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, style: StreamStyle) -> None:
        self._stream = stream
        self._shield: Callable[[str], str] = safe if style.terminal else str
        self.rows([tuple(column.name for column in columns)])

    def rows(self, batch: Sequence[Row]) -> None:
        self._stream.write("".join(["\t".join(map(self._cell, row)) + "\n" for row in batch]))

    def end(self, _note: str = "", /) -> None: ...

    abandon = end

    def _cell(self, value: object) -> str:
        if value is None:
            return "\\N"
        text = value if isinstance(value, str) else text_of(value)
        if text.isprintable() and "\\" not in text:
            return text
        return self._shield(text.translate(_TSV_ESCAPES))


class MarkdownWriter:
    """A table of GitHub-flavoured Markdown."""

    def __init__(self, columns: Sequence[Column], stream: TextIO) -> None:
        self._stream = stream
        stream.write(_markdown_line(column.name for column in columns))
        stream.write(_markdown_rule(columns))

    def rows(self, batch: Sequence[Row]) -> None:
        self._stream.write("".join([_markdown_line(map(text_of, row)) for row in batch]))

    def end(self, note: str = "", /) -> None:
        if note:
            self._stream.write(f"\n*{note}*\n")

    abandon = end


def _markdown_line(texts: Iterable[str]) -> str:
    return "| " + " | ".join(_markdown_cell(text) for text in texts) + " |\n"


def _markdown_rule(columns: Sequence[Column]) -> str:
    return "|" + "|".join("---:" if column.numeric else "---" for column in columns) + "|\n"


def _markdown_cell(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
    return "<br>".join(safe_lines(escaped))


def _column_of(column: Column | str, at: int, rows: Sequence[Row]) -> Column:
    if isinstance(column, Column):
        return column
    values = [row[at] for row in rows if row[at] is not None]
    numeric = bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return Column(name=column, numeric=numeric)


# Rows as JSON: an array of objects, or one object a line.

# Decimals stay numbers, digit for digit; a reader that wants exactness parses them as decimals.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_PLAIN_TYPES = frozenset({str, int, float, bool, Decimal, type(None)})
_RAW = msgspec.json.Decoder(msgspec.Raw)
_NUMBER_TEXT = late(r"(-?)0*((?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_SURROGATE = late("[\ud800-\udfff]")
# JSON itself escapes the ASCII controls; these reach a terminal raw.
_TERMINAL_CONTROL = late("[\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class JsonLayout(msgspec.Struct, frozen=True, kw_only=True):
    """The separators around JSON objects: before the first, between two, after the last or none."""

    head: str = ""
    first: str = ""
    between: str = ""
    behind: str = ""
    foot: str = ""
    empty_foot: str = ""


JSON_LAYOUTS = {
    "json": JsonLayout(head="[", first="\n", between=",\n", foot="\n]\n", empty_foot="]\n"),
    "jsonl": JsonLayout(behind="\n"),
}
_ONE_LINE = JsonLayout(head="[", between=",", foot="]\n", empty_foot="]\n")


class JsonWriter:
    """Writes each row as an object whose keys are the column names, made different by a number where they repeat."""

    def __init__(self, columns: Sequence[Column], stream: TextIO, style: StreamStyle, *, layout: JsonLayout) -> None:
        self._stream = stream
        self._terminal = style.terminal
        self._keys = unique_names([column.name for column in columns])
        keyed = list(zip(self._keys, columns, strict=True))
        # A column that is only shown as numbers ("1.5 MiB") has no type.
        self._numbers = [key for key, column in keyed if column.numeric and reader_of(column) is not None]
        self._documents = [key for key, column in keyed if column.type_name == "json"]
        self._layout, self._before, self._foot = layout, layout.first, layout.empty_foot
        stream.write(layout.head)

    def rows(self, batch: Sequence[Row]) -> None:
        if not batch:
            return
        layout = self._layout
        texts = [self._object(row) for row in batch]
        self._stream.write(self._before + (layout.behind + layout.between).join(texts) + layout.behind)
        self._before, self._foot = layout.between, layout.foot

    def abandon(self, _note: str, /) -> None:
        """Leave the array open, so that an incomplete result is invalid JSON."""

    def end(self, _note: str = "", /) -> None:
        self._stream.write(self._foot)

    def _object(self, row: Row) -> str:
        values = dict(zip(self._keys, row, strict=True))
        if not _PLAIN_TYPES.issuperset(map(type, row)):
            values = {key: _plain(value) for key, value in values.items()}
        for key in self._numbers:
            values[key] = _number(values[key])
        for key in self._documents:
            values[key] = _document(values[key])
        try:
            text = _ENCODER.encode(values).decode()
        except UnicodeEncodeError:
            text = _ENCODER.encode({key: _without_surrogates(value) for key, value in values.items()}).decode()
        return _TERMINAL_CONTROL.sub(_escaped, text) if self._terminal else text


def _plain(value: object) -> object:
    return value if type(value) in _PLAIN_TYPES else text_of(value)


def _number(value: object) -> object:
    found = _NUMBER_TEXT.fullmatch(value) if type(value) is str else None
    return msgspec.Raw("".join(found.groups())) if found else value


def _document(value: object) -> object:
    if type(value) is not str:
        return value
    # MariaDB keeps a document as it was written: over several lines, perhaps.
    is_one_line = "\n" not in value and "\r" not in value
    try:
        return _RAW.decode(value if is_one_line else msgspec.json.format(value, indent=0))
    except msgspec.DecodeError:
        return value


def _without_surrogates(value: object) -> object:
    return safe(value) if isinstance(value, str) and _SURROGATE.search(value) else value


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"
