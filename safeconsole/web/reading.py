"""What a session's page is made of, whichever archive its lines come from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from safeconsole.audit.record import ElevationChanged, Entry, Intent, Sampled, SessionSummary
from safeconsole.audit.review import Review, ReviewState, lacks_closing_note
from safeconsole.web.pages import Markup, Queued, memory_plots


def waits_for(summary: SessionSummary, state: ReviewState, reviews: Sequence[Review]) -> str:
    """Return whom or what a session in the queue waits for, "" for nothing."""
    if state is not ReviewState.PENDING:
        return ""
    if summary.live:
        return "its end"
    return f"{summary.person}'s closing note" if lacks_closing_note(summary, reviews) else "a reviewer"


def queued(summary: SessionSummary, state: ReviewState, reviews: Sequence[Review]) -> Queued:
    """Return a session as a list shows it.

    Args:
        reviews: in order; those of other sessions are left aside.
    """
    note = next((review.note for review in reversed(reviews) if review.session == summary.session), "")
    return Queued(summary=summary, state=state, note=note, waits_for=waits_for(summary, state, reviews))


def plots_of(entries: Iterable[Entry]) -> list[tuple[str, Markup]]:
    """Return titled plots of the memory of long statements."""
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


def elevations_in(entries: Iterable[Entry]) -> tuple[tuple[str, str], ...]:
    """Return the reason and the ticket of each elevation that was asked for, each pair once."""
    return tuple(
        dict.fromkeys(
            (one.record.reason, one.record.ticket) for one in entries if isinstance(one.record, ElevationChanged)
        )
    )
