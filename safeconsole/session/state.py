"""Tracks session state on connections: variables, settings, and the session's own writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from safeconsole.clock import Clock
from safeconsole.cluster.engine import Connection, Engine
from safeconsole.errors import DeniedError
from safeconsole.policy.decision import Permit
from safeconsole.policy.readings import Reading
from safeconsole.session.transactions import place_of
from safeconsole.sqltext.lexer import LexicalRules, TokenKind, tokens
from safeconsole.sqltext.statement import BEGINS, ENDS, NEEDS_ONE, Estimate, Statement
from safeconsole.sqltext.vocabulary import Effect, NodeName, Route

# The schema is no part of it: every connection is opened in the session's own.


_ELSEWHERE = BEGINS | ENDS | NEEDS_ONE | {"use", "deallocate prepare", "drop prepare", "unlock table", "unlock tables"}


_CHANGES = frozenset({Effect.WRITE, Effect.DDL})
_SILENT = frozenset({TokenKind.SPACE, TokenKind.COMMENT})
_DROPS = frozenset({"drop temporary table", "drop table"})


def sets_state(statement: Statement) -> bool:
    return Effect.SESSION in statement.effects and statement.kind not in _ELSEWHERE and not statement.keeps_nothing


def names_variable(statement: Statement, rules: LexicalRules) -> str:
    """Return the first user variable in a statement, or ""."""
    return next(iter(_variables(statement, rules)), "")


def _variables(statement: Statement, rules: LexicalRules) -> tuple[str, ...]:
    if "@" not in statement.text:
        return ()
    return tuple(token.text for token in tokens(statement.text, rules) if token.kind is TokenKind.VARIABLE)


def _key(variable: str) -> str:
    return variable.lstrip("@").strip("`'\"").lower()


def _read_and_set(statement: Statement, rules: LexicalRules) -> tuple[dict[str, str], frozenset[str]]:
    """Return the variables that a statement reads, as it writes them, and the keys of those that it sets."""
    read: dict[str, str] = {}
    given: set[str] = set()
    if "@" not in statement.text:
        return read, frozenset()
    found = [token for token in tokens(statement.text, rules) if token.kind not in _SILENT]
    sets, depth, into = statement.kind.startswith("set"), 0, False
    for place, token in enumerate(found):
        depth += (token.text == "(") - (token.text == ")")
        if token.kind is TokenKind.VARIABLE:
            before, after = found[place - 1] if place else None, found[place + 1].text if place + 1 < len(found) else ""
            begins = sets and not depth and before is not None and (before.word == "SET" or before.text == ",")
            is_given = into or after == ":=" or (begins and after == "=")
            # What a procedure is given may come back from it as well.
            if is_given or statement.kind == "call":
                given.add(_key(token.text))
            if not is_given:
                read.setdefault(_key(token.text), token.text)
        elif token.text != ",":
            into = token.word == "INTO"
    return read, frozenset(given)


VARIABLE_IS_ELSEWHERE = "what changes data runs on a connection of its own, where the variable is NULL"
WITHOUT_VARIABLE = (
    "write the value itself; or, in the console, set the variable inside the transaction that changes something"
)


def lost_variable(statements: Sequence[Statement], rules: LexicalRules, *, opened: bool) -> tuple[int, str] | None:
    """Return the first statement of a script that changes rows using a variable set on another connection.

    Args:
        opened: whether the script begins inside a transaction.

    Returns:
        The statement's number, from 1, and the variable; None where there is no such statement.
    """
    set_in: dict[str, int] = {}
    transaction = int(opened)
    for number, statement in enumerate(statements, start=1):
        if statement.kind in BEGINS:
            transaction = number + 1
        elif statement.kind in ENDS:
            transaction = 0
        named = {name.lower(): name for name in _variables(statement, rules)}
        if statement.effects & _CHANGES:
            lost = [name for key, name in named.items() if set_in.get(key, transaction or -1) != (transaction or -1)]
            if lost:
                return number, lost[0]
        elif sets_state(statement):
            set_in.update(dict.fromkeys(named, transaction))
    return None


ASKS_BACK = frozenset({"found_rows", "row_count", "last_insert_id"})
"""Functions that ask for the statement before."""


def note_on_asking_back(permit: Permit) -> str:
    """Return a note that a function of `ASKS_BACK` answers about another statement here, or "" if it is right.

    Between two statements guards are read back, and a read may run on another connection than the change before it.
    """
    if not {"found_rows", "row_count"}.isdisjoint(permit.statement.functions):
        return (
            "FOUND_ROWS() and ROW_COUNT() tell nothing of your statement here: the console asks the server between two"
            " statements; count with COUNT(*), and read the number of changed rows below a change"
        )
    if permit.read_only and not permit.within:
        return "LAST_INSERT_ID() is known where the row was inserted: ask for it inside the transaction of the INSERT"
    return ""


# They stay on the connection that they were set on. If they were lost without a note, the next statement would mean
# something else: a time zone is the server's again. A variable would be NULL, and a temporary table another table of
# its name: what names one where it is not is refused.

_Place = tuple[Connection, str]


class SessionState:
    """The connections that hold a session's settings (the one that set them last), variables and temporary tables."""

    def __init__(self) -> None:
        self._held_by: Connection | None = None
        self._place = ""
        self._told: set[int] = set()
        self._variables: dict[str, _Place] = {}
        self._tables: dict[str, _Place] = {}

    @property
    def is_set(self) -> bool:
        return self._held_by is not None

    def temporary_in(self, statement: Statement) -> str:
        """Return the first temporary table of the session that a statement names, or ""."""
        return next((str(table) for table in statement.tables if str(table).lower() in self._tables), "")

    def allowing_for(self, statement: Statement, estimate: Estimate) -> Estimate:
        """Return the estimate of a read without the objection of a connection that lacks its temporary table."""
        if not self.temporary_in(statement):
            return estimate
        return replace(estimate, asked=False, objection="", objection_code=0, disagrees=False)

    def was_done(self, permit: Permit, connection: Connection) -> None:
        """Remember the connection of a statement that set a variable or setting, or made a temporary table."""
        statement, here = permit.statement, (connection, place_of(permit.node, permit.account))
        if sets_state(statement):
            self._held_by, self._place = here
            self._told.clear()
        self._variables.update(dict.fromkeys(_read_and_set(statement, connection.rules)[1], here))
        if statement.kind == "create temporary table":
            self._tables[str(statement.tables[0]).lower()] = here
        elif statement.kind in _DROPS:
            for table in statement.tables:
                self._tables.pop(str(table).lower(), None)

    def note_before(self, permit: Permit, connection: Connection, rules: LexicalRules) -> str:
        """Return a note on settings that are not in force on the connection of the next statement, or "".

        Raises:
            DeniedError: it reads a variable, or names a temporary table, that is not there.
        """
        here = place_of(permit.node, permit.account)
        if self._variables:
            self._require_variables(permit, connection, rules, here)
        if self._tables:
            self._require_tables(permit, connection, here)
        holder, place = self._held_by, self._place
        if holder is None or holder is connection:
            return ""
        if holder.broken:
            self._held_by = None
            return f"variables and settings of {place} were lost with its connection: set them again on {here}"
        if id(connection) in self._told:
            return ""
        self._told.add(id(connection))
        return f"variables and settings that you set on {place} are not set on {here}"

    def _require_variables(self, permit: Permit, connection: Connection, rules: LexicalRules, here: str) -> None:
        for key, variable in _read_and_set(permit.statement, rules)[0].items():
            holder, place = self._variables.get(key, (connection, here))
            if holder is connection:
                continue
            gone = ", whose connection is gone," if holder.broken else ","
            within = "set the variable inside the transaction" if permit.changes else "set the variable again"
            raise DeniedError(
                f"nothing was sent: {variable} was set on {place}{gone}"
                f" and is not set on {here}: it would be NULL there",
                instead=f"write the value itself, or {within}",
            )

    def _require_tables(self, permit: Permit, connection: Connection, here: str) -> None:
        name = self.temporary_in(permit.statement)
        holder, place = self._tables.get(name.lower(), (connection, here))
        if holder is connection:
            return
        if holder.broken:
            # Told once: then the name means what it means without it.
            del self._tables[name.lower()]
            raise DeniedError(
                f"nothing was sent: the temporary table {name} was lost with its connection to {place}",
                instead="make it again, or send this again to mean a table of that name",
            )
        raise DeniedError(
            f"nothing was sent: {name} is a temporary table on {place}, and this would go to {here}, which has it not",
            instead="ask inside the transaction: BEGIN, then this, then COMMIT",
        )


# Every read of tables waits, not only one that names what was changed: a view may stand between.


WAIT_SECONDS = 1.0
"""Longest wait of a read for a replica; fit replicas are mostly milliseconds behind."""


class OwnWrites:
    """One session's writes, and the replicas that have them."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._tables: dict[str, None] = {}
        self._last: tuple[NodeName, float] | None = None
        self._position: str | None = None
        self._arrived: set[NodeName] = set()

    @property
    def are_any(self) -> bool:
        return self._last is not None

    def wrote(self, permit: Permit) -> None:
        """Remember a statement that changed rows; asks no server.

        One whose outcome is unknown counts: who is told to look at the data before doing it again must not look at
        data from before it.
        """
        if permit.commits and self._tables:
            # What was written before counts from now on: nobody else saw it before.
            self._last, self._position = (permit.node, self._clock.monotonic()), None
            self._arrived.clear()
        if permit.read_only:
            return
        named = [str(table) for table in permit.statement.tables]
        self._tables.update(dict.fromkeys(named or [f"what {permit.statement.kind} changed"]))
        self._last, self._position = (permit.node, self._clock.monotonic()), None
        self._arrived.clear()

    def note_before(self, permit: Permit, reading_of: Callable[[NodeName], Reading | None]) -> str:
        """Wait until a read's replica has the session's writes; return a note if it has not, else "".

        Args:
            reading_of: returns a node's last one; believed where servers keep no account of their history.
        """
        statement = permit.statement
        if self._last is None or permit.route is not Route.REPLICA or not permit.read_only:
            return ""
        if permit.node in self._arrived or (statement.tables_known and not statement.tables):
            return ""
        if self._catches_up(permit.node, reading_of(permit.node)):
            return ""
        return f"{permit.node} may not have your change of {', '.join(self._tables)} yet: its data may be older"

    def may_explain(self, reading: Reading) -> bool:
        """Whether a replica did not know what the session made, and has it now: it waits a moment for that."""
        if self._last is None or reading.node == self._last[0] or reading.node in self._arrived:
            return False
        return self._catches_up(reading.node, reading)

    def _catches_up(self, node: NodeName, reading: Reading | None) -> bool:
        if self._last is not None and self._has(node, reading, *self._last):
            self._arrived.add(node)
        return node in self._arrived

    def _has(self, node: NodeName, reading: Reading | None, wrote_on: NodeName, wrote_seconds: float) -> bool:
        if self._position is None:
            # What it tells now includes what was written before.
            self._position = self._engine.position(wrote_on)
        if self._position:
            return self._engine.has_reached(node, self._position, within_seconds=WAIT_SECONDS)
        if reading is None or reading.lag_seconds is None:
            return False
        # Lag is told in whole seconds, rounded down.
        return reading.measured_seconds - reading.lag_seconds - 1.0 > wrote_seconds
