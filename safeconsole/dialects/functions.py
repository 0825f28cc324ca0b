"""Native functions of MySQL and MariaDB: pure, dangerous, or not examined.

The lists of MySQL and MariaDB come from the servers: `python -m tests.differential.native_functions`
offers a server every word of its own binary as a function and compares the answers with these.

Source: MySQL 9.7.4 and MariaDB 10.11.18, asked; versions before and after them by their manuals.
"""

from __future__ import annotations

from safeconsole.sqltext.vocabulary import words

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
    "load_extension": "loads-code",
    "readfile": "reads-server-file",
    "writefile": "server-file",
    "edit": "loads-code",
    "fts3_tokenizer": "loads-code",
    "wsrep_sync_wait_upto_gtid": "waits-for-replication",
}
"""Native functions that are not pure, and the id of their danger."""

WITHHELD = words(
    """
    binary binlog_gtid_pos can_access_column can_access_database can_access_event can_access_resource_group
    can_access_routine can_access_table can_access_trigger can_access_user can_access_view character
    concat_operator_oracle convert_cpu_id_mask convert_interval_to_user_interval decode_oracle
    get_dd_column_privileges get_dd_create_options get_dd_index_private_data get_dd_index_sub_part_length
    get_dd_property_key_value get_dd_schema_options get_dd_tablespace_private_data get_jdv_property_key_value
    internal_auto_increment internal_avg_row_length internal_check_time internal_checksum internal_data_free
    internal_data_length internal_dd_char_length internal_get_comment_or_error internal_get_dd_column_extra
    internal_get_enabled_role_json internal_get_hostname internal_get_mandatory_roles_json
    internal_get_partition_nodegroup internal_get_username internal_get_view_warning_or_error
    internal_index_column_cardinality internal_index_length internal_is_enabled_role internal_is_mandatory_role
    internal_keys_disabled internal_max_data_length internal_table_rows internal_tablespace_autoextend_size
    internal_tablespace_data_free internal_tablespace_extent_size internal_tablespace_extra
    internal_tablespace_free_extents internal_tablespace_id internal_tablespace_initial_size
    internal_tablespace_logfile_group_name internal_tablespace_logfile_group_number
    internal_tablespace_maximum_size internal_tablespace_row_format internal_tablespace_status
    internal_tablespace_total_extents internal_tablespace_type internal_tablespace_version internal_update_time
    internal_use_terminology_previous is_visible_dd_object lpad_oracle ltrim_oracle not remove_dd_property_key
    replace_oracle rpad_oracle rtrim_oracle substr_oracle trim_oracle version_with_update
    """
)
"""Native names that are no functions for people: internal to system views, operators, or reading logs."""

PURE_MYSQL = words(
    """
    abs acos adddate addtime aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg bin bin_to_uuid bit_and
    bit_count bit_length bit_or bit_xor cast ceil ceiling char char_length character_length charset coalesce
    coercibility collation compress concat concat_ws connection_id conv convert convert_tz cos cot count crc32
    cube cume_dist curdate current_date current_role current_role_in current_time current_timestamp current_user
    current_user_in curtime database date date_add date_format date_sub datediff datetime day dayname dayofmonth
    dayofweek dayofyear default degrees dense_rank elt etag exp export_set extract extractvalue field find_in_set
    first_value floor format format_bytes format_pico_time found_rows from_base64 from_days from_unixtime
    from_vector geomcollection geometrycollection get_format greatest group_concat grouping gtid_subset
    gtid_subtract hex hour icu_version if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval
    is_free_lock is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_used_lock is_uuid isnull json_array
    json_array_append json_array_insert json_arrayagg json_contains json_contains_path json_depth json_extract
    json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve json_object json_objectagg
    json_overlaps json_pretty json_quote json_remove json_replace json_schema_valid json_schema_validation_report
    json_search json_set json_storage_free json_storage_size json_table json_type json_unquote json_valid
    json_value lag last_day last_insert_id last_value lcase lead least left length linestring ln localtime
    localtimestamp locate log log10 log2 lower lpad ltrim make_set makedate maketime max mbrcontains mbrcoveredby
    mbrcovers mbrdisjoint mbrequals mbrintersects mbroverlaps mbrtouches mbrwithin md5 microsecond mid min minute
    mod month monthname multilinestring multipoint multipolygon name_const nchar now nth_value ntile nullif oct
    octet_length ord percent_rank period_add period_diff pi point polygon position pow power ps_current_thread_id
    ps_thread_id qualify quarter quote radians rand random_bytes rank regexp_instr regexp_like regexp_replace
    regexp_substr repeat replace reverse right roles_graphml rollup round row row_count row_number rpad rtrim
    schema sec_to_time second session_user sha sha1 sha2 sign sin soundex space sql_tsi_day sql_tsi_hour
    sql_tsi_minute sql_tsi_month sql_tsi_quarter sql_tsi_second sql_tsi_week sql_tsi_year sqrt st_area
    st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_buffer_strategy st_centroid st_collect
    st_contains st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere
    st_endpoint st_envelope st_equals st_exteriorring st_frechetdistance st_geohash st_geomcollfromtext
    st_geomcollfromtxt st_geomcollfromwkb st_geometrycollectionfromtext st_geometrycollectionfromwkb
    st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext
    st_geomfromwkb st_hausdorffdistance st_interiorringn st_intersection st_intersects st_isclosed st_isempty
    st_issimple st_isvalid st_latfromgeohash st_latitude st_length st_linefromtext st_linefromwkb
    st_lineinterpolatepoint st_lineinterpolatepoints st_linestringfromtext st_linestringfromwkb
    st_longfromgeohash st_longitude st_makeenvelope st_mlinefromtext st_mlinefromwkb st_mpointfromtext
    st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb
    st_multipointfromtext st_multipointfromwkb st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries
    st_numinteriorring st_numinteriorrings st_numpoints st_overlaps st_pointatdistance st_pointfromgeohash
    st_pointfromtext st_pointfromwkb st_pointn st_polyfromtext st_polyfromwkb st_polygonfromtext
    st_polygonfromwkb st_simplify st_srid st_startpoint st_swapxy st_symdifference st_touches st_transform
    st_union st_validate st_within st_x st_y statement_digest statement_digest_text std stddev stddev_pop
    stddev_samp str_to_date strcmp string_to_vector subdate substr substring substring_index subtime sum sysdate
    system_user tan time time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_days
    to_seconds to_vector trim truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper
    user utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin validate_password_strength var_pop var_samp
    variance vector_dim vector_to_string version week weekday weekofyear weight_string year yearweek
    """
)
"""Pure in MySQL and Aurora MySQL; among them words of the grammar that no stored function can answer to unquoted."""

PURE_MARIADB = words(
    """
    abs acos add_months adddate addtime aes_decrypt aes_encrypt area asbinary ascii asin astext aswkb aswkt atan
    atan2 avg bin bit_and bit_count bit_length bit_or bit_xor boundary buffer cast ceil ceiling centroid char
    char_length character_length charset chr coalesce coercibility collation column_add column_check
    column_create column_delete column_exists column_get column_json column_list compress concat concat_ws
    connection_id contains conv convert convert_tz convexhull cos cot count crc32 crc32c crosses cume_dist
    curdate current_date current_role current_time current_timestamp current_user curtime database date date_add
    date_format date_sub datediff datetime day dayname dayofmonth dayofweek dayofyear decode decode_histogram
    degrees dense_rank des_decrypt des_encrypt dimension disjoint elt encode encrypt endpoint envelope equals exp
    export_set exteriorring extract extractvalue field find_in_set first_value floor format format_bytes
    format_pico_time found_rows from_base64 from_days from_unixtime geomcollfromtext geomcollfromwkb geometrycollection
    geometrycollectionfromtext geometrycollectionfromwkb geometryfromtext geometryfromwkb geometryn geometrytype
    geomfromtext geomfromwkb get_format glength greatest group_concat hex hour if ifnull inet6_aton inet6_ntoa
    inet_aton inet_ntoa insert instr interiorringn intersects interval is_free_lock is_ipv4 is_ipv4_compat
    is_ipv4_mapped is_ipv6 is_used_lock isclosed isempty isnull isring issimple json_array json_array_append
    json_array_insert json_array_intersect json_arrayagg json_compact json_contains json_contains_path json_depth
    json_detailed json_equals json_exists json_extract json_insert json_key_value json_keys json_length
    json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object json_object_filter_keys
    json_object_to_array json_objectagg json_overlaps json_pretty json_query json_quote json_remove json_replace
    json_schema_valid json_search json_set json_table json_type json_unquote json_valid json_value kdf lag
    last_day last_insert_id last_value lastval lcase lead least left length lengthb linefromtext linefromwkb
    linestring linestringfromtext linestringfromwkb ln localtime localtimestamp locate log log10 log2 lower lpad
    ltrim make_set makedate maketime max mbrcontains mbrdisjoint mbrequal mbrequals mbrintersects mbroverlaps
    mbrtouches mbrwithin md5 median microsecond mid min minute mlinefromtext mlinefromwkb mod month monthname
    mpointfromtext mpointfromwkb mpolyfromtext mpolyfromwkb multilinestring multilinestringfromtext
    multilinestringfromwkb multipoint multipointfromtext multipointfromwkb multipolygon multipolygonfromtext
    multipolygonfromwkb name_const natural_sort_key nchar now nth_value ntile nullif numgeometries
    numinteriorrings numpoints nvl nvl2 oct octet_length old_password ord overlaps password percent_rank
    percentile_cont percentile_disc period_add period_diff pi point pointfromtext pointfromwkb pointn
    pointonsurface polyfromtext polyfromwkb polygon polygonfromtext polygonfromwkb position pow power quarter
    quote radians rand random_bytes rank regexp_instr regexp_replace regexp_substr repeat replace reverse right
    round row row_count row_number rownum rpad rtrim schema sec_to_time second session_user sformat sha sha1 sha2
    sign sin soundex space sql_tsi_day sql_tsi_hour sql_tsi_minute sql_tsi_month sql_tsi_second sql_tsi_year sqrt
    srid st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_boundary st_buffer st_centroid
    st_contains st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere
    st_endpoint st_envelope st_equals st_exteriorring st_geomcollfromtext st_geomcollfromwkb
    st_geometrycollectionfromtext st_geometrycollectionfromwkb st_geometryfromtext st_geometryfromwkb
    st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb st_interiorringn
    st_intersection st_intersects st_isclosed st_isempty st_isring st_issimple st_length st_linefromtext
    st_linefromwkb st_linestringfromtext st_linestringfromwkb st_mlinefromtext st_mlinefromwkb st_mpointfromtext
    st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb st_multilinestringfromtext st_multilinestringfromwkb
    st_multipointfromtext st_multipointfromwkb st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries
    st_numinteriorrings st_numpoints st_overlaps st_pointfromtext st_pointfromwkb st_pointn st_pointonsurface
    st_polyfromtext st_polyfromwkb st_polygonfromtext st_polygonfromwkb st_relate st_srid st_startpoint
    st_symdifference st_touches st_union st_within st_x st_y startpoint std stddev stddev_pop stddev_samp
    str_to_date strcmp subdate substr substring substring_index subtime sum sys_guid sysdate system_user tan time
    time_format time_to_sec timediff timestamp timestampadd timestampdiff to_base64 to_char to_days to_seconds
    touches trim truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date
    utc_time utc_timestamp uuid uuid_short uuid_v4 uuid_v7 value var_pop var_samp variance vec_distance
    vec_distance_cosine vec_distance_euclidean vec_fromtext vec_totext version week weekday weekofyear
    weight_string within wsrep_last_seen_gtid wsrep_last_written_gtid x y year yearweek
    """
)
"""Pure in MariaDB; as PURE_MYSQL."""

SINCE_MYSQL: dict[str, int] = {
    name: version
    for version, names in {
        50722: """
            json_arrayagg json_merge_patch json_merge_preserve json_objectagg json_pretty
            json_storage_size
        """,
        80000: """
            bin_to_uuid cume_dist current_role dense_rank first_value geomcollection grouping
            icu_version is_uuid json_storage_free json_table lag last_value lead nth_value ntile
            percent_rank rank regexp_instr regexp_like regexp_replace regexp_substr roles_graphml
            row_number statement_digest statement_digest_text uuid_to_bin
        """,
        80012: """
            st_latitude st_longitude
        """,
        80013: """
            st_transform
        """,
        80016: """
            format_bytes format_pico_time ps_current_thread_id ps_thread_id
        """,
        80017: """
            json_overlaps json_schema_valid json_schema_validation_report
        """,
        80018: """
            st_geomcollfromtxt st_swapxy st_validate
        """,
        80021: """
            json_value
        """,
        80023: """
            st_frechetdistance st_hausdorffdistance
        """,
        80024: """
            st_collect st_lineinterpolatepoint st_lineinterpolatepoints st_pointatdistance
        """,
        90000: """
            from_vector string_to_vector to_vector vector_dim vector_to_string
        """,
        90400: """
            etag
        """,
        90704: """
            cube current_role_in current_user_in qualify rollup
        """,
    }.items()
    for name in names.split()
}
"""The version that brought a function; before it the name is free for a stored one."""

SINCE_MARIADB: dict[str, int] = {
    name: version
    for version, names in {
        100200: """
            cume_dist dense_rank first_value json_array json_array_append json_array_insert json_compact
            json_contains json_contains_path json_depth json_detailed json_exists json_extract
            json_insert json_keys json_length json_loose json_merge json_object json_query json_quote
            json_remove json_replace json_search json_set json_type json_unquote json_valid json_value
            lag last_value lead nth_value ntile percent_rank rank row_number
        """,
        100300: """
            chr json_merge_patch json_merge_preserve lengthb median nvl nvl2
        """,
        100400: """
            wsrep_last_seen_gtid wsrep_last_written_gtid
        """,
        100500: """
            json_arrayagg json_objectagg
        """,
        100600: """
            add_months json_table rownum sys_guid to_char
        """,
        100700: """
            json_equals json_normalize natural_sort_key sformat
        """,
        100800: """
            crc32c
        """,
        100900: """
            json_overlaps
        """,
        101000: """
            random_bytes
        """,
        110000: """
            format_pico_time
        """,
        110100: """
            json_schema_valid
        """,
        110200: """
            json_array_intersect json_key_value json_object_filter_keys json_object_to_array
        """,
        110300: """
            kdf
        """,
        110700: """
            uuid_v4 uuid_v7 vec_distance vec_distance_cosine vec_distance_euclidean vec_fromtext
            vec_totext
        """,
        110800: """
            format_bytes
        """,
    }.items()
    for name in names.split()
}
"""As SINCE_MYSQL."""

REMOVED_MYSQL: dict[str, int] = {"md5": 90600, "sha": 90600, "sha1": 90600}
"""The version that took a function away, after which the name is a loadable or a stored one."""

SYS_FUNCTIONS = words(
    """
    extract_schema_from_file_name extract_table_from_file_name format_bytes format_path format_statement
    format_time list_add list_drop quote_identifier version_major version_minor version_patch
    """
)
"""Functions of the schema sys that only format; they belong to the server, and need a DBA to change."""
