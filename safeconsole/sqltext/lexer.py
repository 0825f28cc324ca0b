"""Tokens of a text as one server reads it: lexical rules and scanning. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.dialect import Dialect, Scanned

INVISIBLE = late(
    "[\u0080-\u00a0\u00ad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f"
    "\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff]"
)
"""Spaces, controls and zero-width characters outside ASCII: a person cannot see what the server reads."""

SURROGATE = late("[\ud800-\udfff]")
"""Half characters: they cannot be sent."""


class LexicalRules(msgspec.Struct, frozen=True, kw_only=True):
    """How one server reads text; the client character set is utf8mb4 always.

    Attributes:
        version: major * 10000 + minor * 100 + patch (9.7.4 is 90704, MariaDB 10.11.19 is 101119), 0 when unknown.
    """

    dialect: Dialect
    version: int = 0
    ansi_quotes: bool = False
    no_backslash_escapes: bool = False
    pipes_as_concat: bool = False
    oracle: bool = False

    @property
    def escapes(self) -> bool:
        return self.dialect.lexis.backslash_escapes and not self.no_backslash_escapes


class TokenKind(StrEnum):
    """The kind of a token.

    NAME is a quoted name, LIST a run of literals separated by commas, SYSTEM a system variable,
    OPENING and CLOSING the borders of an executable comment that runs.
    """

    SPACE = "space"
    COMMENT = "comment"
    HINT = "hint"
    OPENING = "opening"
    CLOSING = "closing"
    WORD = "word"
    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    LIST = "list"
    VARIABLE = "variable"
    SYSTEM = "system"
    PARAMETER = "parameter"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"
    DELIMITER = "delimiter"
    UNREADABLE = "unreadable"


class Token(NamedTuple):
    """One token; a named tuple because a large text has a million of them.

    Attributes:
        word: a WORD in upper case where it is ASCII; for UNREADABLE the reason; otherwise "".
    """

    kind: TokenKind
    text: str
    word: str
    start: int
    end: int


_KINDS = {kind.name: kind for kind in TokenKind} | {f"{kind.name}_": kind for kind in TokenKind}
# What these match is what they are; the others change a state or are looked at again.
_PLAIN: dict[str | None, TokenKind] = {
    name: kind
    for name, kind in _KINDS.items()
    if kind.name in {"SPACE", "LIST", "STRING", "NUMBER", "NAME", "VARIABLE", "OPERATOR", "PUNCTUATION"}
}
_NAMING = frozenset({TokenKind.WORD, TokenKind.SYSTEM, TokenKind.PARAMETER})
# Names hold characters of the basic plane only.
_LAST_IN_NAMES = "\uffff"
_BORDERS = frozenset({TokenKind.OPENING, TokenKind.CLOSING})
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_BEFORE_HINT = frozenset({"SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"})
_VERSION = late(r"/\*(M?)!(M?)([0-9]*)")


def scan(
    text: str, rules: LexicalRules, *, start: int = 0, delimiter: str = ";", whole: bool = True, broken: bool = False
) -> Iterator[Token]:
    """Yield every token of a text from an offset on, spaces and comments included, without a gap.

    Args:
        delimiter: what ends a statement, beside `\\G`.
        whole: read runs of literals as one LIST token, and spaces with comments as one SPACE.
        broken: the text has halves of characters in it; see `has_halves`.
    """
    inside = False
    plain = {} if broken else _PLAIN
    position, length = start, len(text)
    while position < length:
        for match in _pattern(rules, delimiter, inside=inside, whole=whole).finditer(text, position):
            kind = plain.get(match.lastgroup)
            if kind is not None:
                position = match.end()
                yield Token(kind, match.group(), "", match.start(), position)
                continue
            token = _token(match, text, rules)
            if inside:
                token = _within(token)
            yield token
            position = token.end
            if position != match.end() or inside != _is_inside(token, inside=inside):
                inside = _is_inside(token, inside=inside)
                break
    if inside:
        yield Token(TokenKind.UNREADABLE, "", "an executable comment is not closed", length, length)


def takes_hint(meant: list[Token]) -> bool:
    """Whether a server takes `/*+ … */` after these tokens for a hint; anywhere else it is a comment.

    A comment MUST NOT stand between two tokens as a hint: `get_lock/*+ x */('a', 1)` is a call.
    """
    last = [token for token in meant[-4:] if token.kind not in _BORDERS][-2:]
    return bool(last) and last[-1].word in _BEFORE_HINT and (len(last) == 1 or last[-2].text != ".")


def scan_whole(text: str, rules: LexicalRules, *, whole: bool) -> Iterator[Token]:
    """Yield the tokens of a whole text as `scan` does, misplaced hints as comments."""
    meant: list[Token] = []
    for token in scan(text, rules, whole=whole, broken=has_halves(text)):
        if token.kind is TokenKind.HINT and not takes_hint(meant):
            yield token._replace(kind=TokenKind.COMMENT)
            continue
        yield token
        if token.kind not in _SILENT:
            meant = [*meant[-3:], token]


def has_halves(text: str) -> bool:
    """Whether a text has half characters, which cannot be sent."""
    return not text.isascii() and SURROGATE.search(text) is not None


def _pattern(rules: LexicalRules, delimiter: str, *, inside: bool, whole: bool) -> re.Pattern[str]:
    scanned = Scanned(rules.ansi_quotes, not rules.no_backslash_escapes, inside, delimiter, whole)
    return rules.dialect.lexis.pattern(scanned)


def _is_inside(token: Token, *, inside: bool) -> bool:
    if token.kind is TokenKind.OPENING:
        return True
    return inside and token.kind is not TokenKind.CLOSING


def _token(match: re.Match[str], text: str, rules: LexicalRules) -> Token:
    kind, found = _KINDS.get(match.lastgroup or "", TokenKind.UNREADABLE), match.group()
    start, end = match.span()
    if found[0] == "$" and kind is TokenKind.WORD and found.count("$") > 1 and rules.dialect.lexis.dollar_quotes:
        # With one more it may open a quoted text; with none it is a name.
        return Token(TokenKind.UNREADABLE, found, "a word that begins with $ and contains another", start, end)
    if kind is TokenKind.WORD and found.isascii():
        return Token(kind, found, found.upper(), start, end)
    if kind is TokenKind.UNREADABLE:
        return _unreadable(text, start, end)
    if SURROGATE.search(found):
        return Token(TokenKind.UNREADABLE, found, "half a character", start, end)
    if kind in _NAMING and (invisible := INVISIBLE.search(found)):
        return Token(TokenKind.UNREADABLE, found, _invisible(text, start + invisible.start()), start, end)
    if kind in _NAMING and max(found) > _LAST_IN_NAMES:
        return Token(TokenKind.UNREADABLE, found, "a character that names cannot have", start, end)
    if kind is TokenKind.OPENING:
        return _opened(Token(kind, found, "", start, end), text, rules)
    return Token(kind, found, found if kind is TokenKind.WORD else "", start, end)


_UNCLOSED = (
    ("'", "a string is not closed"),
    ('"', "a quote is not closed"),
    ("`", "a quoted name is not closed"),
    ("[", "a quoted name is not closed"),
    ("/*", "a comment is not closed"),
)


def _unreadable(text: str, start: int, end: int) -> Token:
    for opening, reason in _UNCLOSED:
        if text.startswith(opening, start):
            return Token(TokenKind.UNREADABLE, text[start:], reason, start, len(text))
    if end - start > 1:
        return Token(TokenKind.UNREADABLE, text[start:end], "a number without its exponent", start, end)
    character = text[start]
    reason = "a backslash outside quotes" if character == "\\" else f"the character U+{ord(character):04X}"
    return Token(TokenKind.UNREADABLE, character, reason, start, start + 1)


def _invisible(text: str, at: int) -> str:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    character = text[at]
    name = unicodedata.name(character, "an invisible character").lower()
    remedy = "type a plain space" if unicodedata.category(character) == "Zs" else "remove it"
    return f"the character U+{ord(character):04X} ({name}) at line {line}, column {column}: {remedy}"


def _opened(token: Token, text: str, rules: LexicalRules) -> Token:
    """Return how this server reads the opening of an executable comment: code, a comment, or unreadable.

    Source: MySQL 9.7 runs five digits and six up to its version; MariaDB 10.11 too, but ignores 50700 to 99999.
    """
    match = _VERSION.match(text, token.start)
    if match is None or match.group(2) or len(match.group(3)) not in {0, 5, 6}:
        return token._replace(kind=TokenKind.UNREADABLE, word="an executable comment of an odd form")
    digits = match.group(3)
    if digits and not rules.version:
        return token._replace(
            kind=TokenKind.UNREADABLE, word="a versioned comment, and the server's version is unknown"
        )
    readings = rules.dialect.lexis.runs_comment(digits, rules.version)
    if len(readings) > 1:
        return token._replace(kind=TokenKind.UNREADABLE, word="a comment whose six digits servers read differently")
    if readings == {True}:
        return token._replace(text=match.group(), end=match.end())
    return _skipped(text, token.start)


def _skipped(text: str, start: int) -> Token:
    end = text.find("*/", start + 2)
    if end < 0:
        return Token(TokenKind.UNREADABLE, text[start:], "a comment is not closed", start, len(text))
    found = text[start : end + 2]
    if "/*" in found[2:]:
        return Token(TokenKind.UNREADABLE, found, "a comment inside an executable comment", start, end + 2)
    return Token(TokenKind.COMMENT, found, "", start, end + 2)


def _within(token: Token) -> Token:
    if token.kind in {TokenKind.COMMENT, TokenKind.HINT, TokenKind.OPENING}:
        return token._replace(kind=TokenKind.UNREADABLE, word="a comment inside an executable comment")
    if token.kind is TokenKind.DELIMITER:
        return token._replace(kind=TokenKind.UNREADABLE, word="a delimiter inside an executable comment")
    return token


def tokens(text: str, rules: LexicalRules) -> tuple[Token, ...]:
    """Return every token of a text, literals one by one, without a gap; never raises."""
    return tuple(scan_whole(text, rules, whole=False))


_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


def value_of(token: Token, rules: LexicalRules) -> str:
    """Return a literal's value, so that it has the same hash however it was written."""
    text = token.text[1:] if token.text[:1] in {"n", "N"} and token.kind is TokenKind.STRING else token.text
    if token.kind is TokenKind.LIST or text[:1] not in {"'", '"'}:
        return text
    quote, inner = text[0], text[1:-1]
    if not rules.escapes:
        return inner.replace(quote * 2, quote)
    return re.sub(
        rf"\\([\s\S])|{quote}{quote}", lambda found: _ESCAPES.get(found[1], found[1]) if found[1] else quote, inner
    )
