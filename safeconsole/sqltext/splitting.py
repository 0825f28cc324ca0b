"""Splits a text into statements, correctly inside strings, comments and compound blocks.

A wrong split is never dangerous: every piece is analysed and sent by itself, and the server accepts one statement at a
time. It would only be refused, so blocks are recognised by their words and not by the whole grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, has_halves, scan, takes_hint

_BODIES = frozenset({"PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE", "LIBRARY"})
_BLOCKS = frozenset({"BEGIN", "IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR"})
# After these a statement of a block begins, so that IF there opens a block and is not the function.
_BEFORE_STATEMENT = frozenset({"THEN", "ELSE", "BEGIN", "DO", "LOOP", "REPEAT", "AS", "IS"})
_HOLDS_BLOCK = frozenset({"CREATE", "ALTER", "BODY"})
_TOP_BLOCKS = frozenset({"IF", "LOOP", "REPEAT", "WHILE", "FOR", "CASE"})
_DELIMITER_LINE = late(r"[ \t]*([^\s\\]+)[^\n]*(?:\n|\Z)")
# In the middle of a statement the word may be a name: only a line that can be nothing else is the client command.
_DELIMITER_ALONE = late(r"[ \t]+[^\w\s\\]+[ \t\r]*(?:\n|\Z)")
_INCLUSION = late(r"(?:source(?=[ \t])|\\\.)[ \t]*([^\n]*)(?:\n|\Z)", re.IGNORECASE)
_INCLUSION_LINE = late(r"(?:source[ \t]|\\\.)", re.IGNORECASE)
# Nothing in it can be read together with what stands before or behind it.
_STRETCH = late(r"[A-Za-z \t\r\n](?:[A-Za-z0-9_ \t\r\n,.()=<>*+!]++|'[^'\\]*+'(?!'))*+;", re.ASCII)
_NO_COMMAND = late(r"[ \t-\r]*+[A-CE-Za-ce-z(]", re.ASCII)
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_PERHAPS_SILENT = _SILENT | {TokenKind.HINT}
_DEFAULT = ";"


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One statement as tokens.

    Attributes:
        text: exactly as written, from its first to its last token.
        tokens: those that mean something to the server; their offsets count in the whole text.
        vertical: whether that was `\\G`.
    """

    text: str
    tokens: tuple[Token, ...]
    terminated: bool
    vertical: bool = False


class _Block:
    """Follows the words of one statement to know whether a `;` stands inside a block.

    Only statements that can hold a block are followed past their second word.
    """

    __slots__ = ("depth", "ending", "first", "follows", "previous", "second")

    def __init__(self, rules: LexicalRules) -> None:
        self.follows = rules.dialect.lexis.blocks or rules.oracle
        self.first = self.second = self.previous = ""
        self.depth = 0
        self.ending = False

    def read(self, token: Token) -> bool:
        """Take one meaningful token; return whether the next one is needed too."""
        word = token.word or token.text[:1]
        if not self.first:
            self.first = word
            self.depth = int(self.follows and word in _TOP_BLOCKS)
        elif not self.second:
            self.second = word
            self._start_compound(word)
        else:
            self._step(word)
        self.previous = word
        return not self.second or self.depth > 0 or self.first in _HOLDS_BLOCK

    def _start_compound(self, word: str) -> None:
        if self.first == "BEGIN" and (word == "NOT" or (self.follows and word not in {"WORK", ";"})):
            self.depth = 1
        elif word in _BODIES and self.first in {"CREATE", "ALTER"}:
            self.first = "BODY"
        elif self.follows and word == ":":
            self.first = ""
            self.second = ""

    def _step(self, word: str) -> None:
        if self.ending:
            self.ending = False
            if word in _BLOCKS:
                return
        if word in _BODIES and self.first in {"CREATE", "ALTER"} and not self.depth:
            self.first = "BODY"
        if self.first != "BODY" and not self.depth:
            return
        if word == "END":
            self.depth = max(self.depth - 1, 0)
            self.ending = True
        elif word in _BLOCKS and (word in {"BEGIN", "CASE"} or self._begins_statement()):
            self.depth += 1

    def _begins_statement(self) -> bool:
        return self.previous in _BEFORE_STATEMENT or self.previous in {";", ":"}


MAX_TOKENS = 200_000
"""Tokens, spaces and comments among them, after which a statement is not read further."""


class _Text(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    rules: LexicalRules
    broken: bool

    def scan(self, start: int, delimiter: str) -> Iterator[Token]:
        return scan(self.text, self.rules, start=start, delimiter=delimiter, broken=self.broken)


def split(text: str, rules: LexicalRules) -> tuple[Piece, ...]:
    """Return the statements of a text, without empty ones; never raises."""
    return tuple(_pieces(_Text(text=text, rules=rules, broken=has_halves(text))))


LONGEST_STRETCH = 1000
"""Characters of a stretch of text that is recognised where it stands again."""

_STRETCHES_HELD = 1000


def stretches(text: str, rules: LexicalRules) -> Iterator[tuple[str, Piece]]:
    """Yield statements as `split` does, one by one, each with its range in the text.

    A plain stretch that was read before is not read again: its piece is the first one's, whose offsets are of there.
    What may not be plain, or is long, comes with "".
    """
    source = _Text(text=text, rules=rules, broken=has_halves(text))
    read: dict[str, Piece] = {}
    position, delimiter = 0, _DEFAULT
    while position < len(text):
        plain = _STRETCH.match(text, position, position + LONGEST_STRETCH) if delimiter == _DEFAULT else None
        known = read.get(plain[0]) if plain else None
        if plain and known:
            position = plain.end()
            yield plain[0], known
            continue
        command = _delimiter_command(source, position)
        if command is not None:
            delimiter, position = command
            continue
        piece, position = _next_piece(source, position, delimiter)
        if piece is None:
            continue
        # Inside a block it goes on behind its first semicolon.
        is_one = plain is not None and plain.end() == position
        stretch = plain[0] if plain and is_one and len(read) < _STRETCHES_HELD else ""
        if stretch:
            read[stretch] = piece
        yield stretch, piece


def _pieces(source: _Text) -> Iterator[Piece]:
    position, delimiter = 0, _DEFAULT
    while position < len(source.text):
        command = _delimiter_command(source, position)
        if command is not None:
            delimiter, position = command
            continue
        piece, position = _next_piece(source, position, delimiter)
        if piece is not None:
            yield piece


def _delimiter_command(source: _Text, position: int) -> tuple[str, int] | None:
    if _NO_COMMAND.match(source.text, position):
        return None
    for count, token in enumerate(source.scan(position, _DEFAULT)):
        if token.kind in _SILENT and count < MAX_TOKENS:
            continue
        if token.word != "DELIMITER":
            return None
        line = _DELIMITER_LINE.match(source.text, token.end)
        return (line.group(1), line.end()) if line else None
    return None


def _next_piece(source: _Text, position: int, delimiter: str) -> tuple[Piece | None, int]:
    found: list[Token] = []
    block = _Block(source.rules)
    # With a delimiter of its own, the person says where a statement ends.
    follows = delimiter == _DEFAULT
    for count, token in enumerate(source.scan(position, delimiter)):
        kind = token.kind
        if _ends_before(source.text, found, token):
            return _piece(source.text, found, terminated=True), token.start
        if kind in _PERHAPS_SILENT and not (kind is TokenKind.HINT and takes_hint(found)):
            continue
        if kind is TokenKind.DELIMITER and not (token.text == _DEFAULT and follows and block.depth):
            return _piece(source.text, found, terminated=True, vertical=token.text == "\\G"), token.end
        if count > MAX_TOKENS:
            found.append(_rest(source.text, token.start))
            break
        if follows:
            follows = block.read(token)
        found.append(token)
    return _piece(source.text, found, terminated=False), len(source.text)


def _ends_before(text: str, found: list[Token], token: Token) -> bool:
    if not found:
        return False
    if token.word == "DELIMITER":
        starts_line = not text[text.rfind("\n", 0, token.start) + 1 : token.start].strip()
        return starts_line and _DELIMITER_ALONE.match(text, token.end) is not None
    return (
        len(found) == 2
        and found[0].word == "USE"
        and token.kind in _SILENT
        and "\n" in token.text
        and "\n" not in text[found[0].end : found[1].start]
    )


def _rest(text: str, start: int) -> Token:
    return Token(TokenKind.UNREADABLE, text[start:], f"longer than {MAX_TOKENS} tokens", start, len(text))


def _piece(text: str, found: list[Token], *, terminated: bool, vertical: bool = False) -> Piece | None:
    if not found:
        return None
    return Piece(
        text=text[found[0].start : found[-1].end], tokens=tuple(found), terminated=terminated, vertical=vertical
    )


class Inclusion(msgspec.Struct, frozen=True, kw_only=True):
    """A line `source FILE` or `\\. FILE` of a script.

    Attributes:
        start, end: its offsets in the text, its line's end included.
        name: the file's, as written; "" where there is none.
    """

    start: int
    end: int
    name: str


def next_inclusion(text: str, rules: LexicalRules, position: int, delimiter: str) -> tuple[Inclusion | None, str]:
    """Return the first inclusion at the beginning of a statement, and the delimiter in force there.

    Args:
        position: where in the text a statement begins.
        delimiter: what ends a statement there.

    Returns:
        None, and the delimiter at the end of the text, when there is none.
    """
    source = _Text(text=text, rules=rules, broken=has_halves(text))
    while position < len(text):
        command = _delimiter_command(source, position)
        if command is not None:
            delimiter, position = command
            continue
        included = _inclusion_at(source, position, delimiter)
        if included is not None:
            return included, delimiter
        _, position = _next_piece(source, position, delimiter)
    return None, delimiter


def _inclusion_at(source: _Text, position: int, delimiter: str) -> Inclusion | None:
    for count, token in enumerate(source.scan(position, delimiter)):
        if token.kind in _SILENT and count < MAX_TOKENS:
            continue
        line = _INCLUSION.match(source.text, token.start)
        if line is None:
            return None
        name, ended, _ = line.group(1).partition(delimiter)
        end = line.start(1) + len(name + ended) if ended else line.end()
        return Inclusion(start=token.start, end=end, name=name.strip().strip("'\""))
    return None


def may_include(text: str) -> bool:
    """Whether a text could contain an inclusion; a cheap test before a full reading."""
    return _INCLUSION_LINE.search(text) is not None


def is_complete(text: str, rules: LexicalRules) -> bool:
    """Whether a text holds at least one statement and its last one was terminated."""
    pieces = split(text, rules)
    return bool(pieces) and pieces[-1].terminated
