"""Who holds the lock that a statement waited for: named as far as the account for diagnosis shows it.

It is asked after the wait, when the statement waits no more: a metadata lock that is still held is seen among the locks
of its tables, and who holds one of their rows has had a transaction open on them for at least as long.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from safeconsole.errors import LOCK_WAIT, Action, Remedy, SafeConsoleError
from safeconsole.patterns import late
from safeconsole.policy.decision import Assessment
from safeconsole.session.gate import Gate
from safeconsole.session.locks import TABLE, LockSession, Place, held_up_by, row_waits, who_blocks, who_has_open
from safeconsole.session.result import unseen
from safeconsole.session.retry import Attempt
from safeconsole.sqltext.dialect import Diagnosis
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Effect

MOST_NAMED = 4
_SIMPLE = late(r"[\w$ -]+", re.ASCII)
_SEES_ITSELF = ("performance_schema", "metadata_locks")
"""A server that shows metadata locks shows the one that the question takes."""


class Holders(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds up a statement.

    Attributes:
        sessions: the oldest first.
        certain: whether each is known to; otherwise they may.
        blind: why the server does not show it, or "".
    """

    sessions: tuple[LockSession, ...] = ()
    certain: bool = True
    blind: str = ""


def with_holders(  # noqa: PLR0913 (what it is asked with, each named)
    failure: SafeConsoleError,
    considered: Assessment | None,
    gate: Gate,
    *,
    known: Diagnosis,
    diagnoses: bool,
    schema: str,
    within: bool,
) -> SafeConsoleError:
    """Return a stop for a lock with who holds it; any other failure as it is.

    Args:
        considered: the statement, and where it went.
        gate: asks, as the account for diagnosis.
        known: what a server of this family may be asked.
        diagnoses: whether there is such an account.
        schema: the session's.
        within: whether a transaction of its own is open, which holds locks, too.
    """
    if failure.code != LOCK_WAIT or considered is None or not considered.node or not known.sessions:
        return failure
    look = Remedy(Action.LOOK_AT_LOCKS, of=considered.node)
    if not diagnoses:
        return failure.replaced(
            evidence=(*failure.evidence, "who holds it is not shown to this account"),
            instead=f"{failure.instead}; an account for diagnosis (accounts.diagnose) would show who it is",
        )
    try:
        own = considered.statement.text if within else ""
        asking = _Asking(gate=gate, to=considered.node, known=known, own=own)
        found = asking.holders(considered.statement, schema)
    except (SafeConsoleError, KeyboardInterrupt) as error:
        why = error.message if isinstance(error, SafeConsoleError) else "interrupted"
        return failure.replaced(evidence=(*failure.evidence, f"who holds it could not be asked: {why}"))
    return failure.replaced(
        evidence=(*_lines(found), *failure.evidence),
        instead=_instead(found, failure),
        remedies=(*failure.remedies, look),
    )


def _lines(found: Holders) -> tuple[str, ...]:
    lines = [_line(session, certain=found.certain) for session in found.sessions[:MOST_NAMED]]
    more = len(found.sessions) - MOST_NAMED
    if more > 0:
        lines.append(f"and {more} more")
    if not lines and not found.blind:
        lines.append("held by: nobody any more")
    return (*lines, *([f"who holds it is not shown: {found.blind}"] if found.blind else ()))


def _line(session: LockSession, *, certain: bool) -> str:
    who = f"session {session.id}, {session.user}@{session.host}, for {session.age_seconds:,} s"
    if session.waits_for:
        return f"behind that: {who}, which waits for {', '.join(map(str, session.waits_for))}"
    doing = "idle" if session.idle else "at work"
    return f"{'held' if certain else 'may be held'} by: {who}, {doing}"


def _instead(found: Holders, failure: SafeConsoleError) -> str:
    roots = [session for session in found.sessions if not session.waits_for]
    if not found.sessions and not found.blind:
        return "run it again"
    if len(roots) != 1:
        return failure.instead
    root = roots[0]
    who = f"{root.user}@{root.host}" if root.host else root.user
    return f"ask {who} what session {root.id} is for, or have it ended; then run it again"


class _Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Asks one node; a session whose last statement is `own`, unless that is "", is the one that waited itself."""

    gate: Gate
    to: str
    known: Diagnosis
    own: str

    def holders(self, statement: Statement, schema: str) -> Holders:
        wanted = _wanted(statement, schema)
        named = [(place.schema, place.name) for place in wanted if place.kind == TABLE]
        if not named:
            return Holders(certain=False, blind="its tables are not known")
        which = ", ".join(f"('{schema_}', '{name}')" for schema_, name in (*named, _SEES_ITSELF))
        rows = self._rows(self.known.locks_of.format(which=which))
        locks = [row for row in rows if row["name"] != _SEES_ITSELF[1]]
        blind = "" if len(locks) < len(rows) else self.known.blind
        if blind:
            locks = self._from_elsewhere(named)
        found = held_up_by(locks, wanted)
        if found.ids:
            return Holders(sessions=who_blocks((found,), self._sessions(found.ids)))
        return self._perhaps(locks, blind=blind if not locks else "")

    def _perhaps(self, locks: list[dict[str, Any]], *, blind: str) -> Holders:
        """Return those with an open transaction who may hold a row, out of who has locks on the tables."""
        waiting = set(row_waits(self._rows(self.known.row_waits)).waits)
        rows = self._sessions([int(row["id"]) for row in locks])
        if blind:
            rows = [row for row in self._rows(self.known.transacting) if not self._is_own(row)]
        # Who is idle and has a lock without a transaction holds it by LOCK TABLES.
        rows = [row for row in rows if row["transaction_seconds"] is not None or (locks and row["command"] == "Sleep")]
        old = [row for row in rows if int(row["id"]) not in waiting]
        return Holders(sessions=who_has_open(old), certain=False, blind=blind)

    def _from_elsewhere(self, named: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Return the locks of some tables where only a plugin shows them, nothing without it."""
        if not self.known.held_tables:
            return []
        try:
            rows = self._rows(self.known.held_tables)
        except SafeConsoleError:
            return []
        return [
            {**row, "kind": TABLE, "mode": str(row["mode"]).removeprefix("MDL_"), "status": "GRANTED"}
            for row in rows
            if (row["schema"], row["name"]) in named
        ]

    def _sessions(self, ids: tuple[int, ...] | list[int]) -> list[dict[str, Any]]:
        listed = ", ".join(str(id_) for id_ in sorted(set(ids)) if id_ > 0)
        rows = self._rows(self.known.sessions.format(which=f"p.ID IN ({listed})")) if listed else []
        return [row for row in rows if not self._is_own(row)]

    def _is_own(self, row: dict[str, Any]) -> bool:
        return bool(self.own) and self.own in {row["statement"], row["last_statement"]}

    def _rows(self, sql: str) -> list[dict[str, Any]]:
        (statement,) = self.gate.split(sql)
        attempt = Attempt(
            statement=statement,
            justification=None,
            by_console=True,
            as_text=False,
            splice=None,
            progress=unseen,
            to=self.to,
        )
        result = self.gate.execute(attempt)
        rows = result.take()
        names = [column.name.lower() for column in result.columns]
        return [dict(zip(names, row, strict=True)) for row in rows]


def _wanted(statement: Statement, schema: str) -> dict[Place, str]:
    """Return the metadata locks that a statement asks for, but for names that are no plain ones."""
    mode = "EXCLUSIVE" if Effect.DDL in statement.effects else "SHARED_WRITE"
    if statement.changes_nothing:
        mode = "SHARED_READ"
    wanted = {Place(TABLE, table.schema or schema, table.name): mode for table in statement.tables}
    plain = {place: mode for place, mode in wanted.items() if all(map(_SIMPLE.fullmatch, (place.schema, place.name)))}
    if not statement.changes_nothing:
        plain[Place("GLOBAL", "", "")] = "INTENTION_EXCLUSIVE"
    return plain
