//! The reference implementation of `replay`. It is simple, and processes one row at a time.
//! It shares no code with the engine. Tests compare the output of both byte for byte.
#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::pedantic)]

mod catalog;
mod csv_out;
mod dialect;
mod duration;
mod insights;
mod line;
mod lines;
mod periods;
mod play;
mod rejects;
mod settings;
mod table;
mod timestamp;

use std::collections::BTreeMap;

pub use catalog::{Catalog, Song, read_catalog};
pub use csv_out::{decimal_ratio, field, record};
pub use dialect::Dialect;
pub use duration::{format_duration, parse_duration};
pub use line::parse_line;
pub use periods::{
    Keep, LENGTHS, Latest, Length, Period, Periods, latest_period, period_files, period_tables,
    published_periods,
};
pub use play::{Play, read_log};
pub use rejects::{Reject, escape_raw};
pub use settings::{ONE, Settings, Week, format_fraction};
pub use timestamp::{Instant, format_timestamp, local_clock, parse_timestamp, parse_timestamp_in};

/// The result of a `replay`: the output files and the totals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The output files, keyed by path, such as `avg_listen_time_per_song/part-00000.csv`. Includes
    /// `_rejects`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The number of rejects for each reason. Includes the rejects of the catalog.
    pub rejected: BTreeMap<String, u64>,
    /// The number of plays that count.
    pub plays: u64,
    /// The number of valid rows outside the dates of the settings.
    pub outside: u64,
    /// The number of plays whose song is not in the catalog.
    pub unmatched: u64,
}

/// Reads the catalog, then the logs in the given order, and writes the seven insights, the rejects, and the
/// tables of the periods.
/// Panics with the reason if the catalog is broken.
pub fn replay(logs: &[(String, Vec<u8>)], catalog: &(String, Vec<u8>), settings: &Settings) -> Output {
    let (catalog_path, catalog_bytes) = catalog;
    let (songs, mut rejects) = read_catalog(catalog_path, catalog_bytes, &settings.catalog);

    let mut plays = Vec::new();
    for (path, bytes) in logs {
        let (log_plays, log_rejects) = read_log(path, bytes, settings);
        plays.extend(log_plays);
        rejects.extend(log_rejects);
    }
    let (plays, outside): (Vec<_>, Vec<_>) = plays.into_iter().partition(|play| {
        let date = local_clock(play.at, settings.timezone).date();
        settings.from.is_none_or(|from| from <= date) && settings.to.is_none_or(|to| date <= to)
    });

    let mut files = BTreeMap::new();
    let rejected_rows = ("_rejects", rejects::rejects_file(&rejects));
    for (name, text) in insights::snapshots(&plays, &songs, settings).into_iter().chain([rejected_rows]) {
        files.insert(format!("{name}/part-00000.csv"), text.into_bytes());
    }
    for (number, part) in insights::enriched_logs(&plays, &songs, settings).into_iter().enumerate() {
        files.insert(format!("enriched_logs/part-{number:05}.csv"), part.into_bytes());
    }

    files.extend(period_files(&plays, &songs, settings, &[settings.now]));

    let mut rejected = BTreeMap::new();
    for reject in &rejects {
        *rejected.entry(reject.reason.to_string()).or_insert(0) += 1;
    }
    let unmatched = plays.iter().filter(|play| !songs.contains_key(&play.song_id)).count() as u64;
    Output { files, rejected, plays: plays.len() as u64, outside: outside.len() as u64, unmatched }
}
