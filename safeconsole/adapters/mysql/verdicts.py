"""What to tell the person about a statement that the console itself ended. Pure."""

from __future__ import annotations

from safeconsole.adapters.mysql.cancel import Watched
from safeconsole.adapters.mysql.error_codes import WAYS_OUT
from safeconsole.core.errors import OutcomeUnknownError, StoppedError
from safeconsole.core.limits import FLOORS
from safeconsole.core.watchdog import Breach


def stop_of(watched: Watched, *, server: str) -> StoppedError | None:
    """Return how the console stopped a statement, or None when it did not."""
    if watched.interrupted:
        return StoppedError(
            f"stopped on {server} at your word", by="person", verified=watched.verified or "already over"
        )
    breach = watched.breach
    if breach is None:
        if not watched.blind:
            return None
        return StoppedError(
            f"the watchdog lost sight of {server} and ended the statement",
            by="watchdog",
            ceiling="watchdog",
            verified=watched.verified,
        )
    return StoppedError(
        f"stopped on {server}: {words_of(breach)}",
        by="watchdog",
        ceiling=breach.ceiling,
        verified=watched.verified or "already over",
        evidence=(f"read {breach.read:,.6g}, allowed {breach.allowed:,.6g}", f"process list: {watched.verified}"),
        instead=WAYS_OUT.get(breach.ceiling, ""),
    )


def words_of(breach: Breach) -> str:
    """Return what passed which ceiling, or fell under which floor."""
    if breach.read < 0:
        return f"{breach.ceiling} cannot be read, and is asked to be {breach.allowed:,.6g}"
    side = "under" if breach.ceiling in FLOORS else "over"
    return f"{breach.ceiling} {breach.read:,.6g} {side} {breach.allowed:,.6g}"


def silent_cut(waited_seconds: float, cap_seconds: float, *, server: str) -> StoppedError:
    """
    Return the stop that a server does not mention.

    At its cap SLEEP returns 1, BENCHMARK 0, GET_LOCK NULL and EXPLAIN ANALYZE half a plan, all without
    an error. Source: MySQL 9.7 and MariaDB 10.11, measured.
    """
    return StoppedError(
        f"{server} cut the statement short at its cap: what it returned is not whole",
        by="server",
        ceiling="run_seconds",
        verified="already over",
        evidence=(f"{waited_seconds:.3f} s of {cap_seconds:g} s",),
        instead=WAYS_OUT["run_seconds"],
    )


def in_doubt_of(stopped: StoppedError) -> OutcomeUnknownError:
    """Return a stop as unknown: what commits by itself may have done so before its connection was ended."""
    return OutcomeUnknownError(
        f"{stopped.message}; its connection ended with it, so it may or may not have run",
        evidence=(*stopped.evidence, f"process list: {stopped.verified}"),
        instead="look at the data before doing it again; it was not and will not be sent again by the console",
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value > 1000 else f"{value:,.2f}"
