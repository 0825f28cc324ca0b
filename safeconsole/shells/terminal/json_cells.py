"""
JSON for a person: one thing a line, coloured. Every number and text stays as the server wrote it.

Nothing is parsed into values and written again: that would round numbers and lose doubled names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

LARGEST_CHARACTERS = 100_000
"""A longer document is shown as it is."""

NARROW_CHARACTERS = 60
"""What is this short, and holds nothing that holds something, stays on one line."""

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_COLOURED = re.compile(r'(?P<name>"(?:[^"\\]|\\.)*+")(?=\s*:)|(?P<text>"(?:[^"\\]|\\.)*+")|(?P<word>[^\s{}\[\]:,"]+)')
_WORDS = {"true", "false", "null"}
_NAME, _TEXT, _NUMBER, _WORD, _OFF = "\x1b[36m", "\x1b[32m", "\x1b[35m", "\x1b[33m", "\x1b[0m"


def is_document(text: str) -> bool:
    """Whether a text is an object or an array in JSON, on one line."""
    if text[:1] not in {"{", "["} or "\n" in text or len(text) > LARGEST_CHARACTERS:
        return False
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False
    return True


def pretty(text: str) -> list[str]:
    """Return a document's lines; `is_document` MUST hold of it."""
    return list(_lines(_TOKENS.findall(text)))


def coloured(line: str) -> str:
    """Return a line of JSON, safe already, with the colours of what it holds."""
    return _COLOURED.sub(_colour, line)


def _colour(match: re.Match[str]) -> str:
    found = match.group()
    if match.lastgroup == "word":
        return f"{_WORD if found in _WORDS else _NUMBER}{found}{_OFF}"
    return f"{_NAME if match.lastgroup == 'name' else _TEXT}{found}{_OFF}"


def _lines(pieces: list[str]) -> Iterator[str]:
    depth, line, at = 0, "", 0
    while at < len(pieces):
        piece = pieces[at]
        end = _flat_end(pieces, at) if piece in {"{", "["} else None
        if end is not None:
            line += _joined(pieces[at : end + 1])
            at = end
        elif piece in {"{", "["}:
            yield "  " * depth + line + piece
            depth, line = depth + 1, ""
        elif piece in {"}", "]"}:
            if line:
                yield "  " * depth + line
            depth, line = depth - 1, piece
        elif piece == ",":
            yield "  " * depth + line + ","
            line = ""
        else:
            line += ": " if piece == ":" else piece
        at += 1
    if line:
        yield "  " * depth + line


def _flat_end(pieces: list[str], at: int) -> int | None:
    """Return where what opens here closes, if it is short and holds nothing that opens."""
    length = 0
    for end in range(at + 1, len(pieces)):
        piece = pieces[end]
        length += len(piece) + 1
        if piece in {"{", "["} or length > NARROW_CHARACTERS:
            return None
        if piece in {"}", "]"}:
            return end
    return None


def _joined(pieces: list[str]) -> str:
    return "".join(f"{piece} " if piece in {",", ":"} else piece for piece in pieces)
