//! The periods that were requested last.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::epoch::EpochPeriods;
use crate::model::period_rules::Kept;
use crate::serve::view::View;
use crate::serve::view::period_plays::PeriodPlays;
use crate::time::period::Period;

/// Number of periods whose tables and plays stay in memory, so that their pages are fast.
const MAX_PERIODS: usize = 4;
/// If the periods have more plays than this together, fewer of them stay in memory. A play needs at most five
/// bytes.
const MAX_PLAYS: u64 = 16 << 20;

/// The reason why a period cannot be shown.
#[derive(Debug)]
pub enum PeriodError {
    /// The period is not published. The text says why.
    NotPublished(String),
    /// A table of the period cannot be opened.
    Unreadable(io::Error),
}

/// The latest requested periods, the latest first.
#[derive(Debug, Default)]
pub struct PeriodViews(Mutex<Vec<Arc<PeriodPlays>>>);

impl PeriodViews {
    /// The view of a period in the epoch of `all`, which is the view of all time. Opens files, so it must not
    /// be called in a task.
    ///
    /// # Errors
    /// If the period is not published, or if one of its tables cannot be opened.
    pub fn view(&self, all: &View, period: Period, output: &Path) -> Result<View, PeriodError> {
        let periods = &all.snapshot.periods;
        let index = periods.indexes.get(&period);
        let index = index.ok_or_else(|| PeriodError::NotPublished(why_not_published(periods, period)))?;
        let known = self.known(period);
        let plays = PeriodPlays::open(&all.snapshot, period, index, output, known.as_deref());
        let plays = Arc::new(plays.map_err(PeriodError::Unreadable)?);
        self.remember(Arc::clone(&plays));
        Ok(View::of_period(all, plays))
    }

    fn known(&self, period: Period) -> Option<Arc<PeriodPlays>> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().find(|plays| plays.period == period).cloned()
    }

    fn remember(&self, plays: Arc<PeriodPlays>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|other| other.period != plays.period);
        recent.insert(0, plays);
        let mut sum = 0;
        let fits = |plays: &&Arc<PeriodPlays>| {
            sum += plays.index.plays;
            sum <= MAX_PLAYS
        };
        let kept = recent.iter().take(MAX_PERIODS).take_while(fits).count();
        // The latest period stays, however long it is.
        recent.truncate(kept.max(1));
    }
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
