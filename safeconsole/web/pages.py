"""Builds the HTML pages from values: escaped text, and plots of readings over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import groupby
from urllib.parse import quote

import msgspec

from safeconsole.audit.narrative import Passage
from safeconsole.audit.record import Finding, Sampled, SessionSummary
from safeconsole.audit.review import Review, ReviewAct, ReviewState, reasons_for_review
from safeconsole.audit.search import OUTCOMES, VERDICTS
from safeconsole.audit.story import StatementStory
from safeconsole.output.text import safe, safe_lines

VOID = frozenset({"input", "br", "meta", "link", "line", "rect", "polyline", "path", "circle"})
"""Elements without an end tag."""


class Markup(str):
    __slots__ = ()


Child = str | Iterable[str]


def tag(name: str, /, *children: Child, **attributes: str | float | bool) -> Markup:
    """Return an element.

    Args:
        children: texts, which are escaped, and elements, which are not.
        attributes: `class_` is `class`, `_` in a name is `-`; True is a bare attribute, False and "" omit it.
    """
    told = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(
            f"<{name}{told}>" if name not in {"line", "rect", "polyline", "path", "circle"} else f"<{name}{told}/>"
        )
    return Markup(f"<{name}{told}>{together(*children)}</{name}>")


def together(*children: Child) -> Markup:
    return Markup("".join(_child(child) for child in children))


def _child(child: Child) -> str:
    if isinstance(child, Markup):
        return child
    if isinstance(child, str):
        # Control and reordering characters are shown as escapes: a reviewer must see what was really asked.
        return escape("\n".join(safe_lines(child)))
    return "".join(_child(one) for one in child)


def _attribute(key: str, value: str | float | bool) -> str:  # noqa: FBT001 - an attribute's value
    if value is False or value == "":
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(safe(str(value)), quote=True)}"'


WIDTH, HEIGHT = 720, 150
LEFT, RIGHT, TOP, BOTTOM = 80, 4, 12, 24
HEADROOM = 1.15
MIB = 1_048_576

Point = tuple[float, float]


def memory_plots(samples: Sequence[Sampled], limits: Mapping[str, float]) -> list[tuple[str, Markup]]:
    """Return titled plots of a statement's session memory and its instance's growth.

    Args:
        samples: of one statement, in order; at least one.
        limits: the ceilings that were in force, by name.
    """
    session = [
        (one.elapsed_seconds, float(one.session_memory_bytes))
        for one in samples
        if one.session_memory_bytes is not None
    ]
    instance = [
        (one.elapsed_seconds, float(one.instance_memory_bytes))
        for one in samples
        if one.instance_memory_bytes is not None
    ]
    grown = [(seconds, max(0.0, held - instance[0][1])) for seconds, held in instance]
    drawn = []
    if session:
        title = f"memory of the session, peak {_peak(session):.1f} MiB"
        drawn.append((title, plot(session, limits.get("session_memory_bytes", 0), title)))
    if grown:
        title = f"growth of the instance, peak {_peak(grown):.1f} MiB over {instance[0][1] / MIB:.1f} MiB"
        drawn.append((title, plot(grown, limits.get("grown_memory_bytes", 0), title)))
    return drawn


def plot(points: Sequence[Point], limit_bytes: float, title: str) -> Markup:
    """Return a plot of MiB over seconds.

    Args:
        points: seconds and bytes, in order; at least one.
        limit_bytes: the ceiling, 0 when unknown.
    """
    seconds = max(moment for moment, _ in points) or 1.0
    top = max(limit_bytes, *(value for _, value in points), 1.0) * HEADROOM
    line = " ".join(f"{_x(moment, seconds):.1f},{_y(value, top)}" for moment, value in points)
    floor = HEIGHT - BOTTOM
    parts = [
        tag("line", x1=LEFT, y1=floor, x2=WIDTH, y2=floor, class_="axis"),
        tag("line", x1=LEFT, y1=TOP, x2=LEFT, y2=floor, class_="axis"),
        tag("polyline", points=line, fill="none"),
        *(tag("circle", cx=round(_x(moment, seconds), 1), cy=_y(value, top), r=2.5) for moment, value in points),
        _label(LEFT - 6, TOP + 8, f"{top / MIB:.1f} MiB", "end"),
        _label(LEFT - 6, floor, "0", "end"),
        _label(WIDTH, HEIGHT - 6, f"{seconds:.1f} s", "end"),
    ]
    if limit_bytes:
        y = _y(limit_bytes, top)
        parts.append(tag("line", x1=LEFT, y1=y, x2=WIDTH, y2=y, class_="limit"))
        parts.append(_label(LEFT + 8, y - 4, f"limit {limit_bytes / MIB:.1f} MiB", "start"))
    return tag("svg", *parts, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=title)


def _peak(points: Sequence[Point]) -> float:
    return max(value for _, value in points) / MIB


def _x(moment: float, seconds: float) -> float:
    return LEFT + moment / seconds * (WIDTH - LEFT - RIGHT)


def _y(value: float, top: float) -> float:
    return round(HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP), 1)


def _label(x: float, y: float, text: str, anchor: str) -> Markup:
    return tag("text", text, x=x, y=y, text_anchor=anchor)


FILTERS = ("text", "person", "cluster", "table", "ticket", "verdict", "outcome", "since", "until")
SEARCH_SHOWN = SESSIONS_SHOWN = 500
QUEUE_FILTERS = ("state", "person", "cluster")
WAITING, ALL = "", "all"
"""What a queue's `state` may be beside one state's name: all that somebody must still look at, and every session."""

CHOICES: Mapping[str, Sequence[tuple[str, str]]] = {
    "verdict": [("", "any"), *((name, name) for name in VERDICTS)],
    "outcome": [("", "any"), *((name, name) for name in OUTCOMES)],
    "state": [(WAITING, "waiting"), (ALL, "all"), *((state.value, state.value) for state in ReviewState)],
}
"""Filters with a fixed set of values, and the labels of these."""

HINTS = {"since": "7d, 2026-11-07", "until": "2026-11-07T12"}


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """The reviewer, their form token, and the path below which all pages are.

    Attributes:
        roles: of whoever is signed in to a team's pages; None where one person looks at their own computer.
    """

    by: str
    csrf: str
    base: str
    roles: frozenset[str] | None = None

    @property
    def may_review(self) -> bool:
        return self.roles is None or "reviewer" in self.roles


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    summary: SessionSummary
    state: ReviewState
    note: str
    waits_for: str


class SessionPage(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one session's page.

    Attributes:
        elevated_for: the reason and the ticket of each elevation that was asked for, each pair once.
        objections: acts that the viewer cannot do now, and why.
        notes: what else is said of the session, one line each.
        more: where the rest of the story is, "" where this is all of it.
    """

    summary: SessionSummary
    state: ReviewState
    waits_for: str
    reviews: Sequence[Review]
    passages: Sequence[Passage]
    plots: Sequence[tuple[str, Markup]]
    findings: Sequence[Finding]
    recorded: bool
    troubles: Sequence[str]
    objections: Mapping[ReviewAct, str]
    elevated_for: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    more: str = ""


def page(title: str, viewer: Viewer, *children: Child) -> str:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"{title} · safeconsole audit"),
        tag("base", href=viewer.base),
        tag("link", rel="stylesheet", href="static/style.css"),
    )
    places = PLACES if viewer.roles is None else (*PLACES, *TEAM_PLACES)
    bar = tag("header", tag("nav", [tag("a", name, href=path) for name, path in places]), _who(viewer))
    return "<!doctype html>\n" + tag(
        "html", head, tag("body", bar, tag("main", tag("h1", title), *children)), lang="en"
    )


PLACES = (("Queue", "./"), ("All sessions", "./?state=all"), ("Search", "search"))
TEAM_PLACES = (("Timeline", "timeline"), ("Approvals", "approvals"), ("Coverage", "coverage"), ("Fleet", "fleet"))


def _who(viewer: Viewer) -> Markup:
    if viewer.roles is None:
        return tag("span", f"reviewing as {viewer.by}", class_="who")
    roles = ", ".join(sorted(viewer.roles))
    out = tag("form", csrf_field(viewer), tag("button", "Sign out"), method="post", action="sign-out")
    return tag("div", tag("span", f"{viewer.by} ({roles})"), out, class_="who")


def csrf_field(viewer: Viewer) -> Markup:
    return tag("input", type="hidden", name="csrf", value=viewer.csrf)


def session_path(session: str, below: str = "") -> str:
    """Return the path of a session's page, or of one below it; a file's name may be any bytes."""
    return f"sessions/{quote(session, safe='', errors='surrogateescape')}{below}"


def queue_page(
    viewer: Viewer, queued: Sequence[Queued], wanted: Mapping[str, str], *, older: str = "", said: str = ""
) -> str:
    """Return the page of sessions that wait for a review, or that match the filters (see `QUEUE_FILTERS`).

    Args:
        older: where the next page is, "" at the end.
        said: what is to be known of the list, "" for nothing.
    """
    title = "Queue" if wanted.get("state", WAITING) == WAITING else "Sessions"
    form = together(_filter_form("./", QUEUE_FILTERS, wanted, "Show"), tag("p", said, class_="quiet") if said else "")
    if not queued:
        none = "No session is like that." if wanted else "Nothing waits for a review."
        return page(title, viewer, form, tag("p", none, class_="quiet"))
    heads = ("session", "opened (UTC)", "person", "cluster", "face", "statements", "state", "why", "waits for", "note")
    rows = [
        (
            session_link(one.summary.session), one.summary.opened[:19].replace("T", " "), one.summary.person,
            one.summary.cluster, one.summary.face, str(one.summary.statements), _badge(one.state),
            ", ".join(reasons_for_review(one.summary)), one.waits_for, one.note,
        )
        for one in queued
    ]  # fmt: skip
    return page(title, viewer, form, table_of(heads, rows, class_="queue"), older_link(older))


def older_link(path: str, text: str = "Older") -> Markup:
    return tag("p", tag("a", text, href=path), class_="older") if path else together()


def session_page(viewer: Viewer, told: SessionPage) -> str:
    summary = told.summary
    facts = [
        ("person", summary.person), ("cluster", summary.cluster), ("opened", summary.opened),
        ("closed", summary.closed or ("still open" if summary.live else "never")),
        (
            "statements",
            f"{summary.statements}; {summary.refused} refused, {summary.failed} failed, {summary.unknown} unknown",
        ),
        ("changed", f"{summary.changed_rows:,} rows"),
        *(("reason", f"{reason}, ticket {ticket}" if ticket else f"{reason}, no ticket")
          for reason, ticket in told.elevated_for),
    ]  # fmt: skip
    parts: list[Child] = [
        tag("dl", [together(tag("dt", name), tag("dd", value)) for name, value in facts]),
        *(_finding(finding) for finding in told.findings),
        [tag("p", trouble, class_="alarm") for trouble in told.troubles],
        tag("p", _badge(told.state), f" waits for {told.waits_for}" if told.waits_for else ""),
        [_review_line(review) for review in told.reviews],
        _review_form(viewer, told) if viewer.may_review else "",
        [tag("p", note, class_="quiet") for note in told.notes],
    ]
    if told.recorded:
        parts.append(tag("p", tag("a", "Replay the terminal", href=session_path(summary.session, "/replay"))))
    parts += [tag("figure", tag("figcaption", title), drawing) for title, drawing in told.plots]
    parts.append(tag("ol", [_passage(passage) for passage in told.passages], class_="story"))
    parts.append(older_link(told.more, "Go on"))
    return page(f"Session {summary.session}", viewer, *parts)


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """Where a search goes on.

    Attributes:
        back_to: how far back it has looked, "" where the page was full before.
    """

    path: str
    back_to: str = ""


def search_page(
    viewer: Viewer,
    wanted: Mapping[str, str],
    stories: Iterable[StatementStory],
    *,
    more: bool,
    troubles: Sequence[str] = (),
    further: Further | None = None,
) -> str:
    """Return the search form and the statements found.

    Args:
        further: where the search goes on, None where it does not.
        troubles: why the search failed or is incomplete.
    """
    form = _filter_form("search", FILTERS, wanted, "Search")
    alarms = [tag("p", trouble, class_="alarm") for trouble in troubles]
    rows = tuple(stories)
    back_to = further.back_to if further else ""
    on = older_link(further.path, "Look further back" if back_to else "Older") if further else ""
    so_far = f" from {back_to[:19].replace('T', ' ')} on" if back_to else ""
    if not rows:
        said = f"No statement{so_far} is like that." if wanted and not troubles else ""
        return page("Search", viewer, form, alarms, tag("p", said, class_="quiet"), on)
    found = (
        f"Only the first {SEARCH_SHOWN} are shown."
        if more
        else f"{len(rows)} found{so_far or ' here' * bool(further)}."
    )
    return page("Search", viewer, form, alarms, tag("p", found, class_="quiet"), statements_table(rows), on)


TIMELINE_FILTERS = ("person", "cluster", "since", "until")


def timeline_page(
    viewer: Viewer,
    wanted: Mapping[str, str],
    stories: Sequence[StatementStory],
    *,
    older: str,
    troubles: Sequence[str],
) -> str:
    """Return what changed something or did not simply run, on all clusters, day by day, the newest first."""
    parts: list[Child] = [_filter_form("timeline", TIMELINE_FILTERS, wanted, "Show")]
    parts += [tag("p", trouble, class_="alarm") for trouble in troubles]
    if not stories:
        parts.append(tag("p", "Nothing that changed anything, or was stopped.", class_="quiet"))
    for day, held in groupby(stories, key=lambda story: story.asked[:10]):
        parts += [tag("h2", day), statements_table(held)]
    return page("Timeline", viewer, *parts, older_link(older))


STATEMENT_HEADS = (
    "asked (UTC)", "session", "person", "cluster", "node", "verdict", "outcome", "rows", "changed", "seconds", "ticket",
    "statement",
)  # fmt: skip


def statements_table(stories: Iterable[StatementStory]) -> Markup:
    rows = [
        (
            story.asked[:19].replace("T", " "), session_link(story.session), story.person, story.cluster, story.node,
            story.verdict, story.outcome, str(story.rows), str(story.changed_rows),
            f"{story.elapsed_seconds:.3f}", story.ticket,
            tag("code", story.sql),
        )
        for story in stories
    ]  # fmt: skip
    return table_of(STATEMENT_HEADS, rows, class_="found")


def replay_page(viewer: Viewer, session: str, doubt: str) -> str:
    """Return the player of one session's recording; `doubt` says why it cannot be trusted, or ""."""
    return page(
        f"Replay of {session}",
        viewer,
        tag("p", doubt, class_="alarm", id="doubt", hidden=not doubt),
        tag(
            "p", tag("button", "Pause", id="play", type="button"), " ",
            tag("input", id="seek", type="range", min=0, max=1000, value=0), tag("span", "", id="clock"),
        ),
        tag("pre", "", id="screen", data_source=session_path(session, "/recording.json")),
        tag("p", session_link(session, "Back to its story")),
        tag("script", "", src="static/replay.js"),
    )  # fmt: skip


def message_page(viewer: Viewer, title: str, text: str, *, instead: str = "", session: str = "") -> str:
    """Return a page with one message.

    Args:
        instead: what to do, or "".
        session: the session to link to, "" for none.
    """
    back = session_link(session, "Back to its story") if session else tag("a", "To the queue", href="./")
    return page(title, viewer, tag("p", text), tag("p", instead) if instead else "", tag("p", back))


def _filter_form(action: str, names: Sequence[str], wanted: Mapping[str, str], button: str) -> Markup:
    fields = [tag("label", name, _filter(name, wanted.get(name, ""))) for name in names]
    return tag("form", fields, tag("button", button), method="get", action=action, class_="search")


def _filter(name: str, value: str) -> Markup:
    if name not in CHOICES:
        return tag("input", name=name, value=value, size=12, placeholder=HINTS.get(name, ""))
    options = [_option(choice, called, chosen=choice == value) for choice, called in CHOICES[name]]
    return tag("select", options, name=name)


def _option(choice: str, called: str, *, chosen: bool) -> Markup:
    # An option without a value would stand for its own text: a blank is what a filter that is not set sends.
    return tag("option", called, selected=chosen, value=choice or " ")


def table_of(heads: Sequence[str], rows: Sequence[Sequence[Child]], *, class_: str) -> Markup:
    head = tag("thead", tag("tr", [tag("th", name) for name in heads]))
    body = tag(
        "tbody",
        [tag("tr", [tag("td", cell, data_label=name) for name, cell in zip(heads, row, strict=True)]) for row in rows],
    )
    return tag("table", head, body, class_=class_)


def session_link(session: str, text: str = "") -> Markup:
    return tag("a", text or session, href=session_path(session))


def _badge(state: ReviewState) -> Markup:
    return tag("span", state.value, class_=f"badge {state.value}")


def _finding(finding: Finding) -> Markup:
    where = f"record {finding.number} " if finding.number >= 0 else ""
    return tag("p", f"The journal is invalid: {where}{finding.what}", class_="alarm")


def _review_line(review: Review) -> Markup:
    note = f": {review.note}" if review.note else ""
    return tag("p", f"{review.time[:19].replace('T', ' ')} {review.by} {review.act}{note}", class_="review")


def _review_form(viewer: Viewer, told: SessionPage) -> Markup:
    owed = told.summary.person == viewer.by and told.waits_for.endswith("closing note")
    names = {
        ReviewAct.APPROVE: "Approve",
        ReviewAct.FLAG: "Flag",
        ReviewAct.NOTE: "Closing note" if owed else "Note only",
    }
    buttons = [
        tag("button", name, name="act", value=act.value, disabled=bool(told.objections.get(act)))
        for act, name in names.items()
    ]
    whys = [tag("p", why, class_="quiet") for why in dict.fromkeys(filter(None, told.objections.values()))]
    form = tag(
        "form",
        csrf_field(viewer),
        tag("input", type="hidden", name="head", value=told.summary.head),
        tag("textarea", "", name="note", rows=2, placeholder="what came of it" if owed else "note"),
        buttons,
        method="post",
        action=session_path(told.summary.session, "/review"),
        class_="review",
    )
    return together(form, whys)


def _passage(passage: Passage) -> Markup:
    first, *rest = passage.lines
    clock = passage.time[11:23] if passage.time else ""
    more = tag("pre", "\n".join(rest)) if rest else ""
    return tag("li", tag("time", clock), tag("span", first), more, class_=passage.mark)
