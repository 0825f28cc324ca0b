"""What to tell the person about a statement that the console itself ended. Pure."""

from __future__ import annotations

from safeconsole.adapters.mysql.error_codes import WAYS_OUT
from safeconsole.adapters.mysql.watched import Watched
from safeconsole.core.errors import LostError, OutcomeUnknownError, SafeConsoleError, StoppedError
from safeconsole.core.limits import FLOORS
from safeconsole.core.watchdog import breach_words, figure


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
        return LostError(
            f"the watchdog lost sight of {server} and ended the statement",
            by="watchdog",
            ceiling="watchdog",
            verified=watched.verified,
        )
    return StoppedError(
        f"stopped on {server}: {breach_words(breach, floors=FLOORS)}",
        by="watchdog",
        ceiling=breach.ceiling,
        verified=watched.verified or "already over",
        evidence=(f"read {figure(breach.read)}, allowed {figure(breach.allowed)}", f"process list: {watched.verified}"),
        instead=WAYS_OUT.get(breach.ceiling, ""),
    )


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


def stays_though_late(stopped: StoppedError) -> str:
    """
    Return the note on a change that commits by itself and ended without an error as its limit passed.

    BENCHMARK in CREATE TABLE ... AS SELECT is cut to 0, and MariaDB makes the table. Source: MariaDB 10.11, measured.
    """
    return (
        f"it passed its limit ({stopped.ceiling or stopped.by}), ended without an error and stays: a function that is"
        " cut returns 0 or NULL, so look at what it wrote"
    )


def disguised_cut(code: int, waited_seconds: float, cap_seconds: float, *, server: str) -> StoppedError:
    """
    Return the stop that a server tells as another error.

    What it cuts at its cap returns 1, 0 or NULL, and the rest of the statement fails over that: a column that cannot be
    NULL (1048), a number out of range (1690). The server's text is not repeated: it names the wrong cause, and may
    quote values.
    """
    return StoppedError(
        f"{server} stopped the statement: run_seconds",
        by="server",
        ceiling="run_seconds",
        verified="already over",
        evidence=(f"it ended with error {code} after {waited_seconds:.3f} s of {cap_seconds:g} s",),
        instead=WAYS_OUT["run_seconds"],
    )


def in_doubt_of(stopped: StoppedError) -> OutcomeUnknownError:
    """Return a stop as unknown: what commits by itself may have done so before its connection was ended."""
    return OutcomeUnknownError(
        f"{stopped.message}; its connection ended with it, so it may or may not have run",
        evidence=(*stopped.evidence, f"process list: {stopped.verified}"),
        instead="look at the data before doing it again; it was not and will not be sent again by the console",
    )


def stopped_at_word(verified: str, *, commits: bool, server: str) -> SafeConsoleError:
    """Return how a person's interrupt ended a statement; one that commits may have done so."""
    if commits:
        return OutcomeUnknownError(
            f"stopped on {server} at your word; it commits, so part of it may have happened",
            evidence=(f"process list: {verified}",),
        )
    return StoppedError(f"stopped on {server} at your word", by="person", verified=verified)


def lost_at_end(how: str, verified: str, *, committing: bool, server: str) -> SafeConsoleError:
    """
    Return what became of a statement that was over when its connection went.

    Args:
        how: "lost" or "interrupted".
        committing: whether its own transaction was being committed.
    """
    if committing:
        return OutcomeUnknownError(
            f"the connection to {server} was {how} while its transaction was being committed",
            evidence=(f"process list: {verified}",),
            instead="look at the data before doing it again; it was not and will not be sent again by the console",
        )
    return StoppedError(
        f"the connection to {server} was {how} after the statement was over", by="server", verified=verified
    )


def too_many_changed(changed: int, allowed: int, *, within: bool, server: str) -> StoppedError:
    """Return the stop of a change that was rolled back for its rows; `within` a transaction, all of that."""
    whole = ", and with it the whole transaction" if within else ""
    return StoppedError(
        f"rolled back on {server}{whole}: {changed} rows changed, over {allowed}",
        by="console",
        ceiling="changed_rows",
        verified="already over",
        evidence=(f"the server reported {changed} changed rows, allowed {allowed}",),
        instead=WAYS_OUT["changed_rows"],
    )


def undone_of(outcome: SafeConsoleError) -> SafeConsoleError:
    """Return the loss of a statement inside a transaction that only a COMMIT keeps: nothing is in doubt."""
    outcome.instead = "COMMIT was not sent, so the server undoes the whole transaction: begin it again"
    return outcome
