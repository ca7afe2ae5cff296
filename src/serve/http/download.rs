//! Downloads of insights as CSV or Parquet.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream::{self, Stream, StreamExt};
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderValue};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::insights::{columns, enriched_logs, name_in_period};
use crate::publish::formula_escape::escape_formulas;
use crate::publish::parquet::ParquetWriter;
use crate::serve::http::priority::lower_priority;
use crate::serve::http::response::{Problem, uncached, with_epoch};
use crate::serve::http::tables::{absent, snapshot};
use crate::serve::view::View;

/// Bytes per read.
const READ_SIZE: usize = 256 << 10;
/// Maximum number of pieces of a Parquet file that wait to be sent.
const BUFFERED: usize = 4;

const CSV: &str = "text/csv; charset=utf-8";

/// A byte range that the server sends from a published file.
struct FileRange {
    file: File,
    from: u64,
    to: u64,
}

/// All rows of an insight as CSV. Without `escape_formulas`, the response has exactly the published bytes.
pub(super) fn csv(view: &View, insight: &'static str, escape_formulas: bool) -> Result<Response, Problem> {
    let ranges = file_ranges(view, insight)?;
    let bytes: u64 = ranges.iter().map(|range| range.to - range.from).sum();
    let published = stream::unfold(ranges, read_next);
    let response = if escape_formulas {
        uncached(CSV, Body::from_stream(escaped(insight, published)))
    } else {
        let mut response = uncached(CSV, Body::from_stream(published));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        response
    };
    Ok(with_epoch(view, named(response, &file_name(view, insight, "csv"))))
}

/// Puts a `'` in front of each text cell that a spreadsheet would take for a formula.
fn escaped(
    insight: &str,
    pieces: impl Stream<Item = io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let columns = columns(insight).unwrap_or_default();
    let pieces = pieces.map(Some).chain(stream::iter([None]));
    let mut rest = Vec::new();
    pieces.map(move |piece| {
        let end = match piece.transpose()? {
            // The last line may continue in the next piece.
            Some(piece) => {
                rest.extend_from_slice(&piece);
                memchr::memrchr(b'\n', &rest).map_or(0, |end| end + 1)
            }
            None => rest.len(),
        };
        let incomplete = rest.split_off(end);
        let mut lines = Vec::new();
        escape_formulas(columns, &std::mem::replace(&mut rest, incomplete), &mut lines);
        Ok(lines.into())
    })
}

/// All rows of an insight as Parquet. The rows are converted while the response is sent.
pub(super) fn parquet(
    conversions: &Arc<Semaphore>,
    view: &View,
    insight: &'static str,
) -> Result<Response, Problem> {
    if !crate::ingest::parquet::AVAILABLE {
        return Err(Problem::not_found(crate::ingest::parquet::MISSING));
    }
    let permit = Arc::clone(conversions).try_acquire_owned();
    let permit =
        permit.map_err(|_| Problem::unavailable("too many Parquet downloads at the same time; try again"))?;
    let (mut ranges, columns) = (file_ranges(view, insight)?, columns(insight).unwrap_or_default());
    let (sender, receiver) = mpsc::channel(BUFFERED);
    let convert = move || {
        lower_priority();
        let mut convert = || -> io::Result<()> {
            let mut out = ParquetWriter::new(columns, BodyWriter(sender.clone()))?;
            while let Some(bytes) = read(&mut ranges) {
                out.push(&bytes?)?;
            }
            out.finish().map(drop)
        };
        if let Err(cause) = convert() {
            // Sending fails if the client has closed the connection.
            let _ = sender.blocking_send(Err(cause));
        }
        drop(permit);
    };
    let spawned = std::thread::Builder::new().name("http-parquet".to_owned()).spawn(convert);
    spawned.map_err(|cause| {
        Problem::unavailable(format!("cannot start a thread for the conversion: {cause}"))
    })?;
    let response =
        uncached("application/vnd.apache.parquet", Body::from_stream(ReceiverStream::new(receiver)));
    Ok(with_epoch(view, named(response, &file_name(view, insight, "parquet"))))
}

/// A writer that sends all its bytes as the body of a response.
struct BodyWriter(mpsc::Sender<io::Result<Bytes>>);

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The byte ranges with the rows of an insight, last range first. Only the range of the first part
/// includes the header.
fn file_ranges(view: &View, insight: &'static str) -> Result<Vec<FileRange>, Problem> {
    let unreadable = |cause: io::Error| Problem::unreadable(&cause);
    if insight != enriched_logs::NAME {
        let table = snapshot(view, insight)?;
        table.check().map_err(unreadable)?;
        let file = table.file().try_clone().map_err(unreadable)?;
        return Ok(vec![FileRange { file, from: 0, to: table.entry().bytes }]);
    }
    let table = view.enriched().ok_or_else(|| absent(view, insight))?;
    let files = table.files().map_err(unreadable)?;
    let header = table.header_len();
    let range =
        |(index, (file, bytes))| FileRange { file, from: if index == 0 { 0 } else { header }, to: bytes };
    let mut ranges: Vec<FileRange> = files.into_iter().enumerate().map(range).collect();
    ranges.reverse();
    Ok(ranges)
}

async fn read_next(mut ranges: Vec<FileRange>) -> Option<(io::Result<Bytes>, Vec<FileRange>)> {
    // Blocking is acceptable: the file is probably in memory, and only other requests use this thread.
    let bytes = read(&mut ranges)?;
    Some((bytes, ranges))
}

/// Reads the next bytes of the last range; `None` if no range has any bytes left.
fn read(ranges: &mut Vec<FileRange>) -> Option<io::Result<Bytes>> {
    while ranges.last().is_some_and(|range| range.from == range.to) {
        ranges.pop();
    }
    let range = ranges.last_mut()?;
    let mut bytes = vec![0; READ_SIZE.min((range.to - range.from) as usize)];
    let read = range.file.read_exact_at(&mut bytes, range.from);
    range.from += bytes.len() as u64;
    Some(read.map(|()| Bytes::from(bytes)))
}

/// The name of the file that a browser saves, such as `top_songs-2025-03.csv`.
fn file_name(view: &View, insight: &'static str, extension: &str) -> String {
    match view.period() {
        Some(period) => format!("{}-{period}.{extension}", name_in_period(insight)),
        None => format!("{insight}.{extension}"),
    }
}

/// Sets the name of the file that a browser saves.
fn named(mut response: Response, name: &str) -> Response {
    let value = format!("attachment; filename=\"{name}\"");
    let value = HeaderValue::try_from(value).expect("names of insights are ASCII");
    response.headers_mut().insert(CONTENT_DISPOSITION, value);
    response
}
