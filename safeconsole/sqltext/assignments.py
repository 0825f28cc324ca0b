"""SET in all its forms, and the statements that begin a transaction.

Every target of an assignment is checked. A setting that is not known to be harmless belongs to the console: a limit, or
how statements are read, may depend on it.
"""

from __future__ import annotations

from safeconsole.sqltext.clauses import read_calls, read_clauses
from safeconsole.sqltext.dialect import AllowedSettings
from safeconsole.sqltext.findings import Findings
from safeconsole.sqltext.lexer import Token, TokenKind
from safeconsole.sqltext.structure import name_of, tables_in
from safeconsole.sqltext.vocabulary import Effect, words

_GLOBAL_SCOPES = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})
_SCOPES = _GLOBAL_SCOPES | {"SESSION", "LOCAL"}
_SIGNS = frozenset({"=", ":="})
_PLAIN_VALUES = frozenset({TokenKind.WORD, TokenKind.NAME, TokenKind.STRING, TokenKind.NUMBER})
_CHARACTERS = frozenset({"NAMES", "CHARSET", "CHARACTER"})


def read_set(findings: Findings) -> int:
    """Add what a SET does; return the start of the statement that `SET STATEMENT … FOR` runs, or 0."""
    tokens = findings.tokens
    first = tokens[1].word if len(tokens) > 1 else ""
    if first == "STATEMENT":
        return _read_statement_settings(findings)
    if _sets_what_is_held(tokens, findings.rules.dialect.settings):
        findings.keeps_nothing = True
    elif not _read_special(findings, first):
        kept = [_read_assignment(assignment, findings) for assignment in _assignments(tokens[1:])]
        findings.keeps_nothing = not any(kept)
        _read_standing_asks(findings)
    read_calls(findings)
    read_clauses(findings)
    if any(token.word == "SELECT" for token in tokens):
        findings.add(Effect.READ)
        findings.name_tables(tables_in(tokens, findings.schema))
        if not findings.rules.dialect.limits_each_part:
            findings.action("outside-time-limit")
    return 0


def _read_standing_asks(findings: Findings) -> None:
    values: dict[str, set[float]] = {}
    for ask in findings.asks:
        values.setdefault(ask.limit, set()).add(ask.value)
    for limit, asked in values.items():
        if len(asked) > 1:
            findings.action("console-owned-setting", f"two values of {limit}")
        for value in asked:
            findings.notes.setdefault(f"{limit} is {value:,.15g} for the session from here on, on every connection")


def _sets_what_is_held(tokens: tuple[Token, ...], settings: AllowedSettings) -> bool:
    words = [token.word for token in tokens]
    if words[1:] in (["SESSION", "TRANSACTION", "READ", "ONLY"], ["LOCAL", "TRANSACTION", "READ", "ONLY"]):
        return True
    held = settings.held.get("character_set_client", frozenset())
    return words[1:2] == ["NAMES"] and len(tokens) == 3 and _value_of(tokens[2:]) in held


def _value_of(tokens: tuple[Token, ...]) -> str:
    if len(tokens) != 1 or tokens[0].kind not in _PLAIN_VALUES:
        return ""
    text = tokens[0].text
    return (text[1:-1] if text[:1] in {"'", '"', "`"} else text).upper()


def _read_special(findings: Findings, first: str) -> bool:
    second = findings.tokens[2].word if len(findings.tokens) > 2 else ""
    if first == "TRANSACTION" or (first in _SCOPES and second == "TRANSACTION"):
        findings.action("console-owned-setting", "the transaction mode")
        if first in _GLOBAL_SCOPES:
            findings.add(Effect.ADMIN, "it changes the mode for everybody")
        return True
    if first in _CHARACTERS:
        findings.action("console-owned-setting", "the character set")
        return True
    if first == "ROLE":
        findings.action("console-owned-setting", "the active roles")
        return True
    if first in {"PASSWORD", "DEFAULT", "RESOURCE"} and (first == "PASSWORD" or second in {"ROLE", "GROUP"}):
        findings.add(Effect.ADMIN, "it changes an account, or how the server treats a thread")
        return True
    return False


def _assignments(tokens: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.text == ",":
            parts.append([])
        else:
            parts[-1].append(token)
    return [tuple(part) for part in parts]


def _read_assignment(assignment: tuple[Token, ...], findings: Findings) -> bool:
    sign = next((place for place, token in enumerate(assignment) if token.text in _SIGNS), 0)
    target = assignment[:sign]
    if not target:
        # NAMES and the like may stand between assignments, and a form we do not know may too.
        findings.unknown("a form of SET that is not known")
        findings.action("console-owned-setting", " ".join(token.text for token in assignment[:3]))
        return True
    if target[0].kind is TokenKind.VARIABLE:
        return True
    names = [_plain(token) for token in target if token.text != "."]
    scope = names[0].upper() if len(names) > 1 else ""
    setting = names[-1].lower()
    if scope in _GLOBAL_SCOPES or (scope and scope not in _SCOPES):
        findings.add(Effect.ADMIN, f"it changes {setting} for everybody")
        findings.action("global-setting", setting)
    elif setting not in findings.rules.dialect.settings.harmless:
        return _read_owned(setting, scope, assignment[sign + 1 :], findings)
    return True


def _read_owned(setting: str, scope: str, tokens: tuple[Token, ...], findings: Findings) -> bool:
    value, settings = _value_of(tokens), findings.rules.dialect.settings
    if value in settings.held.get(setting, frozenset()):
        return False
    # Without a scope it may be that of the next transaction alone.
    if setting in settings.read_only and scope in {"SESSION", "LOCAL"} and value in settings.held["autocommit"]:
        return False
    if findings.ask(setting, value, words=f"{setting} = {value}", lifts="console-owned-setting"):
        return False
    findings.action("load-setting" if setting in settings.of_dumps else "console-owned-setting", setting)
    return True


def _plain(token: Token) -> str:
    text = token.text.removeprefix("@@")
    return text[1:-1] if text[:1] == "`" else name_of(token).removeprefix("@@")


def _read_statement_settings(findings: Findings) -> int:
    start = settings_end(findings.tokens)
    if not start:
        findings.unknown("SET STATEMENT without FOR")
        return 0
    for assignment in _assignments(findings.tokens[2 : start - 1]):
        _read_assignment(assignment, findings)
    return start


def settings_end(tokens: tuple[Token, ...]) -> int:
    """Return the start of the statement that `SET STATEMENT a = 1, b = 2 FOR …` runs, 0 where none does."""
    depth = 0
    for position in range(2, len(tokens)):
        depth += (tokens[position].text == "(") - (tokens[position].text == ")")
        if not depth and tokens[position].word == "FOR":
            return position + 1
    return 0


TRANSACTION_KINDS = frozenset(
    {
        "begin",
        "begin work",
        "start transaction",
        "commit",
        "end",
        "rollback",
        "savepoint",
        "release",
        "release savepoint",
    }
)
"""Statements that begin, end or mark a transaction."""

_TRANSACTION_WORDS = words(
    "BEGIN WORK START TRANSACTION READ ONLY WRITE WITH CONSISTENT SNAPSHOT COMMIT END ROLLBACK TO SAVEPOINT RELEASE"
    " AND NO CHAIN DEFERRED"
)
_NAMING = frozenset({"savepoint", "release", "release savepoint", "rollback"})
# In SQLite these wait for other writers, and keep them out.
_LOCKING = frozenset({"IMMEDIATE", "EXCLUSIVE"})


def read_transaction(kind: str, findings: Findings) -> None:
    """Judge a statement that begins, ends or marks a transaction.

    READ WRITE lifts the mode that the console set; anything else than the known words makes it unknown,
    since MariaDB runs `BEGIN …; END` as a block in its ORACLE mode.
    """
    names = 0
    for token in findings.tokens:
        if token.word == "WRITE":
            findings.action("console-owned-setting", "the transaction mode")
        if token.word in _LOCKING:
            findings.add(Effect.LOCK, "it keeps other writers out")
        elif token.word not in _TRANSACTION_WORDS and token.text != ",":
            names += 1
    if names > int(kind in _NAMING):
        findings.unknown("more words than this statement has")
