//! Words of charts: counts, and text that comes from data.

use unicode_width::UnicodeWidthChar;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noun {
    /// The word for one.
    pub one: &'static str,
    /// The word for many.
    pub many: &'static str,
}

/// Plays.
pub const PLAYS: Noun = Noun { one: "play", many: "plays" };
/// Listeners.
pub const LISTENERS: Noun = Noun { one: "listener", many: "listeners" };
/// Songs.
pub const SONGS: Noun = Noun { one: "song", many: "songs" };

impl Noun {
    /// So many of it, in words.
    pub fn counted(self, number: u64) -> String {
        format!("{} {}", count(number), if number == 1 { self.one } else { self.many })
    }
}

/// A number with commas between its thousands.
pub fn count(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// A share in percent with one digit behind the point, rounded from integers.
pub fn percent(part: u64, whole: u64) -> String {
    let whole = u128::from(whole.max(1));
    let tenths = (u128::from(part) * 2000 + whole) / (2 * whole);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Stands for what no document may hold or nobody should see at work.
const REPLACED: char = '\u{fffd}';

/// Text as a document may hold it: characters that XML forbids are replaced, and so are those that
/// turn the direction of the text around them, which could make a name look like another.
pub fn clean(text: &str) -> String {
    text.chars()
        .map(|char| match char {
            '\t' | '\n' | '\r' => ' ',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}' => REPLACED,
            char if char.is_control() => REPLACED,
            char => char,
        })
        .collect()
}

/// Cuts clean text to a width, given in units of the font's size, with an ellipsis.
pub(super) fn cut(text: &str, width: f64) -> String {
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

/// The width of a text, about: nobody knows the font that it will be shown in.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().map(advance).sum()
}

/// How far a character moves the next one in a common font without serifs; rather too far.
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
    fn text_is_cut_between_characters() {
        assert_eq!(cut("short", 10.0), "short");
        assert_eq!(cut("a long name indeed", 5.0), "a long n…");
        assert_eq!(cut("長い名前の歌はここで終わる", 6.0), "長い名前…");
        assert!(width_of(&cut(&"é̂".repeat(50), 9.0)) <= 9.0);
    }

    #[test]
    fn what_xml_forbids_and_what_turns_text_around_is_replaced() {
        assert_eq!(clean("a\0b\u{1b}c\u{202e}d\u{2066}e\u{ffff}\tf\u{85}"), "a�b�c�d�e� f�");
        assert_eq!(clean("שלום & <b>"), "שלום & <b>");
    }
}
