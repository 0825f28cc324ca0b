"""The server's own opinion of a statement, without running it: PREPARE, then the plan.

Both inside a read-only transaction, or in the one that the person opened, under the session's caps and
the watchdog's eye, since planning may run what it plans: a derived table of one row or a subquery on
MySQL, a function too on MariaDB. What cannot be stopped once it runs is not planned at all.

Before that the server's dictionary says what the names in the statement are: views with their definitions, tables with
engines. A plan cannot be asked first: planning a view may run what is in it. One question asks for many names at once
and travels with the others. Source: MySQL 9.7 and MariaDB 10.11, measured: by schema and name
`information_schema.TABLES` and `VIEWS` are looked up, at 0.4 to 1 ms a name, and no table is opened for it (on MariaDB
its definition is).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from functools import partial

import msgspec
from msgspec.structs import replace
from pymysql.constants import COMMAND

from safeconsole.dialects.plans import HIDDEN_PLAN, RUNS_WHILE_PLANNED, UNREADABLE_PLAN, Plan, read_plan
from safeconsole.mysql.error_codes import KNOWN, Meaning, code_of, is_lost, text_of
from safeconsole.mysql.guards import BEGIN, UNDO
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.protocol import Packets
from safeconsole.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, DriverError, ServerReply, Wire
from safeconsole.patterns import late
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.analysis import rows_until_limit
from safeconsole.sqltext.behind import Object, behind_all, hidden_object, may_be_planned, view_object
from safeconsole.sqltext.effects import text_planned
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import (
    NEVER_SEES,
    Behind,
    Estimate,
    Statement,
    TableName,
    is_misspelt_perhaps,
    names_run,
)
from safeconsole.sqltext.vocabulary import Effect

REMEMBER_SECONDS = 5.0
"""As long as anything else that a server said is believed; a view that became another is looked at anew then."""

_DEEPEST = 8
MOST_NAMES = 200
_SIMPLE = late(r"[\w$ -]+", re.ASCII)
_VIEW = "VIEW"
_DEFINITION = "DEFINITION"

Rows = list[tuple[str | None, ...]]
Ask = Callable[[str], Rows]
"""Asks one `question`, and returns its answer, nothing where the server refuses it."""


class Dictionary(msgspec.Struct):
    """Tables and views that one connection looked up, cached briefly."""

    _known: dict[TableName, tuple[float, Object | None]] = msgspec.field(default_factory=dict)

    def unknown(self, names: Iterable[TableName]) -> list[TableName]:
        oldest = time.monotonic() - REMEMBER_SECONDS
        return [name for name in looked_at(names) if self._known.get(name, (oldest - 1, None))[0] < oldest]

    def learn(self, names: Iterable[TableName], rows: Rows, rules: LexicalRules) -> None:
        """Remember the answer to `question`.

        Args:
            names: those that it was asked for.
            rows: the answer; nothing where the server refused it.
            rules: how the server reads text; definitions are always written in the default sql_mode.
        """
        now = time.monotonic()
        told: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
        for schema, table, what, detail, definition in rows:
            exact = told.setdefault((str(schema), str(table)), {})
            exact[str(what)] = (detail or "", definition or "")
        # The dictionary may spell a name in another case than the statement did, where case makes no difference.
        folded = {(schema.lower(), table.lower()): found for (schema, table), found in told.items()}
        for name in names:
            schema, table = name.schema or "", name.name
            found = told.get((schema, table)) or folded.get((schema.lower(), table.lower()))
            self._known[name] = (now, None if found is None else _object(name, found, rules))

    def behind(self, ask: Ask, names: Iterable[TableName], rules: LexicalRules, *, must_exist: bool) -> Behind:
        """Return the tables, views and definitions behind some names, through nested views.

        Args:
            ask: asks the server what it does not know yet.
            must_exist: what the dictionary does not show is unknown; otherwise it may be a table yet to be made.

        Raises:
            DriverError, OSError: the connection is lost.
        """
        found: dict[TableName, Object] = {}
        wave, dialect = looked_at(names), rules.dialect
        for depth in range(_DEEPEST):
            if not wave:
                return behind_all(found.items(), dialect)
            if len(found) + len(wave) > MOST_NAMES:
                return behind_all(
                    found.items(), rules.dialect, unfinished=f"its views lead to more than {MOST_NAMES} names"
                )
            self._ask(ask, wave, rules)
            if must_exist or depth:
                # What was not there moments ago was made meanwhile.
                self._ask(ask, [name for name in wave if self._known[name][1] is None], rules, anew=True)
            for name in wave:
                known = self._known[name][1]
                if known is not None:
                    found[name] = known
                elif must_exist or depth:
                    found[name] = hidden_object(name, dialect)
            inner = [each.definition.tables for name in wave if (each := found.get(name)) and each.definition]
            wave = [name for name in looked_at(table for tables in inner for table in tables) if name not in found]
        return behind_all(found.items(), rules.dialect, unfinished=f"its views are nested more than {_DEEPEST} deep")

    def _ask(self, ask: Ask, names: list[TableName], rules: LexicalRules, *, anew: bool = False) -> None:
        unknown = names if anew else self.unknown(names)
        if unknown:
            self.learn(unknown, ask(question(unknown)), rules)


def question(names: Iterable[TableName]) -> str:
    return " UNION ALL ".join(map(_lookup, names))


def answered(wire: Wire, question: str) -> Rows:
    """Run one query and return its rows, none if the server refuses it. Raises as `Dictionary.behind`."""
    try:
        return wire.texts(question)
    except DriverError as error:
        if is_lost(error):
            raise
        return []


def looked_at(names: Iterable[TableName]) -> list[TableName]:
    return list(dict.fromkeys(name for name in names if name.schema and name.schema.lower() not in NEVER_SEES))


def _object(name: TableName, found: dict[str, tuple[str, str]], rules: LexicalRules) -> Object:
    if _VIEW in found:
        definer, definition = found.get(_DEFINITION, ("", ""))
        return view_object(definition, definer, name, rules)
    return Object(engine=next(iter(found.values()))[0])


def _lookup(name: TableName) -> str:
    schema, table = _literal(name.schema or ""), _literal(name.name)
    where = f"WHERE TABLE_SCHEMA = {schema} AND TABLE_NAME = {table}"
    return (
        f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, ENGINE, NULL FROM information_schema.TABLES {where}"  # noqa: S608
        f" UNION ALL SELECT TABLE_SCHEMA, TABLE_NAME, '{_DEFINITION}', DEFINER, VIEW_DEFINITION"
        f" FROM information_schema.VIEWS {where}"
    )


def _literal(text: str) -> str:
    return f"'{text}'" if _SIMPLE.fullmatch(text) else f"CONVERT(X'{text.encode().hex()}' USING utf8mb4)"


_NOT_PREPARABLE = 1295
_PLAN_BYTES = 64
_COMMAND_DENIED = 1142
_LOCK_WAIT_TIMEOUT = 1205
_A_LOCK = "metadata lock"
_HIDES_THE_PLAN = frozenset({1345, 1142, 1143})
"""A view's tables are not this account's to see. Source: MariaDB 10.11, measured: 1345."""
_READING_PRIVILEGES = ("SELECT command denied", "SHOW VIEW command denied", "EXPLAIN command denied")
_PREPARE_LIMITS = Limits(run_seconds=2.0)
_PLAN_LIMITS = Limits(run_seconds=1.0)


class Ending(msgspec.Struct):
    """Queries that end the estimate's transaction and prepare the send, in the same round trip.

    Attributes:
        texts: asked behind the plan; the first of them ends the transaction.
        replies: the answers, nothing where no plan was asked for.
    """

    texts: tuple[str, ...]
    replies: list[ServerReply] = msgspec.field(default_factory=list)


def estimate_of(link: MySqlLink, statement: Statement, dictionary: Dictionary, ending: Ending) -> Estimate:
    """Return the server's estimate of a statement; for a change only the objects behind its names.

    Raises:
        DriverError, OSError: the connection is lost.
    """
    wire = link.wire
    rules = LexicalRules(dialect=link.dialect, version=link.version)
    names = tuple(replace(name, schema=name.schema or link.schema or None) for name in names_run(statement))
    if statement.effects <= {Effect.SESSION}:
        return Estimate()
    # What the person opened stays open; a read in it hurts no less than one outside.
    is_within = bool(wire.server_status & IN_TRANSACTION)
    wire.wait_at_most(link.patience_seconds)
    # In a snapshot MySQL shows the dictionary as it was when that began, and runs a view as it is now.
    ask = partial(link.watchdog.look, answered) if is_within else partial(answered, wire)
    prepared = statement.changes_nothing or is_misspelt_perhaps(statement)
    if not prepared:
        behind = dictionary.behind(ask, names, rules, must_exist=statement.changes_nothing)
        return Estimate(hazards=behind.hazards, behind=behind)
    try:
        objection, waits = _prepare(link, statement.text, names, dictionary, rules)
        behind = dictionary.behind(ask, names, rules, must_exist=objection is None)
        if waits:
            return Estimate(asked=True, waits=waits, hazards=behind.hazards, behind=behind)
        if objection is not None:
            code, text = objection
            return Estimate(
                asked=True,
                objection=text,
                objection_code=code,
                disagrees=_says_it_is_no_read(statement, code, text),
                hazards=behind.hazards,
                behind=behind,
            )
        plan = _plan(link, statement, behind, None if is_within else ending)
        plan = _until_limit(plan, link, statement)
    finally:
        if wire.open and not is_within:
            if not ending.replies:
                wire.run_unawaited(UNDO)
            wire.server_status &= ~(IN_TRANSACTION | IN_TRANSACTION_READONLY)
    return Estimate(
        asked=True,
        rows=plan.rows,
        full_scans=plan.full_scans,
        temporary_tables=plan.temporary_tables,
        hazards=plan.hazards,
        # What a view is can change without a word to its tables: a plan through one says nothing of the next moment.
        keyed=plan.keyed and not plan.hazards and not behind.views,
        behind=behind,
        waits=plan.waits,
    )


def _until_limit(plan: Plan, link: MySqlLink, statement: Statement) -> Plan:
    if not plan.plain or plan.hazards:
        return plan
    most = rows_until_limit(statement, LexicalRules(dialect=link.dialect, version=link.version))
    return replace(plan, rows=most, full_scans=()) if most is not None and most < plan.rows else plan


def _says_it_is_no_read(statement: Statement, code: int, text: str) -> bool:
    if not statement.effects <= {Effect.READ, Effect.SESSION}:
        return False
    if code == _COMMAND_DENIED:
        # "UPDATE command denied" to what we took for a read says what it is; "SELECT command denied" does not.
        return not text.startswith(_READING_PRIVILEGES)
    known = KNOWN.get(code)
    return known is not None and known.meaning is Meaning.READ_ONLY


def _prepare(
    link: MySqlLink, text: str, names: tuple[TableName, ...], dictionary: Dictionary, rules: LexicalRules
) -> tuple[tuple[int, str] | None, str]:
    """Prepare a text in a transaction, the open one or a new one.

    What the dictionary does not know of the names is asked on the way, but for what would see a snapshot.

    Returns:
        The server's objection (code, text) or None, and the lock that it waited for instead of an answer, or "".
    """
    wire = link.wire
    try:
        # Its plan is asked in more words than it has.
        wire.require_room(text, _PLAN_BYTES)
    except DriverError as error:
        return (code_of(error), text_of(error)), ""
    is_within = wire.server_status & IN_TRANSACTION
    begin = () if is_within else ((COMMAND.COM_QUERY, BEGIN),)
    # A statement with more is unknown, and nothing more is asked for it.
    unknown = [] if is_within else dictionary.unknown(names)[:MOST_NAMES]
    asked = ((COMMAND.COM_QUERY, question(unknown)),) if unknown else ()
    # Who names tables may wait for them.
    watched = link.watchdog.watch(_PREPARE_LIMITS) if names else None
    answers = wire.answers(*begin, (COMMAND.COM_STMT_PREPARE, text), *asked)
    if begin:
        wire.read_done(next(answers))
    objection, waits = None, ""
    try:
        wire.drop_prepared(next(answers))
    except DriverError as error:
        if is_lost(error):
            raise
        code = code_of(error)
        objection = None if code == _NOT_PREPARABLE else (code, text_of(error))
        waits = _A_LOCK if code == _LOCK_WAIT_TIMEOUT else ""
    if watched is not None:
        link.watchdog.finish(watched)
        waits = waits or (watched.waits if objection is not None else "")
        # What was killed for its time said nothing; its plan is asked under a limit of its own.
        objection = None if watched.killed and not waits else objection
    # Read whatever became of the one before: it is on its way.
    for packets in answers:
        rows = _rows_or_code(wire, packets)
        dictionary.learn(unknown, [] if isinstance(rows, int) else rows, rules)
    return objection, waits


def _plan(link: MySqlLink, statement: Statement, behind: Behind, ending: Ending | None) -> Plan:
    rules = LexicalRules(dialect=link.dialect, version=link.version)
    text = text_planned(statement, rules) if statement.changes_nothing else ""
    known = (*statement.hazards, *behind.hazards)
    if not text or not may_be_planned(behind) or any(hazard.uninterruptible for hazard in known):
        return Plan(hazards=behind.hazards)
    plan = _watched_plan(link, text, ending)
    judged = {hazard.id for hazard in known}
    # What the text or a definition says of a danger is more exact than what shows in a plan.
    new = tuple(hazard for hazard in plan.hazards if hazard.id not in judged)
    return replace(plan, hazards=(*behind.hazards, *new))


def _watched_plan(link: MySqlLink, text: str, ending: Ending | None) -> Plan:
    wire, watched = link.wire, link.watchdog.watch(_PLAN_LIMITS)
    server = link.dialect.server
    explain = server.plan.format(sql=text)
    noted = ("SHOW WARNINGS",) if server.plan_is_noted else ()
    # Each is read whatever became of the one before: it is on its way.
    explained, *others = wire.flight(explain, *noted, *(ending.texts if ending else ()))
    if ending:
        ending.replies = others[len(noted) :]
    link.watchdog.finish(watched)
    if watched.waits:
        return Plan(waits=watched.waits)
    if watched.killed:
        # SLEEP and its like end without an error; the plan says nothing of them.
        return Plan(hazards=(RUNS_WHILE_PLANNED,))
    if explained.error is not None and code_of(explained.error) == _LOCK_WAIT_TIMEOUT:
        return Plan(waits=_A_LOCK)
    if explained.error is not None:
        return Plan(hazards=(HIDDEN_PLAN,)) if code_of(explained.error) in _HIDES_THE_PLAN else Plan()
    texts = [str(note[2]) for reply in others[: len(noted)] for note in reply.rows]
    if noted and not texts:
        # Without the note it is not known what stands behind an alias; max_error_count = 0 keeps it back.
        return Plan(hazards=(UNREADABLE_PLAN,))
    return read_plan(str(explained.rows[0][0]), "\n".join(texts), verbatim=server.plan_is_verbatim)


def _rows_or_code(wire: Wire, packets: Packets) -> list[tuple[str | None, ...]] | int:
    """Return an answer's rows, or the server's error number. Raises as `Wire`."""
    try:
        return wire.read_texts(packets)
    except DriverError as error:
        if is_lost(error):
            raise
        return code_of(error)
