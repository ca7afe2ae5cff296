//! Listening logs: the plays and the rejects of one file.

use super::duration::parse_duration;
use super::line::parse_line;
use super::lines::Line;
use super::rejects::Reject;
use super::settings::Settings;
use super::table::{Table, open};
use super::timestamp::{Instant, parse_timestamp};

const LONGEST_FIELD: usize = 4096;

/// One valid row of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    pub user_id: String,
    pub song_id: String,
    pub at: Instant,
    /// Milliseconds.
    pub duration: u64,
}

/// Reads one log to its end, or to its `max_bad_lines`-th bad line.
pub fn read_log(path: &str, bytes: &[u8], settings: &Settings) -> (Vec<Play>, Vec<Reject>) {
    let table = match open(path, bytes, &["user_id", "song_id", "timestamp", "duration_sec"]) {
        Ok(table) => table,
        Err(reject) => return (Vec::new(), vec![reject]),
    };
    let mut plays = Vec::new();
    let mut rejects = Vec::new();
    for line in &table.rows {
        match read_row(&table, line, settings) {
            Ok(play) => plays.push(play),
            Err(_) if table.repeats_header(line) => {}
            Err(reason) => {
                rejects.push(Reject::of_line(path, line, reason));
                if settings.max_bad_lines == Some(rejects.len() as u64) {
                    rejects.push(Reject::of_line(path, line, "too_many_bad_lines"));
                    break;
                }
            }
        }
    }
    (plays, rejects)
}

/// The first fault in the order line, field count, `user_id`, `song_id`, `timestamp`, `duration_sec`.
fn read_row(table: &Table<'_>, line: &Line<'_>, settings: &Settings) -> Result<Play, &'static str> {
    let fields = parse_line(line.content, line.ended)?;
    if fields.len() != table.columns.len() {
        return Err("field_count");
    }
    let field = |name: &str| &fields[table.column(name)];
    let (user_id, song_id) = (field("user_id"), field("song_id"));
    check_id(user_id)?;
    check_id(song_id)?;
    let at = parse_timestamp(field("timestamp"), settings.timezone)?;
    check_range(at, settings)?;
    let duration = parse_duration(field("duration_sec"))?;
    Ok(Play { user_id: user_id.clone(), song_id: song_id.clone(), at, duration })
}

/// Ids are non-empty and at most 4 KiB after unquoting, otherwise taken as they are.
pub fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("empty_field");
    }
    if id.len() > LONGEST_FIELD {
        return Err("field_too_long");
    }
    Ok(())
}

/// Neither before 1970 (UTC) nor later than now + 48 h; the fraction counts.
fn check_range(at: Instant, settings: &Settings) -> Result<(), &'static str> {
    let latest =
        Instant { seconds: settings.now.saturating_add(settings.max_future_seconds), nanoseconds: 0 };
    if at.seconds < 0 || at > latest {
        return Err("timestamp_range");
    }
    Ok(())
}
