"""Which columns of a result are masked, and which statements would give a masked column's values away. Pure.

A masked column's values leave only as a plain item of one SELECT, where the result's column is masked. Any other
mention of it, and whatever reads all columns without naming them, could show its values or answer guesses about them:
it is refused. A name that only looks like the column's counts as the column.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from safeconsole.patterns import late
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.statement import NEVER_SEES, Behind, Statement, TableName, names_run
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE, name_of
from safeconsole.sqltext.vocabulary import Effect, words

MASK = "[masked]"
"""What stands in the place of every value of a masked column, NULL too."""

NAME_THEM = "name the columns you need, without the masked ones"

_PATTERN = late(r"[^.\s`'\"]+\.[^.\s`'\"]+\.[^.\s`'\"]+")
_SERVERS_OWN = NEVER_SEES | {"sys"}
_SKIPPED = frozenset(
    {TokenKind.SPACE, TokenKind.COMMENT, TokenKind.OPENING, TokenKind.CLOSING, TokenKind.DELIMITER, TokenKind.HINT}
)
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_VALUES = frozenset({TokenKind.NAME, TokenKind.STRING, TokenKind.NUMBER, TokenKind.LIST, TokenKind.VARIABLE})

_OPTIONS = words(
    "ALL HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_CALC_FOUND_ROWS SQL_NO_CACHE"
)
_READS_ALL = words("TABLE NATURAL PROCEDURE HANDLER")
"""What reads columns that the text does not name, or tells of all that are read."""

_TABLE_VERBS = words("ALTER ANALYZE CHECK CREATE DROP LOCK OPTIMIZE RENAME REPAIR TRUNCATE")

_TELLS_MORE = words("DISTINCT DISTINCTROW GROUP HAVING WINDOW OVER UNION EXCEPT INTERSECT MINUS INTO QUALIFY RETURNING")
"""Beside a masked column these would tell which of its values are alike, or put them elsewhere."""

_ORDER_ENDS = words("LIMIT FOR LOCK OFFSET FETCH ROWS")
_ORDERS = words("ASC DESC")
_CHANGES = frozenset({"insert", "replace", "update"})
_CHANGE_ENDS = words("WHERE ORDER LIMIT RETURNING")
_QUERIES = words("SELECT WITH VALUES TABLE")

_HOLDS_VALUES: Mapping[str, frozenset[str]] = {
    "information_schema": frozenset(
        {"column_statistics", "innodb_ft_index_table", "innodb_ft_index_cache", "innodb_locks", "optimizer_trace"}
    ),
    "performance_schema": frozenset({"data_locks"}),
    "mysql": frozenset({"column_stats", "column_statistics"}),
}
"""Tables of the servers that show what rows hold: histograms, words of full-text indexes, keys that are locked."""

_HOLDS_STATEMENTS: Mapping[str, re.Pattern[str]] = {
    "information_schema": late(r"processlist|innodb_trx|query_cache_info|profiling"),
    "performance_schema": late(
        r"processlist|threads|events_statements_.*|prepared_statements_instances|user_variables_by_thread|error_log"
    ),
    "mysql": late(r"general_log|slow_log"),
    "sys": late(r"(?:x\$)?(?:processlist|session|innodb_lock_waits|schema_table_lock_waits|statement.*)"),
}
_SHOWS_STATEMENTS = late(
    r"show (?:full )?(?:processlist|engine .*|binlog events|relaylog events|profiles?|events|errors|warnings)"
)
"""What shows statements of others, and values with them."""


class MaskRule(msgspec.Struct, frozen=True, kw_only=True):
    """One pattern of a policy; `*` in a part matches anything.

    Attributes:
        everybody: whether it holds for people too, and not for agents alone.
    """

    schema: str
    table: str
    column: str
    everybody: bool = False

    @property
    def name(self) -> str:
        return f"{self.schema}.{self.table}.{self.column}"

    def is_about(self, table: TableName) -> bool:
        """Whether it may be about a table; one without a schema may be in any."""
        schema = table.schema
        # A pattern for every schema means the applications'.
        if schema is not None and schema.lower() in _SERVERS_OWN and "*" in self.schema:
            return False
        return may_be(self.table, table.name) and (schema is None or may_be(self.schema, schema))


def mask_rules(patterns: Mapping[str, str]) -> tuple[MaskRule, ...]:
    """
    Return the rules in a policy's document.

    Args:
        patterns: "agents" or "everybody" by "schema.table.column".

    Raises:
        ValueError: an invalid name, with which the message begins.
    """
    found = []
    for name, whom in patterns.items():
        if not _PATTERN.fullmatch(name) or name.endswith(".*"):
            raise ValueError(
                f"{name}: it is schema.table.column, where * matches anything; a rule denies a whole table"
            )
        schema, table, column = name.split(".")
        found.append(MaskRule(schema=schema, table=table, column=column, everybody=whom == "everybody"))
    return tuple(found)


def may_be(pattern: str, name: str) -> bool:
    """
    Whether a server may find what a pattern names under a name.

    Servers fold letters beyond ASCII in ways of their own (a dotted capital I is found as an i, a Kelvin sign as a k),
    so that any of those may stand for any letter.
    """
    shape = "".join(
        ".*" if part == "*" else "." if not part.isascii() else f"(?:{re.escape(part)}|[^\\x00-\\x7f])"
        for part in pattern
    )
    return re.fullmatch(shape, name.rstrip(" "), re.DOTALL | re.IGNORECASE) is not None


class Masking(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is done about masked columns in one statement.

    Attributes:
        rules: all that hold for whoever asks; a column that the server says is one of theirs is masked in any result.
        refusal: why the statement would give masked values away, "" where it does not.
        instead: what to do then.
        masked: the rules whose columns it selects.
        items: how many items its list has, 0 where it holds a star.
        positions: items that are masked, from 0.
        everything: it selects all columns, so that those with a masked one's name are masked.
    """

    rules: tuple[MaskRule, ...] = ()
    refusal: str = ""
    instead: str = ""
    masked: tuple[MaskRule, ...] = ()
    items: int = 0
    positions: frozenset[int] = frozenset()
    everything: bool = False

    @property
    def note(self) -> str:
        """What is said beside the result, "" where nothing is masked."""
        names = ", ".join(dict.fromkeys(rule.name for rule in self.masked))
        return f"masked by the policy: {names}; each value reads {MASK}" if names else ""

    def of_columns(self, names: Sequence[str], origins: Sequence[tuple[str, str, str]]) -> frozenset[int]:
        """
        Return which columns of a result are masked, by position from 0.

        Args:
            names: the columns' names.
            origins: schema, table and column that each one is, as the server says, empty where it does not.
        """
        if self.masked and not self.everything and len(names) != self.items:
            # It is not the list that was read.
            return frozenset(range(len(names)))
        found = set(self.positions)
        for position, (name, (schema, table, column)) in enumerate(zip(names, origins, strict=True)):
            if self.everything and any(may_be(rule.column, name) for rule in self.masked):
                found.add(position)
            origin = TableName(schema=schema or None, name=table)
            if column and any(rule.is_about(origin) and may_be(rule.column, column) for rule in self.rules):
                found.add(position)
        return frozenset(found)


NOTHING_MASKED = Masking()


def masking_of(
    statement: Statement, behind: Behind, rules: tuple[MaskRule, ...], lexical: LexicalRules, *, agent: bool
) -> Masking:
    """
    Return what is done about masked columns in a statement.

    Args:
        behind: what the server says of the names in it.
        rules: those that hold for whoever asks.
        lexical: how its server reads it.
        agent: whether a program asks, which is shown no statement of others either.
    """
    if not rules:
        return NOTHING_MASKED
    if why := _elsewhere(statement, agent=agent):
        return Masking(rules=rules, refusal=why, instead="ask a person to look")
    if Effect.UNKNOWN in statement.effects or not statement.tables_known:
        why = "columns are masked here, and this was not understood: it may read any of them"
        return Masking(rules=rules, refusal=why, instead=f"one SELECT: {NAME_THEM}")
    for inner in behind.definitions:
        about = _about(rules, inner.tables)
        reading = _MaskedReads(inner.text, about, msgspec.structs.replace(lexical, ansi_quotes=False))
        if about and (name := reading.first()):
            why = f"a view in it reads {name}, which is masked"
            return Masking(rules=rules, refusal=why, instead="ask the tables themselves, and " + NAME_THEM)
    about = _about(rules, names_run(statement))
    if not about:
        return Masking(rules=rules)
    reading = _MaskedReads(statement.text, about, lexical)
    return reading.masking(statement.kind, rules)


def _about(rules: Iterable[MaskRule], tables: Iterable[TableName]) -> tuple[MaskRule, ...]:
    return tuple(rule for rule in rules if any(rule.is_about(table) for table in tables))


def _elsewhere(statement: Statement, *, agent: bool) -> str:
    for table in statement.tables:
        schema, name = (table.schema or "").lower(), table.name.lower()
        if name in _HOLDS_VALUES.get(schema, ()):
            return f"{schema}.{name} shows what rows hold, and columns are masked here"
        shows = _HOLDS_STATEMENTS.get(schema)
        if agent and shows is not None and shows.fullmatch(name):
            return f"{schema}.{name} shows statements of others, and columns are masked here"
    if agent and (statement.diagnosis or _SHOWS_STATEMENTS.fullmatch(statement.kind)):
        return "this shows statements of others, and columns are masked here"
    return ""


class _Refused(Exception):  # noqa: N818 (it is caught a few lines on)
    """Where a masked column is read in another way."""


class _MaskedReads:
    """
    One text, and where in it a masked column is read.

    Args:
        about: the rules that may be about its tables.
    """

    def __init__(self, text: str, about: tuple[MaskRule, ...], lexical: LexicalRules) -> None:
        self._tokens = _meant(text, lexical)
        self._about = about
        self._depths = tuple(_depths(self._tokens))
        self._mentions = {
            at: found for at in range(len(self._tokens)) if (found := self._rules_at(at)) and not self._is_table(at)
        }
        self._stars = {at for at in range(len(self._tokens)) if self._is_star(at)}

    def first(self) -> str:
        """Return the first masked column that is read in whatever way, "" where none is."""
        for rules in self._mentions.values():
            return rules[0].name
        return self._about[0].name if self._reads_all() else ""

    def masking(self, kind: str, rules: tuple[MaskRule, ...]) -> Masking:
        """Return what is done about it, see `masking_of`."""
        if kind in _CHANGES:
            for at in self._assigned():
                self._mentions.pop(at, None)
        if not self._mentions and not self._reads_all():
            return Masking(rules=rules)
        try:
            return self._of_select(kind, rules)
        except _Refused as refused:
            name = self.first()
            return Masking(rules=rules, refusal=f"{name} is masked, and {refused}", instead=NAME_THEM)

    def _reads_all(self) -> bool:
        if self._stars:
            return True
        # A table that is altered or dropped is named behind the verb.
        begins = 2 if self._word(0) in _TABLE_VERBS and self._word(1) == "TABLE" else 0
        return any(self._word(at) in _READS_ALL for at in range(begins, len(self._tokens)))

    def _of_select(self, kind: str, rules: tuple[MaskRule, ...]) -> Masking:
        if kind != "select" or self._word(0) != "SELECT":
            raise _Refused(f"{kind.upper()} could give its values away")
        said = {self._word(at) for at in range(len(self._tokens))}
        if more := sorted(said & (_TELLS_MORE | _READS_ALL)):
            raise _Refused(f"{more[0]} would tell of its values")
        begins = 1
        while self._word(begins) in _OPTIONS:
            begins += 1
        ends = next((at for at in self._outermost() if self._word(at) == "FROM"), None)
        if ends is None or sum(self._word(at) == "SELECT" for at in self._outermost()) != 1:
            raise _Refused("this is not one plain SELECT")
        if any(at >= ends for at in (*self._mentions, *self._stars)):
            raise _Refused("it is read behind FROM: a condition or an order answers guesses")
        self._require_plain_order(ends)
        items = self._items(begins, ends)
        positions = [number for number, item in enumerate(items) if self._is_plain(item)]
        stars = [item for item in items if item[-1] in self._stars]
        masked = self._about if stars else tuple(dict.fromkeys(r for each in self._mentions.values() for r in each))
        return Masking(
            rules=rules,
            masked=masked,
            items=0 if stars else len(items),
            positions=frozenset() if stars else frozenset(positions),
            everything=bool(stars),
        )

    def _items(self, begins: int, ends: int) -> list[list[int]]:
        items: list[list[int]] = [[]]
        for at in range(begins, ends):
            if self._depths[at] == 0 and self._text(at) == ",":
                items.append([])
            else:
                items[-1].append(at)
        if not all(items):
            raise _Refused("an item of its list is empty")
        whole = any(at in self._stars for at in range(begins, ends))
        for item in items:
            read = [at for at in item if at in self._mentions or at in self._stars]
            if not read or self._is_whole_table(item):
                continue
            if not self._is_plain(item):
                raise _Refused("it is part of an expression: select the column itself, or leave it out")
            column, alias = self._parted(item)
            if alias and (whole or self._is_said_again(alias[-1])):
                raise _Refused(f"the name {self._text(alias[-1])} stands for it: leave the name out")
            if read != [column[-1]]:
                raise _Refused("another name stands for it")
        return items

    def _is_whole_table(self, item: list[int]) -> bool:
        return item[-1] in self._stars and self._is_dotted(item)

    def _is_plain(self, item: list[int]) -> bool:
        column, alias = self._parted(item)
        return bool(column) and column[-1] in self._mentions and self._is_dotted(column) and self._is_alias(alias)

    def _parted(self, item: list[int]) -> tuple[list[int], list[int]]:
        """Return the tokens of a column's name, and those of the name that stands for it."""
        ends = 1
        while ends + 1 < len(item) and self._text(item[ends]) == ".":
            ends += 2
        return item[:ends], item[ends:]

    def _is_dotted(self, item: list[int]) -> bool:
        """Whether names joined by dots are all there is, the last of them a name or a star."""
        return len(item) % 2 == 1 and all(
            self._text(at) == "." if number % 2 else self._tokens[at].kind in _NAMES or at in self._stars
            for number, at in enumerate(item)
        )

    def _is_alias(self, alias: list[int]) -> bool:
        if alias and self._word(alias[0]) == "AS":
            alias = alias[1:]
            if not alias:
                return False
        return not alias or (
            len(alias) == 1
            and self._tokens[alias[0]].kind in _NAMES
            and self._word(alias[0]) not in RESERVED_EVERYWHERE
        )

    def _is_said_again(self, alias: int) -> bool:
        name = self._name(alias)
        return any(
            at != alias and self._is_name(at) and (may_be(name, self._name(at)) or may_be(self._name(at), name))
            for at in range(len(self._tokens))
        )

    def _require_plain_order(self, start: int) -> None:
        """Refuse an ORDER BY of anything but names: a number would stand for a masked item."""
        by = [at for at in self._outermost() if at > start and self._word(at) == "BY"]
        for begins in by:
            for at in range(begins + 1, len(self._tokens)):
                if self._depths[at] == 0 and self._word(at) in _ORDER_ENDS:
                    break
                known = self._text(at) in {".", ","} or self._word(at) in _ORDERS
                constant = self._word(at) in {"TRUE", "FALSE", "NULL"}
                if not known and (constant or self._tokens[at].kind not in _NAMES):
                    raise _Refused("its ORDER BY is not of plain names")

    def _assigned(self) -> Iterator[int]:
        """Yield names that are only given a value: those of an INSERT's list, and left of the `=` of a SET."""
        listed = self._listed()
        setting = False
        for at, token in enumerate(self._tokens):
            if self._depths[at] == 0 and (token.word in {"SET", "UPDATE"} and at):
                setting = True
            elif self._depths[at] == 0 and token.word in _CHANGE_ENDS:
                setting = False
            if at in listed:
                yield at
            elif setting and self._depths[at] == 0 and self._text(at + 1) == "=" and self._is_name(at):
                first = at
                while self._text(first - 1) == ".":
                    first -= 2
                if self._word(first - 1) in {"SET", "UPDATE"} or self._text(first - 1) == ",":
                    yield at

    def _listed(self) -> range:
        if self._word(0) not in {"INSERT", "REPLACE"}:
            return range(0)
        opening = next((at for at in range(len(self._tokens)) if self._text(at) == "("), 0)
        before = {self._word(at) for at in range(opening)}
        if not opening or before & (_QUERIES | {"SET", "VALUE"}) or self._word(opening + 1) in _QUERIES:
            return range(0)
        closing = next((at for at in range(opening, len(self._tokens)) if self._text(at) == ")"), opening)
        return range(opening + 1, closing)

    def _rules_at(self, at: int) -> tuple[MaskRule, ...]:
        if not self._is_name(at):
            return ()
        name = self._name(at)
        return tuple(rule for rule in self._about if may_be(rule.column, name))

    def _is_name(self, at: int) -> bool:
        token = self._tokens[at]
        if token.kind is TokenKind.STRING:
            # One server family takes a text for a name where only a name can stand.
            return self._text(at - 1) == "." or self._is_in_using(at)
        return token.kind is TokenKind.NAME or (
            token.kind is TokenKind.WORD and (token.word not in RESERVED_EVERYWHERE or self._text(at - 1) == ".")
        )

    def _is_in_using(self, at: int) -> bool:
        while at > 0 and self._text(at) != "(":
            at -= 1
        return self._word(at - 1) == "USING"

    def _is_table(self, at: int) -> bool:
        return self._text(at + 1) == "."

    def _is_star(self, at: int) -> bool:
        """Whether a `*` stands for all columns; one that is not surely a product or COUNT(*) does."""
        if self._text(at) != "*":
            return False
        if self._text(at - 1) == "(" and self._text(at + 1) == ")" and self._word(at - 2) == "COUNT":
            return False
        left, right = self._at(at - 1), self._at(at + 1)
        ends = left is not None and (
            left.kind in _VALUES
            or left.text == ")"
            or (left.kind is TokenKind.WORD and left.word not in RESERVED_EVERYWHERE | _OPTIONS)
        )
        begins = right is not None and (
            right.kind in _VALUES
            or right.text == "("
            or (right.kind is TokenKind.WORD and right.word not in RESERVED_EVERYWHERE)
        )
        return not (ends and begins)

    def _outermost(self) -> Iterator[int]:
        return (at for at, depth in enumerate(self._depths) if depth == 0)

    def _name(self, at: int) -> str:
        token = self._tokens[at]
        return token.text[1:-1] if token.kind is TokenKind.STRING else name_of(token)

    def _at(self, at: int) -> Token | None:
        return self._tokens[at] if 0 <= at < len(self._tokens) else None

    def _text(self, at: int) -> str:
        token = self._at(at)
        return "" if token is None or token.kind in {TokenKind.STRING, TokenKind.NAME} else token.text

    def _word(self, at: int) -> str:
        token = self._at(at)
        return "" if token is None or self._text(at - 1) == "." else token.word


def _meant(text: str, lexical: LexicalRules) -> tuple[Token, ...]:
    """Return the tokens that mean something; a name that begins with digits is one."""
    found: list[Token] = []
    for token in tokens(text, lexical):
        if token.kind in _SKIPPED:
            continue
        before = found[-1] if found else None
        glued = before is not None and before.kind is TokenKind.NUMBER and before.end == token.start
        if before is not None and glued and token.kind is TokenKind.WORD:
            name = before.text.removeprefix(".") + token.text
            found[-1] = before._replace(kind=TokenKind.WORD, text=name, word=name.upper(), end=token.end)
        else:
            found.append(token)
    return tuple(found)


def _depths(found: Sequence[Token]) -> Iterator[int]:
    depth = 0
    for token in found:
        closes = token.kind is TokenKind.PUNCTUATION and token.text == ")"
        depth -= closes
        yield depth
        depth += token.kind is TokenKind.PUNCTUATION and token.text == "("
