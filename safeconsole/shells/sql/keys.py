"""What the keys do: Enter sends what is complete, a paste is remembered as one."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from safeconsole.core.lexer import LexicalRules, is_complete
from safeconsole.shells.sql.commands import is_bare_word


class Pasted(msgspec.Struct):
    """Whether the text that stands at the prompt was pasted, at least in part."""

    yes: bool = False


def key_bindings(rules: Callable[[], LexicalRules], pasted: Pasted) -> KeyBindings:
    """Return the console's own keys, beside those of emacs or vi."""
    keys = KeyBindings()
    typing = ~is_searching
    picking = Condition(_is_picking)

    @keys.add(Keys.Enter, filter=typing & ~picking)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_ready(buffer.text, rules()):
            buffer.validate_and_handle()
        else:
            buffer.newline(copy_margin=False)

    @keys.add(Keys.Enter, filter=typing & picking)
    def _(event: KeyPressEvent) -> None:
        # Takes the chosen completion and sends nothing: a word picked from a list is not yet a decision.
        event.current_buffer.complete_state = None

    @keys.add(Keys.Escape, Keys.Enter, filter=typing)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add(Keys.BracketedPaste, filter=typing)
    def _(event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        pasted.yes = True
        event.current_buffer.insert_text(text)

    return keys


def is_ready(text: str, rules: LexicalRules) -> bool:
    """Whether Enter sends the text: it is empty, a console command, or its last statement was ended."""
    stripped = text.strip()
    return not stripped or stripped.startswith("\\") or is_bare_word(stripped) or is_complete(text, rules)


def _is_picking() -> bool:
    """Whether a completion was chosen from the list; a list that merely stands there catches no Enter."""
    state = get_app().current_buffer.complete_state
    return state is not None and state.current_completion is not None
