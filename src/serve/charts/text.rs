//! Text in charts: counts with nouns, and strings from the data.

use unicode_width::UnicodeWidthChar;

/// The name of a unit, in singular and plural.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noun {
    /// Singular.
    pub one: &'static str,
    /// Plural.
    pub many: &'static str,
}

/// For counts of plays.
pub const PLAYS: Noun = Noun { one: "play", many: "plays" };
/// For counts of listeners.
pub const LISTENERS: Noun = Noun { one: "listener", many: "listeners" };
/// For counts of songs.
pub const SONGS: Noun = Noun { one: "song", many: "songs" };

impl Noun {
    /// A count with its noun: `1 play`, `1,235 plays`.
    pub fn counted(self, number: u64) -> String {
        format!("{} {}", count(number), if number == 1 { self.one } else { self.many })
    }
}

/// A number with commas between the thousands.
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A percentage with one decimal place: `33.3 %`. Integer arithmetic ensures that the percentage is rounded
/// only once.
pub fn percent(part: u64, whole: u64) -> String {
    let whole = u128::from(whole.max(1));
    let tenths = (u128::from(part) * 2000 + whole) / (2 * whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Stands for characters that are invalid in XML or misleading.
const REPLACEMENT: char = '\u{fffd}';

/// Replaces characters that XML forbids. Also replaces characters that change the direction of text, because
/// such characters can make one name look like another.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\t' | '\n' | '\r' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => REPLACEMENT,
            char if char.is_control() => REPLACEMENT,
            char => char,
        })
        .collect()
}

/// Shortens clean text to a width in em, with an ellipsis at the end.
pub(super) fn ellipsize(text: &str, width: f64) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut left = width - advance('…');
    let fits = |char: &char| {
        left -= advance(*char);
        left >= 0.0
    };
    let kept: String = text.chars().take_while(fits).collect();
    kept.trim_end().to_owned() + "…"
}

/// The approximate width of a text in em. The exact width is unknown, because it depends on the font of
/// the reader.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().map(advance).sum()
}

/// Width of a character in em, for common sans-serif fonts. The estimates tend to be too large.
fn advance(char: char) -> f64 {
    match char {
        'i' | 'j' | 'l' | '\'' | '.' | ',' | ':' | ';' | '|' | '!' | ' ' | 'I' => 0.32,
        'f' | 'r' | 't' | '(' | ')' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '—' | '…' => 1.0,
        'A'..='Z' | '&' => 0.74,
        char if char.is_ascii() => 0.6,
        char => {
            0.72_f64.max(0.55 * char.width().unwrap_or(0) as f64)
                * f64::from(u8::from(char.width() != Some(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_rounded_once() {
        assert_eq!(percent(1, 3), "33.3 %");
        assert_eq!(percent(2, 3), "66.7 %");
        assert_eq!(percent(0, 0), "0.0 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100.0 %");
    }

    #[test]
    fn text_is_shortened_between_characters() {
        assert_eq!(ellipsize("short", 10.0), "short");
        assert_eq!(ellipsize("a long name indeed", 5.0), "a long n…");
        assert_eq!(ellipsize("長い名前の歌はここで終わる", 6.0), "長い名前…");
        assert!(width_of(&ellipsize(&"é̂".repeat(50), 9.0)) <= 9.0);
    }

    #[test]
    fn forbidden_and_direction_characters_are_replaced() {
        assert_eq!(clean("a\0b\u{1b}c\u{202e}d\u{2066}e\u{ffff}\tf\u{85}"), "a�b�c�d�e� f�");
        assert_eq!(clean("שלום & <b>"), "שלום & <b>");
    }
}
