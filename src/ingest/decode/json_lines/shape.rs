//! The fast path for JSON Lines: reads lines that have the shape of an earlier line.
//!
//! The lines of a log usually differ only in their values. `serde_json` reads the first line. If it is a play,
//! its text between the values becomes a *shape*. A later line with the same text between its values has the
//! same keys in the same structure, so the fields are at the same places. Like the fast path for CSV, this path
//! never rejects: a line that matches no shape, or that has an escape or an exponent, takes the slow path.

use std::ops::Range;

/// The shapes of the last lines.
#[derive(Debug, Default)]
pub(super) struct Shapes<'t> {
    known: Vec<Shape<'t>>,
    /// Index of the shape that matched last.
    last: usize,
    /// Number of lines that were learned.
    learned: usize,
}

/// The maximum number of shapes that are kept.
const KNOWN: usize = 4;
/// The maximum number of lines that are learned per chunk. Lines of ever new shapes then cost only a
/// comparison.
const LEARNED: usize = 32;

/// The text of a line between its values.
#[derive(Debug)]
struct Shape<'t> {
    parts: Vec<Part<'t>>,
    /// The text after the last value.
    end: &'t [u8],
}

/// The text before a value.
#[derive(Debug)]
struct Part<'t> {
    before: &'t [u8],
    /// The fields that have this value, as bits. No bits for a value that is not wanted.
    fields: u8,
}

/// The place of each field in the text of a chunk: the content of a string, or a number.
pub(super) type Places = [Range<usize>; 4];

impl<'t> Shapes<'t> {
    /// Finds the fields of a line. The text must have padding after the line.
    #[inline]
    pub(super) fn find(&mut self, text: &[u8], line: Range<usize>) -> Option<Places> {
        let last = self.known.get(self.last)?;
        if let Some(places) = last.find(text, line.clone()) {
            return Some(places);
        }
        let (index, places) = self.known.iter().enumerate().find_map(|(index, shape)| {
            let places = (index != self.last).then(|| shape.find(text, line.clone()))??;
            Some((index, places))
        })?;
        self.last = index;
        Some(places)
    }

    /// Learns the shape of a line that is a play. `values` are the JSON texts of its fields, which are parts of
    /// the line.
    pub(super) fn learn(&mut self, line: &'t str, values: [Option<&str>; 4]) {
        if self.learned == LEARNED {
            return;
        }
        self.learned += 1;
        let starts = values.map(|value| value.map(|value| value.as_ptr().addr() - line.as_ptr().addr()));
        let shape = Shape::of(line.as_bytes(), starts);
        if self.known.len() < KNOWN {
            self.last = self.known.len();
            self.known.push(shape);
        } else {
            self.last = (self.last + 1) % KNOWN;
            self.known[self.last] = shape;
        }
    }
}

impl<'t> Shape<'t> {
    /// The shape of a line of valid JSON. A field is the value that starts at its place.
    fn of(line: &'t [u8], starts: [Option<usize>; 4]) -> Self {
        let (mut parts, mut before, mut at) = (Vec::new(), 0, 0);
        while at < line.len() {
            let end = token_end(line, at);
            let rest = line[end..].trim_ascii_start();
            let is_key = line[at] == b'"' && rest.first() == Some(&b':');
            let is_value = matches!(line[at], b'"' | b'-' | b'0'..=b'9' | b'a'..=b'z');
            if is_value && !is_key {
                let bits = starts.iter().zip(0..).map(|(&start, bit)| u8::from(start == Some(at)) << bit);
                parts.push(Part { before: &line[before..at], fields: bits.sum() });
                before = end;
            }
            at = end;
        }
        Self { parts, end: &line[before..] }
    }

    #[inline]
    fn find(&self, text: &[u8], line: Range<usize>) -> Option<Places> {
        let mut places = Places::default();
        let mut at = line.start;
        for Part { before, fields } in &self.parts {
            at = skip(text, at, before)?;
            let (value, end) = scan_value(text, at)?;
            if *fields != 0 {
                let value = value?;
                for (place, bit) in places.iter_mut().zip(0..) {
                    if fields >> bit & 1 == 1 {
                        *place = value.clone();
                    }
                }
            }
            at = end;
        }
        (skip(text, at, self.end)? == line.end).then_some(places)
    }
}

/// The end of the token that starts at a place of valid JSON. Punctuation and white space have one byte.
fn token_end(line: &[u8], at: usize) -> usize {
    let run = |is_part: fn(&u8) -> bool| line[at..].iter().take_while(|byte| is_part(byte)).count();
    match line[at] {
        b'"' => {
            let mut end = at + 1;
            while line.get(end).is_some_and(|&byte| byte != b'"') {
                end += if line[end] == b'\\' { 2 } else { 1 };
            }
            line.len().min(end + 1)
        }
        b'-' | b'0'..=b'9' => at + run(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')),
        b'a'..=b'z' => at + run(u8::is_ascii_lowercase),
        _ => at + 1,
    }
}

/// The place after a fixed text.
#[inline]
fn skip(text: &[u8], at: usize, fixed: &[u8]) -> Option<usize> {
    let end = at + fixed.len();
    (text.get(at..end)? == fixed).then_some(end)
}

/// The content of the value that starts at a place, and the end of the value. The content is `None` for `null`,
/// `true` and `false`. The result is `None` if the value is not in its simplest form.
#[inline]
fn scan_value(text: &[u8], at: usize) -> Option<(Option<Range<usize>>, usize)> {
    let word = |word: &[u8]| skip(text, at, word).map(|end| (None, end));
    match text[at] {
        b'"' => {
            let end = string_end(text, at + 1)?;
            Some((Some(at + 1..end), end + 1))
        }
        b'-' | b'0'..=b'9' => {
            let end = number_end(text, at)?;
            Some((Some(at..end), end))
        }
        b'n' => word(b"null"),
        b't' => word(b"true"),
        b'f' => word(b"false"),
        _ => None,
    }
}

/// The end of the content of a string, eight bytes at a time. `None` if the string has an escape or a byte that
/// is not allowed.
#[inline]
fn string_end(text: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    loop {
        let word = u64::from_le_bytes(*text.get(at..)?.first_chunk()?);
        let quotes = zeros(word ^ (ONES * u64::from(b'"')));
        let escapes = zeros(word ^ (ONES * u64::from(b'\\')));
        let controls = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
        // The lowest bit is always right. Higher bits can be wrong, because subtraction borrows.
        let found = (quotes | escapes | controls) & HIGH;
        if found != 0 {
            let end = at + (found.trailing_zeros() / 8) as usize;
            return (text[end] == b'"').then_some(end);
        }
        at += 8;
    }
}

/// The end of a number without an exponent.
#[inline]
fn number_end(text: &[u8], at: usize) -> Option<usize> {
    let digits = |at: usize| at + text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let first = at + usize::from(text[at] == b'-');
    let whole = digits(first);
    let is_whole = match whole - first {
        0 => false,
        1 => true,
        _ => text[first] != b'0',
    };
    if !is_whole {
        return None;
    }
    if text.get(whole) != Some(&b'.') {
        return Some(whole);
    }
    let end = digits(whole + 1);
    (end > whole + 1).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(text: &str) -> Vec<u8> {
        [text.as_bytes(), &[0; 64]].concat()
    }

    #[test]
    fn strings_end_at_the_first_quote() {
        for (text, expected) in [
            ("\"", Some(0)),
            ("abc\"", Some(3)),
            ("abcdefg\"x\"", Some(7)),
            ("abcdefgh\"", Some(8)),
            ("é🎵 ~\u{7f}!#[]\",\"", Some(13)),
            ("abc", None),
            ("a\\\"b\"", None),
            ("a\tb\"", None),
            ("a\u{1f}b\"", None),
            ("!!!!!!!#\"", Some(8)),
        ] {
            assert_eq!(string_end(&padded(text), 0), expected, "{text}");
        }
    }

    #[test]
    fn numbers_have_no_leading_zeros_and_no_exponent() {
        for (text, expected) in [
            ("0", Some(1)),
            ("-0.50,", Some(5)),
            ("1234567890}", Some(10)),
            ("10.0e3", Some(4)),
            ("007", None),
            ("-", None),
            ("1.", None),
            ("1.}", None),
            ("-.5", None),
        ] {
            assert_eq!(number_end(&padded(text), 0), expected, "{text}");
        }
    }

    #[test]
    fn a_line_of_the_same_shape_has_the_fields_at_the_same_places() {
        let first = r#"{"a":"x,\"y","b":[1e5,null],"c":{"d":-1.5},"e":true}"#;
        let values = [r#""x,\"y""#, "-1.5"].map(|value| {
            let at = first.find(value).unwrap();
            Some(&first[at..at + value.len()])
        });
        let mut shapes = Shapes::default();
        shapes.learn(first, [values[0], values[1], values[0], values[1]]);
        let mut find = |line: &str| {
            let text = padded(line);
            let places = shapes.find(&text, 0..line.len())?;
            Some(places.map(|place| line[place].to_owned()).join(" "))
        };
        let matching = r#"{"a":"u","b":["s",false],"c":{"d":7},"e":"f"}"#;
        assert_eq!(find(matching).as_deref(), Some("u 7 u 7"));
        for other in [
            r#"{"a":"u","b":["s",false],"c":{"d":null},"e":"f"}"#,
            r#"{"a":"u","b":["s",false],"c":{"d":7},"e":"f"} "#,
            r#"{"a":"u","b":["s",false],"c":{"d":7},"e":"f""#,
            r#"{"a":"u","b":["s",false],"c":{"D":7},"e":"f"}"#,
            r#"{"a":"u","b":["s",falsey],"c":{"d":7},"e":"f"}"#,
            r#"{"a":"u","b":["s",{}],"c":{"d":7},"e":"f"}"#,
            r#"{"a":"u","b":["s"],"c":{"d":7},"e":"f"}"#,
            "",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
    }
}
