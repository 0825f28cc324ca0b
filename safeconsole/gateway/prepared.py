"""Prepared statements: counts placeholders, reads values, and writes them into the text as literals.

The text that is judged, recorded and sent is the one with its values, so that no place hides what a statement does.
Values come from the client in the binary protocol and are checked as everything that it sends.
"""

from __future__ import annotations

import math
import re
import struct

import msgspec

from safeconsole.gateway.packets import Fields, MalformedError
from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.gateway.texts import Charset
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens
from safeconsole.sqltext.literals import Number, Value, literal_of

MOST_STATEMENTS = 1000
MOST_PLACES = 65_535
"""The protocol counts the placeholders of one statement in two bytes."""

LARGEST_BYTES = 64 * 1024 * 1024
"""Of all values of one execution together."""

_UNSIGNED = 0x80
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_INTEGER_WIDTHS = {0x01: 1, 0x02: 2, 0x03: 4, 0x08: 8, 0x09: 4, 0x0D: 2}
_FLOAT, _DOUBLE, _NULL = 0x04, 0x05, 0x06
_DATES, _TIME = frozenset({0x07, 0x0A, 0x0C, 0x0E, 0x11, 0x12}), frozenset({0x0B, 0x13})
_NUMBERS_AS_TEXT = frozenset({0x00, 0xF6})
_TEXTS = frozenset({0x0F, 0x10, 0xF5, 0xF7, 0xF8, 0xF9, 0xFA, 0xFB, 0xFC, 0xFD, 0xFE, 0xFF})
_BINARY, _BLOBS = frozenset({0x10, 0xFF}), frozenset({0xF9, 0xFA, 0xFB, 0xFC})


class _Latin1(bytes):
    """A text in latin1."""


_PLACES = frozenset({TokenKind.PARAMETER, TokenKind.PUNCTUATION})
"""What a `?` is to the lexer; texts and quoted names that hold one are something else."""


class Preparation(msgspec.Struct, kw_only=True):
    """A statement that a client prepared.

    Attributes:
        text: as it was prepared.
        places: where its places are, from and to.
        types: of its values, as they were last told; b"" before.
        long_data: what was sent ahead, by place.
    """

    text: str
    places: tuple[tuple[int, int], ...]
    types: bytes = b""
    long_data: dict[int, bytes] = {}


def preparation_of(text: str, rules: LexicalRules) -> Preparation:
    """Prepare a text."""
    places = tuple(
        (token.start, token.end) for token in tokens(text, rules) if token.text == "?" and token.kind in _PLACES
    )
    return Preparation(text=text, places=places)


def add_long_data(statement: Preparation, place: int, data: bytes) -> bool:
    """Store a part of a long value; return False if it is too large or names no placeholder."""
    have = sum(map(len, statement.long_data.values()))
    if place >= len(statement.places) or have + len(data) > LARGEST_BYTES:
        return False
    statement.long_data[place] = statement.long_data.get(place, b"") + data
    return True


def filled(statement: Preparation, payload: bytes, rules: LexicalRules, charset: Charset = Charset.UTF8) -> str:
    """Return the statement's text with the execution's values as literals.

    Args:
        payload: of the command, behind the statement's number, flags and count.
        charset: of the texts among the values.

    Raises:
        MalformedError: the values are not what they say.
        ToldError: a text is in a character set that is not read.
    """
    literals = [_literal(value, rules) for value in _values(statement, payload, charset)]
    parts, position = [], 0
    for (start, end), literal in zip(statement.places, literals, strict=True):
        parts += [statement.text[position:start], literal]
        position = end
    return "".join((*parts, statement.text[position:]))


def _literal(value: Value, rules: LexicalRules) -> str:
    if not isinstance(value, bytes):
        return literal_of(value, rules)
    # Without an introducer digits are a number where one is wanted.
    introducer = "_latin1" if isinstance(value, _Latin1) else "_binary"
    return f"{introducer} {literal_of(value, rules)}"


def _values(statement: Preparation, payload: bytes, charset: Charset) -> list[Value]:
    count = len(statement.places)
    if not count:
        return []
    fields = Fields(payload)
    nulls = fields.take((count + 7) // 8)
    if fields.number(1) == 1:
        statement.types = fields.take(2 * count)
    if len(statement.types) != 2 * count:
        raise MalformedError("values whose types were never told")
    values: list[Value] = []
    for place in range(count):
        kind, flags = statement.types[2 * place], statement.types[2 * place + 1]
        if place in statement.long_data:
            values.append(_text(statement.long_data[place], kind, charset))
        elif nulls[place // 8] >> (place % 8) & 1:
            values.append(None)
        else:
            values.append(_value(fields, kind, charset, unsigned=bool(flags & _UNSIGNED)))
    statement.long_data = {}
    return values


def _value(fields: Fields, kind: int, charset: Charset, *, unsigned: bool) -> Value:
    if kind in _INTEGER_WIDTHS:
        return int.from_bytes(fields.take(_INTEGER_WIDTHS[kind]), "little", signed=not unsigned)
    if kind in _TEXTS or kind in _NUMBERS_AS_TEXT:
        return _text(fields.take(fields.length()), kind, charset)
    if kind in {_FLOAT, _DOUBLE}:
        (number,) = struct.unpack("<f", fields.take(4)) if kind == _FLOAT else struct.unpack("<d", fields.take(8))
        if not math.isfinite(number):
            raise MalformedError("a number that is none")
        return float(number)
    if kind == _NULL:
        return None
    if kind in _DATES:
        return _date(Fields(fields.take(fields.length())))
    if kind in _TIME:
        return _time(Fields(fields.take(fields.length())))
    raise MalformedError(f"a value of type {kind}")


def _text(raw: bytes, kind: int, charset: Charset) -> Value:
    if kind in _BINARY or b"\0" in raw:
        return raw
    if not raw.isascii() and charset is not Charset.UTF8 and kind not in _BLOBS:
        if charset is Charset.ANOTHER:
            message = "SET NAMES utf8mb4, and send texts in that: this connection's character set is not read here"
            raise ToldError(ErrorReply(number=1300, state="HY000", message=message))
        return _Latin1(raw)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    return Number(text) if kind in _NUMBERS_AS_TEXT and _DECIMAL.fullmatch(text) else text


def _date(fields: Fields) -> str:
    if not fields.left:
        return "0000-00-00 00:00:00"
    date = f"{fields.number(2):04}-{fields.number(1):02}-{fields.number(1):02}"
    if not fields.left:
        return date
    moment = f"{date} {fields.number(1):02}:{fields.number(1):02}:{fields.number(1):02}"
    return f"{moment}.{fields.number(4):06}" if fields.left else moment


def _time(fields: Fields) -> str:
    if not fields.left:
        return "00:00:00"
    sign, days = "-" if fields.number(1) else "", fields.number(4)
    moment = f"{sign}{days * 24 + fields.number(1):02}:{fields.number(1):02}:{fields.number(1):02}"
    return f"{moment}.{fields.number(4):06}" if fields.left else moment


def read_execution(payload: bytes) -> tuple[int, bytes]:
    """Return the statement number and the values of an execution. Raises MalformedError."""
    fields = Fields(payload)
    number = fields.number(4)
    fields.take(5)
    return number, fields.rest()


def read_long_data(payload: bytes) -> tuple[int, int, bytes]:
    """Return the statement and placeholder numbers of a part of a long value. Raises MalformedError."""
    fields = Fields(payload)
    return fields.number(4), fields.number(2), fields.rest()


def statement_number(payload: bytes) -> int:
    return Fields(payload).number(4)
