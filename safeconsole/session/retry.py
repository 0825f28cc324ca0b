"""Retry: which lost reads are sent once more, and to which replica."""

from __future__ import annotations

from safeconsole.audit.record import Noticed
from safeconsole.cluster.engine import Engine
from safeconsole.errors import LostError, SafeConsoleError
from safeconsole.policy.decision import Considered, Permit
from safeconsole.policy.policy import Slots, is_heavy
from safeconsole.session.connections import Nodes
from safeconsole.session.considering import PoliciesInForce
from safeconsole.session.recorder import Recorder
from safeconsole.session.state import SessionState, names_variable
from safeconsole.session.transactions import Transactions
from safeconsole.sqltext.clauses import LOCKING
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Statement
from safeconsole.sqltext.vocabulary import Account, NodeName, Route, Verdict

# --------------------------------------------------------------------------------------------------------------------
# When a read may be sent a second time, by the console itself and without anybody being asked.
#
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


# --------------------------------------------------------------------------------------------------------------------
# Sends a read once more, to another replica, when the first was lost before anything of it was shown.
#
# The second time it walks the whole road, with a number, a decision, an intent and an outcome of its own.


class SendingAgain:
    """One session's second tries."""

    def __init__(
        self,
        *,
        policies: PoliciesInForce,
        engine: Engine,
        nodes: Nodes,
        transactions: Transactions,
        session_state: SessionState,
        recorder: Recorder,
    ) -> None:
        self._policies = policies
        self._engine = engine
        self._nodes = nodes
        self._transactions = transactions
        self._session_state = session_state
        self._recorder = recorder
        self._sent: tuple[Considered, Permit] | None = None
        self._note = ""

    def note_before(self, considered: Considered, permit: Permit) -> str:
        """Take note of what is about to be sent, and return what to tell the person of an earlier try, or ""."""
        self._sent = (considered, permit)
        return self._note

    def may_be_tried(self, statement: Statement, *, to: str) -> bool:
        """
        Begin a statement, and say whether it may be sent a second time at all.

        Args:
            to: where the person sends what they ask; see `Visit`.
        """
        self._sent, self._note = None, ""
        return (
            to in {"", Route.REPLICA}
            and self._transactions.opened is None
            and not self._session_state.is_set
            and stands_alone(statement, self._engine.rules)
        )

    def helps(self, error: SafeConsoleError) -> bool:
        """Whether another replica is fit, and the one that was asked is gone and not only its connection; recorded."""
        lost_with: NodeName | None = None
        if isinstance(error, LostError):
            if self._sent is None or not may_be_sent_again(*self._sent, self._policies.begun.slots):
                return False
            lost_with = self._sent[1].node
        try:
            readings = self._nodes.measure()
            choice = self._nodes.choose(Route.REPLICA, self._policies.gates, node="", connected=True)
        except SafeConsoleError:
            return False
        # A connection that is killed on a server that lives was meant to end.
        is_gone = lost_with is None or any(each.node == lost_with and each.unreachable for each in readings)
        if choice.reading is None or not is_gone:
            return False
        what = "nothing of it had been sent" if lost_with is None else "no row of it had been shown"
        self._note = f"asked again on {choice.reading.node}: {error.message}; {what}"
        self._recorder.append(Noticed(what="a read is sent again", detail=self._note))
        return True
