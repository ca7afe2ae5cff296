//! The encoding of text files.

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;

use encoding_rs::{Encoding, UTF_8};

use crate::model::value::written_as;

/// The encoding of logs: UTF-8, or an encoding with one byte per character. All of these encodings contain
/// ASCII, so line ends and delimiters are the same bytes in each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextEncoding(&'static Encoding);

impl TextEncoding {
    /// UTF-8.
    pub const UTF_8: Self = Self(UTF_8);

    /// Whether this is UTF-8.
    pub fn is_utf8(self) -> bool {
        self == Self::UTF_8
    }

    /// Decodes text. Bytes without a character in the encoding make it fail.
    ///
    /// # Errors
    /// The text in which these bytes are kept as they are. It is not valid UTF-8.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, [u8]>, Vec<u8>> {
        let as_bytes = |text| match text {
            Cow::Borrowed(text) => Cow::Borrowed(str::as_bytes(text)),
            Cow::Owned(text) => Cow::Owned(String::into_bytes(text)),
        };
        match self.0.decode_without_bom_handling_and_without_replacement(bytes) {
            Some(text) => Ok(as_bytes(text)),
            None if self.is_utf8() => Err(bytes.to_vec()),
            None => Err(self.decode_each_byte(bytes)),
        }
    }

    fn decode_each_byte(self, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(bytes.len() * 2);
        for byte in bytes.chunks(1) {
            match self.0.decode_without_bom_handling_and_without_replacement(byte) {
                Some(character) => text.extend_from_slice(character.as_bytes()),
                None => text.extend_from_slice(byte),
            }
        }
        text
    }
}

impl Default for TextEncoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl FromStr for TextEncoding {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoding = Encoding::for_label(text.as_bytes());
        encoding.filter(|encoding| *encoding == UTF_8 || encoding.is_single_byte()).map(Self).ok_or(
            "expected `utf-8` or an encoding with one byte per character, such as `windows-1252`; \
             UTF-16 files with a byte order mark are always recognized",
        )
    }
}

impl Display for TextEncoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.name().to_ascii_lowercase())
    }
}

written_as!(TextEncoding, "examples": ["utf-8", "windows-1252", "iso-8859-2"]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_encodings_with_one_byte_per_character_are_accepted() {
        for (label, name) in [
            ("utf-8", "utf-8"),
            ("UTF8", "utf-8"),
            ("windows-1252", "windows-1252"),
            ("latin1", "windows-1252"),
            ("ISO-8859-2", "iso-8859-2"),
            ("koi8-r", "koi8-r"),
        ] {
            assert_eq!(label.parse::<TextEncoding>().unwrap().to_string(), name);
        }
        for label in ["utf-16le", "shift_jis", "gbk", "replacement", "nonsense", ""] {
            assert!(label.parse::<TextEncoding>().is_err(), "{label}");
        }
    }

    #[test]
    fn bytes_without_a_character_are_kept() {
        let western: TextEncoding = "windows-1252".parse().unwrap();
        assert_eq!(western.decode(b"Caf\xe9 \x80").unwrap(), "Café €".as_bytes());
        let greek: TextEncoding = "windows-1253".parse().unwrap();
        assert_eq!(greek.decode(b"\xe1\xd2x").unwrap_err(), [b"\xce\xb1".as_slice(), b"\xd2x"].concat());
        assert!(TextEncoding::UTF_8.decode(b"\xff").is_err());
    }
}
