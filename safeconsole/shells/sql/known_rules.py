"""How the servers read text, asked for behind the prompt: nothing that is typed waits for a connection."""

from __future__ import annotations

import threading
from collections.abc import Callable

from safeconsole.core.errors import SafeConsoleError
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.vocabulary import Flavour

ASSUMED = LexicalRules(flavour=Flavour.MYSQL)
"""What is coloured by until the servers said more; nothing is sent by it."""


class KnownRules:
    """
    The rules, as soon as they are known.

    Args:
        read: asks the servers at its first call.
    """

    def __init__(self, read: Callable[[], LexicalRules]) -> None:
        self._read = read
        self._known: LexicalRules | None = None
        self._thread = threading.Thread(target=self._learn, name="known-rules", daemon=True)
        self._thread.start()

    def now(self) -> LexicalRules:
        """Return the rules if they are known, else what is assumed; never waits."""
        if self._known is None or self._thread.is_alive():
            return self._known or ASSUMED
        return self._read()

    def sure(self) -> LexicalRules:
        """
        Return the rules; waits for them.

        Raises:
            SafeConsoleError: the servers cannot be asked.
        """
        self._thread.join()
        return self._read()

    def _learn(self) -> None:
        try:
            self._known = self._read()
        except SafeConsoleError:
            # The first statement meets the same error, and shows it.
            return
