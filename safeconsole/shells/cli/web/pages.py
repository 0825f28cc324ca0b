"""The pages, as HTML; they are made from values alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import quote

import msgspec

from safeconsole.core.narrative import Passage
from safeconsole.core.record import Finding, SessionSummary
from safeconsole.core.review import Review, ReviewState, reasons_for_review
from safeconsole.core.story import StatementStory
from safeconsole.shells.cli.web.markup import Child, Markup, tag, together

FILTERS = ("text", "person", "cluster", "table", "ticket", "verdict", "outcome", "since", "until")
SEARCH_SHOWN = 500


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """Who looks, and the word that their forms must carry."""

    by: str
    csrf: str


class Queued(msgspec.Struct, frozen=True, kw_only=True):
    """One session with where it stands."""

    summary: SessionSummary
    state: ReviewState
    note: str
    waits_for: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One session with all that its page shows."""

    summary: SessionSummary
    state: ReviewState
    waits_for: str
    reviews: Sequence[Review]
    passages: Sequence[Passage]
    plots: Sequence[tuple[str, Markup]]
    findings: Sequence[Finding]
    recorded: bool


def page(title: str, visit: Visit, *children: Child) -> str:
    """Return a whole page."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("title", f"{title} · safeconsole audit"),
        tag("link", rel="stylesheet", href="/static/style.css"),
    )
    bar = tag(
        "header", tag("a", "Queue", href="/"), tag("a", "All sessions", href="/?state=all"),
        tag("a", "Search", href="/search"), tag("span", f"reviewing as {visit.by}", class_="who"),
    )  # fmt: skip
    return "<!doctype html>\n" + tag(
        "html", head, tag("body", bar, tag("main", tag("h1", title), *children)), lang="en"
    )


def queue_page(visit: Visit, queued: Sequence[Queued], *, state: str) -> str:
    """Return the sessions that wait, or all."""
    if not queued:
        return page("Queue", visit, tag("p", "Nothing waits for a review.", class_="quiet"))
    heads = ("session", "opened (UTC)", "person", "cluster", "face", "statements", "state", "why", "waits for", "note")
    rows = [
        (
            _session_link(one.summary.session), one.summary.opened[:19].replace("T", " "), one.summary.person,
            one.summary.cluster, one.summary.face, str(one.summary.statements), _badge(one.state),
            ", ".join(reasons_for_review(one.summary)), one.waits_for, one.note,
        )
        for one in queued
    ]  # fmt: skip
    return page("All sessions" if state == "all" else "Queue", visit, _table(heads, rows))


def session_page(visit: Visit, told: Told) -> str:
    """Return one session's story, its plots, and what can be said about it."""
    summary = told.summary
    facts = [
        ("person", summary.person), ("cluster", summary.cluster), ("opened", summary.opened),
        ("closed", summary.closed or ("still open" if summary.live else "never")),
        ("statements", f"{summary.statements}; {summary.refused} refused, {summary.unknown} unknown"),
    ]  # fmt: skip
    parts: list[Child] = [
        tag("dl", [together(tag("dt", name), tag("dd", value)) for name, value in facts]),
        *(_finding(finding) for finding in told.findings),
        tag("p", summary.trouble, class_="alarm") if summary.trouble else "",
        tag("p", _badge(told.state), f" waits for {told.waits_for}" if told.waits_for else ""),
        [_review_line(review) for review in told.reviews],
        _review_form(visit, summary.session),
    ]
    if told.recorded:
        parts.append(tag("p", tag("a", "Replay the terminal", href=f"/sessions/{quote(summary.session)}/replay")))
    parts += [tag("figure", tag("figcaption", title), drawing) for title, drawing in told.plots]
    parts.append(tag("ol", [_passage(passage) for passage in told.passages], class_="story"))
    return page(f"Session {summary.session}", visit, *parts)


def search_page(visit: Visit, wanted: dict[str, str], stories: Iterable[StatementStory], *, more: bool) -> str:
    """Return the search form and the statements found."""
    fields = [tag("label", name, tag("input", name=name, value=wanted.get(name, ""), size=12)) for name in FILTERS]
    heads = (
        "asked (UTC)",
        "session",
        "person",
        "cluster",
        "node",
        "verdict",
        "outcome",
        "rows",
        "seconds",
        "ticket",
        "statement",
    )
    rows = [
        (
            story.asked[:19].replace("T", " "), _session_link(story.session), story.person, story.cluster, story.node,
            story.verdict, story.outcome, str(story.rows), f"{story.elapsed_seconds:.3f}", story.ticket,
            tag("code", story.sql),
        )
        for story in stories
    ]  # fmt: skip
    note = tag("p", f"Only the first {SEARCH_SHOWN} are shown.", class_="quiet") if more else ""
    form = tag("form", fields, tag("button", "Search"), method="get", action="/search", class_="search")
    return page("Search", visit, form, _table(heads, rows), note)


def replay_page(visit: Visit, session: str, doubt: str) -> str:
    """
    Return the player of one session's terminal.

    Args:
        doubt: why the recording is not to be believed, or "".
    """
    return page(
        f"Replay of {session}",
        visit,
        tag("p", doubt, class_="alarm", id="doubt", hidden=not doubt),
        tag(
            "p", tag("button", "Pause", id="play", type="button"), " ",
            tag("input", id="seek", type="range", min=0, max=1000, value=0), tag("span", "", id="clock"),
        ),
        tag("pre", "", id="screen", data_source=f"/sessions/{quote(session)}/recording.json"),
        tag("p", _session_link(session, "Back to its story")),
        tag("script", "", src="/static/replay.js"),
    )  # fmt: skip


def message_page(visit: Visit, title: str, text: str) -> str:
    """Return a page that says one thing."""
    return page(title, visit, tag("p", text))


def _table(heads: Sequence[str], rows: Sequence[Sequence[Child]]) -> Markup:
    head = tag("tr", [tag("th", name) for name in heads])
    return tag(
        "table", tag("thead", head), tag("tbody", [tag("tr", [tag("td", cell) for cell in row]) for row in rows])
    )


def _session_link(session: str, text: str = "") -> Markup:
    return tag("a", text or session, href=f"/sessions/{quote(session)}")


def _badge(state: ReviewState) -> Markup:
    return tag("span", state.value, class_=f"badge {state.value}")


def _finding(finding: Finding) -> Markup:
    where = f"record {finding.number} " if finding.number >= 0 else ""
    return tag("p", f"The journal does not hold: {where}{finding.what}", class_="alarm")


def _review_line(review: Review) -> Markup:
    note = f": {review.note}" if review.note else ""
    return tag("p", f"{review.time[:19].replace('T', ' ')} {review.by} {review.act}{note}", class_="review")


def _review_form(visit: Visit, session: str) -> Markup:
    return tag(
        "form",
        tag("input", type="hidden", name="csrf", value=visit.csrf),
        tag("textarea", "", name="note", rows=2, placeholder="note"),
        tag("button", "Approve", name="act", value="approve"),
        tag("button", "Flag", name="act", value="flag"),
        tag("button", "Note only", name="act", value="note"),
        method="post",
        action=f"/sessions/{quote(session)}/review",
        class_="review",
    )


def _passage(passage: Passage) -> Markup:
    first, *rest = passage.lines
    clock = passage.time[11:23] if passage.time else ""
    more = tag("pre", "\n".join(rest)) if rest else ""
    return tag("li", tag("time", clock), tag("span", first), more, class_=passage.mark)
