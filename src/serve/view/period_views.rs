//! The views of the periods that were requested last.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::serve::view::View;
use crate::serve::view::period::PeriodError;
use crate::time::period::Period;

/// Number of periods whose tables and plays stay in memory, so that their pages are fast.
const MAX_PERIODS: usize = 4;

/// The views of the latest requested periods, the latest first.
#[derive(Debug, Default)]
pub struct PeriodViews(Mutex<Vec<Arc<View>>>);

impl PeriodViews {
    /// The view of a period in the epoch of `all`, which is the view of all time. Opens files, so it must not be
    /// called in a task.
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
        recent.truncate(MAX_PERIODS);
        Ok(view)
    }

    /// Takes the view of a period out of the list.
    fn take(&self, period: Period) -> Option<Arc<View>> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = recent.iter().position(|view| view.period() == Some(period))?;
        Some(recent.remove(index))
    }
}
