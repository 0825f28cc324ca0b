"""Retry: which lost reads are sent once more, and to which replica."""

from __future__ import annotations

from safeconsole.cluster.routing import Choice
from safeconsole.errors import SafeConsoleError
from safeconsole.policy.decision import Assessment, Permit
from safeconsole.policy.readings import Reading
from safeconsole.session.state import names_variable
from safeconsole.sqltext.clauses import LOCKING
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, NodeName, Route, Verdict

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


def stands_alone(statement: Statement, rules: LexicalRules) -> bool:
    """Whether a statement only reads, and needs no state of its connection."""
    return (
        statement.is_plain_read
        and not STATEFUL.intersection(statement.functions)
        and not names_variable(statement, rules)
    )


def may_be_sent_again(considered: Assessment, permit: Permit) -> bool:
    """Whether a statement that was sent, and lost with its replica, is nothing that the replica could have died of."""
    return (
        (permit.account, permit.route, permit.read_only) == (Account.READ, Route.REPLICA, True)
        and not permit.within
        and not permit.elevation
        # Who was asked was asked for this node, at that moment.
        and considered.decision.verdict is Verdict.ALLOW
        and not considered.statement.hazards
        and not considered.heavy
    )


def note_of_retry(
    failure: SafeConsoleError, lost_with: NodeName | None, readings: tuple[Reading, ...], choice: Choice
) -> str:
    """Return the note on a retried read, "" where a retry would not help.

    Args:
        lost_with: the node that it was sent to, None when nothing had been sent.
        readings: what was measured after the failure.
        choice: where it would go now.
    """
    # A connection that is killed on a server that lives was meant to end.
    is_gone = lost_with is None or any(each.node == lost_with and each.unreachable for each in readings)
    if choice.reading is None or not is_gone:
        return ""
    what = "nothing had been sent" if lost_with is None else "no row had been shown"
    return f"retried on {choice.reading.node}: {failure.message}; {what}"
