"""Completes and colours what is typed, from what is known already."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from safeconsole.console.names import SchemaNames
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE

# --------------------------------------------------------------------------------------------------------------------
# Words that the console colours and completes; what a statement means never depends on them.
#
# Source: MySQL 9.7 reference manual, "Keywords and Reserved Words" and "Built-In Function and Operator Reference";
# MariaDB knowledge base, "Reserved Words" and "Built-in Functions".


KEYWORDS: frozenset[str] = RESERVED_EVERYWHERE | frozenset(
    """
    AFTER ALGORITHM ALWAYS ANY AUTO_INCREMENT BEGIN BOOLEAN CAST CHARSET CHECKSUM COLUMNS COMMENT COMMIT
    CONSISTENT CURRENT DATA DATABASE DATE DATETIME DEFAULT END ENGINE ENGINES ENUM ERRORS EVENT EVENTS EXCEPT
    EXTENDED FIELDS FIRST FOLLOWING FORMAT FULL FUNCTION GENERATED GLOBAL GRANTS INDEXES INPLACE INSERT INSTANT
    INTERSECT INVISIBLE JSON LAST LATERAL LOCKED MASTER MODE NO NOWAIT NULLS OFFSET ONLY OPEN OVER PARTITIONS
    PRECEDING PREPARE PRIVILEGES PROCESSLIST RECURSIVE REPLACE REPLICA REPLICAS ROLLBACK ROW ROWS SAVEPOINT
    SCHEMA SESSION SHARE SKIP SLAVE SNAPSHOT SOME START STATUS STORED TABLES TEMPORARY TEXT TIME TIMESTAMP
    TRANSACTION TREE TRUNCATE UNBOUNDED USER VARIABLES VIEW VIRTUAL VISIBLE WARNINGS WINDOW WORK YEAR
    """.split()  # noqa: SIM905 (a list of literals would be three times as long)
)
"""Upper-case words of the language."""

FUNCTIONS: frozenset[str] = frozenset(
    """
    ABS ADDDATE ADDTIME ANY_VALUE ASCII AVG BIN BIN_TO_UUID BIT_AND BIT_COUNT BIT_LENGTH BIT_OR CAST CEIL
    CEILING CHAR_LENGTH COALESCE CONCAT CONCAT_WS CONNECTION_ID CONV CONVERT CONVERT_TZ COUNT CRC32 CUME_DIST
    CURDATE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURTIME DATE DATEDIFF DATE_ADD DATE_FORMAT
    DATE_SUB DAY DAYNAME DAYOFMONTH DAYOFWEEK DAYOFYEAR DENSE_RANK ELT EXTRACT FIELD FIND_IN_SET FIRST_VALUE
    FLOOR FORMAT FORMAT_BYTES FROM_DAYS FROM_UNIXTIME GREATEST GROUP_CONCAT HEX HOUR IF IFNULL INET6_ATON
    INET6_NTOA INET_ATON INET_NTOA INSTR ISNULL JSON_ARRAY JSON_ARRAYAGG JSON_CONTAINS JSON_EXTRACT JSON_KEYS
    JSON_LENGTH JSON_OBJECT JSON_OBJECTAGG JSON_OVERLAPS JSON_PRETTY JSON_QUOTE JSON_SEARCH JSON_STORAGE_SIZE
    JSON_TABLE JSON_TYPE JSON_UNQUOTE JSON_VALID JSON_VALUE LAG LAST_DAY LAST_VALUE LEAD LEAST LEFT LENGTH LN
    LOCATE LOG LOG10 LOG2 LOWER LPAD LTRIM MAKEDATE MAKETIME MAX MD5 MICROSECOND MIN MINUTE MOD MONTH MONTHNAME
    NOW NTH_VALUE NTILE NULLIF PERCENT_RANK PI POSITION POW POWER QUARTER QUOTE RADIANS RAND RANK REGEXP_INSTR
    REGEXP_LIKE REGEXP_REPLACE REGEXP_SUBSTR REPEAT REPLACE REVERSE RIGHT ROUND ROW_NUMBER RPAD RTRIM SECOND
    SEC_TO_TIME SHA1 SHA2 SIGN SQRT STDDEV STD STR_TO_DATE STRCMP SUBDATE SUBSTRING SUBSTRING_INDEX SUBTIME SUM
    SYSDATE TIME TIMEDIFF TIMESTAMP TIMESTAMPADD TIMESTAMPDIFF TIME_FORMAT TIME_TO_SEC TO_DAYS TRIM TRUNCATE
    UNHEX UNIX_TIMESTAMP UPPER UTC_DATE UTC_TIMESTAMP UUID UUID_TO_BIN VARIANCE VERSION WEEK WEEKDAY YEAR
    YEARWEEK
    """.split()  # noqa: SIM905 (a list of literals would be three times as long)
)
"""Upper-case names of functions that only compute; none that waits, locks, or touches files."""


# --------------------------------------------------------------------------------------------------------------------
# Colours what is typed, by the same tokens that the analysis sees.


COLOURED_CHARACTERS = 50_000
"""A longer text is left plain: typing must stay quick."""

_STYLES: dict[TokenKind, str] = {
    TokenKind.COMMENT: "class:sql.comment",
    TokenKind.HINT: "class:sql.hint",
    TokenKind.OPENING: "class:sql.hint",
    TokenKind.CLOSING: "class:sql.hint",
    TokenKind.STRING: "class:sql.string",
    TokenKind.NAME: "class:sql.name",
    TokenKind.NUMBER: "class:sql.number",
    TokenKind.LIST: "class:sql.string",
    TokenKind.VARIABLE: "class:sql.variable",
    TokenKind.SYSTEM: "class:sql.variable",
    TokenKind.PARAMETER: "class:sql.variable",
    TokenKind.UNREADABLE: "class:sql.unreadable",
}


class SqlLexer(Lexer):
    """
    Colours SQL and console commands.

    Args:
        rules: how the servers read text now.
    """

    def __init__(self, rules: Callable[[], LexicalRules]) -> None:
        self._rules = rules

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        """Return what gives each line's coloured parts."""
        if document.text.lstrip().startswith("\\"):
            lines: list[StyleAndTextTuples] = [[("class:sql.command", line)] for line in document.lines]
        elif len(document.text) > COLOURED_CHARACTERS:
            lines = [[("", line)] for line in document.lines]
        else:
            lines = _coloured(tokens(document.text, self._rules()))
        return lambda number: lines[number] if number < len(lines) else []


def _coloured(found: tuple[Token, ...]) -> list[StyleAndTextTuples]:
    lines: list[StyleAndTextTuples] = [[]]
    for at, token in enumerate(found):
        style = _style_of(token, found[at + 1] if at + 1 < len(found) else None)
        first, *further = token.text.split("\n")
        lines[-1].append((style, first))
        lines.extend([(style, line)] for line in further)
    return lines


def _style_of(token: Token, following: Token | None) -> str:
    if token.kind is not TokenKind.WORD:
        return _STYLES.get(token.kind, "")
    word = token.text.upper()
    if word in FUNCTIONS and following is not None and following.text.startswith("("):
        return "class:sql.function"
    return "class:sql.keyword" if word in KEYWORDS else ""


# --------------------------------------------------------------------------------------------------------------------
# Completes commands, keywords, functions, tables, columns and aliases, from what is known already.


SHOWN_COMPLETIONS = 100
"""More than this nobody reads; the next letter narrows them."""

COMPLETED_CHARACTERS = 20_000
"""In a longer text nothing is completed: typing must stay quick."""

_TABLE_FOLLOWS = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE", "STRAIGHT_JOIN"})
_TABLE_FOLLOWS_FIRST = frozenset({"DESCRIBE", "DESC"})
_WRITTEN = re.compile(r"[\w$]*\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w$]*\Z")
_SORTED_KEYWORDS = sorted(KEYWORDS)
_SORTED_FUNCTIONS = sorted(FUNCTIONS)


class StatementScope(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the statement around the cursor names.

    Attributes:
        tables: table names by the name they go by here, in order of appearance.
        wants_table: a table's name is expected where the cursor is.
        qualifier: what stands before the dot that the cursor follows, or "".
    """

    tables: dict[str, str]
    wants_table: bool
    qualifier: str


class SqlCompleter(Completer):
    """
    Completes what stands before the cursor; asks no server.

    Args:
        rules: how the servers read text now.
        names: the names known of the session's schema now.
        commands: names of the console's commands.
    """

    def __init__(
        self, rules: Callable[[], LexicalRules], names: Callable[[], SchemaNames], commands: tuple[str, ...]
    ) -> None:
        self._rules = rules
        self._names = names
        self._commands = commands

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield what fits, the likeliest first."""
        before = document.text_before_cursor
        if before.startswith("\\"):
            yield from self._command_completions(before)
            return
        written = _word_before(before)
        if len(document.text) > COMPLETED_CHARACTERS or _inside_text(before, self._rules()):
            return
        scope = scope_of(document.text, len(before) - len(written), self._rules())
        if not written and not scope.qualifier and not complete_event.completion_requested:
            return
        offered: set[str] = set()
        for text, kind in self._found(written, scope):
            if text not in offered:
                offered.add(text)
                yield Completion(text, start_position=-len(written), display_meta=kind)

    def _command_completions(self, before: str) -> Iterator[Completion]:
        if " " in before:
            return
        for name in self._commands:
            if name.startswith(before) and name != before:
                yield Completion(name, start_position=-len(before), display_meta="command")

    def _found(self, written: str, scope: StatementScope) -> Iterator[tuple[str, str]]:
        names = self._names()
        if scope.qualifier:
            yield from _columns(names, [scope.tables.get(scope.qualifier.lower(), scope.qualifier)], written)
            return
        if scope.wants_table:
            for name in names.tables_from(written, SHOWN_COMPLETIONS):
                yield quoted(name), "table"
            return
        yield from _columns(names, list(scope.tables.values()), written)
        for alias in scope.tables:
            if alias.startswith(written.lower()) and alias != written.lower():
                yield quoted(alias), "in scope"
        # One letter of a keyword says nothing yet.
        if len(written) > 1:
            upper = not written.islower()
            yield from _words(_SORTED_KEYWORDS, written, "keyword", upper=upper)
            yield from _words(_SORTED_FUNCTIONS, written, "function", upper=upper)


def scope_of(text: str, cursor: int, rules: LexicalRules) -> StatementScope:
    """
    Return what the statement around the cursor names.

    Args:
        cursor: where the word being typed begins.
    """
    start, end = _statement_around(text, cursor, rules)
    tables: dict[str, str] = {}
    found = [
        token for token in tokens(text[start:end], rules) if token.kind not in {TokenKind.SPACE, TokenKind.COMMENT}
    ]
    for at, token in enumerate(found):
        if token.kind in {TokenKind.WORD, TokenKind.NAME} and _wants_table(found[:at]):
            name, after = _table_at(found, at)
            alias = _alias_at(found, after)
            if name.upper() not in RESERVED_EVERYWHERE:
                tables[(alias or name).lower()] = name
    before = [token for token in tokens(text[start:cursor], rules) if token.kind is not TokenKind.SPACE]
    qualified = len(before) > 1 and before[-1].text == "."
    return StatementScope(
        tables=tables,
        wants_table=_wants_table(before),
        qualifier=before[-2].text.strip("`") if qualified else "",
    )


def quoted(name: str) -> str:
    """Return a name as it can stand in a statement."""
    if _PLAIN_NAME.match(name) and name.upper() not in RESERVED_EVERYWHERE:
        return name
    return "`" + name.replace("`", "``") + "`"


def _statement_around(text: str, cursor: int, rules: LexicalRules) -> tuple[int, int]:
    start, position = 0, 0
    for token in tokens(text, rules):
        position += len(token.text)
        if token.kind is TokenKind.DELIMITER:
            if position > cursor:
                return start, position
            start = position
    return start, len(text)


def _wants_table(before: list[Token]) -> bool:
    """Whether a table's name follows what was read so far."""
    if not before:
        return False
    word = _word(before[-1])
    first = len(before) == 1 and word in _TABLE_FOLLOWS_FIRST
    return first or word in _TABLE_FOLLOWS or _in_table_list(before)


def _in_table_list(before: list[Token]) -> bool:
    """Whether a comma stands last in a list of tables: `FROM a, b x,`."""
    if not before or before[-1].text != ",":
        return False
    for token in reversed(before[:-1]):
        word = _word(token)
        if word in _TABLE_FOLLOWS:
            return True
        if token.text in {"(", ")"} or (word in RESERVED_EVERYWHERE and word != "AS"):
            return False
    return False


def _table_at(found: list[Token], at: int) -> tuple[str, int]:
    """Return a table's bare name and where what follows it begins."""
    if at + 2 < len(found) and found[at + 1].text == ".":
        return found[at + 2].text.strip("`"), at + 3
    return found[at].text.strip("`"), at + 1


def _alias_at(found: list[Token], at: int) -> str:
    if at < len(found) and _word(found[at]) == "AS":
        at += 1
    if at >= len(found) or found[at].kind not in {TokenKind.WORD, TokenKind.NAME}:
        return ""
    return "" if _word(found[at]) in KEYWORDS else found[at].text.strip("`")


def _word(token: Token) -> str:
    return token.text.upper() if token.kind is TokenKind.WORD else ""


def _columns(names: SchemaNames, tables: list[str], written: str) -> Iterator[tuple[str, str]]:
    for table in dict.fromkeys(tables):
        known = names.table_like(table)
        for column in names.columns.get(known, ()) if known else ():
            if column.lower().startswith(written.lower()):
                yield quoted(column), str(known)


def _words(words: list[str], written: str, kind: str, *, upper: bool) -> Iterator[tuple[str, str]]:
    for word in words:
        if word.startswith(written.upper()) and word != written.upper():
            yield (word if upper else word.lower()), kind


def _word_before(before: str) -> str:
    match = _WRITTEN.search(before)
    return match.group() if match else ""


def _inside_text(before: str, rules: LexicalRules) -> bool:
    """Whether the cursor is inside a string or a comment, where nothing is completed."""
    found = tokens(before, rules)
    return bool(found) and found[-1].kind in {TokenKind.STRING, TokenKind.COMMENT, TokenKind.UNREADABLE}
