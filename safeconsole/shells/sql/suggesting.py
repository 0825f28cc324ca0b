"""Suggests from the history as one types, but never what could hurt."""

from __future__ import annotations

import re

from prompt_toolkit.auto_suggest import AutoSuggest, Suggestion
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document

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
