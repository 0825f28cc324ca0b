"""The structure of a statement: clauses and subqueries, tables named, functions called. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from safeconsole.sqltext.lexer import Token, TokenKind
from safeconsole.sqltext.statement import TableName
from safeconsole.sqltext.vocabulary import words

# Words that a server keeps for itself.
#
# A reserved word cannot be the name of a function without quotes, so a parenthesis after it is never a call of
# foreign code.
#
# Source: reserved words of MySQL 8.0 and MariaDB 10.11; only words reserved in both and since MySQL 5.7 are used to
# decide that something is not a call.

RESERVED_EVERYWHERE = words(
    """
    ADD ALL ALTER ANALYZE AND AS ASC BETWEEN BIGINT BINARY BLOB BOTH BY CALL CASCADE CASE CHANGE CHARACTER CHECK
    COLLATE COLUMN CONDITION CONSTRAINT CONTINUE CREATE CROSS CURSOR DATABASES DAY_HOUR DAY_MICROSECOND DAY_MINUTE
    DAY_SECOND DEC DECIMAL DECLARE DELAYED DELETE DESC DESCRIBE DETERMINISTIC DISTINCT DISTINCTROW DIV DOUBLE DROP DUAL
    EACH ELSE ELSEIF ENCLOSED ESCAPED EXISTS EXIT EXPLAIN FETCH FLOAT FLOAT4 FLOAT8 FOR FORCE FOREIGN FROM
    FULLTEXT GRANT GROUP HAVING HIGH_PRIORITY HOUR_MICROSECOND HOUR_MINUTE HOUR_SECOND IGNORE IN INDEX INFILE
    INNER INOUT INSENSITIVE INT INT1 INT2 INT3 INT4 INT8 INTEGER INTO IS ITERATE JOIN KEY KEYS KILL LEADING LEAVE
    LIKE LIMIT LINEAR LINES LOAD LOCK LONG LONGBLOB LONGTEXT LOOP LOW_PRIORITY MATCH MAXVALUE MEDIUMBLOB
    MEDIUMINT MEDIUMTEXT MIDDLEINT MINUTE_MICROSECOND MINUTE_SECOND MODIFIES NATURAL NOT NO_WRITE_TO_BINLOG NUMERIC ON
    OPTIMIZE OPTION OPTIONALLY OR ORDER OUT OUTER OUTFILE PARTITION PRECISION PRIMARY PROCEDURE PURGE RANGE READ READS
    READ_WRITE REAL REFERENCES REGEXP RELEASE RENAME REQUIRE RESIGNAL RESTRICT RETURN REVOKE RLIKE SCHEMAS
    SECOND_MICROSECOND SELECT SENSITIVE SEPARATOR SET SHOW SIGNAL SMALLINT SPATIAL SPECIFIC SQL SQLEXCEPTION SQLSTATE
    SQLWARNING SQL_BIG_RESULT SQL_CALC_FOUND_ROWS SQL_SMALL_RESULT SSL STARTING STRAIGHT_JOIN TABLE TERMINATED THEN
    TINYBLOB TINYINT TINYTEXT TO TRAILING TRIGGER UNDO UNION UNIQUE UNLOCK UNSIGNED UPDATE USAGE USE USING
    VALUES VARBINARY VARCHAR VARCHARACTER VARYING WHEN WHERE WHILE WITH WRITE XOR YEAR_MONTH ZEROFILL NULL TRUE FALSE
    INTERVAL LEFT RIGHT CROSS
    """
)
"""Words reserved in every supported version of both servers."""

_OTHER_KEYWORDS = words(
    """
    BEGIN COMMIT ROLLBACK START TRANSACTION STATUS TABLES FULL FIELDS COLUMNS VARIABLES GLOBAL SESSION LOCAL PERSIST
    TEMPORARY VIEW USER ROLE OFFSET SHARE MODE NOWAIT SKIP LOCKED OVER WINDOW ROWS RECURSIVE LATERAL EXCEPT INTERSECT
    END TRUNCATE FLUSH RESET STOP SLAVE REPLICA MASTER BINARY LOGS ENGINE ENGINES GRANTS PROCESSLIST WARNINGS ERRORS
    EXECUTE PREPARE IMMEDIATE HANDLER OPEN CLOSE AGAINST BOOLEAN DATABASE SCHEMA FUNCTION EVENT RETURNING DO
    HELP SAVEPOINT WORK CHAIN READ ONLY ISOLATION LEVEL NAMES CHARSET PASSWORD FORMAT ANY SOME MEMBER OF
    INSERT REPLACE REPEAT CHAR MOD IDENTIFIED COUNT SUM MIN MAX
    AVG IF IFNULL COALESCE CONCAT NOW DATE CAST CONVERT CHAR SUBSTRING
    """
)


def is_keyword(word: str) -> bool:
    """Whether an upper-case word is a keyword rather than a name, for normalising."""
    return word in RESERVED_EVERYWHERE or word in _OTHER_KEYWORDS


# Which tables a statement names, by one walk over its tokens.
#
# The walk keeps one frame for each open parenthesis, so it needs no recursion and no tree, and it reports too much
# rather than too little: a name that only looks like a table is named, a table is never left out. Names of WITH
# queries are left out only where they are in scope.
#
# A parser library reads these structures as well, but needs 200 ms to load, fails on a seventh of what the servers
# accept, and dies on deep nesting; the tests compare this walk with it.

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
    query: bool = False
    expecting: bool = False
    listing: bool = False
    with_open: bool = False
    recursive: bool = False
    defining: str = ""
    visible: set[str] = msgspec.field(default_factory=set)


def name_of(token: Token) -> str:
    if token.kind is not TokenKind.NAME:
        return token.text
    quote = token.text[-1]
    return token.text[1:-1].replace(quote * 2, quote)


class TableWalk:
    """One walk over the tokens; `tables` holds those found so far, in order of appearance."""

    def __init__(self, tokens: tuple[Token, ...], schema: str) -> None:
        self.tables: dict[TableName, None] = {}
        self._tokens = tokens
        self._schema = schema or None
        self._frames = [_Frame()]

    def run(self, start: int, *, naming: bool) -> tuple[TableName, ...]:
        """Walk from a token on.

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
        if frame.defining:
            frame.visible.add(frame.defining)
            frame.defining = ""

    def _definition(self, position: int, frame: _Frame) -> int:
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
        if self._text(index) == "=" and self._tokens[0].word == "ALTER":
            # An option of the table behind a comma, such as `ALGORITHM = COPY`.
            return index
        self._add(parts)
        return index

    def _is_target(self, position: int) -> bool:
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
        if self._text(position + 1).upper() in {"FIRST", "LAST"}:
            following = [self._text(position + further).upper() for further in (2, 3)]
            if following == ["OVER", "("] or following[1] == "NULLS":
                return False
        if self._text(position - 1).upper() == "DISTINCT" and self._text(position - 2).upper() in {"IS", "NOT"}:
            return False
        return frame.query or len(self._frames) == 1

    def _change(self, position: int, word: str, frame: _Frame) -> None:
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
    lowered = schema.lower()
    return lowered if lowered == "information_schema" else schema


def tables_in(tokens: tuple[Token, ...], schema: str, *, start: int = 0, naming: bool = False) -> tuple[TableName, ...]:
    """Return the tables that tokens name from an index on; see `TableWalk.run`."""
    return TableWalk(tokens, schema).run(start, naming=naming)


# Which functions a statement calls.
#
# Every name before a parenthesis is a call unless its place says otherwise: what is not proven to be something else
# is over-reported, and a call that is not known to be pure is never a plain read.

# Reserved words that are functions too when a parenthesis follows.
_CALLABLE_RESERVED = frozenset({"INSERT", "REPLACE", "LEFT", "RIGHT", "REPEAT", "CHAR"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_QUERY_STARTS = frozenset({"SELECT", "WITH", "VALUES", "TABLE", "("})
# TABLE is reserved. VALUES(column) is a function as well, and proves no query but before ROW.
_SUBQUERY_STARTS = frozenset({"SELECT", "WITH", "TABLE"})
_LITERALS = frozenset({TokenKind.STRING, TokenKind.NUMBER, TokenKind.LIST})
_SELECT_OPTIONS = words(
    "ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT"
    " SQL_CALC_FOUND_ROWS SQL_NO_CACHE"
)
_COMPARISONS = frozenset({"=", "<", ">", "<=", ">=", "<>", "!="})
_BEFORE_TARGET = frozenset({"INTO", "INSERT", "REPLACE", "IGNORE", "TABLE"})
# A MATCH names a handful of columns; the bound keeps the search linear.
_LONGEST_MATCH = 200
# Schema, dot and name stand before the parenthesis of a qualified call.
_QUALIFIED = 3


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One function call.

    Attributes:
        name: lower case where it is ASCII, without quotes.
        position: index of its name among the tokens.
        foreign: quoted or qualified by a schema, so that it may be no built-in.
        schema: the qualifier in lower case, or "".
    """

    name: str
    position: int
    foreign: bool
    schema: str = ""


def calls_in(tokens: tuple[Token, ...]) -> Iterator[Call]:
    for position in range(1, len(tokens)):
        token = tokens[position]
        if token.text != "(" or token.kind is not TokenKind.PUNCTUATION:
            continue
        name = tokens[position - 1]
        if name.kind not in _NAMES or _is_target(tokens, position):
            continue
        qualified = position > 1 and tokens[position - 2].text == "."
        if not qualified and (_is_column_list(tokens, position) or _is_no_call(tokens, position)):
            continue
        text = name_of(name)
        yield Call(
            name=text.lower() if text.isascii() else text,
            position=position - 1,
            foreign=qualified or name.kind is TokenKind.NAME,
            schema=name_of(tokens[position - 3]).lower() if qualified and position >= _QUALIFIED else "",
        )


def _is_no_call(tokens: tuple[Token, ...], opening: int) -> bool:
    word = tokens[opening - 1].word
    if word in RESERVED_EVERYWHERE:
        return word not in _CALLABLE_RESERVED
    place = _PLACES.get(word)
    return place is not None and place(tokens, opening)


def _is_target(tokens: tuple[Token, ...], opening: int) -> bool:
    index = opening - 2
    while index > 0 and tokens[index].text == ".":
        index -= 2
    return index >= 0 and tokens[index].word in _BEFORE_TARGET


def _follows_match(tokens: tuple[Token, ...], position: int) -> bool:
    for index in range(position - 1, max(-1, position - _LONGEST_MATCH), -1):
        token = tokens[index]
        if token.word == "MATCH":
            return True
        if token.word in RESERVED_EVERYWHERE:
            return False
        if token.kind not in {TokenKind.WORD, TokenKind.NAME} and token.text not in {"(", ")", ",", "."}:
            return False
    return False


def _is_column_list(tokens: tuple[Token, ...], opening: int) -> bool:
    before = tokens[opening - 2] if opening > 1 else None
    if before is not None and before.word == "AS":
        return True
    if before is None or not (before.text in {")", ","} or before.word in {"WITH", "RECURSIVE"}):
        return False
    closing = _end_of_names(tokens, opening)
    if closing < 0:
        return False
    if before.text == ")":
        return True
    return _follows_as_query(tokens, closing)


def _end_of_names(tokens: tuple[Token, ...], opening: int) -> int:
    for index in range(opening + 1, len(tokens)):
        token = tokens[index]
        if token.text == ")":
            return index
        if token.kind not in {TokenKind.WORD, TokenKind.NAME} and token.text != ",":
            return -1
    return -1


def _follows_as_query(tokens: tuple[Token, ...], closing: int) -> bool:
    following = [token.word or token.text for token in tokens[closing + 1 : closing + 6]]
    body = [word for word in following if word not in {"NOT", "MATERIALIZED"}][:3]
    return body[:2] == ["AS", "("] and len(body) > 2 and body[2] in _QUERY_STARTS


def _begins_subquery(tokens: tuple[Token, ...], opening: int) -> bool:
    following = [token.word for token in tokens[opening + 1 : opening + 3]]
    return following == ["VALUES", "ROW"] or (following[:1] != [] and following[0] in _SUBQUERY_STARTS)


def _is_quantifier(tokens: tuple[Token, ...], opening: int) -> bool:
    return tokens[opening - 2].text in _COMPARISONS and (
        _begins_subquery(tokens, opening) or (opening + 1 < len(tokens) and tokens[opening + 1].text == "(")
    )


def _is_materialised(tokens: tuple[Token, ...], opening: int) -> bool:
    return tokens[opening - 2].word in {"AS", "NOT"} and _begins_subquery(tokens, opening)


def _ends_window_function(tokens: tuple[Token, ...], opening: int) -> bool:
    before = [token.word or token.text for token in tokens[max(0, opening - 4) : opening - 1]]
    if before[-2:] in (["RESPECT", "NULLS"], ["IGNORE", "NULLS"]):
        return True
    return before[-1:] == [")"] or before in ([")", "FROM", "FIRST"], [")", "FROM", "LAST"])


def _is_select_option(tokens: tuple[Token, ...], opening: int) -> bool:
    index = opening - 2
    while index > 0 and (tokens[index].word in _SELECT_OPTIONS or tokens[index].kind is TokenKind.HINT):
        index -= 1
    return tokens[index].word == "SELECT"


_PLACES: dict[str, Callable[[tuple[Token, ...], int], bool]] = {
    "ANY": _is_quantifier,
    "SOME": _is_quantifier,
    "LATERAL": _begins_subquery,
    "EXCEPT": _begins_subquery,
    "INTERSECT": _begins_subquery,
    "MINUS": _begins_subquery,
    "MATERIALIZED": _is_materialised,
    "OF": lambda tokens, opening: tokens[opening - 2].word == "MEMBER",
    "OVER": _ends_window_function,
    "SETS": lambda tokens, opening: tokens[opening - 2].word == "GROUPING",
    "SYSTEM": lambda tokens, opening: tokens[opening - 2].word == "TABLESAMPLE",
    "BERNOULLI": lambda tokens, opening: tokens[opening - 2].word == "TABLESAMPLE",
    "OJ": lambda tokens, opening: tokens[opening - 2].text == "{",
    "SQL_NO_CACHE": _is_select_option,
    "SQL_BUFFER_RESULT": _is_select_option,
    # A run of literals is one token, and the last of it is the literal before the word.
    "ESCAPE": lambda tokens, opening: tokens[opening - 2].kind in _LITERALS,
    "AGAINST": lambda tokens, opening: _follows_match(tokens, opening - 1),
    "COLUMNS": lambda tokens, opening: tokens[opening - 2].kind in _LITERALS,
}
"""Words that only newer servers reserve, or none: they are no calls in these places."""
