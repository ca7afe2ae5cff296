//! The view of one period of an epoch.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::engine::epoch::{EpochPeriods, EpochSnapshot};
use crate::insights::{SNAPSHOTS, top_songs_this_week};
use crate::ledger::LedgerReader;
use crate::model::SongId;
use crate::model::period_rules::Kept;
use crate::publish::manifest::InsightEntry;
use crate::publish::periods::PeriodIndex;
use crate::serve::view::View;
use crate::serve::view::page::Query;
use crate::serve::view::period_plays::{PeriodPlays, open_table};
use crate::serve::view::table::SnapshotTable;
use crate::time::period::Period;

/// Sums over the plays of a period, or of all time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeriodTotals {
    /// Number of plays.
    pub plays: u64,
    /// Number of songs with at least one play.
    pub songs: u64,
    /// Number of plays whose song is not in the catalog.
    pub unmatched: u64,
}

/// The reason why a period cannot be shown.
#[derive(Debug)]
pub enum PeriodError {
    /// The period is not published. The text says why.
    NotPublished(String),
    /// A table of the period cannot be opened.
    Unreadable(io::Error),
}

impl View {
    /// Creates the view of a period in the epoch of `all`, which is the view of all time. Everything that has
    /// not changed since `previous`, an earlier view of the same period, is taken over.
    ///
    /// # Errors
    /// If the period is not published, or if one of its tables cannot be opened.
    pub fn of_period(
        all: &Self,
        period: Period,
        output: &Path,
        previous: Option<&Self>,
    ) -> Result<Self, PeriodError> {
        let snapshot = Arc::clone(&all.snapshot);
        let periods = &snapshot.periods;
        let index = periods.indexes.get(&period);
        let index = index.ok_or_else(|| PeriodError::NotPublished(why_not_published(periods, period)))?;
        let opened = |period: Period, index: &PeriodIndex, name, known| {
            let table = open_table(output, index, period, name, snapshot.escaped, known);
            table.map_err(PeriodError::Unreadable)
        };
        let mut tables = BTreeMap::new();
        for about in SNAPSHOTS {
            let known = previous.and_then(|previous| previous.tables.get(about.name));
            let table = opened(period, index, about.name, known)?;
            tables.extend(table.map(|table| (about.name, table)));
        }
        let known = previous.and_then(|previous| previous.period.as_ref());
        let earlier = period.back(1);
        let before = match periods.indexes.get(&earlier) {
            Some(index) => {
                let known = known.and_then(|known| known.before.as_ref()).map(|(_, table)| table);
                opened(earlier, index, top_songs_this_week::NAME, known)?
            }
            None => None,
        };
        // Plays are only added, so the same number of plays means the same plays.
        let unchanged = known.filter(|known| known.index.plays == index.plays);
        let plays = PeriodPlays {
            period,
            index: Arc::clone(index),
            loaded: unchanged.map(|known| Arc::clone(&known.loaded)).unwrap_or_default(),
            before: before.map(|table| (earlier, table)),
        };
        let charts = previous.filter(|previous| previous.has_charts_of(&plays, &snapshot));
        let charts = charts.map(|previous| previous.charts.clone()).unwrap_or_default();
        let rejects = all.rejects.clone();
        Ok(Self { snapshot, period: Some(plays), tables, enriched: None, rejects, charts })
    }

    /// Whether the charts of this view are those of a later epoch, too.
    fn has_charts_of(&self, later: &PeriodPlays, snapshot: &EpochSnapshot) -> bool {
        let own = &self.snapshot;
        self.period.as_ref().is_some_and(|plays| plays.index == later.index)
            && Arc::ptr_eq(&own.catalog, &snapshot.catalog)
            && own.insights == snapshot.insights
    }

    /// The period that this view shows; `None` for all time.
    pub fn period(&self) -> Option<Period> {
        self.period.as_ref().map(|plays| plays.period)
    }

    /// Number of plays of the period; zero for all time.
    pub fn plays_of_period(&self) -> u64 {
        self.period.as_ref().map_or(0, |plays| plays.index.plays)
    }

    /// The period before, if it is published and has a table of top songs.
    pub fn period_before(&self) -> Option<Period> {
        self.period.as_ref()?.before.as_ref().map(|(period, _)| *period)
    }

    /// The place of each top song of the period before, starting at 1. Empty if that period is not published.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn places_before(&self) -> io::Result<BTreeMap<Vec<u8>, u64>> {
        let before = self.period.as_ref().and_then(|plays| plays.before.as_ref());
        before.map_or_else(|| Ok(BTreeMap::new()), |(_, table)| places(table))
    }

    /// The place of each top song, starting at 1.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub fn places(&self) -> io::Result<BTreeMap<Vec<u8>, u64>> {
        self.table(top_songs_this_week::NAME).map_or_else(|| Ok(BTreeMap::new()), |table| places(table))
    }

    /// The entry of a published insight; `None` if it is not published.
    pub fn entry(&self, insight: &'static str) -> Option<&InsightEntry> {
        match &self.period {
            Some(plays) => plays.index.table(insight),
            None => self.snapshot.manifest.insights.get(insight),
        }
    }

    /// The plays. The plays of a period are loaded first.
    ///
    /// # Errors
    /// If the plays of the period cannot be read.
    pub fn ledger(&self) -> io::Result<&LedgerReader> {
        match &self.period {
            Some(plays) => Ok(&plays.loaded(&self.snapshot)?.ledger),
            None => Ok(&self.snapshot.ledger),
        }
    }

    /// Sums over the plays.
    ///
    /// # Errors
    /// If the plays of the period cannot be read.
    pub fn totals(&self) -> io::Result<PeriodTotals> {
        let (ledger, catalog) = (self.ledger()?, &self.snapshot.catalog.catalog);
        let mut totals = PeriodTotals { plays: ledger.plays(), ..PeriodTotals::default() };
        let played = (0..).map(SongId).zip(ledger.song_totals()).filter(|(_, total)| total.plays > 0);
        for (song, total) in played {
            totals.songs += 1;
            totals.unmatched += if catalog.contains(song) { 0 } else { total.plays };
        }
        Ok(totals)
    }

    /// Number of listeners.
    ///
    /// # Errors
    /// If the plays of the period cannot be read.
    pub fn listeners(&self) -> io::Result<u64> {
        match &self.period {
            Some(plays) => Ok(plays.loaded(&self.snapshot)?.listeners),
            None => Ok(self.snapshot.listeners),
        }
    }
}

fn places(table: &SnapshotTable) -> io::Result<BTreeMap<Vec<u8>, u64>> {
    let ranking = table.page(&Query { limit: usize::MAX, ..Query::default() })?;
    Ok((1..).zip(&ranking.rows).map(|(place, row)| (row.bytes(0).to_vec(), place)).collect())
}

/// Says why a period is not published.
fn why_not_published(periods: &EpochPeriods, period: Period) -> String {
    let (length, kept) = (period.length.name(), periods.rules.kept(period.length));
    let Some(day) = periods.latest_day.filter(|_| kept != Kept::NONE) else {
        let why =
            if kept == Kept::NONE { format!("periods.{length} is 0") } else { "there is no play".into() };
        return format!("{period} is not published: {why}");
    };
    let latest = Period::of_day(period.length, day);
    if !periods.rules.needs(period, Some(day)) {
        return format!(
            "{period} is not published: periods.{length} is {kept}, and the latest {length} is {latest}"
        );
    }
    if period > latest && !periods.rules.publishes(period, Some(day)) {
        return format!("{period} is not published yet: the latest {length} is {latest}");
    }
    format!("{period} is not published: it has no play; /api/v1/periods lists all published periods")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::period_rules::PeriodRules;
    use crate::time::civil::CivilDate;

    #[test]
    fn the_reason_names_the_setting_and_the_latest_period() {
        let rules = PeriodRules { month: Kept::All, week: Kept::Latest(2), ..PeriodRules::default() };
        let latest_day = CivilDate::parse("2025-03-21").unwrap().to_days();
        let periods = EpochPeriods { rules, latest_day, ..EpochPeriods::default() };
        let empty = EpochPeriods { rules, ..EpochPeriods::default() };
        for (periods, period, expected) in [
            (&periods, "2025", "2025 is not published: periods.year is 0"),
            (
                &periods,
                "2025-W09",
                "2025-W09 is not published: periods.week is 2, and the latest week is 2025-W12",
            ),
            (&periods, "2025-W13", "2025-W13 is not published yet: the latest week is 2025-W12"),
            (
                &periods,
                "2025-W11",
                "2025-W11 is not published: it has no play; /api/v1/periods lists all published periods",
            ),
            (
                &periods,
                "2025-04",
                "2025-04 is not published: it has no play; /api/v1/periods lists all published periods",
            ),
            (&empty, "2025-03", "2025-03 is not published: there is no play"),
        ] {
            assert_eq!(why_not_published(periods, period.parse().unwrap()), expected);
        }
    }
}
