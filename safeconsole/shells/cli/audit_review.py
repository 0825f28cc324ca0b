"""`safeconsole audit review`: the sessions that somebody else must look at."""

from __future__ import annotations

from typing import Protocol

import click

from safeconsole.core.errors import ConfigurationError
from safeconsole.core.record import SessionSummary
from safeconsole.core.review import (
    Review,
    ReviewAct,
    ReviewState,
    lacks_closing_note,
    reasons_for_review,
    state_of,
)
from safeconsole.interfaces import Archive, Row
from safeconsole.shells.cli.output import format_option, write_rows
from safeconsole.shells.terminal.cells import safe

QUEUE_COLUMNS = ("session", "opened", "person", "cluster", "state", "reasons", "waits_for", "by", "note")


class ReviewBook(Protocol):
    """What was said about sessions, and where to say it."""

    @property
    def by(self) -> str:
        """The login identity under which reviews are written."""
        ...

    def reviews(self) -> tuple[Review, ...]:
        """All reviews, in order."""
        ...

    def add(self, summary: SessionSummary, act: ReviewAct, note: str = "") -> Review:
        """Write one. Raises ConfigurationError when it is not possible now, AuditUnavailableError."""
        ...


class HasReviews(Protocol):
    """What `ctx.obj` must offer to this command."""

    def archive(self) -> Archive:
        """The journals of this computer."""
        ...

    def reviews(self) -> ReviewBook:
        """The review book beside them."""
        ...


@click.command("review")
@click.argument("session", default="")
@click.option("--approve", "act", flag_value=ReviewAct.APPROVE.value, help="It was right.")
@click.option("--flag", "act", flag_value=ReviewAct.FLAG.value, help="It needs to be talked about; with --note.")
@click.option("--note", default="", help="What there is to say; alone, it is the person's own closing note.")
@click.option("--all", "everything", is_flag=True, help="List reviewed sessions too.")
@format_option
@click.pass_obj
def review_command(app: HasReviews, session: str, act: str | None, note: str, *, everything: bool, form: str) -> None:
    """
    List the sessions that wait for a review, or review SESSION.

    Nobody reviews their own session. A break-glass session waits for its person's closing note first.
    """
    summaries, book = app.archive().sessions(), app.reviews()
    if not session:
        if act or note:
            raise ConfigurationError("which session?", instead="safeconsole audit review SESSION --approve")
        write_rows(QUEUE_COLUMNS, _queue(summaries, book.reviews(), everything=everything), form)
        return
    if act is None and not note:
        raise ConfigurationError(
            "say what you think of it: --approve, --flag or --note",
            instead=f"safeconsole audit show {session} tells what was done",
        )
    summary = _summary(summaries, session)
    review = book.add(summary, ReviewAct(act or ReviewAct.NOTE), note)
    click.echo(safe(f"session {review.session}: {review.act} by {review.by}"))
    ended = [summary for summary in summaries if not summary.live]
    waiting = [row[0] for row in _queue(tuple(ended), book.reviews(), everything=False)]
    if waiting:
        click.echo(f"next: safeconsole audit show {waiting[0]}", err=True)


def _summary(summaries: tuple[SessionSummary, ...], session: str) -> SessionSummary:
    exact = [summary for summary in summaries if summary.session == session]
    found = exact or [summary for summary in summaries if summary.session.startswith(session)]
    if len(found) != 1:
        what = "is ambiguous" if found else "does not exist"
        raise ConfigurationError(f"session {session} {what}", instead="safeconsole audit list names them")
    return found[0]


def _queue(summaries: tuple[SessionSummary, ...], reviews: tuple[Review, ...], *, everything: bool) -> list[Row]:
    wanted = {ReviewState.PENDING, ReviewState.FLAGGED} | ({ReviewState.APPROVED} if everything else set())
    rows = []
    for summary in summaries:
        state = state_of(summary, reviews)
        if state not in wanted:
            continue
        last = next((review for review in reversed(reviews) if review.session == summary.session), None)
        # Nobody keeps what they did from being seen by leaving the session open.
        waits = "its end" if summary.live else summary.person if lacks_closing_note(summary, reviews) else "a reviewer"
        rows.append(
            (
                summary.session,
                summary.opened,
                summary.person,
                summary.cluster,
                state.value,
                ", ".join(reasons_for_review(summary)),
                waits if state is ReviewState.PENDING else "",
                last.by if last else "",
                last.note if last else "",
            )
        )
    return rows
