"""
Settings and hints that a person may use, because no limit and no reading of statements rests on them.

Every setting that is not here belongs to the console. The list is of what is harmless, so that a
setting of a coming version is refused until somebody looked at it.

Source: MySQL 9.7 and MariaDB 10.11 manuals, system variables with session scope; optimizer hints.
"""

from __future__ import annotations

from safeconsole.core.catalogue.objects import words

HARMLESS_SETTINGS = words(
    """
    cte_max_recursion_depth default_week_format div_precision_increment eq_range_index_dive_limit
    error_count expensive_subquery_limit explain_format group_concat_max_len
    join_cache_level lc_time_names max_error_count max_recursive_iterations old_mode_explain
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
