"""The HTTP server on loopback and its routes; every response carries headers that forbid external content."""

from __future__ import annotations

import hmac
import itertools
import json
import re
import secrets
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import msgspec

from safeconsole.audit.narrative import narrate
from safeconsole.audit.record import (
    GONE,
    ElevationChanged,
    Entry,
    Intent,
    Recorded,
    Sampled,
    SessionSummary,
    doubt_about,
    noted_digest,
)
from safeconsole.audit.recording import tame
from safeconsole.audit.review import (
    LocalReviews,
    Review,
    ReviewAct,
    ReviewState,
    lacks_closing_note,
    objection_to,
    state_of,
)
from safeconsole.audit.search import LocalArchive, found, moment_of, query_of
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.web import pages
from safeconsole.web.pages import Markup, memory_plots

COOKIE = "safeconsole_audit"
HTML, JSON = "text/html; charset=utf-8", "application/json"
STATIC = {"style.css": "text/css; charset=utf-8", "replay.js": "text/javascript; charset=utf-8"}
_OWN_SITES = frozenset({"none", "same-origin"})
"""`Sec-Fetch-Site` of the person and of this origin's pages; a page on another port is "same-site"."""

_SESSION_PATH = re.compile(r"/sessions/([^/]+)(/replay|/recording\.json|/review)?")


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's request, with header names in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    body: str
    kind: str = HTML
    headers: tuple[tuple[str, str], ...] = ()


class PageKeys(msgspec.Struct, kw_only=True):
    """The secrets of one run.

    Attributes:
        token: opens the page once; "" when used.
        cookie: identifies the browser from then on, below `base` alone.
        base: the secret path below which all pages are: a browser sends a cookie to every port of a computer, whoever
            serves there, and only to the paths that it was set for.
        hosts: accepted Host headers, so that no other name can be pointed at the page.
    """

    token: str
    cookie: str
    csrf: str
    base: str
    hosts: frozenset[str]

    def __repr__(self) -> str:
        return "PageKeys(…)"


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    archive: Callable[[], LocalArchive]
    reviews: Callable[[], LocalReviews]
    recording: Callable[[str], Recorded]
    keys: PageKeys


def respond(request: HttpRequest, desk: Desk) -> Response:
    """Return the response to a request; never raises for its content."""
    parts = urlsplit(request.target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    keys = desk.keys
    if request.headers.get("host", "") not in keys.hosts:
        return _refused(421, "This page is asked for under another name than its own.")
    if request.method == "GET" and parts.path == "/open":
        return _opened(query.get("token", ""), keys)
    if not parts.path.startswith(keys.base) or not _is_known(request, keys):
        return _refused(403, "Open the address that safeconsole audit serve printed; it works once.")
    if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return _refused(403, "This page is not asked for by another one.")
    path = f"/{parts.path.removeprefix(keys.base)}"
    viewer = pages.Viewer(by=desk.reviews().by, csrf=keys.csrf, base=keys.base)
    try:
        if request.method == "POST":
            return _posted(request, path, desk, viewer)
        return _got(path, query, desk, viewer)
    except SafeConsoleError as error:
        status = 404 if isinstance(error, ConfigurationError) else 503
        matched = _SESSION_PATH.fullmatch(path)
        session = _session_of(matched) if matched and matched.group(2) else ""
        told = pages.message_page(viewer, "That did not work", error.message, instead=error.instead, session=session)
        return Response(status=status, body=told)


def _session_of(matched: re.Match[str]) -> str:
    return unquote(matched.group(1), errors="surrogateescape")


def _opened(token: str, keys: PageKeys) -> Response:
    if not keys.token or not hmac.compare_digest(token.encode(), keys.token.encode()):
        return _refused(403, "This address was used already, or is not the one that was printed.")
    keys.token = ""
    cookie = f"{COOKIE}={keys.cookie}; HttpOnly; SameSite=Strict; Path={keys.base}"
    return Response(status=303, body="", headers=(("Location", keys.base), ("Set-Cookie", cookie)))


def _is_known(request: HttpRequest, keys: PageKeys) -> bool:
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and hmac.compare_digest(value.encode(), keys.cookie.encode()):
            return True
    return False


def _refused(status: int, text: str) -> Response:
    return Response(status=status, body=text + "\n", kind="text/plain; charset=utf-8")


def _posted(request: HttpRequest, path: str, desk: Desk, viewer: pages.Viewer) -> Response:
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    origin = request.headers.get("origin", "")
    foreign = origin and origin.partition("://")[2] not in desk.keys.hosts
    if foreign or not hmac.compare_digest(form.get("csrf", "").encode(), viewer.csrf.encode()):
        return _refused(403, "This form is not from this page.")
    matched = _SESSION_PATH.fullmatch(path)
    if matched is None or matched.group(2) != "/review":
        return Response(status=404, body=pages.message_page(viewer, "Not here", "There is no such page."))
    try:
        act = ReviewAct(form.get("act", ""))
    except ValueError:
        raise ConfigurationError("approve, flag or note?") from None
    desk.reviews().add(_summary(desk, _session_of(matched)), act, form.get("note", ""))
    back = viewer.base + path.removesuffix("/review").removeprefix("/")
    return Response(status=303, body="", headers=(("Location", back),))


def _got(path: str, query: dict[str, str], desk: Desk, viewer: pages.Viewer) -> Response:
    if path == "/":
        return Response(status=200, body=_queue(desk, viewer, query))
    if path == "/search":
        return Response(status=200, body=_search(desk, viewer, query))
    if path.removeprefix("/static/") in STATIC and path.startswith("/static/"):
        name = path.removeprefix("/static/")
        return Response(status=200, body=resources.files(__package__).joinpath(name).read_text(), kind=STATIC[name])
    matched = _SESSION_PATH.fullmatch(path)
    if matched is None or matched.group(2) == "/review":
        return Response(status=404, body=pages.message_page(viewer, "Not here", "There is no such page."))
    summary = _summary(desk, _session_of(matched))
    match matched.group(2):
        case "/replay":
            return Response(status=200, body=_replay(desk, viewer, summary.session))
        case "/recording.json":
            return Response(status=200, body=_recording(desk, summary.session), kind=JSON)
        case _:
            return Response(status=200, body=_session(desk, viewer, summary))


def _queue(desk: Desk, viewer: pages.Viewer, query: dict[str, str]) -> str:
    wanted = {name: query[name].strip() for name in pages.QUEUE_FILTERS if query.get(name, "").strip()}
    reviews = desk.reviews().reviews()
    queued = [_queued(one, reviews) for one in desk.archive().sessions() if _is_meant(one, wanted)]
    shown = [one for one in queued if _is_shown(one, wanted.get("state", pages.WAITING))]
    return pages.queue_page(viewer, list(reversed(shown)), wanted)


def _is_meant(summary: SessionSummary, wanted: Mapping[str, str]) -> bool:
    return all(
        wanted[name].casefold() == held.casefold()
        for name, held in (("person", summary.person), ("cluster", summary.cluster))
        if name in wanted
    )


def _is_shown(queued: pages.Queued, state: str) -> bool:
    if state == pages.WAITING:
        return queued.state in {ReviewState.PENDING, ReviewState.FLAGGED}
    return state in {pages.ALL, queued.state.value}


def _queued(summary: SessionSummary, reviews: tuple[Review, ...]) -> pages.Queued:
    note = next((review.note for review in reversed(reviews) if review.session == summary.session), "")
    state = state_of(summary, reviews)
    return pages.Queued(summary=summary, state=state, note=note, waits_for=_waits_for(summary, state, reviews))


def _waits_for(summary: SessionSummary, state: ReviewState, reviews: tuple[Review, ...]) -> str:
    if state is not ReviewState.PENDING:
        return ""
    if summary.live:
        return "its end"
    return f"{summary.person}'s closing note" if lacks_closing_note(summary, reviews) else "a reviewer"


def _session(desk: Desk, viewer: pages.Viewer, summary: SessionSummary) -> str:
    reviews = desk.reviews().reviews()
    entries = list(desk.archive().entries(summary.session))
    state = state_of(summary, reviews)
    findings = desk.archive().verify(summary.session)
    recorded = _is_recorded(desk, summary.session)
    told = pages.SessionPage(
        summary=summary,
        state=state,
        waits_for=_waits_for(summary, state, reviews),
        reviews=[review for review in reviews if review.session == summary.session],
        passages=[one for one in narrate(entries, live=summary.live) if one.lines],
        plots=_plots(entries),
        findings=findings,
        recorded=recorded,
        troubles=tuple(filter(None, (summary.trouble, GONE if noted_digest(entries) and not recorded else ""))),
        # A note is asked for where one is given: its absence is no objection to the act.
        elevated_for=tuple(
            dict.fromkeys(
                (one.record.reason, one.record.ticket) for one in entries if isinstance(one.record, ElevationChanged)
            )
        ),
        objections={act: objection_to(act, summary, reviews, by=viewer.by, note="x") for act in ReviewAct},
    )
    return pages.session_page(viewer, told)


def _plots(entries: list[Entry]) -> list[tuple[str, Markup]]:
    samples: dict[int, list[Sampled]] = {}
    limits: dict[int, dict[str, float]] = {}
    for entry in entries:
        if isinstance(entry.record, Sampled):
            samples.setdefault(entry.record.statement, []).append(entry.record)
        elif isinstance(entry.record, Intent):
            limits[entry.record.statement] = entry.record.limits
    return [
        (f"#{number}: {title}", drawing)
        for number, held in samples.items()
        for title, drawing in memory_plots(held, limits.get(number, {}))
    ]


def _is_recorded(desk: Desk, session: str) -> bool:
    try:
        desk.recording(session)
    except ConfigurationError:
        return False
    return True


def _replay(desk: Desk, viewer: pages.Viewer, session: str) -> str:
    recorded = desk.recording(session)
    return pages.replay_page(viewer, session, _doubt(desk, session, recorded))


def _recording(desk: Desk, session: str) -> str:
    # The doubt is said again: it belongs to what was read here, not to what the page was made from.
    recorded = desk.recording(session)
    outputs = [(moment, tame(text)) for moment, text in recorded.outputs]
    told = {"columns": recorded.columns, "lines": recorded.lines, "outputs": outputs}
    return json.dumps(told | {"doubt": _doubt(desk, session, recorded)})


def _doubt(desk: Desk, session: str, recorded: Recorded) -> str:
    archive = desk.archive()
    return doubt_about(recorded, archive.entries(session), archive.verify(session))


def _search(desk: Desk, viewer: pages.Viewer, query: dict[str, str]) -> str:
    wanted = {name: query[name].strip() for name in pages.FILTERS if query.get(name, "").strip()}
    if not wanted:
        return pages.search_page(viewer, {}, (), more=False)
    fields: dict[str, object] = {name: value for name, value in wanted.items() if name != "text"}
    try:
        fields |= {name: moment_of(wanted[name]) for name in ("since", "until") if name in wanted}
    except ConfigurationError as error:
        return pages.search_page(viewer, wanted, (), more=False, troubles=[error.message])
    troubles: list[str] = []
    stories = found(desk.archive(), query_of(wanted.get("text", ""), fields), (), unread=troubles.append)
    shown = list(itertools.islice(stories, pages.SEARCH_SHOWN + 1))
    more = len(shown) > pages.SEARCH_SHOWN
    return pages.search_page(viewer, wanted, shown[: pages.SEARCH_SHOWN], more=more, troubles=troubles)


def _summary(desk: Desk, session: str) -> SessionSummary:
    summary = next((one for one in desk.archive().sessions() if one.session == session), None)
    if summary is None:
        raise ConfigurationError(f"there is no session {session}; see {'/?' + urlencode({'state': 'all'})}")
    return summary


LOOPBACK = "127.0.0.1"
LARGEST_FORM_BYTES = 64 * 1024
IDLE_SECONDS = 10

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'self'"
)
HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # Not "no-referrer": browsers then send our own forms with the origin "null", which is refused.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


def new_keys(port: int) -> PageKeys:
    hosts = frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"})
    token, cookie, csrf, place = (secrets.token_urlsafe(32) for _ in range(4))
    return PageKeys(token=token, cookie=cookie, csrf=csrf, base=f"/{place}/", hosts=hosts)


class PageServer(ThreadingHTTPServer):
    daemon_threads = True
    desk: Desk

    def __init__(self, port: int) -> None:
        """Listen on a port; 0 picks a free one. Raises OSError when it is in use."""
        super().__init__((LOOPBACK, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the standard library's own
        """Ignore a browser that goes away; a failing page has answered 500 already."""


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = IDLE_SECONDS
    server_version = "safeconsole"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_FORM_BYTES:
            self._write(Response(status=413, body="This form is too large.\n", kind="text/plain; charset=utf-8"))
            return
        self._answer(self.rfile.read(int(length)))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the standard library's own
        """Log nothing: standard error belongs to the person, and reviews are in the review book."""

    def _answer(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = HttpRequest(method=self.command, target=self.path, headers=headers, body=body)
        try:
            answer = respond(request, self.server.desk)
        except Exception:  # noqa: BLE001 - one page that fails must not look like a server that is gone
            text = "This page failed; the command safeconsole audit may still show what it should.\n"
            answer = Response(status=500, body=text, kind="text/plain; charset=utf-8")
        self._write(answer)

    def _write(self, answer: Response) -> None:
        data = answer.body.encode("utf-8", "backslashreplace")
        self.send_response(answer.status)
        for name, value in (
            *HEADERS,
            *answer.headers,
            ("Content-Type", answer.kind),
            ("Content-Length", str(len(data))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
