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
use crate::insights::columns::columns;
use crate::insights::{
    avg_listen_time_per_song, enriched_logs, genre_loyalty_scores, happy_recommendations, night_owl_users,
    top_songs_this_week, user_favorite_genres,
};
use crate::model::error::Error;

use crate::insights::user_favorite_genres::Ties;
use crate::model::value::Fraction;
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

/// The queries of the enabled insights that are snapshots. `week` is the Monday (days since 1970-01-01) of the week
/// of the top songs.
pub fn queries(settings: &Settings, week: i32) -> Vec<Query> {
    let insights = &settings.insights;
    let number = |value: u64| Value::Number(i64::try_from(value).unwrap_or(i64::MAX));
    let fraction = |value: Fraction| number(value.billionths());
    let favorites = &insights.user_favorite_genres;
    let ties = if favorites.ties == Ties::First { "first" } else { "all" };
    let average = &insights.avg_listen_time_per_song;
    let top = &insights.top_songs_this_week;
    let happy = &insights.happy_recommendations;
    let loyalty = &insights.genre_loyalty_scores;
    let owls = &insights.night_owl_users;
    let all = [
        (
            favorites.enabled,
            user_favorite_genres::NAME,
            sql::USER_FAVORITE_GENRES,
            vec![("ties", Value::Text(ties.to_owned()))],
        ),
        (
            average.enabled,
            avg_listen_time_per_song::NAME,
            sql::AVG_LISTEN_TIME_PER_SONG,
            vec![("decimals", number(u64::from(average.decimals.0)))],
        ),
        (
            top.enabled,
            top_songs_this_week::NAME,
            sql::TOP_SONGS_THIS_WEEK,
            vec![("limit", number(top.limit as u64)), ("week", Value::Week(week))],
        ),
        (
            happy.enabled,
            happy_recommendations::NAME,
            sql::HAPPY_RECOMMENDATIONS,
            vec![
                ("per_user", number(happy.per_user as u64)),
                ("min_sad_plays", number(happy.min_sad_plays)),
                ("min_sad_share", fraction(happy.min_sad_share)),
                ("dominant", Value::Flag(happy.dominant)),
            ],
        ),
        (
            loyalty.enabled,
            genre_loyalty_scores::NAME,
            sql::GENRE_LOYALTY_SCORES,
            vec![
                ("threshold", fraction(loyalty.threshold)),
                ("decimals", number(u64::from(loyalty.decimals.0))),
            ],
        ),
        (
            owls.enabled,
            night_owl_users::NAME,
            sql::NIGHT_OWL_USERS,
            vec![("min_plays", number(u64::from(owls.min_plays)))],
        ),
    ];
    let enabled = all.into_iter().filter(|(enabled, ..)| *enabled);
    enabled.map(|(_, name, sql, parameters)| Query { name, sql, parameters }).collect()
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
    if next.is_none() && name == genre_loyalty_scores::NAME {
        lines.extend_from_slice(
            genre_loyalty_scores::message(settings.insights.genre_loyalty_scores.threshold).as_bytes(),
        );
        rows = 1;
    } else {
        push_header(&mut lines, name);
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

fn push_header(lines: &mut Vec<u8>, name: &str) {
    for (index, column) in columns(name).unwrap_or_default().iter().enumerate() {
        if index > 0 {
            lines.push(b',');
        }
        lines.extend_from_slice(column.name.as_bytes());
    }
    lines.push(b'\n');
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
    let query = Query { name: enriched_logs::NAME, sql: sql::ENRICHED_LOGS, parameters: Vec::new() };
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
