"""What the tokens of a query or an expression add to a statement: functions, locks, pragmas, hints. Pure."""

from __future__ import annotations

import re

from safeconsole.sqltext.findings import Findings
from safeconsole.sqltext.lexer import LexicalRules, Token, TokenKind
from safeconsole.sqltext.statement import TableName
from safeconsole.sqltext.structure import Call, calls_in, name_of
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
_PLAIN = re.compile(r"""(?P<quote>['"])(?P<name>[^'"\\]*)(?P=quote)\s*(?P<more>,?)""")


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
    """Add what a pragma does; one that is not known to read is unknown."""
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
_HINT_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_$]*)\s*\((?=\s*([^\s(),=]*))")
_HINTED_TIME = re.compile(r"\s*\(\s*([0-9]+)\s*\)", re.ASCII)
_HINTED_VALUE = re.compile(r"\s*\(\s*`?\w+`?\s*=\s*([A-Za-z0-9_]+)\s*\)", re.ASCII)
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
    """Judge the optimizer hints: what is not known to be harmless, and not ignored, counts as lifting a limit."""
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
            findings.notes.setdefault(f"{name}() is no hint of this server, which ignores it")
