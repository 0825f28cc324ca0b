"""Statements as a Parquet file: one flat column per field of `StatementStory`, in its order.

The schema depends on the fields' types alone, so that files of different days and computers can be read together. The
module needs the extra `parquet`: commands import it when they write such a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, BinaryIO, get_type_hints

from safeconsole.audit.record import moment_in
from safeconsole.audit.story import StatementStory
from safeconsole.errors import ConfigurationError

try:
    import pyarrow as pa
    from pyarrow import parquet
except ImportError as missing:
    from safeconsole.errors import ConfigurationError

    raise ConfigurationError(
        "audit export to parquet needs the extra parquet", instead="pip install 'safeconsole[parquet]', or --format csv"
    ) from missing

GROUP_ROWS = 10_000
TIMES = frozenset({"asked", "sent", "ended"})
"""Fields that hold a UTC time; "", and what is no time, is null in the file."""

_TYPES: dict[object, tuple[str, Any]] = {
    str: ("string", pa.string()),
    int: ("int64", pa.int64()),
    float: ("double", pa.float64()),
    bool: ("boolean", pa.bool_()),
    tuple[str, ...]: ("list of string", pa.list_(pa.string())),
}
_TIME = ("timestamp, microseconds, UTC", pa.timestamp("us", tz="UTC"))


def columns() -> tuple[tuple[str, str], ...]:
    return tuple((name, kind[0]) for name, kind in _columns())


def write_parquet(stories: Iterable[StatementStory], file: BinaryIO) -> None:
    """Write statements to a file in row groups."""
    schema = pa.schema([pa.field(name, kind[1]) for name, kind in _columns()])
    held = iter(stories)
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(held, GROUP_ROWS)):
            arrays = [pa.array([_value(story, name) for story in group], type=kind[1]) for name, kind in _columns()]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _columns() -> Iterator[tuple[str, tuple[str, Any]]]:
    hints = get_type_hints(StatementStory)
    for name in StatementStory.__struct_fields__:
        yield name, _TIME if name in TIMES else _TYPES[hints[name]]


def _value(story: StatementStory, name: str) -> object:
    value = getattr(story, name)
    if name in TIMES:
        return moment_in(value)
    # Half a surrogate pair is no text that a file of columns can hold.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
