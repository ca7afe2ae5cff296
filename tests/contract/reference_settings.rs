//! Converts settings of the engine to settings of the reference.

use chrono::{DateTime, Datelike};
use music_insights::insights::top_songs_this_week::WeekChoice;
use music_insights::insights::user_favorite_genres::Ties;
use music_insights::model::dialect::columns::ColumnName;
use music_insights::model::period_rules::{Kept, LatestPeriod};
use music_insights::model::value::Fraction;
use music_insights::settings::{Settings, values_of};
use music_insights::time::civil::Week;

use crate::reference;

/// Converts settings of the engine to settings of the reference.
pub(crate) fn reference_settings(settings: &Settings, now: i64) -> reference::Settings {
    let Settings { timezone, input, insights, .. } = settings;
    let happy = &insights.happy_recommendations;
    let night = &insights.night_owl_users;
    reference::Settings {
        timezone: timezone.0.name().parse().unwrap(),
        now,
        max_future_seconds: input.max_future.0.as_secs() as i64,
        input: log_dialect(settings),
        catalog: catalog_dialect(settings),
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
        from: None,
        to: None,
        roll_bytes: insights.enriched_logs.roll_bytes.0,
        periods: periods(settings),
        insights: values_of(settings)
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("insights.")?.to_owned(), value.to_string())))
            .collect(),
    }
}

fn periods(settings: &Settings) -> reference::Periods {
    let keep = |kept| match kept {
        Kept::Latest(periods) => reference::Keep::Latest(u64::from(periods)),
        Kept::All => reference::Keep::All,
    };
    let periods = &settings.periods;
    reference::Periods {
        day: keep(periods.day),
        week: keep(periods.week),
        month: keep(periods.month),
        quarter: keep(periods.quarter),
        year: keep(periods.year),
        latest: match periods.latest {
            LatestPeriod::Data => reference::Latest::Data,
            LatestPeriod::Now => reference::Latest::Now,
        },
        insights: Some(periods.insights.to_string().split(',').map(str::to_owned).collect()),
    }
}

fn log_dialect(settings: &Settings) -> reference::Dialect {
    let input = &settings.input;
    let default = reference::Dialect::of_logs();
    let columns = default.columns.iter().zip(input.columns.in_order());
    reference::Dialect {
        columns: columns.map(|((field, _), column)| (*field, column.to_string())).collect(),
        header: input.header.to_string(),
        timestamp: input.timestamp.to_string(),
        duration: input.duration.to_string(),
        decimal: char::from(input.decimal.byte()),
        delimiter: char::from(input.delimiter.byte()),
        encoding: input.encoding.to_string(),
        quoting: input.quoting,
    }
}

fn catalog_dialect(settings: &Settings) -> reference::Dialect {
    let catalog = settings.catalog_dialect();
    let default = reference::Dialect::of_catalog();
    let columns = default.columns.iter().zip(catalog.columns.in_order());
    let text = |column: Option<&ColumnName>| column.map(ToString::to_string).unwrap_or_default();
    reference::Dialect {
        columns: columns.map(|((field, _), column)| (*field, text(column))).collect(),
        header: catalog.header.to_string(),
        delimiter: char::from(catalog.delimiter.byte()),
        encoding: catalog.encoding.to_string(),
        quoting: catalog.quoting,
        ..default
    }
}

/// Converts a week number. Week 0 contains 1970-01-01, a Thursday. The Thursday of a week determines its ISO
/// year and number.
fn named_week(week: Week) -> reference::Week {
    let thursday = DateTime::from_timestamp(week.0 * 7 * 86_400, 0).unwrap().date_naive().iso_week();
    reference::Week::Named(thursday.year(), thursday.week())
}

/// Converts a fraction. The engine gives the value of a fraction only as text.
fn billionths(fraction: Fraction) -> u64 {
    let text = fraction.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{decimals:0<9}").parse().unwrap()
}
