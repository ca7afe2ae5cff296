//! Parses one physical line as an RFC 4180 record. This is the slow path of decoding.

use crate::model::Reason;
use crate::model::delimiter::Delimiter;

/// Maximum length of an id in bytes.
pub const ID_LIMIT: usize = 4096;

/// Checks the id of a user or a song.
///
/// # Errors
/// `empty_field` or `field_too_long`.
pub fn check_id(id: &[u8]) -> Result<(), Reason> {
    match id.len() {
        0 => Err(Reason::EmptyField),
        1..=ID_LIMIT => Ok(()),
        _ => Err(Reason::FieldTooLong),
    }
}

/// The unquoted fields of a line. One record is reused for all lines. The default record reads the CSV that
/// this program writes.
#[derive(Debug)]
pub struct Record {
    delimiter: Delimiter,
    quoting: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Default for Record {
    fn default() -> Self {
        Self::new(Delimiter::COMMA, true)
    }
}

impl Record {
    /// An empty record with a given delimiter. Without `quoting`, quotes are plain text.
    pub fn new(delimiter: Delimiter, quoting: bool) -> Self {
        Self { delimiter, quoting, text: Vec::new(), ends: Vec::new() }
    }

    /// Parses a line into fields. The line must not include its line end.
    ///
    /// A quote inside an unquoted field is plain text, and so is a carriage return inside quotes.
    ///
    /// # Errors
    /// The first fault from left to right: a carriage return outside quotes, text after a closing
    /// quote, or an unclosed quote.
    pub fn read(&mut self, line: &[u8]) -> Result<(), Reason> {
        self.text.clear();
        self.ends.clear();
        let mut rest = line;
        loop {
            rest = match rest {
                [b'"', quoted @ ..] if self.quoting => self.read_quoted(quoted)?,
                _ => self.read_plain(rest)?,
            };
            self.ends.push(self.text.len());
            match rest {
                [_, more @ ..] => rest = more,
                [] => return Ok(()),
            }
        }
    }

    /// Parses an unquoted field, and returns the rest of the line from the next delimiter on.
    fn read_plain<'a>(&mut self, line: &'a [u8]) -> Result<&'a [u8], Reason> {
        let end = memchr::memchr(self.delimiter.byte(), line).unwrap_or(line.len());
        if memchr::memchr(b'\r', &line[..end]).is_some() {
            return Err(Reason::BareCr);
        }
        self.text.extend_from_slice(&line[..end]);
        Ok(&line[end..])
    }

    /// Parses a quoted field, and returns the rest of the line after the closing quote. `line` starts
    /// after the opening quote.
    fn read_quoted<'a>(&mut self, mut line: &'a [u8]) -> Result<&'a [u8], Reason> {
        loop {
            let quote = memchr::memchr(b'"', line).ok_or(Reason::UnclosedQuote)?;
            self.text.extend_from_slice(&line[..quote]);
            line = &line[quote + 1..];
            match line {
                [b'"', more @ ..] => {
                    self.text.push(b'"');
                    line = more;
                }
                [] => return Ok(line),
                [next, ..] if *next == self.delimiter.byte() => return Ok(line),
                [b'\r', ..] => return Err(Reason::BareCr),
                _ => return Err(Reason::BadQuote),
            }
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether no line was parsed yet. A line has at least one field.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// One field, unquoted.
    ///
    /// # Panics
    /// If the line has fewer fields.
    pub fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    /// All fields.
    pub fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.field(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Vec<String>, Reason> {
        let mut record = Record::default();
        record.read(line.as_bytes())?;
        Ok(record.fields().map(|field| String::from_utf8(field.to_vec()).unwrap()).collect())
    }

    #[test]
    fn quotes_follow_rfc_4180() {
        assert_eq!(read("a,\"b,\"\"c\"\"\",,d\"e").unwrap(), ["a", "b,\"c\"", "", "d\"e"]);
        assert_eq!(read("\"\"").unwrap(), [""]);
        assert_eq!(read("a,").unwrap(), ["a", ""]);
        assert_eq!(read("\"a\rb\"").unwrap(), ["a\rb"]);
    }

    #[test]
    fn the_first_fault_is_the_reason() {
        assert_eq!(read("\"a\"b,\"c"), Err(Reason::BadQuote));
        assert_eq!(read("a,\"b"), Err(Reason::UnclosedQuote));
        assert_eq!(read("a\rb,\"c"), Err(Reason::BareCr));
        assert_eq!(read("\"a\"\r,b"), Err(Reason::BareCr));
    }
}
