"""Functions that a question of a user may call: by name, so that one that DuckDB adds is not among
them until somebody has looked.

None reads files, the network, the settings, other processes or pointers, none writes or waits, and
none makes much of little: a text repeated a billion times is one step that nothing interrupts.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATORS = _names(
    """! !~~ !~~* % & && * ** + - ->> / // < <-> << <= <=> <@ = > >= >> @ @> ^ ^@ | || ~ ~~ ~~* ~~~
    like_escape not_like_escape ilike_escape not_ilike_escape"""
)

CONDITIONS = _names(
    """abs array_contains array_has ascii cbrt ceil ceiling char_length character_length coalesce
    concat concat_ws contains date_diff date_part date_trunc datediff datepart datetrunc day dayname
    dayofmonth dayofweek dayofyear ends_with even exp floor greatest hour if ifnull instr isfinite
    isinf isnan isodow isoyear last_day lcase least left len length list_contains list_has ln log
    log10 log2 lower ltrim make_date map_contains map_extract map_extract_value map_keys map_values
    element_at minute mod month monthname nfc_normalize nullif ord position pow power prefix quarter
    regexp_extract regexp_full_match regexp_matches replace reverse right round rtrim second sign
    split_part sqrt starts_with strftime string_split strip_accents strlen strpos strptime substr
    substring suffix trim trunc try_strptime ucase unicode upper week weekday weekofyear year"""
)
"""Pure ones of single values: what the condition of a recipe may call."""

QUERIES = (
    OPERATORS
    | CONDITIONS
    | _names(
        """age aggregate apply array_agg array_aggr array_aggregate array_apply array_cat
        array_concat array_distance array_distinct array_extract array_filter array_has_all
        array_has_any array_indexof array_inner_product array_intersect array_length array_position
        array_reduce array_reverse array_reverse_sort array_select array_slice array_sort
        array_to_json array_to_string array_transform array_unique array_value array_zip bar
        bit_count cardinality century chr current_date current_timestamp damerau_levenshtein
        date_add date_sub days_in_month decade epoch epoch_ms epoch_us era error factorial filter
        flatten format formatreadablesize format_bytes from_hex from_json hamming hash hex jaccard
        jaro_similarity jaro_winkler_similarity json json_array json_array_length json_contains
        json_each json_exists json_extract json_extract_path json_extract_path_text
        json_extract_string json_group_array json_group_object json_keys json_object json_pretty
        json_quote json_type json_valid json_value julian levenshtein list_aggr list_aggregate
        list_any_value list_append list_apply list_avg list_cat list_concat list_count list_distance
        list_distinct list_element list_extract list_filter list_first list_has_all list_has_any
        list_indexof list_inner_product list_intersect list_last list_max list_median list_min
        list_mode list_pack list_position list_prepend list_reduce list_reverse list_reverse_sort
        list_select list_slice list_sort list_sum list_transform list_unique list_value list_where
        list_zip make_timestamp map map_concat map_entries map_from_entries md5 microsecond
        millisecond now placed random range_boundary reduce regexp_escape regexp_extract_all
        regexp_replace regexp_split_to_array round_even row row_to_json sha256 split str_split
        string_split_regex string_to_array struct_concat struct_extract struct_extract_at
        struct_insert struct_pack struct_values substring_grapheme time_bucket timezone to_days
        to_hours to_json to_milliseconds to_minutes to_months to_seconds to_timestamp to_weeks
        to_years today transaction_timestamp get_current_timestamp translate typeof unnest
        url_decode url_encode any_value approx_count_distinct approx_quantile approx_top_k arbitrary
        arg_max arg_max_null arg_min arg_min_null argmax argmin avg bit_and bit_or bit_xor bool_and
        bool_or corr count count_if count_star countif covar_pop covar_samp entropy favg first fsum
        geomean geometric_mean group_concat histogram kurtosis last list listagg mad max max_by mean
        median min min_by mode product quantile quantile_cont quantile_disc regr_intercept regr_r2
        regr_slope sem skewness stddev stddev_pop stddev_samp string_agg sum sumkahan var_pop
        var_samp variance views_version wavg weighted_avg cume_dist dense_rank fill first_value lag
        last_value lead nth_value ntile percent_rank rank rank_dense row_number"""
    )
)
"""What `voxdata query` may call."""

TABLES = _names(
    """duckdb_columns duckdb_constraints duckdb_functions duckdb_tables duckdb_types duckdb_views
    generate_series json_each json_tree pragma_show pragma_table_info range repeat unnest"""
)
"""Functions that `voxdata query` may read from."""
