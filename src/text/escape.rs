//! Converts bytes and paths to text for display, and parses the text of a path.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path as one line of text, for messages, rejects and the manifest.
///
/// ```
/// assert_eq!(music_insights::text::path_text("a\nb.csv".as_ref()), r"a\x0ab.csv");
/// ```
pub fn path_text(path: &Path) -> String {
    let mut text = String::new();
    for char in escape_bytes(path.as_os_str().as_bytes()).chars() {
        if char.is_ascii_control() {
            push_hex(&mut text, char as u8);
        } else {
            text.push(char);
        }
    }
    text
}

/// A path for a message or a terminal: [`path_text`] without any character that a terminal may obey.
///
/// ```
/// assert_eq!(music_insights::text::shown("a\u{1b}\u{9b}\u{202e}.csv".as_ref()), r"a\x1b\u{9b}\u{202e}.csv");
/// ```
pub fn shown(path: &Path) -> String {
    harmless(&path_text(path))
}

/// The inverse of [`path_text`].
///
/// ```
/// use music_insights::text::{parse_path, path_text};
/// assert_eq!(parse_path(&path_text("a\n\\b.csv".as_ref())), std::path::Path::new("a\n\\b.csv"));
/// ```
pub fn parse_path(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let hex = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        let (byte, len) = match (first, after.first(), hex(1), hex(2)) {
            (b'\\', Some(b'x'), Some(high), Some(low)) => ((high << 4 | low) as u8, 4),
            (b'\\', Some(b'\\'), ..) => (b'\\', 2),
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[len..];
    }
    OsString::from_vec(bytes).into()
}

fn push_hex(out: &mut String, byte: u8) {
    out.push_str("\\x");
    for half in [byte >> 4, byte & 15] {
        out.push(char::from(b"0123456789abcdef"[usize::from(half)]));
    }
}

/// Converts bytes to UTF-8 text without loss. A byte that is not UTF-8 becomes `\xNN`, and a backslash
/// becomes `\\`.
///
/// ```
/// assert_eq!(music_insights::text::escape_bytes(b"a\\b\xff"), r"a\\b\xff");
/// ```
pub fn escape_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for part in bytes.utf8_chunks() {
        for char in part.valid().chars() {
            if char == '\\' {
                out.push('\\');
            }
            out.push(char);
        }
        for byte in part.invalid() {
            push_hex(&mut out, *byte);
        }
    }
    out
}

/// Makes text from an untrusted source safe for a terminal. The result is one line. Characters that move the
/// cursor, change colours or reverse the direction of text are escaped.
///
/// ```
/// assert_eq!(music_insights::text::harmless("a\u{1b}[31m\u{202e}b\n"), r"a\u{1b}[31m\u{202e}b\n");
/// ```
pub fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() || changes_layout(char) {
            out.extend(char.escape_default());
        } else {
            out.push(char);
        }
    }
    out
}

/// Whether a character ends the line or changes the direction of text.
fn changes_layout(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
