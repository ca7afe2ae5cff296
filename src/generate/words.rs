//! Names for songs and artists, put together from a few words.

const HOW: [&str; 32] = [
    "Amber", "Broken", "Crimson", "Distant", "Electric", "Fading", "Gentle", "Hollow", "Idle", "Jaded",
    "Kind", "Lonely", "Midnight", "Neon", "Open", "Paper", "Quiet", "Restless", "Silver", "Tender", "Upside",
    "Velvet", "Wild", "Young", "Burning", "Frozen", "Golden", "Hidden", "Little", "Northern", "Secret",
    "Slow",
];

const WHAT: [&str; 32] = [
    "Anchor",
    "Bridge",
    "City",
    "Dream",
    "Echo",
    "Fire",
    "Garden",
    "Harbor",
    "Island",
    "Journey",
    "Kite",
    "Light",
    "Mirror",
    "Night",
    "Ocean",
    "Planet",
    "Question",
    "River",
    "Shadow",
    "Train",
    "Umbrella",
    "Valley",
    "Window",
    "Yesterday",
    "Engine",
    "Feather",
    "Letter",
    "Meadow",
    "Mountain",
    "Summer",
    "Thunder",
    "Winter",
];

/// Names that are more than ASCII: two, three and four bytes a character, right to left, and a combining mark.
const FAR: [&str; 16] = [
    "Água e Sal",
    "Mañana Quizás",
    "Für später",
    "Été à Montréal",
    "Łódź nocą",
    "Çiçekler",
    "Øresund",
    "Ночной поезд",
    "Θάλασσα",
    "夜の歌",
    "春天的雨",
    "서울의 밤",
    "ليل طويل",
    "שיר ערב",
    "Cafe\u{301} Noir",
    "🌙 Moonchild",
];

fn pick<'a, const N: usize>(list: &[&'a str; N], bits: u64) -> &'a str {
    list[(bits % N as u64) as usize]
}

/// Writes the title that belongs to a hash; commas, quotes and letters beyond ASCII occur.
pub(super) fn title(hash: u64, out: &mut String) {
    let (how, what, other) = (pick(&HOW, hash), pick(&WHAT, hash >> 8), pick(&WHAT, hash >> 16));
    let parts = match (hash >> 32) % 32 {
        0..2 => [what, ", My ", other],
        2..4 => ["The \"", how, "\" Song"],
        4..7 => [pick(&FAR, hash >> 24), "", ""],
        7..12 => [what, " of ", other],
        12..15 => [how, " ", "Love (Live)"],
        _ => [how, " ", what],
    };
    out.extend(parts);
}

/// Writes the name of the artist that belongs to a hash.
pub(super) fn artist(hash: u64, out: &mut String) {
    let (how, what, other) = (pick(&HOW, hash), pick(&WHAT, hash >> 8), pick(&WHAT, hash >> 16));
    let parts = match (hash >> 32) % 32 {
        0 => [what, ", ", "Sons & Co."],
        1 => ["\"", how, "\" Joe"],
        2 => ["Señor ", what, ""],
        3..12 => ["The ", how, " Ones"],
        12..20 => [what, " & ", other],
        _ => [how, " ", what],
    };
    out.extend(parts);
}
