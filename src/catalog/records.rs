//! Splits the text of a catalog into records. A record is one physical line, or several lines if a quoted
//! field holds line ends.

use crate::catalog::decoded::DecodedText;
use crate::catalog::layout::CatalogLayout;
use crate::ingest::decode::header::HeaderFault;
use crate::ingest::decode::line::{self, Ending, LINE_LIMIT, without_return};
use crate::ingest::decode::record::{Record, check_id};
use crate::model::delimiter::Delimiter;
use crate::model::dialect::CatalogDialect;
use crate::model::{Reason, Reject};

/// The records of a catalog after its header.
pub(super) struct Records<'a> {
    decoded: &'a DecodedText<'a>,
    delimiter: Delimiter,
    /// Where the next line starts in the text, and its number.
    start: usize,
    line: u64,
    /// Whether the text has no NUL and is valid UTF-8. Then its lines are not checked one by one.
    is_clean: bool,
    record: Record,
}

/// A record of a catalog.
pub(super) enum CatalogRecord<'a> {
    /// The record of a song: the number of its first line, and its text without its line end.
    Song(u64, &'a [u8]),
    /// A record that is not a song. Of several lines, only the first is rejected.
    Reject(Reject),
}

/// A physical line without its line end.
struct Line<'a> {
    number: u64,
    start: usize,
    text: &'a [u8],
    ending: Ending,
}

impl<'a> Records<'a> {
    /// Starts at the beginning of the text.
    pub(super) fn new(decoded: &'a DecodedText<'a>, dialect: &CatalogDialect) -> Self {
        let CatalogDialect { delimiter, quoting, .. } = *dialect;
        let is_clean = line::check_bytes(&decoded.text, Ending::LineFeed).is_ok();
        Self { decoded, delimiter, start: 0, line: 1, is_clean, record: Record::new(delimiter, quoting) }
    }

    /// Reads the header, which is the first record that is not blank. A file without lines has an empty
    /// header.
    pub(super) fn header(
        &mut self,
        find: impl FnOnce(&[u8]) -> Result<CatalogLayout, HeaderFault>,
    ) -> Result<CatalogLayout, HeaderFault> {
        let Some(line) = self.next_line() else { return find(b"") };
        if self.record.read(line.text) != Err(Reason::UnclosedQuote) {
            return find(line.text);
        }
        let text = &self.decoded.text[line.start..];
        match record_len(text, self.delimiter, usize::MAX) {
            Ok(len) => {
                self.skip_to_end_of(line.start + len);
                find(&text[..len])
            }
            Err(_) => find(line.text),
        }
    }

    /// A field of the last record; `None` if the record has fewer fields.
    pub(super) fn field(&self, index: usize) -> Option<&[u8]> {
        (index < self.record.len()).then(|| self.record.field(index))
    }

    /// Reads the next record. Skips blank lines, and lines that are equal to the header.
    pub(super) fn next(&mut self, layout: &CatalogLayout) -> Option<CatalogRecord<'a>> {
        loop {
            let line = self.next_line()?;
            if let Some(record) = self.read(&line, layout) {
                return Some(record);
            }
        }
    }

    fn read(&mut self, line: &Line<'a>, layout: &CatalogLayout) -> Option<CatalogRecord<'a>> {
        if line.text == layout.header {
            return None;
        }
        let mut checked = self.check(line.start, line.text, line.ending, layout).map(|()| line.text);
        if checked == Err(Reason::UnclosedQuote) {
            checked = self.read_several_lines(line.start, layout);
            if let Ok(text) = checked {
                self.skip_to_end_of(line.start + text.len());
                if text == layout.header {
                    return None;
                }
            }
        }
        Some(match checked {
            Ok(text) => CatalogRecord::Song(line.number, text),
            Err(reason) => {
                let offset = self.decoded.offset(line.start);
                CatalogRecord::Reject(Reject::new(reason, line.number, offset, line.text))
            }
        })
    }

    /// Reads a record of several lines.
    ///
    /// # Errors
    /// `field_count` or the fault of the id. All other faults are an `unclosed_quote`, because that is the
    /// fault of the first line, and only the first line is rejected.
    fn read_several_lines(&mut self, start: usize, layout: &CatalogLayout) -> Result<&'a [u8], Reason> {
        let text = &self.decoded.text[start..];
        let len = record_len(text, self.delimiter, layout.max_fields())?;
        let ending = if len < text.len() { Ending::LineFeed } else { Ending::EndOfFile };
        match self.check(start, &text[..len], ending, layout) {
            Ok(()) => Ok(&text[..len]),
            Err(reason @ (Reason::FieldCount | Reason::EmptyField | Reason::FieldTooLong)) => Err(reason),
            Err(_) => Err(Reason::UnclosedQuote),
        }
    }

    /// Checks the text of a record that starts at `start`.
    fn check(
        &mut self,
        start: usize,
        text: &[u8],
        ending: Ending,
        layout: &CatalogLayout,
    ) -> Result<(), Reason> {
        if !self.is_clean || text.len() > LINE_LIMIT {
            line::check(text, ending)?;
        }
        // An empty line has no bytes that could not be decoded.
        if !self.decoded.is_decodable(start..start + text.len()) {
            return Err(Reason::InvalidUtf8);
        }
        self.record.read(text)?;
        if !layout.has_all_fields(&self.record) {
            return Err(Reason::FieldCount);
        }
        check_id(self.record.field(layout.song_id()))
    }

    /// The next line that is not blank.
    fn next_line(&mut self) -> Option<Line<'a>> {
        loop {
            let (start, number) = (self.start, self.line);
            let rest = &self.decoded.text[start..];
            if rest.is_empty() {
                return None;
            }
            let (len, ending) = match memchr::memchr(b'\n', rest) {
                Some(len) => (len, Ending::LineFeed),
                None => (rest.len(), Ending::EndOfFile),
            };
            self.start += len + usize::from(ending == Ending::LineFeed);
            self.line += 1;
            let text = without_return(&rest[..len]);
            if text.len() > LINE_LIMIT || !line::is_blank(text, self.delimiter) {
                return Some(Line { number, start, text, ending });
            }
        }
    }

    /// Continues after the line end of a record that ends at `end`.
    fn skip_to_end_of(&mut self, end: usize) {
        let text = &self.decoded.text;
        let next = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |line_feed| end + line_feed + 1);
        self.line += memchr::memchr_iter(b'\n', &text[self.start..next]).count() as u64;
        self.line += u64::from(next == text.len() && !text.ends_with(b"\n"));
        self.start = next;
    }
}

/// The length of the first record of a text, without its line end. The record may have several lines.
///
/// # Errors
/// `field_count` as soon as there are more than `max_fields` fields, and the further ones are not empty.
/// Therefore, a text with quotes in many lines is not read to its end for each of these lines. Otherwise
/// `unclosed_quote` if a quoted field does not end, has text after its closing quote, or if the record is longer
/// than the maximum length of a line.
fn record_len(text: &[u8], delimiter: Delimiter, max_fields: usize) -> Result<usize, Reason> {
    // The limit and the line end.
    let text = &text[..text.len().min(LINE_LIMIT + 2)];
    let (mut at, mut fields) = (0, 0);
    loop {
        let start = at;
        let is_quoted = text[at..].starts_with(b"\"");
        if is_quoted {
            at = quoted_end(text, at)?;
        } else {
            at += memchr::memchr2(delimiter.byte(), b'\n', &text[at..]).unwrap_or(text.len() - at);
        }
        let is_last = match &text[at..] {
            [] | b"\r" | [b'\n', ..] | [b'\r', b'\n', ..] => true,
            [next, ..] if *next == delimiter.byte() => false,
            _ => return Err(Reason::UnclosedQuote),
        };
        fields += 1;
        // The carriage return of the line end belongs to no field.
        let has_return = is_last && !is_quoted;
        let end = if has_return { start + without_return(&text[start..at]).len() } else { at };
        let is_empty = end == start || (is_quoted && end == start + 2);
        if fields > max_fields && !is_empty {
            return Err(Reason::FieldCount);
        }
        if end > LINE_LIMIT {
            return Err(Reason::UnclosedQuote);
        }
        if is_last {
            return Ok(end);
        }
        at += 1;
    }
}

/// Where a quoted field ends that starts at `at`.
fn quoted_end(text: &[u8], at: usize) -> Result<usize, Reason> {
    let mut at = at + 1;
    loop {
        at += memchr::memchr(b'"', &text[at..]).ok_or(Reason::UnclosedQuote)? + 1;
        if !text[at..].starts_with(b"\"") {
            return Ok(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_ends_at_the_first_line_end_outside_quotes() {
        let len = |text: &str| record_len(text.as_bytes(), Delimiter::COMMA, 3);
        for (text, expected) in [
            ("\"a\nb\",c\nd", Ok(7)),
            ("\"a\r\nb\",\"\"\"\n\"\r\nd", Ok(12)),
            ("x,\"\n\",y\"z", Ok(9)),
            ("x,\"\n\",y\r", Ok(7)),
            ("\"a\nb\",,,\r,", Err(Reason::FieldCount)),
            ("x,\"\n\"\r", Ok(5)),
            ("x,\"\n\",y,,\"\",\n", Ok(12)),
            ("x,\"\n\",y,,z\n", Err(Reason::FieldCount)),
            ("x,\"\n", Err(Reason::UnclosedQuote)),
            ("x,\"\n\" \n", Err(Reason::UnclosedQuote)),
            ("x,\"\n\"\ry\n", Err(Reason::UnclosedQuote)),
        ] {
            assert_eq!(len(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_record_has_at_most_the_length_of_a_line() {
        for end in ["", "\n", "\r\n", "\r"] {
            let len = |extra: usize| {
                let text = format!("\"\n{}\"{end}", "x".repeat(LINE_LIMIT - 3 + extra));
                record_len(text.as_bytes(), Delimiter::COMMA, 3)
            };
            assert_eq!(len(0), Ok(LINE_LIMIT), "{end:?}");
            assert_eq!(len(1), Err(Reason::UnclosedQuote), "{end:?}");
        }
    }
}
