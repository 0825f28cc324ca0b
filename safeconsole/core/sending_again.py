"""
When a read may be sent a second time, by the console itself and without anybody being asked.

Once, and only what a person would type again without a thought: a plain read of a replica that died before a row
was shown. Whatever could have had an effect, depends on what came before it on its connection, or may be what the
replica died of, is not.
"""

from __future__ import annotations

from safeconsole.core.decision import Considered, Permit
from safeconsole.core.lexer import LexicalRules
from safeconsole.core.named_locks import LOCKING
from safeconsole.core.session_state import names_variable
from safeconsole.core.slots import Slots, is_heavy
from safeconsole.core.statement import Statement
from safeconsole.core.vocabulary import Account, Route, Verdict

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
    """Whether a statement only reads, and reads nothing that lives on the connection that it is sent on."""
    return (
        statement.is_plain_read
        and not STATEFUL.intersection(statement.functions)
        and not names_variable(statement, rules)
    )


def may_be_sent_again(considered: Considered, permit: Permit, slots: Slots) -> bool:
    """Whether a statement that was sent, and lost with its replica, is nothing that it could have died of."""
    return (
        (permit.account, permit.route, permit.read_only) == (Account.READ, Route.REPLICA, True)
        and not permit.within
        and not permit.elevation
        # Who was asked was asked for this node, at that moment.
        and considered.decision.verdict is Verdict.ALLOW
        and not considered.statement.hazards
        and not is_heavy(slots, considered.facts)
    )
