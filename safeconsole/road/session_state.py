"""
Knows where the person's variables and settings live, and says when a statement runs where they are not set.

They stay on the connection that they were set on. Lost in silence, the next statement would mean something else:
a time zone is the server's again, a variable is NULL.
"""

from __future__ import annotations

from safeconsole.core.decision import Permit
from safeconsole.core.errors import DeniedError
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.session_state import names_variable, sets_state
from safeconsole.core.transactions import place_of
from safeconsole.interfaces import Connection


class SessionState:
    """Where one session's variables and settings live: on the connection of the statement that set one last."""

    def __init__(self) -> None:
        self._held_by: Connection | None = None
        self._place = ""
        self._told: set[int] = set()

    @property
    def is_set(self) -> bool:
        """Whether anything was set in this session that is not known to be gone."""
        return self._held_by is not None

    def was_done(self, permit: Permit, connection: Connection) -> None:
        """Remember where a statement set something, if it did."""
        if sets_state(permit.statement):
            self._held_by, self._place = connection, place_of(permit.node, permit.account)
            self._told.clear()

    def note_before(self, permit: Permit, connection: Connection, rules: LexicalRules) -> str:
        """
        Return what to tell the person of what is not set where a statement is about to run, or "".

        Raises:
            DeniedError: it changes something by a variable that is not set there.
        """
        holder, place = self._held_by, self._place
        if holder is None or holder is connection:
            return ""
        variable = names_variable(permit.statement, rules)
        here = place_of(permit.node, permit.account)
        if variable and permit.changes:
            raise DeniedError(
                f"nothing was sent: {variable} was set on {place}, and is not set on {here}: it would be NULL there",
                instead="write the value itself, or set the variable inside the transaction",
            )
        if holder.broken:
            self._held_by = None
            return f"what you set on {place} is gone with its connection: variables and settings start anew on {here}"
        if id(connection) in self._told and not variable:
            return ""
        self._told.add(id(connection))
        return f"variables and settings that you set on {place} are not set on {here}"
