//! Reads the plays and the rejects of one log.

use super::dialect::Dialect;
use super::duration::parse_duration;
use super::line::parse_line;
use super::lines::Line;
use super::rejects::Reject;
use super::settings::Settings;
use super::table::{Table, open};
use super::timestamp::{Instant, parse_timestamp_in};

const LONGEST_FIELD: usize = 4096;

/// One valid row of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Play {
    pub user_id: String,
    pub song_id: String,
    pub at: Instant,
    /// The duration in milliseconds.
    pub duration: u64,
}

/// Reads one log up to its end, or up to the bad line with the number `max_bad_lines`.
pub fn read_log(path: &str, bytes: &[u8], settings: &Settings) -> (Vec<Play>, Vec<Reject>) {
    let dialect = settings.input.of_file(path);
    let table = match open(path, bytes, &dialect, false) {
        Ok(table) => table,
        Err(reject) => return (Vec::new(), vec![reject]),
    };
    let mut plays = Vec::new();
    let mut rejects = Vec::new();
    for line in &table.rows {
        if line.is_blank(dialect.delimiter) || table.repeats_header(&line.content) {
            continue;
        }
        match read_row(&table, line, &dialect, settings) {
            Ok(play) => plays.push(play),
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

/// Reads one line. The checks run in this order: line, field count, `user_id`, `song_id`, `timestamp`,
/// `duration_sec`. The first fault is the reason of the reject.
fn read_row(
    table: &Table,
    line: &Line,
    dialect: &Dialect,
    settings: &Settings,
) -> Result<Play, &'static str> {
    let fields = parse_line(&line.content, line.ended(), line.decodable, dialect)?;
    if !table.fits(&fields) {
        return Err("field_count");
    }
    let field = |name: &str| table.field(&fields, name);
    let (user_id, song_id) = (field("user_id"), field("song_id"));
    check_id(&user_id)?;
    check_id(&song_id)?;
    let at = parse_timestamp_in(&dialect.timestamp, &field("timestamp"), settings.timezone)?;
    check_range(at, settings)?;
    let duration = parse_duration(&field("duration_sec"), dialect)?;
    Ok(Play { user_id, song_id, at, duration })
}

/// Checks an id. It must not be empty, and must have at most 4 KiB after unquoting. All other text is valid.
pub fn check_id(id: &str) -> Result<(), &'static str> {
    if id.is_empty() {
        return Err("empty_field");
    }
    if id.len() > LONGEST_FIELD {
        return Err("field_too_long");
    }
    Ok(())
}

/// Checks that a timestamp is neither before 1970 (UTC) nor too far after `now`. The check includes the
/// fraction of a second.
fn check_range(at: Instant, settings: &Settings) -> Result<(), &'static str> {
    let latest =
        Instant { seconds: settings.now.saturating_add(settings.max_future_seconds), nanoseconds: 0 };
    if at.seconds < 0 || at > latest {
        return Err("timestamp_range");
    }
    Ok(())
}
