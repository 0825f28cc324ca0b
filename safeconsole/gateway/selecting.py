"""Reads the statements that clients send to the gateway's own tables, and applies them to rows. Pure.

A small part of SELECT is read, and all of it is applied. What is outside it is refused: an answer that left a condition
out would be a wrong one.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NoReturn

import msgspec

from safeconsole.gateway.packets import ColumnKind
from safeconsole.gateway.procedures import SCHEMA
from safeconsole.gateway.refusals import ErrorReply, ToldError
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens, value_of
from safeconsole.sqltext.vocabulary import words

Columns = Mapping[str, ColumnKind]
OwnRow = tuple[object, ...]

_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT, TokenKind.DELIMITER})
_READ = (
    f"SELECT columns FROM {SCHEMA}.table [WHERE column = value [AND ...]]"  # noqa: S608 (a form, for a person)
    " [ORDER BY column [DESC], ...] [LIMIT n]; also COUNT(*), LIKE, IN, IS NULL, < and >"
)
_BEFORE_A_TABLE = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "DESCRIBE", "DESC", "EXPLAIN", "IN", "ON"})


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition on a column.

    Attributes:
        test: an operator, "LIKE", "IN" or "NULL".
        values: literals, as texts.
        reverse: whether the rows are wanted for which it is not true.
    """

    column: str
    test: str
    values: tuple[str, ...] = ()
    reverse: bool = False


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """A query of the gateway's own tables.

    Attributes:
        about: "rows" of a table, the names of its "columns", or the "tables" themselves.
        columns: name in the table and name in the answer, none for all; ("*", …) alone counts rows.
        order: columns, and whether the greatest come first.
        most: rows at most, -1 for all.
        pattern: which names are wanted of tables and columns, "" for all.
        full: whether more is wanted of them than their names.
    """

    about: str = "rows"
    table: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Condition, ...] = ()
    order: tuple[tuple[str, bool], ...] = ()
    skip: int = 0
    most: int = -1
    pattern: str = ""
    full: bool = False

    @property
    def counts(self) -> bool:
        return bool(self.columns) and self.columns[0][0] == "*"


def selection_of(text: str, rules: LexicalRules) -> Selection | None:
    """Return the selection in a text on the gateway's own tables, None if it names none of them.

    Raises:
        ToldError: it names one in a way that is not read here.
    """
    if SCHEMA not in text.lower():
        return None
    found = [token for token in tokens(text, rules) if token.kind not in _SILENT]
    if not _names_a_table(found):
        return None
    return _Reader(found, rules).whole()


def _names_a_table(found: Sequence[Token]) -> bool:
    for place, token in enumerate(found):
        if place and _name(token).lower() == SCHEMA:
            before, after = found[place - 1], found[place + 1 : place + 2]
            behind = before.word in _BEFORE_A_TABLE or before.text == ","
            if behind and ((after and after[0].text == ".") or found[0].word == "SHOW"):
                return True
    return False


def _name(token: Token) -> str:
    return token.text.strip("`") if token.kind in {TokenKind.WORD, TokenKind.NAME} else ""


def _not_read(what: str) -> NoReturn:
    raise ToldError(ErrorReply(number=1235, state="42000", message=f"{what} is not read of the gateway's own: {_READ}"))


class _Reader:
    """Reads the tokens of one text from the left."""

    def __init__(self, found: Sequence[Token], rules: LexicalRules) -> None:
        self._found, self._rules, self._at = found, rules, 0

    def whole(self) -> Selection:
        first = self._word()
        if first == "SELECT":
            read = self._select()
        elif first == "SHOW":
            read = self._show()
        elif first in {"DESCRIBE", "DESC", "EXPLAIN"}:
            read = Selection(about="columns", table=self._table())
        else:
            _not_read(first or "this")
        if self._at < len(self._found):
            _not_read(self._found[self._at].text)
        return read

    def _show(self) -> Selection:
        full = self._take("FULL")
        what = self._word()
        if what == "TABLES":
            self._need("FROM", "IN")
            self._identifier()
            return Selection(about="tables", pattern=self._pattern(), full=full)
        if what not in {"COLUMNS", "FIELDS"}:
            _not_read(f"SHOW {what}")
        self._need("FROM", "IN")
        table = self._identifier()
        if self._take("."):
            table = self._identifier()
        else:
            self._need("FROM", "IN")
            self._identifier()
        return Selection(about="columns", table=table.lower(), pattern=self._pattern(), full=full)

    def _pattern(self) -> str:
        return self._literal() if self._take("LIKE") else ""

    def _select(self) -> Selection:
        columns = self._columns()
        self._need("FROM")
        table = self._table()
        if self._take("AS") or self._is_alias():
            self._identifier()
        conditions: list[Condition] = []
        if self._take("WHERE"):
            conditions.append(self._condition())
            while self._take("AND"):
                conditions.append(self._condition())
        order: list[tuple[str, bool]] = []
        if self._take("ORDER"):
            self._need("BY")
            order.append(self._ordered())
            while self._take(","):
                order.append(self._ordered())
        skip, most = self._limit()
        return Selection(
            table=table, columns=columns, conditions=tuple(conditions), order=tuple(order), skip=skip, most=most
        )

    def _columns(self) -> tuple[tuple[str, str], ...]:
        if self._take("*"):
            return ()
        if self._peek().word == "COUNT":
            said = "".join(token.text for token in self._found[self._at : self._at + 4])
            self._at += 4
            if said.upper() != "COUNT(*)":
                _not_read(said)
            return (("*", self._named(said)),)
        chosen = []
        while True:
            name = self._column()
            chosen.append((name, self._named(name)))
            if not self._take(","):
                return tuple(chosen)

    def _named(self, name: str) -> str:
        return self._identifier() if self._take("AS") else name

    def _table(self) -> str:
        if self._identifier().lower() != SCHEMA or not self._take("."):
            _not_read("another table")
        return self._identifier().lower()

    def _column(self) -> str:
        name = self._identifier()
        while self._take("."):
            # Said with its table's name, or the alias.
            name = self._identifier()
        return name.lower()

    def _condition(self) -> Condition:
        name = self._column()
        if self._take("IS"):
            reverse = self._take("NOT")
            self._need("NULL")
            return Condition(column=name, test="NULL", reverse=reverse)
        reverse = self._take("NOT")
        if self._take("LIKE"):
            return Condition(column=name, test="LIKE", values=(self._literal(),), reverse=reverse)
        if self._take("IN"):
            self._need("(")
            values = [self._literal()]
            while self._take(","):
                values.append(self._literal())
            self._need(")")
            return Condition(column=name, test="IN", values=tuple(values), reverse=reverse)
        test = self._peek().text
        if reverse or test not in _COMPARES:
            _not_read(test or "this condition")
        self._at += 1
        return Condition(column=name, test=test, values=(self._literal(),))

    def _ordered(self) -> tuple[str, bool]:
        name = self._column()
        return name, self._take("DESC") or (self._take("ASC") and False)

    def _limit(self) -> tuple[int, int]:
        if not self._take("LIMIT"):
            return 0, -1
        first = self._number()
        if self._take(","):
            return first, self._number()
        return (self._number() if self._take("OFFSET") else 0), first

    def _number(self) -> int:
        said = self._literal()
        return int(said) if said.isascii() and said.isdigit() else _not_read(f"LIMIT {said}")

    def _literal(self) -> str:
        sign = "-" if self._take("-") else ""
        token = self._peek()
        self._at += 1
        if token.kind is TokenKind.NUMBER or (token.kind is TokenKind.STRING and not sign):
            return sign + value_of(token, self._rules)
        _not_read(token.text or "the end of it")

    # Single tokens.

    def _peek(self) -> Token:
        return self._found[self._at] if self._at < len(self._found) else _END

    def _is_alias(self) -> bool:
        token = self._peek()
        return token.kind is TokenKind.NAME or (token.kind is TokenKind.WORD and token.word not in _NO_ALIASES)

    def _word(self) -> str:
        self._at += 1
        return self._found[self._at - 1].word if self._at <= len(self._found) else ""

    def _identifier(self) -> str:
        name = _name(self._peek())
        if not name:
            _not_read(self._peek().text or "the end of it")
        self._at += 1
        return name

    def _take(self, said: str) -> bool:
        token = self._peek()
        if said in {token.word, token.text}:
            self._at += 1
            return True
        return False

    def _need(self, *said: str) -> None:
        if not any(map(self._take, said)):
            _not_read(self._peek().text or "the end of it")


_END = Token(TokenKind.SPACE, "", "", 0, 0)
_NO_ALIASES = words("WHERE ORDER LIMIT JOIN INNER LEFT RIGHT CROSS NATURAL GROUP HAVING UNION FOR PROCEDURE INTO")

_COMPARES: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def selected(selection: Selection, columns: Columns, rows: Iterable[OwnRow]) -> Iterator[OwnRow]:
    """Yield the selected rows of a table, with all its columns.

    Raises:
        ToldError: a column is named that the table has not, or a value is none of its kind.
    """
    names = list(columns)
    for name, _ in (*selection.columns, *selection.order, *((each.column, "") for each in selection.conditions)):
        if name not in columns and not (selection.counts and name == "*"):
            message = f"Unknown column '{name}' in {SCHEMA}.{selection.table}; there are: {', '.join(names)}"
            raise ToldError(ErrorReply(number=1054, state="42S22", message=message))
    tests = [_test_of(condition, names.index(condition.column), columns) for condition in selection.conditions]
    wanted: Iterable[OwnRow] = (row for row in rows if all(test(row) for test in tests))
    for name, descending in reversed(selection.order):
        place, kind = names.index(name), columns[name]
        wanted = sorted(wanted, key=lambda row: _rank(row[place], kind), reverse=descending)
    if selection.counts:
        return iter(((sum(1 for _ in wanted),),))
    end = None if selection.most < 0 else selection.skip + selection.most
    picked = [names.index(name) for name, _ in selection.columns] or range(len(names))
    return (tuple(row[place] for place in picked) for row in islice(wanted, selection.skip, end))


def answered_columns(selection: Selection, columns: Columns) -> dict[str, ColumnKind]:
    """Return the columns of an answer. Columns that are unknown are told by `selected`."""
    if selection.counts:
        return {selection.columns[0][1]: ColumnKind.BIGINT}
    if not selection.columns:
        return dict(columns)
    return {answer: columns.get(name, ColumnKind.VARCHAR) for name, answer in selection.columns}


def is_like(value: str, pattern: str) -> bool:
    """Whether a text is like a pattern: `%` is any text, `_` one character, `\\` takes them as they are."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    form = "".join({"%": ".*", "_": "."}.get(part, re.escape(part[-1])) for part in parts)
    return re.fullmatch(form, value, re.IGNORECASE | re.DOTALL) is not None


def _test_of(condition: Condition, place: int, columns: Columns) -> Callable[[OwnRow], bool]:
    kind, wanted = columns[condition.column], condition.reverse
    if condition.test == "NULL":
        return lambda row: (row[place] is None) is not wanted
    if condition.test == "LIKE":
        pattern = condition.values[0]
        return lambda row: row[place] is not None and is_like(str(row[place]), pattern) is not wanted
    values = [_comparable(value, kind, condition.column) for value in condition.values]
    if condition.test == "IN":
        return lambda row: row[place] is not None and (_key(row[place], kind) in values) is not wanted
    compare = _COMPARES[condition.test]
    return lambda row: row[place] is not None and compare(_key(row[place], kind), values[0])


def _comparable(value: str, kind: ColumnKind, column: str) -> object:
    try:
        return _key(value, kind)
    except ValueError:
        message = f"{column} of {SCHEMA} is a number, and {value!r} is none"
        raise ToldError(ErrorReply(number=1366, state="HY000", message=message)) from None


def _key(value: object, kind: ColumnKind) -> object:
    # As the servers' usual collations compare: without regard to case.
    return str(value).casefold() if kind is ColumnKind.VARCHAR else float(str(value))


def _rank(value: object, kind: ColumnKind) -> tuple[bool, object]:
    return (False, "") if value is None else (True, _key(value, kind))
