//! The character that separates fields.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The field separator, one ASCII character. It is set by `input.delimiter`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The default delimiter, a comma.
    pub const COMMA: Self = Self(b',');
    /// The delimiter of `.tsv` files.
    pub const TAB: Self = Self(b'\t');

    /// The character as a byte.
    #[inline]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Whether it is a comma.
    pub fn is_comma(&self) -> bool {
        *self == Self::COMMA
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self::COMMA
    }
}

impl FromStr for Delimiter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let byte = match text.as_bytes() {
            b"tab" | b"\\t" => b'\t',
            &[byte] => byte,
            _ => return Err("expected one ASCII character, or `tab`"),
        };
        // These characters end lines, quote fields, or occur in column names, timestamps or numbers.
        let reserved = byte.is_ascii_alphanumeric() || b"\"\r\n\0 _-+:.".contains(&byte);
        if reserved { Err("not allowed as a delimiter; use `,`, `;`, `|` or `tab`") } else { Ok(Self(byte)) }
    }
}

/// Prints the delimiter in the form that [`FromStr`] parses.
impl fmt::Display for Delimiter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => formatter.write_str("tab"),
            byte => write!(formatter, "{}", char::from(byte)),
        }
    }
}

impl TryFrom<String> for Delimiter {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_without_another_meaning_are_delimiters() {
        for (text, byte) in
            [(",", b','), (";", b';'), ("|", b'|'), ("tab", b'\t'), ("\\t", b'\t'), ("\x1f", 0x1f)]
        {
            let delimiter: Delimiter = text.parse().unwrap();
            assert_eq!(delimiter.byte(), byte);
            assert_eq!(delimiter.to_string().parse(), Ok(delimiter));
        }
        for text in
            ["", ";;", "é", "\"", "\r", "\n", "\0", " ", "a", "Z", "7", "_", "-", "+", ":", ".", "tabs"]
        {
            assert!(text.parse::<Delimiter>().is_err(), "{text:?}");
        }
    }
}
