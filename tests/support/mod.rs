//! What the test files share: folders as maps, both kinds of settings, and the size of a run.
#![allow(dead_code, unused_imports, reason = "every test file uses a part of it")]

pub(crate) mod engine;
mod medium;
pub(crate) mod power_loss;
pub(crate) mod sim_disk;
mod size;
pub(crate) mod workload;
pub(crate) mod world;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chrono::{DateTime, Datelike};
use music_insights::insights::top_songs_this_week::WeekChoice;
use music_insights::insights::user_favorite_genres::Ties;
use music_insights::model::value::Fraction;
use music_insights::settings::Settings;
use music_insights::time::civil::Week;

use crate::reference;
pub(crate) use size::cases;

/// Files by their path inside a folder.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// All files below a folder; nothing if there is no such folder.
pub(crate) fn files_under(folder: &Path) -> Files {
    let mut files = Files::new();
    collect(folder, "", &mut files);
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}

/// What a run has written, without the files that are no data.
pub(crate) fn output_files(folder: &Path) -> Files {
    let mut files = files_under(folder);
    files.retain(|name, _| !["_manifest.json", ".lock"].contains(&name.as_str()));
    files
}

/// The first difference in words, if there is one.
pub(crate) fn difference(expected: &Files, found: &Files) -> Option<String> {
    let names = expected.keys().chain(found.keys());
    names.into_iter().find(|name| expected.get(*name) != found.get(*name)).map(|name| {
        let text = |files: &Files| match files.get(name) {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "no such file\n".to_owned(),
        };
        format!("{name}\n--- expected\n{}--- found\n{}---", text(expected), text(found))
    })
}

/// The settings of the engine as those of the reference.
pub(crate) fn reference_settings(settings: &Settings, now: i64) -> reference::Settings {
    let Settings { timezone, input, insights, .. } = settings;
    let happy = &insights.happy_recommendations;
    let night = &insights.night_owl_users;
    reference::Settings {
        timezone: timezone.0.name().parse().unwrap(),
        now,
        max_future_seconds: input.max_future.0.as_secs() as i64,
        max_bad_lines: (input.max_bad_lines > 0).then_some(input.max_bad_lines),
        ties_first: insights.user_favorite_genres.ties == Ties::First,
        avg_decimals: insights.avg_listen_time_per_song.decimals.0,
        top_limit: insights.top_songs_this_week.limit,
        week: match insights.top_songs_this_week.week {
            WeekChoice::Latest => reference::Week::Latest,
            WeekChoice::Current => reference::Week::Current,
            WeekChoice::Named(week) => named_week(week),
        },
        per_user: happy.per_user,
        min_sad_plays: happy.min_sad_plays,
        min_sad_share: billionths(happy.min_sad_share),
        dominant: happy.dominant,
        threshold: billionths(insights.genre_loyalty_scores.threshold),
        loyalty_decimals: insights.genre_loyalty_scores.decimals.0,
        min_plays: u64::from(night.min_plays),
        night_from: u32::from(night.from.0),
        night_to: u32::from(night.to.0),
        roll_bytes: insights.enriched_logs.roll_bytes.0,
    }
}

/// Week 0 holds 1970-01-01, a Thursday, and the Thursday names a week's ISO year and number.
fn named_week(week: Week) -> reference::Week {
    let thursday = DateTime::from_timestamp(week.0 * 7 * 86_400, 0).unwrap().date_naive().iso_week();
    reference::Week::Named(thursday.year(), thursday.week())
}

/// A fraction tells its value only as text.
fn billionths(fraction: Fraction) -> u64 {
    let text = fraction.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{decimals:0<9}").parse().unwrap()
}
