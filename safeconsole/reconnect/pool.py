"""Listens to one engine: opens its connections, checks each before it is handed out, and at each error.

Nothing that an application sent is ever sent again: only the application knows whether a request may be repeated.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event, exc
from sqlalchemy.engine import Dialect, Engine, ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from safeconsole.reconnect.board import Board, Node, PooledConnection, ProbeResult, Role, board_for, unfit_reason
from safeconsole.reconnect.drivers import BUSY, DRIVERS, UNREACHABLE, code_of, is_lost, is_refused_for_role, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Times, all in seconds and > 0; else ValueError.

    Attributes:
        max_age_seconds: age at which a connection is replaced, individually reduced by up to a tenth.
        prove_seconds: how long the proven role of a server is trusted.
        patience_seconds: how long a request waits for a fit node before it fails.
        connect_seconds: for opening a connection, where the URL does not say, and for each question asked of a node.
        jitter_seconds: greatest delay of a new connection after the pool was invalidated.
        move_seconds: about the time between two connections that are moved to a node with fewer of them.
        probe_seconds: longest time between two probes of an unfit node; the first follow at once.
    """

    max_age_seconds: float = 900.0
    prove_seconds: float = 1.0
    patience_seconds: float = 10.0
    connect_seconds: float = 2.0
    jitter_seconds: float = 0.25
    move_seconds: float = 0.05
    probe_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            # `not >` rather than `<=`: a NaN must be refused too.
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above zero, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """Events of one engine's connections since `install`.

    Attributes:
        checkouts: connections handed to the application.
        connects: connections opened, and proven to be what was asked for.
        connect_failures: attempts that failed, or reached a server of another role.
        proofs: role checks of pooled connections.
        wrong_role: servers found with another role than before.
        closed: pooled connections found closed by the server, or lost when asked for their role.
        too_old: connections replaced for their age.
        moved: connections replaced to spread them evenly.
        invalidations: errors of the failover class, each of which empties the pool.
        waits: connections that had to wait for a fit node.
        unfit: nodes that get no connection now, and why.
    """

    checkouts: int = 0
    connects: int = 0
    connect_failures: int = 0
    proofs: int = 0
    wrong_role: int = 0
    closed: int = 0
    too_old: int = 0
    moved: int = 0
    invalidations: int = 0
    waits: int = 0
    spread: Mapping[str, int] = field(default_factory=dict)
    unfit: Mapping[str, str] = field(default_factory=dict)


# On Aurora a reader reports innodb_read_only; everywhere else a replica must have read_only on.
QUESTION = "SELECT @@read_only, @@innodb_read_only, @@hostname, @@port, @@server_id"


def ask(connection: Any) -> ProbeResult:  # noqa: ANN401  (a connection of any driver)
    """Ask a server for its identity and whether it accepts writes; raises the driver's own error."""
    cursor = connection.cursor()
    try:
        cursor.execute(QUESTION)
        read_only, innodb_read_only, host, port, number = cursor.fetchone()
    finally:
        cursor.close()
    return ProbeResult(writes=not (int(read_only) or int(innodb_read_only)), server=f"{host}:{port}/{number}")


FIRST_SECONDS = 0.05
"""Delay of the second probe; each later one doubles it."""


class Prober:
    """Probes unfit nodes of one engine, in a thread that lives only while there are any.

    Args:
        look: probes one node; never raises.
        longest_seconds: the longest wait between two probes.
    """

    def __init__(self, board: Board, look: Callable[[Node], ProbeResult], *, longest_seconds: float) -> None:
        self._board = board
        self._look = look
        self._longest_seconds = longest_seconds
        self._lock = threading.Lock()
        self._alarm = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def alarm(self) -> None:
        with self._lock:
            self._alarm.set()
            # A process that was forked has the object, but not the thread.
            if not self._stopped and (self._thread is None or not self._thread.is_alive()):
                # A daemon: an application that leaves must not wait for a server that does not answer.
                self._thread = threading.Thread(target=self._run, daemon=True, name="safeconsole-reconnect")
                self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._alarm.set()

    def _run(self) -> None:
        wait_seconds = FIRST_SECONDS
        while not self._stopped:
            self._alarm.clear()
            nodes = self._board.to_look_at()
            self._look_at(nodes)
            if not nodes and self._leave():
                return
            if self._alarm.wait(_about(wait_seconds)):
                # Many alarms at once are one: what they are about is looked at together.
                time.sleep(_about(FIRST_SECONDS))
                wait_seconds = FIRST_SECONDS
            else:
                wait_seconds = min(wait_seconds * 2, self._longest_seconds)

    def _look_at(self, nodes: tuple[Node, ...]) -> None:
        looks = [threading.Thread(target=self._look_at_one, args=(node,), daemon=True) for node in nodes]
        for look in looks:
            look.start()
        for look in looks:
            look.join()

    def _look_at_one(self, node: Node) -> None:
        self._board.report(node, self._look(node))

    def _leave(self) -> bool:
        with self._lock:
            if self._alarm.is_set():
                return False
            self._thread = None
            return True


def _about(seconds: float) -> float:
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)


# Nothing that an application sent is ever sent again: whether a request is repeated, only the application knows.


_KEY = "safeconsole.reconnect"
_DEFAULT_PORT = 3306


def install(
    engine: Engine, *, role: Role = "primary", nodes: Sequence[str] = (), options: Options | None = None
) -> Installed:
    """Make an engine's pool survive failovers.

    Once for each engine, in the process that uses it (after a fork), and after listeners of `do_connect` of one's own,
    such as one that fetches a token for each connection.

    Args:
        role: required role of its servers: "primary" for an engine that writes, "replica", or "any".
        nodes: "host:port" of every node that may have the role, roles are measured; without them, the URL's host.

    Raises:
        ValueError: an unsupported driver or role, or an invalid address.
    """
    if engine.dialect.driver not in DRIVERS:
        patterns = "; docs/reconnect.md has a pattern for asynchronous ones" if engine.dialect.is_async else ""
        raise ValueError(
            f"no reconnect for the driver {engine.dialect.driver}, only for {', '.join(DRIVERS)}{patterns}"
        )
    if role not in ("primary", "replica", "any"):
        raise ValueError(f"no such role: {role}")
    board = board_for(role, [_address(node) for node in nodes] or [("", 0)])
    return Installed(engine, board, options or Options())


class Installed:
    """One engine with its listeners; see `install`."""

    def __init__(self, engine: Engine, board: Board, options: Options) -> None:
        self._board = board
        self._options = options
        self._driver = DRIVERS[engine.dialect.driver]
        self._dialect = engine.dialect
        self._parameters: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self._prober = Prober(board, self._look, longest_seconds=options.probe_seconds)
        self._engine = weakref.ref(engine)
        weakref.finalize(engine, self._prober.stop)
        for name, listener in self._listeners():
            event.listen(engine, name, listener)

    def counters(self) -> Counters:
        """Return the events since `install`."""
        board = self._board
        return Counters(**dict(board.counts), spread=board.spread(), unfit=board.unfit())

    def uninstall(self) -> None:
        """Stop listening; open connections stay, later ones go where the URL says; idempotent."""
        self._prober.stop()
        engine = self._engine()
        for name, listener in self._listeners():
            if engine is not None and event.contains(engine, name, listener):
                event.remove(engine, name, listener)

    def _listeners(self) -> tuple[tuple[str, Any], ...]:
        return (
            ("do_connect", self._connect),
            ("checkout", self._check),
            ("close", self._closed),
            ("detach", self._closed),
            ("handle_error", self._failed),
        )

    # Opening.

    def _connect(
        self, dialect: Dialect, record: ConnectionPoolEntry, args: Sequence[Any], parameters: dict[str, Any]
    ) -> DBAPIConnection:
        self._parameters = (tuple(args), dict(parameters))
        options = self._options
        until = time.monotonic() + options.patience_seconds
        if time.monotonic() - self._board.troubled_seconds < options.jitter_seconds:
            # All of a pool reconnects now, and so does every other process.
            time.sleep(random.uniform(0, options.jitter_seconds))  # noqa: S311  (no secret)
        while True:
            if not self._board.has_fit():
                self._prober.alarm()
            node = self._board.reserve(until_seconds=until)
            if node is None:
                raise self._nowhere(dialect)
            try:
                opened = self._open(node, args, parameters)
            except BaseException as error:
                self._board.give_back(node)
                self._board.count("connect_failures")
                if code_of(error) not in UNREACHABLE | BUSY:
                    raise
                # Before giving up, too: the next request must not try the same node again.
                self._after_failure(node, error)
                if time.monotonic() > until:
                    raise
                continue
            if (link := self._link(opened, node)) is not None:
                record.info[_KEY] = link
                # For a connection that is dropped without a word, which no event tells of.
                weakref.finalize(opened, self._board.release, link)
                return opened

    def _open(self, node: Node, args: Sequence[Any], parameters: dict[str, Any]) -> DBAPIConnection:
        seconds = self._options.connect_seconds
        aimed = self._driver.towards(parameters, node.address, seconds=seconds)
        return self._dialect.connect(*args, **self._driver.limited(aimed, seconds=seconds))

    def _after_failure(self, node: Node, error: BaseException) -> None:
        if code_of(error) in BUSY:
            time.sleep(random.uniform(0, FIRST_SECONDS * 4))  # noqa: S311
            return
        self._board.suspect(node, text_of(error))
        self._prober.alarm()

    def _link(self, opened: DBAPIConnection, node: Node) -> PooledConnection | None:
        finding = self._ask(opened)
        self._driver.unlimit(opened, self._parameters[1])
        # That there is no second one was seen by the look that made the node fit.
        wrong = unfit_reason(self._board.role, finding, writers=1)
        if wrong:
            opened.close()
            self._board.give_back(node)
            self._board.count("connect_failures")
            self._board.suspect(node, wrong)
            return None
        self._driver.keep_alive(opened)
        self._board.count("connects")
        now = time.monotonic()
        self._board.proven(finding.server, now)
        age = self._options.max_age_seconds * random.uniform(0.9, 1.0)  # noqa: S311
        return PooledConnection(node=node, server=finding.server, ends_seconds=now + age)

    def _nowhere(self, dialect: Dialect) -> Exception:
        reasons = "; ".join(f"{name}: {why}" for name, why in self._board.unfit().items())
        error: Exception = dialect.loaded_dbapi.OperationalError(
            2003, f"no fit node as {self._board.role} in {self._options.patience_seconds:g} s: {reasons}"
        )
        return error

    # Handing out.

    def _check(self, opened: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        board = self._board
        link: PooledConnection | None = record.info.get(_KEY)
        board.count("checkouts")
        if link is None:
            raise exc.DisconnectionError("opened before reconnect was installed")
        if link.fresh:
            link.fresh = False
            return
        now = time.monotonic()
        if now >= link.ends_seconds:
            board.count("too_old")
            raise exc.DisconnectionError(f"older than {self._options.max_age_seconds:g} s")
        if self._driver.has_ended(opened):
            board.count("closed")
            raise exc.DisconnectionError(f"closed by {link.node.name}")
        if board.needs_proof(link.server, now, every_seconds=self._options.prove_seconds):
            self._prove(opened, link)
        if board.may_move(link.node, now, every_seconds=self._options.move_seconds):
            board.count("moved")
            raise exc.DisconnectionError(f"{link.node.name} has more connections than its share")

    def _prove(self, opened: DBAPIConnection, link: PooledConnection) -> None:
        board = self._board
        board.count("proofs")
        with self._driver.patience(opened, self._options.connect_seconds):
            finding = self._ask(opened)
        if finding.trouble:
            board.count("closed")
            self._suspect(link.node, finding.trouble)
            raise exc.DisconnectionError(f"{link.node.name} does not answer: {finding.trouble}")
        wrong = unfit_reason(board.role, finding, writers=1)
        if wrong:
            board.count("wrong_role")
            board.trouble()
            self._suspect(link.node, wrong)
            raise exc.InvalidatePoolError(f"{link.node.name}: {wrong}")

    def _suspect(self, node: Node, why: str) -> None:
        self._board.suspect(node, why)
        self._prober.alarm()

    def _ask(self, opened: DBAPIConnection) -> ProbeResult:
        try:
            return ask(opened)
        except Exception as error:  # noqa: BLE001  (of a driver that is not imported here)
            return ProbeResult(trouble=text_of(error))

    # Errors, ends, looks.

    def _failed(self, context: ExceptionContext) -> None:
        error = context.original_exception
        if context.connection is None:
            return
        refused = self._board.role == "primary" and is_refused_for_role(error)
        if refused or context.is_disconnect or is_lost(error):
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = True
            self._board.trouble()

    def _closed(self, _opened: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        link: PooledConnection | None = record.info.pop(_KEY, None)
        if link is not None:
            self._board.release(link)

    def _look(self, node: Node) -> ProbeResult:
        args, parameters = self._parameters
        seconds = self._options.connect_seconds
        try:
            aimed = self._driver.probing(
                self._driver.towards(parameters, node.address, seconds=seconds), seconds=seconds
            )
            opened = self._dialect.connect(*args, **aimed)
        except Exception as error:  # noqa: BLE001  (of a driver that is not imported here)
            return ProbeResult(trouble=text_of(error), denied=code_of(error) not in UNREACHABLE | BUSY)
        try:
            return self._ask(opened)
        finally:
            opened.close()


def _address(node: str) -> tuple[str, int]:
    """Return host and port of "host", "host:port" or "[v6]:port". Raises ValueError."""
    host, port = node, str(_DEFAULT_PORT)
    if node.startswith("["):
        host, _, rest = node[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif ":" in node:
        host, _, port = node.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"not a node's address: {node}")
    return host, int(port)
