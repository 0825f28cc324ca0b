"""Reads the clauses that add effects to a statement: functions, locks, pragmas, hints, SET. Pure."""

from __future__ import annotations

import re

from safeconsole.patterns import late
from safeconsole.sqltext.dialect import AllowedSettings
from safeconsole.sqltext.findings import Findings
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind
from safeconsole.sqltext.statement import TableName
from safeconsole.sqltext.structure import Call, calls_in, name_of, tables_in
from safeconsole.sqltext.vocabulary import Effect, words


def is_pure(name: str, rules: LexicalRules) -> bool:
    """Whether a lower-case name is a pure built-in of the server; with an unknown version, of every version."""
    functions = rules.dialect.functions
    if name not in functions.pure:
        return False
    if not rules.version:
        return name not in functions.since and name not in functions.removed
    return functions.since.get(name, 0) <= rules.version < functions.removed.get(name, rules.version + 1)


# Which named locks are the console's own, its slots (`slots`): a person's statement takes and releases none.

PREFIX = "safeconsole."
"""Prefix of the console's lock names. MySQL 9.7 compares names without regard to case, MariaDB 10.11 with it; letters
outside ASCII stand for themselves on both, and 64 characters fit on both (measured).
"""

LOCKING = frozenset({"get_lock", "release_lock", "release_all_locks"})
"""The functions that take and release named locks."""

_RELEASES_ALL = "release_all_locks"
_LITERALS = frozenset({TokenKind.STRING, TokenKind.LIST})
# x'…' holds digits for letters, a backslash stands for any character, and two quotes or two literals for one.
_PLAIN = late(r"""(?P<quote>['"])(?P<name>[^'"\\]*)(?P=quote)\s*(?P<more>,?)""")


def may_be_owned(call: Call, tokens: tuple[Token, ...]) -> bool:
    """Whether a call of GET_LOCK, RELEASE_LOCK or RELEASE_ALL_LOCKS may touch one of the console's locks.

    False only for a name that is one plain literal and does not begin with `PREFIX`.
    """
    if call.name == _RELEASES_ALL:
        return True
    inside = tokens[call.position + 2 : call.position + 4]
    found = _PLAIN.match(inside[0].text) if inside and inside[0].kind in _LITERALS else None
    if found is None or not (found["more"] or [token.text for token in inside[1:]] in ([","], [")"])):
        return True
    return found["name"].lower().startswith(PREFIX)


# Pragmas of the embedded engine: which of them only read.
#
# Source: sqlite.org, "PRAGMA Statements".

# These take the name of an object as their value and read only.
_DESCRIBING = frozenset(
    {"table_info", "table_xinfo", "table_list", "index_info", "index_xinfo", "index_list", "foreign_key_list"}
)
# These read only while they have no value.
_READABLE = words(
    """
    application_id auto_vacuum busy_timeout cache_size collation_list compile_options data_version database_list
    encoding foreign_keys freelist_count function_list journal_mode journal_size_limit locking_mode max_page_count
    mmap_size module_list page_count page_size pragma_list query_only recursive_triggers schema_version
    secure_delete synchronous temp_store threads user_version wal_autocheckpoint
    """
)
# These read every page, or every row.
_SCANNING = frozenset({"integrity_check", "quick_check", "foreign_key_check"})


def read_pragma(findings: Findings) -> None:
    tokens = findings.tokens[1:]
    if len(tokens) > 2 and tokens[1].text == ".":
        tokens = tokens[2:]
    if not tokens:
        findings.unknown("a pragma without a name")
        return
    name = name_of(tokens[0]).lower()
    judge_pragma(name, findings, valued=len(tokens) > 1)
    value = tokens[2] if len(tokens) > 2 else None
    if name in _DESCRIBING and value is not None and value.kind in {TokenKind.WORD, TokenKind.NAME, TokenKind.STRING}:
        findings.name_tables((TableName(schema=findings.schema or None, name=value.text.strip("'\"`[]")),))


def judge_pragma(name: str, findings: Findings, *, valued: bool) -> None:
    """Add the effects of a pragma; one that is not known to read is unknown."""
    if name in _DESCRIBING or (name in _READABLE and not valued):
        findings.recognise()
    elif name in _SCANNING:
        findings.recognise()
        findings.action("full-table-read", name)
    else:
        findings.unknown(f"the pragma {name} is not known to read only")
        findings.action("pragma-changes", name)


# What the tokens of a query, or of an expression anywhere, add to a statement.
#
# Nothing here makes a statement milder.

_LOCKING = frozenset({"UPDATE", "SHARE"})
_NOTHING = Token(TokenKind.SPACE, "", "", 0, 0)
_FILES = frozenset({"OUTFILE", "DUMPFILE"})
_CHANGING = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE"})
_PRAGMA_FUNCTION = "pragma_"
# What stands inside a hint is looked at as well.
_HINT_NAME = late(r"([A-Za-z_][A-Za-z0-9_$]*)\s*\((?=\s*([^\s(),=]*))")
_HINTED_TIME = late(r"\s*\(\s*([0-9]+)\s*\)", re.ASCII)
_HINTED_VALUE = late(r"\s*\(\s*`?\w+`?\s*=\s*([A-Za-z0-9_]+)\s*\)", re.ASCII)
_LIFTING = "limit-lifting-hint"


def read_calls(findings: Findings, *, start: int = 0) -> None:
    """Judge every function call from a token index on."""
    tokens, functions = findings.tokens[start:], findings.rules.dialect.functions
    for call in calls_in(tokens):
        findings.functions.setdefault(call.name)
        if call.schema == "sys" and call.name in functions.of_sys:
            continue
        if call.name in LOCKING and may_be_owned(call, tokens):
            findings.action("console-owned-lock", f"{call.name}()")
        if call.foreign:
            findings.unknown(f"{call.name}() may be a stored function")
            findings.action("unknown-function", f"{call.name}()")
        else:
            _judge(call, tokens, findings)


def _judge(call: Call, tokens: tuple[Token, ...], findings: Findings) -> None:
    dialect = findings.rules.dialect
    danger = dialect.functions.impure.get(call.name, "")
    if danger == "sequence":
        findings.add(Effect.WRITE, f"{call.name}() changes a sequence")
    if danger:
        findings.action(danger, f"{call.name}()")
        if danger in {"loads-code", "changes-server"}:
            findings.unknown(f"{call.name}() changes the server")
        if danger == "user-lock":
            findings.add(Effect.LOCK, f"{call.name}() takes or releases a named lock")
    elif dialect.has_pragmas and call.name.startswith(_PRAGMA_FUNCTION):
        judge_pragma(call.name.removeprefix(_PRAGMA_FUNCTION), findings, valued=False)
    elif call.name == "default" and dialect.functions.default_takes_sequence:
        findings.unknown("default() may take the next value of a sequence")
        findings.action("default-of-column")
    elif call.name == "last_insert_id" and not _is_empty(call, tokens):
        findings.add(Effect.SESSION)
        findings.action("sets-insert-id")
    elif not is_pure(call.name, findings.rules):
        findings.unknown(f"{call.name}() is not a built-in known to be pure")
        findings.action("unknown-function", f"{call.name}()")


def _is_empty(call: Call, tokens: tuple[Token, ...]) -> bool:
    return call.position + 2 < len(tokens) and tokens[call.position + 2].text == ")"


def read_clauses(findings: Findings, *, changes: bool = False, start: int = 0) -> None:
    """Judge the clauses that make a query more than a read, from a token index on.

    Args:
        changes: the statement changes rows, so that INTO names its table.
    """
    tokens = findings.tokens[start:]
    for position, token in enumerate(tokens):
        if token.kind is TokenKind.WORD:
            following = tokens[position + 1] if position + 1 < len(tokens) else _NOTHING
            _read_word(token, following, tokens[position - 1] if position else _NOTHING, findings)
            if token.word == "INTO" and not changes:
                _read_into(following, findings)
        elif token.text == ":=" and token.kind is TokenKind.OPERATOR:
            findings.add(Effect.SESSION, "it assigns a user variable")


def _read_word(token: Token, following: Token, previous: Token, findings: Findings) -> None:
    word = token.word
    if (
        (word == "FOR" and following.word in _LOCKING)
        or (word == "LOCK" and following.word == "IN")
        or (word == "FOR" and following.word == "NO")
    ):
        findings.add(Effect.LOCK, "it locks the rows it reads")
        findings.action("row-locks")
    elif word == "PROCEDURE" and findings.tokens[0].word != "SHOW":
        findings.unknown("a procedure works on the rows")
        findings.action("procedure-analyse")
    elif (word == "NEXT" and following.word == "VALUE") or (previous.text == "." and token.text.upper() == "NEXTVAL"):
        findings.add(Effect.WRITE, "it takes the next value of a sequence")
        findings.action("sequence")
    elif word in _CHANGING and following.text != "(" and previous.text == "(":
        findings.add(Effect.WRITE, "a statement that changes rows stands inside it")


def _read_into(following: Token, findings: Findings) -> None:
    if following.word in _FILES:
        findings.add(Effect.WRITE, "it writes a file on the server")
        findings.action("server-file")
    elif following.kind is TokenKind.VARIABLE:
        findings.add(Effect.SESSION, "it stores its row in user variables")
    else:
        findings.unknown("INTO a target that is neither a variable nor a file")


def read_hints(findings: Findings) -> None:
    """Judge the optimizer hints: one that is neither harmless nor ignored counts as lifting a limit."""
    for token in findings.tokens:
        if token.kind is TokenKind.HINT:
            for found in _HINT_NAME.finditer(token.text):
                _read_hint(found[1].upper(), found[2].strip("`").lower(), token.text[found.end(1) :], findings)


def _read_hint(name: str, argument: str, rest: str, findings: Findings) -> None:
    """Judge one hint.

    The place of a hint, and which of two counts, decide whether a server heeds it. Here every hint counts, and the
    console itself holds the tightest: a hint that the server ignores loosens nothing.

    Args:
        argument: its first one, lower case.
        rest: of the text, behind its name.
    """
    settings, words = findings.rules.dialect.settings, f"{name}({argument})"
    if name == "MAX_EXECUTION_TIME":
        number = _HINTED_TIME.match(rest)
        if number is None or not findings.ask("max_execution_time", number[1], words=words, lifts=_LIFTING):
            findings.action(_LIFTING, words)
    elif name == "SET_VAR":
        value = _HINTED_VALUE.match(rest)
        given = value[1] if value else ""
        if argument in settings.harmless or given.upper() in settings.held.get(argument, frozenset()):
            return
        if not findings.ask(argument, given, words=f"SET_VAR({argument}={given})", lifts=_LIFTING):
            findings.action(_LIFTING, words)
    elif name == "RESOURCE_GROUP":
        findings.action(_LIFTING, words)
    elif name not in settings.harmless_hints:
        if not 0 < findings.rules.version < settings.hints_known_below:
            findings.action(_LIFTING, words)
        else:
            findings.notes.setdefault(f"{name}() is not a hint of this server, which ignores it")


_GLOBAL_SCOPES = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})
_SCOPES = _GLOBAL_SCOPES | {"SESSION", "LOCAL"}
_SIGNS = frozenset({"=", ":="})
_PLAIN_VALUES = frozenset({TokenKind.WORD, TokenKind.NAME, TokenKind.STRING, TokenKind.NUMBER})
_CHARACTERS = frozenset({"NAMES", "CHARSET", "CHARACTER"})


def read_set(findings: Findings) -> int:
    """Add the effects of a SET; return the start of the statement that `SET STATEMENT … FOR` runs, or 0."""
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
_LOCKING_BEGINS = frozenset({"IMMEDIATE", "EXCLUSIVE"})


def read_transaction(kind: str, findings: Findings) -> None:
    """Judge a statement that begins, ends or marks a transaction.

    READ WRITE lifts the mode that the console set; anything else than the known words makes it unknown,
    since MariaDB runs `BEGIN …; END` as a block in its ORACLE mode.
    """
    names = 0
    for token in findings.tokens:
        if token.word == "WRITE":
            findings.action("console-owned-setting", "the transaction mode")
        if token.word in _LOCKING_BEGINS:
            findings.add(Effect.LOCK, "it keeps other writers out")
        elif token.word not in _TRANSACTION_WORDS and token.text != ",":
            names += 1
    if names > int(kind in _NAMING):
        findings.unknown("more words than this statement has")
