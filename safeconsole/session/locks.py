"""Combines row locks and metadata locks of one server into one list of who blocks whom. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

Rows = Iterable[Mapping[str, Any]]
"""Rows by the lower-case names of their columns."""


class LockSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session that waits for a lock, or holds one that others wait for.

    Attributes:
        id: what KILL takes; 0 is a prepared XA transaction, which no KILL ends.
        age_seconds: of its transaction, or of its statement where that is longer; of its rest where it has neither.
        waits_for: ids of the sessions that hold it up.
        blocks: how many sessions wait for it, directly or behind others.
        lock: what it waits for, or what others wait for it to release.
        statement: what it runs, or did last when it is idle.
        idle: whether it runs nothing now.
    """

    id: int
    user: str
    host: str
    age_seconds: int
    waits_for: tuple[int, ...] = ()
    blocks: int = 0
    lock: str = ""
    statement: str = ""
    idle: bool = False


class Freed(NamedTuple):
    """Who goes on once a session has ended, by id.

    Attributes:
        at_once: who waits for nobody else.
        later: who waits behind those, or for others too.
    """

    at_once: tuple[int, ...]
    later: tuple[int, ...]


def freed_by(id_: int, sessions: Sequence[LockSession]) -> Freed:
    """Return who would go on without a session, in the order of `sessions`."""
    behind = _behind(id_, {each.id: each.waits_for for each in sessions})
    at_once = tuple(each.id for each in sessions if each.waits_for == (id_,))
    return Freed(at_once, tuple(each.id for each in sessions if each.id in behind and each.id not in at_once))


class LockWaits(msgspec.Struct, kw_only=True):
    """The edges of the wait graph.

    Attributes:
        waits: for each waiting session what it waits for.
        holders: for each waiting session those that it waits for.
        unexplained: waiting sessions whose holder the server does not name.
    """

    waits: dict[int, str] = {}
    holders: dict[int, dict[int, None]] = {}
    unexplained: set[int] = set()

    @property
    def ids(self) -> tuple[int, ...]:
        """The ids of all sessions in the graph, without prepared transactions."""
        found = {*self.waits, *(holder for holders in self.holders.values() for holder in holders)}
        return tuple(sorted(found - {0, _ASKING}))

    def add(self, waiting: int, what: str, holders: Iterable[int]) -> None:
        self.waits.setdefault(waiting, what)
        found = self.holders.setdefault(waiting, {})
        found.update(dict.fromkeys(holder for holder in holders if holder != waiting))


def row_waits(rows: Rows) -> LockWaits:
    """Return the waits for row locks."""
    found = LockWaits(waits={}, holders={}, unexplained=set())
    for row in rows:
        waiting, blocking = int(row["waiting"]), row["blocking"]
        found.add(waiting, _row_place(row), () if blocking is None else (int(blocking),))
    found.unexplained = {waiting for waiting, holders in found.holders.items() if not holders}
    return found


def _row_place(row: Mapping[str, Any]) -> str:
    name = str(row["name"] or "").replace("`", "")
    table = f"{row['schema']}.{name}" if row["schema"] else name
    if row["kind"] is None:
        return "a row"
    if str(row["kind"]).upper() != "RECORD":
        return f"table {table}"
    value = "" if row["value"] in {None, "", "NULL"} else f" {row['value']}"
    return f"row of {table}, {row['index_name']}{value}"


# What a request of each mode waits for: modes that are granted to others, and modes that others asked for before it.
# Source: the matrices in MySQL's and MariaDB's sql/mdl.cc.
_S, _SH, _SR, _SW, _SWLP, _SU, _SRO, _SNW, _SNRW, _X, _IX = (
    "SHARED",
    "SHARED_HIGH_PRIO",
    "SHARED_READ",
    "SHARED_WRITE",
    "SHARED_WRITE_LOW_PRIO",
    "SHARED_UPGRADABLE",
    "SHARED_READ_ONLY",
    "SHARED_NO_WRITE",
    "SHARED_NO_READ_WRITE",
    "EXCLUSIVE",
    "INTENTION_EXCLUSIVE",
)
_GRANTED: Mapping[str, frozenset[str]] = {
    _S: frozenset({_X, _IX}),
    _SH: frozenset({_X}),
    _SR: frozenset({_X, _SNRW}),
    _SW: frozenset({_X, _SNRW, _SNW, _SRO}),
    _SWLP: frozenset({_X, _SNRW, _SNW, _SRO}),
    _SU: frozenset({_X, _SNRW, _SNW, _SU}),
    _SRO: frozenset({_X, _SNRW, _SW, _SWLP}),
    _SNW: frozenset({_X, _SNRW, _SNW, _SU, _SWLP, _SW}),
    _SNRW: frozenset({_X, _SNRW, _SNW, _SRO, _SU, _SWLP, _SW, _SR}),
    _X: frozenset({_S, _SH, _SR, _SW, _SWLP, _SU, _SRO, _SNW, _SNRW, _X, _IX}),
    _IX: frozenset({_S, _X}),
}
_ASKED: Mapping[str, frozenset[str]] = {
    _S: frozenset({_X}),
    _SR: frozenset({_X, _SNRW}),
    _SW: frozenset({_X, _SNRW, _SNW, _SRO}),
    _SWLP: frozenset({_X, _SNRW, _SNW, _SRO, _SW}),
    _SU: frozenset({_X}),
    _SRO: frozenset({_X, _SNRW}),
    _SNW: frozenset({_X}),
    _SNRW: frozenset({_X}),
    _IX: frozenset({_S, _X}),
}

TABLE = "TABLE"
_WHOLE = frozenset({"GLOBAL", "BACKUP"})
_WHOLE_SERVER = "the whole server (FLUSH TABLES WITH READ LOCK)"
_KINDS = {TABLE: "table", "SCHEMA": "schema", "USER LEVEL LOCK": "named lock"}


def table_waits(rows: Rows) -> LockWaits:
    """Return the waits for metadata locks, as far as the server lists them."""
    found = LockWaits(waits={}, holders={}, unexplained=set())
    locks: dict[tuple[str, str, str], list[tuple[int, str, bool]]] = {}
    seen: dict[int, str] = {}
    for row in rows:
        if row["status"] == "SEEN WAITING":
            seen[int(row["id"])] = str(row["mode"])
        elif row["id"] is not None and row["status"] in {"GRANTED", "PENDING"}:
            place = str(row["kind"]), str(row["schema"] or ""), str(row["name"] or "")
            lock = int(row["id"]), str(row["mode"]), row["status"] == "GRANTED"
            locks.setdefault(place, []).append(lock)
    for place, held in locks.items():
        for waiting, mode, granted in held:
            if not granted:
                found.add(waiting, _table_place(place), _holders(waiting, mode, held))
    for waiting, state in seen.items():
        if waiting not in found.waits:
            found.add(waiting, state.lower().removeprefix("waiting for "), ())
    found.unexplained = {waiting for waiting, holders in found.holders.items() if not holders}
    return found


class Place(NamedTuple):
    """The object of a metadata lock; `kind` as the server names it."""

    kind: str
    schema: str
    name: str


_ASKING = -1
"""Stands for whoever waited, and does not any more."""


def held_up_by(rows: Rows, wanted: Mapping[Place, str]) -> LockWaits:
    """Return the sessions that a statement would wait for, directly and indirectly.

    Args:
        rows: metadata locks, as `table_waits` takes them.
        wanted: the modes that it asks for.
    """
    own = [
        {
            "id": _ASKING,
            "kind": place.kind,
            "schema": place.schema,
            "name": place.name,
            "mode": mode,
            "status": "PENDING",
        }
        for place, mode in wanted.items()
    ]
    found = table_waits([*rows, *own])
    reached, wave = {_ASKING}, {_ASKING}
    while wave:
        wave = {holder for waiting in wave for holder in found.holders.get(waiting, ())} - reached
        reached |= wave
    holders = {waiting: those for waiting, those in found.holders.items() if waiting in reached and those}
    return LockWaits(waits={waiting: found.waits[waiting] for waiting in holders}, holders=holders)


def who_has_open(sessions: Rows) -> tuple[LockSession, ...]:
    """Return sessions with the age of their transactions, the oldest first."""
    listed = [_session(row, (), 0, "") for row in sessions]
    return tuple(sorted(listed, key=lambda session: (-session.age_seconds, session.id)))


def _holders(waiting: int, mode: str, held: list[tuple[int, str, bool]]) -> list[int]:
    others = [lock for lock in held if lock[0] != waiting]
    granted = [holder for holder, theirs, is_granted in others if is_granted and theirs in _GRANTED.get(mode, ())]
    asked = [holder for holder, theirs, is_granted in others if not is_granted and theirs in _ASKED.get(mode, ())]
    # A mode that is in no table, as those of MariaDB's backup locks, may wait for anybody who holds the object.
    return granted or asked or [holder for holder, _, is_granted in others if is_granted and mode not in _GRANTED]


def _table_place(place: tuple[str, str, str]) -> str:
    kind, schema, name = place
    named = ".".join(filter(None, (schema, name)))
    if kind == "USER LEVEL LOCK":
        return f"named lock {name}"
    return f"metadata lock of {_KINDS.get(kind, kind.lower())} {named}".rstrip()


def held_of(rows: Rows) -> dict[int, str]:
    """Return what each session holds metadata locks of, as one line; rows as `table_waits` takes them."""
    found: dict[int, dict[str, None]] = {}
    for row in rows:
        place = str(row.get("kind") or TABLE), str(row["schema"] or ""), str(row["name"] or "")
        named = ".".join(filter(None, place[1:]))
        what = named if place[0] == TABLE else _WHOLE_SERVER if place[0] in _WHOLE else _table_place(place)
        found.setdefault(int(row["id"]), {})[what] = None
    return {id_: ", ".join(what) for id_, what in found.items()}


def explained_by_holders(found: LockWaits, held: Rows, tables: Callable[[int], frozenset[str]]) -> None:
    """Add the holders of tables that sessions wait for without a known blocker.

    Args:
        held: metadata locks that are held.
        tables: the tables of a waiting session's statement, "schema.name" in lower case.
    """
    by_table: dict[str, list[int]] = {}
    for row in held:
        by_table.setdefault(f"{row['schema']}.{row['name']}".lower(), []).append(int(row["id"]))
    for waiting in tuple(found.unexplained):
        for table in sorted(tables(waiting)):
            holders = [holder for holder in by_table.get(table, ()) if holder != waiting]
            if holders:
                found.waits[waiting] = f"metadata lock of table {table}"
                found.add(waiting, "", holders)
                found.unexplained.discard(waiting)


def who_blocks(waits: Iterable[LockWaits], sessions: Rows) -> tuple[LockSession, ...]:
    """Return every session that waits or is waited for, the oldest transaction first.

    Args:
        sessions: what is known of them; a session that is gone meanwhile is left out.
    """
    what: dict[int, str] = {}
    holders: dict[int, dict[int, None]] = {}
    for found in waits:
        for waiting, lock in found.waits.items():
            what.setdefault(waiting, lock)
        for waiting, those in found.holders.items():
            holders.setdefault(waiting, {}).update(those)
    held: dict[int, str] = {}
    for waiting, those in holders.items():
        for holder in those:
            held.setdefault(holder, what[waiting])
    known = {int(row["id"]): row for row in sessions}
    if 0 in held:
        known[0] = _PREPARED
    listed = [
        _session(row, holders.get(id_, {}), len(_behind(id_, holders)), what.get(id_) or f"holds {held.get(id_, '')}")
        for id_, row in known.items()
        if id_ in what or id_ in held
    ]
    return tuple(sorted(listed, key=lambda session: (-session.age_seconds, bool(session.waits_for), session.id)))


_PREPARED: Mapping[str, Any] = {
    "id": 0,
    "user": "XA",
    "host": "",
    "command": "Sleep",
    "seconds": 0,
    "transaction_seconds": None,
    "statement": None,
    "last_statement": "a prepared XA transaction: XA RECOVER lists it",
}


def _behind(id_: int, holders: Mapping[int, Iterable[int]]) -> set[int]:
    """Return the sessions that wait for one, directly or indirectly."""
    reached, wave = {id_}, {id_}
    while wave:
        wave = {waiting for waiting, those in holders.items() if wave & set(those)} - reached
        reached |= wave
    return reached - {id_}


def _session(row: Mapping[str, Any], holders: Iterable[int], blocks: int, lock: str) -> LockSession:
    idle = row["command"] == "Sleep"
    # Who is idle without a transaction, as behind LOCK TABLES, has been so since its last statement.
    at_work = 0 if idle and row["transaction_seconds"] is not None else int(row["seconds"] or 0)
    return LockSession(
        id=int(row["id"]),
        user=str(row["user"] or ""),
        host=str(row["host"] or "").rpartition(":")[0] or str(row["host"] or ""),
        age_seconds=max(int(row["transaction_seconds"] or 0), at_work),
        waits_for=tuple(sorted(holders)),
        blocks=blocks,
        lock=lock,
        statement=str(row["statement"] or row["last_statement"] or ""),
        idle=idle,
    )
