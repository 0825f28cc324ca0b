"""Proves a node's role from its own answers, never from its name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from safeconsole.sqltext.vocabulary import Role

_OFF = frozenset({"0", "OFF"})
_ON = frozenset({"1", "ON", "NO_LOCK", "NO_LOCK_NO_ADMIN"})


def is_on(reading: object) -> bool:
    """Return the value of `@@read_only` or `@@innodb_read_only`.

    A number on MySQL 9.7 and MariaDB 10.11 (measured); one of four words from MariaDB 12.0 on (its manual,
    "read_only"), three of which refuse writes.

    Raises:
        ValueError: it says something else, or nothing: what a node does with writes is then not known.
    """
    word = str(reading).upper()
    if word not in _OFF | _ON:
        raise ValueError(f"it says {reading} where it should say whether it refuses writes")
    return word in _ON


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One replication channel of a replica.

    Attributes:
        name: "" for the default one.
        lag_seconds: the server's figure, or None; None is not zero.
        source: "host:port" as the replica calls it.
        source_id: the source's uuid (MySQL) or server id (MariaDB), or "".
        error: the last error of either thread, or "".
        delay_seconds: how long it waits on purpose before it applies what it received, >= 0.
    """

    name: str
    receiving: bool
    applying: bool
    lag_seconds: float | None
    source: str
    source_id: str
    error: str = ""
    delay_seconds: float = 0.0


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A node's place in a group (group replication) or cluster (Galera, Aurora) that keeps its own roles.

    Attributes:
        kind: "group replication", "galera" or "aurora".
        writes: whether the group says that this node is a writer.
        online: whether the group says that it takes part.
        lag_seconds: the group's figure, or None.
        words: what the group says, for the proof.
        group: what the group is called, or "".
        members: who takes part: (address or "", identity or "") of each.
        shares_writes: whether others of the group may take writes as well.
    """

    kind: str
    writes: bool
    online: bool
    lag_seconds: float | None
    words: str
    group: str = ""
    members: tuple[tuple[str, str], ...] = ()
    shares_writes: bool = False


class NodeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a node reports about itself.

    Attributes:
        read_only: whether it refuses writes from ordinary accounts.
        channels: its replication channels; None when the account may not ask.
        member: its place in a group, or None outside of one.
        heartbeat_lag_seconds: age of the last heartbeat; None when unknown.
        heartbeat_asked: whether a heartbeat table is configured; then the server's figure does not count.
    """

    read_only: bool
    innodb_read_only: bool = False
    channels: tuple[Channel, ...] | None = ()
    member: Member | None = None
    heartbeat_lag_seconds: float | None = None
    heartbeat_asked: bool = False

    @property
    def shares_writes(self) -> bool:
        return self.member is not None and self.member.shares_writes


class RoleProof(msgspec.Struct, frozen=True, kw_only=True):
    """A node's proven role, with the evidence.

    Attributes:
        role: UNKNOWN when its facts contradict each other or cannot be read.
        words: the facts behind it, one line.
        replicating: whether every thread that it should run is running.
        lag_seconds: >= 0, or None when unknown.
    """

    role: Role
    words: str
    replicating: bool = False
    lag_seconds: float | None = None


def prove_role(facts: NodeFacts) -> RoleProof:
    """Return a node's role; missing or contradictory answers give `unknown`."""
    if facts.member is not None:
        return _member_role(facts, facts.member)
    writes = "read_only=0" if not _refuses_writes(facts) else "read_only=1"
    if facts.channels is None:
        return RoleProof(
            role=Role.UNKNOWN,
            words=f"{writes}, but replica status is not readable: grant REPLICATION CLIENT (MariaDB: SLAVE MONITOR)",
        )
    if not facts.channels:
        if _refuses_writes(facts):
            return RoleProof(role=Role.UNKNOWN, words=f"{writes}, but no replication channel")
        return RoleProof(role=Role.PRIMARY, words=f"{writes}, no replication channel")
    sources = ", ".join(channel.source for channel in facts.channels)
    if not _refuses_writes(facts):
        return RoleProof(
            role=Role.UNKNOWN, words=f"{writes}, but a replication channel from {sources}: an errant replica"
        )
    return _replica(facts, facts.channels, f"{writes}, replicates from {sources}")


def _refuses_writes(facts: NodeFacts) -> bool:
    return facts.read_only or facts.innodb_read_only


def _replica(facts: NodeFacts, channels: tuple[Channel, ...], words: str) -> RoleProof:
    stopped = [_what_stands(channel) for channel in channels if not (channel.receiving and channel.applying)]
    delayed = max(channel.delay_seconds for channel in channels)
    if delayed:
        words = f"{words}, {delayed:g} s late on purpose"
    lags = [channel.lag_seconds for channel in channels]
    # The server's figure is 0 until the next change waits; what is read then is as old as the delay lets it be.
    known = [max(lag, delayed) for lag in lags if lag is not None]
    lag = max(known) if len(known) == len(lags) and not stopped else None
    if facts.heartbeat_asked:
        lag = facts.heartbeat_lag_seconds
    return RoleProof(
        role=Role.REPLICA,
        words="; ".join((words, *stopped)),
        replicating=not stopped,
        lag_seconds=max(lag, 0.0) if lag is not None else None,
    )


def _what_stands(channel: Channel) -> str:
    halves = [name for name, runs in (("receiver", channel.receiving), ("applier", channel.applying)) if not runs]
    name = f" of channel {channel.name}" if channel.name else ""
    return f"{' and '.join(halves)}{name} not running{': ' + channel.error if channel.error else ''}"


def _member_role(facts: NodeFacts, member: Member) -> RoleProof:
    words = f"{member.kind}: {member.words}, read_only={int(_refuses_writes(facts))}"
    if not member.online:
        return RoleProof(role=Role.UNKNOWN, words=words)
    lag = facts.heartbeat_lag_seconds if facts.heartbeat_asked else member.lag_seconds
    if member.writes:
        if _refuses_writes(facts):
            return RoleProof(role=Role.UNKNOWN, words=f"{words}: a writer that refuses writes")
        if member.shares_writes:
            # What the others write arrives as on a replica.
            return RoleProof(role=Role.PRIMARY, words=words, replicating=True, lag_seconds=lag)
        return RoleProof(role=Role.PRIMARY, words=words)
    if not _refuses_writes(facts):
        return RoleProof(role=Role.UNKNOWN, words=f"{words}: a reader that takes writes")
    return RoleProof(role=Role.REPLICA, words=words, replicating=True, lag_seconds=lag)


def channel_of(row: Mapping[str, Any]) -> Channel:
    """Return a replication channel from a row of SHOW REPLICA STATUS or SHOW SLAVE STATUS."""
    error = _first(row, "Last_SQL_Error") or _first(row, "Last_IO_Error") or ""
    lag = _first(row, "Seconds_Behind_Source", "Seconds_Behind_Master")
    host, port = _first(row, "Source_Host", "Master_Host"), _first(row, "Source_Port", "Master_Port")
    source_id = _first(row, "Source_UUID", "Master_UUID", "Master_Server_Id")
    return Channel(
        name=str(_first(row, "Channel_Name", "Connection_name") or ""),
        receiving=_first(row, "Replica_IO_Running", "Slave_IO_Running") == "Yes",
        applying=_first(row, "Replica_SQL_Running", "Slave_SQL_Running") == "Yes",
        lag_seconds=None if lag is None else float(lag),
        source=f"{host}:{port}",
        source_id=str(source_id or ""),
        error=str(error).splitlines()[0][:200] if error else "",
        delay_seconds=float(_first(row, "SQL_Delay") or 0),
    )


def _first(row: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401  (whatever the driver made of it)
    return next((row[name] for name in names if name in row), None)
