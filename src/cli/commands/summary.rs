//! The summary that `replay` and `watch` print when they end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};

use crate::engine::coordinator::RunSummary;
use crate::settings::Settings;
use crate::text::shown;
use crate::time::date_range::DateRange;

/// A summary of a run as text.
pub(super) fn summary(run: &RunSummary, settings: &Settings, elapsed: Duration) -> String {
    let manifest = &run.manifest;
    let totals = &manifest.totals;
    let seconds = elapsed.as_secs_f64().max(0.001);
    let mut text = format!(
        "read      {} rows ({}) from {} files in {seconds:.2} s, {} rows/s\n",
        HumanCount(run.rows),
        HumanBytes(run.bytes),
        HumanCount(totals.inputs),
        HumanCount((run.rows as f64 / seconds) as u64),
    );
    if run.rows < totals.rows {
        let _ = writeln!(text, "in total  {} rows, including earlier runs", HumanCount(totals.rows));
    }
    let _ = writeln!(text, "plays     {}", HumanCount(run.plays));
    text.push_str(&outside_text(manifest.dates(), totals.outside.unwrap_or_default()));
    let _ = writeln!(
        text,
        "unmatched {} plays of songs that are not in the catalog, which has {} songs",
        HumanCount(totals.unmatched),
        HumanCount(manifest.catalog.songs)
    );
    let _ = writeln!(text, "rejected  {}", rejected_text(&totals.rejected));
    if !manifest.catalog.rejected.is_empty() {
        let _ = writeln!(text, "catalog   {}", rejected_text(&manifest.catalog.rejected));
    }
    if !manifest.unfinished.is_empty() {
        let _ = writeln!(text, "unread    {} files have unread bytes", manifest.unfinished.len());
    }
    if let Some(since) = &manifest.incomplete_since {
        let _ = writeln!(text, "lost      rows of enriched_logs or _rejects from before {since}");
    }
    let parts = manifest
        .insights
        .values()
        .chain([&manifest.rejects])
        .flat_map(|entry| entry.parts.iter().chain(&entry.parquet));
    let (files, bytes) = parts.fold((1, 0), |(files, bytes), part| (files + 1, bytes + part.bytes));
    let _ = writeln!(text, "written   {files} files ({}) to {}", HumanBytes(bytes), shown(&settings.output));
    for (name, entry) in &manifest.insights {
        let _ = writeln!(text, "  {name:<26} {} rows", HumanCount(entry.rows));
    }
    text
}

/// The number of plays outside the dates of the run, as a line; empty if the run has no limit of dates.
pub(super) fn outside_text(dates: DateRange, outside: u64) -> String {
    if dates.is_unlimited() {
        return String::new();
    }
    format!("outside   {} plays outside {dates}\n", HumanCount(outside))
}

/// The number of rejected rows, in total and by reason, in one line.
pub(super) fn rejected_text(rejected: &BTreeMap<String, u64>) -> String {
    let total: u64 = rejected.values().sum();
    let reasons: Vec<String> =
        rejected.iter().map(|(code, rows)| format!("{code} {}", HumanCount(*rows))).collect();
    let colon = if reasons.is_empty() { "" } else { ": " };
    format!("{} rows{colon}{}", HumanCount(total), reasons.join(", "))
}
