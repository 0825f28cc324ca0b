"""
Statements with places for parameters, filled before they are judged.

`%s` takes the next parameter, `%(name)s` a named one, `%%` is a percent sign; a library that writes for SQLite
marks places with `?`. A place inside quotes or a comment is an error: what would be put there is no value any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from functools import lru_cache

import msgspec

from safeconsole.core.lexer import LexicalRules, TokenKind, tokens
from safeconsole.shells.python.faults import ProgrammingError
from safeconsole.shells.python.literals import literal

HELD_TEMPLATES = 512

Parameters = Mapping[str, object] | Sequence[object]

_PLACE = re.compile(r"%(?:(%)|s|\(([^()]*)\)s|)")
_OPAQUE = frozenset({TokenKind.STRING, TokenKind.NAME, TokenKind.COMMENT, TokenKind.HINT, TokenKind.SYSTEM})
# Beside these a literal stands alone; beside anything else it might grow together with what is there.
_OPEN = frozenset(" \t\r\n(),=<>!+*;")


Cut = tuple[int, int, str | None]
"""Where a place starts and ends, and its name; None is a doubled percent sign."""


class Places(Enum):
    """How a text writes the places of its parameters."""

    FORMAT = auto()
    MARKS = auto()


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """
    One text, cut at its places.

    Attributes:
        pieces: what stands around the places, one more than there are places.
        names: each place's name, "" for the next parameter.
    """

    pieces: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def named(self) -> bool:
        """Whether its parameters have names."""
        return any(self.names)


def fill(text: str, parameters: Parameters | None, rules: LexicalRules, places: Places) -> str:
    """
    Return a statement with its parameters as literals.

    Args:
        text: the statement; without parameters (None) it is taken as it is.
        parameters: a sequence, or a mapping for `%(name)s`.
        places: how places are written.

    Raises:
        ProgrammingError: places and parameters do not fit together.
        DataError: as `literal`.
    """
    if parameters is None:
        return text
    template = template_of(text, rules, places)
    parts = [template.pieces[0]]
    for value, piece in zip(_values(template, parameters), template.pieces[1:], strict=True):
        parts += (literal(value, rules), piece)
    return "".join(parts)


@lru_cache(maxsize=HELD_TEMPLATES)
def template_of(text: str, rules: LexicalRules, places: Places) -> Template:
    """Return a text cut at its places. Raises ProgrammingError."""
    pieces, names, done = [""], [], 0
    cuts = _marked(text, rules) if places is Places.MARKS else _formatted(text, rules)
    for start, end, name in cuts:
        pieces[-1] += text[done:start]
        done = end
        if name is None:
            pieces[-1] += "%"
            continue
        pieces[-1] = _apart(pieces[-1])
        names.append(name)
        pieces.append("" if text[done : done + 1] in _OPEN or done == len(text) else " ")
    pieces[-1] += text[done:]
    if any(names) and not all(names):
        raise ProgrammingError(0, "%s and %(name)s do not go together in one statement")
    return Template(pieces=tuple(pieces), names=tuple(names))


def _marked(text: str, rules: LexicalRules) -> list[Cut]:
    return [(token.start, token.end, "") for token in tokens(text, rules) if token.kind is TokenKind.PARAMETER]


def _formatted(text: str, rules: LexicalRules) -> list[Cut]:
    found = list(_PLACE.finditer(text))
    opaque = [(token.start, token.end) for token in tokens(text, rules) if token.kind in _OPAQUE] if found else []
    cuts: list[Cut] = []
    for match in found:
        if match.group() == "%":
            raise ProgrammingError(0, "a % stands alone in a statement with parameters: write %%, or pass none")
        if not match[1] and any(start < match.end() and match.start() < end for start, end in opaque):
            raise ProgrammingError(0, f"{match.group()} stands inside quotes or a comment: leave the quotes out")
        cuts.append((match.start(), match.end(), None if match[1] else match[2] or ""))
    return cuts


def _apart(piece: str) -> str:
    return piece if not piece or piece[-1] in _OPEN else f"{piece} "


def _values(template: Template, parameters: Parameters) -> list[object]:
    if isinstance(parameters, Mapping):
        missing = [name for name in template.names if name not in parameters]
        if missing or not (template.named or not template.names):
            raise ProgrammingError(
                0, f"no parameter for {', '.join(f'%({name})s' if name else '%s' for name in missing)}"
            )
        return [parameters[name] for name in template.names]
    if isinstance(parameters, str | bytes) or not hasattr(parameters, "__len__"):
        raise ProgrammingError(0, "parameters are a list or a mapping, not one value: put it into [ ]")
    if template.named:
        raise ProgrammingError(0, "the statement names its parameters: pass a mapping")
    if len(parameters) != len(template.names):
        raise ProgrammingError(0, f"{len(template.names)} parameters are wanted, {len(parameters)} were given")
    return list(parameters)
