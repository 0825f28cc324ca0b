"""The gateway: listeners, one thread for each client, one that detects vanished clients, and shutdown.

`SIGTERM` drains: nobody is let in, who is idle is told 1053, who is at work has a grace, and then what runs is killed.
"""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import TYPE_CHECKING

import msgspec

from safeconsole.config.identity import Person
from safeconsole.config.settings import GatewaySettings
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.gateway.answering import OwnRows
from safeconsole.gateway.client import STALL_SECONDS, AskedBeforehand, ClientConnection, GatewaySession
from safeconsole.gateway.listening import Listener, notice_a_dead_line
from safeconsole.gateway.login import (
    LOGIN_SECONDS,
    Arrival,
    Failures,
    LoginDesk,
    LoginRefusedError,
    is_from,
    networks_of,
    peer_of,
    read_proxy_header,
)
from safeconsole.gateway.metrics import Counts
from safeconsole.gateway.own import OwnAnswers
from safeconsole.gateway.packets import ClientChannel, GoneError, MalformedError, error, ok
from safeconsole.gateway.procedures import OwnCall, Question
from safeconsole.gateway.refusals import told_of
from safeconsole.gateway.selecting import Selection
from safeconsole.gateway.tables import Tables
from safeconsole.gateway.tokens import Tokens
from safeconsole.output.text import safe

if TYPE_CHECKING:
    from safeconsole.gateway.peers import Peers

POLL_SECONDS = 0.2
"""How often clients at work are looked at: one that vanished is noticed within this."""

_LOGGING_IN = 64
"""Most connections that nobody logged in on yet."""

_USUAL_LOGIN_SECONDS = 1.0
"""Where there are as many, the oldest that took longer than this has to go: who says nothing keeps nobody out."""

_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR | select.POLLNVAL
_FIRST_ID = 1

_WAY_SECONDS, _MOST_WAYS = 0.0005, 20
"""A process gives way this long for each client that it has, so that those who serve together have about as many."""

Open = Callable[[Person, str, AskedBeforehand], AbstractContextManager[GatewaySession]]
"""Opens a session for a person, in a schema ("" for the cluster's own)."""


class ServedCluster(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster as presented to clients.

    Attributes:
        version: for the greeting, which drivers ask less or more by.
        time_limit: the error number for a statement that took too long.
        sql_mode: the words of the servers' own, in upper case.
    """

    name: str
    version: str
    time_limit: int
    sql_mode: frozenset[str] = frozenset()


class Gateway:
    """Serves one cluster; see the module.

    Args:
        listeners: where clients come; processes that serve together share them.
        tls: for TCP, or None.
        tables: further tables of the schema `safeconsole`.
        peers: the other processes that serve the cluster, or None.
        workers: how many processes share the listeners.
    """

    def __init__(  # noqa: PLR0913 (what a gateway is made of, each named)
        self,
        cluster: ServedCluster,
        open_session: Open,
        tokens: Tokens,
        settings: GatewaySettings,
        *,
        listeners: Sequence[Listener],
        tls: ssl.SSLContext | None,
        tables: Tables,
        counts: Counts | None = None,
        peers: Peers | None = None,
        workers: int = 1,
    ) -> None:
        self.cluster = cluster
        self._counts = counts or Counts()
        self._open = open_session
        self._tokens = tokens
        self._settings = settings
        self._tls = tls
        self._proxies = networks_of(settings.proxies)
        self._failures = Failures(time.monotonic, max(Failures.MOST // workers, 1))
        self._shares = workers > 1
        self._own = OwnAnswers(self, tables)
        self._ids = itertools.count(_FIRST_ID)
        self._lock = threading.Lock()
        self._clients: dict[int, ClientConnection] = {}
        self._logging_in: dict[int, ClientChannel] = {}
        self._threads: set[threading.Thread] = set()
        self._listeners = listeners
        self.peers = peers
        self._draining = False
        self._ended = threading.Event()
        self._began_seconds = time.monotonic()
        # Its reading end is at its end once the gateway drains: every client that waits sees that.
        self._wake, self._awake = os.pipe()

    # What a client connection asks.

    @property
    def counts(self) -> Counts:
        return self._counts

    @property
    def is_draining(self) -> bool:
        return self._draining

    @property
    def wake(self) -> int:
        return self._wake

    def may_stay(self, arrival: Arrival) -> bool:
        return not arrival.token_id or self._tokens.valid(arrival.token_id, time.time())

    def uptime_seconds(self) -> float:
        return time.monotonic() - self._began_seconds

    def ask(self, client: ClientConnection, question: Question | Selection) -> OwnRows | str | None:
        return self._own.ask(client, question)

    def carry(self, client: ClientConnection, call: OwnCall) -> OwnRows | str:
        return self._own.carry(client, call)

    def of(self, person: str) -> Sequence[ClientConnection]:
        """Return a person's connections, oldest first."""
        with self._lock:
            return [each for each in self._clients.values() if each.arrival.person.name == person]

    # Its life.

    def serve(self, *until: int) -> None:
        """Accept clients until one of some descriptors is readable; then drain."""
        watcher = threading.Thread(target=self._watch, name="safeconsole-gateway-watch", daemon=True)
        watcher.start()
        peering = self._serve_peers()
        waiting = select.poll()
        by_descriptor = {each.sock.fileno(): each for each in self._listeners}
        for descriptor in (*until, *by_descriptor):
            waiting.register(descriptor, select.POLLIN)
        try:
            while True:
                ready = [descriptor for descriptor, _ in waiting.poll()]
                if not set(ready).isdisjoint(until):
                    return
                for descriptor in ready:
                    self._accept(by_descriptor[descriptor])
        finally:
            self.drain()
            self._ended.set()
            if peering is not None:
                peering.join(STALL_SECONDS)

    def _serve_peers(self) -> threading.Thread | None:
        if self.peers is None:
            return None
        serve, respond = self.peers.serve, self._own.respond
        thread = threading.Thread(
            target=serve, args=(respond, self._ended), name="safeconsole-gateway-peers", daemon=True
        )
        thread.start()
        return thread

    def drain(self) -> None:
        """Stop accepting, disconnect idle clients, wait for the others, then kill what still runs."""
        for listener in self._listeners:
            listener.sock.close()
        self._draining = True
        os.close(self._awake)
        with self._lock:
            waiting = list(self._logging_in.values())
        for channel in waiting:
            channel.shut()
        self._wait_until_left(self._settings.drain_seconds)
        with self._lock:
            left = list(self._clients.values())
        for client in left:
            self._counts.killed("drained")
            client.end("drained")
        self._wait_until_left(STALL_SECONDS)
        os.close(self._wake)

    def _wait_until_left(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in list(self._threads):
            thread.join(max(deadline - time.monotonic(), 0))

    def _accept(self, listener: Listener) -> None:
        self._give_way()
        try:
            sock, address = listener.sock.accept()
        except BlockingIOError:
            # Another process took it.
            return
        except OSError as failure:
            if failure.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:
                # It stays in the queue; others may leave meanwhile.
                time.sleep(POLL_SECONDS)
            return
        if not listener.is_local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            notice_a_dead_line(sock)
        channel = ClientChannel(sock, login_seconds=LOGIN_SECONDS)
        if not self._has_room():
            _turn_away(channel, error(1040, "08004", "too many connections to this gateway: try again later"))
            return
        try:
            number = self._number()
        except ConfigurationError as failure:
            self._counts.logged_in("refused")
            _turn_away(channel, error(1105, "HY000", "nobody can be let in now: try again later"))
            sys.stderr.write(f"safeconsole: {safe(failure.message)}\n")
            return
        with self._lock:
            self._logging_in[number] = channel
        place = "" if listener.is_local else str(address[0])
        thread = threading.Thread(
            target=self._serve_one,
            args=(number, channel, sock, place),
            name=f"safeconsole-gateway-{number}",
            daemon=True,
        )
        self._threads.add(thread)
        thread.start()

    def _give_way(self) -> None:
        """Leave a client for a moment to the other processes: to one with fewer clients, or with room at all."""
        if not self._shares:
            return
        with self._lock:
            clients = len(self._clients) + len(self._logging_in)
        is_full = clients >= self._settings.clients
        time.sleep(POLL_SECONDS if is_full else min(clients, _MOST_WAYS) * _WAY_SECONDS)

    def _has_room(self) -> bool:
        with self._lock:
            if len(self._clients) >= self._settings.clients:
                return False
            if len(self._logging_in) < _LOGGING_IN:
                return True
            oldest = next(iter(self._logging_in.values()))
        if time.monotonic() - oldest.opened_seconds < _USUAL_LOGIN_SECONDS:
            return False
        oldest.shut()
        return True

    def _number(self) -> int:
        """Return an id that no client has. Raises ConfigurationError: none can be given now."""
        while True:
            number = self.peers.next_id() if self.peers is not None else next(self._ids)
            with self._lock:
                if number not in self._clients and number not in self._logging_in:
                    return number

    # One client, on its own thread.

    def _serve_one(self, number: int, channel: ClientChannel, sock: socket.socket, address: str) -> None:
        try:
            arrival = self._log_in(number, channel, sock, address)
            if arrival is not None:
                self._have_served(number, channel, arrival)
        except (GoneError, MalformedError):
            # What it sent is no protocol, or it is gone: there is nobody to tell.
            pass
        except Exception as failure:  # noqa: BLE001 (one client's trouble is not the others')
            sys.stderr.write(f"safeconsole: client {number}: {type(failure).__name__}: {safe(str(failure))}\n")
        finally:
            channel.close()
            with self._lock:
                self._logging_in.pop(number, None)
                self._clients.pop(number, None)
                self._counts.connected(len(self._clients))
            self._threads.discard(threading.current_thread())

    def _log_in(self, number: int, channel: ClientChannel, sock: socket.socket, address: str) -> Arrival | None:
        try:
            if address and is_from(self._proxies, address):
                told = read_proxy_header(channel)
                if not told:
                    return None
                address = told.rpartition(":")[0]
            desk = LoginDesk(
                self._tokens,
                self._failures,
                tls=self._tls,
                required=bool(address) and self._tls is not None and not _is_loopback(sock, address),
                native=self._settings.native_password,
            )
            return desk.meet(
                channel,
                version=self.cluster.version,
                connection_id=number,
                peer=None if address else peer_of(sock),
                address=address,
                now_epoch=time.time(),
            )
        except ConfigurationError as failure:
            self._counts.logged_in("refused")
            channel.write(error(1105, "HY000", "nobody can be looked up now: try again later"))
            sys.stderr.write(f"safeconsole: {safe(failure.message)}\n")
        except LoginRefusedError as refused:
            self._counts.logged_in("refused")
            channel.write(error(refused.number, refused.state, str(refused)))
        except MalformedError as failure:
            self._counts.logged_in("refused")
            with suppress(GoneError):
                channel.write(error(1043, "08S01", f"bad handshake: {failure}"))
        return None

    def _have_served(self, number: int, channel: ClientChannel, arrival: Arrival) -> None:
        confirming = AskedBeforehand()
        with ExitStack() as leaving:
            try:
                self._require_room(arrival.person)
                opened = leaving.enter_context(self._open(arrival.person, arrival.request.schema, confirming))
                opened.session.note("client connected", _described(arrival, number, encrypted=channel.encrypted))
            except SafeConsoleError as failure:
                # No journal, no login.
                told = told_of(failure, time_limit=self.cluster.time_limit)
                channel.write(error(told.number, told.state, told.message))
                return
            client = ClientConnection(
                self, channel, number, arrival, opened,
                confirming=confirming,
                time_limit=self.cluster.time_limit,
                idle_seconds=self._settings.idle_seconds,
                sql_mode=self.cluster.sql_mode,
            )  # fmt: skip
            with self._lock:
                self._clients[number] = client
                self._logging_in.pop(number, None)
                self._counts.connected(len(self._clients))
            channel.logged_in(stall_seconds=STALL_SECONDS)
            channel.write(ok(status=client.answering.status))
            self._counts.logged_in(arrival.how)
            client.serve()

    def _require_room(self, person: Person) -> None:
        most = self._settings.clients_a_person
        if len(self.of(person.name)) >= most:
            raise ConfigurationError(f"{person.name} has {most} connections, as many as one person may have")

    # Those who vanished.

    def _watch(self) -> None:
        """Detect vanished clients and expired tokens, until the gateway drains."""
        ended: set[int] = set()
        while not self._draining:
            time.sleep(POLL_SECONDS)
            with self._lock:
                clients = list(self._clients.values())
            ended &= {client.id for client in clients}
            for client in clients:
                why = self._why_to_end(client)
                if why and client.id not in ended:
                    ended.add(client.id)
                    self._counts.killed(why)
                    # A kill waits until it is seen to be done: not here.
                    threading.Thread(
                        target=client.end, args=(why,), name=f"safeconsole-gateway-end-{client.id}", daemon=True
                    ).start()

    def _why_to_end(self, client: ClientConnection) -> str:
        if not self.may_stay(client.arrival):
            return "token"
        if not client.working_since:
            return ""
        looking = select.poll()
        try:
            looking.register(client.channel.fileno(), select.POLLRDHUP)
            return "vanished" if any(event & _GONE for _, event in looking.poll(0)) else ""
        except (OSError, ValueError):
            return "vanished"


def _turn_away(channel: ClientChannel, told: bytes) -> None:
    with suppress(GoneError):
        channel.write(told)
    channel.close()


def _described(arrival: Arrival, number: int, *, encrypted: bool) -> str:
    said = ", ".join(f"{safe(key)}={safe(value)}" for key, value in sorted(arrival.request.attributes.items()))
    where = arrival.person.origin
    return (
        f"connection {number}, by {arrival.how}{f' {arrival.token_id}' if arrival.token_id else ''}, from {where}"
        f"{', TLS' if encrypted else ''}; user {safe(arrival.request.user)!r}; {said or 'it says nothing of itself'}"
    )


def _is_loopback(sock: socket.socket, address: str) -> bool:
    """Whether the client, and any proxy before it, is on this computer."""
    return all(_is_here(place) for place in (address, str(sock.getpeername()[0])))


def _is_here(address: str) -> bool:
    return address == "::1" or address.removeprefix("::ffff:").startswith("127.")
