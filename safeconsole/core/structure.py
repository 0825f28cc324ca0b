"""
Which tables a statement names, by one walk over its tokens.

The walk keeps one frame for each open parenthesis, so it needs no recursion and no tree, and it
reports too much rather than too little: a name that only looks like a table is named, a table is
never left out. Names of WITH queries are left out only where they are in scope.

A parser library reads these structures as well, but needs 200 ms to load, fails on a seventh of
what the servers accept, and dies on deep nesting; the tests compare this walk with it.
"""

from __future__ import annotations

import msgspec

from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.reserved import RESERVED_EVERYWHERE
from safeconsole.core.statement import TableName

_JOINS = frozenset({"JOIN", "STRAIGHT_JOIN"})
# The end of a list of tables: commas after these separate something else.
_ENDS = frozenset(
    {"WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "UNION", "WINDOW", "SET", "SELECT", "INTO", "EXCEPT", "INTERSECT"}
)
_FACTOR_WORDS = frozenset(
    {"LATERAL", "ONLY", "OJ", "LOW_PRIORITY", "QUICK", "IGNORE", "DELAYED", "HIGH_PRIORITY", "CONCURRENT"}
)
_NAME_KINDS = frozenset({TokenKind.WORD, TokenKind.NAME})


class _Frame(msgspec.Struct):
    """What is known inside one open parenthesis."""

    query: bool = False
    expecting: bool = False
    listing: bool = False
    with_open: bool = False
    recursive: bool = False
    defining: str = ""
    visible: set[str] = msgspec.field(default_factory=set)


def name_of(token: Token) -> str:
    """Return a name without its quotes."""
    if token.kind is not TokenKind.NAME:
        return token.text
    quote = token.text[-1]
    return token.text[1:-1].replace(quote * 2, quote)


class TableWalk:
    """One walk; `tables` holds what it found so far, in order of appearance."""

    def __init__(self, tokens: tuple[Token, ...], schema: str) -> None:
        self.tables: dict[TableName, None] = {}
        self._tokens = tokens
        self._schema = schema or None
        self._frames = [_Frame()]

    def run(self, start: int, *, naming: bool) -> tuple[TableName, ...]:
        """
        Walk from a token on.

        Args:
            naming: a list of tables follows at once, as after `TRUNCATE`.
        """
        frame = self._frames[0]
        frame.expecting = frame.listing = naming
        position = start
        while position < len(self._tokens):
            position = self._step(position)
        return tuple(self.tables)

    def _step(self, position: int) -> int:
        """Read one token, or one name, and return where to go on."""
        token = self._tokens[position]
        frame = self._frames[-1]
        if token.kind is TokenKind.PUNCTUATION:
            self._punctuation(token, frame)
        elif frame.with_open and token.kind in _NAME_KINDS and not frame.defining:
            return self._definition(position, frame)
        elif frame.expecting and token.kind in _NAME_KINDS and token.word not in _FACTOR_WORDS:
            return self._factor(position, frame)
        elif token.kind is TokenKind.LIST and token.text.startswith(","):
            frame.expecting = False
        elif token.kind is TokenKind.WORD:
            self._word(position, token.word, frame)
        return position + 1

    def _punctuation(self, token: Token, frame: _Frame) -> None:
        if token.text == "(":
            # A parenthesis where a table is expected holds tables or a query of its own.
            self._frames.append(_Frame(expecting=frame.expecting, listing=frame.expecting))
            frame.expecting = False
        elif token.text == ")":
            if len(self._frames) > 1:
                self._frames.pop()
                self._close_definition(self._frames[-1])
        elif token.text == ",":
            frame.expecting = frame.listing
        elif token.text == ";":
            self._frames = [_Frame()]

    def _close_definition(self, frame: _Frame) -> None:
        """A parenthesis closed; when it held a WITH query, its name means that query from here on."""
        if frame.defining:
            frame.visible.add(frame.defining)
            frame.defining = ""

    def _definition(self, position: int, frame: _Frame) -> int:
        """Read `name [(columns)] AS (`; the columns are skipped whole."""
        tokens = self._tokens
        following = tokens[position + 1].text if position + 1 < len(tokens) else ""
        word = tokens[position].word
        if word == "RECURSIVE":
            frame.recursive = True
            return position + 1
        if word in RESERVED_EVERYWHERE:
            frame.with_open = False
            return position
        frame.defining = name_of(tokens[position])
        if frame.recursive:
            frame.visible.add(frame.defining)
        if following != "(":
            return position + 1
        for index in range(position + 2, len(tokens)):
            if tokens[index].text == ")":
                return index + 1
        return len(tokens)

    def _factor(self, position: int, frame: _Frame) -> int:
        """Read a dotted name where a table is expected."""
        token = self._tokens[position]
        frame.expecting = False
        if token.word in RESERVED_EVERYWHERE:
            self._word(position, token.word, frame)
            return position + 1
        parts = [name_of(token)]
        index = position + 1
        while self._text(index) == "." and self._is_name(index + 1):
            parts.append(name_of(self._tokens[index + 1]))
            index += 2
        if (
            self._text(index) == "("
            and len(parts) == 1
            and token.kind is TokenKind.WORD
            and not self._is_target(position)
        ):
            # A table function such as JSON_TABLE, or a pragma of SQLite.
            return index
        self._add(parts)
        return index

    def _is_target(self, position: int) -> bool:
        """Whether the columns of INSERT or the definition of CREATE may follow the name."""
        words = {token.word for token in self._tokens[max(0, position - 3) : position]}
        return bool(words & {"INTO", "INSERT", "REPLACE", "TABLE", "EXISTS", "VIEW", "ON"})

    def _add(self, parts: list[str]) -> None:
        if len(parts) == 1:
            if any(parts[0] in frame.visible for frame in self._frames):
                return
            name = TableName(schema=self._schema, name=parts[0])
        else:
            name = TableName(schema=_folded(parts[-2]), name=parts[-1])
        self.tables.setdefault(name)

    def _word(self, position: int, word: str, frame: _Frame) -> None:
        if word == "WITH" and self._text(position + 1).upper() != "ROLLUP" and not frame.listing:
            frame.with_open = True
        elif word in _JOINS:
            frame.expecting = frame.listing = True
        elif word == "TO" and self._tokens[0].word == "RENAME":
            frame.expecting = True
        elif word == "FROM":
            frame.expecting = frame.listing = self._begins_tables(position, frame)
        elif word == "WINDOW" and self._text(position + 2).upper() != "AS":
            # Where it is not reserved, a table may be called so.
            return
        elif word in _ENDS:
            frame.listing = frame.expecting = False
            frame.query = frame.query or word == "SELECT"
        if word in {"TABLE", "UPDATE", "INTO", "DELETE", "INSERT", "REPLACE", "USING"}:
            self._change(position, word, frame)

    def _begins_tables(self, position: int, frame: _Frame) -> bool:
        """Whether tables follow FROM: not in SUBSTRING(x FROM 2), in IS DISTINCT FROM, or in FROM FIRST OVER."""
        if self._text(position + 1).upper() in {"FIRST", "LAST"}:
            following = [self._text(position + further).upper() for further in (2, 3)]
            if following == ["OVER", "("] or following[1] == "NULLS":
                return False
        if self._text(position - 1).upper() == "DISTINCT" and self._text(position - 2).upper() in {"IS", "NOT"}:
            return False
        return frame.query or len(self._frames) == 1

    def _change(self, position: int, word: str, frame: _Frame) -> None:
        """Words that are followed by a table in statements that change rows."""
        following = self._text(position + 1).upper()
        previous = self._text(position - 1).upper()
        if word == "UPDATE" and (previous in {"KEY", "FOR", "ON"}):
            return
        if word in {"INSERT", "REPLACE"} and following == "(":
            return
        if word == "USING" and following == "(":
            return
        if word == "INTO" and following in {"OUTFILE", "DUMPFILE"}:
            return
        if len(self._frames) == 1 or frame.query or word in {"TABLE", "UPDATE"}:
            frame.expecting = True
            frame.listing = word in {"UPDATE", "DELETE", "USING"} or frame.listing

    def _text(self, index: int) -> str:
        return self._tokens[index].text if 0 <= index < len(self._tokens) else ""

    def _is_name(self, index: int) -> bool:
        return index < len(self._tokens) and self._tokens[index].kind in _NAME_KINDS


def _folded(schema: str) -> str:
    """Return a schema as the server finds it: information_schema has no case."""
    lowered = schema.lower()
    return lowered if lowered == "information_schema" else schema


def tables_in(tokens: tuple[Token, ...], schema: str, *, start: int = 0, naming: bool = False) -> tuple[TableName, ...]:
    """Return the tables that tokens name from an index on; see `TableWalk.run`."""
    return TableWalk(tokens, schema).run(start, naming=naming)
