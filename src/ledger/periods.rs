//! Plays by period: the plays since the last commit, and the number of all plays of each period.
//!
//! Each kept length divides the plays into periods. The plays of a period are columns without any order, so
//! adding a play is cheap, even if the plays come in random order. A
//! [`Ledger`](crate::ledger::Ledger) is made of them when the tables of the period are needed.

use std::collections::BTreeMap;

use crate::ledger::columns::PlayColumns;
use crate::model::Batch;
use crate::model::period_rules::{LatestPeriod, PeriodRules};
use crate::storage::failpoint::{Bug, planted};
use crate::time::civil::DAY;
use crate::time::period::{Length, Period};

/// The plays of all periods that the rules need.
#[derive(Clone, Debug, Default)]
pub struct PeriodPlays {
    rules: PeriodRules,
    lengths: Vec<Length>,
    /// A day in the latest period of every length, as a number of days since 1970-01-01.
    latest_day: Option<i64>,
    /// The plays since the last commit.
    uncommitted: BTreeMap<Period, PlayColumns>,
    /// The number of plays in `uncommitted`.
    in_memory: usize,
    /// The number of all plays.
    counts: BTreeMap<Period, u64>,
}

impl PeriodPlays {
    /// Continues with `counts` plays of earlier processes. `latest_day` is the latest day that they knew.
    pub fn new(rules: PeriodRules, latest_day: Option<i64>, counts: BTreeMap<Period, u64>) -> Self {
        let lengths = rules.lengths().collect();
        Self { rules, lengths, latest_day, uncommitted: BTreeMap::new(), in_memory: 0, counts }
    }

    /// The rules.
    pub fn rules(&self) -> PeriodRules {
        self.rules
    }

    /// Changes the rules to rules that need fewer plays.
    pub fn set_rules(&mut self, rules: PeriodRules) {
        (self.rules, self.lengths) = (rules, rules.lengths().collect());
        self.forget_unneeded();
    }

    /// A day in the latest period of every length; `None` without plays.
    pub fn latest_day(&self) -> Option<i64> {
        self.latest_day
    }

    /// Notes the local date of the current time, which decides the latest period if the rules say so. An earlier
    /// date than the last one is ignored.
    pub fn set_today(&mut self, day: i64) {
        if self.rules.latest == LatestPeriod::Now {
            self.latest_day = self.latest_day.max(Some(day));
        }
    }

    /// Adds the plays of a batch.
    pub fn add(&mut self, batch: &Batch) {
        if self.lengths.is_empty() {
            return;
        }
        if self.rules.latest == LatestPeriod::Data {
            let latest = batch.play_times.iter().map(|time| time.local).max();
            self.latest_day = self.latest_day.max(latest.map(|local| local.div_euclid(DAY)));
        }
        for &length in &self.lengths {
            let mut end = 0;
            while let Some(first) = batch.play_times.get(end) {
                let mut period = Period::of_local(length, first.local);
                let seconds = period.seconds();
                let same = batch.play_times[end..].iter().take_while(|time| seconds.contains(&time.local));
                let rows = end..end + same.count();
                end = rows.end;
                if planted(Bug::LatePlayInLatestPeriod) {
                    period = self.latest_day.map_or(period, |day| Period::of_day(length, day));
                }
                // The latest day never moves back, so a period that is not needed now is never needed again.
                if self.rules.needs(period, self.latest_day) {
                    self.in_memory += rows.len();
                    *self.counts.entry(period).or_default() += rows.len() as u64;
                    self.uncommitted.entry(period).or_default().extend(batch, rows);
                }
            }
        }
    }

    /// The number of plays in memory. A play counts once for each kept length.
    pub fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// The plays since the last commit.
    pub fn uncommitted(&self) -> &BTreeMap<Period, PlayColumns> {
        &self.uncommitted
    }

    /// Takes the plays since the last commit that are still needed.
    pub fn take_uncommitted(&mut self) -> BTreeMap<Period, PlayColumns> {
        self.forget_unneeded();
        self.in_memory = 0;
        std::mem::take(&mut self.uncommitted)
    }

    /// The periods that are published, in order, each with the number of its plays.
    pub fn published(&self) -> impl Iterator<Item = (Period, u64)> {
        let is_published = |period: &Period| self.rules.publishes(*period, self.latest_day);
        self.counts
            .iter()
            .map(|(&period, &plays)| (period, plays))
            .filter(move |(period, _)| is_published(period))
    }

    fn forget_unneeded(&mut self) {
        let (rules, latest_day) = (self.rules, self.latest_day);
        self.uncommitted.retain(|period, _| rules.needs(*period, latest_day));
        self.in_memory = self.uncommitted.values().map(PlayColumns::len).sum();
        self.counts.retain(|period, _| rules.needs(*period, latest_day));
    }
}
