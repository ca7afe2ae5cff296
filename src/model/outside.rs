//! Valid plays outside the dates of a run. They are counted, and nothing else is known of them.

/// The plays of a batch that are outside the dates of the run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutsidePlays {
    /// Their local times, in seconds since 1970-01-01 00:00:00 local.
    pub times: Vec<i64>,
    /// For each reject of the batch, the number of these plays before the reject. Empty if the run has no
    /// limit of dates.
    pub before_rejects: Vec<u32>,
}

impl OutsidePlays {
    /// Number of plays.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there are no plays.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Removes the plays after the reject with index `last`.
    pub fn truncate_after_reject(&mut self, last: usize) {
        if let Some(&plays) = self.before_rejects.get(last) {
            self.times.truncate(plays as usize);
            self.before_rejects.truncate(last + 1);
        }
    }
}
