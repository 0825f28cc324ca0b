"""What SQLAlchemy's compliance suite need not look for, and why."""

from sqlalchemy.testing import exclusions
from sqlalchemy.testing.requirements import SuiteRequirements

closed, open_ = exclusions.closed, exclusions.open


class Requirements(SuiteRequirements):
    """What is not there, and why."""

    # One statement is one transaction: nothing can be taken back, marked or isolated.
    savepoints = property(lambda self: closed())
    isolation_level = property(lambda self: closed())
    autocommit = property(lambda self: closed())
    sane_rowcount = property(lambda self: closed())
    sane_rowcount_w_returning = property(lambda self: closed())
    # Sessions are the console's: no temporary tables that the next statement would look for.
    temporary_tables = property(lambda self: closed())
    temp_table_names = property(lambda self: closed())
    temp_table_reflection = property(lambda self: closed())
    temp_table_reflect_indexes = property(lambda self: closed())
    # The demo has one schema, and the elevated account no right to make another.
    schemas = property(lambda self: closed())
    cross_schema_fk_reflection = property(lambda self: closed())
    # The console owns the session: rows are not left on the server.
    server_side_cursors = property(lambda self: closed())
    # As SQLAlchemy says of the family itself: a moment alone in a SELECT is a text to the server,
    # columns hold no parts of a second unless asked to, LIMIT takes no expression, a VARCHAR has a length.
    date_implicit_bound = property(lambda self: closed())
    time_implicit_bound = property(lambda self: closed())
    datetime_implicit_bound = property(lambda self: closed())
    foreign_keys = property(lambda self: closed())
    boolean_col_expressions = property(lambda self: open_())
    datetime_literals = property(lambda self: closed())
    date_historic = property(lambda self: open_())
    json_type = property(lambda self: open_())
    precision_numerics_many_significant_digits = property(lambda self: open_())
    precision_generic_float_type = property(lambda self: closed())
    datetime_microseconds = property(lambda self: closed())
    timestamp_microseconds = property(lambda self: closed())
    time_microseconds = property(lambda self: closed())
    sql_expression_limit_offset = property(lambda self: closed())
    unbounded_varchar = property(lambda self: closed())
    unusual_column_name_characters = property(lambda self: open_())
    autoincrement_without_sequence = property(lambda self: open_())
    empty_inserts = property(lambda self: open_())
    implements_get_lastrowid = property(lambda self: open_())
    fetch_no_order_by = property(lambda self: closed())
    nullable_booleans = property(lambda self: open_())
