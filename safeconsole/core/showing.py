"""
SHOW in all its forms.

The conditions of SHOW are expressions that the server runs, so they obey the rules of every other
expression. A form that is not in the list is unknown.
"""

from __future__ import annotations

from msgspec.structs import replace

from safeconsole.core.catalogue.actions import ACTIONS
from safeconsole.core.clauses import read_calls, read_clauses
from safeconsole.core.findings import Findings
from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.statement import TableName
from safeconsole.core.structure import name_of, tables_in
from safeconsole.core.vocabulary import CostClass, Flavour

_MODIFIERS = frozenset({"FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL"})
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
    """Add what a SHOW does, and return its kind and the tables that its condition reads."""
    words = [token for token in findings.tokens[1:] if token.word not in _MODIFIERS][:2]
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
    if (
        any(token.word == "SELECT" for token in findings.tokens[where:])
        and findings.rules.flavour is not Flavour.MARIADB
    ):
        findings.action("outside-time-limit")
    _judge(form, findings)
    return f"show {form}", queried


def _named(form: str, findings: Findings) -> tuple[TableName, ...]:
    """Return the table that a SHOW is about."""
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
    """Add the dangers of one form."""
    mariadb = findings.rules.flavour is Flavour.MARIADB
    old = not mariadb and findings.rules.version < 80000
    if form == "table status" and not _names_one(findings.tokens):
        cost = CostClass.OPENS_EVERY_TABLE if mariadb or old else CostClass.LINEAR_IN_OBJECTS
        findings.danger(replace(ACTIONS["show-table-status"], cost=cost, schema=_schema_shown(findings)))
    elif form in {"binlog events", "relaylog events"}:
        findings.action("log-events")
    elif form in _WITH_HASHES or (form == "grants" and mariadb):
        findings.action("account-secrets")
    elif (mariadb or old) and (
        form == "triggers" or (form == "tables" and any(token.word == "FULL" for token in findings.tokens[:3]))
    ):
        findings.action("show-definitions")


def _schema_shown(findings: Findings) -> str:
    """Return the schema that SHOW TABLE STATUS is about."""
    tokens = findings.tokens
    start = next((place for place, token in enumerate(tokens[:-1]) if token.word in {"FROM", "IN"}), None)
    return findings.schema if start is None else name_of(tokens[start + 1])


def _names_one(tokens: tuple[Token, ...]) -> bool:
    """Whether SHOW TABLE STATUS names one table: `LIKE 'name'`, or `WHERE name = 'name'`."""
    last = tokens[-1]
    if last.kind is not TokenKind.STRING:
        return False
    if tokens[-2].word == "LIKE":
        return not _WILDCARDS & set(last.text.replace("\\_", "").replace("\\%", ""))
    before = [token.word or token.text for token in tokens[-4:-1]]
    return before in (["WHERE", "NAME", "="], ["WHERE", "`NAME`", "="])
