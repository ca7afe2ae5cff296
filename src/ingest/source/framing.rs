//! Frames the bytes of a file into chunks of whole lines. The resulting lines do not depend on how the
//! file grows.
//!
//! The framer finds line feeds and reads the header. It does not interpret any other line; the decoder
//! does that. The framer needs memory only for one chunk and the longest line, regardless of the length
//! of the file.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use crate::ingest::decode::header::{self, BYTE_ORDER_MARK, HeaderFault};
use crate::ingest::decode::line::{LINE_LIMIT, without_return};
use crate::ingest::hints::{Subject, with_hint};
use crate::ingest::parquet::typed_cells;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::growth::Growth;
use crate::ingest::source::header_finder::{HeaderFinder, Search, Skipped};
use crate::model::delimiter::Delimiter;
use crate::model::dialect::encoding::TextEncoding;
use crate::model::dialect::header_rule::HeaderRule;
use crate::model::dialect::{Dialect, RowFormat};
use crate::model::{
    Chunk, Content, Input, Layout, PADDING, Position, RAW_LIMIT, ReaderState, Reason, Reject, RowLayout,
    Span, Text,
};

/// Bytes per chunk. At this size, the cost of sending a chunk is negligible, and its text and columns
/// stay in the second-level cache of the core that decodes it.
pub const CHUNK: usize = 256 << 10;

/// The meaning of the end of the readable bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eof {
    /// The file is complete, and so is its last line.
    Final,
    /// The file may grow. A line without a line feed is incomplete.
    MayGrow,
}

/// Frames one file into chunks.
#[derive(Clone, Debug)]
pub struct LineFramer {
    input: Arc<Input>,
    /// Offset of the first byte of `carry`.
    carry_offset: u64,
    /// Number of the line at `carry_offset`.
    line: u64,
    /// Bytes that were read but are not framed yet.
    carry: Vec<u8>,
    state: State,
    /// Whether the bytes of an incomplete line were read and then dropped.
    forgot_partial_line: bool,
    /// Bytes per chunk.
    chunk: usize,
    dialect: Arc<Dialect>,
    format: RowFormat,
    /// The layout of an earlier file with the same name. It applies if this file has no header.
    earlier: Option<Arc<Layout>>,
    /// Whether the layout of an earlier file applies.
    is_headless: bool,
    /// Whether the text is UTF-8, whatever the dialect says.
    is_utf8: bool,
    /// The growth of the text before `carry`.
    growth: Growth,
    /// The growth of the text before the line that is being skipped.
    skipped_growth: u64,
    read: LastRead,
}

/// The time and result of the last read.
#[derive(Clone, Copy, Debug, Default)]
struct LastRead {
    /// The time of the read, in seconds since 1970-01-01T00:00:00Z.
    time: i64,
    /// Whether the file ends after `carry`.
    is_final: bool,
}

#[derive(Clone, Debug)]
enum State {
    /// Before the layout is known.
    Start,
    /// In the rows.
    Lines(Arc<Layout>),
    /// Inside a rejected line. Only the beginning of this line is kept.
    Skip { layout: Arc<Layout>, reject: Reject },
    /// After a last line that has no line feed but was counted as complete.
    AfterEnd(Arc<Layout>),
    /// The file was rejected as a whole.
    Refused,
}

/// The next piece of a file.
#[derive(Debug)]
pub enum Frame {
    /// A chunk. There may be more.
    Chunk(Chunk),
    /// The header was read. The listed columns are not used.
    Ignored(Vec<String>),
    /// The file has no header, so the header of an earlier file with the same name applies.
    EarlierHeader,
    /// The file was rejected as a whole. The text explains the fault.
    Refused(Chunk, String),
    /// There are no more complete lines for now.
    End,
}

impl LineFramer {
    /// A framer at the beginning of a file.
    pub fn new(input: Arc<Input>) -> Self {
        Self::with_chunk(input, CHUNK)
    }

    /// A framer with a given chunk size. The chunk size does not affect the rows.
    pub fn with_chunk(input: Arc<Input>, chunk: usize) -> Self {
        Self {
            input,
            carry_offset: 0,
            line: 1,
            carry: Vec::new(),
            state: State::Start,
            forgot_partial_line: false,
            chunk,
            dialect: Arc::default(),
            format: RowFormat::Csv(Delimiter::COMMA),
            earlier: None,
            is_headless: false,
            is_utf8: false,
            growth: Growth::default(),
            skipped_growth: 0,
            read: LastRead::default(),
        }
    }

    /// Sets the dialect of the logs. The name of the file decides how its rows are written.
    #[must_use]
    pub fn with_dialect(self, dialect: &Arc<Dialect>, file: &Path) -> Self {
        Self { dialect: Arc::clone(dialect), format: dialect.row_format(file), ..self }
    }

    /// Prepares for the text of a compressed file, and skips the part that was read before. In such a file, the
    /// offsets of rejects refer to the text after its conversion to UTF-8.
    ///
    /// # Errors
    /// An error of the reader.
    pub fn begin_compressed(&mut self, reader: &mut impl Read) -> io::Result<()> {
        self.growth = Growth::of(self.dialect.encoding);
        let encoding = self.layout().map_or(self.dialect.encoding, |layout| layout.encoding);
        self.growth.add_from(reader, self.read_offset(), encoding)
    }

    /// Sets the layout of an earlier file with the same name. It applies if this file has no header.
    #[must_use]
    pub fn with_earlier_layout(self, earlier: Option<Arc<Layout>>) -> Self {
        Self { earlier, ..self }
    }

    /// The layout of the file. `None` before the header, and after the file was rejected as a whole.
    pub fn layout(&self) -> Option<&Arc<Layout>> {
        match &self.state {
            State::Lines(layout) | State::Skip { layout, .. } | State::AfterEnd(layout) => Some(layout),
            State::Start | State::Refused => None,
        }
    }

    /// Whether the header of an earlier file applies, because this file has none.
    pub fn used_earlier_layout(&self) -> bool {
        self.is_headless
    }

    /// Sets the encoding of the text to UTF-8, whatever the dialect says, if `is_utf8` is true.
    #[must_use]
    pub fn with_utf8(self, is_utf8: bool) -> Self {
        Self { is_utf8, ..self }
    }

    /// The same for a framer that is in use.
    pub fn set_utf8(&mut self, is_utf8: bool) {
        self.is_utf8 = is_utf8;
    }

    /// Finds out what in a file does not follow the dialect: text in UTF-16, which is read as UTF-8, and cells
    /// of a Parquet file that have types. Must be called before the text of the file is read.
    pub fn find_typed_cells(&mut self, path: &Path) {
        self.is_utf8 = Compression::of(path).is_utf16(path).unwrap_or(false);
        if let RowFormat::Parquet(cells) = &mut self.format
            && let Ok(file) = File::open(path)
        {
            *cells = typed_cells(file, &self.dialect.columns);
        }
    }

    /// The dialect of the logs.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// A framer that continues at a position.
    pub fn resume(input: Arc<Input>, position: &Position) -> Self {
        let state = match &position.state {
            ReaderState::Start => State::Start,
            ReaderState::Lines(layout) => State::Lines(Arc::clone(layout)),
            ReaderState::AfterEnd(layout) => State::AfterEnd(Arc::clone(layout)),
            ReaderState::Finished | ReaderState::Refused | ReaderState::Faulted => State::Refused,
        };
        Self { carry_offset: position.offset, line: position.lines + 1, state, ..Self::new(input) }
    }

    /// The position at which another framer can continue. Its hashes are left out: they need the bytes of
    /// the file, which only the caller can read.
    pub fn position(&self) -> Position {
        let (line, state) = match &self.state {
            State::Start => (self.line, ReaderState::Start),
            State::Lines(layout) => (self.line, ReaderState::Lines(Arc::clone(layout))),
            State::Skip { layout, reject } if reject.reason == Reason::ContinuedAfterEof => {
                (reject.line, ReaderState::AfterEnd(Arc::clone(layout)))
            }
            State::Skip { layout, reject } => (reject.line, ReaderState::Lines(Arc::clone(layout))),
            State::AfterEnd(layout) => (self.line, ReaderState::AfterEnd(Arc::clone(layout))),
            State::Refused => (self.line, ReaderState::Refused),
        };
        Position { offset: self.offset(), lines: line - 1, state, tail: 0, blocks: None }
    }

    /// The framed input.
    pub fn input(&self) -> &Arc<Input> {
        &self.input
    }

    /// The offset of [`position`](Self::position). All bytes before this offset are framed.
    pub fn offset(&self) -> u64 {
        match &self.state {
            State::Skip { reject, .. } => reject.offset,
            _ => self.carry_offset,
        }
    }

    /// The offset at which the reader continues. Bytes of an incomplete line may lie between
    /// [`offset`](Self::offset) and this offset.
    pub fn read_offset(&self) -> u64 {
        self.carry_offset + self.carry.len() as u64
    }

    /// Whether the last line is incomplete.
    pub fn has_partial_line(&self) -> bool {
        self.forgot_partial_line || !self.carry.is_empty() || matches!(self.state, State::Skip { .. })
    }

    /// Drops the bytes of an incomplete line, so that an idle file needs no memory. These bytes are read
    /// again after the file has grown, because they may have changed in the meantime.
    pub fn forget_partial_line(&mut self) {
        let late_return = matches!(self.state, State::AfterEnd(_)) && self.carry == b"\r";
        self.forgot_partial_line = !self.carry.is_empty() && !late_return;
        self.carry = Vec::new();
    }

    /// Goes back to [`position`](Self::position), because the bytes after it have changed.
    pub fn rewind(&mut self) {
        let Position { offset, lines, .. } = self.position();
        (self.carry_offset, self.line) = (offset, lines + 1);
        self.carry = Vec::new();
        self.forgot_partial_line = false;
        if let State::Skip { layout, reject } = &self.state {
            let layout = Arc::clone(layout);
            let after_end = reject.reason == Reason::ContinuedAfterEof;
            self.state = if after_end { State::AfterEnd(layout) } else { State::Lines(layout) };
        }
    }

    /// Reads until there is a frame. The reader must continue at [`read_offset`](Self::read_offset).
    /// `now` is the time of reading.
    ///
    /// # Errors
    /// An error of the reader. The framer keeps the bytes that it read before the error.
    pub fn next(&mut self, reader: &mut impl Read, eof: Eof, now: i64) -> io::Result<Frame> {
        self.forgot_partial_line = false;
        loop {
            let at_end = self.fill(reader)? == 0;
            self.read = LastRead { time: now, is_final: at_end && eof == Eof::Final };
            if let Some(frame) = self.frame() {
                return Ok(frame);
            }
            if at_end {
                self.carry.shrink_to_fit();
                return Ok(Frame::End);
            }
        }
    }

    /// Fills `carry` up to the size of a chunk. Returns the number of bytes that were read.
    fn fill(&mut self, reader: &mut impl Read) -> io::Result<usize> {
        // Reserves room for the padding, so that a chunk is never moved in memory.
        let wanted = self.chunk.max(self.carry.len() + self.chunk.div_ceil(2));
        self.carry.reserve_exact(wanted - self.carry.len() + PADDING);
        reader.by_ref().take((wanted - self.carry.len()) as u64).read_to_end(&mut self.carry)
    }

    fn frame(&mut self) -> Option<Frame> {
        match &self.state {
            State::Start => self.frame_header(),
            State::Lines(layout) => self.frame_lines(Arc::clone(layout)),
            State::Skip { layout, reject } => self.skip_line(Arc::clone(layout), reject.clone()),
            State::AfterEnd(layout) => self.frame_after_end(Arc::clone(layout)),
            State::Refused => {
                self.drop_front(self.carry.len());
                None
            }
        }
    }

    fn frame_header(&mut self) -> Option<Frame> {
        let finder = HeaderFinder {
            bytes: &self.carry,
            at_start: self.carry_offset == 0,
            is_final: self.read.is_final,
            dialect: &self.dialect,
            format: self.format,
            is_utf8: self.is_utf8,
        };
        let search = finder.find();
        let (Search::Incomplete(skipped) | Search::Found { skipped, .. } | Search::Refused { skipped, .. }) =
            &search;
        let Skipped { bytes, lines } = *skipped;
        if let Search::Found { layout, .. } = &search {
            self.growth.add(layout.encoding, &self.carry[..bytes]);
        }
        self.drop_front(bytes);
        self.line += lines;
        match search {
            Search::Incomplete(_) => None,
            Search::Found { layout, ignored, has_line_feed, .. } => {
                let layout = Arc::new(layout);
                self.state = if has_line_feed { State::Lines(layout) } else { State::AfterEnd(layout) };
                if ignored.is_empty() { self.frame() } else { Some(Frame::Ignored(ignored)) }
            }
            Search::Refused { fault, line, .. } => match self.earlier_layout(&fault) {
                Some(layout) => {
                    self.state = State::Lines(Arc::new(layout));
                    self.is_headless = true;
                    if self.begins_with_mark() {
                        self.drop_front(BYTE_ORDER_MARK.len());
                    }
                    Some(Frame::EarlierHeader)
                }
                None => Some(self.refuse(&fault, &line)),
            },
        }
    }

    /// The layout of an earlier file, in the current dialect, if the fault is that this file has no header.
    fn earlier_layout(&self, fault: &HeaderFault) -> Option<Layout> {
        if fault.reason != Reason::MissingHeader || self.dialect.header != HeaderRule::FirstLine {
            return None;
        }
        let RowLayout::Csv(earlier) = &self.earlier.as_ref()?.rows else { return None };
        let (header, _) = header::parse(&earlier.line, &self.dialect, self.format).ok()?;
        let is_utf8 = self.is_utf8 || self.begins_with_mark();
        let encoding = if is_utf8 { TextEncoding::UTF_8 } else { self.dialect.encoding };
        Some(Layout { encoding, rows: RowLayout::Csv(header) })
    }

    fn begins_with_mark(&self) -> bool {
        self.carry_offset == 0 && self.carry.starts_with(BYTE_ORDER_MARK)
    }

    /// Frames all complete lines.
    fn frame_lines(&mut self, layout: Arc<Layout>) -> Option<Frame> {
        let whole = memchr::memrchr(b'\n', &self.carry).map_or(0, |last| last + 1);
        if whole == 0 && self.carry.len() > LINE_LIMIT + 1 {
            let reject = Reject::new(Reason::LineTooLong, self.line, self.carry_offset, &self.carry);
            self.skipped_growth = self.growth.total().unwrap_or_default();
            return self.skip_line(layout, reject);
        }
        let len = if self.read.is_final { self.carry.len() } else { whole };
        self.state = if self.read.is_final && whole < len {
            State::AfterEnd(Arc::clone(&layout))
        } else {
            State::Lines(Arc::clone(&layout))
        };
        if len == 0 {
            return None;
        }
        let rest = self.carry[len..].to_vec();
        let bytes = std::mem::replace(&mut self.carry, rest);
        let span =
            Span { from: self.carry_offset, to: self.carry_offset + len as u64, first_line: self.line };
        self.carry_offset = span.to;
        self.line += memchr::memchr_iter(b'\n', &bytes[..len]).count() as u64;
        let growth = self.growth.total();
        self.growth.add(layout.encoding, &bytes[..len]);
        let text = Text::new(bytes, len).with_growth(growth);
        Some(Frame::Chunk(self.chunk(span, Content::Lines(layout, text))))
    }

    /// Skips a rejected line up to its end, or up to the end of `carry`.
    fn skip_line(&mut self, layout: Arc<Layout>, mut reject: Reject) -> Option<Frame> {
        let line_feed = memchr::memchr(b'\n', &self.carry);
        let len = line_feed.map_or(self.carry.len(), |at| at + 1);
        let room = RAW_LIMIT - reject.raw.len();
        if self.carry_offset > reject.offset || reject.raw.is_empty() {
            let line = &self.carry[..line_feed.unwrap_or(len)];
            reject.raw.extend_from_slice(&line[..line.len().min(room)]);
        }
        self.growth.add(layout.encoding, &self.carry[..len]);
        self.drop_front(len);
        let line_len = self.carry_offset - reject.offset - u64::from(line_feed.is_some());
        let is_complete = line_feed.is_some() || self.read.is_final;
        if is_complete && reject.raw.len() as u64 == line_len {
            reject.raw = without_return(&reject.raw).to_vec();
        }
        if is_complete && !layout.encoding.is_utf8() {
            reject.raw = layout.encoding.decode(&reject.raw).unwrap_or_else(Cow::Owned).into_owned();
            reject.raw.truncate(RAW_LIMIT);
        }
        if !is_complete {
            self.state = State::Skip { layout, reject };
            return None;
        }
        let span = Span { from: reject.offset, to: self.carry_offset, first_line: reject.line };
        self.line = reject.line + u64::from(line_feed.is_some());
        reject.offset += self.skipped_growth;
        self.state = if line_feed.is_some() { State::Lines(layout) } else { State::AfterEnd(layout) };
        Some(Frame::Chunk(self.chunk(span, Content::Fault(reject))))
    }

    /// Continues after a last line that was counted as complete without a line feed. The line feed may
    /// still follow. Any other bytes would continue the counted line, so they are rejected.
    fn frame_after_end(&mut self, layout: Arc<Layout>) -> Option<Frame> {
        let late_end = match self.carry.as_slice() {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => return None,
            _ => {
                let reject = Reject::new(Reason::ContinuedAfterEof, self.line, self.carry_offset, &[]);
                self.skipped_growth = self.growth.total().unwrap_or_default();
                return self.skip_line(layout, reject);
            }
        };
        self.drop_front(late_end);
        self.line += 1;
        self.frame_lines(layout)
    }

    fn chunk(&self, span: Span, content: Content) -> Chunk {
        Chunk {
            input: Arc::clone(&self.input),
            span,
            position: self.position(),
            read_at: self.read.time,
            content,
        }
    }

    /// Removes the first bytes of `carry`.
    fn drop_front(&mut self, bytes: usize) {
        self.carry_offset += bytes as u64;
        self.carry.drain(..bytes);
    }

    /// Rejects the file as a whole. The reject shows the current line.
    fn refuse(&mut self, fault: &HeaderFault, line: &[u8]) -> Frame {
        let reject = Reject::new(fault.reason, self.line, self.carry_offset, line);
        let span = Span { from: self.carry_offset, to: self.read_offset(), first_line: self.line };
        self.carry_offset = span.to;
        self.carry = Vec::new();
        self.state = State::Refused;
        let delimiter = self.format.delimiter();
        let is_tsv = delimiter == Delimiter::TAB && self.dialect.delimiter != Delimiter::TAB;
        let detail = if is_tsv && fault.reason == Reason::WrongDelimiter {
            // The setting `delimiter` does not apply to this file.
            format!(
                "{}, as the ending .tsv says; let the name end in .csv, or set input.format = \"csv\"",
                fault.detail
            )
        } else {
            with_hint(Subject::Log, fault, line, delimiter)
        };
        let content = Content::Refused(reject, detail.as_str().into());
        Frame::Refused(self.chunk(span, content), detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InputId;
    use proptest::prelude::*;

    /// The pieces of a file, as (line, offset, code of the reject, bytes). The code is empty for lines
    /// that are not rejected.
    type Pieces = Vec<(u64, u64, String, Vec<u8>)>;

    fn framer() -> LineFramer {
        LineFramer::new(Arc::new(Input { id: InputId(0), label: "a.csv".to_owned() }))
    }

    /// Frames bytes and joins neighbouring chunks of lines.
    fn feed(framer: &mut LineFramer, mut bytes: &[u8], eof: Eof, pieces: &mut Pieces) {
        loop {
            let chunk = match framer.next(&mut bytes, eof, 7).unwrap() {
                Frame::Chunk(chunk) | Frame::Refused(chunk, _) => chunk,
                Frame::Ignored(_) | Frame::EarlierHeader => continue,
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
                Content::Fault(reject) | Content::Refused(reject, _) => {
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
    fn a_file_that_is_not_a_log_is_rejected_once() {
        let code = |line, code: &str| vec![(line, 0, code.to_owned())];
        assert_eq!(codes(b"u\0s\0e\0r\0\n\0"), code(1, "encoding_utf16"));
        assert_eq!(codes(b"\x89PNG\r\n\n\n"), code(1, "not_csv"));
        assert_eq!(codes(b"user_id\0\na\n"), code(1, "not_csv"));
        assert_eq!(codes(format!("{HEADER}\ra\rb").as_bytes()), code(1, "no_newline"));
        assert_eq!(codes("x".repeat((64 << 10) + 1).as_bytes()), code(1, "no_newline"));
        assert_eq!(codes(b"a;b\n1;2\n"), code(1, "wrong_delimiter"));
        assert_eq!(codes(b"\n\na,b\n1,2\n"), [(3, 2, "missing_header".to_owned())]);
    }

    #[test]
    fn an_overlong_line_is_rejected_and_the_rest_is_read() {
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
    fn an_overlong_header_after_blank_lines_needs_constant_memory() {
        let file = format!("\n{}", "x".repeat(9 << 20));
        assert_eq!(codes(file.as_bytes()), [(2, 1, "line_too_long".to_owned())]);
        let mut framer = framer();
        let mut rest = file.as_bytes();
        while !matches!(framer.next(&mut rest, Eof::MayGrow, 7).unwrap(), Frame::End) {
            assert!(framer.carry.capacity() < 3 * LINE_LIMIT);
        }
    }

    #[test]
    fn bytes_after_a_counted_last_line_are_rejected_as_a_continuation() {
        for (late, expected) in [
            ("\nc\n", vec![(4, 43, "", "c\n")]),
            ("\r\nc\n", vec![(4, 44, "", "c\n")]),
            ("x,\nc\n", vec![(3, 42, "continued_after_eof", "x,"), (4, 45, "", "c\n")]),
            ("x\ry\r\nc\n", vec![(3, 42, "continued_after_eof", "x\ry"), (4, 47, "", "c\n")]),
        ] {
            let mut framer = framer();
            let mut pieces = Pieces::new();
            feed(&mut framer, format!("{HEADER}\na\nb").as_bytes(), Eof::MayGrow, &mut pieces);
            assert_eq!(pieces.pop().unwrap().3, b"a\n");
            assert!(framer.has_partial_line());
            feed(&mut framer, b"", Eof::Final, &mut pieces);
            assert_eq!(pieces.pop().unwrap().3, b"b");
            assert!(!framer.has_partial_line());
            feed(&mut framer, late.as_bytes(), Eof::MayGrow, &mut pieces);
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
        fn growth_in_any_steps_gives_the_same_lines(
            body in "([ab,\"\r]{0,6}\n){0,8}[ab]{0,3}", blank in "([ \t]{0,2}\r?\n){0,3}", has_mark in any::<bool>(),
            mut ends in proptest::collection::vec(0_usize..120, 0..6), chunk in 1_usize..60,
        ) {
            let mark = if has_mark { "\u{feff}" } else { "" };
            let file = format!("{mark}{blank}{HEADER}\n{body}").into_bytes();
            for end in &mut ends {
                *end = (*end).min(file.len());
            }
            ends.sort_unstable();
            let mut grown = Pieces::new();
            let mut framer = LineFramer::with_chunk(Arc::clone(framer().input()), chunk);
            let mut from = 0;
            for end in ends {
                feed(&mut framer, &file[from..end], Eof::MayGrow, &mut grown);
                from = end;
                prop_assert_eq!(framer.read_offset(), from as u64);
            }
            feed(&mut framer, &file[from..], Eof::Final, &mut grown);
            prop_assert_eq!(grown, whole(&file));
        }
    }
}
