"""What the keys do, and what was typed before."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

import msgspec
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from safeconsole.console.commands import is_bare_word
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.redaction import may_hold_secret
from safeconsole.sqltext.splitting import is_complete

# --------------------------------------------------------------------------------------------------------------------
# What was typed, kept for one cluster: readable by its owner alone, and without what holds a secret.


def history_of(directory: str, cluster: str) -> ClusterHistory:
    """
    Return the history of a cluster.

    Raises:
        OSError: the directory or the file cannot be made.
    """
    folder = Path(directory)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{quote(cluster, safe='')}.history"
    # The mode matters at birth: a file that is readable for a moment is readable.
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
    path.chmod(0o600)
    return ClusterHistory(str(path))


class ClusterHistory(FileHistory):
    """A history file that never holds a statement with a secret."""

    def append_string(self, string: str) -> None:
        """Remember what was typed, unless it holds a secret or repeats what came before it."""
        if may_hold_secret(string) or self.get_strings()[-1:] == [string]:
            return
        super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Yield what was typed, newest first; a history that cannot be read is empty."""
        try:
            return list(super().load_history_strings())
        except (OSError, UnicodeError):
            return []


# --------------------------------------------------------------------------------------------------------------------
# Suggests from the history as one types, but never what could hurt.


_HARMLESS = re.compile(
    r"\s*(?:(?:select|show|desc|describe|explain\s+(?:format|select))\b[^;]*;?\s*|\\(?!elevate|once).*)", re.IGNORECASE
)
_LOOKED_AT = 5_000


class ReadSuggest(AutoSuggest):
    """
    Offers the newest read that begins with what is typed.

    A write from the history is never offered: one key too many would bring an old UPDATE back to production.
    """

    def get_suggestion(self, buffer: Buffer, document: Document) -> Suggestion | None:
        """Return the rest of a statement of the history, or nothing."""
        text = document.text
        if not text.strip() or "\n" in text:
            return None
        for past in reversed(buffer.history.get_strings()[-_LOOKED_AT:]):
            if past.startswith(text) and len(past) > len(text) and _HARMLESS.fullmatch(past):
                return Suggestion(past[len(text) :])
        return None


# --------------------------------------------------------------------------------------------------------------------
# What the keys do: Enter sends what is complete, a paste is remembered as one.


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
