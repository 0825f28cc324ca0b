"""Colours what is typed, by the same tokens that the analysis sees."""

from __future__ import annotations

from collections.abc import Callable

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from safeconsole.core.lexer import LexicalRules, Token, TokenKind, tokens
from safeconsole.shells.sql.words import FUNCTIONS, KEYWORDS

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
