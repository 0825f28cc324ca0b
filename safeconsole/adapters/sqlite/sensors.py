"""What can be measured on the computer that the files are on; None where it cannot."""

from __future__ import annotations

import _sqlite3
import ctypes
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path


def held_memory_bytes() -> int | None:
    """Return what SQLite holds in this process, over all its connections."""
    memory_used = _memory_used()
    return None if memory_used is None else memory_used()


def free_memory_bytes() -> int | None:
    """Return the memory that programs may still have without swapping; Linux says, others do not."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return None
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


@cache
def _memory_used() -> Callable[[], int] | None:
    """
    Return SQLite's own counter, taken from the very library that Python's driver uses.

    Python's driver does not offer it. Where the library is built into the interpreter without its
    symbols, there is no sensor, and only the hard heap limit holds.
    """
    path = getattr(_sqlite3, "__file__", None)
    try:
        function = ctypes.CDLL(path).sqlite3_memory_used
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_int64
    function.argtypes = ()

    def memory_used() -> int:
        return int(function())

    return memory_used
