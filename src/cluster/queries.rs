//! What a cluster answers, as the files of the output.

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use music_insights_ballista::session::{Answer, Cluster, Rows};
use music_insights_ballista::sql::{self, Query, Value};
use music_insights_ballista::tables::Table;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use url::Url;

use crate::cluster::{Ended, failure_of};
use crate::insights;
use crate::insights::enriched_logs;
use crate::insights::query::{Parameter, Weeks};
use crate::model::error::Error;

use crate::publish::OutputFormats;
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::rolling_file::RollingFile;
use crate::publish::snapshot::Snapshot;
use crate::settings::Settings;
use crate::storage::SharedDisk;
use crate::text::push_cell;

/// Pieces of text that wait to be written.
const QUEUE: usize = 4;
/// Queries that are asked at the same time: while one is planned, another runs.
const QUERIES: usize = 3;

/// Tables by name, with the files that each is made of.
pub type Tables = Vec<(Table, Vec<Url>)>;

/// The queries of the enabled snapshots.
pub fn queries(settings: &Settings, weeks: Weeks) -> Vec<Query> {
    let value = |parameter| match parameter {
        Parameter::Text(text) => Value::Text(text),
        Parameter::Number(number) => Value::Number(number),
        Parameter::Week(days) => Value::Week(days),
        Parameter::Flag(flag) => Value::Flag(flag),
    };
    let queries = settings.insights.queries(weeks).into_iter();
    queries
        .map(|query| Query {
            name: query.name,
            sql: query.sql,
            parameters: query.parameters.into_iter().map(|(name, given)| (name, value(given))).collect(),
        })
        .collect()
}

/// Asks the queries and stages what is answered.
///
/// # Errors
/// The first query that fails, or what the file system says.
pub async fn stage(
    cluster: &Cluster,
    tables: &Tables,
    queries: Vec<Query>,
    disk: &SharedDisk,
    settings: &Settings,
) -> Result<Vec<(&'static str, Snapshot)>, Ended> {
    let staged = queries.into_iter().map(|query| async move {
        let answer = cluster.ask_query(&query, tables);
        let snapshot = stage_one(answer, query.name, disk, settings).await?;
        Ok((query.name, snapshot))
    });
    stream::iter(staged).buffer_unordered(QUERIES).try_collect().await
}

async fn stage_one(
    mut answer: Answer,
    name: &'static str,
    disk: &SharedDisk,
    settings: &Settings,
) -> Result<Snapshot, Ended> {
    let mut lines = Vec::new();
    let mut next = answer.next().await?;
    while next.as_ref().is_some_and(Rows::is_empty) {
        next = answer.next().await?;
    }
    let mut rows = 0;
    match settings.insights.message(name).filter(|_| next.is_none()) {
        Some(message) => {
            lines.extend_from_slice(message.as_bytes());
            rows = 1;
        }
        None => lines.extend_from_slice(insights::header(name).as_bytes()),
    }
    let (sender, mut pieces) = mpsc::channel::<Vec<u8>>(QUEUE);
    let (disk, output, formats) = (disk.clone(), settings.output.clone(), OutputFormats::of(settings));
    let written = spawn_blocking(move || {
        Snapshot::write(&disk, &output, name, formats, &mut |emit| {
            let mut lines = rows;
            // The first piece is the header.
            let mut is_header = true;
            while let Some(piece) = pieces.blocking_recv() {
                if !std::mem::take(&mut is_header) {
                    lines += memchr::memchr_iter(b'\n', &piece).count() as u64;
                }
                emit(&piece);
            }
            lines
        })
    });
    // If nobody listens any more, writing has failed, and says so below.
    let mut listens = sender.send(lines).await.is_ok();
    while let Some(rows) = next.filter(|_| listens) {
        let mut lines = Vec::new();
        push_lines(&mut lines, &rows);
        listens = sender.send(lines).await.is_ok();
        next = answer.next().await?;
    }
    drop(sender);
    let written = written.await.map_err(|cause| Error::Bug(format!("a task has died: {cause}")))?;
    Ok(written?)
}

fn push_lines(lines: &mut Vec<u8>, rows: &Rows) {
    for row in 0..rows.len() {
        for (index, cell) in rows.cells(row).enumerate() {
            if index > 0 {
                lines.push(b',');
            }
            push_cell(lines, cell.as_bytes());
        }
        lines.push(b'\n');
    }
}

/// Rows that follow each other in a log of the output, from one folder of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The files of the tables.
    pub tables: Tables,
    /// The numbers of the logs, from and to; all in the folder if absent.
    pub logs: Option<(u32, u32)>,
}

/// Asks for pieces, some ahead, and hands on their rows in order.
///
/// # Errors
/// The first query that fails, or what `each` says.
pub async fn in_order(
    cluster: &Cluster,
    query: &Query,
    pieces: Vec<Piece>,
    mut each: impl FnMut(&Rows) -> Result<(), Error>,
) -> Result<(), Ended> {
    let asked = pieces.into_iter().map(|piece| async move {
        let numbers = piece.logs.map(|(from, to)| (i64::from(from), i64::from(to)));
        let mut answer = cluster.ask_query_of(query, &piece.tables, numbers);
        // The job begins when somebody wants its first row.
        let first = answer.next().await?;
        Ok::<_, Ended>((first, answer))
    });
    let mut answers = Box::pin(stream::iter(asked).buffered(cluster.cores().max(2)));
    while let Some(answered) = answers.next().await {
        let (mut next, mut answer) = answered?;
        while let Some(rows) = next {
            tokio::task::block_in_place(|| each(&rows))?;
            next = answer.next().await?;
        }
    }
    Ok(())
}

/// Writes `enriched_logs`.
///
/// # Errors
/// The first query that fails, or what the file system says.
pub async fn write_enriched(
    cluster: &Cluster,
    pieces: Vec<Piece>,
    disk: &SharedDisk,
    settings: &Settings,
) -> Result<RollingFile, Ended> {
    let folder = settings.output.join(enriched_logs::NAME);
    let roll_bytes = settings.insights.enriched_logs.roll_bytes.0;
    let mut log = RollingFile::begin(disk, &folder, enriched_logs::HEADER, roll_bytes)?;
    let guard = FormulaEscape::of(enriched_logs::NAME, settings.csv.escape_formulas);
    let query = Query { name: enriched_logs::NAME, sql: enriched_logs::ABOUT.sql, parameters: Vec::new() };
    let (mut lines, mut room) = (Vec::new(), Vec::new());
    in_order(cluster, &query, pieces, |rows| {
        lines.clear();
        push_lines(&mut lines, rows);
        log.append(guard.apply(&lines, &mut room))
    })
    .await?;
    Ok(log)
}

/// Appends the rejects of logs, whose labels `label` knows by number.
///
/// # Errors
/// The first query that fails, or what the file system says.
pub async fn write_rejects(
    cluster: &Cluster,
    pieces: Vec<Piece>,
    label: impl Fn(u32) -> String,
    log: &mut RollingFile,
) -> Result<(), Ended> {
    let query = Query { name: "_rejects", sql: sql::REJECTS, parameters: Vec::new() };
    let mut lines = Vec::new();
    in_order(cluster, &query, pieces, |rows| {
        lines.clear();
        for row in 0..rows.len() {
            let mut cells = rows.cells(row);
            let number = cells.next().and_then(|number| number.parse().ok()).unwrap_or_default();
            push_cell(&mut lines, label(number).as_bytes());
            for cell in cells {
                lines.push(b',');
                push_cell(&mut lines, cell.as_bytes());
            }
            lines.push(b'\n');
        }
        log.append(&lines)
    })
    .await
}

/// The songs of a catalog as a table in a file of this machine.
///
/// # Errors
/// What the file system says.
pub fn write_songs(songs: &[&crate::catalog::Song], file: &Path) -> Result<(), Error> {
    use music_insights_ballista::tables::{Cell, TableWriter};
    let write = || {
        let mut writer = TableWriter::create(Table::Songs, file)?;
        for song in songs {
            let cells = [&song.song_id, &song.title, &song.artist, &song.genre, &song.mood];
            writer.push(&cells.map(|cell| Cell::Text(cell)))?;
        }
        writer.finish().map(drop)
    };
    write().map_err(|trouble| failure_of(&trouble))
}
