//! The text of a JSON value.

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'t> {
    /// Missing or null.
    Missing,
    /// A string without escapes. It is a part of the line.
    Plain(&'t str),
    /// A string with escapes.
    Unescaped(String),
    /// A number as it is written.
    Number(&'t str),
}

impl<'t> Value<'t> {
    /// The value with this JSON text. `None` if the value is neither a string nor a number.
    pub(super) fn of(json: Option<&'t str>) -> Option<Self> {
        let Some(json) = json else { return Some(Self::Missing) };
        match json.as_bytes() {
            b"null" => Some(Self::Missing),
            [b'"', .., b'"'] => {
                let text = &json[1..json.len() - 1];
                if memchr::memchr(b'\\', text.as_bytes()).is_none() {
                    return Some(Self::Plain(text));
                }
                serde_json::from_str(json).ok().map(Self::Unescaped)
            }
            [b'-' | b'0'..=b'9', ..] => Some(Self::Number(json)),
            _ => None,
        }
    }

    /// The text of the value. Empty if the value is missing.
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Missing => &[],
            Self::Plain(text) | Self::Number(text) => text.as_bytes(),
            Self::Unescaped(text) => text.as_bytes(),
        }
    }

    /// Whether the value can be an id: a string without control characters, or a number without an exponent.
    /// Only escapes can stand for control characters.
    pub(super) fn can_be_id(&self) -> bool {
        match self {
            Self::Missing | Self::Plain(_) => true,
            Self::Unescaped(text) => text.bytes().all(|byte| byte >= b' '),
            Self::Number(number) => memchr::memchr2(b'e', b'E', number.as_bytes()).is_none(),
        }
    }

    /// The text of the value if it is a part of the line.
    pub(super) fn in_line(&self) -> Option<&'t str> {
        match self {
            Self::Plain(text) | Self::Number(text) => Some(text),
            Self::Missing | Self::Unescaped(_) => None,
        }
    }
}

/// Text in UTF-8, with a note of the parts that are not.
#[derive(Debug)]
pub(super) struct Utf8<'t> {
    bytes: &'t [u8],
    text: Option<&'t str>,
}

impl<'t> Utf8<'t> {
    pub(super) fn of(bytes: &'t [u8]) -> Self {
        Self { bytes, text: std::str::from_utf8(bytes).ok() }
    }

    /// Whether the whole text is valid UTF-8.
    pub(super) fn is_whole(&self) -> bool {
        self.text.is_some()
    }

    pub(super) fn as_bytes(&self) -> &'t [u8] {
        self.bytes
    }

    /// A part of the text. `None` if the part is not valid UTF-8.
    pub(super) fn part(&self, start: usize, len: usize) -> Option<&'t str> {
        match self.text {
            Some(text) => text.get(start..start + len),
            None => std::str::from_utf8(&self.bytes[start..start + len]).ok(),
        }
    }

    /// Where a part of the text begins.
    pub(super) fn start_of(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.bytes.as_ptr().addr()
    }
}
