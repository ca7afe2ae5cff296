//! Insights as files: the bytes that were published.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures::stream::{self, Stream, StreamExt};
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderValue};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::insights::columns;
use crate::insights::enriched_logs;
use crate::publish::formula_escape::escape_formulas;
use crate::publish::parquet::ParquetWriter;
use crate::serve::http::context::Context;
use crate::serve::http::give_way;
use crate::serve::http::response::{Problem, text, with_epoch};
use crate::serve::view::View;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;
/// Pieces of Parquet that wait to be sent.
const WAITING: usize = 4;

const CSV: &str = "text/csv; charset=utf-8";

/// A piece of a file that is sent.
struct Piece {
    file: File,
    from: u64,
    to: u64,
}

/// All rows of an insight as CSV.
pub(super) fn csv(view: &View, insight: &'static str, escape_formulas: bool) -> Result<Response, Problem> {
    let pieces = pieces(view, insight)?;
    let bytes: u64 = pieces.iter().map(|piece| piece.to - piece.from).sum();
    let published = stream::unfold(pieces, read);
    let answer = if escape_formulas {
        text(CSV, Body::from_stream(escaped(insight, published)))
    } else {
        let mut answer = text(CSV, Body::from_stream(published));
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        answer
    };
    Ok(with_epoch(view, named(answer, &format!("{insight}.csv"))))
}

/// Lines with an apostrophe where a spreadsheet would see a formula.
fn escaped(
    insight: &str,
    pieces: impl Stream<Item = io::Result<Bytes>>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let columns = columns(insight).unwrap_or_default();
    let pieces = pieces.map(Some).chain(stream::iter([None]));
    let mut rest = Vec::new();
    pieces.map(move |piece| {
        let end = match piece.transpose()? {
            // The last line may go on in the next piece.
            Some(piece) => {
                rest.extend_from_slice(&piece);
                memchr::memrchr(b'\n', &rest).map_or(0, |end| end + 1)
            }
            None => rest.len(),
        };
        let cut_off = rest.split_off(end);
        let mut lines = Vec::new();
        escape_formulas(columns, &std::mem::replace(&mut rest, cut_off), &mut lines);
        Ok(lines.into())
    })
}

/// All rows of an insight as Parquet, made while it is sent.
pub(super) fn parquet(context: &Context, view: &View, insight: &'static str) -> Result<Response, Problem> {
    if !crate::ingest::parquet::AVAILABLE {
        return Err(Problem::not_found(crate::ingest::parquet::MISSING));
    }
    let place = Arc::clone(&context.conversions).try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("others are being sent Parquet; try again"))?;
    let (mut pieces, columns) = (pieces(view, insight)?, columns(insight).unwrap_or_default());
    let (sender, receiver) = mpsc::channel(WAITING);
    let convert = move || {
        give_way();
        let mut convert = || -> io::Result<()> {
            let mut out = ParquetWriter::new(columns, Sent(sender.clone()))?;
            while let Some(bytes) = read_on(&mut pieces) {
                out.push(&bytes?)?;
            }
            out.finish().map(drop)
        };
        if let Err(cause) = convert() {
            // Whoever has hung up does not hear it.
            let _ = sender.blocking_send(Err(cause));
        }
        drop(place);
    };
    let spawned = std::thread::Builder::new().name("http-parquet".to_owned()).spawn(convert);
    spawned.map_err(|cause| Problem::unavailable(format!("cannot convert: {cause}")))?;
    let answer = text("application/vnd.apache.parquet", Body::from_stream(ReceiverStream::new(receiver)));
    Ok(with_epoch(view, named(answer, &format!("{insight}.parquet"))))
}

/// Where bytes are written that are sent.
struct Sent(mpsc::Sender<io::Result<Bytes>>);

impl Write for Sent {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The parts of an insight, the first with its header.
fn pieces(view: &View, insight: &'static str) -> Result<Vec<Piece>, Problem> {
    let unreadable = |cause: io::Error| Problem::unreadable(&cause);
    let disabled = || Problem::not_found(format!("{insight} is disabled by the settings"));
    if insight != enriched_logs::NAME {
        let table = view.table(insight).ok_or_else(disabled)?;
        let file = table.file().try_clone().map_err(unreadable)?;
        return Ok(vec![Piece { file, from: 0, to: table.entry().bytes }]);
    }
    let log = view.enriched().ok_or_else(disabled)?;
    let files = log.files().map_err(unreadable)?;
    let header = log.header_len();
    let piece = |(index, (file, bytes))| Piece { file, from: if index == 0 { 0 } else { header }, to: bytes };
    let mut pieces: Vec<Piece> = files.into_iter().enumerate().map(piece).collect();
    pieces.reverse();
    Ok(pieces)
}

/// Reads on in the last of the files.
async fn read(mut pieces: Vec<Piece>) -> Option<(io::Result<Bytes>, Vec<Piece>)> {
    // Most likely it is in memory; and nobody waits for this thread but those who ask.
    let bytes = read_on(&mut pieces)?;
    Some((bytes, pieces))
}

fn read_on(pieces: &mut Vec<Piece>) -> Option<io::Result<Bytes>> {
    while pieces.last().is_some_and(|piece| piece.from == piece.to) {
        pieces.pop();
    }
    let piece = pieces.last_mut()?;
    let mut bytes = vec![0; PIECE.min((piece.to - piece.from) as usize)];
    let read = piece.file.read_exact_at(&mut bytes, piece.from);
    piece.from += bytes.len() as u64;
    Some(read.map(|()| Bytes::from(bytes)))
}

/// Tells a browser what to call a file.
fn named(mut answer: Response, name: &str) -> Response {
    let value = format!("attachment; filename=\"{name}\"");
    let value = HeaderValue::try_from(value).expect("names of insights are plain");
    answer.headers_mut().insert(CONTENT_DISPOSITION, value);
    answer
}
