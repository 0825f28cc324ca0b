"""
What the tokens of a query, or of an expression anywhere, add to a statement.

Nothing here makes a statement milder.
"""

from __future__ import annotations

import re

from safeconsole.core.calls import Call, calls_in
from safeconsole.core.catalogue.functions import SYS_FUNCTIONS
from safeconsole.core.catalogue.settings import HARMLESS_HINTS, HARMLESS_SETTINGS, HELD_VALUES, HINTS_KNOWN_BELOW
from safeconsole.core.findings import Findings
from safeconsole.core.functions import danger_of, is_pure
from safeconsole.core.lexicon import Token, TokenKind
from safeconsole.core.named_locks import LOCKING, may_be_owned
from safeconsole.core.pragmas import judge_pragma
from safeconsole.core.vocabulary import Effect, Flavour

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
    """Judge every function that is called by the tokens from an index on."""
    tokens = findings.tokens[start:]
    for call in calls_in(tokens):
        findings.functions.setdefault(call.name)
        if call.schema == "sys" and call.name in SYS_FUNCTIONS:
            continue
        if call.name in LOCKING and may_be_owned(call, tokens):
            findings.action("console-owned-lock", f"{call.name}()")
        if call.foreign:
            findings.unknown(f"{call.name}() may be a stored function")
            findings.action("unknown-function", f"{call.name}()")
        else:
            _judge(call, tokens, findings)


def _judge(call: Call, tokens: tuple[Token, ...], findings: Findings) -> None:
    """Add what one call by its plain name does."""
    danger = danger_of(call.name)
    if danger == "sequence":
        findings.add(Effect.WRITE, f"{call.name}() changes a sequence")
    if danger:
        findings.action(danger, f"{call.name}()")
        if danger in {"loads-code", "changes-server"}:
            findings.unknown(f"{call.name}() changes the server")
        if danger == "user-lock":
            findings.add(Effect.LOCK, f"{call.name}() takes or releases a named lock")
    elif findings.rules.flavour is Flavour.SQLITE and call.name.startswith(_PRAGMA_FUNCTION):
        judge_pragma(call.name.removeprefix(_PRAGMA_FUNCTION), findings, valued=False)
    elif call.name == "default" and findings.rules.flavour is Flavour.MARIADB:
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
    """
    Look for words that make a query more than a read.

    Args:
        changes: the statement changes rows, so that INTO names its table.
        start: index of the first token that is read.
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
    """Judge the target of a query's INTO."""
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
    """
    Judge one hint.

    The place of a hint, and which of two counts, decide whether a server heeds it. Here every one is taken to be
    heeded, and the tightest is what the console itself holds: a hint that the server ignores loosens nothing.

    Args:
        argument: its first one, lower case.
        rest: of the text, behind its name.
    """
    rules, words = findings.rules, f"{name}({argument})"
    if name == "MAX_EXECUTION_TIME":
        number = _HINTED_TIME.match(rest)
        if number is None or not findings.ask("max_execution_time", number[1], words=words, lifts=_LIFTING):
            findings.action(_LIFTING, words)
    elif name == "SET_VAR":
        value = _HINTED_VALUE.match(rest)
        given = value[1] if value else ""
        if argument in HARMLESS_SETTINGS or given.upper() in HELD_VALUES.get(argument, frozenset()):
            return
        if not findings.ask(argument, given, words=f"SET_VAR({argument}={given})", lifts=_LIFTING):
            findings.action(_LIFTING, words)
    elif name == "RESOURCE_GROUP":
        findings.action(_LIFTING, words)
    elif name not in HARMLESS_HINTS:
        if not 0 < rules.version < HINTS_KNOWN_BELOW.get(rules.flavour, 0):
            findings.action(_LIFTING, words)
        else:
            findings.notes.setdefault(f"{name}() is no hint of this server, which ignores it")
