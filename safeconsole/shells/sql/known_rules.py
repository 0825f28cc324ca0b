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
        failed: called, in the asking thread, with why they could not be asked.
    """

    def __init__(
        self, read: Callable[[], LexicalRules], failed: Callable[[SafeConsoleError], None] = lambda _error: None
    ) -> None:
        self._read = read
        self._failed = failed
        self._known: LexicalRules | None = None
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Begin to ask, once; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._learn, name="known-rules", daemon=True)
            self._thread.start()

    def now(self) -> LexicalRules:
        """Return the rules if they are known, else what is assumed; never waits."""
        if self._known is None or self._thread is None or self._thread.is_alive():
            return self._known or ASSUMED
        return self._read()

    def _learn(self) -> None:
        try:
            self._known = self._read()
        except SafeConsoleError as error:
            # The first statement meets the same error; the person need not type one to know.
            self._failed(error)
