//! Inputs that are read again, because all their rows were rejected.

use std::collections::BTreeMap;

use crate::model::Reason;
use crate::state::input_progress::InputTracker;

/// The inputs of which rows were rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetriedInputs {
    /// Number of inputs that are read again.
    pub retried: u64,
    /// The names of inputs that are not read again, because other rows of them count.
    pub partly_rejected: Vec<String>,
}

impl InputTracker {
    /// Prepares for reading inputs again whose rows were all rejected. Their counts stay in the totals, because
    /// their rejects stay in `_rejects`. The source reads their files as new inputs. `settings_changed` says
    /// whether the rows of all other inputs were read with different settings of the dialect.
    pub fn retry_rejected(&mut self, settings_changed: bool) -> RetriedInputs {
        let mut found = RetriedInputs::default();
        for (&id, progress) in self.inputs.iter_mut().filter(|(_, progress)| !progress.retried) {
            if progress.has_only_rejects() {
                progress.retried = true;
                self.refused.remove(&id);
                found.retried += 1;
            } else {
                if !progress.rejected.is_empty() {
                    found.partly_rejected.push(progress.input.label.clone());
                }
                if !settings_changed || progress.rows == 0 {
                    continue;
                }
                progress.earlier_settings = true;
            }
            self.unsaved.insert(id);
        }
        for id in self.unsaved.clone() {
            self.update_unread(id);
        }
        found
    }

    /// The rejects of inputs that are read again, by the name of the input and the reason.
    pub fn retried_rejects(&self) -> BTreeMap<(String, Reason), u64> {
        let mut counts = BTreeMap::new();
        for progress in self.inputs.values().filter(|progress| progress.retried) {
            for (&reason, rows) in &progress.rejected {
                *counts.entry((progress.input.label.clone(), reason)).or_default() += rows;
            }
        }
        counts
    }
}
