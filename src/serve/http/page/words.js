// What things are called and what they mean, for somebody who sees them for the first time.

/** The insights in the order in which they are shown. */
export const INSIGHTS = {
    top_songs_this_week: {
        title: "Top songs of the week",
        meaning: ({ week }) => `The most played songs of one week, Monday to Sunday${week ? `: ${week}` : ""}.`,
    },
    user_favorite_genres: {
        title: "Favourite genres",
        meaning: () => "The genre that each listener plays most; several if they tie.",
    },
    genre_loyalty_scores: {
        title: "Loyal listeners",
        meaning: () => "Listeners with most of their plays in one genre: more than 80 % of them, or what the settings say.",
    },
    happy_recommendations: {
        title: "Happy songs for sad listeners",
        meaning: () => "For listeners who play sad songs: the most played happy songs that they have never heard.",
    },
    night_owl_users: {
        title: "Night owls",
        meaning: ({ night, zone }) => `Listeners with plays at night${night ? `, from ${night.from} to ${night.to} in ${zone}` : ""}.`,
    },
    avg_listen_time_per_song: {
        title: "Average listening time",
        meaning: () => "For how many seconds a song is listened to, as the mean of all its plays.",
    },
    enriched_logs: {
        title: "All plays",
        meaning: () => "Every play of a known song with the title, artist, genre and mood of the song, latest arrivals first.",
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
    byte_offset: "At byte",
    raw: "The line as it is",
};

/** A column's name in plain words. */
export function column(name) {
    return COLUMNS[name] ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");
}

const REASONS = {
    line_too_long: "the line is too long",
    nul_tail: "the line ends in NUL bytes, as after a crash",
    nul_byte: "a NUL byte in the line",
    invalid_utf8: "not UTF-8",
    bare_cr: "a carriage return inside the line",
    bad_quote: "text after a closing quote",
    unclosed_quote: "a quote that is never closed",
    field_count: "more or fewer fields than the header has",
    empty_field: "a listener, song or other field is empty",
    field_too_long: "a listener or song of more than 4 KiB",
    bad_timestamp: "the time cannot be read",
    dst_gap: "a local time that the clocks skipped",
    timestamp_range: "before 1970, or too far in the future",
    negative_duration: "a negative duration",
    bad_number: "the duration is not a number",
    overflow: "a number that is too large",
    duration_range: "a duration of more than a day",
    continued_after_eof: "bytes behind a last line that had counted as ended",
    encoding_utf16: "the file is UTF-16, not UTF-8",
    not_csv: "the file is not a CSV log",
    no_newline: "the file has no line ends",
    duplicate_column: "the header has a column twice",
    wrong_delimiter: "the file is not separated by commas",
    missing_header: "the file has no header",
    missing_column: "the header lacks a column",
    gz_corrupt: "the .gz file is damaged",
    zst_corrupt: "the .zst file is damaged",
    gz_ratio: "the .gz file unpacks to far too much",
    too_many_bad_lines: "too many bad lines, the rest of the file is left out",
};

/** Why a row was rejected, in plain words. */
export function reason(code) {
    return REASONS[code] ?? code.replaceAll("_", " ");
}
