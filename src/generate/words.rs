//! Titles of songs and names of artists, combined from a few words.

const ADJECTIVES: [&str; 32] = [
    "Amber", "Broken", "Crimson", "Distant", "Electric", "Fading", "Gentle", "Hollow", "Idle", "Jaded",
    "Kind", "Lonely", "Midnight", "Neon", "Open", "Paper", "Quiet", "Restless", "Silver", "Tender", "Upside",
    "Velvet", "Wild", "Young", "Burning", "Frozen", "Golden", "Hidden", "Little", "Northern", "Secret",
    "Slow",
];

const NOUNS: [&str; 32] = [
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

/// Titles with characters of two, three and four bytes, right-to-left text and a combining mark.
const NON_ASCII: [&str; 16] = [
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

/// Appends the title for a hash. Some titles have commas, quotes or characters beyond ASCII.
pub(super) fn title(hash: u64, out: &mut String) {
    let (adjective, noun, other) =
        (pick(&ADJECTIVES, hash), pick(&NOUNS, hash >> 8), pick(&NOUNS, hash >> 16));
    let parts = match (hash >> 32) % 32 {
        0..2 => [noun, ", My ", other],
        2..4 => ["The \"", adjective, "\" Song"],
        4..7 => [pick(&NON_ASCII, hash >> 24), "", ""],
        7..12 => [noun, " of ", other],
        12..15 => [adjective, " ", "Love (Live)"],
        _ => [adjective, " ", noun],
    };
    out.extend(parts);
}

/// Appends the name of an artist for a hash.
pub(super) fn artist(hash: u64, out: &mut String) {
    let (adjective, noun, other) =
        (pick(&ADJECTIVES, hash), pick(&NOUNS, hash >> 8), pick(&NOUNS, hash >> 16));
    let parts = match (hash >> 32) % 32 {
        0 => [noun, ", ", "Sons & Co."],
        1 => ["\"", adjective, "\" Joe"],
        2 => ["Señor ", noun, ""],
        3..12 => ["The ", adjective, " Ones"],
        12..20 => [noun, " & ", other],
        _ => [adjective, " ", noun],
    };
    out.extend(parts);
}
