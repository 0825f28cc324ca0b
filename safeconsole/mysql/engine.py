"""One cluster of the family: its nodes found and measured, its connections opened."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Sensor
from safeconsole.config.secrets import Secrets
from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import ConfigurationError, SafeConsoleError, UnreachableError
from safeconsole.mysql.connection import MySqlConnection
from safeconsole.mysql.control import Control
from safeconsole.mysql.dialling import login_for
from safeconsole.mysql.discovery import Found, Met
from safeconsole.mysql.node import HeldPassword, MeasuredNode, Monitor, open_connection, open_line
from safeconsole.mysql.watchdog import NodeWatch
from safeconsole.mysql.wire import Login
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.vocabulary import Account, Flavour, NodeName

Returned = TypeVar("Returned")


def at_once(acts: Sequence[Callable[[], Returned]]) -> list[Returned]:
    """Call all functions at once and return what they return, in their order.

    Plain threads: the standard library's pool costs a start 5 ms of imports, measured.

    Raises:
        BaseException: what the first of them in order raised, once all are over.
    """
    found: dict[int, Returned] = {}
    failed: dict[int, BaseException] = {}

    def call(at: int, act: Callable[[], Returned]) -> None:
        try:
            found[at] = act()
        except BaseException as error:  # noqa: BLE001 (raised again below, in the thread that asked)
            failed[at] = error

    threads = [threading.Thread(target=call, args=each, name="safeconsole-measuring") for each in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[min(failed)]
    return [found[at] for at in range(len(acts))]


MOST_NODES = 32
AHEAD_HOLDS_SECONDS = 1.0
"""Greatest age of an unused measurement that counts as new."""

_ROUNDS = 6
"""Longest chain of nodes, each named by the one before, that is followed."""

_CLOSE_SECONDS = 0.2


class MySqlEngine:
    """One cluster; see `interfaces.Engine`.

    Args:
        name: the cluster's, for its secrets.
        free_memory: sources for the hosts' free memory, by node name, asked when nodes are measured.
        running_memory: such sources, asked while a statement runs.
    """

    def __init__(
        self,
        name: str,
        settings: ClusterSettings,
        secrets: Secrets,
        clock: Clock,
        *,
        free_memory: Mapping[NodeName, Sensor] | None = None,
        running_memory: Mapping[NodeName, Sensor] | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._secrets = secrets
        self._clock = clock
        self._free_memory = dict(free_memory or {})
        self._running_memory = dict(running_memory or {})
        self._monitors: dict[str, Monitor] = {}
        self._seen: dict[NodeName, MeasuredNode] = {}
        self._found = Found(settings)
        self._read_password = HeldPassword(
            secrets,
            clock,
            cluster=name,
            account=settings.accounts.read,
            is_by_node="aws-iam" in settings.secrets.sources,
        )
        self._elevated: dict[tuple[NodeName, str], tuple[NodeWatch, int]] = {}
        self._lock = threading.Lock()
        self._measuring = threading.Lock()
        self._ahead: tuple[float, tuple[Reading, ...]] | None = None
        self._closed = False

    @property
    def flavour(self) -> Flavour:
        """The family member, found out by asking where the configuration says auto."""
        if self._settings.engine != "auto":
            return Flavour(self._settings.engine)
        return self._any_seen().variant.dialect.flavour

    @property
    def rules(self) -> LexicalRules:
        """The servers' lexical rules, from the first node that answered."""
        return self._any_seen().rules

    def topology(self) -> tuple[Reading, ...]:
        with self._measuring:
            ahead, self._ahead = self._ahead, None
            if ahead is not None and self._clock.monotonic() - ahead[0] < AHEAD_HOLDS_SECONDS:
                return ahead[1]
            return self._measure_all()

    def measure_ahead(self) -> None:
        """Begin to measure before anybody asks; a caller meanwhile waits for the result or its error."""
        # Taken here, so that a question that follows at once does not measure a second time.
        self._measuring.acquire()
        threading.Thread(target=self._measure_for_later, daemon=True, name="safeconsole-ahead").start()

    def _measure_for_later(self) -> None:
        try:
            with suppress(SafeConsoleError):
                self._keep_measured()
        finally:
            if self._closed:
                self._close_monitors()
            self._measuring.release()

    def _keep_measured(self) -> tuple[Reading, ...]:
        readings = self._measure_all()
        self._ahead = (self._clock.monotonic(), readings)
        return readings

    def _measure_all(self) -> tuple[Reading, ...]:
        measured: dict[str, Reading] = {}
        # Who was found before is measured with the others: a primary that died names nobody any more.
        wave = (*dict.fromkeys(self._settings.nodes), *self._found.leads)
        for _ in range(_ROUNDS):
            if not wave:
                break
            monitors = [self._monitor(address) for address in wave]
            readings = at_once([partial(monitor.measure, self._clock.monotonic()) for monitor in monitors])
            measured.update(zip(wave, readings, strict=True))
            wave = self._found.follow(self._met(measured), measured, most=MOST_NODES - len(measured))
        met = self._met(measured)
        readings_in_force = self._found.judged(measured, met)
        for address in met:
            seen, node = self._monitors[address].seen, measured[address].node
            if self._found.refuses(address):
                self._seen.pop(node, None)
            elif seen:
                self._seen[node] = seen
        self._let_go(address for address in measured if self._found.is_needless(address))
        return readings_in_force

    def _let_go(self, addresses: Iterable[str]) -> None:
        with self._lock:
            needless = [self._monitors.pop(address) for address in addresses]
        for monitor in needless:
            monitor.close()

    def _met(self, measured: Mapping[str, Reading]) -> dict[str, Met]:
        return {address: seen.met for address in measured if (seen := self._monitors[address].seen)}

    def connect(self, node: NodeName, account: Account, *, schema: str = "") -> MySqlConnection:
        """Open a guarded connection to a node; see `interfaces.Engine`."""
        seen = self._seen.get(node) or self._measure_one(node)
        login_name = self._login_name(account)
        login = login_for(
            seen.place,
            self._settings.tls,
            account=login_name,
            password=self._password(account, login_name, seen.place.named),
            connect_seconds=self._settings.connect_seconds,
        )
        watch = self._enter_watch(seen, node, account, login)
        try:
            return open_connection(
                login,
                watch,
                node=node,
                account=account,
                expected_server=seen.server,
                known=seen.variant,
                schema=schema or self._settings.schema,
            )
        except BaseException:
            watch.left()
            raise

    def _enter_watch(self, seen: MeasuredNode, node: NodeName, account: Account, login: Login) -> NodeWatch:
        """Return what watches an account's statements on a node: an account sees and kills its own threads alone."""
        monitor = self._monitor_of(node)
        if monitor is None:
            raise UnreachableError(f"{node} does not belong to the cluster any more")
        if account is Account.READ:
            return monitor.watch
        key = node, seen.server
        with self._lock:
            watch, users = self._elevated.get(key) or (None, 0)
            if watch is None:
                control = Control(lambda _: open_line(login, seen.place, measures=False, known=seen.variant))
                memory = self._running_memory.get(node)
                watch = NodeWatch(control, free_memory=memory, left=partial(self._leave_watch, key))
            self._elevated[key] = watch, users + 1
            return watch

    def _leave_watch(self, key: tuple[NodeName, str]) -> None:
        with self._lock:
            watch, users = self._elevated.pop(key)
            if users > 1:
                self._elevated[key] = watch, users - 1
                return
        watch.close()

    def position(self, node: NodeName) -> str:
        monitor = self._monitor_of(node)
        return monitor.position() if monitor else ""

    def has_reached(self, node: NodeName, position: str, *, within_seconds: float) -> bool:
        """Whether a node has applied a position; see `interfaces.Engine`."""
        monitor = self._monitor_of(node)
        return monitor is not None and monitor.has_reached(position, within_seconds=within_seconds)

    def close(self) -> None:
        """Close the monitors; connections stay with their owners. Never raises."""
        self._closed = True
        # A measurement that hangs on a node must not keep the person who leaves: it closes what it opened.
        if self._measuring.acquire(timeout=_CLOSE_SECONDS):
            self._close_monitors()
            self._measuring.release()

    def _close_monitors(self) -> None:
        with self._lock:
            monitors, self._monitors = tuple(self._monitors.values()), {}
        for monitor in monitors:
            monitor.close()

    def _password(self, account: Account, login_name: str, node: str) -> str:
        # An elevated account's is fetched for its connection and held for nothing else.
        if account is Account.ELEVATED:
            return self._secrets.password(self._name, login_name, node)
        return self._read_password.get(node)

    def _login_name(self, account: Account) -> str:
        accounts = self._settings.accounts
        name = accounts.elevated if account is Account.ELEVATED else accounts.read
        if not name:
            raise ConfigurationError(
                f"cluster {self._name} has no {account} account",
                instead=f"set clusters.{self._name}.accounts.{account}",
            )
        return name

    def _monitor_of(self, node: NodeName) -> Monitor | None:
        with self._lock:
            return next((monitor for monitor in self._monitors.values() if monitor.node == node), None)

    def _monitor(self, address: str) -> Monitor:
        account = self._login_name(Account.READ)
        node = NodeName(self._settings.names.get(address, address))
        with self._lock:
            found = self._monitors.get(address)
            if found is None:
                found = self._monitors[address] = Monitor(
                    node=node,
                    address=address,
                    settings=self._settings,
                    account=account,
                    password=self._read_password.get,
                    free_memory=self._free_memory.get(node),
                    running_memory=self._running_memory.get(node),
                    lead=self._found.leads.get(address),
                )
            return found

    def _any_seen(self) -> MeasuredNode:
        if not self._seen:
            with self._measuring:
                # Somebody may have measured while this waited.
                readings = self._ahead[1] if self._ahead and self._seen else self._keep_measured()
            if not self._seen:
                reasons = tuple(f"{reading.node}: {reading.unreachable}" for reading in readings)
                raise UnreachableError(f"no node of cluster {self._name} answers", evidence=reasons)
        return next(iter(self._seen.values()))

    def _measure_one(self, node: NodeName) -> MeasuredNode:
        readings = self.topology()
        seen = self._seen.get(node)
        if seen is None:
            reading = next((reading for reading in readings if reading.node == node), None)
            if reading is None:
                raise ConfigurationError(f"cluster {self._name} has no node {node}")
            raise UnreachableError(f"{node} does not answer: {reading.unreachable or reading.proof}")
        return seen


def open_engine(
    name: str,
    settings: ClusterSettings,
    secrets: Secrets,
    clock: Clock,
    *,
    free_memory: Mapping[NodeName, Sensor] | None = None,
    running_memory: Mapping[NodeName, Sensor] | None = None,
) -> MySqlEngine:
    """Return the engine of one cluster; it connects to nothing before it is asked something."""
    return MySqlEngine(name, settings, secrets, clock, free_memory=free_memory, running_memory=running_memory)
