"""Errors for statements that did not end well: who stopped them, and what happened to the data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from safeconsole.cluster.engine import by_whom
from safeconsole.errors import LOCK_WAIT, UNSEEN, LostError, OutcomeUnknownError, StoppedError, stop_words
from safeconsole.mysql.error_codes import KNOWN, WAYS_OUT, Meaning
from safeconsole.mysql.watched import Watched
from safeconsole.policy.limits import FLOORS
from safeconsole.policy.watchdog import breach_words, figure
from safeconsole.sqltext.statement import Statement

CHECK_FIRST = "check the data before you repeat it; the console does not send it again"
"""Remedy where nobody knows whether a change happened."""

UNDONE = "COMMIT was not sent, so the server undoes the whole transaction: begin it again"
"""Remedy after losing a statement in a transaction that only a COMMIT keeps: nothing is in doubt."""


_WORKS_ON_A_TABLE = frozenset({"alter", "create", "drop", "optimize", "analyze", "repair"})


def way_out(ceiling: str, kind: str) -> str:
    """Return what to do about a limit that a statement of a kind reached."""
    if ceiling == "run_seconds" and kind in {"update", "delete", "insert", "replace"}:
        return WAYS_OUT["changed_rows"]
    if ceiling == "run_seconds" and kind.split(" ", maxsplit=1)[0] in _WORKS_ON_A_TABLE:
        return "give it more time, or use the schema-migration tool of the team"
    return WAYS_OUT.get(ceiling, "")


def stop_of(watched: Watched, *, server: str, thread: int, kind: str = "") -> StoppedError | None:
    """Return the error for a stop by the console, or None.

    Args:
        thread: its connection's id on the server.
        kind: of the statement.
    """
    verified = watched.verified or "already over"
    if watched.interrupted:
        return stopped_by_you(verified, server=server, thread=thread)
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
    figures = (f"read {figure(breach.read)}, allowed {figure(breach.allowed)}", f"process list: {verified}")
    waits = (f"it waited for a {watched.waits}",) if watched.waits else ()
    return StoppedError(
        stop_words(verified, f"on {server}: {breach_words(breach, floors=FLOORS)}"),
        by="watchdog",
        code=LOCK_WAIT if waits else "",
        ceiling=breach.ceiling,
        verified=verified,
        evidence=(*waits, *figures, *_where(verified, server, thread)),
        instead=way_out(breach.ceiling, kind),
    )


def stopped_by_you(verified: str, *, server: str, thread: int, leaving: bool = False) -> StoppedError:
    """Return the error for a statement that the person interrupted."""
    return StoppedError(
        stop_words(verified, f"on {server}{by_whom()}"),
        by="person",
        verified=verified,
        evidence=_where(verified, server, thread),
        leaving=leaving,
    )


def _where(verified: str, server: str, thread: int) -> tuple[str, ...]:
    return (f"connection: {thread} on {server}",) if verified in UNSEEN else ()


def silent_cut(waited_seconds: float, cap_seconds: float, *, server: str) -> StoppedError:
    """Return the error for a time limit that the server did not report.

    At its cap SLEEP returns 1, BENCHMARK 0, GET_LOCK NULL and EXPLAIN ANALYZE half a plan, all without
    an error. Source: MySQL 9.7 and MariaDB 10.11, measured.
    """
    return StoppedError(
        f"{server} cut the statement short at its cap: what it returned is incomplete",
        by="server",
        ceiling="run_seconds",
        verified="already over",
        evidence=(f"{waited_seconds:.3f} s of {cap_seconds:g} s",),
        instead=WAYS_OUT["run_seconds"],
    )


def stays_though_late(stopped: StoppedError) -> str:
    """Return a note on an autocommitted change that ended normally just as its limit passed.

    BENCHMARK in CREATE TABLE ... AS SELECT is cut to 0, and MariaDB makes the table. Source: MariaDB 10.11, measured.
    """
    return (
        f"it passed its limit ({stopped.ceiling or stopped.by}), ended without an error and stays: a function that is"
        " cut returns 0 or NULL, so look at what it wrote"
    )


def disguised_cut(code: int, waited_seconds: float, cap_seconds: float, *, server: str, kind: str) -> StoppedError:
    """Return the error for a time limit that the server reported as another error.

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
        instead=way_out("run_seconds", kind),
    )


_ROWS_EXAMINED = 1931


def cut_with_a_warning(
    warnings: Iterable[tuple[Any, ...]], statement: Statement, *, lacking: int, server: str
) -> StoppedError | None:
    """Return the stop that a server tells in a warning beside an answer without an error, None where it tells none.

    MariaDB ends a statement at its LIMIT ROWS EXAMINED with warning 1931 alone; a view of information_schema leaves out
    what it could not open or was stopped at, with that error's number as a warning. Source: MariaDB 10.11, measured.

    Args:
        warnings: level, number and text of each.
        lacking: how many more there were: the last word of a statement that bounds what it examines may be among them.
    """
    for _, code, text in warnings:
        known = KNOWN.get(int(code))
        if int(code) == _ROWS_EXAMINED or (known is not None and known.meaning is Meaning.CAPPED):
            return _cut_short(server, known.ceiling if known else "rows_examined", f"the server says: {text} ({code})")
    if lacking > 0 and "ROWS EXAMINED" in statement.normalised.upper():
        return _cut_short(
            server, "rows_examined", f"{lacking} of the server's warnings are lost, and it may be in them"
        )
    return None


def _cut_short(server: str, ceiling: str, evidence: str) -> StoppedError:
    return StoppedError(
        f"{server} cut the statement short ({ceiling}): what it returned is incomplete",
        by="server",
        ceiling=ceiling,
        verified="already over",
        evidence=(evidence,),
        instead=WAYS_OUT.get(ceiling, "narrow it with a condition on an index, or let it examine more rows"),
    )


def in_doubt_of(stopped: StoppedError) -> OutcomeUnknownError:
    """Return a stop as unknown: its changes may remain, in part or whole."""
    return OutcomeUnknownError(
        f"{stopped.message}; its connection ended with it, so it may or may not have run",
        verified=stopped.verified,
        evidence=tuple(dict.fromkeys((*stopped.evidence, f"process list: {stopped.verified}"))),
        instead=CHECK_FIRST,
        leaving=stopped.leaving,
    )


def not_committed(stopped: StoppedError) -> StoppedError:
    """Return a stop of a change whose COMMIT was never sent: the server rolls it back."""
    return stopped.replaced(message=f"{stopped.message}; not committed")


def lost_before_commit(server: str, *, verified: str, evidence: tuple[str, ...]) -> StoppedError:
    """Return the error for a change whose connection was lost before its own COMMIT was sent."""
    return StoppedError(
        f"the connection to {server} was lost before COMMIT was sent",
        by="server",
        verified=verified or "unreachable",
        evidence=evidence,
        instead="find out why it was lost, then run it again",
    )


def lost_at_commit(how: str, verified: str, *, server: str) -> OutcomeUnknownError:
    """Return the error for a change whose COMMIT was sent and never answered.

    Args:
        how: "lost" or "interrupted".
    """
    return OutcomeUnknownError(
        f"the connection to {server} was {how} while its transaction was being committed",
        verified=verified,
        evidence=(f"process list: {verified}",),
        instead=CHECK_FIRST,
    )


def lost_at_end(how: str, verified: str, *, server: str) -> StoppedError:
    """Return the error for a read whose connection was lost after its last row; `how` as in `lost_at_commit`."""
    return StoppedError(
        f"the connection to {server} was {how} after the statement was over", by="server", verified=verified
    )


def too_many_changed(changed: int, allowed: int, *, within: bool, server: str) -> StoppedError:
    """Return the stop of a change rolled back because it changed too many rows; `within` a transaction, all of it."""
    whole = ", and with it the whole transaction" if within else ""
    return StoppedError(
        f"rolled back on {server}{whole}: {changed} rows changed, over {allowed}",
        by="console",
        ceiling="changed_rows",
        verified="already over",
        evidence=(f"the server reported {changed} changed rows, allowed {allowed}",),
        instead=WAYS_OUT["changed_rows"],
    )


def another_number(touched: int, exactly: int, *, within: bool, server: str) -> StoppedError:
    """Return the stop of a change rolled back because it matched another number of rows than the preview."""
    whole = ", and with it the whole transaction" if within else ""
    return StoppedError(
        f"rolled back on {server}{whole}: it found {touched} rows, and {exactly} were shown",
        by="console",
        ceiling="exactly_rows",
        verified="already over",
        evidence=(f"the server reported {touched} rows found",),
        instead="look at the rows again: somebody else changed them meanwhile",
    )
