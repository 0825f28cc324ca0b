"""Dangers that lie in what a statement does, whatever object it names."""

from __future__ import annotations

from safeconsole.core.statement import Hazard
from safeconsole.core.vocabulary import CostClass

_ROWS: tuple[tuple[str, CostClass, str, str], ...] = (
    ("unreadable", CostClass.UNREADABLE, "the text cannot be read with certainty", "write it in a plainer form"),
    (
        "row-locks",
        CostClass.HOLDS_LOCKS,
        "a locking read holds row locks, and gaps between rows, until its transaction ends",
        "read without the locking clause",
    ),
    ("server-file", CostClass.WRITES, "it writes a file on the server's disk", "\\export writes the rows here"),
    (
        "console-owned-setting",
        CostClass.LIFTS_LIMIT,
        "the console owns this setting, because a limit or the reading of statements rests on it",
        "\\timeout, \\rows, \\use and --to change what may be changed, and are recorded",
    ),
    ("global-setting", CostClass.CHANGES_SESSION, "it changes the server for everybody", "change the configuration"),
    (
        "limit-lifting-hint",
        CostClass.LIFTS_LIMIT,
        "this hint replaces a limit or a setting that the console owns",
        "leave the hint out; \\timeout changes the time limit within the policy",
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
        "\\watch repeats a read",
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
        "it waits for replication with no end of its own",
        "\\topology shows the lag",
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
"""Every danger of this kind, by its id."""
