"""SQLite, the embedded engine.

Source: "SQL As Understood By SQLite", "Built-In Scalar SQL Functions" and its sister pages, "The DBSTAT Virtual Table",
"The SQLITE_DBPAGE Virtual Table", "Result and Error Codes".
"""

from __future__ import annotations

from safeconsole.dialects.functions import IMPURE
from safeconsole.dialects.kinds import A, D, KindRows, R, S, U, W, kinds_of
from safeconsole.dialects.tokens import RESERVED_SQLITE, sqlite_pattern
from safeconsole.sqltext.dialect import Catalogue, DangerousObject, Dialect, Functions, KindShape, Lexis, Queries
from safeconsole.sqltext.vocabulary import CostClass, Flavour, words

_KINDS: KindRows = (
    ("select", R, KindShape.QUERY),
    ("with", R, KindShape.QUERY),
    ("values", R, KindShape.QUERY),
    ("explain", R, KindShape.EXPLAIN),
    ("pragma", U, KindShape.PRAGMA),
    ("insert", W, KindShape.CHANGE),
    ("replace", W, KindShape.CHANGE),
    ("update", W, KindShape.CHANGE),
    ("delete", W, KindShape.CHANGE),
    ("begin", S, KindShape.FIXED),
    ("commit", S, KindShape.FIXED),
    ("end", S, KindShape.FIXED),
    ("rollback", S, KindShape.FIXED),
    ("savepoint", S, KindShape.FIXED),
    ("release", S, KindShape.FIXED),
    ("attach", A, KindShape.FIXED),
    ("detach", A, KindShape.FIXED),
    ("vacuum", W | D, KindShape.FIXED),
    ("reindex", W | D, KindShape.FIXED),
    ("analyze", W | A, KindShape.FIXED),
)

_PURE = words(
    """
    abs acos acosh asin asinh atan atan2 atanh avg cast ceil ceiling changes char coalesce concat concat_ws cos
    cosh count cume_dist date datetime degrees dense_rank exp first_value floor format glob group_concat hex
    ifnull iif instr json json_array json_array_length json_each json_extract json_group_array json_group_object
    json_insert json_object json_patch json_pretty json_quote json_remove json_replace json_set json_tree
    json_type json_valid julianday lag last_insert_rowid last_value lead length like likelihood likely ln log
    log10 log2 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi pow power printf
    quote radians random randomblob rank replace round row_number rtrim sign sin sinh soundex
    sqlite_compileoption_get sqlite_compileoption_used sqlite_source_id sqlite_version sqrt strftime string_agg
    substr substring sum tan tanh time timediff total total_changes trim trunc typeof unhex unicode unixepoch
    unlikely upper zeroblob
    """
)
"""Pure in SQLite; table functions that read their argument only are among them."""

_OBJECTS: tuple[DangerousObject, ...] = tuple(
    DangerousObject(
        id=identifier,
        schema="",
        names=words(name),
        cost=CostClass.READS_EVERY_PAGE,
        why=why,
        instead="safeconsole capacity CLUSTER (sizes page by page)",
        source="sqlite.org, the documentation of the virtual table",
        measured="grows with the size of the file",
    )
    for identifier, name, why in (
        ("dbstat-size-scan", "dbstat", "sizes of every table: it reads every page of the database file"),
        ("dbpage-scan", "sqlite_dbpage", "it copies every page of the database file"),
    )
)
"""The catalogue; the schema is any, since an attached file has them too."""

SQLITE = Dialect(
    flavour=Flavour.SQLITE,
    lexis=Lexis(
        pattern=sqlite_pattern,
        backslash_escapes=False,
        name_may_be_text=True,
        bytes_mark="X",
        nul_call="char(0)",
    ),
    kinds=kinds_of(_KINDS),
    functions=Functions(pure=_PURE, impure=IMPURE),
    catalogue=Catalogue(objects=_OBJECTS, anywhere=frozenset().union(*(row.names for row in _OBJECTS))),
    queries=Queries(
        tables="SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name",
        columns="PRAGMA table_info({table})",
        name_column=1,
        indexes="PRAGMA index_list({table})",
        size="SELECT name, SUM(pgsize) AS bytes, COUNT(*) AS pages FROM dbstat WHERE name = '{name}'",
        names=(
            "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name > '{after}'"
            " ORDER BY name LIMIT {most}"
        ),
        keys="""SELECT id, "from", "table", "to" FROM pragma_foreign_key_list('{table}') ORDER BY id, seq""",
        referrers=(
            """SELECT m.name, k."from", k."to" FROM sqlite_schema m, pragma_foreign_key_list(m.name) k"""
            """ WHERE m.type = 'table' AND k."table" = '{table}' ORDER BY m.name, k."from\""""
        ),
        about="SELECT NULL AS estimated_rows, SUM(pgsize) AS bytes, '' AS comment FROM dbstat WHERE name = '{name}'",
        explain="EXPLAIN QUERY PLAN {sql}",
        in_show_words=False,
    ),
    reserved=RESERVED_SQLITE,
    has_time_limit=False,
    has_accounts=False,
    has_statistics=False,
    has_pragmas=True,
    explain_only_compiles=True,
    plans_in_json=False,
    error_classes={
        # 1 is what it says of most mistakes: an OperationalError.
        19: "IntegrityError",
        20: "IntegrityError",
        25: "ProgrammingError",
    },
    sqlalchemy="sqlite",
)
