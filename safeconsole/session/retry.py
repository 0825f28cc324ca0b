"""One attempt to run a statement, and which lost reads get a retry on another replica."""

from __future__ import annotations

import msgspec

from safeconsole.cluster.engine import Splice
from safeconsole.errors import LOCK_WAIT, LostError, SafeConsoleError, StoppedError
from safeconsole.policy.decision import Assessment, Permit
from safeconsole.policy.readings import Gates
from safeconsole.session.connections import Nodes
from safeconsole.session.context import Justification
from safeconsole.session.result import Progress
from safeconsole.session.state import names_variable
from safeconsole.sqltext.clauses import LOCKING
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import BEGINS, ENDS, Statement
from safeconsole.sqltext.vocabulary import Account, Isolation, NodeName, Route, Verdict

# Once, and only what a person would type again without a thought: a plain read of a replica that died before a row
# was shown. Whatever could have had an effect, depends on what came before it on its connection, or may be what the
# replica died of, is not.


STATEFUL = LOCKING | {
    "found_rows",
    "row_count",
    "last_insert_id",
    "lastval",
    "connection_id",
    "is_used_lock",
    "is_free_lock",
    "ps_current_thread_id",
    "ps_thread_id",
}
"""Functions whose answer depends on what was done before on the same connection, or on the connection itself."""


_TRACKED = BEGINS | ENDS | {"use"}
"""What these leave on a connection is known to the session: a transaction, or none, and the schema."""


class Attempt(msgspec.Struct, kw_only=True):
    """One attempt to run a statement; the gate fills in its fields step by step.

    Attributes:
        justification: what an elevation of this statement alone is asked with, None for nothing.
        by_console: the console asks for itself, such as for completion: recorded as that, refused where a person
            would be asked, and no `last`.
        as_text: leave values as the text that the server sent (exports).
        splice: hand on the server's packets instead of values (gateway).
        progress: see `Progress`.
        to: where this one goes, as `Session.use` takes it; None: where the session sends what it is asked.
        exactly_rows: how many rows a change must find, -1 for any number.
        isolation: of the transaction that it opens, if it does, None for the server's own.
    """

    statement: Statement
    justification: Justification | None
    by_console: bool
    as_text: bool
    splice: Splice | None
    progress: Progress
    to: str | None = None
    number: int = 0
    retry_note: str = ""
    considered: Assessment | None = None
    permit: Permit | None = None
    exactly_rows: int = -1
    isolation: Isolation | None = None


def stands_alone(statement: Statement, rules: LexicalRules) -> bool:
    """Whether a statement only reads and depends on no state of its connection."""
    return (
        statement.is_plain_read
        and not STATEFUL.intersection(statement.functions)
        and not names_variable(statement, rules)
    )


def leaves_nothing(statement: Statement, rules: LexicalRules) -> bool:
    """Whether a statement leaves no session state on its connection, apart from a transaction."""
    return statement.kind in _TRACKED or statement.keeps_nothing or stands_alone(statement, rules)


def may_be_sent_again(attempt: Attempt) -> bool:
    """Whether a lost read may be retried: it is unlikely to have killed its replica."""
    considered, permit = attempt.considered, attempt.permit
    if considered is None or permit is None:
        return False
    return (
        (permit.account, permit.route, permit.read_only) == (Account.READ, Route.REPLICA, True)
        and not permit.within
        and not permit.elevation
        # Who was asked was asked for this node, at that moment.
        and considered.decision.verdict is Verdict.ALLOW
        and not considered.statement.hazards
        and not considered.heavy
    )


def note_of_retry(attempt: Attempt, failure: SafeConsoleError, nodes: Nodes, gates: Gates) -> str:
    """Measure the cluster after a failure, and return the note on a second attempt, "" where none would help."""
    lost_with: NodeName | None = None
    waited = failure.code == LOCK_WAIT
    if isinstance(failure, StoppedError):
        if attempt.permit is None or not may_be_sent_again(attempt) or not (waited or isinstance(failure, LostError)):
            return ""
        lost_with = attempt.permit.node
        if waited:
            nodes.avoided[lost_with] = "waited for a lock there"
    try:
        readings = nodes.measure()
        choice = nodes.choose(Route.REPLICA, gates, node="", connected=True)
    except SafeConsoleError:
        return ""
    # A connection that is killed on a server that lives was meant to end.
    is_gone = lost_with is None or any(each.node == lost_with and each.unreachable for each in readings)
    if choice.reading is None or not (is_gone or (waited and choice.reading.node != lost_with)):
        return ""
    what = "nothing had been sent" if lost_with is None else "no row had been shown"
    return f"retried on {choice.reading.node}: {failure.message}; {what}"
