"""The pages of `safeconsole serve`: the sessions of all computers, for whoever signed in and has a role."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import msgspec

from safeconsole.audit.central_archive import CentralArchive, Listed, Place
from safeconsole.audit.narrative import narrate
from safeconsole.audit.record import noted_digest
from safeconsole.audit.review import ReviewAct, objection_to
from safeconsole.audit.search import Query, moment_of, query_of
from safeconsole.capacity.overview import Overviews
from safeconsole.config.settings import ServeSettings
from safeconsole.errors import AuditUnavailableError, ConfigurationError, RefusedError, SafeConsoleError
from safeconsole.web import pages
from safeconsole.web.approving import Approving, Deciding, approvals_page, request_page
from safeconsole.web.overviews import COVERED_DAYS, coverage_page, fleet_page
from safeconsole.web.reading import elevations_in, plots_of, queued, waits_for
from safeconsole.web.server import HttpRequest, Response, static_file, text_response
from safeconsole.web.sign_in import ProvenName, Provider

COOKIE, BEGUN_COOKIE = "__Host-safeconsole", "__Host-safeconsole-begun"
ATTRIBUTES = "HttpOnly; Secure; SameSite=Lax; Path=/"
"""Not Strict: the way back from the provider, and a link in a message, come from another site."""

MOST_SIGNED_IN = 5_000
LONGEST_NAME = 190
LONGEST_PATH = 1_000
GONE_LINES = "its lines are no longer in the central database"
_REQUEST_PATH = re.compile(r"/requests/([A-Za-z0-9-]{1,100})")
_SESSION_PATH = re.compile(r"/sessions/([^/]+)(/review)?")


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who signed in.

    Attributes:
        by: the name that they are known by, as in journals.
        names: every login identity of theirs, and `by`, in lower case.
        until: seconds of the monotonic clock.
    """

    by: str
    names: frozenset[str]
    roles: frozenset[str]
    csrf: str
    until: float


class SignIns:
    """Who is signed in, by the hash of what their cookie holds; a restart signs everybody out.

    Args:
        seconds: a monotonic clock.
    """

    def __init__(self, settings: ServeSettings, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._seconds = settings, seconds
        self._lock = threading.Lock()
        self._held: dict[bytes, SignedIn] = {}

    def add(self, identity: ProvenName) -> str:
        """Sign somebody in, and return the cookie's value. Raises RefusedError: the name is no name."""
        given = identity.name
        if len(given) > LONGEST_NAME or not given.isprintable():
            raise RefusedError("the provider's name for you is too long, or not printable")
        roles = {role for role, groups in self._settings.roles.items() if identity.groups & set(groups)}
        known = self._settings.people.get(given, ())
        if self._settings.people and not known:
            # Who is not known by a login identity could review and approve what they did themselves.
            roles = {"reader"} if roles else set()
        by = known[0] if known else given
        signed_in = SignedIn(
            by=by,
            names=frozenset(name.casefold() for name in (by, given, *known)),
            roles=frozenset(roles),
            csrf=secrets.token_urlsafe(32),
            until=self._seconds() + self._settings.session_hours * 3600,
        )
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            for key in [key for key, held in self._held.items() if held.until <= self._seconds()]:
                del self._held[key]
            if len(self._held) >= MOST_SIGNED_IN:
                raise RefusedError("too many people are signed in", instead="try it again later")
            self._held[_digest(cookie)] = signed_in
        return cookie

    def of(self, cookie: str) -> SignedIn | None:
        with self._lock:
            held = self._held.get(_digest(cookie))
            return held if held is not None and self._seconds() < held.until else None

    def end(self, cookie: str) -> None:
        with self._lock:
            self._held.pop(_digest(cookie), None)


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


class TeamDesk(msgspec.Struct, frozen=True, kw_only=True):
    """What the pages are made of.

    Attributes:
        approving: requests for approval.
        rules: ids of rules by policy, of the policies that the configuration names.
        overviews: capacity of the configured clusters; None where no reports can be read here.
        behind: says what the index lacks, "" for nothing.
    """

    settings: ServeSettings
    archive: CentralArchive
    provider: Provider
    sign_ins: SignIns
    approving: Approving
    rules: Callable[[], Mapping[str, Sequence[str]]] = dict
    overviews: Overviews | None = None
    behind: Callable[[], str]

    @property
    def origin(self) -> str:
        parts = urlsplit(self.settings.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def base(self) -> str:
        return f"{urlsplit(self.settings.url).path.rstrip('/')}/"


def respond(request: HttpRequest, desk: TeamDesk) -> Response:
    """Return the response to a request; never raises for its content."""
    if request.headers.get("host", "").lower() != urlsplit(desk.settings.url).netloc.lower():
        return text_response(421, "This page is asked for under another name than its own.")
    parts = urlsplit(request.target)
    if not parts.path.startswith(desk.base):
        return text_response(404, "There is no such page.")
    path = f"/{parts.path.removeprefix(desk.base)}"
    file = static_file(path) if request.method == "GET" else None
    if file is not None:
        return file
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    if path in {"/sign-in", "/signed-in"} and request.method == "GET":
        return _signing_in(request, path, query, desk)
    signed_in = desk.sign_ins.of(_cookie(request, COOKIE))
    if signed_in is None:
        return _to_sign_in(request, desk)
    if not _comes_from_here(request, desk):
        return text_response(403, "This page is not asked for by another one.")
    viewer = pages.Viewer(by=signed_in.by, csrf=signed_in.csrf, base=desk.base, roles=signed_in.roles)
    try:
        if request.method == "POST":
            return _posted(request, path, desk, (viewer, signed_in))
        if not signed_in.roles:
            raise RefusedError(
                f"{signed_in.by} has no role here", instead="[serve.roles] names the groups that have one"
            )
        return _got(path, query, desk, (viewer, signed_in))
    except SafeConsoleError as error:
        return _failed(error, viewer)


def _failed(error: SafeConsoleError, viewer: pages.Viewer) -> Response:
    status = 404 if isinstance(error, ConfigurationError) else 503 if isinstance(error, AuditUnavailableError) else 403
    told = pages.message_page(viewer, "That did not work", error.message, instead=error.instead)
    return Response(status=status, body=told)


def _signing_in(request: HttpRequest, path: str, query: Mapping[str, str], desk: TeamDesk) -> Response:
    try:
        if path == "/sign-in":
            address, kept = desk.provider.begin(_own_path(query.get("then", ""), desk))
            cookie = f"{BEGUN_COOKIE}={kept}; Max-Age=600; {ATTRIBUTES}"
            return Response(status=303, body="", headers=(("Location", address), ("Set-Cookie", cookie)))
        identity, then = desk.provider.end(_cookie(request, BEGUN_COOKIE), query)
        cookie = desk.sign_ins.add(identity)
    except SafeConsoleError as error:
        return text_response(403, f"You are not signed in: {error.message}. {error.instead}".strip())
    return Response(
        status=303,
        body="",
        headers=(
            ("Location", then),
            ("Set-Cookie", f"{COOKIE}={cookie}; {ATTRIBUTES}"),
            ("Set-Cookie", f"{BEGUN_COOKIE}=; Max-Age=0; {ATTRIBUTES}"),
        ),
    )


def _to_sign_in(request: HttpRequest, desk: TeamDesk) -> Response:
    if request.method != "GET":
        return text_response(403, "You are not signed in any more: what you sent was not taken.")
    then = urlencode({"then": _own_path(request.target, desk)})
    return Response(status=303, body="", headers=(("Location", f"{desk.base}sign-in?{then}"),))


def _own_path(target: str, desk: TeamDesk) -> str:
    """Return a path of ours to go on at, whatever was asked for."""
    safe = target.startswith(desk.base) and not target.startswith("//") and target.isascii() and target.isprintable()
    return target if safe and "\\" not in target and len(target) <= LONGEST_PATH else desk.base


def _cookie(request: HttpRequest, name: str) -> str:
    for part in request.headers.get("cookie", "").split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


def _comes_from_here(request: HttpRequest, desk: TeamDesk) -> bool:
    """Return whether a request is a person's own, or a page's of ours; a link elsewhere may lead to a page."""
    origin = request.headers.get("origin", "")
    if origin and origin != desk.origin:
        return False
    site = request.headers.get("sec-fetch-site", "none")
    followed = request.method == "GET" and request.headers.get("sec-fetch-dest") == "document"
    return site in {"none", "same-origin"} or followed


def _decided(name: str, form: Mapping[str, str], desk: TeamDesk, who: tuple[pages.Viewer, SignedIn]) -> Response:
    viewer, signed_in = who
    told = desk.approving.decide(name, form, deciding(signed_in))
    return Response(status=200, body=pages.message_page(viewer, "Answered", told))


def deciding(signed_in: SignedIn) -> Deciding:
    return Deciding(by=signed_in.by, names=signed_in.names, roles=signed_in.roles)


def _posted(request: HttpRequest, path: str, desk: TeamDesk, who: tuple[pages.Viewer, SignedIn]) -> Response:
    viewer, signed_in = who
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    if not hmac.compare_digest(form.get("csrf", "").encode(), signed_in.csrf.encode()):
        return text_response(403, "This form is not from this page.")
    if path == "/sign-out":
        desk.sign_ins.end(_cookie(request, COOKIE))
        gone = ("Set-Cookie", f"{COOKIE}=; Max-Age=0; {ATTRIBUTES}")
        return msgspec.structs.replace(text_response(200, "You are signed out here."), headers=(gone,))
    asked = _REQUEST_PATH.fullmatch(path)
    if asked is not None:
        return _decided(asked.group(1), form, desk, (viewer, signed_in))
    matched = _SESSION_PATH.fullmatch(path)
    if matched is None or not matched.group(2):
        raise ConfigurationError("there is no such page")
    if "reviewer" not in signed_in.roles:
        raise RefusedError(f"{signed_in.by} is no reviewer here", instead="[serve.roles] names the groups that are")
    try:
        act = ReviewAct(form.get("act", ""))
    except ValueError:
        raise ConfigurationError("approve, flag or note?") from None
    session = unquote(matched.group(1))
    desk.archive.review(session, form.get("head", ""), act, form.get("note", ""), by=signed_in.by, also=signed_in.names)
    return Response(status=303, body="", headers=(("Location", desk.base + pages.session_path(session)),))


def _got(path: str, query: Mapping[str, str], desk: TeamDesk, who: tuple[pages.Viewer, SignedIn]) -> Response:
    viewer, _ = who
    match path:
        case "/":
            return Response(status=200, body=_sessions(desk, viewer, query))
        case "/search":
            return Response(status=200, body=_search(desk, viewer, query))
        case "/timeline":
            return Response(status=200, body=_timeline(desk, viewer, query))
        case "/approvals":
            return Response(status=200, body=approvals_page(viewer, desk.approving.mailbox.waiting()))
        case "/coverage":
            since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - COVERED_DAYS * 86_400))
            body = coverage_page(viewer, desk.archive.coverage(since), desk.rules())
            return Response(status=200, body=body)
        case "/fleet":
            why_not = "" if desk.overviews else "capacity.reports names no database that this server could read."
            rows = desk.overviews.rows() if desk.overviews else ()
            return Response(status=200, body=fleet_page(viewer, rows, why_not))
        case _ if asked := _REQUEST_PATH.fullmatch(path):
            return Response(status=200, body=_request(desk, viewer, asked.group(1), who[1]))
        case _:
            return _one_session(path, query, desk, who)


def _request(desk: TeamDesk, viewer: pages.Viewer, name: str, signed_in: SignedIn) -> str:
    request = desk.approving.request(name)
    return request_page(viewer, name, request, desk.approving.objection_to(request, deciding(signed_in)))


def _one_session(path: str, query: Mapping[str, str], desk: TeamDesk, who: tuple[pages.Viewer, SignedIn]) -> Response:
    viewer, signed_in = who
    matched = _SESSION_PATH.fullmatch(path)
    if matched is None or matched.group(2):
        raise ConfigurationError("there is no such page")
    listed = desk.archive.session(unquote(matched.group(1)))
    return Response(status=200, body=_session(desk, viewer, listed, (query.get("from", ""), signed_in.names)))


def _sessions(desk: TeamDesk, viewer: pages.Viewer, query: Mapping[str, str]) -> str:
    wanted = {name: query[name].strip() for name in pages.QUEUE_FILTERS if query.get(name, "").strip()}
    listed, older = desk.archive.sessions(**wanted, before=_place_of(query))
    shown = [queued(one.summary, one.state, one.reviews) for one in listed]
    return pages.queue_page(viewer, shown, wanted, older=_older("./", wanted, older), said=desk.behind())


def _search(desk: TeamDesk, viewer: pages.Viewer, query: Mapping[str, str]) -> str:
    wanted, found, troubles = _wanted(query, pages.FILTERS)
    if not wanted or troubles:
        return pages.search_page(viewer, wanted, (), more=False, troubles=troubles)
    told = desk.archive.statements(found, before=_place_of(query))
    further = None
    if told.older is not None:
        back_to = "" if told.is_whole else told.older[0]
        further = pages.Further(path=_older("search", wanted, told.older), back_to=back_to)
    return pages.search_page(viewer, wanted, told.statements, more=False, further=further)


def _timeline(desk: TeamDesk, viewer: pages.Viewer, query: Mapping[str, str]) -> str:
    wanted, found, troubles = _wanted(query, pages.TIMELINE_FILTERS)
    told = desk.archive.statements(found, notable=True, before=_place_of(query))
    older = _older("timeline", wanted, told.older)
    return pages.timeline_page(viewer, wanted, told.statements, older=older, troubles=troubles)


def _wanted(query: Mapping[str, str], names: tuple[str, ...]) -> tuple[dict[str, str], Query, list[str]]:
    """Return the filters that are set, the query, and what is wrong with them."""
    wanted = {name: query[name].strip() for name in names if query.get(name, "").strip()}
    fields: dict[str, object] = {name: value for name, value in wanted.items() if name != "text"}
    try:
        fields |= {name: moment_of(wanted[name]) for name in ("since", "until") if name in wanted}
    except ConfigurationError as error:
        return wanted, Query(), [error.message]
    return wanted, query_of(wanted.get("text", ""), fields), []


def _place_of(query: Mapping[str, str]) -> Place | None:
    if not query.get("before"):
        return None
    moment, session, statement = ([*query["before"].split("~"), "", ""])[:3]
    if not statement.isdecimal() or not statement.isascii():
        raise ConfigurationError("this link is damaged")
    return moment, session, int(statement[:18])


def _older(path: str, wanted: Mapping[str, str], place: Place | None) -> str:
    return f"{path}?{urlencode({**wanted, 'before': '~'.join(map(str, place))})}" if place else ""


def _session(desk: TeamDesk, viewer: pages.Viewer, listed: Listed, at: tuple[str, frozenset[str]]) -> str:
    summary, (given, names) = listed.summary, at
    first = int(given[:12]) if given.isascii() and given.isdecimal() else 0
    portion = desk.archive.portion(summary.session, first)
    by = summary.person if summary.person.casefold() in names else viewer.by
    notes = [f"its computer is {listed.host}"] if listed.host else []
    if noted_digest(portion.entries):
        notes.append(f"its terminal was recorded there: safeconsole audit replay {summary.session}")
    told = pages.SessionPage(
        summary=summary,
        state=listed.state,
        waits_for=waits_for(summary, listed.state, listed.reviews),
        reviews=listed.reviews,
        passages=[one for one in narrate(portion.entries, live=summary.live or portion.more >= 0) if one.lines],
        plots=plots_of(portion.entries),
        findings=desk.archive.findings(summary),
        recorded=False,
        troubles=tuple(filter(None, (summary.trouble, "" if portion.entries or first else GONE_LINES))),
        elevated_for=elevations_in(portion.entries),
        # A note is asked for where one is given: its absence is no objection to the act.
        objections={act: objection_to(act, summary, listed.reviews, by=by, note="x") for act in ReviewAct},
        notes=notes,
        more=f"{pages.session_path(summary.session)}?from={portion.more}" if portion.more >= 0 else "",
    )
    return pages.session_page(msgspec.structs.replace(viewer, by=by), told)
