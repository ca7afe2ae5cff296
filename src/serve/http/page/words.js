// Titles and descriptions of insights, columns and reject reasons, for first-time readers.

/** The insights, in display order. */
export const INSIGHTS = {
    top_songs_this_week: {
        title: "Top songs of the week",
        meaning: ({ week }) => `The most played songs of one week, Monday to Sunday${week ? `: ${week}` : ""}.`,
    },
    user_favorite_genres: {
        title: "Favourite genres",
        meaning: () => "The most played genre of each listener, or several if they tie.",
    },
    genre_loyalty_scores: {
        title: "Loyal listeners",
        meaning: () => "Listeners with more than 80 % of their plays in one genre. The settings can change this threshold.",
    },
    happy_recommendations: {
        title: "Happy songs for sad listeners",
        meaning: () => "For listeners of sad songs: the most played happy songs that they have never heard.",
    },
    night_owl_users: {
        title: "Night owls",
        meaning: ({ night, zone }) => `Listeners with plays at night${night ? `, from ${night.from} to ${night.to} in ${zone}` : ""}.`,
    },
    avg_listen_time_per_song: {
        title: "Average listening time",
        meaning: () => "Mean listening time of each song, in seconds, over all its plays.",
    },
    enriched_logs: {
        title: "All plays",
        meaning: () => "Every matched play, with title, artist, genre and mood of its song. Newest first.",
    },
};

const COLUMNS = {
    user_id: "Listener",
    song_id: "Song",
    play_count: "Plays",
    plays: "Plays",
    avg_duration: "Seconds per play",
    sad_count: "Sad plays",
    genre_plays: "Plays in the genre",
    total_plays: "All plays",
    loyalty_score: "Share",
    duration_sec: "Seconds",
    timestamp: "Time",
    byte_offset: "Byte offset",
    raw: "Original line",
};

/** The heading of a column. */
export function column(name) {
    return COLUMNS[name] ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
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
    continued_after_eof: "bytes were appended to a last line that already counted as complete",
    encoding_utf16: "the file is UTF-16, not UTF-8",
    not_csv: "the file is not a CSV log",
    no_newline: "the file has no line breaks",
    duplicate_column: "the header names a column twice",
    wrong_delimiter: "the file has a different delimiter",
    missing_header: "the file has no header",
    missing_column: "the header lacks a required column",
    gz_corrupt: "the .gz file is damaged",
    zst_corrupt: "the .zst file is damaged",
    gz_ratio: "the .gz file expands to far too much data",
    too_many_bad_lines: "too many bad lines; the rest of the file is skipped",
};

/** The description of a reject reason. */
export function reason(code) {
    return REASONS[code] ?? code.replaceAll("_", " ");
}
