"""The values that reading a text makes: the rules it is read by, and its tokens."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from safeconsole.core.vocabulary import Flavour


class LexicalRules(msgspec.Struct, frozen=True, kw_only=True):
    """
    How one server reads text; the client character set is utf8mb4 always.

    Attributes:
        flavour: the family member.
        version: major * 10000 + minor * 100 + patch (9.7.4 is 90704, MariaDB 10.11.19 is 101119), 0 when unknown.
        ansi_quotes, no_backslash_escapes, pipes_as_concat, oracle: sql_mode words in force.
    """

    flavour: Flavour
    version: int = 0
    ansi_quotes: bool = False
    no_backslash_escapes: bool = False
    pipes_as_concat: bool = False
    oracle: bool = False


class TokenKind(StrEnum):
    """
    What a piece of text is.

    NAME is a quoted name, LIST a run of literals separated by commas, SYSTEM a system variable,
    OPENING and CLOSING the borders of an executable comment that runs.
    """

    SPACE = "space"
    COMMENT = "comment"
    HINT = "hint"
    OPENING = "opening"
    CLOSING = "closing"
    WORD = "word"
    NAME = "name"
    STRING = "string"
    NUMBER = "number"
    LIST = "list"
    VARIABLE = "variable"
    SYSTEM = "system"
    PARAMETER = "parameter"
    OPERATOR = "operator"
    PUNCTUATION = "punctuation"
    DELIMITER = "delimiter"
    UNREADABLE = "unreadable"


class Token(NamedTuple):
    """
    One token; a named tuple because a large text has a million of them.

    Attributes:
        kind: what it is.
        text: exactly as written.
        word: a WORD in upper case where it is ASCII; for UNREADABLE the reason; otherwise "".
        start, end: offsets in the text.
    """

    kind: TokenKind
    text: str
    word: str
    start: int
    end: int
