"""What reading the objects of the hazard catalogue cost, by version: made by `python -m benchmarks.catalogue --write`.

Kept by hand nowhere. A key is the flavour, the row's id and the object; what opens was read from nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

COMMAND = "python -m benchmarks.catalogue"

MEASURED: Mapping[str, Mapping[str, str]] = {
    "mariadb/information-schema-columns/information_schema.columns": {
        "10.5.23": "2,000 tables: every definition opened (2,121 definitions, 1 tables), 385 ms; stopped",
        "10.11.18": "2,000 tables: every definition opened (2,123 definitions, 43 tables), 436 ms; not stopped",
        "11.8.9": "2,000 tables: every definition opened (2,123 definitions, 43 tables), 619 ms; stopped",
    },
    "mariadb/information-schema-definitions/information_schema.tables": {
        "10.5.23": "2,000 tables: every definition opened (2,121 definitions, 0 tables), 173 ms",
        "10.11.18": "2,000 tables: every definition opened (2,123 definitions, 0 tables), 205 ms; stopped",
        "11.8.9": "2,000 tables: every definition opened (2,123 definitions, 0 tables), 229 ms; stopped",
    },
    "mariadb/information-schema-details/information_schema.check_constraints": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 382 ms; stopped",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 218 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 162 ms",
    },
    "mariadb/information-schema-details/information_schema.key_column_usage": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 388 ms; stopped",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 321 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 399 ms; stopped",
    },
    "mariadb/information-schema-details/information_schema.referential_constraints": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 172 ms",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 261 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 219 ms; stopped",
    },
    "mariadb/information-schema-details/information_schema.statistics": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 243 ms; stopped",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 643 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 433 ms; stopped",
    },
    "mariadb/information-schema-details/information_schema.table_constraints": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 372 ms; stopped",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 318 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 450 ms; stopped",
    },
    "mariadb/information-schema-details/information_schema.triggers": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 12 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 40 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 24 ms",
    },
    "mariadb/information-schema-details/information_schema.views": {
        "10.5.23": "2,000 tables: none opened (1 definitions, 1 tables), 88 ms",
        "10.11.18": "2,000 tables: none opened (30 definitions, 42 tables), 194 ms",
        "11.8.9": "2,000 tables: none opened (31 definitions, 43 tables), 196 ms",
    },
    "mariadb/information-schema-geometry/information_schema.geometry_columns": {
        "10.5.23": "2,000 tables: every definition opened (2,121 definitions, 1 tables), 139 ms",
        "10.11.18": "2,000 tables: every definition opened (2,123 definitions, 42 tables), 145 ms",
        "11.8.9": "2,000 tables: every definition opened (2,123 definitions, 43 tables), 353 ms; not stopped",
    },
    "mariadb/information-schema-lists/information_schema.events": {
        "10.5.23": "2,000 tables: none opened (1 definitions, 1 tables), 6 ms",
        "10.11.18": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mariadb/information-schema-lists/information_schema.files": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/information-schema-lists/information_schema.innodb_cmp_per_index": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 4 ms",
    },
    "mariadb/information-schema-lists/information_schema.parameters": {
        "10.5.23": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (1 definitions, 1 tables), 3 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 3 ms",
    },
    "mariadb/information-schema-lists/information_schema.routines": {
        "10.5.23": "2,000 tables: none opened (1 definitions, 1 tables), 2 ms",
        "10.11.18": "2,000 tables: none opened (1 definitions, 1 tables), 14 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 6 ms",
    },
    "mariadb/information-schema-names/information_schema.tables": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 17 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 18 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 43 ms",
    },
    "mariadb/information-schema-partitions/information_schema.partitions": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 521 ms; stopped",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 290 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 470 ms; stopped",
    },
    "mariadb/information-schema-periods/information_schema.key_period_usage": {
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,135 tables), 337 ms; stopped",
    },
    "mariadb/information-schema-periods/information_schema.periods": {
        "11.8.9": "2,000 tables: every definition opened (2,123 definitions, 0 tables), 193 ms",
    },
    "mariadb/information-schema-sequences/information_schema.sequences": {
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,135 tables), 328 ms; stopped",
    },
    "mariadb/information-schema-sizes/information_schema.tables": {
        "10.5.23": "2,000 tables: every table opened (2,121 definitions, 2,121 tables), 503 ms; stopped",
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,135 tables), 501 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,135 tables), 658 ms; stopped",
    },
    "mariadb/innodb-buffer-pages/information_schema.innodb_buffer_page": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 155 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 196 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 197 ms",
    },
    "mariadb/innodb-buffer-pages/information_schema.innodb_buffer_page_lru": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 143 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 113 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 102 ms",
    },
    "mariadb/innodb-counters-reset/information_schema.innodb_cmp_per_index_reset": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 4 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
    },
    "mariadb/innodb-counters-reset/information_schema.innodb_cmp_reset": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 5 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-counters-reset/information_schema.innodb_cmpmem_reset": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_columns": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 25 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 22 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 63 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_fields": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 6 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 20 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 37 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_foreign": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_foreign_cols": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_indexes": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 26 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 43 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 56 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_semaphore_waits": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_tables": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 27 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 43 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 45 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_tablestats": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 21 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 30 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 53 ms",
    },
    "mariadb/innodb-dictionary/information_schema.innodb_sys_virtual": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-full-text/information_schema.innodb_ft_being_deleted": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-full-text/information_schema.innodb_ft_config": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-full-text/information_schema.innodb_ft_deleted": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 9 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-full-text/information_schema.innodb_ft_index_cache": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 4 ms",
    },
    "mariadb/innodb-full-text/information_schema.innodb_ft_index_table": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 2 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mariadb/innodb-tablespaces/information_schema.innodb_sys_datafiles": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 22 ms",
    },
    "mariadb/innodb-tablespaces/information_schema.innodb_sys_tablespaces": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 51 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 68 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 94 ms",
    },
    "mariadb/innodb-tablespaces/information_schema.innodb_tablespaces_encryption": {
        "10.5.23": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
    },
    "mariadb/password-hashes/mysql.global_priv": {
        "10.5.23": "2,000 tables: none opened (4 definitions, 4 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (4 definitions, 4 tables), 1 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mariadb/password-hashes/mysql.user": {
        "10.5.23": "2,000 tables: none opened (4 definitions, 4 tables), 2 ms",
        "10.11.18": "2,000 tables: none opened (4 definitions, 4 tables), 4 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 2 ms",
    },
    "mariadb/statement-logs/mysql.general_log": {
        "10.5.23": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (1 definitions, 1 tables), 4 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mariadb/statement-logs/mysql.slow_log": {
        "10.5.23": "2,000 tables: none opened (1 definitions, 1 tables), 3 ms",
        "10.11.18": "2,000 tables: none opened (1 definitions, 1 tables), 7 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 5 ms",
    },
    "mariadb/stored-passwords/mysql.servers": {
        "10.5.23": "2,000 tables: none opened (4 definitions, 4 tables), 1 ms",
        "10.11.18": "2,000 tables: none opened (4 definitions, 4 tables), 1 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mariadb/sys-buffer-pages/sys.innodb_buffer_stats_by_schema": {
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 99 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 40 ms",
    },
    "mariadb/sys-buffer-pages/sys.innodb_buffer_stats_by_table": {
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 96 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 51 ms",
    },
    "mariadb/sys-buffer-pages/sys.schema_table_statistics_with_buffer": {
        "10.11.18": "2,000 tables: none opened (2 definitions, 2 tables), 1,201 ms; stopped",
        "11.8.9": "2,000 tables: none opened (2 definitions, 2 tables), 880 ms; stopped",
    },
    "mariadb/sys-buffer-pages/sys.x$innodb_buffer_stats_by_schema": {
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 30 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 69 ms",
    },
    "mariadb/sys-buffer-pages/sys.x$innodb_buffer_stats_by_table": {
        "10.11.18": "2,000 tables: none opened (0 definitions, 0 tables), 66 ms",
        "11.8.9": "2,000 tables: none opened (0 definitions, 0 tables), 114 ms",
    },
    "mariadb/sys-buffer-pages/sys.x$schema_table_statistics_with_buffer": {
        "10.11.18": "2,000 tables: none opened (2 definitions, 2 tables), 1,129 ms; stopped",
        "11.8.9": "2,000 tables: none opened (2 definitions, 2 tables), 1,393 ms; stopped",
    },
    "mariadb/sys-index-reports/sys.schema_redundant_indexes": {
        "10.11.18": "2,000 tables: every table opened (2,014 definitions, 2,014 tables), 1,770 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,014 definitions, 2,014 tables), 584 ms; stopped",
    },
    "mariadb/sys-index-reports/sys.schema_unused_indexes": {
        "10.11.18": "2,000 tables: none opened (1 definitions, 1 tables), 34 ms",
        "11.8.9": "2,000 tables: none opened (1 definitions, 1 tables), 41 ms",
    },
    "mariadb/sys-index-reports/sys.x$schema_flattened_keys": {
        "10.11.18": "2,000 tables: every table opened (2,014 definitions, 2,014 tables), 205 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,014 definitions, 2,014 tables), 294 ms; stopped",
    },
    "mariadb/sys-object-reports/sys.schema_auto_increment_columns": {
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,135 tables), 519 ms; not stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,135 tables), 455 ms; not stopped",
    },
    "mariadb/sys-object-reports/sys.schema_object_overview": {
        "10.11.18": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 469 ms; stopped",
        "11.8.9": "2,000 tables: every table opened (2,123 definitions, 2,123 tables), 496 ms; stopped",
    },
    "mysql/every-row-lock/performance_schema.data_locks": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 2 ms",
    },
    "mysql/information-schema-cardinality/information_schema.statistics": {
        "9.7.4": "2,000 tables: none opened (114 definitions, 119 tables), 82 ms",
    },
    "mysql/information-schema-details/information_schema.check_constraints": {
        "9.7.4": "2,000 tables: none opened (2 definitions, 1 tables), 1 ms",
    },
    "mysql/information-schema-details/information_schema.column_statistics": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 0 tables), 1 ms",
    },
    "mysql/information-schema-details/information_schema.columns": {
        "9.7.4": "2,000 tables: none opened (7 definitions, 6 tables), 228 ms; stopped",
    },
    "mysql/information-schema-details/information_schema.columns_extensions": {
        "9.7.4": "2,000 tables: none opened (5 definitions, 4 tables), 142 ms",
    },
    "mysql/information-schema-details/information_schema.key_column_usage": {
        "9.7.4": "2,000 tables: none opened (9 definitions, 8 tables), 49 ms",
    },
    "mysql/information-schema-details/information_schema.referential_constraints": {
        "9.7.4": "2,000 tables: none opened (2 definitions, 1 tables), 1 ms",
    },
    "mysql/information-schema-details/information_schema.st_geometry_columns": {
        "9.7.4": "2,000 tables: none opened (22 definitions, 22 tables), 33 ms",
    },
    "mysql/information-schema-details/information_schema.statistics": {
        "9.7.4": "2,000 tables: none opened (9 definitions, 8 tables), 36 ms",
    },
    "mysql/information-schema-details/information_schema.table_constraints": {
        "9.7.4": "2,000 tables: none opened (7 definitions, 6 tables), 22 ms",
    },
    "mysql/information-schema-details/information_schema.table_constraints_extensions": {
        "9.7.4": "2,000 tables: none opened (5 definitions, 4 tables), 16 ms",
    },
    "mysql/information-schema-details/information_schema.tables_extensions": {
        "9.7.4": "2,000 tables: none opened (4 definitions, 3 tables), 10 ms",
    },
    "mysql/information-schema-lists/information_schema.events": {
        "9.7.4": "2,000 tables: none opened (6 definitions, 7 tables), 2 ms",
    },
    "mysql/information-schema-lists/information_schema.innodb_cmp_per_index": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/information-schema-lists/information_schema.parameters": {
        "9.7.4": "2,000 tables: none opened (7 definitions, 6 tables), 2 ms",
    },
    "mysql/information-schema-lists/information_schema.role_column_grants": {
        "9.7.4": "2,000 tables: none opened (19 definitions, 19 tables), 3 ms",
    },
    "mysql/information-schema-lists/information_schema.role_routine_grants": {
        "9.7.4": "2,000 tables: none opened (18 definitions, 18 tables), 2 ms",
    },
    "mysql/information-schema-lists/information_schema.role_table_grants": {
        "9.7.4": "2,000 tables: none opened (3 definitions, 3 tables), 1 ms",
    },
    "mysql/information-schema-lists/information_schema.routines": {
        "9.7.4": "2,000 tables: none opened (20 definitions, 23 tables), 7 ms",
    },
    "mysql/information-schema-lists/information_schema.triggers": {
        "9.7.4": "2,000 tables: none opened (7 definitions, 8 tables), 1 ms",
    },
    "mysql/information-schema-lists/information_schema.view_routine_usage": {
        "9.7.4": "2,000 tables: none opened (6 definitions, 5 tables), 2 ms",
    },
    "mysql/information-schema-lists/information_schema.view_table_usage": {
        "9.7.4": "2,000 tables: none opened (5 definitions, 4 tables), 3 ms",
    },
    "mysql/information-schema-lists/information_schema.views": {
        "9.7.4": "2,000 tables: none opened (6 definitions, 6 tables), 3 ms",
    },
    "mysql/information-schema-names/information_schema.tables": {
        "9.7.4": "2,000 tables: none opened (7 definitions, 6 tables), 14 ms",
    },
    "mysql/information-schema-partitions/information_schema.partitions": {
        "9.7.4": "2,000 tables: none opened (237 definitions, 141 tables), 876 ms; stopped",
    },
    "mysql/information-schema-sizes/information_schema.tables": {
        "9.7.4": "2,000 tables: none opened (136 definitions, 137 tables), 106 ms",
    },
    "mysql/innodb-buffer-pages/information_schema.innodb_buffer_page": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 260 ms; not stopped",
    },
    "mysql/innodb-buffer-pages/information_schema.innodb_buffer_page_lru": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 241 ms; not stopped",
    },
    "mysql/innodb-counters-reset/information_schema.innodb_cmp_per_index_reset": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-counters-reset/information_schema.innodb_cmp_reset": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-counters-reset/information_schema.innodb_cmpmem_reset": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_cached_indexes": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 8 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_columns": {
        "9.7.4": "2,000 tables: none opened (84 definitions, 17 tables), 39 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_fields": {
        "9.7.4": "2,000 tables: none opened (5 definitions, 4 tables), 32 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_foreign": {
        "9.7.4": "2,000 tables: none opened (5 definitions, 4 tables), 2 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_foreign_cols": {
        "9.7.4": "2,000 tables: none opened (6 definitions, 5 tables), 2 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_indexes": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 69 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_tables": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 66 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_tablestats": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 34 ms",
    },
    "mysql/innodb-dictionary/information_schema.innodb_virtual": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 4 ms",
    },
    "mysql/innodb-files/information_schema.files": {
        "9.7.4": "2,000 tables: none opened (3 definitions, 2 tables), 159 ms",
    },
    "mysql/innodb-full-text/information_schema.innodb_ft_being_deleted": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-full-text/information_schema.innodb_ft_config": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-full-text/information_schema.innodb_ft_deleted": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-full-text/information_schema.innodb_ft_index_cache": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-full-text/information_schema.innodb_ft_index_table": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 0 ms",
    },
    "mysql/innodb-tablespaces/information_schema.innodb_datafiles": {
        "9.7.4": "2,000 tables: none opened (3 definitions, 2 tables), 21 ms",
    },
    "mysql/innodb-tablespaces/information_schema.innodb_session_temp_tablespaces": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 1 ms",
    },
    "mysql/innodb-tablespaces/information_schema.innodb_tablespaces": {
        "9.7.4": "2,000 tables: none opened (0 definitions, 0 tables), 71 ms",
    },
    "mysql/innodb-tablespaces/information_schema.innodb_tablespaces_brief": {
        "9.7.4": "2,000 tables: none opened (3 definitions, 2 tables), 41 ms",
    },
    "mysql/log-status/performance_schema.log_status": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mysql/password-hashes/mysql.password_history": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 0 ms",
    },
    "mysql/password-hashes/mysql.user": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mysql/statement-logs/mysql.general_log": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 0 ms",
    },
    "mysql/statement-logs/mysql.slow_log": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 0 ms",
    },
    "mysql/stored-passwords/mysql.servers": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 0 ms",
    },
    "mysql/stored-passwords/mysql.slave_master_info": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 1 tables), 1 ms",
    },
    "mysql/sys-buffer-pages/sys.innodb_buffer_stats_by_schema": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 0 tables), 111 ms",
    },
    "mysql/sys-buffer-pages/sys.innodb_buffer_stats_by_table": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 0 tables), 107 ms",
    },
    "mysql/sys-buffer-pages/sys.schema_table_statistics_with_buffer": {
        "9.7.4": "2,000 tables: none opened (20 definitions, 17 tables), 213 ms; stopped",
    },
    "mysql/sys-buffer-pages/sys.x$innodb_buffer_stats_by_schema": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 0 tables), 114 ms",
    },
    "mysql/sys-buffer-pages/sys.x$innodb_buffer_stats_by_table": {
        "9.7.4": "2,000 tables: none opened (1 definitions, 0 tables), 123 ms",
    },
    "mysql/sys-buffer-pages/sys.x$schema_table_statistics_with_buffer": {
        "9.7.4": "2,000 tables: none opened (5 definitions, 2 tables), 217 ms; stopped",
    },
    "mysql/sys-index-reports/sys.schema_redundant_indexes": {
        "9.7.4": "2,000 tables: none opened (21 definitions, 26 tables), 66 ms",
    },
    "mysql/sys-index-reports/sys.schema_unused_indexes": {
        "9.7.4": "2,000 tables: none opened (11 definitions, 9 tables), 58 ms",
    },
    "mysql/sys-index-reports/sys.x$schema_flattened_keys": {
        "9.7.4": "2,000 tables: none opened (10 definitions, 8 tables), 38 ms",
    },
    "mysql/sys-object-reports/sys.schema_auto_increment_columns": {
        "9.7.4": "2,000 tables: none opened (11 definitions, 12 tables), 32 ms",
    },
    "mysql/sys-object-reports/sys.schema_object_overview": {
        "9.7.4": "2,000 tables: none opened (29 definitions, 52 tables), 42 ms",
    },
}
