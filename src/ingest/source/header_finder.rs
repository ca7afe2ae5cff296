//! Finds the layout of a log. A CSV log with a header has it in its first line that is not blank. The layout
//! of all other logs is known at once.

use std::borrow::Cow;

use crate::ingest::decode::header::{self, BYTE_ORDER_MARK, HeaderFault, sniff};
use crate::ingest::decode::line::{LINE_LIMIT, is_blank, without_return};
use crate::model::dialect::encoding::TextEncoding;
use crate::model::dialect::header_rule::HeaderRule;
use crate::model::dialect::{Dialect, RowFormat};
use crate::model::{Layout, RAW_LIMIT, Reason, RowLayout};

/// The first line feed of a log must lie within this number of bytes.
const FIRST_LINE_FEED: usize = 64 << 10;

/// The bytes that a search has consumed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skipped {
    /// Number of bytes.
    pub(super) bytes: usize,
    /// Number of line feeds in these bytes.
    pub(super) lines: u64,
}

/// The result of a search.
#[derive(Debug)]
pub(super) enum Search {
    /// The header is not complete yet.
    Incomplete(Skipped),
    /// The layout is known. The skipped bytes include the header.
    Found {
        layout: Layout,
        /// Columns that are not used.
        ignored: Vec<String>,
        skipped: Skipped,
        /// Whether the header ends with a line feed. Otherwise, it ends with the file.
        has_line_feed: bool,
    },
    /// The file is not a log. The skipped bytes end before the rejected line.
    Refused { fault: HeaderFault, line: Vec<u8>, skipped: Skipped },
}

/// A search for the header. It starts at the beginning of a log, or after blank lines that an earlier
/// search skipped.
#[derive(Debug)]
pub(super) struct HeaderFinder<'a> {
    /// The bytes that were read.
    pub(super) bytes: &'a [u8],
    /// Whether `bytes` begins at the start of the file.
    pub(super) at_start: bool,
    /// Whether the file ends after `bytes`.
    pub(super) is_final: bool,
    /// The dialect of the logs.
    pub(super) dialect: &'a Dialect,
    /// How the rows of this log are written.
    pub(super) format: RowFormat,
    /// Whether the text is UTF-8, whatever the dialect says.
    pub(super) is_utf8: bool,
}

impl HeaderFinder<'_> {
    /// Searches for the layout.
    pub(super) fn find(&self) -> Search {
        if self.at_start
            && let Err(fault) = self.check_start()
        {
            return self.refuse_start(fault);
        }
        match self.known_layout() {
            Some(rows) => self.skip_byte_order_mark(rows),
            None => self.find_header(),
        }
    }

    fn has_byte_order_mark(&self) -> bool {
        self.at_start && self.bytes.starts_with(BYTE_ORDER_MARK)
    }

    fn encoding(&self) -> TextEncoding {
        let is_utf8 =
            self.is_utf8 || self.has_byte_order_mark() || matches!(self.format, RowFormat::Parquet(_));
        if is_utf8 { TextEncoding::UTF_8 } else { self.dialect.encoding }
    }

    /// The layout of rows without a header line of their own. `None` if the first line is the header.
    fn known_layout(&self) -> Option<RowLayout> {
        let delimiter = match self.format {
            RowFormat::Csv(delimiter) => delimiter,
            RowFormat::JsonLines => return Some(RowLayout::JsonLines),
            RowFormat::Parquet(_) => return None,
        };
        let header = match &self.dialect.header {
            HeaderRule::FirstLine => None,
            HeaderRule::None => header::without_header(self.dialect, delimiter),
            HeaderRule::Literal(line) => {
                header::parse(line.as_bytes(), self.dialect, self.format).ok().map(|(header, _)| header)
            }
        };
        header.map(RowLayout::Csv)
    }

    /// Skips a byte order mark. The rows follow it.
    fn skip_byte_order_mark(&self, rows: RowLayout) -> Search {
        let may_have_mark = self.at_start && BYTE_ORDER_MARK.starts_with(self.bytes);
        if may_have_mark && !self.has_byte_order_mark() && !self.is_final {
            return Search::Incomplete(Skipped::default());
        }
        let bytes = if self.has_byte_order_mark() { BYTE_ORDER_MARK.len() } else { 0 };
        let layout = Layout { encoding: self.encoding(), rows };
        Search::Found {
            layout,
            ignored: Vec::new(),
            skipped: Skipped { bytes, lines: 0 },
            has_line_feed: true,
        }
    }

    fn find_header(&self) -> Search {
        let mut start = if self.has_byte_order_mark() { BYTE_ORDER_MARK.len() } else { 0 };
        let mut lines = 0;
        // A byte order mark is not skipped until its line ends with a line feed.
        let skipped =
            |start, lines| Skipped { bytes: if self.at_start && lines == 0 { 0 } else { start }, lines };
        loop {
            let rest = &self.bytes[start..];
            let line_feed = memchr::memchr(b'\n', rest);
            let line = without_return(&rest[..line_feed.unwrap_or(rest.len())]);
            if line_feed.is_none() && rest.len() > LINE_LIMIT + 1 {
                let detail = "the header is longer than the maximum length of a line".to_owned();
                let fault = HeaderFault { reason: Reason::LineTooLong, detail };
                let skipped = Skipped { bytes: start, lines };
                return Search::Refused { fault, line: line[..RAW_LIMIT].to_vec(), skipped };
            }
            if line_feed.is_none() && !self.is_final {
                // The byte order mark decides the encoding of the header, so it is kept until the header is read.
                let keeps_mark = self.has_byte_order_mark() && !self.dialect.encoding.is_utf8();
                return Search::Incomplete(if keeps_mark {
                    Skipped::default()
                } else {
                    skipped(start, lines)
                });
            }
            let end = start + line_feed.map_or(rest.len(), |at| at + 1);
            let lines_to_end = lines + u64::from(line_feed.is_some());
            if !is_blank(line, self.format.delimiter()) {
                // Blank lines before the header have consumed a byte order mark.
                let line = self.encoding().decode(line).unwrap_or_else(Cow::Owned);
                return match header::parse(&line, self.dialect, self.format) {
                    Ok((header, ignored)) => Search::Found {
                        layout: Layout { encoding: self.encoding(), rows: RowLayout::Csv(header) },
                        ignored,
                        skipped: Skipped { bytes: end, lines: lines_to_end },
                        has_line_feed: line_feed.is_some(),
                    },
                    Err(fault) => {
                        Search::Refused { fault, line: line.into_owned(), skipped: skipped(start, lines) }
                    }
                };
            }
            (start, lines) = (end, lines_to_end);
            if line_feed.is_none() {
                return Search::Incomplete(Skipped { bytes: start, lines });
            }
        }
    }

    /// Checks the first bytes for signs that the file is not a log.
    fn check_start(&self) -> Result<(), HeaderFault> {
        sniff(self.bytes)?;
        // Every line of JSON is checked by itself.
        if self.format == RowFormat::JsonLines {
            return Ok(());
        }
        let line_feed = memchr::memchr(b'\n', self.bytes);
        let too_far = line_feed.is_none_or(|at| at >= FIRST_LINE_FEED) && self.bytes.len() > FIRST_LINE_FEED;
        // Classic Mac OS ended a line with a carriage return alone.
        let old_mac = self.is_final && line_feed.is_none() && without_return(self.bytes).contains(&b'\r');
        if !too_far && !old_mac {
            return Ok(());
        }
        let line = &self.bytes[..line_feed.unwrap_or(self.bytes.len())];
        Err(if line.contains(&0) {
            header::nul_bytes(line, "the file has NUL bytes")
        } else {
            let detail = "the first line has no line feed".to_owned();
            HeaderFault { reason: Reason::NoNewline, detail }
        })
    }

    /// Rejects the file because of its first bytes, but first waits for all bytes that the reject shows.
    /// The reject therefore does not depend on how many bytes were read at once.
    fn refuse_start(&self, fault: HeaderFault) -> Search {
        let shown = &self.bytes[..self.bytes.len().min(RAW_LIMIT)];
        if shown.len() < RAW_LIMIT && !shown.contains(&b'\n') && !self.is_final {
            return Search::Incomplete(Skipped::default());
        }
        let line = self.bytes.split(|&byte| byte == b'\n').next().unwrap_or_default().to_vec();
        Search::Refused { fault, line, skipped: Skipped::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "user_id,song_id,timestamp,duration_sec";

    fn find(text: &str, is_final: bool) -> Search {
        find_in(&Dialect::default(), text, is_final)
    }

    fn find_in(dialect: &Dialect, text: &str, is_final: bool) -> Search {
        let format = dialect.row_format("a.csv".as_ref());
        HeaderFinder { bytes: text.as_bytes(), at_start: true, is_final, dialect, format, is_utf8: false }
            .find()
    }

    #[test]
    fn blank_lines_and_a_byte_order_mark_come_before_the_header() {
        let text = format!("\u{feff}\r\n \n{HEADER}\r\nrow");
        let Search::Found { layout, ignored, skipped, has_line_feed } = find(&text, false) else { panic!() };
        let RowLayout::Csv(header) = layout.rows else { panic!() };
        assert_eq!((header.fields, ignored.len(), has_line_feed), (4, 0, true));
        assert_eq!(skipped, Skipped { bytes: text.len() - 3, lines: 3 });
    }

    #[test]
    fn a_partial_header_waits_and_only_blank_lines_are_skipped() {
        for (text, bytes, lines) in [("user_id,so", 0, 0), ("\n\nuser", 2, 2), ("\u{feff}user", 0, 0)] {
            let Search::Incomplete(skipped) = find(text, false) else { panic!("{text}") };
            assert_eq!(skipped, Skipped { bytes, lines }, "{text}");
        }
        let Search::Found { has_line_feed, .. } = find(HEADER, true) else { panic!() };
        assert!(!has_line_feed);
    }

    #[test]
    fn a_byte_order_mark_decides_the_encoding_of_a_header_after_blank_lines() {
        let dialect = Dialect { encoding: "koi8-r".parse().unwrap(), ..Dialect::default() };
        let text = format!("\u{feff}\n\n{HEADER},gr\u{fc}n");
        let Search::Incomplete(skipped) = find_in(&dialect, &text, false) else { panic!() };
        assert_eq!(skipped, Skipped::default());
        let Search::Found { layout, ignored, .. } = find_in(&dialect, &text, true) else { panic!() };
        assert_eq!((layout.encoding, ignored), (TextEncoding::UTF_8, vec!["gr\u{fc}n".to_owned()]));
    }

    #[test]
    fn a_reject_shows_the_line_and_what_was_skipped_before_it() {
        let Search::Refused { fault, line, skipped } = find("\n\na,b\n1,2\n", false) else { panic!() };
        assert_eq!((fault.reason, line.as_slice()), (Reason::MissingHeader, &b"a,b"[..]));
        assert_eq!(skipped, Skipped { bytes: 2, lines: 2 });
    }
}
