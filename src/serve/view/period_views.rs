//! The views of the periods that were requested last.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::serve::view::View;
use crate::serve::view::period::PeriodError;
use crate::time::period::Period;

/// Number of periods whose tables and plays stay in memory, so that their pages are fast.
const MAX_PERIODS: usize = 4;
/// If the periods have more plays than this together, fewer of them stay in memory. A play needs at most five
/// bytes.
const MAX_PLAYS: u64 = 16 << 20;

/// The views of the latest requested periods, the latest first.
#[derive(Debug, Default)]
pub struct PeriodViews(Mutex<Vec<Arc<View>>>);

impl PeriodViews {
    /// The view of a period in the epoch of `all`, which is the view of all time. Opens files, so it must not
    /// be called in a task.
    ///
    /// # Errors
    /// If the period is not published, or if one of its tables cannot be opened.
    pub fn view(&self, all: &View, period: Period, output: &Path) -> Result<Arc<View>, PeriodError> {
        let known = self.take(period);
        let known = known.filter(|known| known.snapshot.manifest.epoch <= all.snapshot.manifest.epoch);
        let view = match known {
            Some(same) if Arc::ptr_eq(&same.snapshot, &all.snapshot) => same,
            earlier => Arc::new(View::of_period(all, period, output, earlier.as_deref())?),
        };
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.insert(0, Arc::clone(&view));
        let mut plays = 0;
        let fits = |view: &&Arc<View>| {
            plays += view.plays_of_period();
            plays <= MAX_PLAYS
        };
        let kept = recent.iter().take(MAX_PERIODS).take_while(fits).count();
        // The latest period stays, however long it is.
        recent.truncate(kept.max(1));
        Ok(view)
    }

    /// Takes the view of a period out of the list.
    fn take(&self, period: Period) -> Option<Arc<View>> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = recent.iter().position(|view| view.period() == Some(period))?;
        Some(recent.remove(index))
    }
}
