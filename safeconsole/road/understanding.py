"""Remembers what texts were analysed as, so that a loop over one statement is analysed once."""

from __future__ import annotations

from collections import OrderedDict

from msgspec.structs import replace

from safeconsole.core.analysis import analyse
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.shapes import is_shared, shape_of
from safeconsole.core.statement import Statement

_SPACES = " \t\n\r"
HELD_SHAPES = 256
"""Shapes remembered at once, those used last; each holds one statement."""


class Understanding:
    """What one session knows of the texts it met; analysis is pure, so nothing here ever becomes untrue."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, LexicalRules, str], Statement] = OrderedDict()
        self._rules: set[LexicalRules] = set()

    def may_have_read_otherwise(self, rules: LexicalRules) -> bool:
        """Whether any text was read by other rules than these: a server was set otherwise, or another one answers."""
        return not self._rules <= {rules}

    def statements(self, text: str, rules: LexicalRules, *, schema: str) -> tuple[Statement, ...]:
        """Return what `analyse` returns for the same arguments."""
        self._rules.add(rules)
        body = text.strip(_SPACES).removesuffix(";").rstrip(_SPACES)
        shape = shape_of(body)
        if not shape:
            return analyse(text, rules, schema=schema)
        key = (shape, rules, schema)
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
            return (held if held.text == body else replace(held, text=body),)
        found = analyse(text, rules, schema=schema)
        if len(found) == 1 and found[0].text == body and is_shared(found[0]):
            found = (replace(found[0], shape=shape),)
            self._held[key] = found[0]
            if len(self._held) > HELD_SHAPES:
                self._held.popitem(last=False)
        return found
