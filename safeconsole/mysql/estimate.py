"""
The server's own opinion of a statement, without running it: PREPARE, then the plan.

Both inside a read-only transaction, or in the one that the person opened, under the session's caps and
the watchdog's eye, since planning may run what it plans: a derived table of one row or a subquery on
MySQL, a function too on MariaDB. What cannot be stopped once it runs is not planned at all.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace
from pymysql.constants import COMMAND

from safeconsole.dialects.plans import HIDDEN_PLAN, RUNS_WHILE_PLANNED, UNREADABLE_PLAN, Plan, read_plan
from safeconsole.mysql.dictionary import MOST_NAMES, Dictionary, answered, question
from safeconsole.mysql.error_codes import KNOWN, Meaning, code_of, is_lost, text_of
from safeconsole.mysql.link import MySqlLink
from safeconsole.mysql.protocol import Packets
from safeconsole.mysql.wire import IN_TRANSACTION, IN_TRANSACTION_READONLY, DriverError, Wire
from safeconsole.policy.limits import Limits
from safeconsole.sqltext.analysis import rows_until_limit
from safeconsole.sqltext.behind import may_be_planned, names_run
from safeconsole.sqltext.effects import text_planned
from safeconsole.sqltext.lexer import LexicalRules
from safeconsole.sqltext.statement import Behind, Estimate, Statement, TableName, is_misspelt_perhaps
from safeconsole.sqltext.vocabulary import Effect

_NOT_PREPARABLE = 1295
_COMMAND_DENIED = 1142
_HIDES_THE_PLAN = frozenset({1345, 1142, 1143})
"""A view's tables are not this account's to see. Source: MariaDB 10.11, measured: 1345."""
_READING_PRIVILEGES = ("SELECT command denied", "SHOW VIEW command denied", "EXPLAIN command denied")
_PLAN_LIMITS = Limits(run_seconds=1.0)


def estimate_of(link: MySqlLink, statement: Statement, dictionary: Dictionary) -> Estimate:
    """
    Return what the server says of a statement; of what is no read, what stands behind its names alone.

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
        objection = _prepare(wire, statement.text, names, dictionary, rules)
        behind = dictionary.behind(ask, names, rules, must_exist=objection is None)
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
        plan = _until_limit(_plan(link, statement, behind), link, statement)
    finally:
        if wire.open and not is_within:
            wire.run_unawaited("ROLLBACK")
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
    )


def _until_limit(plan: Plan, link: MySqlLink, statement: Statement) -> Plan:
    """Return a plan with the rows that are read when LIMIT ends the read: the server's counts the whole table."""
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
    wire: Wire, text: str, names: tuple[TableName, ...], dictionary: Dictionary, rules: LexicalRules
) -> tuple[int, str] | None:
    """
    Return the server's objection (code, text) to a text in a transaction, the open one or a new one, or None.

    What the dictionary does not know of the names is asked on the way, but for what would see a snapshot.
    """
    is_within = wire.server_status & IN_TRANSACTION
    begin = () if is_within else ((COMMAND.COM_QUERY, "START TRANSACTION READ ONLY"),)
    # A statement with more is unknown, and nothing more is asked for it.
    unknown = [] if is_within else dictionary.unknown(names)[:MOST_NAMES]
    asked = ((COMMAND.COM_QUERY, question(unknown)),) if unknown else ()
    answers = wire.answers(*begin, (COMMAND.COM_STMT_PREPARE, text), *asked)
    if begin:
        wire.read_done(next(answers))
    objection = None
    try:
        wire.drop_prepared(next(answers))
    except DriverError as error:
        if is_lost(error):
            raise
        code = code_of(error)
        objection = None if code == _NOT_PREPARABLE else (code, text_of(error))
    # Read whatever became of the one before: it is on its way.
    for packets in answers:
        rows = _rows_or_code(wire, packets)
        dictionary.learn(unknown, [] if isinstance(rows, int) else rows, rules)
    return objection


def _plan(link: MySqlLink, statement: Statement, behind: Behind) -> Plan:
    """Return the plan where it may be asked for: planning can run what it plans."""
    rules = LexicalRules(dialect=link.dialect, version=link.version)
    text = text_planned(statement, rules) if statement.changes_nothing else ""
    known = (*statement.hazards, *behind.hazards)
    if not text or not may_be_planned(behind) or any(hazard.uninterruptible for hazard in known):
        return Plan(hazards=behind.hazards)
    plan = _watched_plan(link, text)
    judged = {hazard.id for hazard in known}
    # What the text or a definition says of a danger is more exact than what shows in a plan.
    new = tuple(hazard for hazard in plan.hazards if hazard.id not in judged)
    return replace(plan, hazards=(*behind.hazards, *new))


def _watched_plan(link: MySqlLink, text: str) -> Plan:
    wire, watched = link.wire, link.watchdog.watch(_PLAN_LIMITS)
    server = link.dialect.server
    explain = server.plan.format(sql=text)
    noted = ("SHOW WARNINGS",) if server.plan_is_noted else ()
    answers = wire.answers(*((COMMAND.COM_QUERY, text) for text in (explain, *noted)))
    # Each is read whatever became of the one before: it is on its way.
    plan, *notes = [_rows_or_code(wire, packets) for packets in answers]
    link.watchdog.finish(watched)
    if watched.killed:
        # SLEEP and its like end without an error; the plan says nothing of them.
        return Plan(hazards=(RUNS_WHILE_PLANNED,))
    if isinstance(plan, int):
        return Plan(hazards=(HIDDEN_PLAN,)) if plan in _HIDES_THE_PLAN else Plan()
    texts = [str(note[2]) for rows in notes if not isinstance(rows, int) for note in rows]
    if noted and not texts:
        # Without the note it is not known what stands behind an alias; max_error_count = 0 keeps it back.
        return Plan(hazards=(UNREADABLE_PLAN,))
    return read_plan(str(plan[0][0]), "\n".join(texts), verbatim=server.plan_is_verbatim)


def _rows_or_code(wire: Wire, packets: Packets) -> list[tuple[str | None, ...]] | int:
    """Return an answer's rows, or the number of the error that the server answered with. Raises as `Wire`."""
    try:
        return wire.read_texts(packets)
    except DriverError as error:
        if is_lost(error):
            raise
        return code_of(error)
