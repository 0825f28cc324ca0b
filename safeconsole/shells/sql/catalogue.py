"""
The statements behind \\d, \\dt and \\di: the cheapest that answer, for each family.

`SHOW TABLES` reads names only; `SHOW TABLE STATUS` and the size columns of `information_schema` open
every table, and are never used here. Source: MySQL 9.7 and MariaDB 10.11, measured.
"""

from __future__ import annotations

from safeconsole.core.vocabulary import Flavour


def tables_sql(flavour: Flavour) -> str:
    """Return what lists the names of the tables in the session's schema."""
    if flavour is Flavour.SQLITE:
        return "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') ORDER BY name"
    return "SHOW TABLES"


def columns_sql(flavour: Flavour, table: str) -> str:
    """Return what lists the columns of one table; `table` may be `schema.table`."""
    if flavour is Flavour.SQLITE:
        return f"PRAGMA table_info({quoted_name(table)})"
    return f"DESCRIBE {quoted_name(table)}"


def indexes_sql(flavour: Flavour, table: str) -> str:
    """Return what lists the indexes of one table; `table` may be `schema.table`."""
    if flavour is Flavour.SQLITE:
        return f"PRAGMA index_list({quoted_name(table)})"
    return f"SHOW INDEX FROM {quoted_name(table)}"


def explain_sql(flavour: Flavour, sql: str) -> str:
    """Return what asks for the plan of a statement without running it."""
    if flavour is Flavour.SQLITE:
        return f"EXPLAIN QUERY PLAN {sql}"
    return f"EXPLAIN FORMAT=JSON {sql}"


def quoted_name(table: str) -> str:
    """Return a table's name, with its schema when it has one, quoted for any server of the family."""
    return ".".join("`" + part.strip().strip("`").replace("`", "``") + "`" for part in table.split(".", 1))


def names_sql(flavour: Flavour, *, after: str, most: int) -> str:
    """
    Return what lists the next names of tables in the session's schema, names alone.

    Args:
        after: the last name that is known, "" at the beginning; it MUST hold no quote and no backslash.
        most: names wanted, > 0.
    """
    if flavour is Flavour.SQLITE:
        return (
            f"SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name > '{after}' "  # noqa: S608
            f"ORDER BY name LIMIT {most}"
        )
    return (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "  # noqa: S608
        f"AND table_name > '{after}' ORDER BY table_name LIMIT {most}"
    )


def name_column(flavour: Flavour) -> int:
    """Return which column of the answer to `columns_sql` holds the name, counted from 0."""
    return 1 if flavour is Flavour.SQLITE else 0
