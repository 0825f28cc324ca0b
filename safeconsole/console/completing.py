"""Completes and colours typed SQL from cached names; asks no server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from safeconsole.console.names import ForeignKey, SchemaNames, alike
from safeconsole.console.scope import StatementScope, scope_of
from safeconsole.dialects.settings import HARMLESS_SETTINGS, LIMIT_SETTINGS, SESSION_VARIABLES
from safeconsole.output.text import FORMATS, ROW_FORMATS
from safeconsole.sqltext.dialect import Dialect
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE

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
    """Colours SQL and console commands.

    Args:
        rules: how the servers read text now.
    """

    def __init__(self, rules: Callable[[], LexicalRules]) -> None:
        self._rules = rules

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
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


SHOWN_COMPLETIONS = 100
"""More than this nobody reads; the next letter narrows them."""

COMPLETED_CHARACTERS = 20_000
"""In a longer text nothing is completed: typing must stay quick."""

_WRITTEN = re.compile(r"[\w$]*\Z")
_PLAIN_NAME = re.compile(r"[A-Za-z_][\w$]*\Z")
_SORTED_KEYWORDS = sorted(KEYWORDS)
_SORTED_FUNCTIONS = sorted(FUNCTIONS)
_SETTABLE = sorted(HARMLESS_SETTINGS | LIMIT_SETTINGS.keys())
_SYSTEM_VARIABLES = sorted(set[str]().union(*(group.names for group in SESSION_VARIABLES)))
_TARGETS = ("auto", "primary", "replica")


class SqlCompleter(Completer):
    """Completes the word before the cursor; asks no server.

    Args:
        rules: how the servers read text now.
        names: the names known of the session's schema now.
        commands: the arguments of the console's commands by their names, as help shows them.
        queries: the names of named queries now.
    """

    def __init__(
        self,
        rules: Callable[[], LexicalRules],
        names: Callable[[], SchemaNames],
        commands: Mapping[str, str],
        queries: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._rules = rules
        self._names = names
        self._commands = commands
        self._queries = queries

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield completions, the likeliest first."""
        before = document.text_before_cursor
        if before.startswith("\\"):
            yield from self._command_completions(before)
            return
        if len(document.text) > COMPLETED_CHARACTERS:
            return
        found = tokens(before, self._rules())
        after = document.text[len(before) :]
        last = found[-1] if found else None
        if last is not None and last.kind is TokenKind.UNREADABLE and last.text.startswith("`"):
            # The text behind the cursor is read as if the name had not been begun.
            rest = after.removeprefix("`")
            written, start = last.text[1:].replace("``", "`"), len(before) - len(last.text)
            scope = scope_of(f"{before[:start]} {rest}", start, self._rules())
            texts = self._in_backticks(written, scope, closed=after != rest)
        elif last is not None and last.kind in {TokenKind.STRING, TokenKind.COMMENT, TokenKind.UNREADABLE}:
            return
        else:
            written = _word_before(before)
            start = len(before) - len(written)
            scope = scope_of(document.text, start, self._rules())
            if not (
                written
                or scope.qualifier
                or scope.wants in {"system", "condition"}
                or complete_event.completion_requested
            ):
                return
            texts = self._found(written, scope)
        offered: set[str] = set()
        for text, kind in islice(texts, SHOWN_COMPLETIONS):
            if text not in offered:
                offered.add(text)
                yield Completion(text, start_position=start - len(before), display_meta=kind)

    def _command_completions(self, before: str) -> Iterator[Completion]:
        name, space, argument = before.partition(" ")
        if not space:
            for command in self._commands:
                if command.startswith(before) and command != before:
                    yield Completion(command, start_position=-len(before), display_meta="command")
            return
        for text, kind in self._arguments(self._commands.get(name, ""), argument.lstrip()):
            yield Completion(text, start_position=-len(argument.lstrip()), display_meta=kind)

    def _arguments(self, wanted: str, written: str) -> Iterator[tuple[str, str]]:
        names = self._names()
        bare = written.strip("`").lower()
        if wanted == "TABLE":
            yield from ((self._quoted(name), "table") for name in names.tables_like(bare, SHOWN_COMPLETIONS))
        elif wanted == "SCHEMA":
            yield from ((name, "schema") for name in alike(names.schemas, bare))
        elif wanted == "[FORMAT]":
            yield from ((name, "format") for name in (*FORMATS, *ROW_FORMATS) if name.startswith(bare))
        elif wanted in {"NAME [VALUES]", "[NAME]"}:
            yield from ((name, "query") for name in alike(tuple(self._queries()), bare))
        elif wanted == "[COMMAND]":
            yield from ((name, "command") for name in self._commands if name.lstrip("\\").startswith(bare.lstrip("\\")))
        elif wanted.startswith("replica|primary"):
            yield from ((name, "where") for name in _TARGETS if name.startswith(bare))

    def _quoted(self, name: str) -> str:
        return quoted(name, self._rules().dialect)

    def _in_backticks(self, written: str, scope: StatementScope, *, closed: bool) -> Iterator[tuple[str, str]]:
        for name, kind in self._names_for(written, scope):
            whole = self._rules().dialect.quoted(name)
            yield whole[:-1] if closed else whole, kind

    def _found(self, written: str, scope: StatementScope) -> Iterator[tuple[str, str]]:
        if scope.wants in {"system", "setting"}:
            yield from _words(self._variables(readable=scope.wants == "system"), written, "setting")
            return
        if scope.wants == "condition" and not scope.qualifier:
            yield from self._conditions(written, scope)
        for name, kind in self._names_for(written, scope):
            yield self._quoted(name), kind
        # One letter of a keyword says nothing yet.
        if len(written) > 1 and not scope.qualifier and scope.wants not in {"table", "schema"}:
            case = str.lower if written.islower() else str
            for text, kind in (
                *_words(_SORTED_KEYWORDS, written, "keyword"),
                *_words(_SORTED_FUNCTIONS, written, "function"),
            ):
                yield case(text), kind

    def _variables(self, *, readable: bool) -> Iterable[str]:
        known = self._names().variables
        if readable:
            return known or _SYSTEM_VARIABLES
        return [name for name in _SETTABLE if name in known] if known else _SETTABLE

    def _names_for(self, written: str, scope: StatementScope) -> Iterator[tuple[str, str]]:
        names = self._names()
        if scope.wants == "schema":
            yield from ((name, "schema") for name in alike(names.schemas, written))
        elif scope.wants == "table":
            yield from self._tables(written, scope, names)
        elif scope.qualifier:
            yield from _columns(names, scope, (scope.qualifier.lower(),), written)
        else:
            yield from _columns(names, scope, scope.spelled, written)
            for alias in scope.spelled.values():
                if alias.lower().startswith(written.lower()) and alias.lower() != written.lower():
                    yield alias, "in scope"

    def _tables(self, written: str, scope: StatementScope, names: SchemaNames) -> Iterator[tuple[str, str]]:
        schema = scope.qualifier.lower()
        if schema and schema != names.schema.lower():
            known = names.elsewhere.get(schema, ())
            yield from ((name, "table") for name in islice(alike(known, written), SHOWN_COMPLETIONS))
            return
        if not schema:
            yield from ((name, "with") for name in alike(scope.expressions, written))
        yield from ((name, "table") for name in names.tables_like(written, SHOWN_COMPLETIONS))

    def _conditions(self, written: str, scope: StatementScope) -> Iterator[tuple[str, str]]:
        *earlier, last = scope.joined or ("",)
        names = self._names()
        for other in earlier:
            for child, parent in ((last, other), (other, last)):
                table, target = (names.table_like(scope.tables.get(key, "")) for key in (child, parent))
                for key in names.keys.get(table or "", ()):
                    if target is not None and key.table.lower() == target.lower():
                        text = self._equal(scope.spelled[child], scope.spelled[parent], key)
                        if text.lower().startswith(written.lower()):
                            yield text, "foreign key"

    def _equal(self, child: str, parent: str, key: ForeignKey) -> str:
        child, parent = self._quoted(child), self._quoted(parent)
        return " AND ".join(
            f"{child}.{self._quoted(column)} = {parent}.{self._quoted(target)}"
            for column, target in zip(key.columns, key.targets, strict=True)
        )


def quoted(name: str, dialect: Dialect) -> str:
    if _PLAIN_NAME.match(name) and name.upper() not in dialect.reserved:
        return name
    return dialect.quoted(name)


def _columns(names: SchemaNames, scope: StatementScope, keys: Iterable[str], written: str) -> Iterator[tuple[str, str]]:
    found: dict[str, str] = {}
    for key in keys:
        given = scope.derived.get(key)
        tables = (scope.tables.get(key, key),) if given is None else given.stars
        for column in given.columns if given is not None else ():
            found.setdefault(column, scope.spelled.get(key, key))
        for table in tables:
            known = names.table_like(table)
            for column in names.columns.get(known, ()) if known else ():
                found.setdefault(column, str(known))
    yield from ((column, found[column]) for column in alike(found, written))


def _words(words: Iterable[str], written: str, kind: str) -> Iterator[tuple[str, str]]:
    for word in words:
        if word.upper().startswith(written.upper()) and word.upper() != written.upper():
            yield word, kind


def _word_before(before: str) -> str:
    match = _WRITTEN.search(before)
    return match.group() if match else ""
