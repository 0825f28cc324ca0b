"""Measures one node: its replication, load, and place in a group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from safeconsole.config.identity import demo_mark_in
from safeconsole.dialects.mariadb import MARIADB
from safeconsole.dialects.mysql import AURORA_MYSQL
from safeconsole.mysql.discovery import Followers, Peer, address_of, follower_of
from safeconsole.mysql.error_codes import code_of
from safeconsole.mysql.recognising import OF_ITSELF, check_identity
from safeconsole.mysql.topology import Channel, Member, NodeFacts, channel_of, is_on
from safeconsole.mysql.wire import ServerReply, Wire
from safeconsole.policy.readings import COUNTED_TABLES
from safeconsole.sqltext.dialect import Dialect

_GROUP_ONLINE = "ONLINE"
_GALERA_SYNCED = "Synced"
# One that gives another node all of its data, or was told to fall behind, goes on taking writes.
_GALERA_AT_WORK = frozenset({_GALERA_SYNCED, "Donor/Desynced"})
_GALERA_STATUS = (
    "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_local_state_comment', 'wsrep_local_recv_queue',"
    " 'wsrep_cluster_state_uuid', 'wsrep_incoming_addresses', 'wsrep_cluster_status', 'wsrep_ready')"
)
_OFF = frozenset({None, "", "0", "OFF"})
_AURORA_WRITER = "MASTER_SESSION_ID"


_Rows = list[tuple[str | None, ...]]


def _group_question(dialect: Dialect) -> str:
    """Return the query for a node's group membership; on Aurora for all instances."""
    if dialect is AURORA_MYSQL:
        return "SELECT SERVER_ID, SESSION_ID, REPLICA_LAG_IN_MILLISECONDS FROM information_schema.replica_host_status"
    if dialect is MARIADB:
        return "SELECT @@wsrep_on, @@read_only"
    return "SELECT @@group_replication_group_name, @@group_replication_single_primary_mode"


def member_of(wire: Wire, dialect: Dialect, server: str, told: _Rows | None) -> Member | None:
    """Return the node's place in its group, or None when it is in none.

    Args:
        told: what it said to `_group_question`, None where it refused or does not know that.

    Raises:
        DriverError, OSError: the connection is lost.
    """
    if dialect is AURORA_MYSQL:
        return _aurora_member(told, server)
    if dialect is MARIADB:
        return _galera_member(wire, told)
    return _group_member(wire, told, server)


def _group_member(wire: Wire, name: _Rows | None, server: str) -> Member | None:
    if not name or not name[0][0]:
        return None
    members, stats = wire.flight(
        "SELECT MEMBER_STATE, MEMBER_ROLE, MEMBER_ID, MEMBER_HOST, MEMBER_PORT"
        " FROM performance_schema.replication_group_members",
        "SELECT COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE FROM performance_schema.replication_group_member_stats"  # noqa: S608  (stripped of quotes)
        f" WHERE MEMBER_ID = '{_plain(server)}'",
    )
    rows, queue = members.told, stats.told
    if rows is None:
        return Member(
            kind="group replication",
            writes=False,
            online=False,
            lag_seconds=None,
            words="its members are not readable: grant SELECT ON performance_schema.replication_group_members",
        )
    own = next((row for row in rows if str(row[2]) == server), None)
    if own is None or own[0] == "OFFLINE":
        return None
    state, role = str(own[0]), str(own[1])
    unseen = sum(row[0] == "UNREACHABLE" for row in rows)
    # It goes on calling itself online where it sees too few of the others to agree on anything.
    has_quorum = 2 * unseen < len(rows)
    return Member(
        kind="group replication",
        writes=role == "PRIMARY",
        shares_writes=is_on(name[0][1]) is False,
        online=state == _GROUP_ONLINE and has_quorum,
        # An empty queue means no lag; a queue has a length, and no age.
        lag_seconds=0.0 if queue and queue[0][0] == "0" else None,
        words=f"{state.lower()} {role.lower()}{'' if has_quorum else f', no quorum: {unseen} of {len(rows)} unseen'}",
        group=str(name[0][0]),
        members=tuple((address_of(row[3], row[4]), str(row[2])) for row in rows),
    )


def _galera_member(wire: Wire, on: _Rows | None) -> Member | None:
    if not on or on[0][0] in _OFF:
        return None
    (reply,) = wire.flight(_GALERA_STATUS)
    status = {str(row[0]): str(row[1]) for row in reply.rows}
    state, queue = status.get("wsrep_local_state_comment", "state unknown"), status.get("wsrep_local_recv_queue", "")
    part, ready = status.get("wsrep_cluster_status", "unknown"), status.get("wsrep_ready", "OFF")
    has_quorum = part == "Primary"
    addresses = (address.rpartition(":") for address in status.get("wsrep_incoming_addresses", "").split(","))
    return Member(
        kind="galera",
        writes=not is_on(on[0][1]),
        shares_writes=not is_on(on[0][1]),
        online=state in _GALERA_AT_WORK and has_quorum and ready == "ON",
        # Under FLUSH TABLES WITH READ LOCK, as of a donor, nothing is applied, and the queue is empty: measured.
        lag_seconds=0.0 if queue == "0" and state == _GALERA_SYNCED else None,
        words=state.lower() if has_quorum else f"{state.lower()}, {part}: no quorum",
        group=status.get("wsrep_cluster_state_uuid", ""),
        # A node that was not told its own address calls it AUTO.
        members=tuple((found, "") for host, _, port in addresses if (found := address_of(host, port))),
    )


def _aurora_member(rows: _Rows | None, server: str) -> Member:
    own = next((row for row in rows or [] if str(row[0]) == server), None)
    if rows is None or own is None:
        words = "replica_host_status does not name this instance"
        return Member(kind="aurora", writes=False, online=False, lag_seconds=None, words=words)
    writes, lag = str(own[1]) == _AURORA_WRITER, own[2]
    return Member(
        kind="aurora",
        writes=writes,
        online=True,
        lag_seconds=None if lag is None else float(lag) / 1000,
        words="writer" if writes else "reader",
        # Nobody is told what the cluster is called: an instance is tied to it by the name that others have for it.
        members=tuple(("", str(row[0])) for row in rows),
    )


def _plain(server: str) -> str:
    return "".join(character for character in server if character.isalnum() or character in "-_.:")


_REFUSED = frozenset({1044, 1142, 1227})
"""Errors by which an account may not ask; another form of the question is refused alike."""

# The count is a subquery of its own: beside an aggregate MariaDB 10.11 says 0 of a setting that is on, measured.
_COUNT = (
    "SELECT @@GLOBAL.innodb_stats_persistent, @@GLOBAL.default_storage_engine,"  # noqa: S608  (a number of ours)
    f" (SELECT COUNT(*) FROM (SELECT 1 FROM mysql.innodb_table_stats LIMIT {COUNTED_TABLES + 1}) AS counted)"
)


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A node's answers to one measurement.

    Attributes:
        mark: as in `Reading`.
        facts: what its role is proven from.
        followers: what copies from it; not asked without health.
        threads_running, used_memory_bytes, history_length, tables: as in `Reading`, None where not told.
    """

    server: str
    facts: NodeFacts
    mark: str = ""
    followers: Followers = Followers()
    threads_running: int | None = None
    used_memory_bytes: int | None = None
    history_length: int | None = None
    tables: int | None = None


def numbers_of(rows: Iterable[Sequence[object]]) -> dict[str, int]:
    """Return rows of (name, number) as a mapping by upper-case name; other values are left out."""
    found = {}
    for name, value in rows:
        try:
            found[str(name).upper()] = int(str(value))
        except ValueError:
            continue
    return found


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """The queries of one measurement, sent in one round trip.

    Attributes:
        heartbeat: "schema.table" written by pt-heartbeat, or "".
        with_health: also load, memory, who copies from it, and the number of tables.
        refused: questions on followers that this account was refused; they are not asked again on this connection.
            The number of tables is: rules are judged on it, and it is known as soon as the DBA grants it.
    """

    dialect: Dialect
    heartbeat: str = ""
    with_health: bool = True
    refused: set[str] = msgspec.field(default_factory=set)

    @property
    def texts(self) -> tuple[str, ...]:
        server = self.dialect.server
        health = (server.health, *self._of_followers, _COUNT) if self.with_health else ()
        asked = (
            f"SELECT {server.identity}, @@read_only, @@innodb_read_only, @@slow_query_log_file, {OF_ITSELF}",
            server.replica_status[0],
            _group_question(self.dialect),
            *((self._of_heartbeat,) if self.heartbeat else ()),
            *health,
        )
        return tuple(text for text in asked if text not in self.refused)

    @property
    def _of_followers(self) -> tuple[str, ...]:
        server = self.dialect.server
        return (server.followers[0], server.dumping)

    @property
    def _of_heartbeat(self) -> str:
        quoted = self.dialect.quoted(*filter(None, self.heartbeat.partition(".")[::2]))
        return f"SELECT TIMESTAMPDIFF(MICROSECOND, MAX(ts), UTC_TIMESTAMP(6)) FROM {quoted}"  # noqa: S608  (quoted above)

    def measured(self, wire: Wire, replies: Sequence[ServerReply]) -> Measured:
        """Return the measurement from the answers to `texts`; sends follow-up queries where needed.

        Raises:
            DriverError, OSError: the connection is lost, or the node does not even say who it is.
            ValueError: it does not say clearly whether it takes writes.
        """
        told = dict(zip(self.texts, replies, strict=True))
        identity, status, group, *_ = replies
        if identity.error is not None:
            raise identity.error
        server, read_only, innodb_read_only, log_file, *of_itself = identity.rows[0]
        check_identity(self.dialect, wire.server_version, (server, *of_itself), address=wire.address)
        health = numbers_of(told[self.dialect.server.health].rows) if self.with_health else {}
        facts = NodeFacts(
            read_only=is_on(read_only),
            innodb_read_only=is_on(innodb_read_only),
            channels=_channels(wire, status, self.dialect.server.replica_status[1:]),
            member=member_of(wire, self.dialect, str(server), group.told),
            heartbeat_lag_seconds=_age(told[self._of_heartbeat]) if self.heartbeat else None,
            heartbeat_asked=bool(self.heartbeat),
        )
        count = told.get(_COUNT)
        measured = Measured(
            server=str(server),
            mark=demo_mark_in(str(log_file)),
            facts=facts,
            followers=self._followers(wire, told, health.get("SLAVES_CONNECTED")) if self.with_health else Followers(),
            threads_running=health.get("THREADS_RUNNING"),
            used_memory_bytes=health.get("MEMORY_USED"),
            history_length=health.get("INNODB_HISTORY_LIST_LENGTH"),
            tables=_tables(count, health.get("OPEN_TABLE_DEFINITIONS")) if count else None,
        )
        self.refused.update(text for text in self._of_followers if text in told and _is_refused(told[text]))
        return measured

    def _followers(self, wire: Wire, told: Mapping[str, ServerReply], count: int | None) -> Followers:
        first, *others = self.dialect.server.followers
        reply = told.get(first)
        if reply is not None and reply.error is not None and not _is_refused(reply):
            # It knows another form of the question.
            reply = next((each for each in (wire.flight(other)[0] for other in others) if each.error is None), reply)
        if reply is not None and reply.error is None:
            return Followers(seen=tuple(map(follower_of, reply.named)), count=len(reply.rows))
        dumping = told[self.dialect.server.dumping].told if self.dialect.server.dumping in told else None
        seen = tuple(Peer(address=address) for row in dumping or () if (address := address_of(row[0], row[1])))
        return Followers(seen=seen, count=count if count is not None or dumping is None else len(dumping))


def measure(wire: Wire, questions: Questions) -> Measured:
    """Measure a node. Raises as `Questions.measured`."""
    return questions.measured(wire, wire.flight(*questions.texts))


def _is_refused(reply: ServerReply) -> bool:
    return reply.error is not None and code_of(reply.error) in _REFUSED


def _channels(wire: Wire, reply: ServerReply, others: tuple[str, ...]) -> tuple[Channel, ...] | None:
    for form in others:
        if reply.error is None:
            break
        (reply,) = wire.flight(form)
    if reply.error is not None:
        return None
    # A group's own channels are how it works, not a sign that somebody replicates into it.
    return tuple(
        channel
        for channel in map(channel_of, reply.named)
        if channel.name not in ("group_replication_applier", "group_replication_recovery")
    )


def _age(reply: ServerReply) -> float | None:
    age = reply.rows[0][0] if reply.rows else None
    return None if age is None else max(float(age) / 1e6, 0.0)


def _tables(reply: ServerReply, open_definitions: int | None) -> int | None:
    """Return the minimum number of tables, or None if unknown.

    The rows of persistent statistics are counted, one for each table or partition of InnoDB in every schema, whoever
    may read the tables. The optimizer's guess of that number is no substitute: this table has no persistent statistics
    of its own, and in a server where it was asked for once the guess stays as it was. Source: MySQL 9.7 and MariaDB
    10.11, measured: 13 for over 20 minutes after 1,100 tables were made; the count of 1,213 rows took 1.2 and 0.4 ms.

    Args:
        reply: to `_COUNT`.
        open_definitions: definitions of tables of any engine that the server holds now, None where not told.
    """
    rows = reply.told
    if not rows or rows[0][0] != "1" or str(rows[0][1]).lower() != "innodb":
        # Where tables are not counted by default, those that are say nothing of the others.
        return None
    return max(int(rows[0][2] or 0), open_definitions or 0)
