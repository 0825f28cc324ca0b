"""`safeconsole gateway`: serve a cluster to any client that speaks the MySQL protocol."""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import ssl
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread
from typing import TYPE_CHECKING

import click
import msgspec

from safeconsole.cli.application import Application, Door, OpenSession
from safeconsole.cli.root import CLUSTER
from safeconsole.cluster.engine import ProcessShare
from safeconsole.dialects import DIALECTS
from safeconsole.errors import ConfigurationError, NoFitNodeError, SafeConsoleError
from safeconsole.output.confirming import NoTerminal
from safeconsole.output.text import safe
from safeconsole.sqltext.vocabulary import Role

if TYPE_CHECKING:
    from safeconsole.config.identity import Person
    from safeconsole.gateway.client import AskedBeforehand, GatewaySession
    from safeconsole.gateway.listening import Listener
    from safeconsole.gateway.peers import Peers
    from safeconsole.gateway.serving import Gateway, ServedCluster
    from safeconsole.gateway.workers import Worker
    from safeconsole.session.session import Session

_ATTEMPTS, _AGAIN_SECONDS = 5, 2.0
"""How often it is tried to kill what a process left on the servers that died."""


@click.command()
@click.argument("cluster", type=CLUSTER)
@click.option("--socket", "path", default="", metavar="PATH", help="Listen at a Unix socket.")
@click.option("--listen", default="", metavar="HOST:PORT", help="Listen on TCP; port 0 is any that is free.")
@click.option("--tls-cert", default="", metavar="FILE", help="Certificate for TCP; required beyond loopback.")
@click.option("--tls-key", default="", metavar="FILE", help="Its private key.")
@click.option("--health", default="", metavar="HOST:PORT", help="Serve /healthz, /readyz and /metrics over HTTP.")
@click.option(
    "--workers",
    type=click.IntRange(1, 8),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that serve, 1 to 8.",
)
@click.pass_obj
def gateway(app: Application, /, cluster: str, path: str, listen: str, workers: int, **options: str) -> None:
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
        # It does not answer itself before it serves.
        _require_servers(
            cluster, [each for each in app.settings().cluster(cluster).nodes if each in doors.said.values()]
        )
        if workers == 1:
            _serve(app, cluster, tls, doors)
        else:
            _serve_together(app, cluster, tls, doors, workers)


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
    owner = os.getpid()
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
        if "socket" in bound and os.getpid() == owner:
            Path(bound["socket"].address).unlink(missing_ok=True)


def _serve_together(app: Application, cluster: str, tls: ssl.SSLContext | None, doors: _Doors, workers: int) -> None:
    """Serve with several processes; returns in each of them."""
    from safeconsole.gateway.metrics import Prometheus, forget_process
    from safeconsole.gateway.workers import Supervisor, Worker

    owner, directory = os.getpid(), mkdtemp(prefix="safeconsole-gateway-")
    counts = f"{directory}/counts"

    def close_doors() -> None:
        for each in doors.clients:
            each.sock.close()

    def forget(process: int) -> None:
        if doors.health is not None:
            forget_process(process, counts)

    try:
        if doors.health is not None:
            # What is missing is told once, by the parent.
            Path(counts).mkdir()
            Prometheus(counts)
        ready = partial(_say_ready, doors, cluster)
        outcome = Supervisor(workers, directory, ready=ready, ending=close_doors, died=forget).run()
        if isinstance(outcome, Worker):
            _serve(app, cluster, tls, doors, outcome)
        elif outcome:
            raise click.exceptions.Exit(outcome)
    finally:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)


def _say_ready(doors: _Doors, cluster: str) -> None:
    click.echo(json.dumps({**doors.said, "cluster": cluster}))


def _serve(
    app: Application, cluster: str, tls: ssl.SSLContext | None, doors: _Doors, worker: Worker | None = None
) -> None:
    from safeconsole.gateway.serving import ServedCluster

    if worker is not None:
        app.share = ProcessShare(processes=worker.count, inventory=worker.inventory)
        if worker.died:
            Thread(target=_end_abandoned, args=(app, cluster, worker), daemon=True).start()
    if worker is not None and worker.served:
        served = msgspec.json.decode(worker.served, type=ServedCluster)
    else:
        served = _served_cluster(app, cluster)
    serving = _gateway_of(app, served, tls, doors, worker)
    with _health_page(serving, doors.health), end_signals() as until:
        if worker is None:
            _say_ready(doors, cluster)
            serving.serve(until)
        else:
            worker.say_ready(msgspec.json.encode(served))
            serving.serve(until, worker.lifeline)


def _end_abandoned(app: Application, cluster: str, worker: Worker) -> None:
    """Kill what the process that this one replaces had open on the servers, and say and record what became of it."""
    left: Mapping[str, str] = {}
    killed: list[str] = []
    trouble = ""
    for _ in range(_ATTEMPTS):
        try:
            with _job(app, cluster) as opened:
                left = dict(opened.end_abandoned(worker.abandoned))
        except SafeConsoleError as error:
            trouble = error.message
        else:
            trouble = ""
            killed += [thread for thread, fate in left.items() if fate == "killed"]
            left = {thread: fate for thread, fate in left.items() if fate != "killed"}
            if not left:
                break
        time.sleep(_AGAIN_SECONDS)
    unseen = [f"{thread} ({fate})" for thread, fate in left.items()] or ["all of it"] * bool(trouble)
    said = f"of worker {worker.died}, which died: killed {', '.join(killed) or 'nothing, since nothing ran'}"
    if unseen:
        said += f"; not seen to stop: {', '.join(unseen)}{f': {trouble}' if trouble else ''}"
    sys.stderr.write(f"safeconsole: {safe(said)}\n")
    with suppress(SafeConsoleError), _job(app, cluster) as opened:
        opened.session.note("worker died", said)


def _gateway_of(
    app: Application, served: ServedCluster, tls: ssl.SSLContext | None, doors: _Doors, worker: Worker | None
) -> Gateway:
    from safeconsole.cli.gateway_tables import own_tables
    from safeconsole.cli.token import open_tokens
    from safeconsole.gateway.client import GatewaySession
    from safeconsole.gateway.metrics import Counts, Prometheus
    from safeconsole.gateway.serving import Gateway

    cluster, settings = served.name, app.settings().gateway
    counts = Prometheus(worker.counts if worker else "") if doors.health is not None else Counts()

    @contextmanager
    def opened(person: Person, schema: str, confirming: AskedBeforehand) -> Iterator[GatewaySession]:
        door = Door(cluster=cluster, face="gateway", person=person, confirmer=confirming, schema=schema, waits=False)
        with app.open(door) as opened:
            yield GatewaySession(session=opened.session, rules=opened.rules)

    return Gateway(
        served,
        opened,
        open_tokens(app),
        worker.share_of(settings) if worker else settings,
        listeners=doors.clients,
        tls=tls,
        tables=own_tables(app, cluster),
        counts=counts,
        peers=_peers_of(app, cluster, worker),
        workers=worker.count if worker else 1,
    )


def _peers_of(app: Application, cluster: str, worker: Worker | None) -> Peers | None:
    """Return the other processes that serve the cluster, where there can be any; this one's number is taken."""
    settings = app.settings().gateway
    if "://" not in settings.tokens and worker is None:
        return None
    from safeconsole.gateway.peers import open_peers

    own = f"sqlite:///{worker.directory}/peers.db" if worker else ""
    peers = open_peers(settings, cluster, app.environ, own=own)
    peers.begin()
    return peers


def _job(app: Application, cluster: str) -> AbstractContextManager[OpenSession]:
    return app.open(Door(cluster=cluster, face="job", person=app.person, confirmer=NoTerminal()))


def _served_cluster(app: Application, cluster: str) -> ServedCluster:
    """Return the cluster as presented to clients. Raises NoFitNodeError: no node answers."""
    from safeconsole.gateway.serving import ServedCluster

    if not DIALECTS[app.settings().cluster(cluster).assumed_flavour].has_accounts:
        raise ConfigurationError(f"cluster {cluster} is of SQLite files, whose clients need no gateway")
    with _job(app, cluster) as opened:
        found = opened.session.topology()
        _require_servers(cluster, [each.node for each in found if each.is_gateway])
        readings = [each for each in found if each.version]
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


def _require_servers(cluster: str, gateways: Sequence[str]) -> None:
    """Require that no node is a gateway. Raises ConfigurationError."""
    if gateways:
        raise ConfigurationError(
            f"{gateways[0]} of cluster {cluster} is a safeconsole gateway, and none stands before another, or itself",
            instead=f"name the servers behind it in clusters.{cluster}.nodes",
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
    from safeconsole.gateway.workers import ENDING, signals_told

    with signals_told(*ENDING) as until:
        yield until


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
