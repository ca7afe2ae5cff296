//! The plays of the periods of one length, which are found by day.

use std::ops::Range;

use crate::ledger::compact::CompactPlays;
use crate::time::civil::DAY;
use crate::time::period::{Length, Period};

/// The periods of one length.
#[derive(Clone, Debug)]
pub(super) struct PeriodSlots {
    length: Length,
    /// For each day from [`FIRST_DAY`]: the index of its period in `slots` plus one, or [`UNSEEN`] or [`UNNEEDED`].
    by_day: Vec<u32>,
    slots: Vec<Slot>,
}

/// One period.
#[derive(Clone, Debug)]
struct Slot {
    period: Period,
    /// Its local times.
    seconds: Range<i64>,
    /// The plays since the last commit.
    uncommitted: CompactPlays,
    /// The number of all plays.
    count: u64,
}

/// A local time can be some hours before 1970.
const FIRST_DAY: i64 = -3;
/// No play of the day was seen yet.
const UNSEEN: u32 = 0;
/// The plays of the day are not needed.
const UNNEEDED: u32 = u32::MAX;

impl PeriodSlots {
    /// Periods with some plays of earlier processes.
    pub(super) fn new(length: Length, counts: impl Iterator<Item = (Period, u64)>) -> Self {
        let mut slots = Self { length, by_day: Vec::new(), slots: Vec::new() };
        for (period, count) in counts {
            slots.insert(period, count);
        }
        slots
    }

    /// The length of the periods.
    pub(super) fn length(&self) -> Length {
        self.length
    }

    /// The place of the period that contains a day, and its local times in seconds. If the period is not needed, there
    /// is no place, and the times are those of the day.
    #[inline]
    pub(super) fn find(
        &mut self,
        day: i64,
        is_needed: impl Fn(Period) -> bool,
    ) -> (Option<usize>, Range<i64>) {
        let place = match self.by_day.get(place_of(day)).copied().unwrap_or(UNSEEN) {
            UNSEEN => self.see(Period::of_day(self.length, day), is_needed),
            UNNEEDED => None,
            number => Some(number as usize - 1),
        };
        let seconds = place.map_or(day * DAY..(day + 1) * DAY, |place| self.slots[place].seconds.clone());
        (place, seconds)
    }

    /// The plays of the period at a place. The caller must add `rows` plays.
    #[inline]
    pub(super) fn plays_at(&mut self, place: usize, rows: usize) -> &mut CompactPlays {
        let slot = &mut self.slots[place];
        slot.count += rows as u64;
        &mut slot.uncommitted
    }

    #[cold]
    fn see(&mut self, period: Period, is_needed: impl Fn(Period) -> bool) -> Option<usize> {
        if is_needed(period) {
            return Some(self.insert(period, 0));
        }
        self.mark(period, UNNEEDED);
        None
    }

    /// Inserts a period, and returns its index.
    fn insert(&mut self, period: Period, count: u64) -> usize {
        let (seconds, uncommitted) = (period.seconds(), CompactPlays::default());
        self.slots.push(Slot { period, seconds, uncommitted, count });
        self.mark(period, self.slots.len() as u32);
        self.slots.len() - 1
    }

    fn mark(&mut self, period: Period, number: u32) {
        let days = period.days();
        let (first, end) = (place_of(days.start), place_of(days.end));
        if end > self.by_day.len() {
            self.by_day.resize(end, UNSEEN);
        }
        self.by_day[first..end].fill(number);
    }

    /// The plays of a period since the last commit; `None` if there are none.
    pub(super) fn uncommitted(&self, period: Period) -> Option<&CompactPlays> {
        let slot = self.slots.iter().find(|slot| slot.period == period)?;
        (!slot.uncommitted.is_empty()).then_some(&slot.uncommitted)
    }

    /// Takes the plays since the last commit.
    pub(super) fn take_uncommitted(&mut self) -> impl Iterator<Item = (Period, CompactPlays)> {
        let slots = self.slots.iter_mut().filter(|slot| !slot.uncommitted.is_empty());
        slots.map(|slot| (slot.period, std::mem::take(&mut slot.uncommitted)))
    }

    /// The number of plays since the last commit.
    pub(super) fn in_memory(&self) -> usize {
        self.slots.iter().map(|slot| slot.uncommitted.len()).sum()
    }

    /// The number of all plays of each period.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Period, u64)> {
        self.slots.iter().filter(|slot| slot.count > 0).map(|slot| (slot.period, slot.count))
    }

    /// Forgets periods that are never needed again.
    pub(super) fn forget(&mut self, is_unneeded: impl Fn(Period) -> bool) {
        let kept = |slot: &Slot| !is_unneeded(slot.period);
        if self.slots.iter().all(kept) {
            return;
        }
        let (kept, forgotten): (Vec<Slot>, Vec<Slot>) = self.slots.drain(..).partition(kept);
        self.slots = kept;
        for slot in forgotten {
            self.mark(slot.period, UNNEEDED);
        }
        for index in 0..self.slots.len() {
            self.mark(self.slots[index].period, index as u32 + 1);
        }
    }
}

/// The place of a day in the table of days.
fn place_of(day: i64) -> usize {
    usize::try_from(day - FIRST_DAY).unwrap_or_default()
}
