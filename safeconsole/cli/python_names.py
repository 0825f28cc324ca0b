"""Schema names for completion in the Python console, learnt as the SQL console learns them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress

from prompt_toolkit.completion import Completer

from safeconsole.console.completing import SqlCompleter
from safeconsole.console.learning import NameRefresher, glance_through
from safeconsole.console.names import load_names
from safeconsole.errors import SafeConsoleError
from safeconsole.session.session import Session
from safeconsole.sqltext.lexer import LexicalRules


class LearntNames:
    """The names of the session's schema.

    They are learnt page by page after the person's statements, while those go to a replica, nothing is elevated and no
    transaction is open; they are stored beside the SQL console's, and known from the start of the next session.

    Args:
        rules: how the servers read text.
        directory: where names are stored between sessions, "" for nowhere.
    """

    def __init__(self, session: Session, rules: Callable[[], LexicalRules], directory: str) -> None:
        self._session = session
        self._rules = rules
        status = session.status()
        self._names = load_names(directory, status.cluster, status.schema)
        self._refresher = NameRefresher(glance=glance_through(session, at_replicas=True), directory=directory)
        self._completer = SqlCompleter(rules, lambda: self._names, {})

    def learn(self) -> None:
        """Learn one more page, if a replica was asked last; a refused question is tried later."""
        with suppress(SafeConsoleError):
            self._learn()

    def _learn(self) -> None:
        last = self._session.last()
        status = self._session.status()
        # Who asked nothing yet waits for no server, and what the console asks is no part of a transaction.
        if last is None or status.transaction is not None:
            return
        self._names = self._refresher.refresh(self._names, status, self._rules().dialect, last.statement)

    def tables_from(self, prefix: str, most: int) -> Iterable[str]:
        return self._names.tables_from(prefix, most)

    def columns_of(self, table: str) -> Iterable[str]:
        known = self._names.table_like(table)
        return self._names.columns.get(known, ()) if known else ()

    @property
    def in_statements(self) -> Completer:
        return self._completer
