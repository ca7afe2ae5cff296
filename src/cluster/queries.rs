//! Runs the queries of a run, and writes their rows to files of the output.

use std::path::Path;

use futures::{StreamExt, TryStreamExt, stream};
use music_insights_ballista::query::{RowStream, TableFiles};
use music_insights_ballista::rows::Rows;
use music_insights_ballista::session::Session;
use music_insights_ballista::sql::{self, Query, Value};
use music_insights_ballista::tables::{Cell, Table, TableWriter};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::catalog::Song;
use crate::cluster::error::AttemptError;
use crate::insights;
use crate::insights::enriched_logs;
use crate::insights::query::{Parameter, Weeks};
use crate::model::error::Error;
use crate::publish::append_only::AppendOnlyWriter;
use crate::publish::formula_escape::FormulaEscape;
use crate::publish::snapshot::Snapshot;
use crate::publish::table_folders::TableFolders;
use crate::publish::{OutputFormats, REJECTS};
use crate::settings::Settings;
use crate::storage::SharedDisk;
use crate::text::push_cell;

/// The maximum number of blocks of lines that wait to be written.
const QUEUE: usize = 4;
/// The number of queries that run at the same time. The scheduler can then plan one query while the executors run
/// another query.
const QUERIES: usize = 3;

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

/// Runs queries and stages their rows.
///
/// # Errors
/// If a query fails, or a file cannot be written.
pub async fn stage(
    session: &Session,
    tables: &TableFiles,
    queries: Vec<Query>,
    disk: &SharedDisk,
    settings: &Settings,
) -> Result<Vec<(&'static str, Snapshot)>, AttemptError> {
    let staged = queries.into_iter().map(|query| async move {
        let rows = RowStream::new(session, &query, tables);
        let snapshot = stage_one(rows, query.name, disk, settings).await?;
        Ok((query.name, snapshot))
    });
    stream::iter(staged).buffer_unordered(QUERIES).try_collect().await
}

async fn stage_one(
    mut stream: RowStream,
    name: &'static str,
    disk: &SharedDisk,
    settings: &Settings,
) -> Result<Snapshot, AttemptError> {
    let mut next = stream.next().await?;
    while next.as_ref().is_some_and(Rows::is_empty) {
        next = stream.next().await?;
    }
    let mut header = Vec::new();
    let mut header_rows = 0;
    match settings.insights.message(name).filter(|_| next.is_none()) {
        Some(message) => {
            header.extend_from_slice(message.as_bytes());
            header_rows = 1;
        }
        None => header.extend_from_slice(insights::header(name).as_bytes()),
    }
    let (sender, mut blocks) = mpsc::channel::<Vec<u8>>(QUEUE);
    let (disk, output, formats) = (disk.clone(), settings.output.clone(), OutputFormats::of(settings));
    let written = spawn_blocking(move || {
        Snapshot::write(&disk, &TableFolders::of(&output, name), name, formats, &mut |emit| {
            let mut rows = header_rows;
            let mut is_header = true;
            while let Some(block) = blocks.blocking_recv() {
                if !std::mem::take(&mut is_header) {
                    rows += memchr::memchr_iter(b'\n', &block).count() as u64;
                }
                emit(&block);
            }
            rows
        })
    });
    // A closed channel means that the writer failed. The code below returns the error of the writer.
    let mut is_open = sender.send(header).await.is_ok();
    while let Some(rows) = next.filter(|_| is_open) {
        let mut lines = Vec::new();
        push_lines(&mut lines, &rows);
        is_open = sender.send(lines).await.is_ok();
        next = stream.next().await?;
    }
    drop(sender);
    let written = written.await.map_err(|cause| Error::Bug(format!("writing {name} panicked: {cause}")))?;
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

/// A section of an append-only table: rows of consecutive logs in the same folder of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The tables to query.
    pub tables: TableFiles,
    /// The numbers of the first and the last log; if absent, the section contains all logs of the folder.
    pub logs: Option<(u32, u32)>,
}

/// Runs a query on each section, several queries at a time. Passes the rows to `each` in the order of the sections.
///
/// # Errors
/// If a query or `each` fails.
async fn for_each_in_order(
    session: &Session,
    query: &Query,
    sections: Vec<Section>,
    mut each: impl FnMut(&Rows) -> Result<(), Error>,
) -> Result<(), AttemptError> {
    let started = sections.into_iter().map(|section| async move {
        let numbers = section.logs.map(|(from, to)| (i64::from(from), i64::from(to)));
        let mut stream = RowStream::new(session, query, &section.tables).of_inputs(numbers);
        // Requesting the first rows starts the query.
        let first = stream.next().await?;
        Ok::<_, AttemptError>((first, stream))
    });
    let mut started = Box::pin(stream::iter(started).buffered(session.cores().max(2)));
    while let Some(section) = started.next().await {
        let (mut next, mut stream) = section?;
        while let Some(rows) = next {
            tokio::task::block_in_place(|| each(&rows))?;
            next = stream.next().await?;
        }
    }
    Ok(())
}

/// Writes `enriched_logs`.
///
/// # Errors
/// If a query fails, or a file cannot be written.
pub async fn write_enriched(
    session: &Session,
    sections: Vec<Section>,
    disk: &SharedDisk,
    settings: &Settings,
) -> Result<AppendOnlyWriter, AttemptError> {
    let folder = settings.output.join(enriched_logs::NAME);
    let roll_bytes = settings.insights.enriched_logs.roll_bytes.0;
    let mut file = AppendOnlyWriter::begin(disk, &folder, enriched_logs::HEADER, roll_bytes)?;
    let escape = FormulaEscape::of(enriched_logs::NAME, settings.csv.escape_formulas);
    let query = Query { name: enriched_logs::NAME, sql: enriched_logs::ABOUT.sql, parameters: Vec::new() };
    let (mut lines, mut escaped) = (Vec::new(), Vec::new());
    for_each_in_order(session, &query, sections, |rows| {
        lines.clear();
        push_lines(&mut lines, rows);
        file.append(escape.apply(&lines, &mut escaped))
    })
    .await?;
    Ok(file)
}

/// Appends the rejects of logs to `_rejects`. `label` returns the path of the log with a given number.
///
/// # Errors
/// If a query fails, or a file cannot be written.
pub async fn write_rejects(
    session: &Session,
    sections: Vec<Section>,
    label: impl Fn(u32) -> String,
    file: &mut AppendOnlyWriter,
) -> Result<(), AttemptError> {
    let query = Query { name: REJECTS, sql: sql::REJECTS, parameters: Vec::new() };
    let mut lines = Vec::new();
    for_each_in_order(session, &query, sections, |rows| {
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
        file.append(&lines)
    })
    .await
}

/// Reads the number of unmatched plays.
///
/// # Errors
/// If the query fails.
pub async fn count_unmatched(session: &Session, tables: &TableFiles) -> Result<u64, AttemptError> {
    let query = Query { name: "unmatched", sql: sql::UNMATCHED, parameters: Vec::new() };
    let mut stream = RowStream::new(session, &query, tables);
    while let Some(rows) = stream.next().await? {
        if let Some(plays) = (!rows.is_empty()).then(|| rows.cells(0).next()?.parse().ok()).flatten() {
            return Ok(plays);
        }
    }
    Err(Error::Bug("the cluster returned no number of unmatched plays".to_owned()).into())
}

/// Writes the songs of a catalog as a table to a local file.
///
/// # Errors
/// If the file cannot be written.
pub fn write_songs(songs: &[Song<'_>], file: &Path) -> Result<(), Error> {
    let mut writer = TableWriter::create(Table::Songs, file)?;
    for song in songs {
        let cells = [song.song_id, song.title, song.artist, song.genre, song.mood];
        writer.push(&cells.map(Cell::Text))?;
    }
    writer.finish()?;
    Ok(())
}
