"""`safeconsole gateway`: serve a cluster to any client that speaks the MySQL protocol."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click
import msgspec

from safeconsole.cli.application import Application, Door
from safeconsole.cli.root import CLUSTER
from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError, NoFitNodeError, SafeConsoleError
from safeconsole.output.confirming import NoTerminal
from safeconsole.sqltext.vocabulary import Role

if TYPE_CHECKING:
    from safeconsole.config.identity import Person
    from safeconsole.gateway.client import AskedBeforehand, GatewaySession
    from safeconsole.gateway.listening import Listener
    from safeconsole.gateway.metrics import Counts
    from safeconsole.gateway.peers import Peers
    from safeconsole.gateway.serving import Gateway, ServedCluster
    from safeconsole.session.session import Session


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--socket", "path", default="", metavar="PATH", help="Listen at a Unix socket.")
@click.option("--listen", default="", metavar="HOST:PORT", help="Listen on TCP; port 0 is any that is free.")
@click.option("--tls-cert", default="", metavar="FILE", help="Certificate for TCP; required beyond loopback.")
@click.option("--tls-key", default="", metavar="FILE", help="Its private key.")
@click.option("--health", default="", metavar="HOST:PORT", help="Serve /healthz, /readyz and /metrics over HTTP.")
@click.pass_obj
def gateway(app: Application, /, cluster: str, path: str, listen: str, **options: str) -> None:
    """Serve CLUSTER to any client that speaks the MySQL protocol.

    People log in with a token (`safeconsole token issue`), or are who the Unix socket says they are; the passwords of
    the cluster stay here. Every statement is judged, limited and recorded under their name. SIGTERM drains.
    """
    if not path and not listen:
        raise click.UsageError("give --socket PATH, --listen HOST:PORT, or both")
    where = address_of(listen, "--listen") if listen else None
    health = address_of(options["health"], "--health") if options["health"] else None
    tls = _tls_of(app, options["tls_cert"], options["tls_key"])
    if where is not None and tls is None and not is_loopback(where[0]):
        raise ConfigurationError(
            f"--listen {listen} is beyond this computer, and TCP goes on in clear",
            instead="give --tls-cert and --tls-key, or listen on 127.0.0.1",
        )
    with _listening(path, where, health) as doors:
        _serve(app, cluster, tls, doors)


class _Doors(msgspec.Struct, frozen=True, kw_only=True):
    """Where a gateway listens.

    Attributes:
        clients: where clients come.
        health: where its page is asked for, or None.
        said: their addresses, by option.
    """

    clients: tuple[Listener, ...]
    health: Listener | None
    said: Mapping[str, str]


@contextmanager
def _listening(path: str, where: tuple[str, int] | None, health: tuple[str, int] | None) -> Iterator[_Doors]:
    """Bind the sockets. Raises ConfigurationError."""
    from safeconsole.gateway.listening import bound_at, bound_on

    bound: dict[str, Listener] = {}
    try:
        if path:
            bound["socket"] = bound_at(str(Path(path).absolute()))
        if where is not None:
            bound["listen"] = bound_on(*where)
        if health is not None:
            bound["health"] = bound_on(*health, option="--health")
        clients = tuple(each for name, each in bound.items() if name != "health")
        said = {name: each.address for name, each in bound.items()}
        yield _Doors(clients=clients, health=bound.get("health"), said=said)
    finally:
        for each in bound.values():
            each.sock.close()
        if "socket" in bound:
            Path(bound["socket"].address).unlink(missing_ok=True)


def _serve(app: Application, cluster: str, tls: ssl.SSLContext | None, doors: _Doors) -> None:
    from safeconsole.gateway.metrics import Counts, Prometheus

    serving = _gateway_of(app, cluster, tls, doors, Prometheus() if doors.health is not None else Counts())
    with _health_page(serving, doors.health), end_signals() as until:
        click.echo(json.dumps({**doors.said, "cluster": cluster}))
        serving.serve(until)


def _gateway_of(app: Application, cluster: str, tls: ssl.SSLContext | None, doors: _Doors, counts: Counts) -> Gateway:
    from safeconsole.cli.gateway_tables import own_tables
    from safeconsole.cli.token import open_tokens
    from safeconsole.gateway.client import GatewaySession
    from safeconsole.gateway.serving import Gateway

    settings = app.settings().gateway
    served = _served_cluster(app, cluster)

    @contextmanager
    def opened(person: Person, schema: str, confirming: AskedBeforehand) -> Iterator[GatewaySession]:
        door = Door(cluster=cluster, face="gateway", person=person, confirmer=confirming, schema=schema, waits=False)
        with app.open(door) as opened:
            yield GatewaySession(session=opened.session, rules=opened.rules)

    return Gateway(
        served,
        opened,
        open_tokens(app),
        settings,
        listeners=doors.clients,
        tls=tls,
        tables=own_tables(app, cluster),
        counts=counts,
        peers=_peers_of(app, cluster),
    )


def _peers_of(app: Application, cluster: str) -> Peers | None:
    """Return the other gateways of a cluster, where they share a database; this one's number is taken."""
    settings = app.settings().gateway
    if "://" not in settings.tokens:
        return None
    from safeconsole.gateway.peers import open_peers

    peers = open_peers(settings, cluster, app.environ)
    peers.begin()
    return peers


def _served_cluster(app: Application, cluster: str) -> ServedCluster:
    """Return the cluster as presented to clients. Raises NoFitNodeError: no node answers."""
    from safeconsole.gateway.serving import ServedCluster

    if not DIALECTS[app.settings().cluster(cluster).assumed_flavour].has_accounts:
        raise ConfigurationError(f"cluster {cluster} is of SQLite files, whose clients need no gateway")
    with app.open(Door(cluster=cluster, face="job", person=app.person, confirmer=NoTerminal())) as opened:
        readings = [each for each in opened.session.topology() if each.version]
        server = opened.rules().dialect.server
        sql_mode = _sql_mode_of(opened.session)
    if not readings:
        raise NoFitNodeError(f"no node of {cluster} answers, so that clients cannot be told what it is")
    readings.sort(key=lambda each: each.role is not Role.PRIMARY)
    version = readings[0].version.removeprefix(server.version_prefix)
    return ServedCluster(
        name=cluster,
        version=f"{server.version_prefix}{version}",
        time_limit=server.time_limit_error,
        sql_mode=sql_mode,
    )


def _sql_mode_of(session: Session) -> frozenset[str]:
    """Return the words of the servers' own sql_mode, none where no replica can be asked."""
    (asked,) = session.split("SELECT @@GLOBAL.sql_mode")
    with suppress(SafeConsoleError):
        ((told,),) = session.execute(asked, by_console=True).take()
        return frozenset(str(told).upper().split(",")) - {""}
    return frozenset()


@contextmanager
def _health_page(serving: Gateway, listener: Listener | None) -> Iterator[None]:
    if listener is None:
        yield
        return
    from safeconsole.gateway.metrics import HealthPage

    page = HealthPage(listener.sock, serving.counts, lambda: "draining" if serving.is_draining else "")
    try:
        yield
    finally:
        page.close()


@contextmanager
def end_signals() -> Iterator[int]:
    """Yield a descriptor that is readable once the process is asked to end."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def note(_number: int, _frame: FrameType | None) -> None:
        try:
            os.write(writing, b"e")
        except BlockingIOError:
            return

    # A signal may come to any thread, and Python's handler waits for the main one, which waits for this descriptor.
    woken = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(woken)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def address_of(text: str, option: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise click.UsageError(f"{option} {text!r} is not HOST:PORT")
    return host or "0.0.0.0", int(port)  # noqa: S104 (asked for by leaving the host out)


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls_of(app: Application, certificate: str, key: str) -> ssl.SSLContext | None:
    if not certificate:
        if key:
            raise click.UsageError("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    authority = app.settings().gateway.client_ca
    try:
        context.load_cert_chain(certificate, key or None)
        if authority:
            context.load_verify_locations(authority)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the certificate cannot be used: {error.strerror or error}") from error
    return context
