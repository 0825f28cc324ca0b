"""The effects of each kind of statement, SHOW, EXPLAIN and DESCRIBE included. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from safeconsole.sqltext.clauses import (
    TRANSACTION_KINDS,
    judge_pragma,
    read_calls,
    read_clauses,
    read_hints,
    read_pragma,
    read_set,
    read_transaction,
    settings_end,
)
from safeconsole.sqltext.dialect import Dialect, Kind, KindShape
from safeconsole.sqltext.findings import ACTIONS, Findings
from safeconsole.sqltext.hazards import is_disguised, object_hazards
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind
from safeconsole.sqltext.lexer import tokens as tokens_of
from safeconsole.sqltext.statement import Statement, TableName
from safeconsole.sqltext.structure import RESERVED_EVERYWHERE, name_of, tables_in
from safeconsole.sqltext.vocabulary import CostClass, Effect

Kinds = Mapping[tuple[str, ...], Kind]

_LONGEST = 3
_WITH_VERBS = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES", "TABLE"})
_OBJECT_VERBS = frozenset({"CREATE", "DROP", "ALTER"})
_OBJECTS = frozenset(
    {"TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "SEQUENCE"}
) | frozenset({"PACKAGE", "TABLESPACE", "LIBRARY", "TABLES"})
_ADMIN_OBJECTS = frozenset(
    {"USER", "ROLE", "SERVER", "LOGFILE", "RESOURCE", "SPATIAL", "INSTANCE", "CATALOG", "CONNECTION"}
)
# Words that may stand between CREATE, DROP or ALTER and the object; a definer is a name of any form.
_LOOK_AHEAD = 24

UNKNOWN_KIND = Kind(name="unknown", effects=frozenset({Effect.UNKNOWN}), shape=KindShape.FIXED, words=0)


def kind_of(tokens: tuple[Token, ...], dialect: Dialect) -> Kind:
    """Return the kind of the statement that these tokens begin, or UNKNOWN_KIND."""
    table = dialect.kinds
    words = tuple(token.word for token in tokens[:_LONGEST])
    if words and words[0] in _OBJECT_VERBS:
        return _object_kind(tokens, table)
    if words and words[0] == "WITH":
        return _with_kind(tokens, table)
    for count in range(len(words), 0, -1):
        kind = table.get(words[:count])
        if kind is not None:
            return kind
    if tokens and tokens[0].text == "(":
        return _parenthesised(tokens, table)
    return UNKNOWN_KIND


def _with_kind(tokens: tuple[Token, ...], table: Kinds) -> Kind:
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word in _WITH_VERBS:
            return table.get((token.word,), UNKNOWN_KIND)
    return table["SELECT",]


def _parenthesised(tokens: tuple[Token, ...], table: Kinds) -> Kind:
    for token in tokens:
        if token.text != "(":
            inner = table.get((token.word,))
            return (
                inner if inner is not None and inner.shape is KindShape.QUERY and token.word != "DO" else UNKNOWN_KIND
            )
    return UNKNOWN_KIND


def _object_kind(tokens: tuple[Token, ...], table: Kinds) -> Kind:
    verb = tokens[0].word
    if verb == "DROP" and len(tokens) > 1 and tokens[1].word == "PREPARE":
        return table.get(("DROP", "PREPARE"), UNKNOWN_KIND)
    temporary = ""
    for count, token in enumerate(tokens[1:_LOOK_AHEAD], start=2):
        if token.kind is not TokenKind.WORD:
            continue
        if token.word in {"TEMPORARY", "TEMP"}:
            temporary = "temporary "
        name = f"{verb} {temporary}{token.word}".lower()
        if token.word in _OBJECTS:
            return Kind(name=name, effects=frozenset({Effect.DDL}), shape=KindShape.NAMED, words=count)
        if token.word in _ADMIN_OBJECTS:
            return Kind(name=name, effects=frozenset({Effect.ADMIN, Effect.DDL}), shape=KindShape.FIXED, words=count)
    return Kind(name=verb.lower(), effects=frozenset({Effect.DDL, Effect.UNKNOWN}), shape=KindShape.FIXED, words=1)


# SHOW in all its forms.
#
# The conditions of SHOW are expressions that the server runs, so they obey the rules of every other expression. A
# form that is not in the list is unknown.

_SHOW_MODIFIERS = frozenset({"FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL"})
# fmt: off
_FORMS = frozenset((
    "tables", "databases", "schemas", "columns", "fields", "index", "indexes", "keys", "table status", "open tables",
    "triggers", "events", "create table", "create view", "create database", "create schema", "create procedure",
    "create function", "create trigger", "create event", "create user", "create sequence", "create package",
    "create server", "create library", "create masking", "grants", "variables", "status", "processlist", "warnings",
    "errors", "count",
    "engines", "storage engines", "engine", "plugins", "privileges", "character set", "charset", "collation",
    "procedure status", "function status", "procedure code", "function code", "library status", "package status",
    "package body", "profile", "profiles", "master status", "binary log", "binlog status", "slave status", "slave",
    "slaves", "replica status", "replica", "replicas", "all slaves", "all replicas", "slave hosts", "master logs",
    "binary logs", "binlog events", "relaylog events", "authors", "contributors", "explain", "analyze", "locales",
    "client_statistics", "user_statistics", "index_statistics", "table_statistics", "query_response_time",
    "wsrep_membership", "wsrep_status",
))
# fmt: on
# After these the name of a table follows: at once, or after FROM or IN.
_OF_TABLE = frozenset({"columns", "fields", "index", "indexes", "keys"})
_CREATES_TABLE = frozenset({"create table", "create view", "create sequence"})
_WITH_HASHES = frozenset({"create user", "create server"})
_WILDCARDS = frozenset("%_")


def read_show(findings: Findings) -> tuple[str, tuple[TableName, ...]]:
    """Add the effects of a SHOW; return its kind and the tables that its condition reads."""
    words = [token for token in findings.tokens[1:] if token.word not in _SHOW_MODIFIERS][:2]
    pair = " ".join(token.word.lower() for token in words)
    form = pair if pair in _FORMS else pair.split(" ")[0]
    if form not in _FORMS:
        findings.unknown("this form of SHOW is not known")
        return "show", ()
    read_calls(findings)
    read_clauses(findings)
    where = next((place for place, token in enumerate(findings.tokens) if token.word == "WHERE"), len(findings.tokens))
    findings.name_tables(_named(form, findings))
    queried = tables_in(findings.tokens[where:], findings.schema)
    findings.name_tables(queried)
    limited = findings.rules.dialect.limits_each_part
    if not limited and any(token.word == "SELECT" for token in findings.tokens[where:]):
        findings.action("outside-time-limit")
    _judge(form, findings)
    return f"show {form}", queried


def _named(form: str, findings: Findings) -> tuple[TableName, ...]:
    tokens = findings.tokens
    if form in _OF_TABLE:
        ends = next((place for place, token in enumerate(tokens) if token.word in {"WHERE", "LIKE"}), len(tokens))
        starts = [place for place, token in enumerate(tokens[:ends]) if token.word in {"FROM", "IN"}]
    elif form in _CREATES_TABLE:
        starts = [2]
    else:
        return ()
    if not starts or starts[0] + 1 >= len(tokens):
        return ()
    at = starts[0] + 1
    while at + 1 < len(tokens) and tokens[at].word in {"IF", "NOT", "EXISTS"}:
        at += 1
    if at + 2 < len(tokens) and tokens[at + 1].text == ".":
        return (TableName(schema=name_of(tokens[at]), name=name_of(tokens[at + 2])),)
    second = starts[1] + 1 if len(starts) > 1 else 0
    schema = name_of(tokens[second]) if 0 < second < len(tokens) else findings.schema or None
    return (TableName(schema=schema, name=name_of(tokens[at])),)


def _judge(form: str, findings: Findings) -> None:
    dialect = findings.rules.dialect
    opens_each = findings.rules.version < dialect.dictionary_since
    if form == "table status" and not _names_one(findings.tokens):
        cost = CostClass.OPENS_EVERY_TABLE if opens_each else CostClass.LINEAR_IN_OBJECTS
        findings.danger(replace(ACTIONS["show-table-status"], cost=cost, schema=_schema_shown(findings)))
    elif form in {"binlog events", "relaylog events"}:
        findings.action("log-events")
    elif form in _WITH_HASHES or (form == "grants" and dialect.grants_show_hashes):
        findings.action("account-secrets")
    elif opens_each and (
        form == "triggers" or (form == "tables" and any(token.word == "FULL" for token in findings.tokens[:3]))
    ):
        findings.action("show-definitions")


def _schema_shown(findings: Findings) -> str:
    tokens = findings.tokens
    start = next((place for place, token in enumerate(tokens[:-1]) if token.word in {"FROM", "IN"}), None)
    return findings.schema if start is None else name_of(tokens[start + 1])


def _names_one(tokens: tuple[Token, ...]) -> bool:
    last = tokens[-1]
    if last.kind is not TokenKind.STRING:
        return False
    if tokens[-2].word == "LIKE":
        return not _WILDCARDS & set(last.text.replace("\\_", "").replace("\\%", ""))
    before = [token.word or token.text for token in tokens[-4:-1]]
    return before in (["WHERE", "NAME", "="], ["WHERE", "`NAME`", "="])


# EXPLAIN and DESCRIBE, and MariaDB's ANALYZE of a statement.
#
# They are what they explain: ANALYZE runs it, MariaDB runs derived tables and functions while it plans, MySQL runs
# constant subqueries, and both refuse to explain a write in a read-only transaction.

_EXPLAIN_MODIFIERS = frozenset({"EXTENDED", "PARTITIONS", "ANALYZE", "QUERY", "PLAN"})
_NAMES = frozenset({TokenKind.WORD, TokenKind.NAME})
_LONGEST_DESCRIPTION = 5


_SKIPPED = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_PLANNED = frozenset({"select", "with", "table", "values"})
_EXPLAINS = frozenset({"explain", "describe", "desc", "analyze"})


def text_planned(statement: Statement, rules: LexicalRules) -> str:
    """Return the query in a statement that the server plans, or ""."""
    if statement.kind.split(" ", 1)[0] in _PLANNED:
        return statement.text
    if statement.kind not in _EXPLAINS and statement.kind != "set statement":
        return ""
    found = tuple(token for token in tokens_of(statement.text, rules) if token.kind not in _SKIPPED)
    start, runs = (settings_end(found), True) if statement.kind == "set statement" else _body(found)
    body = found[start:]
    if not runs or not body or "/*" in statement.text[: body[0].start]:
        return ""
    return statement.text[body[0].start :] if kind_of(body, rules.dialect).name in _PLANNED else ""


def read_explain(findings: Findings) -> bool:
    """Add the effects of an EXPLAIN; return whether the explained statement may run."""
    tokens = findings.tokens
    start, runs = _body(tokens)
    body = tokens[start:]
    if [token.word for token in body[:2]] == ["FOR", "CONNECTION"]:
        return False
    if findings.rules.dialect.explain_only_compiles:
        # It compiles the statement and runs nothing.
        findings.name_tables(tables_in(body, findings.schema))
        return False
    if not body:
        findings.unknown("nothing to explain")
        return False
    kind = kind_of(body, findings.rules.dialect)
    if kind.shape in {KindShape.QUERY, KindShape.CHANGE} and kind.name != "do":
        _read_explained(kind, findings, start)
        # A nested query is run by the planner when it takes it for cheap or constant.
        return runs or sum(token.word == "SELECT" for token in body) > 1
    _read_described(body, findings)
    return False


def _body(tokens: tuple[Token, ...]) -> tuple[int, bool]:
    index, runs = 1, tokens[0].word == "ANALYZE"
    while index < len(tokens):
        word, following = tokens[index].word, tokens[index + 1] if index + 1 < len(tokens) else None
        if word in _EXPLAIN_MODIFIERS and following is not None and following.text != ".":
            runs = runs or word == "ANALYZE"
            index += 1
        elif word == "FORMAT" and following is not None and following.text == "=":
            index += 3
        elif word == "INTO" and following is not None and following.kind is TokenKind.VARIABLE:
            index += 2
        elif word == "FOR" and following is not None and following.word in {"SCHEMA", "DATABASE"}:
            index += 3
        else:
            break
    return index, runs


def _read_explained(kind: Kind, findings: Findings, start: int) -> None:
    if kind.shape is KindShape.CHANGE:
        findings.add(Effect.WRITE, "the server treats the explanation of a write as that write")
    read_calls(findings, start=start)
    read_clauses(findings, changes=kind.shape is KindShape.CHANGE, start=start)
    if any(token.word == "INTO" for token in findings.tokens[:start]):
        findings.add(Effect.SESSION, "it stores the plan in a user variable")
    findings.name_tables(tables_in(findings.tokens, findings.schema, start=start))


def _read_described(body: tuple[Token, ...], findings: Findings) -> None:
    first = body[0]
    if len(body) > _LONGEST_DESCRIPTION or first.kind not in _NAMES or first.word in RESERVED_EVERYWHERE:
        findings.unknown("what it explains is neither a query nor a table")
        return
    parts = [name_of(first)]
    if len(body) > 2 and body[1].text == "." and body[2].kind in _NAMES:
        parts.append(name_of(body[2]))
    schema = parts[0] if len(parts) > 1 else findings.schema or None
    findings.name_tables((TableName(schema=schema, name=parts[-1]),))


# Reads the rest of a statement by the shape of its kind.
#
# Each shape has one reader, and each reader only adds to the findings.

_BETWEEN_KIND_AND_NAME = frozenset({"IF", "NOT", "EXISTS"})
_WITH_TABLES = ("table", "view", "tables", "sequence", "truncate")
# Kinds whose floor is not all: what else follows from their words.
_DANGERS = {
    "call": "unknown-code",
    "execute": "unknown-code",
    "execute immediate": "unknown-code",
    "prepare": "unknown-code",
    "install": "loads-code",
    "checksum table": "full-table-read",
    "checksum tables": "full-table-read",
    "check table": "full-table-read",
    "check tables": "full-table-read",
    "load data": "reads-server-file",
    "load xml": "reads-server-file",
    "attach": "opens-file",
}
_READ_LOCKS = frozenset({"LOCK", "EXPORT"})


def read_shape(kind: Kind, findings: Findings) -> Kind:
    """Add the findings from the tokens; return the kind as far as it is known now."""
    kind = _READERS[kind.shape](kind, findings)
    read_hints(findings)
    if kind.name in _DANGERS:
        findings.action(_DANGERS[kind.name])
    return kind


def _read_show(kind: Kind, findings: Findings) -> Kind:
    shown, queried = read_show(findings)
    # The table that a SHOW is about is not read; those in its condition are.
    _read_objects(findings, queried)
    return replace(kind, name=shown)


def _read_explain(kind: Kind, findings: Findings) -> Kind:
    if read_explain(findings):
        _read_objects(findings, tuple(findings.tables))
    return kind


def _read_pragma(kind: Kind, findings: Findings) -> Kind:
    read_pragma(findings)
    return kind


def _read_block(kind: Kind, findings: Findings) -> Kind:
    findings.unknown("a block of statements outside a routine")
    findings.action("unknown-code", "a compound block")
    return kind


def _read_query(kind: Kind, findings: Findings) -> Kind:
    changes = kind.shape is KindShape.CHANGE
    read_calls(findings)
    read_clauses(findings, changes=changes)
    findings.name_tables(tables_in(findings.tokens, findings.schema))
    _read_objects(findings, tuple(findings.tables))
    words = {token.word for token in findings.tokens}
    if kind.name == "do" and "SELECT" in words and not findings.rules.dialect.limits_each_part:
        findings.action("outside-time-limit")
    if changes:
        return replace(kind, rows="RETURNING" in words)
    return replace(kind, rows=kind.rows and "INTO" not in words)


def _read_objects(findings: Findings, tables: tuple[TableName, ...]) -> None:
    for table in tables:
        if is_disguised(table, findings.rules):
            findings.unknown(f"{table} is not ASCII and may mean an object of the server")
            findings.danger(ACTIONS["unreadable"])
        elif findings.rules.dialect.has_pragmas and table.name.lower().startswith("pragma_"):
            judge_pragma(table.name.lower().removeprefix("pragma_"), findings, valued=False)
    for hazard in object_hazards(findings.tokens, tables, findings.rules):
        findings.danger(hazard)


def _read_set(kind: Kind, findings: Findings) -> Kind:
    start = read_set(findings)
    if not start:
        _read_objects(findings, tuple(findings.tables))
        return kind
    inner = kind_of(findings.tokens[start:], findings.rules.dialect)
    findings.effects.update(inner.effects)
    if inner.shape not in {KindShape.QUERY, KindShape.CHANGE}:
        findings.unknown("SET STATEMENT before something that is not a query")
        return replace(kind, name="set statement")
    _read_query(inner, findings)
    return replace(kind, name="set statement", rows=inner.rows)


def _read_named(kind: Kind, findings: Findings) -> Kind:
    tokens = findings.tokens
    start = kind.words
    while start < len(tokens) and tokens[start].word in _BETWEEN_KIND_AND_NAME:
        start += 1
    if kind.name.endswith("index"):
        on = next((place for place, token in enumerate(tokens) if token.word == "ON"), len(tokens))
        findings.name_tables(tables_in(tokens, findings.schema, start=on + 1, naming=True))
    elif any(word in kind.name for word in _WITH_TABLES) or kind.name in {"optimize", "repair", "handler"}:
        findings.name_tables(tables_in(tokens, findings.schema, start=start, naming=True))
    if kind.name.startswith("create") and any(token.word == "SELECT" for token in tokens) and "table" in kind.name:
        findings.add(Effect.WRITE, "it fills the table from a query")
        _read_objects(findings, tuple(findings.tables))
    if any(token.word == "SONAME" for token in tokens):
        findings.action("loads-code")
    return kind


def _read_fixed(kind: Kind, findings: Findings) -> Kind:
    words = [token.word for token in findings.tokens]
    if kind.name == "unknown":
        findings.unknown("no kind of statement begins like this")
    elif kind.name in TRANSACTION_KINDS:
        read_transaction(kind.name, findings)
    elif kind.name == "flush" and _READ_LOCKS & set(words):
        findings.add(Effect.LOCK, "it stops writes to tables")
    elif kind.name == "vacuum" and "INTO" in words:
        findings.action("server-file")
    elif Effect.UNKNOWN in kind.effects:
        findings.unknown("what it runs is not in the text")
    return kind


_READERS: dict[KindShape, Callable[[Kind, Findings], Kind]] = {
    KindShape.QUERY: _read_query,
    KindShape.CHANGE: _read_query,
    KindShape.EXPLAIN: _read_explain,
    KindShape.SHOW: _read_show,
    KindShape.SET: _read_set,
    KindShape.PRAGMA: _read_pragma,
    KindShape.NAMED: _read_named,
    KindShape.BLOCK: _read_block,
    KindShape.USE: _read_fixed,
    KindShape.FIXED: _read_fixed,
}
