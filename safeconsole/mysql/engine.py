"""One cluster of the family: its nodes found and measured, its connections opened."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, ProcessShare, Sensor, in_turn
from safeconsole.config.kept_grants import KeptGrants, KeptPrivileges
from safeconsole.config.secrets import Secret, Secrets
from safeconsole.config.settings import ClusterSettings
from safeconsole.dialects.privileges import AccountPrivileges, lacking
from safeconsole.errors import ConfigurationError, CrowdedError, SafeConsoleError, UnreachableError
from safeconsole.mysql.ahead import Ahead, likely_node
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.control import Control
from safeconsole.mysql.dialling import HeldSecret, login_for
from safeconsole.mysql.discovery import Lead
from safeconsole.mysql.inventory import Inventory, OpenThread, threads_in
from safeconsole.mysql.login import Login
from safeconsole.mysql.measurements import Measurements
from safeconsole.mysql.node import MeasuredNode, Monitor
from safeconsole.mysql.opening import open_connection, open_line
from safeconsole.mysql.pool import StatementPool, most_of_one
from safeconsole.mysql.remembered import Remembered
from safeconsole.mysql.sensors import FirstLook, Lookout, Target
from safeconsole.mysql.watchdog import NodeWatch, Watchdog
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName

if TYPE_CHECKING:
    from safeconsole.mysql.bastion import Bastion

BELIEVED_SECONDS = 5.0
"""Greatest age of a measurement that tells a cluster's family and lexical rules."""

REST_SECONDS = 5.0
"""How long a control connection stays open when nobody asks or is watched over it."""

LEAST_WAIT_SECONDS = 0.5

ALONE = ProcessShare()


class MySqlEngine:
    """One cluster; see `Engine`.

    Args:
        name: the cluster's, for its secrets.
        free_memory: sources for the hosts' free memory, by node name, asked when nodes are measured.
        running_memory: such sources, asked while a statement runs.
        bastion: reaches its nodes, where their network is another one.
        share: this process among those that serve the cluster together.
        remembered: what another process met.
    """

    def __init__(  # noqa: PLR0913 (what one cluster is reached with, each named)
        self,
        name: str,
        settings: ClusterSettings,
        secrets: Secrets,
        clock: Clock,
        *,
        free_memory: Mapping[NodeName, Sensor] | None = None,
        running_memory: Mapping[NodeName, Sensor] | None = None,
        bastion: Bastion | None = None,
        grants: KeptGrants | None = None,
        share: ProcessShare = ALONE,
        remembered: Remembered | None = None,
    ) -> None:
        self._remembered = remembered or Remembered()
        self._ahead: Ahead | None = None
        self._name = name
        self._settings = settings
        self._secrets = secrets
        self._clock = clock
        self._free_memory = dict(free_memory or {})
        self._running_memory = dict(running_memory or {})
        self._bastion = bastion
        self._measurements = Measurements(settings, clock, self._monitor_for)
        self._read_secret = HeldSecret(
            secrets,
            clock,
            cluster=name,
            account=settings.accounts.read,
            is_by_node="aws-iam" in settings.secrets.sources,
        )
        self._watches: dict[tuple[NodeName, str, str], tuple[NodeWatch, int]] = {}
        self._pool = StatementPool(clock.monotonic, most_of_one(share.processes))
        self._inventory = Inventory(share.inventory) if share.inventory else None
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._upkeep: threading.Thread | None = None
        self._stirred = 0
        self._elevated: AccountPrivileges | None = None
        self._grants = grants

    @property
    def flavour(self) -> Flavour:
        """The server family; measured if the configuration says auto."""
        if self._settings.engine != "auto":
            return Flavour(self._settings.engine)
        return self._any_seen().variant.dialect.flavour

    @property
    def rules(self) -> LexicalRules:
        """The servers' lexical rules, from the first node that answered."""
        return self._any_seen().rules

    def topology(
        self, *, since_seconds: float | None = None, only: frozenset[NodeName] = frozenset()
    ) -> tuple[Reading, ...]:
        """Return every node's reading; see `Engine`."""
        now = self._clock.monotonic()
        try:
            return self._measurements.since(now if since_seconds is None else since_seconds, only)
        finally:
            self._keep_up()

    def measure_ahead(self, only: frozenset[NodeName] = frozenset()) -> None:
        """Start measuring in the background; see `Engine`."""
        self._measurements.ahead(only)
        self._keep_up()

    def expect(self, to: str | None, schema: str) -> None:
        """Connect to the node that a statement will probably go to; see `Engine`."""
        if to is None or self._measurements.readings or self._ahead is not None:
            return
        likely = likely_node(self._settings, self._remembered, to)
        if likely is None:
            return
        address, node = likely
        monitor, schema = self._measurements.monitor_at(address), schema or self._settings.schema
        look = FirstLook(monitor.watch.control, monitor.watch.eye)
        monitor.expect(look)
        self._ahead = Ahead(node, schema, look, partial(self._open_ahead, monitor, schema, look))

    def _open_ahead(self, monitor: Monitor, schema: str, look: FirstLook) -> MySqlConnection:
        _, login = monitor.reached()
        if login.is_leased:
            # It is watched as that account, and not by whoever measures.
            raise UnreachableError("an account that is made for a while is not asked for ahead")
        known, node = monitor.known, monitor.node
        return open_connection(
            login, monitor.watch, node=node, account=Account.READ, schema=schema, known=known, look=look
        )

    @property
    def expected(self) -> NodeName | None:
        """The node that a connection waits at; see `Engine`."""
        ahead = self._ahead
        return ahead.node if ahead is not None else None

    def _take_ahead(self, seen: MeasuredNode, node: NodeName, schema: str) -> MySqlConnection | None:
        """Return the connection that was opened ahead, if it is one to this server; close it if it is not."""
        with self._lock:
            ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        if (ahead.node, ahead.schema) != (node, schema):
            ahead.close()
            return None
        connection = ahead.take()
        if connection is None or connection.joins(seen.server, seen.rules, shares_writes=seen.shares_writes):
            return connection
        connection.close()
        return None

    def _rest_ahead(self) -> float | None:
        """Close what was opened ahead and is not taken; return the seconds until that is due, or None."""
        ahead = self._ahead
        if ahead is None:
            return None
        if ahead.age_seconds < REST_SECONDS:
            return REST_SECONDS - ahead.age_seconds
        self._drop_ahead(ahead.node)
        return None

    def _drop_ahead(self, node: NodeName | None = None, *, within_seconds: float = 0.0) -> bool:
        """Close what was opened ahead, at a node where one is named, and say whether there was anything."""
        with self._lock:
            ahead = self._ahead
            if ahead is None or node not in {None, ahead.node}:
                return False
            self._ahead = None
        ahead.close(within_seconds=within_seconds)
        return True

    def _make_room(self, node: NodeName) -> bool:
        """Close a connection of the read account that nobody uses now, and say whether there was one."""
        within = self._settings.connect_seconds
        return self._pool.shed((node, Account.READ)) or self._drop_ahead(node, within_seconds=within)

    def connect(self, node: NodeName, account: Account, *, schema: str = "") -> MySqlConnection:
        """Lend a guarded connection to a node; see `Engine`."""
        seen = self._measurements.seen.get(node) or self._measure_one(node)
        schema = schema or self._settings.schema
        open_one = partial(self._open, seen, node, account, schema)
        # What is elevated belongs to one session, for as long as its elevation.
        if account is Account.ELEVATED:
            opened = open_one()
            if opened.privileges is not None:
                self._elevated = opened.privileges
                if self._grants is not None:
                    self._grants.keep(self._login_name(account), node, seen.server, opened.privileges)
            return opened
        within = self._settings.connect_seconds
        try:
            lent = self._pool.lend((node, account), schema, open_one, server=seen.server, within_seconds=within)
        except CrowdedError:
            # Who has to wait keeps no other one from going on.
            for monitor in self._measurements.monitors:
                monitor.watch.rest(idle_seconds=0)
            raise
        self._keep_up()
        return lent

    def park(self, connection: Connection, *, last: bool = False) -> None:
        """Keep a connection until it is needed again; see `Engine`."""
        self._pool.park(connection, last=last)
        self._keep_up()

    def reclaim(self, connection: Connection) -> bool:
        """Take back a parked connection; see `Engine`."""
        return self._pool.reclaim(connection)

    def tidy(self) -> float | None:
        """Close connections idle for too long; return the seconds until the next is due, or None."""
        waits = [self._pool.tidy()]
        with self._lock:
            watches = [watch for watch, _ in self._watches.values()]
        watches += [monitor.watch for monitor in self._measurements.monitors]
        waits += [watch.rest(idle_seconds=REST_SECONDS) for watch in watches]
        waits.append(self._rest_ahead())
        return min((seconds for seconds in waits if seconds is not None), default=None)

    def _keep_up(self) -> None:
        """Run a thread that closes idle connections while any are open."""
        self._stirred += 1
        with self._lock:
            if self._upkeep is None and not self._closed.is_set():
                self._upkeep = threading.Thread(target=self._tidy_on, daemon=True, name="safeconsole-upkeep")
                self._upkeep.start()

    def _tidy_on(self) -> None:
        while True:
            stirred, wait_seconds = self._stirred, self.tidy()
            if wait_seconds is None:
                with self._lock:
                    # Somebody may have opened something since.
                    if self._stirred == stirred:
                        self._upkeep = None
                        return
                wait_seconds = LEAST_WAIT_SECONDS
            if self._closed.wait(max(wait_seconds, LEAST_WAIT_SECONDS)):
                return

    def end_abandoned(self, inventory: str) -> tuple[tuple[str, str], ...]:
        """Kill what a process that died had open; see `Engine`."""
        left = threads_in(inventory)
        if left:
            self.topology()
        fates = [(each, self._ended(each)) for each in left]
        return tuple((f"thread {each.thread} on {each.node}", fate) for each, fate in fates if fate != "already over")

    def _ended(self, left: OpenThread) -> str:
        known = tuple(self._measurements.seen.items())
        try:
            found = next(((node, seen) for node, seen in known if seen.server == left.server), None)
            if found is None:
                return "unreachable"
            node, seen = found
            login = self._login(seen, left.account)
            watch = self._enter_watch(seen, node, left.account, login)
            target = Target(thread=left.thread, host="", server=left.server, cut=lambda: None)
            watchdog = Watchdog(watch, Lookout(watch.control, seen.variant.dialect, target))
            try:
                # A later connection of the same number is somebody else's.
                return watchdog.still_there() if watchdog.find_host() == left.host else "already over"
            finally:
                watchdog.close()
        except SafeConsoleError:
            return "unreachable"

    def _login(self, seen: MeasuredNode, account: Account) -> Login:
        return login_for(
            seen.place,
            self._settings.tls,
            secret=self._secret(account, seen.place.named),
            bastion=self._bastion,
            connect_seconds=self._settings.connect_seconds,
        )

    def _open(self, seen: MeasuredNode, node: NodeName, account: Account, schema: str) -> MySqlConnection:
        ahead = self._take_ahead(seen, node, schema) if account is Account.READ else None
        opened = ahead or self._open_now(seen, node, account, schema)
        if self._inventory is not None:
            self._inventory.add(opened)
        return opened

    def _open_now(self, seen: MeasuredNode, node: NodeName, account: Account, schema: str) -> MySqlConnection:
        login = self._login(seen, account)
        schema = schema or self._settings.schema
        if account is Account.DIAGNOSE and schema.lower() not in seen.variant.dialect.catalogue.schemas:
            # It may see no table of the application's, so that no server opens its schema for it.
            schema = ""
        watch = self._enter_watch(seen, node, account, login)
        try:
            return open_connection(
                login, watch, node=node, account=account, expected_server=seen.server, known=seen.variant,
                schema=schema, shares_writes=seen.shares_writes,
            )  # fmt: skip
        except BaseException:
            watch.left()
            raise

    def _enter_watch(self, seen: MeasuredNode, node: NodeName, account: Account, login: Login) -> NodeWatch:
        """Return the watchdog for one account on a node; an account sees and kills only its own threads."""
        monitor = self._measurements.monitor_of(node)
        if monitor is None:
            raise UnreachableError(f"{node} does not belong to the cluster any more")
        if account is Account.READ and not login.is_leased:
            return monitor.watch
        key = node, login.account, seen.server
        with self._lock:
            watch, users = self._watches.get(key) or (None, 0)
            if watch is None:
                now = self._clock.monotonic
                opening = partial(open_line, login, seen.place, known=seen.variant)
                control = Control(lambda _, first: opening(first=first), now)
                memory = self._running_memory.get(node)
                watch = NodeWatch(control, free_memory=memory, left=partial(self._leave_watch, key))
            self._watches[key] = watch, users + 1
            return watch

    def _leave_watch(self, key: tuple[NodeName, str, str]) -> None:
        with self._lock:
            watch, users = self._watches.pop(key)
            if users > 1:
                self._watches[key] = watch, users - 1
                return
        watch.close()

    def position(self, node: NodeName) -> str:
        monitor = self._measurements.monitor_of(node)
        return monitor.history.position() if monitor else ""

    def lacking(self, statement: Statement, *, schema: str) -> str:
        """Return what the elevated account lacks for a statement; see `Engine`."""
        kept = self._kept_grants() if self._elevated is None else None
        held = kept.held if kept else self._elevated
        if held is None:
            return ""
        named = lacking(held, statement, self.rules.dialect, schema=schema or self._settings.schema)
        if not named:
            return ""
        if kept is None:
            return f"the elevated account has no {named}"
        return f"the elevated account had no {named} on {kept.node} {kept.ago}; every elevation asks it anew"

    def _kept_grants(self) -> KeptPrivileges | None:
        if self._grants is None:
            return None
        servers = {seen.server for seen in tuple(self._measurements.seen.values())}
        return self._grants.of(self._settings.accounts.elevated, servers)

    def has_reached(self, node: NodeName, position: str, *, within_seconds: float) -> bool:
        """Whether a node has applied a position; see `Engine`."""
        monitor = self._measurements.monitor_of(node)
        return monitor is not None and monitor.history.has_reached(position, within_seconds=within_seconds)

    def close(self) -> None:
        """Close the control connections; those for statements stay with their owners. Never raises."""
        self._closed.set()
        upkeep = self._upkeep
        if upkeep is not None:
            upkeep.join(LEAST_WAIT_SECONDS)
        self._drop_ahead()
        self._pool.close()
        self._remember()
        self._measurements.close()

    def _remember(self) -> None:
        seen, addresses = self._measurements.seen, self._measurements.addresses
        self._remembered.keep(
            (addresses[each.node], each.role, seen[each.node].variant)
            for each in self._measurements.readings
            if each.node in seen and each.node in addresses and not each.unreachable
        )

    def _secret(self, account: Account, node: str) -> Secret:
        login_name = self._login_name(account)
        if account is Account.READ:
            return self._read_secret.get(node)
        # Fetched for its connection and held for nothing else.
        return self._secrets.secret(self._name, login_name, node)

    def _login_name(self, account: Account) -> str:
        name = self._settings.accounts.of(account)
        if not name:
            raise ConfigurationError(
                f"cluster {self._name} has no {account} account",
                instead=f"set clusters.{self._name}.accounts.{account}",
            )
        return name

    def _monitor_for(self, address: str, lead: Lead | None) -> Monitor:
        node = NodeName(self._settings.names.get(address, address))
        return Monitor(
            node=node,
            address=address,
            settings=self._settings,
            secret=partial(self._secret, Account.READ),
            bastion=self._bastion,
            free_memory=self._free_memory.get(node),
            running_memory=self._running_memory.get(node),
            lead=lead,
            make_room=partial(self._make_room, node),
            now=self._clock.monotonic,
            remembered=self._remembered.variant_of(address),
        )

    def _any_seen(self) -> MeasuredNode:
        return next(iter(tuple(self._measurements.seen.values())), None) or in_turn(self._first_seen)

    def _first_seen(self) -> MeasuredNode:
        readings = self._measurements.since(self._clock.monotonic() - BELIEVED_SECONDS)
        if not self._measurements.seen and any(reading.is_full for reading in readings):
            # A waiting caller needs a fresh measurement, not the cached one.
            readings = self._measurements.since(self._clock.monotonic())
        seen = next(iter(tuple(self._measurements.seen.values())), None)
        if seen is None:
            kind = CrowdedError if any(reading.is_full for reading in readings) else UnreachableError
            reasons = tuple(f"{reading.node}: {reading.unreachable}" for reading in readings)
            instead = next((reading.mend for reading in readings if reading.mend), "")
            raise kind(f"no node of cluster {self._name} answers", evidence=reasons, instead=instead)
        return seen

    def _measure_one(self, node: NodeName) -> MeasuredNode:
        readings = self.topology()
        seen = self._measurements.seen.get(node)
        if seen is None:
            reading = next((reading for reading in readings if reading.node == node), None)
            if reading is None:
                raise ConfigurationError(f"cluster {self._name} has no node {node}")
            raise UnreachableError(f"{node} does not answer: {reading.unreachable or reading.proof}")
        return seen


def open_engine(  # noqa: PLR0913 (what an engine is made of, each named)
    name: str,
    settings: ClusterSettings,
    secrets: Secrets,
    clock: Clock,
    *,
    free_memory: Mapping[NodeName, Sensor] | None = None,
    running_memory: Mapping[NodeName, Sensor] | None = None,
    state: Path | None = None,
    share: ProcessShare = ALONE,
) -> MySqlEngine:
    """Return the engine of one cluster; it opens no connection before the first request.

    Args:
        free_memory, running_memory: as of `MySqlEngine`, in place of the configured ones.
        state: the directory where it is kept what was met and what accounts may do, None for nowhere.
        share: as of `MySqlEngine`.
    """
    if settings.free_memory and free_memory is None and running_memory is None:
        from safeconsole.cluster.host_memory import host_sources  # noqa: PLC0415 (few ask for it, and it loads HTTP)

        sources = host_sources(name, settings)
        free_memory, running_memory = sources.beforehand, sources.while_running
    bastion = None
    if settings.ssh:
        from safeconsole.mysql.bastion import Bastion, socket_directory  # noqa: PLC0415 (few need it, and it loads more)

        bastion = Bastion(settings.ssh, socket_directory(os.environ))
    return MySqlEngine(
        name,
        settings,
        secrets,
        clock,
        free_memory=free_memory,
        running_memory=running_memory,
        bastion=bastion,
        grants=KeptGrants(state, name) if state is not None else None,
        share=share,
        remembered=Remembered(state / "clusters" if state is not None else None, settings.nodes),
    )
