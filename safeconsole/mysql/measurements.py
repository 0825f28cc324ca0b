"""Readings of a cluster's nodes, shared by all sessions of the process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from safeconsole.clock import Clock
from safeconsole.cluster.routing import appointed
from safeconsole.config.settings import ClusterSettings
from safeconsole.errors import SafeConsoleError
from safeconsole.mysql.discovery import Found, Lead, Met
from safeconsole.mysql.node import MeasuredNode, Measurement, Monitor
from safeconsole.policy.readings import Reading
from safeconsole.sqltext.vocabulary import NodeName, Role

Returned = TypeVar("Returned")

MOST_NODES = 32

RENEWED_SECONDS = 2.0
"""Age at which a reading that is in use is worth measuring anew."""

LATE_SECONDS = 0.2
"""How much longer than the others a node may take that did not answer before."""

_FACTOR = 4

_ROUNDS = 6
"""Longest chain of nodes, each named by the one before, that is followed."""


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


class _Race:
    """Measures addresses in a thread each, until those that are late are not waited for any more.

    Args:
        late: told what came of one that was not waited for.
    """

    def __init__(self, late: Callable[[str, Measurement | BaseException], None]) -> None:
        self._late = late
        self._found: dict[str, Measurement | BaseException] = {}
        self._changed = threading.Condition()
        self._is_over = False
        self._began = time.monotonic()
        self.seconds = 0.0

    def start(self, address: str, act: Callable[[], Measurement]) -> None:
        threading.Thread(target=self._call, args=(address, act), daemon=True, name="safeconsole-measuring").start()

    def run(self, patience: Mapping[str, float]) -> dict[str, Measurement]:
        """Return what was measured in time.

        Args:
            patience: how long each is waited for once one of them proved its role.

        Raises:
            BaseException: what the first of them in order raised.
        """
        proven_seconds = float("inf")
        with self._changed:
            try:
                while missing := [address for address in patience if address not in self._found]:
                    self.seconds = time.monotonic() - self._began
                    if proven_seconds > self.seconds and any(map(_is_proven, self._found.values())):
                        proven_seconds = self.seconds
                    # Servers far away, on a busy computer, take a multiple of their own time.
                    until = max(patience[address] for address in missing) + _FACTOR * proven_seconds
                    if self.seconds >= until:
                        break
                    self._changed.wait(None if until == float("inf") else until - self.seconds)
            finally:
                self._is_over = True
            for address in patience:
                found = self._found.get(address)
                if isinstance(found, BaseException):
                    raise found
            return {address: each for address, each in self._found.items() if isinstance(each, Measurement)}

    def _call(self, address: str, act: Callable[[], Measurement]) -> None:
        found: Measurement | BaseException
        try:
            found = act()
        except BaseException as error:  # noqa: BLE001 (raised again in the thread that asked)
            found = error
        with self._changed:
            if not self._is_over:
                self._found[address] = found
                self._changed.notify_all()
                return
        self._late(address, found)


def _is_proven(found: Measurement | BaseException) -> bool:
    return isinstance(found, Measurement) and found.reading.role is not Role.UNKNOWN


class _Flight(msgspec.Struct, eq=False):
    """A measurement that is under way.

    Attributes:
        began_seconds: by the cluster's clock; what it finds is as of then.
        error: why it found nothing, None when it did or was interrupted.
    """

    began_seconds: float
    is_over: threading.Event = msgspec.field(default_factory=threading.Event)
    is_done: bool = False
    error: SafeConsoleError | None = None


_ALL: frozenset[NodeName] = frozenset()


class Measurements:
    """Measures nodes for all threads; a caller joins a measurement that is already under way.

    Nobody waits for a measurement that they do not need: one of a single node needs no other node to answer.

    Args:
        monitor_for: makes what measures an address.
    """

    def __init__(
        self, settings: ClusterSettings, clock: Clock, monitor_for: Callable[[str, Lead | None], Monitor]
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._monitor_for = monitor_for
        self._monitors: dict[str, Monitor] = {}
        self._seen: dict[NodeName, MeasuredNode] = {}
        self._found = Found(settings)
        self._measured: dict[str, Measurement] = {}
        self._readings: tuple[Reading, ...] = ()
        self._complete_seconds = float("-inf")
        self._lock = threading.Lock()
        self._flights: dict[frozenset[NodeName], _Flight] = {}
        self._closed = False
        # The addresses that are being measured, whether anybody still waits for it or not.
        self._asked: set[str] = set()

    @property
    def seen(self) -> Mapping[NodeName, MeasuredNode]:
        """The nodes that answered and belong to the cluster."""
        return self._seen

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The latest readings, () before the first measurement."""
        return self._readings

    def since(self, seconds: float, only: frozenset[NodeName] = _ALL) -> tuple[Reading, ...]:
        """Return every node's reading, measured again if older than a time of the cluster's clock.

        Args:
            only: the nodes that must be as new as that; all of the cluster's where it is empty.

        Raises:
            ConfigurationError: as `Monitor.measure`.
        """
        if not only or not self._readings:
            if self._complete_seconds < seconds:
                self._fly(_ALL, seconds)
        else:
            for reading in self._readings:
                if reading.node in only and reading.measured_seconds < seconds:
                    self._fly(frozenset({reading.node}), seconds)
        return self._readings

    def ahead(self, only: frozenset[NodeName] = _ALL) -> None:
        """Start measuring in the background; an error is raised to the next caller.

        Nothing where it was just measured, or is being measured.
        """
        now = self._clock.monotonic()
        if self._oldest(only) > now - RENEWED_SECONDS:
            return
        with self._lock:
            if self._closed or only in self._flights:
                return
            flight = self._flights[only] = _Flight(began_seconds=now)
        thread = threading.Thread(target=self._carry_out, args=(only, flight), daemon=True, name="safeconsole-ahead")
        try:
            thread.start()
        except BaseException:
            self._land(only, flight)
            raise

    def _oldest(self, only: frozenset[NodeName]) -> float:
        if not only:
            return self._complete_seconds
        return min((each.measured_seconds for each in self._readings if each.node in only), default=float("-inf"))

    def monitor_of(self, node: NodeName) -> Monitor | None:
        with self._lock:
            return next((monitor for monitor in self._monitors.values() if monitor.node == node), None)

    def monitor_at(self, address: str) -> Monitor:
        return self._monitor(address)

    @property
    def addresses(self) -> Mapping[NodeName, str]:
        with self._lock:
            return {monitor.node: address for address, monitor in self._monitors.items()}

    @property
    def monitors(self) -> tuple[Monitor, ...]:
        with self._lock:
            return tuple(self._monitors.values())

    def close(self) -> None:
        """Close every control connection; a measurement still waiting for a node closes its own. Never raises."""
        self._closed = True
        with self._lock:
            monitors, self._monitors = tuple(self._monitors.values()), {}
        for monitor in monitors:
            monitor.close()

    # Who asks for what another thread measures since late enough waits for that thread, and for no other one.

    def _fly(self, only: frozenset[NodeName], seconds: float) -> None:
        while True:
            with self._lock:
                flight = self._flights.get(only)
                is_ours = flight is None
                if flight is None:
                    flight = self._flights[only] = _Flight(began_seconds=self._clock.monotonic())
            if is_ours:
                self._carry_out(only, flight)
            else:
                flight.is_over.wait()
            if not (is_ours or flight.began_seconds >= seconds):
                continue
            if flight.error is not None:
                raise flight.error.replaced()
            # One that was interrupted found nothing, and is nobody else's interrupt.
            if flight.is_done:
                return

    def _carry_out(self, only: frozenset[NodeName], flight: _Flight) -> None:
        try:
            with suppress(SafeConsoleError):
                try:
                    self._measure(only, flight.began_seconds)
                    flight.is_done = True
                except SafeConsoleError as error:
                    flight.error = error
                    raise
        finally:
            self._land(only, flight)
            if self._closed:
                self.close()

    def _land(self, only: frozenset[NodeName], flight: _Flight) -> None:
        with self._lock:
            if self._flights.get(only) is flight:
                del self._flights[only]
        flight.is_over.set()

    def _measure(self, only: frozenset[NodeName], now_seconds: float) -> None:
        if not only:
            self._measure_all(now_seconds)
            return
        with self._lock:
            asked = {address: monitor for address, monitor in self._monitors.items() if monitor.node in only}
        found = at_once([partial(monitor.measure, now_seconds) for monitor in asked.values()])
        with self._lock:
            # Somebody may have measured all of them meanwhile.
            newer = {
                address: each
                for address, each in zip(asked, found, strict=True)
                if address in self._measured and self._measured[address].reading.measured_seconds <= now_seconds
            }
            self._judge({**self._measured, **newer})

    def _measure_all(self, now_seconds: float) -> None:
        measured: dict[str, Measurement] = {}
        # Who was found before is measured with the others: a primary that died names nobody any more.
        wave = (*dict.fromkeys(self._settings.nodes), *self._found.leads)
        for _ in range(_ROUNDS):
            if not wave:
                break
            measured.update(self._side_by_side(wave, now_seconds))
            with self._lock:
                most = MOST_NODES - len(measured)
                wave = self._found.follow(_met_in(measured), _readings_in(measured), most=most)
        with self._lock:
            # One node's may have been measured again meanwhile, while another one hung.
            again = {address: each for address, each in self._measured.items() if address in measured}
            newer = {address: each for address, each in again.items() if each.reading.measured_seconds > now_seconds}
            self._judge({**measured, **newer})
            self._complete_seconds = now_seconds
            needless = [address for address in measured if self._found.is_needless(address)]
            let_go = [self._monitors.pop(address) for address in needless if address in self._monitors]
        for monitor in let_go:
            monitor.close()

    def _side_by_side(self, wave: Sequence[str], now_seconds: float) -> dict[str, Measurement]:
        """Measure addresses at once; one that is late gets a reading that says so, and its own when it comes.

        A server that hangs does not say so: whoever waited for it would wait as long as a connection may take.

        Raises:
            ConfigurationError: as `Monitor.measure`.
        """
        monitors = {address: self._monitor(address) for address in wave}
        with self._lock:
            asked = [address for address in monitors if address not in self._asked] or list(monitors)
            patience = {address: self._patience(address) for address in asked}
            self._asked.update(asked)
        race = _Race(self._land_late)
        for address in asked:
            race.start(address, partial(self._measure_address, address, monitors[address], now_seconds))
        found = race.run(patience)
        late = f"has not answered for {race.seconds:.1f} s"
        return {address: found.get(address) or each.silent(late, now_seconds) for address, each in monitors.items()}

    def _measure_address(self, address: str, monitor: Monitor, now_seconds: float) -> Measurement:
        try:
            return monitor.measure(now_seconds)
        finally:
            with self._lock:
                self._asked.discard(address)

    def _patience(self, address: str) -> float:
        """Return how long an address is waited for once another one answered. The lock is held."""
        before = self._measured.get(address)
        is_silent = before is not None and bool(before.reading.unreachable)
        return LATE_SECONDS if is_silent else max(self._settings.connect_seconds / 2, LATE_SECONDS)

    def _land_late(self, address: str, found: Measurement | BaseException) -> None:
        with self._lock:
            known = self._measured.get(address)
            if (
                isinstance(found, Measurement)
                and known is not None
                and not self._closed
                and known.reading.measured_seconds <= found.reading.measured_seconds
            ):
                self._judge({**self._measured, address: found})
        if self._closed:
            self.close()

    def _judge(self, measured: Mapping[str, Measurement]) -> None:
        """Store a measurement after judging it together with the others. The caller holds the lock."""
        judged = self._found.judged(_readings_in(measured), _met_in(measured))
        self._readings = appointed(judged, self._settings.writers)
        self._measured = {address: each for address, each in measured.items() if not self._found.is_needless(address)}
        for address, each in measured.items():
            if each.seen is None:
                continue
            if self._found.refuses(address):
                self._seen.pop(each.reading.node, None)
            else:
                self._seen[each.reading.node] = each.seen

    def _monitor(self, address: str) -> Monitor:
        with self._lock:
            found = self._monitors.get(address)
            if found is None:
                found = self._monitors[address] = self._monitor_for(address, self._found.leads.get(address))
            return found


def _readings_in(measured: Mapping[str, Measurement]) -> dict[str, Reading]:
    return {address: each.reading for address, each in measured.items()}


def _met_in(measured: Mapping[str, Measurement]) -> dict[str, Met]:
    return {address: each.seen.met for address, each in measured.items() if each.seen is not None}
