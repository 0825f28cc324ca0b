"""Reads a client's bytes as text, in its character set. Pure.

What is judged, recorded and sent is UTF-8. A value in quotes whose bytes are none, such as a BLOB that a driver writes
into the text, becomes the same value in hexadecimal digits; bytes that are none in any other place are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum

from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.sqltext.lexer import LexicalRules


class Charset(StrEnum):
    """The character set of a client, as far as it is read here."""

    UTF8 = "utf8mb4"
    LATIN1 = "latin1"
    ANOTHER = ""


_UTF8_COLLATIONS = frozenset({11, 33, 45, 46, 63, 65, 76, 83, *range(192, 248), *range(251, 256)})
"""ASCII, binary, utf8mb3 and utf8mb4, as far as one byte tells them."""

_LATIN1_COLLATIONS = frozenset({5, 8, 15, 31, 47, 48, 49, 94})

# What MySQL calls latin1: cp1252, and the control characters where that has none.
_LATIN1 = "".join(bytes((code,)).decode("cp1252", "ignore") or chr(code) for code in range(256))

_PIECES = re.compile(
    rb"""
      /\*(?![!M]).*?(?:\*/|\Z) | --(?=[\s\x00-\x1f]|\Z)[^\n]* | \#[^\n]*
    | `(?:[^`]++|``)*+(?:`|\Z)
    | (?:(?P<introducer>(?<![\w$@.`\x80-\xff])_[A-Za-z0-9]+)\s*+)?+
      (?P<letter>(?<![\w$@.`\x80-\xff])[NnXxBb])?+
      (?P<quoted>'(?:[^'\\]++|\\.|'')*+' | "(?:[^"\\]++|\\.|"")*+")
    | ['"].*
    """,
    re.VERBOSE | re.DOTALL,
)
"""The last is a text that does not end."""

_DEFINES = re.compile(rb"\s*(?:create|alter)\b", re.IGNORECASE)
_ESCAPE = re.compile(rb"\\(.)|''|\"\"", re.DOTALL)
_ESCAPED = {b"0": b"\0", b"b": b"\b", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"Z": b"\x1a"}
_KEPT = frozenset({b"%", b"_"})
"""In front of these a backslash stays, for LIKE."""

_BEFORE_CHARACTERS = 20
_UNREADABLE = 1300


def charset_of(collation: int) -> Charset:
    """Return the character set of the collation that a client named at its login."""
    if collation in _UTF8_COLLATIONS:
        return Charset.UTF8
    return Charset.LATIN1 if collation in _LATIN1_COLLATIONS else Charset.ANOTHER


def from_latin1(raw: bytes) -> str:
    return raw.decode("latin-1").translate(_LATIN1)


def text_of(raw: bytes, charset: Charset, rules: LexicalRules) -> str:
    """Return the text of a statement.

    Raises:
        ToldError: bytes outside of a value in quotes are none of that character set.
    """
    if raw.isascii():
        return raw.decode("ascii")
    if charset is Charset.UTF8:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            if not rules.escapes:
                # Where a value ends is then another question.
                raise _unreadable(raw, error.start) from None
    if charset is Charset.LATIN1 and _DEFINES.match(raw):
        # There a text may not be written in digits.
        return from_latin1(raw)
    return "".join(_read(raw, charset, rules))


def name_of(raw: bytes, charset: Charset) -> str:
    """Return a name. Raises ToldError: as `text_of`."""
    return _plain(raw, raw, 0, charset)


def _read(raw: bytes, charset: Charset, rules: LexicalRules) -> Iterator[str]:
    end = 0
    for found in _PIECES.finditer(raw):
        quoted = found["quoted"]
        is_value = quoted is not None and not (rules.ansi_quotes and quoted[:1] == b'"')
        if not is_value or found["letter"] or _is_readable(quoted, charset):
            continue
        begin = found.start("introducer") if found["introducer"] else found.start("quoted")
        yield _plain(raw, raw[end:begin], end, charset)
        default = "latin1" if charset is Charset.LATIN1 else "binary"
        introducer = found["introducer"].decode("ascii") if found["introducer"] else f"_{default}"
        # A word may end where the value begins.
        yield f" {introducer} x'{_value_of(quoted).hex()}'"
        end = found.end()
    yield _plain(raw, raw[end:], end, charset)


def _is_readable(quoted: bytes, charset: Charset) -> bool:
    if quoted.isascii():
        return True
    try:
        quoted.decode()
    except UnicodeDecodeError:
        return False
    return charset is not Charset.LATIN1


def _value_of(quoted: bytes) -> bytes:
    """Return the value of a text in quotes, where a backslash escapes."""
    double, body = quoted[:1] * 2, quoted[1:-1]

    def meant(found: re.Match[bytes]) -> bytes:
        character: bytes | None = found[1]
        if character is None:
            return found[0][:1] if found[0] == double else found[0]
        return found[0] if character in _KEPT else _ESCAPED.get(character, character)

    return _ESCAPE.sub(meant, body)


def _plain(whole: bytes, part: bytes, begin: int, charset: Charset) -> str:
    if part.isascii():
        return part.decode("ascii")
    if charset is Charset.LATIN1:
        return from_latin1(part)
    if charset is Charset.UTF8:
        try:
            return part.decode()
        except UnicodeDecodeError as error:
            raise _unreadable(whole, begin + error.start) from None
    first = next(place for place, byte in enumerate(part) if byte >= 0x80)
    raise _unreadable(whole, begin + first, why="this connection's character set is not read here")


def _unreadable(raw: bytes, at: int, *, why: str = "it is no UTF-8") -> ToldError:
    before = raw[:at].decode("utf-8", "replace")[-_BEFORE_CHARACTERS:]
    message = (
        f"SET NAMES utf8mb4, and send the text in that: byte {at + 1} (X'{raw[at]:02X}', behind {before!r}): {why};"
        " any bytes are taken as _binary'...' and in a prepared statement"
    )
    return ToldError(ErrorReply(number=_UNREADABLE, state="HY000", message=message))
