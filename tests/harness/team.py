"""A team's pages as they are served: a central database, a provider to sign in with, and a browser without a screen."""

import http.client
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from functools import partial

from oidc_provider_mock import User, run_server_in_thread

from safeconsole.approvals.request_database import DatabaseMailbox
from safeconsole.audit.central import DatabaseSink, open_database
from safeconsole.audit.central_archive import CentralArchive
from safeconsole.audit.index import Indexer
from safeconsole.audit.index_tables import make_tables
from safeconsole.audit.shipping import Shipper
from safeconsole.clock import SystemClock
from safeconsole.config.settings import ServeSettings, SignInSettings
from safeconsole.web.approving import Approving
from safeconsole.web.server import PageServer
from safeconsole.web.sign_in import Provider
from safeconsole.web.team import SignIns, TeamDesk, respond

GROUPS = {"ana": ["dba"], "ben": ["dba"], "cleo": ["leads"], "dan": ["eng"], "eve": ["sales"], "fay": []}
ROLES = {"reader": ("eng",), "reviewer": ("leads", "dba"), "approver": ("dba",)}


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(NoRedirect)


def opened(address, data=None):
    """Ask a provider as a browser does, and return status and headers without following."""
    try:
        with OPENER.open(urllib.request.Request(address, data=data), timeout=10) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


class Web:
    """One browser: it keeps cookies and asks one server, under the name that people know it by."""

    def __init__(self, server, url, headers=None):
        self.server, self.url, self.cookies, self.headers = server, urllib.parse.urlsplit(url), {}, headers or {}

    def ask(self, method, target, form=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_address[1], timeout=20)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"Host": self.url.netloc, "Cookie": cookie, **self.headers, **headers}
        try:
            connection.request(method, target, urllib.parse.urlencode(form) if form is not None else None, sent)
            answer = connection.getresponse()
            answer.text = answer.read().decode()
        finally:
            connection.close()
        for value in answer.headers.get_all("Set-Cookie") or ():
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.partition(";")[0]
            if "Max-Age=0" in value:
                del self.cookies[name]
        return answer

    def get(self, target, **headers):
        return self.ask("GET", target, **headers)

    def post(self, target, form, **headers):
        return self.ask("POST", target, form, **headers)

    def sign_in(self, sub, then="/"):
        """Sign in as a person, and return the last answer, which leads to the page asked for."""
        begun = self.get(f"/sign-in?then={urllib.parse.quote(then)}")
        status, headers = opened(begun.headers["Location"], urllib.parse.urlencode({"sub": sub}).encode())
        assert status == 302, status
        back = urllib.parse.urlsplit(headers["Location"])
        return self.get(f"{back.path}?{back.query}")

    def csrf(self, target="/"):
        return re.search(r'name="csrf" value="([^"]+)"', self.get(target).text).group(1)


def users():
    return [User(sub=sub, claims={"preferred_username": sub, "groups": groups}) for sub, groups in GROUPS.items()]


@contextmanager
def provider():
    """A provider that lets anybody in as one of the team; yields its issuer."""
    with run_server_in_thread(user_claims=users(), require_nonce=True) as server:
        yield f"http://localhost:{server.server_port}"


def ship(directory, url):
    sink = DatabaseSink(url)
    try:
        assert Shipper(directory, {"central": sink}).ship()[0].trouble == ""
    finally:
        sink.close()


def archive_of(url, *, directory=None):
    """The archive of a central database, with what an audit directory holds sent to it and indexed."""
    if directory is not None:
        ship(directory, url)
    engine, _ = open_database(url, setting="x.y", secret_variable="", environ={}, example="", keeps=True)
    make_tables(engine)
    indexer = Indexer(engine)
    indexer.step()
    while indexer.waiting:
        indexer.step()
    return engine, indexer, CentralArchive(engine, SystemClock())


@contextmanager
def pages(archive, issuer, *, mailbox=None, **settings):
    """Serve an archive's pages; yields a function that opens a new browser, and the desk."""
    server = PageServer(threads=2)
    url = f"http://localhost:{server.server_address[1]}/"
    about = ServeSettings(
        url=url, roles=ROLES, sign_in=SignInSettings(issuer=issuer, client_id="safeconsole"), **settings
    )
    made = Provider(about.sign_in, redirect=f"{url}signed-in", secret="s")
    approving = Approving(settings=about, mailbox=mailbox or DatabaseMailbox(archive._engine, "here"))
    desk = TeamDesk(
        settings=about, archive=archive, provider=made, sign_ins=SignIns(about), approving=approving, behind=lambda: ""
    )
    server.answer = partial(respond, desk=desk)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield partial(Web, server, url), desk
    finally:
        server.shutdown()
        server.server_close()
