//! Reads a log, or a range of it.
//!
//! A line belongs to the range in which it begins. Every range after the first one takes its layout from the
//! start of the log. The first line of each range has the number one. The client adds the number of lines
//! before the range.

use std::io::{self, Read, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::open_file::ReadSeek;

use crate::ingest::source::framing::{CHUNK, Eof, Frame, LineFramer};
use crate::ingest::source::replay::Replay;
use crate::ingest::source::send::{no_hashes, send_chunks};
use crate::ingest::source::{EventSender, Outbox, ReadError};
use crate::model::dialect::Dialect;
use crate::model::error::{Error, FileRole, Op};
use crate::model::shutdown::Shutdown;
use crate::model::{Input, InputId, Layout, Position, ReaderState};
use crate::text::path_text;
use crate::time::clock::Clock;

/// A log that an executor reads.
pub(super) struct LogSource<'a> {
    /// The path of the log. If only a range is read, the path only tells the format, and appears in errors.
    pub(super) path: &'a Path,
    pub(super) dialect: &'a Arc<Dialect>,
    /// The time of reading, in seconds since 1970-01-01T00:00:00Z.
    pub(super) now: i64,
    /// `None` for the whole log.
    pub(super) range: Option<OpenRange>,
}

/// A range of an open log.
pub(super) struct OpenRange {
    pub(super) file: Box<dyn ReadSeek>,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl LogSource<'_> {
    /// Sends the lines. Returns the offset of the first line that was sent.
    pub(super) fn run(mut self, events: &EventSender) -> Result<u64, Error> {
        let stop = Shutdown::default();
        let Some(range) = self.range.take() else {
            let source = Replay {
                allow_empty: true,
                logs: vec![self.path.to_owned()],
                dialect: Arc::clone(self.dialect),
                now: self.now,
                chunk: CHUNK,
                // A job cannot take back what it has written, so a log is checked before it is read.
                reads_once: false,
            };
            return source.run(events, &stop).map(|()| 0);
        };
        events.send_in_bundles(CHUNK / 2);
        let from = range.from;
        let read = self.send_range(range, events, &stop);
        // If the receiver has ended, it reports why.
        let _ = events.end_bundles();
        match read {
            Ok(start) => Ok(start),
            Err(ReadError::Closed) => Ok(from),
            Err(ReadError::Failed(source)) => Err(Error::file(FileRole::Input, Op::Read, self.path, source)),
        }
    }

    fn send_range(
        &self,
        OpenRange { mut file, from, to }: OpenRange,
        events: &EventSender,
        stop: &Shutdown,
    ) -> Result<u64, ReadError> {
        let end = line_from(&mut file, to)?;
        let input = Arc::new(Input { id: InputId(0), label: path_text(self.path) });
        let mut outbox = Outbox::new(events);
        let (start, framer) = if from == 0 {
            (0, LineFramer::with_chunk(input, CHUNK))
        } else {
            let Some((layout, first_row)) = self.layout(&mut file, &input)? else { return Ok(end) };
            let offset = line_from(&mut file, from)?.max(first_row);
            let state = ReaderState::Lines(layout);
            (offset, LineFramer::resume(input, &Position { offset, state, ..Position::default() }))
        };
        file.seek(SeekFrom::Start(start))?;
        let mut rows = file.take(end.saturating_sub(start));
        let mut framer = framer.with_dialect(self.dialect, self.path);
        let clock = Clock::Stopped(self.now);
        send_chunks(&mut framer, &mut rows, Eof::Final, &no_hashes, clock, &mut outbox, stop)?;
        Ok(start)
    }

    /// The layout of the log, and the offset of its first row. `None` if the log is rejected as a whole, or has no
    /// rows. The job of the first range then reports that.
    fn layout(
        &self,
        file: &mut Box<dyn ReadSeek>,
        input: &Arc<Input>,
    ) -> io::Result<Option<(Arc<Layout>, u64)>> {
        file.rewind()?;
        let mut framer =
            LineFramer::with_chunk(Arc::clone(input), CHUNK).with_dialect(self.dialect, self.path);
        loop {
            match framer.next(file, Eof::Final, self.now)? {
                Frame::Chunk(chunk) => {
                    return Ok(match chunk.position.state {
                        ReaderState::Lines(layout) | ReaderState::AfterEnd(layout) => {
                            Some((layout, chunk.span.from))
                        }
                        _ => None,
                    });
                }
                Frame::Refused(..) | Frame::End => return Ok(None),
                Frame::Ignored(_) | Frame::EarlierHeader => {}
            }
        }
    }
}

/// The offset of the first line that begins at an offset or after it.
fn line_from(file: &mut Box<dyn ReadSeek>, offset: u64) -> io::Result<u64> {
    let Some(before) = offset.checked_sub(1) else { return Ok(0) };
    file.seek(SeekFrom::Start(before))?;
    let (mut bytes, mut at) = (vec![0; CHUNK], before);
    loop {
        let read = file.read(&mut bytes)?;
        if let Some(line_feed) = memchr::memchr(b'\n', &bytes[..read]) {
            return Ok(at + line_feed as u64 + 1);
        }
        at += read as u64;
        if read == 0 {
            return Ok(at);
        }
    }
}
