"""The dangerous objects of MySQL, as rows of the hazard catalogue.

Source unless a row says otherwise: MySQL 9.7.4 and 8.0.36, measured on 50,000 tables with a
128 MB buffer pool, cold, beside a light load. Rows for versions before 8.0 (and Aurora MySQL 2)
follow the manual of 5.7, "Optimizing INFORMATION_SCHEMA Queries": there sizes open every table.
"""

from __future__ import annotations

from safeconsole.dialects.catalogue import CAPACITY, SECRETS, SIZE_COLUMNS, in_order
from safeconsole.sqltext.dialect import TABLE_KEYS, DangerousObject
from safeconsole.sqltext.vocabulary import CostClass, words

_I_S = "information_schema"
_MEASURED = "MySQL 9.7.4 and 8.0.36, measured"
_MANUAL_57 = "MySQL 5.7 manual, Optimizing INFORMATION_SCHEMA Queries"

_SIZES = (
    DangerousObject(
        id="information-schema-sizes",
        schema=_I_S,
        names=words("tables"),
        columns=SIZE_COLUMNS,
        keys=TABLE_KEYS,
        cost=CostClass.WRITES,
        since=80000,
        why="sizes of every table: the engine is asked for each one, and expired figures are stored again row by row",
        instead=CAPACITY,
        source=_MEASURED,
        measured="50,000 tables: 0.6 s cached, 12.3 s when stored again, reads beside it 3 to 204 ms",
    ),
    DangerousObject(
        id="information-schema-sizes",
        schema=_I_S,
        names=words("tables"),
        columns=SIZE_COLUMNS,
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        until=79999,
        why="sizes of every table: each one is opened, and its definition stays in memory",
        instead=CAPACITY,
        source=_MANUAL_57,
    ),
    DangerousObject(
        id="information-schema-names",
        schema=_I_S,
        names=words("tables"),
        keys=TABLE_KEYS,
        one_schema=CostClass.LOOKUP,
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it lists every table of every schema",
        instead="give one schema: WHERE table_schema = '…'",
        source=_MEASURED,
        measured="50,000 tables, names only: 0.2 to 0.6 s, 3 to 18 MB",
    ),
    DangerousObject(
        id="information-schema-cardinality",
        schema=_I_S,
        names=words("statistics"),
        columns=words("CARDINALITY"),
        keys=TABLE_KEYS,
        cost=CostClass.WRITES,
        since=80000,
        why="the cardinality of every index: the engine is asked for each, and expired figures are stored again",
        instead="SHOW INDEX FROM one table, or mysql.innodb_index_stats",
        source=_MEASURED,
        measured="2,000 tables: 6.7 s cold, 0.09 s warm; 50,000 tables: 3.1 to 5.2 s, 22 to 63 MB",
    ),
)

_METADATA_NAMES = words(
    "columns statistics key_column_usage table_constraints referential_constraints check_constraints columns_extensions"
    " tables_extensions table_constraints_extensions column_statistics st_geometry_columns"
)

_METADATA = (
    DangerousObject(
        id="information-schema-details",
        schema=_I_S,
        names=_METADATA_NAMES,
        keys=TABLE_KEYS,
        one_schema=CostClass.LOOKUP,
        cost=CostClass.LINEAR_IN_OBJECTS,
        since=80000,
        why="it lists the columns, indexes or constraints of every table",
        instead="give schema and table by equality, or SHOW CREATE TABLE",
        source=_MEASURED,
        measured="2,000 tables: 3 to 88 ms",
    ),
    DangerousObject(
        id="information-schema-details",
        schema=_I_S,
        names=_METADATA_NAMES | words("views triggers"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        until=79999,
        why="it opens every table to list its columns, indexes or constraints",
        instead="give schema and table by equality, or SHOW CREATE TABLE",
        source=_MANUAL_57,
    ),
    DangerousObject(
        id="information-schema-partitions",
        schema=_I_S,
        names=words("partitions"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it asks the engine about every table and partition, one call a row, every time",
        instead=CAPACITY,
        source=_MEASURED,
        measured="2,000 tables: 0.6 s every time; 50,000 tables: 1.9 to 2.9 s, 27 to 41 MB",
    ),
)

_INNODB = (
    DangerousObject(
        id="innodb-dictionary",
        schema=_I_S,
        names=words("innodb_tables innodb_tablestats innodb_indexes innodb_columns"),
        cost=CostClass.LOADS_EVERY_TABLE_DEFINITION,
        uninterruptible=True,
        why="it loads the definition of every table into memory, where it stays, and cannot be stopped",
        instead=CAPACITY,
        source=_MEASURED,
        measured="50,000 tables: 635 to 1,406 MB kept, 29 to 57 s, reads beside it 4 to 857 ms; 60 s cap fired at 67 s",
    ),
    DangerousObject(
        id="innodb-dictionary",
        schema=_I_S,
        names=words("innodb_fields innodb_virtual innodb_foreign innodb_foreign_cols innodb_cached_indexes"),
        cost=CostClass.LOADS_EVERY_TABLE_DEFINITION,
        uninterruptible=True,
        why="it walks the whole dictionary of InnoDB, as its sisters do that load every definition",
        instead="SHOW CREATE TABLE of the table in question",
        source="assumed to be like innodb_tables, not measured",
    ),
    DangerousObject(
        id="innodb-dictionary",
        schema=_I_S,
        names=words(
            "innodb_sys_tables innodb_sys_tablestats innodb_sys_indexes innodb_sys_columns innodb_sys_fields"
            " innodb_sys_foreign innodb_sys_foreign_cols innodb_sys_virtual"
        ),
        cost=CostClass.LOADS_EVERY_TABLE_DEFINITION,
        uninterruptible=True,
        until=79999,
        why="it walks the whole dictionary of InnoDB and loads what it meets",
        instead=CAPACITY,
        source="assumed to be like innodb_tables of 8.0, not measured",
    ),
    DangerousObject(
        id="innodb-tablespaces",
        schema=_I_S,
        names=words(
            "innodb_tablespaces innodb_tablespaces_brief innodb_datafiles innodb_sys_tablespaces"
            " innodb_sys_datafiles innodb_session_temp_tablespaces"
        ),
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it makes a row for every tablespace, whatever the filter",
        instead=CAPACITY,
        source=_MEASURED,
        measured="50,000 tables: 1.1 to 1.9 s, 1 to 36 MB; joined on a name over 60 s",
    ),
    DangerousObject(
        id="innodb-files",
        schema=_I_S,
        names=words("files"),
        cost=CostClass.LINEAR_IN_OBJECTS,
        until=79999,
        why="it makes a row for every tablespace, whatever the filter",
        instead=CAPACITY,
        source="MySQL 5.7 manual, not measured",
    ),
    DangerousObject(
        id="innodb-files",
        schema=_I_S,
        names=words("files"),
        # The dictionary finds a tablespace by its name, which holds schema and table both.
        keys=("TABLESPACE_NAME", "TABLESPACE_NAME"),
        cost=CostClass.LINEAR_IN_OBJECTS,
        since=80000,
        why="it makes a row for every tablespace",
        instead="WHERE tablespace_name = 'schema/table', or safeconsole capacity CLUSTER --verify 20",
        source=_MEASURED,
        measured="50,000 tables: 1.1 to 1.3 s, 1 to 3 MB; one by its name under 1 ms, no table opened",
    ),
    DangerousObject(
        id="innodb-buffer-pages",
        schema=_I_S,
        names=words("innodb_buffer_page innodb_buffer_page_lru"),
        cost=CostClass.WALKS_BUFFER_POOL,
        uninterruptible=True,
        why="it walks the whole buffer pool under its mutex, one row a page, and cannot be stopped",
        instead="information_schema.innodb_buffer_pool_stats",
        source=_MEASURED,
        measured="32,000 pages: 0.4 to 0.8 s; a 30 ms cap fired after 606 ms",
    ),
    DangerousObject(
        id="innodb-counters-reset",
        schema=_I_S,
        names=words("innodb_cmp_reset innodb_cmpmem_reset innodb_cmp_per_index_reset"),
        cost=CostClass.RESETS_COUNTERS,
        why="reading it sets the counters to zero, for everybody",
        instead="the same table without _RESET",
        source="MySQL 9.7 manual, INNODB_CMP_RESET",
    ),
    DangerousObject(
        id="innodb-full-text",
        schema=_I_S,
        names=words(
            "innodb_ft_index_table innodb_ft_index_cache innodb_ft_deleted innodb_ft_being_deleted innodb_ft_config"
        ),
        cost=CostClass.READS_EVERY_PAGE,
        why="it reads a whole full-text index, of the table that a global variable names",
        instead="MATCH … AGAINST on the table itself",
        source="MySQL 9.7 manual, INNODB_FT_INDEX_TABLE",
    ),
)

_LISTS = (
    DangerousObject(
        id="information-schema-lists",
        schema=_I_S,
        names=words(
            "views triggers routines parameters events view_table_usage view_routine_usage innodb_cmp_per_index"
            " role_column_grants role_table_grants role_routine_grants"
        ),
        keys=("TABLE_SCHEMA", "TABLE_NAME"),
        one_schema=CostClass.LOOKUP,
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it lists the objects of every schema",
        instead="give one schema",
        source="MySQL 9.7 manual, INFORMATION_SCHEMA tables; not measured",
    ),
    DangerousObject(
        id="json-duality-views",
        schema=_I_S,
        names=words("json_duality_views json_duality_view_columns json_duality_view_links json_duality_view_tables"),
        keys=TABLE_KEYS,
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it opens every JSON duality view, and the tables under each",
        instead="give schema and view by equality, or SHOW CREATE VIEW",
        source="MySQL 9.7.4, measured",
        measured="1,000 duality views: 2,002 definitions and 1,005 tables opened, 0.4 to 0.7 s; of one by name none",
    ),
    DangerousObject(
        id="information-schema-unlisted",
        schema=_I_S,
        names=frozenset(),
        cost=CostClass.OPENS_EVERY_TABLE,
        why="this object of information_schema is not in our catalogue, so it is treated as expensive",
        instead="SHOW statements, or performance_schema",
        source="not measured",
    ),
)

CHEAP_MYSQL = words(
    "schemata schemata_extensions engines plugins character_sets collations collation_character_set_applicability"
    " keywords processlist user_privileges schema_privileges table_privileges column_privileges user_attributes"
    " administrable_role_authorizations"
    " applicable_roles enabled_roles resource_groups st_spatial_reference_systems st_units_of_measure optimizer_trace"
    " profiling libraries routine_libraries innodb_trx innodb_metrics innodb_buffer_pool_stats innodb_cmp innodb_cmpmem"
    " innodb_temp_table_info innodb_ft_default_stopword global_status session_status global_variables session_variables"
    " innodb_locks innodb_lock_waits tablespaces tablespaces_extensions ndb_transid_mysql_connection_map"
    " connection_control_failed_login_attempts replica_host_status"
)
"""Objects of information_schema that are small whatever the server holds."""

_VIEWS = (
    DangerousObject(
        id="sys-buffer-pages",
        schema="sys",
        names=words(
            "innodb_buffer_stats_by_table innodb_buffer_stats_by_schema x$innodb_buffer_stats_by_table"
            " x$innodb_buffer_stats_by_schema schema_table_statistics_with_buffer x$schema_table_statistics_with_buffer"
        ),
        cost=CostClass.WALKS_BUFFER_POOL,
        uninterruptible=True,
        why="a view over information_schema.innodb_buffer_page: it walks the whole buffer pool",
        instead="sys.schema_table_statistics, information_schema.innodb_buffer_pool_stats",
        source=_MEASURED,
        measured="32,000 pages: 0.7 to 1.1 s",
    ),
    DangerousObject(
        id="sys-index-reports",
        schema="sys",
        names=words("schema_unused_indexes schema_redundant_indexes x$schema_flattened_keys"),
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it joins every index of the server with itself or with statistics",
        instead="SHOW INDEX FROM one table, performance_schema.table_io_waits_summary_by_index_usage",
        source=_MEASURED,
        measured="2,000 tables: up to 14.5 s; 50,000 tables: 14.4 s, 87 MB",
    ),
    DangerousObject(
        id="sys-object-reports",
        schema="sys",
        names=words("schema_object_overview schema_auto_increment_columns"),
        cost=CostClass.OPENS_EVERY_TABLE,
        why="it collects every object, or every column, of the server",
        instead="give one schema to information_schema.tables",
        source=_MEASURED,
        measured="50,000 tables: 2.7 to 4.8 s, 26 to 103 MB",
    ),
    DangerousObject(
        id="every-row-lock",
        schema="performance_schema",
        names=words("data_locks"),
        cost=CostClass.LINEAR_IN_OBJECTS,
        why="it copies every row lock of the server under its latches",
        instead="performance_schema.data_lock_waits or sys.innodb_lock_waits",
        source="MySQL 9.7 manual, The data_locks Table",
        measured="idle server: 7 ms",
    ),
    DangerousObject(
        id="log-status",
        schema="performance_schema",
        names=words("log_status"),
        cost=CostClass.HOLDS_LOCKS,
        why="it stops all logging while it takes its snapshot",
        instead="SHOW BINARY LOG STATUS",
        source="MySQL 9.7 manual, The log_status Table",
    ),
)

OBJECTS_MYSQL = in_order(_SIZES, _METADATA, _INNODB, _LISTS, _VIEWS, SECRETS, cheap=CHEAP_MYSQL)
"""The catalogue; the first row that fits decides."""
