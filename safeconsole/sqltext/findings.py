"""The findings collected while a statement is read, and the hazards of actions. Pure."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from safeconsole.patterns import late
from safeconsole.sqltext.lexer import LexicalRules, Token
from safeconsole.sqltext.statement import Ask, Hazard, TableName
from safeconsole.sqltext.vocabulary import SMALLEST, CostClass, Effect

# Dangers that lie in what a statement does, whatever object it names.

_ROWS: tuple[tuple[str, CostClass, str, str], ...] = (
    ("unreadable", CostClass.UNREADABLE, "the text cannot be read with certainty", "write it in a plainer form"),
    (
        "row-locks",
        CostClass.HOLDS_LOCKS,
        "a locking read holds row locks, and gaps between rows, until its transaction ends",
        "read without the locking clause",
    ),
    ("server-file", CostClass.WRITES, "it writes a file on the server's disk", "export the rows to a file here"),
    (
        "console-owned-setting",
        CostClass.LIFTS_LIMIT,
        "the console owns this setting, because a limit or the reading of statements rests on it",
        "leave it out: every connection has the console's own value",
    ),
    (
        "load-setting",
        CostClass.LIFTS_LIMIT,
        "it prepares a connection to load a dump, and here each change runs on a connection that the console prepared",
        "leave it out, or load the dump with the server's own client",
    ),
    ("global-setting", CostClass.CHANGES_SESSION, "it changes the server for everybody", "change the configuration"),
    (
        "limit-lifting-hint",
        CostClass.LIFTS_LIMIT,
        "this hint replaces a limit or a setting that the console owns",
        "leave the hint out; the session's time limit can be changed within the policy",
    ),
    (
        "unknown-function",
        CostClass.CALLS_UNKNOWN_CODE,
        "it calls a function that is not a built-in known to be free of side effects",
        "read the columns without the function, or elevate",
    ),
    (
        "unknown-code",
        CostClass.CALLS_UNKNOWN_CODE,
        "what it runs is not in the text",
        "write out the statement that it would run",
    ),
    (
        "default-of-column",
        CostClass.CALLS_UNKNOWN_CODE,
        "the default of a column may be the next value of a sequence, which is then used up",
        "see the default with SHOW CREATE TABLE",
    ),
    ("sequence", CostClass.WRITES, "it takes the next value of a sequence, or sets it", "SELECT * FROM the sequence"),
    (
        "sleeps",
        CostClass.BURNS_TIME,
        "it keeps a connection and a thread of the server waiting",
        "let the console repeat a read",
    ),
    ("benchmark", CostClass.BURNS_TIME, "it only burns the server's time", "measure with EXPLAIN ANALYZE on a replica"),
    (
        "user-lock",
        CostClass.HOLDS_LOCKS,
        "it takes or releases a named lock that applications wait for",
        "IS_FREE_LOCK and IS_USED_LOCK only look",
    ),
    (
        "console-owned-lock",
        CostClass.LIFTS_LIMIT,
        "named locks that begin with safeconsole. are how consoles count heavy statements, and this may touch one",
        "name one lock of your own, as one plain literal",
    ),
    (
        "waits-for-replication",
        CostClass.BURNS_TIME,
        "it waits for replication without a limit",
        "the cluster's topology shows the lag",
    ),
    ("reads-server-file", CostClass.READS_FILES, "it reads a file of the server", "fetch the file by other means"),
    (
        "sets-insert-id",
        CostClass.CHANGES_SESSION,
        "LAST_INSERT_ID with an argument changes the session",
        "leave the argument out",
    ),
    (
        "changes-server",
        CostClass.WRITES,
        "it is a function that changes the server's configuration",
        "elevate with a reason",
    ),
    (
        "outside-time-limit",
        CostClass.BURNS_TIME,
        "the server's own time limit does not apply to a query inside this kind of statement",
        "run the query by itself",
    ),
    ("full-table-read", CostClass.READS_EVERY_PAGE, "it reads every row of the tables it names", "run it on a replica"),
    (
        "account-secrets",
        CostClass.READS_SECRETS,
        "it shows the password hash of an account",
        "SELECT CURRENT_USER(), CURRENT_ROLE(), or `safeconsole doctor` for what an account may do",
    ),
    (
        "log-events",
        CostClass.READS_FILES,
        "it reads a whole log from its start, statement texts included",
        "name one file, a position and a LIMIT, on a replica",
    ),
    (
        "show-table-status",
        CostClass.OPENS_EVERY_TABLE,
        "sizes of every table of a schema, outside the server's own time limit",
        "SHOW TABLE STATUS LIKE 'one_name', or `safeconsole capacity`",
    ),
    (
        "show-definitions",
        CostClass.LINEAR_IN_OBJECTS,
        "it reads the definition of every table of a schema from its file",
        "SHOW TABLES, or SHOW CREATE TABLE of one",
    ),
    (
        "procedure-analyse",
        CostClass.CALLS_UNKNOWN_CODE,
        "a procedure works on the rows of the query",
        "leave PROCEDURE out",
    ),
    ("loads-code", CostClass.CALLS_UNKNOWN_CODE, "it loads foreign code into the server", "elevate with a reason"),
    (
        "opens-file",
        CostClass.READS_FILES,
        "it opens another file as a database, and creates it when missing",
        "configure it as a cluster of its own",
    ),
    (
        "pragma-changes",
        CostClass.CHANGES_SESSION,
        "this pragma changes the database or the connection",
        "read it without a value",
    ),
)

ACTIONS: dict[str, Hazard] = {
    identifier: Hazard(id=identifier, cost=cost, why=why, instead=instead) for identifier, cost, why, instead in _ROWS
}
"""The hazards of actions, by id."""


_WHOLE = late(r"[0-9]{1,10}")
_SECONDS = late(r"[0-9]{1,9}(?:\.[0-9]{1,3})?")


class Findings(msgspec.Struct, kw_only=True):
    """Collects what is found in one statement; only ever grows stricter.

    Attributes:
        tokens: of the statement, without the borders of executable comments.
        rules: how the server reads text.
        schema: the session's, or "".
        asks, keeps_nothing, notes: as `Statement`.
    """

    tokens: tuple[Token, ...]
    rules: LexicalRules
    schema: str
    effects: set[Effect] = msgspec.field(default_factory=set)
    tables: dict[TableName, None] = msgspec.field(default_factory=dict)
    tables_known: bool = True
    functions: dict[str, None] = msgspec.field(default_factory=dict)
    hazards: dict[str, Hazard] = msgspec.field(default_factory=dict)
    reasons: dict[str, None] = msgspec.field(default_factory=dict)
    asks: list[Ask] = msgspec.field(default_factory=list)
    keeps_nothing: bool = False
    notes: dict[str, None] = msgspec.field(default_factory=dict)

    def add(self, effect: Effect, reason: str = "") -> None:
        self.effects.add(effect)
        if reason:
            self.reasons.setdefault(reason)

    def unknown(self, *reasons: str) -> None:
        self.effects.add(Effect.UNKNOWN)
        for reason in reasons:
            self.reasons.setdefault(reason)

    def recognise(self) -> None:
        """Mark a statement of unknown kind as a read, unless something else was not understood."""
        if not self.reasons:
            self.effects.discard(Effect.UNKNOWN)
        self.effects.add(Effect.READ)

    def danger(self, hazard: Hazard) -> None:
        """Add a hazard; the first of each id stays."""
        self.hazards.setdefault(hazard.id, hazard)

    def action(self, identifier: str, detail: str = "") -> None:
        """Add the hazard of an action, with the part of the text that carries it."""
        hazard = ACTIONS[identifier]
        self.danger(replace(hazard, why=f"{detail}: {hazard.why}") if detail else hazard)

    def ask(self, setting: str, number: str, *, words: str, lifts: str) -> bool:
        """Add a ceiling that the text sets; return whether the setting is one, and can be held.

        Args:
            words, lifts: see `Ask`.
        """
        limit, units = self.rules.dialect.settings.limits.get(setting, ("", 0))
        # A suffix, an exponent or a sign is read by servers as they please; whole milliseconds can be held.
        pattern = _SECONDS if setting == "max_statement_time" else _WHOLE
        if not limit or pattern.fullmatch(number) is None or float(number) / units < SMALLEST[limit]:
            return False
        self.asks.append(Ask(limit=limit, value=float(number) / units, words=words, lifts=lifts))
        return True

    def name_tables(self, tables: tuple[TableName, ...]) -> None:
        for table in tables:
            self.tables.setdefault(table)
