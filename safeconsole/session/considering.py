"""What is found out about a statement before it runs: policy in force, route, estimate, decision."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine
from safeconsole.cluster.routing import Choice
from safeconsole.errors import Action, Remedy, SafeConsoleError, UnreachableError
from safeconsole.policy.decision import Considered, Decision, Facts, addressed, judged_as_asked, with_disagreement
from safeconsole.policy.facts import COUNTED, facts_of
from safeconsole.policy.limits import Limits
from safeconsole.policy.policy import Policy, judge_together
from safeconsole.policy.readings import Gates, tightest_gates
from safeconsole.session.admission import Rate
from safeconsole.session.cache import Opinions, Precedents
from safeconsole.session.connections import Nodes
from safeconsole.session.elevation import ElevationEvent as Ending
from safeconsole.session.elevation import Elevations
from safeconsole.session.evidence import evidence_of, require_alike
from safeconsole.session.transactions import TransactionEvent, Transactions
from safeconsole.session.visit import Visit, circumstances_of
from safeconsole.sqltext.analysis import read_within
from safeconsole.sqltext.behind import with_behind
from safeconsole.sqltext.redaction import redacted_message
from safeconsole.sqltext.statement import ENDS, Behind, Estimate, Statement, is_misspelt_perhaps
from safeconsole.sqltext.vocabulary import Account, Effect, NodeName, Role, Route

# --------------------------------------------------------------------------------------------------------------------
# The rules that hold in one session: the policy it began with, and the one that its file holds by now, if another.


Reread = Callable[[], Policy]
"""Returns the policy as its file is now; the same object while nothing changed. Raises PolicyInvalidError."""


class PoliciesInForce:
    """
    A session's policies; what changes while it lasts can only tighten it.

    Attributes:
        begun: what it began with.
        held: that one, and what the file holds now if it is another; the same object while nothing changes.
        gates: what a node must offer; the same object, too.
        news: what is to be said of a file that changed, as of the last look, or "".

    Args:
        policy: the same.
        reread: looks at the file, None where there is none to look at.
    """

    def __init__(self, policy: Policy, reread: Reread | None = None) -> None:
        self.begun = policy
        self._reread = reread
        self.held: tuple[Policy, ...] = (policy,)
        self.news = ""
        self.gates = policy.gates

    def look(self) -> str:
        """
        Look at the file, and return what is to be said when it is not what the session began with, else "".

        Raises:
            PolicyInvalidError: what it holds now is no policy; nothing is allowed by it.
        """
        now = self._reread() if self._reread else self.begun
        if now.hash != self.held[-1].hash:
            changed = now.hash != self.begun.hash
            self.held = (self.begun, now) if changed else (self.begun,)
            self.news = (
                f"the policy's file has changed since this session began: it is {now.label} now" if changed else ""
            )
            self.gates = tightest_gates(*(policy.gates for policy in self.held))
        return self.news

    def judge(self, facts: Mapping[str, object], limits: Limits) -> Decision:
        """Return the strictest of their decisions, under the tightest limits."""
        return judge_together(self.held, facts, limits=limits)


# --------------------------------------------------------------------------------------------------------------------
# Finds out about one statement before anything of it runs: where it belongs, what the server thinks, what holds.


_NOT_ASKED = Behind(
    effects=frozenset({Effect.UNKNOWN}), reasons=("the server could not be asked what stands behind its names",)
)

_ASKED_AT_MOST = 2
"""A connection may have been cut for reasons of its own, once."""


class Considering:
    """Route, estimate, decide: for one session, over its measured nodes and the elevation in force."""

    def __init__(  # noqa: PLR0913 (the parts that the gate brings together, each named)
        self,
        *,
        visit: Visit,
        policies: PoliciesInForce,
        engine: Engine,
        nodes: Nodes,
        elevations: Elevations,
        transactions: Transactions,
        rate: Rate,
        clock: Clock,
    ) -> None:
        self._visit = visit
        self._policies = policies
        self._engine = engine
        self._nodes = nodes
        self._elevations = elevations
        self._opinions = Opinions(clock)
        self._precedents = Precedents(policies.begun)
        self._clock = clock
        self._transactions = transactions
        self._rate = rate

    def consider(self, statement: Statement, *, to: str, limits: Limits, statements: int) -> Considered:
        """
        Return everything known about a statement before it runs.

        Args:
            to: where the person wants it sent; see `Visit`.
            limits: the session's.
            statements: how many were asked in the session.

        Raises:
            UnreachableError, ConfigurationError: the cluster cannot be asked at all.
        """
        news = self._policies.look()
        if news and self._elevations.is_held:
            # It was granted by what the policy said before.
            self._lose_elevation(TransactionEvent.ELEVATION_ENDED, Ending.POLICY_CHANGED)
        to = self._transactions.narrowed(statement, to)
        route = self._transactions.route_of(statement, to=to)
        choice = self._chosen(statement, route, to, connected=statement.changes_nothing)
        estimate = _quoting_no_secret(self._estimate(statement, choice), statement)
        through = with_behind(statement, estimate.behind)
        if through.effects != statement.effects:
            # It is what stands behind its names, and belongs where a text that says so belongs.
            route = self._transactions.route_of(through, to=to)
            choice = self._chosen(through, route, to, connected=through.changes_nothing)
        statement = through
        if estimate.disagrees and not to:
            # It is no read after all, and belongs where changes belong.
            route = Route.PRIMARY
            choice = self._chosen(statement, route, to, connected=False)
        return self._judged(statement, (choice, estimate, route, limits), statements)

    def _judged(
        self, statement: Statement, found: tuple[Choice, Estimate, Route, Limits], statements: int
    ) -> Considered:
        """Return what the policy says of all that was found out; what was decided on the very same is not again."""
        choice, estimate, route, limits = found
        news = self._policies.news
        server = choice.reading.identity.server if choice.reading and choice.reading.identity else ""
        grant = self._elevations.covering(statement.text, server)
        basis = (*found, grant, self._transactions.opened, self._policies.held)
        rate = self._rate.read()
        counted: dict[str, object] = dict(zip(COUNTED, (statements, *rate), strict=True))
        precedent = self._precedents.of(statement, basis, counted)
        if precedent is not None:
            return precedent
        circumstances = circumstances_of(
            self._visit, flavour=self._engine.flavour, statements=statements, rate=rate, grant=grant
        )

        def judged(statement: Statement) -> tuple[Facts, Decision]:
            facts = facts_of(
                statement, route=route, reading=choice.reading, estimate=estimate, circumstances=circumstances
            )
            return facts, self._policies.judge(facts, limits)

        statement, facts, decision = judged_as_asked(statement, judged)
        decision = with_disagreement(decision, estimate, choice.route)
        chosen = choice.reading.node if choice.reading else None
        decision = self._transactions.decided(decision, statement, node=chosen, route=choice.route)
        decision = addressed(decision, self._visit.cluster, statement.hazards)
        told = (f"{news}; the stricter of both holds here",) if news else ()
        considered = Considered(
            statement=statement,
            route=choice.route if choice.reading else route,
            node=choice.reading.node if choice.reading else None,
            identity=choice.reading.identity if choice.reading else None,
            estimate=estimate,
            decision=decision,
            evidence=evidence_of(statement, choice, estimate, decision),
            facts=facts,
            notes=(*choice.notes, *statement.notes, *told),
        )
        if self._transactions.opened is None and not news:
            self._precedents.keep(considered, basis)
        return considered

    def _lose_elevation(self, event: TransactionEvent, ending: Ending) -> None:
        self._transactions.end(event, account=Account.ELEVATED)
        self._nodes.drop_elevated()
        self._elevations.end(ending)

    def _chosen(self, statement: Statement, route: Route, to: str, *, connected: bool) -> Choice:
        """Choose the node; what was measured for that may end the elevation."""
        choice = self._choose(statement, route, to, connected=connected)
        if self._nodes.take_failover():
            # The elevation was asked for the cluster as it was.
            self._lose_elevation(TransactionEvent.FAILED_OVER, Ending.FAILED_OVER)
        return choice

    def _choose(self, statement: Statement, route: Route, to: str, *, connected: bool) -> Choice:
        """Choose the node; while a transaction is open, the one it is open on, as long as that is of the right kind."""
        gates, opened = self._policies.gates, self._transactions.opened
        if to not in {"", Route.PRIMARY, Route.REPLICA}:
            return self._nodes.choose(route, gates, node=to, connected=connected)
        if opened is not None:
            # Whatever the load: what is open is ended where it is open.
            ends = Gates(threads_running=sys.maxsize) if statement.kind in ENDS else gates
            connected = connected and not opened.writes
            choice = self._nodes.choose(route, ends, node=opened.node, connected=connected)
            if choice.reading is not None and choice.reading.role is Role(route):
                return choice
        return self._nodes.choose(route, gates, node="", connected=connected)

    def _estimate(self, statement: Statement, choice: Choice) -> Estimate:
        """Ask the server's opinion of what is a read, and of what nobody understood: it may say what is wrong."""
        if not statement.is_plain_read:
            self._opinions.forget()
        if choice.reading is None:
            return Estimate()
        if statement.changes_nothing and Effect.READ in statement.effects:
            return self._opinion_of(statement, choice.reading.node)
        if {Effect.READ, Effect.WRITE} & statement.effects and statement.tables:
            sought = self._rows_sought(statement, choice.reading.node)
            return replace(sought, behind=self._behind_a_change(statement, choice.reading.node))
        if not is_misspelt_perhaps(statement):
            return Estimate()
        try:
            opinion = self._nodes.connect(choice.reading.node, Account.READ).estimate(statement)
        except SafeConsoleError:
            # It is refused anyway; the opinion would only have been a help.
            return Estimate()
        return Estimate(asked=True, objection=opinion.objection, objection_code=opinion.objection_code)

    def _behind_a_change(self, statement: Statement, node: NodeName) -> Behind:
        """Ask what stands behind the names in what is no read; it needs a person anyway, so silence is told to them."""
        try:
            connection = self._nodes.connect(node, Account.READ)
            estimate = connection.estimate(statement)
        except SafeConsoleError:
            return _NOT_ASKED
        return _NOT_ASKED if connection.broken else estimate.behind

    def _rows_sought(self, statement: Statement, node: NodeName) -> Estimate:
        """Ask how many rows a change would look at: evidence for the person, and nothing that it hangs on."""
        changes_rows = statement.effects == {Effect.WRITE}
        read = read_within(statement, self._engine.rules, schema=self._nodes.schema) if changes_rows else None
        if read is None:
            return Estimate()
        try:
            connection = self._nodes.connect(node, Account.READ)
            require_alike(statement, connection, rules=self._engine.rules, schema=self._nodes.schema)
            opinion = connection.estimate(read)
        except SafeConsoleError:
            return Estimate()
        # What the reading account may not read, or is misspelt, the change itself is told.
        return Estimate() if opinion.objection else opinion

    def _opinion_of(self, statement: Statement, node: NodeName) -> Estimate:
        """
        Return what a node says of a read.

        Raises:
            UnreachableError: its connection was lost over the question, and once more: what is not known is no yes.
        """
        for _ in range(_ASKED_AT_MOST):
            connection = self._nodes.connect(node, Account.READ)
            require_alike(statement, connection, rules=self._engine.rules, schema=self._nodes.schema)
            estimate = self._opinion(statement, connection)
            if estimate.asked or not connection.broken:
                return estimate
        raise UnreachableError(
            f"{node} was asked for its plan of this, and lost the connection over it; nothing was sent",
            instead="look at the server, or use another node",
            remedies=(Remedy(Action.NAME_NODE),),
        )

    def _opinion(self, statement: Statement, connection: Connection) -> Estimate:
        """Return what a server says of a read, or said moments ago of one that differs in its values only."""
        recalled = self._opinions.recalled(statement, connection)
        if recalled is not None:
            return recalled
        asked_seconds = self._clock.monotonic()
        estimate = connection.estimate(statement)
        self._opinions.keep(statement, connection, estimate, asked_seconds=asked_seconds)
        return estimate


def _quoting_no_secret(estimate: Estimate, statement: Statement) -> Estimate:
    """Return the server's opinion as it may be shown, handed to a second person and written down."""
    if not estimate.objection:
        return estimate
    return replace(estimate, objection=redacted_message(estimate.objection, statement.text))
