//! Cuts a file into chunks of whole lines, however it grows.
//!
//! Knows about bytes, line feeds and the header; what a line means is for the decoder. Memory is a
//! chunk and the longest line, whatever the length of the file.

use std::io::{self, Read};
use std::sync::Arc;

use crate::ingest::decode::header::{self, BYTE_ORDER_MARK, HeaderFault, sniff};
use crate::ingest::decode::line::{LINE_LIMIT, is_blank, without_return};
use crate::model::delimiter::Delimiter;
use crate::model::{
    Chunk, Content, Header, Input, PADDING, Position, RAW_LIMIT, ReaderState, Reason, Reject, Span, Text,
};

/// Bytes per chunk: enough to make the cost of handing it on vanish, little enough for the text
/// and its columns to stay in the second-level cache of the core that decodes it.
pub const CHUNK: usize = 256 << 10;
/// A file that has no line feed within this many bytes is no log (reliability.md, row 7).
const FIRST_LINE_FEED: usize = 64 << 10;

/// What the end of the readable bytes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eof {
    /// The file ends; so does its last line.
    Final,
    /// More may come; a line without line feed waits.
    Waiting,
}

/// One file on its way into chunks.
#[derive(Debug)]
pub struct LineFramer {
    input: Arc<Input>,
    /// Offset of the first byte that is in no chunk yet.
    offset: u64,
    /// Number of the line at `offset`.
    line: u64,
    /// Bytes from `offset` on that were read but are no whole line yet.
    carry: Vec<u8>,
    state: State,
    /// Whether bytes behind `offset` were read and forgotten because their line has no end yet.
    partial: bool,
    /// Bytes per chunk.
    chunk: usize,
    /// What parts the fields of the header.
    delimiter: Delimiter,
}

#[derive(Debug)]
enum State {
    /// Before the header.
    Start,
    /// Below the header.
    Lines(Arc<Header>),
    /// Inside a line that is rejected, of which only the beginning is kept.
    Skip { header: Arc<Header>, reject: Reject },
    /// Behind a last line that was taken as ended without a line feed.
    AfterEnd(Arc<Header>),
    /// The file was rejected whole.
    Refused,
}

/// What a file had to give.
#[derive(Debug)]
pub enum Frame {
    /// A chunk; there may be more.
    Chunk(Chunk),
    /// A header was read that has columns we ignore.
    Ignored(Vec<String>),
    /// The file was rejected whole, for the reason in words.
    Refused(Chunk, String),
    /// Nothing more for now.
    End,
}

impl LineFramer {
    /// A cutter at the beginning of a file.
    pub fn new(input: Arc<Input>) -> Self {
        Self::with_chunk(input, CHUNK)
    }

    /// A cutter of chunks of another size, which changes no row: for tests and measurements.
    pub fn with_chunk(input: Arc<Input>, chunk: usize) -> Self {
        Self {
            input,
            offset: 0,
            line: 1,
            carry: Vec::new(),
            state: State::Start,
            partial: false,
            chunk,
            delimiter: Delimiter::COMMA,
        }
    }

    /// The same for fields that are parted like this.
    #[must_use]
    pub fn with_delimiter(self, delimiter: Delimiter) -> Self {
        Self { delimiter, ..self }
    }

    /// What parts the fields.
    pub fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// A cutter that goes on at a mark.
    pub fn resume(input: Arc<Input>, position: &Position) -> Self {
        let state = match &position.stand {
            ReaderState::Start => State::Start,
            ReaderState::Lines(header) => State::Lines(Arc::clone(header)),
            ReaderState::AfterEnd(header) => State::AfterEnd(Arc::clone(header)),
            ReaderState::Finished | ReaderState::Refused | ReaderState::Faulted => State::Refused,
        };
        Self { offset: position.offset, line: position.lines + 1, state, ..Self::new(input) }
    }

    /// Where another cutter would have to go on; the hash of the tail is for those who have the file.
    pub fn position(&self) -> Position {
        let (line, stand) = match &self.state {
            State::Start => (self.line, ReaderState::Start),
            State::Lines(header) => (self.line, ReaderState::Lines(Arc::clone(header))),
            State::Skip { header, reject } if reject.reason == Reason::ContinuedAfterEof => {
                (reject.line, ReaderState::AfterEnd(Arc::clone(header)))
            }
            State::Skip { header, reject } => (reject.line, ReaderState::Lines(Arc::clone(header))),
            State::AfterEnd(header) => (self.line, ReaderState::AfterEnd(Arc::clone(header))),
            State::Refused => (self.line, ReaderState::Refused),
        };
        Position { offset: self.passed(), lines: line - 1, stand, tail: 0 }
    }

    /// The input that it cuts.
    pub fn input(&self) -> &Arc<Input> {
        &self.input
    }

    /// Offset up to which nothing waits any more.
    pub fn passed(&self) -> u64 {
        match &self.state {
            State::Skip { reject, .. } => reject.offset,
            _ => self.offset,
        }
    }

    /// Offset up to which the file was read, waiting bytes included.
    pub fn read_to(&self) -> u64 {
        self.offset + self.carry.len() as u64
    }

    /// Whether bytes wait for the end of their line.
    pub fn has_partial_line(&self) -> bool {
        self.partial || !self.carry.is_empty() || matches!(self.state, State::Skip { .. })
    }

    /// Forgets the bytes of a line that has no end yet, so that they are read again when it has
    /// grown: nobody promised that they stay as they are, and idle files cost no memory.
    pub fn forget_partial_line(&mut self) {
        let late_return = matches!(self.state, State::AfterEnd(_)) && self.carry == b"\r";
        self.partial = !self.carry.is_empty() && !late_return;
        self.carry = Vec::new();
    }

    /// Reads on, where `reader` goes on at [`read_to`](Self::read_to), until there is something to
    /// hand on. `now` is the moment of reading.
    ///
    /// # Errors
    /// Those of the reader; what was read before is kept.
    pub fn next(&mut self, reader: &mut impl Read, end: Eof, now: i64) -> io::Result<Frame> {
        self.partial = false;
        loop {
            let at_end = self.fill(reader)? == 0;
            if let Some(found) = self.cut(at_end && end == Eof::Final, now) {
                return Ok(found);
            }
            if at_end {
                self.carry.shrink_to_fit();
                return Ok(Frame::End);
            }
        }
    }

    /// Reads up to a chunk into `carry`; returns how much came.
    fn fill(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        // Room for the padding, too, so that a chunk never moves.
        let wanted = self.chunk.max(self.carry.len() + self.chunk.div_ceil(2));
        self.carry.reserve_exact(wanted - self.carry.len() + PADDING);
        reader.by_ref().take((wanted - self.carry.len()) as u64).read_to_end(&mut self.carry)
    }

    fn cut(&mut self, ends: bool, now: i64) -> Option<Frame> {
        match std::mem::replace(&mut self.state, State::Refused) {
            State::Start => self.cut_header(ends, now),
            State::Lines(header) => self.cut_lines(header, ends, now),
            State::Skip { header, reject } => self.skip(header, reject, ends, now),
            State::AfterEnd(header) => self.cut_after_end(header, ends, now),
            State::Refused => {
                self.pass(self.carry.len());
                None
            }
        }
    }

    fn cut_lines(&mut self, header: Arc<Header>, ends: bool, now: i64) -> Option<Frame> {
        let whole = memchr::memrchr(b'\n', &self.carry).map_or(0, |last| last + 1);
        if whole == 0 && self.carry.len() > LINE_LIMIT + 1 {
            let reject = Reject::new(Reason::LineTooLong, self.line, self.offset, &self.carry);
            return self.skip(header, reject, ends, now);
        }
        let len = if ends { self.carry.len() } else { whole };
        self.state = if ends && whole < len {
            State::AfterEnd(Arc::clone(&header))
        } else {
            State::Lines(Arc::clone(&header))
        };
        if len == 0 {
            return None;
        }
        let rest = self.carry[len..].to_vec();
        let bytes = std::mem::replace(&mut self.carry, rest);
        let span = Span { from: self.offset, to: self.offset + len as u64, first_line: self.line };
        self.offset = span.to;
        self.line += memchr::memchr_iter(b'\n', &bytes[..len]).count() as u64;
        Some(self.chunk(span, now, Content::Lines(header, Text::new(bytes, len))))
    }

    /// Goes on inside a rejected line: to its end, or through all that is there.
    fn skip(&mut self, header: Arc<Header>, mut reject: Reject, ends: bool, now: i64) -> Option<Frame> {
        let line_feed = memchr::memchr(b'\n', &self.carry);
        let len = line_feed.map_or(self.carry.len(), |at| at + 1);
        let room = RAW_LIMIT - reject.raw.len();
        if self.offset > reject.offset || reject.raw.is_empty() {
            let line = &self.carry[..line_feed.unwrap_or(len)];
            reject.raw.extend_from_slice(&line[..line.len().min(room)]);
        }
        self.pass(len);
        let line_len = self.offset - reject.offset - u64::from(line_feed.is_some());
        if (line_feed.is_some() || ends) && reject.raw.len() as u64 == line_len {
            reject.raw = without_return(&reject.raw).to_vec();
        }
        if line_feed.is_none() && !ends {
            self.state = State::Skip { header, reject };
            return None;
        }
        let span = Span { from: reject.offset, to: self.offset, first_line: reject.line };
        self.line = reject.line + u64::from(line_feed.is_some());
        self.state = if line_feed.is_some() { State::Lines(header) } else { State::AfterEnd(header) };
        Some(self.chunk(span, now, Content::Fault(reject)))
    }

    /// Behind a line that was taken as ended: its line feed may come late; anything else is a
    /// continuation of what was counted already.
    fn cut_after_end(&mut self, header: Arc<Header>, ends: bool, now: i64) -> Option<Frame> {
        let late_end = match self.carry.as_slice() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => {
                self.state = State::AfterEnd(header);
                return None;
            }
            _ => {
                let reject = Reject::new(Reason::ContinuedAfterEof, self.line, self.offset, &[]);
                return self.skip(header, reject, ends, now);
            }
        };
        self.pass(late_end);
        self.line += 1;
        self.cut_lines(header, ends, now)
    }

    fn chunk(&self, span: Span, read_at: i64, content: Content) -> Frame {
        Frame::Chunk(Chunk {
            input: Arc::clone(&self.input),
            span,
            position: self.position(),
            read_at,
            content,
        })
    }

    /// Looks for the header: the first line that is not blank.
    fn cut_header(&mut self, ends: bool, now: i64) -> Option<Frame> {
        self.state = State::Start;
        if self.offset == 0
            && let Err(fault) = self.check_start(ends)
        {
            // What is shown of the file must not depend on how much of it was read at once.
            let shown = &self.carry[..self.carry.len().min(RAW_LIMIT)];
            let wait = shown.len() < RAW_LIMIT && !shown.contains(&b'\n') && !ends;
            return (!wait).then(|| self.refuse_start(fault, now));
        }
        let mut start = if self.offset == 0 && self.carry.starts_with(BYTE_ORDER_MARK) {
            BYTE_ORDER_MARK.len()
        } else {
            0
        };
        let (line, line_feed) = loop {
            let rest = &self.carry[start..];
            let line_feed = memchr::memchr(b'\n', rest);
            let line = without_return(&rest[..line_feed.unwrap_or(rest.len())]);
            if line_feed.is_none() && rest.len() > LINE_LIMIT + 1 {
                let line = line[..RAW_LIMIT].to_vec();
                self.pass(start);
                let detail = "the header is longer than a line may be".to_owned();
                return Some(self.refuse(HeaderFault { reason: Reason::LineTooLong, detail }, &line, now));
            }
            if line_feed.is_none() && !ends {
                // Blank lines are done with, but not a byte order mark that waits for its line.
                self.pass(if self.line == 1 { 0 } else { start });
                return None;
            }
            let len = line_feed.map_or(rest.len(), |at| at + 1);
            if !is_blank(line, self.delimiter) {
                break (line.to_vec(), line_feed.map(|_| start + len));
            }
            start += len;
            self.line += u64::from(line_feed.is_some());
            if line_feed.is_none() {
                self.pass(start);
                return None;
            }
        };
        match header::parse(&line, self.delimiter) {
            Ok((header, ignored)) => {
                self.pass(line_feed.unwrap_or(self.carry.len()));
                self.line += u64::from(line_feed.is_some());
                let header = Arc::new(header);
                self.state = match line_feed {
                    Some(_) => State::Lines(header),
                    None => State::AfterEnd(header),
                };
                if ignored.is_empty() { self.cut(ends, now) } else { Some(Frame::Ignored(ignored)) }
            }
            Err(fault) => {
                self.pass(if self.line == 1 { 0 } else { start });
                Some(self.refuse(fault, &line, now))
            }
        }
    }

    /// What the first bytes of a file tell of all of it.
    fn check_start(&self, ends: bool) -> Result<(), HeaderFault> {
        sniff(&self.carry)?;
        let line_feed = memchr::memchr(b'\n', &self.carry);
        let too_far = line_feed.is_none_or(|at| at >= FIRST_LINE_FEED) && self.carry.len() > FIRST_LINE_FEED;
        let old_mac = ends && line_feed.is_none() && without_return(&self.carry).contains(&b'\r');
        if !too_far && !old_mac {
            return Ok(());
        }
        let line = &self.carry[..line_feed.unwrap_or(self.carry.len())];
        let (reason, detail) = if line.contains(&0) {
            (Reason::NotCsv, "the file holds NUL bytes")
        } else {
            (Reason::NoNewline, "the file has no line feeds where its first line should end")
        };
        Err(HeaderFault { reason, detail: detail.to_owned() })
    }

    /// Leaves the first bytes of `carry` behind.
    fn pass(&mut self, bytes: usize) {
        self.offset += bytes as u64;
        self.carry.drain(..bytes);
    }

    /// Rejects the file for its first bytes.
    fn refuse_start(&mut self, fault: HeaderFault, now: i64) -> Frame {
        let first_line = self.carry.split(|&byte| byte == b'\n').next().unwrap_or_default().to_vec();
        (self.line, self.offset) = (1, 0);
        self.refuse(fault, &first_line, now)
    }

    fn refuse(&mut self, fault: HeaderFault, line: &[u8], now: i64) -> Frame {
        let reject = Reject::new(fault.reason, self.line, self.offset, line);
        let span = Span { from: self.offset, to: self.read_to(), first_line: self.line };
        self.offset = span.to;
        self.carry = Vec::new();
        self.state = State::Refused;
        let content = Content::Refused(reject);
        let position = self.position();
        Frame::Refused(
            Chunk { input: Arc::clone(&self.input), span, position, read_at: now, content },
            fault.detail,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InputId;
    use proptest::prelude::*;

    /// What a file comes to, piece by piece: (first line, offset, text) or (line, offset, code, raw).
    type Pieces = Vec<(u64, u64, String, Vec<u8>)>;

    fn framer() -> LineFramer {
        LineFramer::new(Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }))
    }

    /// Feeds a cutter and joins neighbouring chunks of lines.
    fn feed(framer: &mut LineFramer, mut bytes: &[u8], end: Eof, pieces: &mut Pieces) {
        loop {
            let chunk = match framer.next(&mut bytes, end, 7).unwrap() {
                Frame::Chunk(chunk) | Frame::Refused(chunk, _) => chunk,
                Frame::Ignored(_) => continue,
                Frame::End => return,
            };
            match chunk.content {
                Content::Lines(_, text) => {
                    assert_eq!(chunk.read_at, 7);
                    assert_eq!(chunk.span.to - chunk.span.from, text.as_bytes().len() as u64);
                    match pieces.last_mut() {
                        Some((.., from, code, lines))
                            if code.is_empty() && *from + lines.len() as u64 == chunk.span.from =>
                        {
                            lines.extend_from_slice(text.as_bytes());
                        }
                        _ => pieces.push((
                            chunk.span.first_line,
                            chunk.span.from,
                            String::new(),
                            text.as_bytes().to_vec(),
                        )),
                    }
                }
                Content::Fault(reject) | Content::Refused(reject) => {
                    pieces.push((reject.line, reject.offset, reject.reason.code().to_owned(), reject.raw));
                }
            }
        }
    }

    fn whole(file: &[u8]) -> Pieces {
        let mut pieces = Pieces::new();
        feed(&mut framer(), file, Eof::Final, &mut pieces);
        pieces
    }

    const HEADER: &str = "user_id,song_id,timestamp,duration_sec";

    fn codes(file: &[u8]) -> Vec<(u64, u64, String)> {
        whole(file).into_iter().map(|(line, offset, code, _)| (line, offset, code)).collect()
    }

    #[test]
    fn the_header_is_the_first_line_that_is_not_blank() {
        let file = format!("\u{feff}\r\n \t\n{HEADER}\r\na\nb");
        assert_eq!(whole(file.as_bytes()), [(4, 8 + 40, String::new(), b"a\nb".to_vec())]);
        for file in ["", "\n", "\u{feff}", HEADER, &format!("{HEADER}\n"), "\r"] {
            assert_eq!(whole(file.as_bytes()), [], "{file:?}");
        }
        let blank = "\n".repeat(3 << 20);
        assert_eq!(whole(format!("{blank}{HEADER}\na").as_bytes())[0].0, (3 << 20) + 2);
    }

    #[test]
    fn files_that_are_no_logs_are_refused_once() {
        let code = |line, code: &str| vec![(line, 0, code.to_owned())];
        assert_eq!(codes(b"\xff\xfea\0\n\0"), code(1, "encoding_utf16"));
        assert_eq!(codes(b"\x89PNG\r\n\n\n"), code(1, "not_csv"));
        assert_eq!(codes(b"user_id\0\na\n"), code(1, "not_csv"));
        assert_eq!(codes(format!("{HEADER}\ra\rb").as_bytes()), code(1, "no_newline"));
        assert_eq!(codes("x".repeat((64 << 10) + 1).as_bytes()), code(1, "no_newline"));
        assert_eq!(codes(b"a;b\n1;2\n"), code(1, "wrong_delimiter"));
        assert_eq!(codes(b"\n\na,b\n1,2\n"), [(3, 2, "missing_header".to_owned())]);
    }

    #[test]
    fn an_endless_line_costs_constant_memory_and_the_rest_is_read() {
        let long = "x".repeat(5 << 20);
        let file = format!("{HEADER}\na\n{long}\nb\n{long}");
        let pieces = whole(file.as_bytes());
        let places: Vec<_> = pieces
            .iter()
            .map(|(line, offset, code, raw)| (*line, *offset, code.as_str(), raw.len()))
            .collect();
        let (first, second) = (41, 41 + long.len() as u64 + 3);
        assert_eq!(
            places,
            [
                (2, 39, "", 2),
                (3, first, "line_too_long", 4096),
                (4, second - 2, "", 2),
                (5, second, "line_too_long", 4096)
            ]
        );
    }

    #[test]
    fn an_endless_header_behind_blank_lines_costs_constant_memory() {
        let file = format!("\n{}", "x".repeat(9 << 20));
        assert_eq!(codes(file.as_bytes()), [(2, 1, "line_too_long".to_owned())]);
        let mut framer = framer();
        let mut rest = file.as_bytes();
        while !matches!(framer.next(&mut rest, Eof::Waiting, 7).unwrap(), Frame::End) {
            assert!(framer.carry.capacity() < 3 * LINE_LIMIT);
        }
    }

    #[test]
    fn bytes_behind_a_last_line_that_counted_are_a_continuation() {
        for (late, expected) in [
            ("\nc\n", vec![(4, 43, "", "c\n")]),
            ("\r\nc\n", vec![(4, 44, "", "c\n")]),
            ("x,\nc\n", vec![(3, 42, "continued_after_eof", "x,"), (4, 45, "", "c\n")]),
            ("x\ry\r\nc\n", vec![(3, 42, "continued_after_eof", "x\ry"), (4, 47, "", "c\n")]),
        ] {
            let mut framer = framer();
            let mut pieces = Pieces::new();
            feed(&mut framer, format!("{HEADER}\na\nb").as_bytes(), Eof::Waiting, &mut pieces);
            assert_eq!(pieces.pop().unwrap().3, b"a\n");
            assert!(framer.has_partial_line());
            feed(&mut framer, b"", Eof::Final, &mut pieces);
            assert_eq!(pieces.pop().unwrap().3, b"b");
            assert!(!framer.has_partial_line());
            feed(&mut framer, late.as_bytes(), Eof::Waiting, &mut pieces);
            let found: Vec<_> = pieces
                .iter()
                .map(|(line, offset, code, raw)| {
                    (*line, *offset, code.as_str(), std::str::from_utf8(raw).unwrap())
                })
                .collect();
            assert_eq!(found, expected, "{late:?}");
        }
    }

    proptest! {
        #[test]
        fn any_growth_gives_the_same_lines(
            body in "([ab,\"\r]{0,6}\n){0,8}[ab]{0,3}", blank in "([ \t]{0,2}\r?\n){0,3}", position in any::<bool>(),
            mut cuts in proptest::collection::vec(0_usize..120, 0..6), chunk in 1_usize..60,
        ) {
            let position = if position { "\u{feff}" } else { "" };
            let file = format!("{position}{blank}{HEADER}\n{body}").into_bytes();
            for cut in &mut cuts {
                *cut = (*cut).min(file.len());
            }
            cuts.sort_unstable();
            let mut grown = Pieces::new();
            let mut framer = LineFramer::with_chunk(Arc::clone(framer().input()), chunk);
            let mut from = 0;
            for cut in cuts {
                feed(&mut framer, &file[from..cut], Eof::Waiting, &mut grown);
                from = cut;
                prop_assert_eq!(framer.read_to(), from as u64);
            }
            feed(&mut framer, &file[from..], Eof::Final, &mut grown);
            prop_assert_eq!(grown, whole(&file));
        }
    }
}
