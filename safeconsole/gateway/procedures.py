"""Recognises the gateway's procedures, and questions about the client connection itself.

A text is recognised by its whole form. What is recognised in part goes on to the gate, which judges it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.gateway.answering import OwnRows
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens, value_of

SCHEMA = "safeconsole"

_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT, TokenKind.DELIMITER})
_ENDING = r"\s*;*\s*"
_NAMED = r"(?:\s+(?:as\s+)?[`'\"]?(?P<name>[\w()@.]+)[`'\"]?)?(?:\s+limit\s+1)?"


class OwnCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of one of the gateway's procedures."""

    name: str
    arguments: tuple[str, ...]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A question that this connection answers by itself.

    Attributes:
        about: "warnings", "processlist", "kill", a function's name, …
        words: what the text holds beside the form.
        column: the name of its column.
    """

    about: str
    words: Mapping[str, str]
    column: str = ""


_LEVEL = "transaction_isolation|tx_isolation"
_OWN = r"@@(?:session\.|local\.)?"
_FORMS: tuple[tuple[str, str], ...] = (
    ("warnings", r"show\s+(?P<what>warnings|errors)(?:\s+limit\s+(?P<skip>\d+\s*,\s*)?(?P<most>\d+))?"),
    ("warning_count", r"show\s+count\s*\(\s*\*\s*\)\s+(?P<what>warnings|errors)"),
    ("warning_count", rf"select\s+(?P<text>{_OWN}(?P<counted>warning|error)_count){_NAMED}"),
    ("processlist", r"show\s+(?P<full>full\s+)?processlist"),
    ("kill", r"kill\s+(?:(?:hard|soft)\s+)?(?:(?P<what>query|connection)\s+)?(?P<id>\d+)"),
    ("connection_id", rf"select\s+(?P<text>connection_id\s*\(\s*\)|{_OWN}pseudo_thread_id){_NAMED}"),
    ("last_insert_id", rf"select\s+(?P<text>last_insert_id\s*\(\s*\)|{_OWN}(?:identity|last_insert_id)){_NAMED}"),
    ("row_count", rf"select\s+(?P<text>row_count\s*\(\s*\)){_NAMED}"),
    ("autocommit", rf"select\s+(?P<text>{_OWN}autocommit){_NAMED}"),
    ("isolation", rf"select\s+(?P<text>{_OWN}(?:{_LEVEL})){_NAMED}"),
    (
        "isolation",
        rf"show\s+(?:session\s+|local\s+)?variables\s+(?:like|where\s+`?variable_name`?\s*=)\s*'(?P<shown>{_LEVEL})'",
    ),
)  # fmt: skip
_COMPILED = tuple((about, re.compile(form + _ENDING, re.IGNORECASE)) for about, form in _FORMS)
_COMMENT = re.compile(r"\s*(?:/\*(?![!M+]).*?\*/\s*)*", re.DOTALL)
_LONGEST_FORM = 300


def question_of(text: str) -> Question | None:
    """Return the question that a text is as a whole, or None."""
    if len(text) > _LONGEST_FORM:
        return None
    begin = _COMMENT.match(text)
    bare = text[begin.end() if begin else 0 :]
    for about, form in _COMPILED:
        found = form.fullmatch(bare)
        if found is not None:
            said = {key: value for key, value in found.groupdict().items() if value is not None}
            return Question(about=about, words=said, column=said.get("name") or said.get("text", ""))
    return None


def call_of(text: str, rules: LexicalRules) -> OwnCall | None:
    """Return the call of one of the gateway's procedures that a text is, or None.

    Raises:
        RefusedError: it calls one with something else than texts.
    """
    if SCHEMA not in text.lower():
        return None
    found = [token for token in tokens(text, rules) if token.kind not in _SILENT]
    said = [token.text.strip("`").lower() for token in found]
    if said[:3] != ["call", SCHEMA, "."] or len(said) < 4:
        return None
    name, rest = said[3], found[4:]
    if not rest:
        return OwnCall(name=name, arguments=())
    if rest[0].text != "(" or rest[-1].text != ")":
        raise _not_understood(name)
    arguments: list[str] = []
    for place, token in enumerate(rest[1:-1]):
        if place % 2:
            if token.text != ",":
                raise _not_understood(name)
        elif token.kind in {TokenKind.STRING, TokenKind.NUMBER}:
            arguments.append(value_of(token, rules))
        elif token.word == "NULL":
            arguments.append("")
        else:
            raise _not_understood(name)
    return OwnCall(name=name, arguments=tuple(arguments))


def _not_understood(name: str) -> RefusedError:
    return RefusedError(
        f"CALL {SCHEMA}.{name} takes texts in quotes, and nothing else",
        instead=f"CALL {SCHEMA}.elevate('reason', 'ticket', 'cluster')",
    )


Act = Callable[[Sequence[str]], OwnRows | str]
"""Carries a call out, and returns rows, or the words of an OK."""


class Procedure(msgspec.Struct, frozen=True, kw_only=True):
    """A procedure: its number of arguments, and its action."""

    least: int
    most: int
    act: Act


def carried_out(call: OwnCall, procedures: Mapping[str, Procedure]) -> OwnRows | str:
    """Run a procedure.

    Raises:
        SafeConsoleError: there is no such procedure, it takes other arguments, or what it does was refused.
    """
    procedure = procedures.get(call.name)
    if procedure is None:
        raise ConfigurationError(
            f"there is no procedure {SCHEMA}.{call.name}", instead=f"there are: {', '.join(sorted(procedures))}"
        )
    if not procedure.least <= len(call.arguments) <= procedure.most:
        raise ConfigurationError(
            f"{SCHEMA}.{call.name} takes {procedure.least} to {procedure.most} texts, {len(call.arguments)} were given"
        )
    return procedure.act(call.arguments)
