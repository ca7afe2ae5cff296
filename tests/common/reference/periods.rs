//! Calendar periods: which ones are published, and their tables.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Days, NaiveDate};

use super::catalog::Catalog;
use super::insights::{snapshots, top_songs};
use super::play::Play;
use super::settings::Settings;
use super::timestamp::{Instant, local_clock};

/// The length of a period. The order is that of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Length {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// All lengths.
pub const LENGTHS: [Length; 5] = [Length::Day, Length::Week, Length::Month, Length::Quarter, Length::Year];

/// A calendar period. Periods of one length are ordered by their dates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period {
    pub length: Length,
    /// The first date.
    pub first: NaiveDate,
}

/// How many of the latest periods of a length are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Latest(u64),
    All,
}

/// The setting `periods.latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Latest {
    /// The latest period is the last one with a play.
    Data,
    /// The latest period is that of the current time.
    Now,
}

/// The settings under `[periods]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Periods {
    pub day: Keep,
    pub week: Keep,
    pub month: Keep,
    pub quarter: Keep,
    pub year: Keep,
    pub latest: Latest,
    /// The names of the insights that are kept for periods. `None` stands for all.
    pub insights: Option<BTreeSet<String>>,
}

impl Default for Periods {
    fn default() -> Self {
        let none = Keep::Latest(0);
        Periods {
            day: none,
            week: none,
            month: none,
            quarter: none,
            year: none,
            latest: Latest::Data,
            insights: None,
        }
    }
}

impl Periods {
    pub fn keep(&self, length: Length) -> Keep {
        match length {
            Length::Day => self.day,
            Length::Week => self.week,
            Length::Month => self.month,
            Length::Quarter => self.quarter,
            Length::Year => self.year,
        }
    }
}

impl Length {
    /// The name of the setting and of the folder.
    pub fn name(self) -> &'static str {
        match self {
            Length::Day => "day",
            Length::Week => "week",
            Length::Month => "month",
            Length::Quarter => "quarter",
            Length::Year => "year",
        }
    }
}

impl Period {
    /// The period that contains a date.
    pub fn of(length: Length, date: NaiveDate) -> Period {
        let first_of_month = |month: u32| NaiveDate::from_ymd_opt(date.year(), month, 1).unwrap();
        let first = match length {
            Length::Day => date,
            Length::Week => date - Days::new(u64::from(date.weekday().num_days_from_monday())),
            Length::Month => first_of_month(date.month()),
            Length::Quarter => first_of_month((date.month() - 1) / 3 * 3 + 1),
            Length::Year => first_of_month(1),
        };
        Period { length, first }
    }

    /// The period that contains an instant. Its local date decides.
    pub fn at(length: Length, at: Instant, settings: &Settings) -> Period {
        Period::of(length, local_clock(at, settings.timezone).date())
    }

    /// The period directly before this one.
    pub fn before(self) -> Period {
        Period::of(self.length, self.first - Days::new(1))
    }

    /// The name: `2025-03-21`, `2025-W12`, `2025-03`, `2025-Q1` or `2025`.
    pub fn name(self) -> String {
        let (year, month) = (self.first.year(), self.first.month());
        match self.length {
            Length::Day => format!("{year:04}-{month:02}-{:02}", self.first.day()),
            Length::Week => {
                let week = self.first.iso_week();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Length::Month => format!("{year:04}-{month:02}"),
            Length::Quarter => format!("{year:04}-Q{}", (month - 1) / 3 + 1),
            Length::Year => format!("{year:04}"),
        }
    }

    /// The folder in the output.
    pub fn folder(self) -> String {
        format!("periods/{}/{}", self.length.name(), self.name())
    }
}

/// The latest period of a length. `None` if there is none, because there are no plays.
///
/// `times` are the times of all cuts up to this one, in Unix seconds. Only `latest = "now"` depends on them. The
/// latest period is never earlier than that of an earlier cut, even if the clock goes back.
pub fn latest_period(length: Length, plays: &[Play], settings: &Settings, times: &[i64]) -> Option<Period> {
    match settings.periods.latest {
        Latest::Data => plays.iter().map(|play| Period::at(length, play.at, settings)).max(),
        Latest::Now => {
            let instants = times.iter().map(|&seconds| Instant { seconds, nanoseconds: 0 });
            instants.map(|at| Period::at(length, at, settings)).max()
        }
    }
}

/// The periods that are published, sorted: every kept period with at least one play. `times` are those of
/// [`latest_period`].
pub fn published_periods(plays: &[Play], settings: &Settings, times: &[i64]) -> Vec<Period> {
    let mut published = Vec::new();
    for length in LENGTHS {
        let with_plays: BTreeSet<Period> =
            plays.iter().map(|play| Period::at(length, play.at, settings)).collect();
        match settings.periods.keep(length) {
            Keep::All => published.extend(&with_plays),
            Keep::Latest(count) => {
                let Some(latest) = latest_period(length, plays, settings, times) else { continue };
                let earlier = std::iter::successors(Some(latest), |period| Some(period.before()));
                // Periods without plays count, too. Before the first play there is nothing to publish.
                let kept: BTreeSet<Period> = earlier
                    .take(usize::try_from(count).unwrap_or(usize::MAX))
                    .take_while(|period| with_plays.first().is_some_and(|first| first <= period))
                    .collect();
                published.extend(with_plays.intersection(&kept));
            }
        }
    }
    published
}

/// The text of every table of a period, keyed by the name of the table.
pub fn period_tables(
    plays: &[Play],
    songs: &Catalog,
    settings: &Settings,
    period: Period,
) -> Vec<(&'static str, String)> {
    let of_period = |play: &&Play| Period::at(period.length, play.at, settings) == period;
    let plays: Vec<Play> = plays.iter().filter(of_period).cloned().collect();
    let wanted =
        |insight: &str| settings.periods.insights.as_ref().is_none_or(|insights| insights.contains(insight));
    let all = snapshots(&plays, songs, settings).into_iter().filter(|(name, _)| wanted(name));
    all.map(|(name, text)| match name {
        "top_songs_this_week" => ("top_songs", top_songs(&plays, settings)),
        _ => (name, text),
    })
    .collect()
}

/// The files of all published periods, keyed by path. `times` are those of [`latest_period`].
pub fn period_files(
    plays: &[Play],
    songs: &Catalog,
    settings: &Settings,
    times: &[i64],
) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for period in published_periods(plays, settings, times) {
        for (table, text) in period_tables(plays, songs, settings, period) {
            files.insert(format!("{}/{table}/part-00000.csv", period.folder()), text.into_bytes());
        }
    }
    files
}
