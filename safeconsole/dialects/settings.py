"""Settings and hints that a person may use, because no limit and no analysis depends on them.

Every setting that is not here belongs to the console. The list is of what is harmless, so that a
setting of a coming version is refused until somebody looked at it.

Source: MySQL 9.7 and MariaDB 10.11 manuals, system variables with session scope; optimizer hints.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from safeconsole.sqltext.dialect import AllowedSettings, Guard, Holds, ServerSetting
from safeconsole.sqltext.vocabulary import Role, words

HARMLESS_SETTINGS = words(
    """
    cte_max_recursion_depth default_week_format div_precision_increment eq_range_index_dive_limit
    error_count expensive_subquery_limit explain_format group_concat_max_len
    join_cache_level lc_time_names max_error_count max_recursive_iterations
    optimizer_prune_level optimizer_search_depth optimizer_switch optimizer_trace optimizer_trace_features
    optimizer_trace_limit optimizer_trace_max_mem_size optimizer_trace_offset optimizer_use_condition_selectivity
    print_identified_with_as_hex profiling profiling_history_size rand_seed1 rand_seed2
    show_create_table_skip_secondary_engine show_create_table_verbosity show_gipk_in_create_table_and_information_schema
    sql_warnings time_zone timestamp use_stat_tables windowing_use_high_precision
    """
)
"""Lower case; SET SESSION and SET_VAR of these changes the session and nothing that protects."""

HARMLESS_HINTS = words(
    """
    BKA NO_BKA BNL NO_BNL DERIVED_CONDITION_PUSHDOWN NO_DERIVED_CONDITION_PUSHDOWN HASH_JOIN NO_HASH_JOIN
    JOIN_FIXED_ORDER JOIN_ORDER JOIN_PREFIX JOIN_SUFFIX MERGE NO_MERGE MRR NO_MRR NO_ICP NO_RANGE_OPTIMIZATION
    QB_NAME SEMIJOIN NO_SEMIJOIN SUBQUERY SKIP_SCAN NO_SKIP_SCAN INDEX NO_INDEX GROUP_INDEX NO_GROUP_INDEX
    JOIN_INDEX NO_JOIN_INDEX ORDER_INDEX NO_ORDER_INDEX INDEX_MERGE NO_INDEX_MERGE ROWID_FILTER NO_ROWID_FILTER
    SPLIT_MATERIALIZED NO_SPLIT_MATERIALIZED
    """
)
"""Optimizer hints that change a plan and nothing else."""

_ON, _OFF = words("1 ON TRUE"), words("0 OFF FALSE")
_UTF8MB4 = words("UTF8MB4")

HELD_VALUES: Mapping[str, frozenset[str]] = {
    "autocommit": _ON,
    "character_set_client": _UTF8MB4,
    "character_set_connection": _UTF8MB4,
    "character_set_results": _UTF8MB4,
    "check_constraint_checks": _ON,
    "completion_type": words("0 NO_CHAIN"),
    "end_markers_in_json": _OFF,
    "explain_json_format_version": words("1"),
    "foreign_key_checks": _ON,
    "information_schema_stats_expiry": words("0"),
    "lc_messages": words("EN_US"),
    "sql_auto_is_null": _OFF,
    "sql_notes": _ON,
    "sql_quote_show_create": _ON,
    "sql_select_limit": words("18446744073709551615"),
    "unique_checks": _ON,
}
"""What the console holds a setting at on every connection, in every spelling, upper case: to set that changes nothing.

The read-only mode is not here: without a scope it is that of the next transaction alone.
"""

LOAD_SETTINGS = words(
    """
    check_constraint_checks default_storage_engine foreign_key_checks note_verbosity storage_engine
    unique_checks
    """
)
"""What the head of a dump sets, so that its file loads whole. Source: mysqldump 9.7, mariadb-dump 10.11, mydumper."""

READ_ONLY_SETTINGS = words("transaction_read_only tx_read_only")
"""Held at 1 for the session; to set them for the session changes nothing."""

LIMIT_SETTINGS: Mapping[str, tuple[str, int]] = {
    "max_execution_time": ("run_seconds", 1000),
    "max_statement_time": ("run_seconds", 1),
    "lock_wait_timeout": ("lock_wait_seconds", 1),
    "innodb_lock_wait_timeout": ("lock_wait_seconds", 1),
}
"""Settings that follow a ceiling: which, and how many of the setting's units are one of the ceiling's."""


def family_settings(*, hints_known_below: int) -> AllowedSettings:
    """Return the settings that a statement may set on a server of the family.

    Args:
        hints_known_below: see `AllowedSettings`.
    """
    return AllowedSettings(
        harmless=HARMLESS_SETTINGS,
        harmless_hints=HARMLESS_HINTS,
        hints_known_below=hints_known_below,
        held=HELD_VALUES,
        of_dumps=LOAD_SETTINGS,
        read_only=READ_ONLY_SETTINGS,
        limits=LIMIT_SETTINGS,
    )


class Ruling(StrEnum):
    """How the console treats a session variable."""

    OWNED = "owned"
    TOLD = "told"
    LEFT = "left"


class SessionVariables(msgspec.Struct, frozen=True, kw_only=True):
    """Session variables with the same ruling.

    Attributes:
        ruling: OWNED: set on every connection and read back. TOLD: as the server has it, and somebody says so when it
            matters. LEFT: it cannot matter.
        why: one clause, for the documentation.
    """

    ruling: Ruling
    why: str
    names: frozenset[str]


_VARIABLES: tuple[tuple[Ruling, str, str], ...] = (
    (
        Ruling.OWNED,
        "see [what is set on every connection](#what-is-set-on-every-connection)",
        """
        autocommit character_set_client character_set_connection character_set_results check_constraint_checks
        completion_type end_markers_in_json explain_json_format_version foreign_key_checks
        idle_readonly_transaction_timeout idle_transaction_timeout idle_write_transaction_timeout
        information_schema_stats_expiry innodb_lock_wait_timeout lc_messages lock_wait_timeout max_execution_time
        max_heap_table_size max_session_mem_used max_sort_length max_statement_time max_tmp_session_space_usage
        net_write_timeout sql_auto_is_null sql_notes sql_quote_show_create sql_select_limit system_versioning_asof
        tmp_disk_table_size tmp_table_size transaction_isolation transaction_read_only tx_isolation tx_read_only
        unique_checks wait_timeout
        """,
    ),
    (
        Ruling.TOLD,
        "read back with the guards: statements are read by it, and a change of it sends nothing further",
        "sql_mode",
    ),
    (
        Ruling.TOLD,
        "the server warns where an answer is cut short or may be, and its warnings are shown or counted",
        "group_concat_max_len max_error_count max_recursive_iterations sql_warnings",
    ),
    (
        Ruling.TOLD,
        "the server refuses with an error",
        """
        connection_memory_limit cte_max_recursion_depth enforce_storage_engine global_connection_memory_tracking
        innodb_strict_mode max_allowed_packet max_join_size max_points_in_geometry max_sp_recursion_depth
        max_user_connections optimizer_max_subgraph_pairs parser_max_mem_size require_row_format
        restrict_fk_on_non_standard_key sql_big_selects sql_require_primary_key sql_safe_updates use_secondary_engine
        """,
    ),
    (
        Ruling.TOLD,
        "it reports state",
        """
        error_count external_user gtid_owned in_transaction last_gtid proxy_user statement_id warning_count
        """,
    ),
    (
        Ruling.LEFT,
        "part of what an expression means on this server, for each of its clients",
        """
        block_encryption_mode character_set_collations character_set_database character_set_filesystem
        character_set_server collation_connection collation_database collation_server default_collation_for_utf8mb4
        default_regex_flags default_week_format div_precision_increment lc_time_names old old_mode new_mode
        standard_compliant_cte time_zone windowing_use_high_precision
        """,
    ),
    (
        Ruling.LEFT,
        "an alias of one that is owned",
        "tmp_memory_table_size",
    ),
    (
        Ruling.LEFT,
        "how the server finds an answer, not which; the cost of a plan is estimated for each statement",
        """
        analyze_max_length analyze_sample_percentage big_tables enable_secondary_engine_statistics
        eq_range_index_dive_limit expensive_subquery_limit explain_format histogram_generation_max_mem_size
        histogram_size histogram_type in_predicate_conversion_threshold innodb_parallel_read_threads join_cache_level
        max_length_for_sort_data max_seeks_for_key mhnsw_ef_search myisam_stats_method aria_stats_method
        optimizer_adjust_secondary_key_costs optimizer_extra_pruning_depth optimizer_join_limit_pref_ratio
        optimizer_max_sel_arg_weight optimizer_max_sel_args optimizer_prune_level optimizer_scan_setup_cost
        optimizer_search_depth optimizer_selectivity_sampling_limit optimizer_switch
        optimizer_use_condition_selectivity optimizer_where_cost query_cache_strip_comments query_cache_type
        query_cache_wlock_invalidate secondary_engine_cost_threshold sql_buffer_result use_stat_tables
        """,
    ),
    (
        Ruling.LEFT,
        "a buffer: nobody raises it over the server's global value, and the watchdog holds a session's memory",
        """
        aria_sort_buffer_size bulk_insert_buffer_size connection_memory_chunk_size innodb_ddl_buffer_size
        internal_tmp_mem_storage_engine join_buffer_size join_buffer_space_limit max_rowid_filter_size max_tmp_tables
        mrr_buffer_size myisam_sort_buffer_size preload_buffer_size query_alloc_block_size query_prealloc_size
        range_alloc_block_size range_optimizer_max_mem_size read_buffer_size read_rnd_buffer_size
        rowid_merge_buff_size select_into_buffer_size set_operations_buffer_size sort_buffer_size
        transaction_alloc_block_size transaction_prealloc_size
        """,
    ),
    (
        Ruling.LEFT,
        "what a change or a definition makes of a table: it needs an elevation, and is made as the server makes it",
        """
        alter_algorithm aria_repair_threads auto_increment_increment auto_increment_offset column_compression_threshold
        column_compression_zlib_level column_compression_zlib_strategy column_compression_zlib_wrap
        default_storage_engine default_table_encryption default_tmp_storage_engine enable_cascade_triggers
        explicit_defaults_for_timestamp external_table_secondary_storage_engine external_table_storage_engine
        generated_random_password_length innodb_compression_default innodb_ddl_threads
        innodb_default_encryption_key_id innodb_ft_enable_stopword innodb_ft_user_stopword_table
        innodb_snapshot_isolation innodb_table_locks innodb_tmpdir keep_files_on_create low_priority_updates
        max_delayed_threads max_insert_delayed_threads mhnsw_default_distance mhnsw_default_m myisam_repair_threads
        old_alter_table old_passwords select_into_disk_sync select_into_disk_sync_delay
        sql_generate_invisible_primary_key sql_if_exists storage_engine system_versioning_alter_history
        system_versioning_insert_history updatable_views_with_limit xa_detach_on_prepare
        """,
    ),
    (
        Ruling.LEFT,
        "what the server logs, traces or shows of a definition",
        """
        binlog_annotate_row_events binlog_rows_query_log_events log_disabled_statements log_queries_not_using_indexes
        log_slow_admin_statements log_slow_always_query_time log_slow_disabled_statements log_slow_filter
        log_slow_max_warnings log_slow_min_examined_row_limit log_slow_query log_slow_query_time log_slow_rate_limit
        log_slow_slave_statements log_slow_verbosity log_warnings long_query_time min_examined_row_limit note_verbosity
        optimizer_trace optimizer_trace_features optimizer_trace_limit optimizer_trace_max_mem_size
        optimizer_trace_offset print_identified_with_as_hex profiling profiling_history_size progress_report_time
        show_create_table_skip_secondary_engine show_create_table_verbosity
        show_gipk_in_create_table_and_information_schema slow_query_log sql_log_off terminology_use_previous
        """,
    ),
    (
        Ruling.LEFT,
        "how bytes travel; this client does not ask for what it would change",
        """
        interactive_timeout net_buffer_length net_read_timeout net_retry_count redirect_url resultset_metadata
        session_track_gtids session_track_schema session_track_state_change session_track_system_variables
        session_track_transaction_info tcp_nodelay thread_pool_priority transaction_allow_batching
        """,
    ),
    (
        Ruling.LEFT,
        "how a change is replicated: the server's, for each of its clients; a person may not set it",
        """
        binlog_alter_two_phase binlog_direct_non_transactional_updates binlog_format binlog_row_image
        binlog_row_value_options binlog_transaction_compression binlog_transaction_compression_level_zstd
        default_master_connection group_replication_consistency gtid_domain_id max_relay_log_size rbr_exec_mode
        server_id sql_slave_skip_counter
        """,
    ),
    (
        Ruling.LEFT,
        "has no global value, so each session begins alike; a person may set those alone that change an expression",
        """
        gtid_next gtid_seq_no identity immediate_server_version insert_id last_insert_id original_commit_timestamp
        original_server_version pseudo_replica_mode pseudo_slave_mode pseudo_thread_id rand_seed1 rand_seed2
        skip_parallel_replication skip_replication sql_log_bin timestamp wsrep_gtid_seq_no
        """,
    ),
    (
        Ruling.LEFT,
        "waits or locks that the owned ones bound",
        "deadlock_search_depth_long deadlock_search_depth_short deadlock_timeout_long deadlock_timeout_short",
    ),
    (
        Ruling.LEFT,
        "Galera: a node that is not a synced part of its group is not used at all",
        """
        wsrep_causal_reads wsrep_dirty_reads wsrep_on wsrep_osu_method wsrep_retry_autocommit wsrep_sync_wait
        wsrep_trx_fragment_size wsrep_trx_fragment_unit
        """,
    ),
)

SESSION_VARIABLES: tuple[SessionVariables, ...] = tuple(
    SessionVariables(ruling=ruling, why=why, names=words(names)) for ruling, why, names in _VARIABLES
)
"""Every session variable of the servers that were asked, each once; a variable that is not here is not decided.

Source: MySQL 9.7, MariaDB 10.11 and 11.8, asked for each variable that SHOW VARIABLES lists.
"""

_TEMPORARY_TABLE_BYTES = 16 * 1024 * 1024
TEMPORARY_DISK_BYTES = 1024 * 1024 * 1024
_STALLED_WRITE_SECONDS = 30
_IDLE_SECONDS = 3_600
_NO_SELECT_LIMIT = 2**64 - 1
_SORTED_BYTES = 1024

SHARED_GUARDS: tuple[Guard, ...] = (
    Guard(variable="lock_wait_timeout", limit="lock_wait_seconds"),
    Guard(variable="innodb_lock_wait_timeout", limit="lock_wait_seconds"),
    Guard(variable="tmp_table_size", value=_TEMPORARY_TABLE_BYTES, holds=Holds.AT_MOST),
    Guard(variable="max_heap_table_size", value=_TEMPORARY_TABLE_BYTES, holds=Holds.AT_MOST),
    # A client that vanished without a word, or stopped reading, holds the server no longer than this.
    Guard(variable="net_write_timeout", value=_STALLED_WRITE_SECONDS, holds=Holds.AT_MOST),
    Guard(variable="wait_timeout", value=_IDLE_SECONDS, holds=Holds.AT_MOST),
    Guard(variable="autocommit", value=1),
    # CHAIN opens another transaction behind each that ends, and what follows would be part of it.
    Guard(variable="completion_type", words=("NO_CHAIN",)),
    # An answer that is cut short here is cut short without a word; the largest number is no limit.
    Guard(variable="sql_select_limit", value=_NO_SELECT_LIMIT),
    # Texts that are alike up to here are not sorted, without a word.
    Guard(variable="max_sort_length", value=_SORTED_BYTES, holds=Holds.AT_LEAST),
    # Analysis reads the server's notes, its quotes round names, and what some of its errors say.
    Guard(variable="sql_notes", value=1),
    Guard(variable="sql_quote_show_create", value=1),
    Guard(variable="lc_messages", words=("en_US",)),
    # `id IS NULL` would find the row that was inserted last.
    Guard(variable="sql_auto_is_null"),
    # A change that a constraint forbids is refused, and not let in because a global value says so.
    Guard(variable="foreign_key_checks", value=1),
    Guard(variable="unique_checks", value=1),
)
"""What the console sets on every connection, on MySQL and on MariaDB."""

ISOLATION = ("REPEATABLE-READ", "READ-COMMITTED")
"""SERIALIZABLE makes plain reads lock the rows they see, READ-UNCOMMITTED shows what may be rolled back. The other two
are the server's to choose: with READ-COMMITTED a change locks less.
"""

PERFORMANCE_SCHEMA = ServerSetting(
    name="performance_schema",
    wanted=("1", "ON"),
    why="a statement's memory cannot be watched without it",
    remedy="performance_schema=ON in the server's configuration, and a restart",
)
SUPER_READ_ONLY = ServerSetting(
    name="super_read_only",
    wanted=("1", "ON"),
    why="an administrator's write here is let in, and then this replica has what its source has not",
    remedy="SET PERSIST super_read_only = ON",
    role=Role.REPLICA,
)
GTID_MODE = ServerSetting(
    name="gtid_mode",
    wanted=("ON",),
    why="whether a replica has a change of yours is told by its lag alone",
    remedy='gtid_mode = ON, server by server (manual, "Enabling GTID Transactions Online")',
)
AURORA_OOM_RESPONSE = ServerSetting(
    name="aurora_oom_response",
    unwanted=("", "PRINT"),
    why="where memory runs out nothing is ended: the instance restarts",
    remedy="aurora_oom_response = 'print,tune,decline,kill_query' in the parameter group (on Aurora MySQL 8.4,"
    " aurora_enable_memory_management = ON does it instead)",
)
"""Source: Aurora user guide, "Troubleshooting out-of-memory issues"; over 4 GiB it is off, or prints, by default."""

AURORA_FORWARDING = ServerSetting(
    name="aurora_replica_read_consistency",
    wanted=("",),
    why="a reader sends on what is written to it, where write forwarding is on, and reads wait for it",
    remedy="set it in the sessions that need it, not in the parameter group; the console writes on the writer alone",
    role=Role.REPLICA,
)
"""Source: Aurora user guide, "Read consistency for write forwarding": empty forwards nothing."""

LEANS_ON: tuple[ServerSetting, ...] = (
    ServerSetting(
        name="log_bin",
        wanted=("1", "ON"),
        why="nothing can copy from this server, and no log has what was changed",
        remedy="log_bin in the server's configuration, and a restart",
        role=Role.PRIMARY,
    ),
    ServerSetting(
        name="innodb_stats_on_metadata",
        wanted=("0", "OFF"),
        why="reading metadata counts rows again, in every table it opens",
        remedy="SET GLOBAL innodb_stats_on_metadata = OFF",
    ),
    ServerSetting(
        name="innodb_stats_persistent",
        wanted=("1", "ON"),
        why="tables have no statistics to read sizes from without opening them",
        remedy="SET GLOBAL innodb_stats_persistent = ON",
    ),
)
"""Global settings that the console's limits lean on, on MySQL and on MariaDB."""

ERROR_CLASSES: Mapping[int, str] = {
    **dict.fromkeys((1022, 1048, 1062, 1215, 1216, 1217, 1451, 1452, 1557, 1586, 3819), "IntegrityError"),
    **dict.fromkeys(
        (1007, 1008, 1049, 1050, 1051, 1052, 1054, 1064, 1091, 1102, 1103, 1109, 1110, 1111, 1112, 1113, 1146, 1149,
         1166, 1179, 1305),
        "ProgrammingError",
    ),
    **dict.fromkeys((1171, 1230, 1263, 1264, 1265, 1292, 1366, 1367, 1406, 1441, 1690), "DataError"),
    **dict.fromkeys((1196, 1235, 1286, 1289), "NotSupportedError"),
}  # fmt: skip
"""Source: PyMySQL 1.2.4, `err.error_map`; and by MySQL 9.7's manual, "Server Error Message Reference", what means
the same and that driver calls operational: a wrong name, a constraint, a value out of range.
"""
