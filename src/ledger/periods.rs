//! Plays by period: the plays since the last commit, and the number of all plays of each period.
//!
//! Each kept length divides the plays into periods. The plays of a period have no order, so adding a play is cheap,
//! even if the plays come in random order. A [`Ledger`](crate::ledger::Ledger) is made of them when the tables of
//! the period are needed.

use std::collections::BTreeMap;

use crate::ledger::compact::{CompactPlays, NightHours};
use crate::ledger::period_slots::PeriodSlots;
use crate::model::Batch;
use crate::model::period_rules::{Kept, LatestPeriod, PeriodRules};
use crate::storage::failpoint::{Bug, planted};
use crate::time::civil::DAY;
use crate::time::period::{Length, Period};
use crate::time::window::NightWindow;

/// The plays of all periods that the rules need.
#[derive(Clone, Debug)]
pub struct PeriodPlays {
    rules: PeriodRules,
    night_hours: NightHours,
    /// The lengths whose plays are collected.
    lengths: Vec<PeriodSlots>,
    /// The lengths whose plays are those of other periods: the length, and that of the other periods.
    sums: Vec<(Length, Length)>,
    /// A day in the latest period of every length, as a number of days since 1970-01-01.
    latest_day: Option<i64>,
    /// The number of plays since the last commit.
    in_memory: usize,
}

impl PeriodPlays {
    /// Continues with `counts` plays of earlier processes. `latest_day` is the latest day that they knew. The tables
    /// count night plays within `night`.
    pub fn new(
        rules: PeriodRules,
        night: NightWindow,
        latest_day: Option<i64>,
        counts: &BTreeMap<Period, u64>,
    ) -> Self {
        let collected = |length| {
            let counts = counts.iter().filter(|(period, _)| period.length == length);
            PeriodSlots::new(length, counts.map(|(&period, &plays)| (period, plays)))
        };
        let lengths = rules.lengths().map(collected).collect();
        let night_hours = NightHours::new(night);
        Self { rules, night_hours, lengths, sums: Vec::new(), latest_day, in_memory: 0 }
    }

    /// No plays yet. If all months are kept, a year has the plays of its months, and so on, so each play is collected
    /// for few lengths.
    pub fn of_few_lengths(rules: PeriodRules, night: NightWindow) -> Self {
        let sums: Vec<(Length, Length)> =
            rules.lengths().filter_map(|length| Some((length, parts_of(&rules, length)?))).collect();
        let mut plays = Self::new(rules, night, None, &BTreeMap::new());
        plays.lengths.retain(|slots| sums.iter().all(|(sum, _)| *sum != slots.length()));
        Self { sums, ..plays }
    }

    /// Takes all plays. Afterwards, no periods are kept.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let (rules, night_hours) = (PeriodRules::default(), self.night_hours.clone());
        let (lengths, sums) = (Vec::new(), Vec::new());
        let none = Self { rules, night_hours, lengths, sums, latest_day: None, in_memory: 0 };
        std::mem::replace(self, none)
    }

    /// The rules.
    pub fn rules(&self) -> PeriodRules {
        self.rules
    }

    /// Changes the rules to rules that need fewer plays.
    pub fn set_rules(&mut self, rules: PeriodRules) {
        self.rules = rules;
        self.lengths.retain(|slots| rules.kept(slots.length()) != Kept::NONE);
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
        let (rules, latest_day) = (self.rules, self.latest_day);
        // The latest day never moves back, so a period that is not needed now is never needed again.
        let is_needed = |period| rules.needs(period, latest_day);
        for slots in &mut self.lengths {
            let mut end = 0;
            while let Some(first) = batch.play_times.get(end) {
                // Neighbouring rows mostly share a period.
                let (mut place, seconds) = slots.find(first.local.div_euclid(DAY), is_needed);
                if let Some(latest) = latest_day.filter(|_| planted(Bug::LatePlayInLatestPeriod)) {
                    (place, _) = slots.find(latest, is_needed);
                }
                let same = batch.play_times[end..].iter().take_while(|time| seconds.contains(&time.local));
                let rows = end..end + same.count();
                end = rows.end;
                if let Some(place) = place {
                    self.in_memory += rows.len();
                    slots.plays_at(place, rows.len()).extend(batch, rows, &self.night_hours);
                }
            }
        }
    }

    /// The number of plays in memory. A play counts once for each collected length.
    pub fn in_memory(&self) -> usize {
        self.in_memory
    }

    /// The plays of a period since the last commit; `None` if there are none.
    pub fn uncommitted(&self, period: Period) -> Option<&CompactPlays> {
        self.lengths.iter().find(|slots| slots.length() == period.length)?.uncommitted(period)
    }

    /// Takes the plays since the last commit that are still needed.
    pub fn take_uncommitted(&mut self) -> BTreeMap<Period, CompactPlays> {
        self.forget_unneeded();
        self.in_memory = 0;
        self.lengths.iter_mut().flat_map(PeriodSlots::take_uncommitted).collect()
    }

    /// The periods that are published, in order, each with the number of its plays.
    pub fn published(&self) -> Vec<(Period, u64)> {
        let mut counts: BTreeMap<Period, u64> = self.lengths.iter().flat_map(PeriodSlots::counts).collect();
        for &(sum, part) in &self.sums {
            let parts = self.lengths.iter().filter(|slots| slots.length() == part);
            for (part, plays) in parts.flat_map(PeriodSlots::counts) {
                *counts.entry(Period::of_day(sum, part.days().start)).or_default() += plays;
            }
        }
        counts.retain(|period, _| self.rules.publishes(*period, self.latest_day));
        counts.into_iter().collect()
    }

    fn forget_unneeded(&mut self) {
        let (rules, latest_day) = (self.rules, self.latest_day);
        self.lengths.iter_mut().for_each(|slots| slots.forget(|period| !rules.needs(period, latest_day)));
        self.in_memory = self.lengths.iter().map(PeriodSlots::in_memory).sum();
    }
}

/// The periods whose plays are those of a period of a length, if all of them are kept: the length of these periods.
fn parts_of(rules: &PeriodRules, length: Length) -> Option<Length> {
    let shorter = match length {
        Length::Day => &[][..],
        Length::Week | Length::Month => &[Length::Day],
        Length::Quarter => &[Length::Day, Length::Month],
        Length::Year => &[Length::Day, Length::Month, Length::Quarter],
    };
    // The first one has no such parts itself.
    shorter.iter().copied().find(|&part| rules.kept(part) == Kept::All)
}

/// The periods whose plays [`PeriodPlays::of_few_lengths`] collects for a period: the first and the last one.
pub fn collected_for(rules: &PeriodRules, period: Period) -> (Period, Period) {
    let Some(part) = parts_of(rules, period.length) else { return (period, period) };
    let days = period.days();
    (Period::of_day(part, days.start), Period::of_day(part, days.end - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_the_plays_of_shorter_periods_if_all_are_kept() {
        let rules = |day, month, quarter| PeriodRules {
            day,
            week: Kept::Latest(2),
            month,
            quarter,
            year: Kept::Latest(1),
            ..PeriodRules::default()
        };
        let (all, none, some) = (Kept::All, Kept::NONE, Kept::Latest(5));
        for (rules, period, expected) in [
            (rules(none, all, none), "2024", ("2024-01", "2024-12")),
            (rules(none, all, none), "2024-W09", ("2024-W09", "2024-W09")),
            (rules(none, some, all), "2024", ("2024-Q1", "2024-Q4")),
            (rules(none, some, all), "2024-Q2", ("2024-Q2", "2024-Q2")),
            (rules(all, all, all), "2024", ("2024-01-01", "2024-12-31")),
            (rules(all, none, none), "2024-W09", ("2024-02-26", "2024-03-03")),
            (rules(all, none, none), "2024-02-26", ("2024-02-26", "2024-02-26")),
            (rules(some, some, some), "2024", ("2024", "2024")),
        ] {
            let (first, last) = collected_for(&rules, period.parse().unwrap());
            assert_eq!((first.to_string().as_str(), last.to_string().as_str()), expected, "{period}");
        }
    }
}
