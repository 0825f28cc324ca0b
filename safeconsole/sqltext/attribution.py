"""Finds the column that a literal is a value of, by the tokens around it.

Recognises plain forms: a column compared with literals, assigned one, or given one by an INSERT list. Anything else is
unknown, and the caller applies the strictest rule. A name that the statement defines itself (an alias, a derived
table, a WITH) is unknown too: another column's values may be behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from safeconsole.sqltext.lexer import Token, TokenKind
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE, name_of

NO_COLUMN: frozenset[str] = frozenset()
"""A literal that is no value of any column: a limit, a setting."""

_SIGNS = frozenset({"-", "+"})
_COMPARISONS = frozenset({"=", "<=>", "<>", "!=", "<", ">", "<=", ">="})
_LIKES = frozenset({"LIKE", "RLIKE", "REGEXP", "GLOB"})
_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_PREFIXES = frozenset({"DATE", "TIME", "TIMESTAMP", "BINARY"})
_BEFORE = frozenset(
    {
        "(", ",", "AND", "OR", "XOR", "&&", "NOT", "WHERE", "ON", "HAVING", "SET", "UPDATE", "SELECT", "DISTINCT",
        "WHEN", "THEN", "ELSE", "BY", "IF",
    }
)  # fmt: skip
"""What may precede a comparison whose left side is a single column."""

_AFTER = frozenset(
    {
        "", ")", ",", ";", "AND", "OR", "XOR", "&&", "ORDER", "GROUP", "LIMIT", "HAVING", "WHEN", "THEN", "ELSE", "END",
        "AS", "WHERE", "UNION", "EXCEPT", "INTERSECT", "FOR", "INTO", "ON", "ESCAPE", "JOIN", "LEFT", "RIGHT", "INNER",
        "CROSS", "NATURAL", "STRAIGHT_JOIN", "RETURNING", "WINDOW", "LOCK", "FROM", "ASC", "DESC",
    }
)  # fmt: skip
"""What may follow one."""

_ABOUT_NO_ROWS = frozenset({"KILL", "SHOW", "FLUSH", "PURGE", "HELP"})
_SCOPES = frozenset({"GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY"})
_QUERY_OPERANDS = frozenset({"IN", "EXISTS", "ANY", "SOME", "ALL"}) | _COMPARISONS
_QUERY_WORDS = frozenset({"SELECT", "VALUES", "TABLE", "WITH"})


class Attribution:
    """One statement's literals and their columns.

    Args:
        tokens: without spaces, comments and borders of executable comments.
    """

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tokens
        self._no_rows = bool(tokens) and tokens[0].word in _ABOUT_NO_ROWS
        self._sets = bool(tokens) and tokens[0].word == "SET"
        self._derived = self._has_derived_tables()
        self._aliases = frozenset(self._given_names())
        self._listed: dict[int, str] = {}
        for index, token in enumerate(tokens):
            if token.word == "IN" and self._text(index + 1) == "(":
                self._read_in_list(index)
            elif token.word in {"VALUES", "VALUE"} and self._text(index - 1) == ")":
                self._read_rows(index)

    def columns(self, index: int) -> frozenset[str] | None:
        """Return the columns that the literal at an index is a value of, or None if unknown."""
        if self._no_rows or self._is_limit(index):
            return NO_COLUMN
        start, end = self._operand(index)
        if self._sets and self._is_setting(start - 1):
            return NO_COLUMN
        if self._derived:
            return None
        name = self._listed.get(index) or self._compared(start, end)
        return None if not name or name in self._aliases else frozenset({name})

    def _operand(self, index: int) -> tuple[int, int]:
        start, end = index, index + 1
        while self._kind(start - 1) is TokenKind.STRING:
            start -= 1
        while self._kind(end) is TokenKind.STRING:
            end += 1
        before = self._at(start - 1)
        introduced = (
            before is not None and before.kind is TokenKind.WORD and (before.text[0] == "_" or before.word in _PREFIXES)
        )
        signed = self._text(start - 1) in _SIGNS and not self._ends_operand(start - 2)
        return start - (introduced or signed), end

    def _ends_operand(self, index: int) -> bool:
        """Whether a value ends at an index, so that a sign after it is an operator."""
        if self._kind(index) in {*_LITERALS, TokenKind.VARIABLE, TokenKind.SYSTEM, TokenKind.NAME}:
            return True
        return self._text(index) == ")" or self._is_name(index)

    def _compared(self, start: int, end: int) -> str:
        before = self._word(start - 1)
        if before in _COMPARISONS or before in _LIKES:
            return self._closed(start - 1, end)
        if before == "BETWEEN" and self._word(end) == "AND":
            return self._column_before(start - 1)
        if before == "AND" and self._kind(start - 2) in _LITERALS:
            first, _ = self._operand(start - 2)
            return self._closed(first - 1, end) if self._word(first - 1) == "BETWEEN" else ""
        if self._word(end) in _COMPARISONS and before in _BEFORE:
            name, after = self._name_from(end + 1)
            return name if self._word(after) in _AFTER else ""
        return ""

    def _closed(self, operator: int, end: int) -> str:
        return self._column_before(operator) if self._word(end) in _AFTER else ""

    def _column_before(self, operator: int) -> str:
        last = operator - 1 if self._word(operator - 1) != "NOT" else operator - 2
        if not self._is_name(last):
            return ""
        first = last
        while self._text(first - 1) == "." and self._kind(first - 2) in _NAMES:
            first -= 2
        return self._folded(last) if self._word(first - 1) in _BEFORE else ""

    def _name_from(self, index: int) -> tuple[str, int]:
        while self._text(index + 1) == "." and self._kind(index) in _NAMES:
            index += 2
        return (self._folded(index), index + 1) if self._is_name(index) else ("", index)

    def _read_in_list(self, at: int) -> None:
        name = self._column_before(at)
        for indexes, pure in self._items(at + 1) if name else ():
            if not pure:
                return
            self._listed.update(dict.fromkeys(indexes, name))

    def _read_rows(self, at: int) -> None:
        names = self._names_before(at - 1)
        start = at + 1
        while names and self._text(start) == "(":
            last = start
            for position, (indexes, pure) in enumerate(self._items(start)):
                last = max([last, *indexes])
                if pure and position < len(names):
                    self._listed.update(dict.fromkeys(indexes, names[position]))
            # After the row's own parenthesis, and the comma between two rows.
            start = last + 2
            start += self._text(start) == ","

    def _names_before(self, closing: int) -> list[str]:
        names: list[str] = []
        index = closing - 1
        while self._kind(index) in _NAMES:
            names.append(self._folded(index))
            while self._text(index - 1) == ".":
                index -= 2
            if self._text(index - 1) == "(":
                return names[::-1] if self._kind(index - 2) in _NAMES else []
            if self._text(index - 1) != ",":
                return []
            index -= 2
        return []

    def _items(self, opening: int) -> Iterator[tuple[list[int], bool]]:
        indexes: list[int] = []
        depth = 0
        for index in range(opening, len(self._tokens)):
            text = self._text(index)
            depth += (text == "(") - (text == ")")
            if depth == 0 or (depth == 1 and text == ","):
                yield indexes, self._is_pure(indexes)
                indexes = []
                if depth == 0:
                    return
            elif index > opening:
                indexes.append(index)

    def _is_pure(self, indexes: list[int]) -> bool:
        literals = [index for index in indexes if self._kind(index) in _LITERALS]
        return bool(literals) and self._operand(literals[0]) == (indexes[0], indexes[-1] + 1)

    def _is_limit(self, index: int) -> bool:
        comma = self._text(index - 1) == "," and self._kind(index - 2) is TokenKind.NUMBER
        return self._word(index - 3 if comma else index - 1) in {"LIMIT", "OFFSET"}

    def _is_setting(self, operator: int) -> bool:
        if self._text(operator) not in {"=", ":="}:
            return False
        first = operator - 1
        while self._text(first - 1) == ".":
            first -= 2
        if self._kind(first) is TokenKind.SYSTEM:
            return True
        return self._kind(first) in _NAMES and self._word(first - 1) in {"SET", ",", *_SCOPES}

    def _has_derived_tables(self) -> bool:
        for index, token in enumerate(self._tokens):
            following = self._word(index + 1)
            if token.word == "WITH" and following != "ROLLUP":
                return True
            if token.text == "(" and following in _QUERY_WORDS and self._word(index - 1) not in _QUERY_OPERANDS:
                return True
        return False

    def _given_names(self) -> Iterator[str]:
        for index, token in enumerate(self._tokens):
            if token.kind in {*_NAMES, TokenKind.STRING} and self._word(index) not in RESERVED_EVERYWHERE:
                before = self._at(index - 1)
                if before is None or before.text == ".":
                    continue
                named = before.kind is TokenKind.NAME or before.kind in _LITERALS or before.text == ")"
                word = before.kind is TokenKind.WORD and before.word not in (RESERVED_EVERYWHERE - {"END", "AS"})
                if named or word:
                    yield self._folded(index)

    def _is_name(self, index: int) -> bool:
        return self._kind(index) in _NAMES and (
            self._text(index - 1) == "." or self._word(index) not in RESERVED_EVERYWHERE
        )

    def _folded(self, index: int) -> str:
        token = self._tokens[index]
        return (token.text[1:-1] if token.kind is TokenKind.STRING else name_of(token)).casefold()

    def _at(self, index: int) -> Token | None:
        return self._tokens[index] if 0 <= index < len(self._tokens) else None

    def _kind(self, index: int) -> TokenKind | None:
        token = self._at(index)
        return None if token is None else token.kind

    def _text(self, index: int) -> str:
        token = self._at(index)
        return "" if token is None else token.text

    def _word(self, index: int) -> str:
        token = self._at(index)
        if token is None:
            return ""
        return token.word if token.kind is TokenKind.WORD else "'" if token.kind in _LITERALS else token.text
