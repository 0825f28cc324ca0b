"""The pages of `audit serve`: one computer's journals, for the one browser that the printed address let in."""

from __future__ import annotations

import hmac
import itertools
import json
import re
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import msgspec

from safeconsole.audit.archive import LocalArchive
from safeconsole.audit.narrative import narrate
from safeconsole.audit.record import (
    GONE,
    Recorded,
    SessionSummary,
    doubt_about,
    noted_digest,
)
from safeconsole.audit.recording import tame
from safeconsole.audit.review import (
    LocalReviews,
    ReviewAct,
    ReviewState,
    by_session,
    objection_to,
    state_of,
)
from safeconsole.audit.search import found, moment_of, query_of
from safeconsole.errors import ConfigurationError, SafeConsoleError
from safeconsole.web import pages
from safeconsole.web.reading import elevations_in, plots_of, queued, waits_for
from safeconsole.web.server import JSON, LOOPBACK, HttpRequest, Response, static_file, text_response

COOKIE = "safeconsole_audit"
_OWN_SITES = frozenset({"none", "same-origin"})
"""`Sec-Fetch-Site` of the person and of this origin's pages; a page on another port is "same-site"."""

_SESSION_PATH = re.compile(r"/sessions/([^/]+)(/replay|/recording\.json|/review)?")


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
        return text_response(421, "This page is asked for under another name than its own.")
    if request.method == "GET" and parts.path == "/open":
        return _opened(query.get("token", ""), keys)
    if not parts.path.startswith(keys.base) or not _is_known(request, keys):
        return text_response(403, "Open the address that safeconsole audit serve printed; it works once.")
    if request.headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return text_response(403, "This page is not asked for by another one.")
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
        return text_response(403, "This address was used already, or is not the one that was printed.")
    keys.token = ""
    cookie = f"{COOKIE}={keys.cookie}; HttpOnly; SameSite=Strict; Path={keys.base}"
    return Response(status=303, body="", headers=(("Location", keys.base), ("Set-Cookie", cookie)))


def _is_known(request: HttpRequest, keys: PageKeys) -> bool:
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE and hmac.compare_digest(value.encode(), keys.cookie.encode()):
            return True
    return False


def _posted(request: HttpRequest, path: str, desk: Desk, viewer: pages.Viewer) -> Response:
    form = {name: values[0] for name, values in parse_qs(request.body.decode("utf-8", "replace")).items()}
    origin = request.headers.get("origin", "")
    foreign = origin and origin.partition("://")[2] not in desk.keys.hosts
    if foreign or not hmac.compare_digest(form.get("csrf", "").encode(), viewer.csrf.encode()):
        return text_response(403, "This form is not from this page.")
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
    file = static_file(path)
    if file is not None:
        return file
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
    reviews = by_session(desk.reviews().reviews())
    meant = [one for one in desk.archive().sessions() if _is_meant(one, wanted)]
    listed = [
        queued(one, state_of(one, own), own) for one in reversed(meant) for own in (reviews.get(one.session, []),)
    ]
    shown = [one for one in listed if _is_shown(one, wanted.get("state", pages.WAITING))]
    most = pages.SESSIONS_SHOWN
    said = f"Only the newest {most} of {len(shown):,} are shown: filter by person or cluster."
    return pages.queue_page(viewer, shown[:most], wanted, said=said if len(shown) > most else "")


def _is_meant(summary: SessionSummary, wanted: Mapping[str, str]) -> bool:
    return all(
        wanted[name].casefold() == held.casefold()
        for name, held in (("person", summary.person), ("cluster", summary.cluster))
        if name in wanted
    )


def _is_shown(one: pages.Queued, state: str) -> bool:
    if state == pages.WAITING:
        return one.state in {ReviewState.PENDING, ReviewState.FLAGGED}
    return state in {pages.ALL, one.state.value}


def _session(desk: Desk, viewer: pages.Viewer, summary: SessionSummary) -> str:
    reviews = desk.reviews().reviews()
    entries = list(desk.archive().entries(summary.session))
    state = state_of(summary, reviews)
    findings = desk.archive().verify(summary.session)
    recorded = _is_recorded(desk, summary.session)
    told = pages.SessionPage(
        summary=summary,
        state=state,
        waits_for=waits_for(summary, state, reviews),
        reviews=[review for review in reviews if review.session == summary.session],
        passages=[one for one in narrate(entries, live=summary.live) if one.lines],
        plots=plots_of(entries),
        findings=findings,
        recorded=recorded,
        troubles=tuple(filter(None, (summary.trouble, GONE if noted_digest(entries) and not recorded else ""))),
        elevated_for=elevations_in(entries),
        # A note is asked for where one is given: its absence is no objection to the act.
        objections={act: objection_to(act, summary, reviews, by=viewer.by, note="x") for act in ReviewAct},
    )
    return pages.session_page(viewer, told)


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
    try:
        summary = desk.archive().summary(session)
    except ConfigurationError:
        summary = None
    if summary is None or summary.session != session:
        raise ConfigurationError(f"there is no session {session}; see {'/?' + urlencode({'state': 'all'})}")
    return summary


def new_keys(port: int) -> PageKeys:
    hosts = frozenset({f"{LOOPBACK}:{port}", f"localhost:{port}"})
    token, cookie, csrf, place = (secrets.token_urlsafe(32) for _ in range(4))
    return PageKeys(token=token, cookie=cookie, csrf=csrf, base=f"/{place}/", hosts=hosts)
