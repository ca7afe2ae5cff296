// Column headings and descriptions of reject reasons, for first-time readers.

/** The heading of a column without a title: the name of the column in plain words. */
export function column(name) {
    return (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
}

/** The title of an insight. In a period, the top songs are those of the period. */
export function insightTitle({ name, title }, isOfPeriod) {
    return isOfPeriod && name === "top_songs_this_week" ? "Top songs" : title;
}

const REASONS = {
    line_too_long: "the line is too long",
    nul_tail: "the line ends in NUL bytes, for example after a crash of the writer",
    nul_byte: "the line contains a NUL byte",
    invalid_utf8: "the line is not UTF-8",
    bare_cr: "the line contains a carriage return",
    bad_quote: "text follows a closing quote",
    unclosed_quote: "a quote is never closed",
    field_count: "the number of fields differs from the header",
    empty_field: "a required field is empty",
    field_too_long: "an id is longer than 4 KiB",
    bad_timestamp: "the time cannot be read",
    dst_gap: "the local time does not exist (clocks set forward)",
    timestamp_range: "the time is before 1970 or too far in the future",
    negative_duration: "the duration is negative",
    bad_number: "the duration is not a number",
    overflow: "a number is too large",
    duration_range: "the duration is longer than a day",
    continued_after_eof: "bytes were appended to the last line after it was counted as complete",
    encoding_utf16: "the file is UTF-16, not UTF-8",
    not_csv: "the file is not a CSV log",
    no_newline: "the file has no line breaks",
    duplicate_column: "the header names a column twice",
    wrong_delimiter: "the file uses a different delimiter",
    missing_header: "the file has no header",
    missing_column: "the header lacks a required column",
    gz_corrupt: "the .gz file is damaged",
    zst_corrupt: "the .zst file is damaged",
    gz_ratio: "the .gz file expands to far too much data",
    bz2_corrupt: "the .bz2 file is damaged",
    xz_corrupt: "the .xz file is damaged",
    parquet_corrupt: "the Parquet file is damaged",
    bad_json: "the line is not a JSON object with plain values",
    too_many_bad_lines: "too many bad lines; the rest of the file is skipped",
};

/** The description of a reject reason. */
export function reason(code) {
    return REASONS[code] ?? code.replaceAll("_", " ");
}
