"""`safeconsole serve`: the review page for a team, over the central database."""

from __future__ import annotations

import itertools
import json
import select
import ssl
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import click

from safeconsole.cli.application import Application
from safeconsole.cli.gateway import address_of, end_signals, is_loopback
from safeconsole.errors import ConfigurationError, SafeConsoleError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from safeconsole.approvals.mailbox import Mailbox
    from safeconsole.approvals.telling import Telling
    from safeconsole.capacity.overview import Overviews
    from safeconsole.config.settings import ServeSettings
    from safeconsole.web.server import PageServer
    from safeconsole.web.sign_in import Provider

TELL_SECONDS = 2.0
FORGET_TURNS = 1_800
"""Times that channels are told, about an hour, after which old requests are removed."""

RENEW_SECONDS = 600.0
DATABASE_EXAMPLE = "postgresql+psycopg://serve:{secret}@db9/audit, sqlite:////srv/safeconsole/audit.db"


@click.command()
@click.option("--listen", default="127.0.0.1:8733", show_default=True, metavar="HOST:PORT", help="Port 0 is any.")
@click.option("--tls-cert", default="", metavar="FILE", help="Certificate; required beyond loopback.")
@click.option("--tls-key", default="", metavar="FILE", help="Its private key.")
@click.option("--health", default="", metavar="HOST:PORT", help="Serve /healthz, /readyz and /metrics over HTTP.")
@click.pass_obj
def serve(app: Application, /, listen: str, tls_cert: str, tls_key: str, health: str) -> None:
    """Show the sessions of all computers to a team, from the central database that their journals are sent to.

    People sign in with the team's OpenID Connect provider; [serve] in the configuration says where, and which groups
    read, review and approve. Meant to stand behind a proxy. SIGTERM ends it.
    """
    settings = app.settings().serve
    where = address_of(listen, "--listen")
    if not tls_cert and not is_loopback(where[0]):
        raise ConfigurationError(
            f"--listen {listen} is beyond this computer, and cookies go on in clear",
            instead="give --tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy",
        )
    try:
        _serve(app, settings, _page_server(where, settings, _tls_of(tls_cert, tls_key)), health)
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"it needs the extra serve ({error.name} is not installed)", instead="pip install 'safeconsole[serve]'"
        ) from error


def _serve(app: Application, settings: ServeSettings, server: PageServer, health: str) -> None:
    from safeconsole.approvals.carrying import page_of
    from safeconsole.approvals.telling import Telling, hooks_of
    from safeconsole.audit.central_archive import CentralArchive
    from safeconsole.audit.index import Indexer, Indexing
    from safeconsole.capacity.overview import Overviews
    from safeconsole.web.approving import Approving
    from safeconsole.web.metrics import PageCounts
    from safeconsole.web.server import PageServer
    from safeconsole.web.team import SignIns, TeamDesk, respond

    engine = _database(app, settings)
    archive = CentralArchive(engine, app.clock, public_keys=app.settings().audit.public_keys)
    counts = PageCounts(archive.counts)
    indexing = Indexing(Indexer(engine), told=counts.indexed)
    approving = Approving(settings=settings, mailbox=_mailbox(app, engine))
    overviews = Overviews(app.reports(), app.settings()) if app.settings().capacity.reports else None
    telling = Telling(approving.mailbox, hooks_of(settings.hooks, app.environ), partial(page_of, settings.url))
    desk = TeamDesk(
        settings=settings, archive=archive, provider=_provider(app, settings), sign_ins=SignIns(settings),
        approving=approving, behind=indexing.behind, rules=partial(_rules, app), overviews=overviews,
    )  # fmt: skip
    server.answer = counts.counting(partial(respond, desk=desk))
    servers, said = [server], {"listen": _shown(server), "url": settings.url}
    if health:
        servers.append(_listening(address_of(health, "--health"), PageServer, threads=2))
        servers[-1].answer = counts.health
        said["health"] = _shown(servers[-1])
    over = threading.Event()
    with end_signals() as until:
        indexing.start()
        threading.Thread(
            target=_tell, args=(telling, approving.mailbox, over), name="safeconsole-telling", daemon=True
        ).start()
        if overviews is not None:
            threading.Thread(target=_renew, args=(overviews, over), name="safeconsole-fleet", daemon=True).start()
        for each in servers:
            threading.Thread(target=each.serve_forever, name="safeconsole-pages", daemon=True).start()
        click.echo(json.dumps(said))
        select.select([until], [], [])
    over.set()
    for each in servers:
        each.shutdown()
        each.server_close()
    indexing.stop()
    engine.dispose()


def _tell(telling: Telling, mailbox: Mailbox, over: threading.Event) -> None:
    for turn in itertools.count():
        # The database may be away; what waits is told when it is back.
        with suppress(ConfigurationError):
            telling.step()
            if turn % FORGET_TURNS == 0:
                mailbox.forget_old()
        if over.wait(TELL_SECONDS):
            return


def _renew(overviews: Overviews, over: threading.Event) -> None:
    overviews.renew()
    while not over.wait(RENEW_SECONDS):
        overviews.renew()


def _rules(app: Application) -> dict[str, tuple[str, ...]]:
    """Return the rules of the policies that clusters have in the configuration here."""
    found = {}
    for name in sorted({cluster.policy for cluster in app.settings().clusters.values()}):
        # What does not load here is `config check`'s to tell.
        with suppress(SafeConsoleError):
            policy = app.policies.load(name)
            found[policy.name] = tuple(rule.id for rule in policy.rules)
    return found


def _mailbox(app: Application, engine: Engine) -> Mailbox:
    """Return where requests lie: what [approvals] names, else the central database."""
    from safeconsole.approvals.request_database import DatabaseMailbox
    from safeconsole.approvals.waiting import mailbox_of

    return mailbox_of(app.settings().approvals, app.environ) or DatabaseMailbox(engine, "the central database")


def _database(app: Application, settings: ServeSettings) -> Engine:
    from sqlalchemy.exc import SQLAlchemyError

    from safeconsole.audit.central import make_private_file, open_database
    from safeconsole.audit.index_tables import make_tables

    if not settings.database:
        raise ConfigurationError("serve.database is not set", instead=f"such as {DATABASE_EXAMPLE}")
    engine, url = open_database(
        settings.database, setting="serve.database", secret_variable=settings.secret_variable, environ=app.environ,
        example=DATABASE_EXAMPLE, keeps=True,
    )  # fmt: skip
    try:
        make_private_file(url)
        make_tables(engine)
    except (SQLAlchemyError, OSError) as error:
        # `from None`: the driver's words may quote the address.
        raise ConfigurationError(
            f"serve.database: {url.host or url.database}: its tables cannot be made ({type(error).__name__})"
        ) from None
    return engine


def _provider(app: Application, settings: ServeSettings) -> Provider:
    from safeconsole.web.sign_in import Provider, require_safe_url

    require_safe_url(settings.url, setting="serve.url")
    if not settings.sign_in.client_id:
        raise ConfigurationError("serve.sign_in.client_id is not set", instead="the provider gives one to each program")
    if not any(settings.roles.values()):
        raise ConfigurationError("serve.roles is empty: nobody could read anything", instead='reader = ["a-group"]')
    variable = settings.sign_in.client_secret_variable
    secret = app.environ.get(variable, "") if variable else ""
    if variable and not secret:
        raise ConfigurationError(f"serve.sign_in.client_secret_variable: {variable} is not set")
    return Provider(settings.sign_in, redirect=f"{settings.url.rstrip('/')}/signed-in", secret=secret)


def _page_server(where: tuple[str, int], settings: ServeSettings, tls: ssl.SSLContext | None) -> PageServer:
    from safeconsole.web.server import PageServer

    return _listening(where, PageServer, threads=settings.threads, tls=tls)


def _listening(
    where: tuple[str, int], kind: type[PageServer], *, threads: int, tls: ssl.SSLContext | None = None
) -> PageServer:
    try:
        return kind(where, threads=threads, tls=tls)
    except OSError as error:
        raise ConfigurationError(f"{where[0]}:{where[1]}: {(error.strerror or str(error)).lower()}") from error


def _shown(server: PageServer) -> str:
    name, port = str(server.server_address[0]), server.server_address[1]
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _tls_of(certificate: str, key: str) -> ssl.SSLContext | None:
    if not certificate:
        if key:
            raise click.UsageError("--tls-key needs --tls-cert")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"the certificate cannot be used: {error.strerror or error}") from error
    return context
