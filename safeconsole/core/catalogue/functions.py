"""Native functions, by flavour."""

from __future__ import annotations

IMPURE: dict[str, str] = {
    "sleep": "sleeps",
    "benchmark": "benchmark",
    "get_lock": "user-lock",
    "release_lock": "user-lock",
    "release_all_locks": "user-lock",
    "load_file": "reads-server-file",
    "master_pos_wait": "waits-for-replication",
    "source_pos_wait": "waits-for-replication",
    "master_gtid_wait": "waits-for-replication",
    "wait_for_executed_gtid_set": "waits-for-replication",
    "wait_until_sql_thread_after_gtids": "waits-for-replication",
    "nextval": "sequence",
    "setval": "sequence",
    "lastval": "sequence",
    "load_extension": "loads-code",
    "readfile": "reads-server-file",
    "writefile": "server-file",
    "edit": "loads-code",
    "fts3_tokenizer": "loads-code",
}
_COMMON = frozenset(
    """
    abs acos adddate addtime aes_decrypt aes_encrypt ascii asin atan atan2 avg bin bin_to_uuid bit_and bit_count bit_length bit_or bit_xor
    cast ceil ceiling char char_length character_length charset coalesce coercibility collation compress concat concat_ws
    connection_id conv convert convert_tz cos cot count crc32 curdate current_date current_role current_time current_timestamp current_user curtime
    database date date_add date_format date_sub datediff day dayname dayofmonth dayofweek dayofyear degrees elt exp
    export_set extract extractvalue field find_in_set floor format format_bytes format_pico_time found_rows from_base64 from_days from_unixtime
    get_format greatest group_concat hex hour if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval
    is_free_lock is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_used_lock isnull json_array json_array_append json_array_insert
    json_arrayagg json_contains json_contains_path json_depth json_extract json_insert json_keys json_length json_merge
    json_merge_patch json_merge_preserve json_object json_objectagg json_overlaps json_pretty json_quote json_remove
    json_replace json_schema_valid json_search json_set json_storage_size json_table json_type json_unquote json_valid json_value
    last_day last_insert_id lcase least left length ln localtime localtimestamp locate log log10 log2 lower lpad ltrim
    make_set makedate maketime match max microsecond mid min minute mod month monthname name_const now nullif oct
    octet_length ord period_add period_diff pi position pow power quarter quote radians rand random_bytes
    regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right round row row_count rpad rtrim
    schema sec_to_time second session_user sha2 sign sin soundex space sqrt std stddev stddev_pop stddev_samp
    str_to_date strcmp subdate substr substring substring_index subtime sum sysdate system_user tan time time_format
    time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days to_seconds trim truncate ucase
    uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin
    validate_password_strength values var_pop var_samp variance version week weekday weekofyear weight_string year yearweek
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping any_value
    md5 sha sha1 is_uuid ps_current_thread_id ps_thread_id statement_digest statement_digest_text
    st_area st_asgeojson st_astext st_aswkt st_asbinary st_buffer st_centroid st_contains st_distance st_distance_sphere st_geomfromtext
    st_geomfromgeojson st_intersects st_within st_x st_y st_srid point linestring polygon st_latitude st_longitude mbrcontains
    """.split()
)
PURE_MYSQL = _COMMON
PURE_MARIADB = _COMMON
PURE_SQLITE = frozenset(
    """
    abs avg ceil ceiling changes char coalesce concat concat_ws count cume_dist date datetime degrees dense_rank exp first_value floor
    format glob group_concat hex ifnull iif instr json json_array json_array_length json_each json_extract
    json_group_array json_group_object json_insert json_object json_patch json_pretty json_quote json_remove
    json_replace json_set json_tree json_type json_valid julianday lag last_insert_rowid last_value lead length like likelihood
    likely ln log log10 log2 lower ltrim max min mod nth_value ntile nullif octet_length percent_rank pi pow power printf
    quote radians random randomblob rank replace round row_number rtrim sign sin soundex sqlite_compileoption_get
    sqlite_compileoption_used sqlite_source_id sqlite_version sqrt strftime string_agg substr substring sum tan time timediff total
    total_changes trim trunc typeof unhex unicode unixepoch unlikely upper zeroblob
    """.split()
)
SINCE: dict[str, int] = {}
REMOVED: dict[str, int] = {"md5": 90600, "sha": 90600, "sha1": 90600}
