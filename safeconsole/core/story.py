"""What a session's entries say when they are read together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from safeconsole.core.record import (
    Asked,
    ElevationChanged,
    Ended,
    Entry,
    Intent,
    SessionClosed,
    SessionOpened,
    SessionSummary,
)
from safeconsole.core.vocabulary import OutcomeKind


def summary_of(session: str, entries: Iterable[Entry], *, live: bool = False, trouble: str = "") -> SessionSummary:
    """
    Return one session as a line of a list.

    Args:
        entries: those that could be read, in order.
        live: whether a console still writes to it; its last intent is then on its way, not unknown.
        trouble: why not all could be read, or "".
    """
    opened = closed = person = cluster = face = ""
    asked = elevated = 0
    open_intents: set[int] = set()
    outcomes: Counter[str] = Counter()
    for entry in entries:
        opened = opened or entry.time
        match entry.record:
            case SessionOpened() as record:
                person, cluster, face = record.person, record.cluster, record.face
            case SessionClosed():
                closed = entry.time
            case Asked(by_console=False):
                asked += 1
            case ElevationChanged(state="granted"):
                elevated += 1
            case Intent() as record:
                open_intents.add(record.statement)
            case Ended() as record:
                open_intents.discard(record.statement)
                outcomes[record.outcome] += 1
            case _:
                pass
    return SessionSummary(
        session=session,
        opened=opened,
        closed=closed,
        person=person,
        cluster=cluster,
        face=face,
        statements=asked,
        refused=outcomes[OutcomeKind.REFUSED],
        elevated=elevated,
        unknown=outcomes[OutcomeKind.UNKNOWN] + (0 if live else len(open_intents)),
        trouble=trouble,
    )
