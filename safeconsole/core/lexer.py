"""Reads text as the server would: tokens, comments, delimiters, statements."""

from __future__ import annotations

from dataclasses import dataclass

from safeconsole.core.vocabulary import Flavour


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalRules:
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
