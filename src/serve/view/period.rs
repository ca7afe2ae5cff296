//! The view of one period of an epoch.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::insights::top_songs_this_week;
use crate::ledger::LedgerReader;
use crate::model::SongId;
use crate::publish::manifest::InsightEntry;
use crate::serve::view::View;
use crate::serve::view::page::Query;
use crate::serve::view::period_plays::PeriodPlays;
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

impl View {
    /// The view of a period in the epoch of `all`, which is the view of all time.
    pub fn of_period(all: &Self, plays: Arc<PeriodPlays>) -> Self {
        Self {
            snapshot: Arc::clone(&all.snapshot),
            tables: plays.tables.clone(),
            enriched: None,
            rejects: all.rejects.clone(),
            charts: Arc::clone(&plays.charts),
            period: Some(plays),
        }
    }

    /// The period that this view shows; `None` for all time.
    pub fn period(&self) -> Option<Period> {
        self.period.as_ref().map(|plays| plays.period)
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
