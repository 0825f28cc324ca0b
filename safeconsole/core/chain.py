"""
How lines are chained so that a change to one of them shows.

A sealed line is the JSON of a value whose last field is `hash`. The hash covers the line's bytes with
an empty hash in it, so that a line is checked as it was written, whatever a later version would write.
"""

from __future__ import annotations

import hashlib
import re

import msgspec

GENESIS = "0" * 64
"""Stands before the first line of a chain that hangs on nothing."""

_BLANK_END = b'"hash":""}'
_SEALED_END = re.compile(rb'"hash":"([0-9a-f]{64})"\}')
_SEALED_END_BYTES = len(b'"hash":""}') + 64
# Whatever a fact's value is, it is recorded: a record that cannot be written would stop the road.
_ENCODER = msgspec.json.Encoder(order="deterministic", enc_hook=str)


def sealed_line(value: msgspec.Struct) -> tuple[bytes, str]:
    """
    Return the JSON of a value with its hash filled in, and the hash.

    Args:
        value: its last field is `hash`, and that is empty.

    Raises:
        ValueError: it is not such a value.
        UnicodeEncodeError: a text in it holds half of a surrogate pair.
    """
    bare = _ENCODER.encode(value)
    if not bare.endswith(_BLANK_END):
        raise ValueError("a sealed value ends with an empty hash")
    digest = hashlib.sha256(bare).hexdigest()
    return b"%b%b%b" % (bare[:-2], digest.encode(), b'"}'), digest


def hash_in_line(line: bytes) -> str | None:
    """Return the hash that a line carries if it is the right one, else None; the line has no newline at its end."""
    # Its end only: a search would read a line of megabytes twice.
    found = _SEALED_END.fullmatch(line[-_SEALED_END_BYTES:])
    if found is None:
        return None
    blank = hashlib.sha256(line[: -len(found.group(1)) - 2])
    blank.update(b'"}')
    carried = found.group(1).decode()
    return carried if blank.hexdigest() == carried else None
