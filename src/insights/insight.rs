//! The computation of an insight, and the cut that it reads.

use std::sync::Arc;

use crate::catalog::Catalog;
use crate::insights::about::About;
use crate::insights::query::Weeks;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::Dictionaries;
use crate::model::sorted_ids::SortedIds;
use crate::model::{SongId, UserId};
use crate::time::civil::Week;

/// A question about all plays up to a cut.
///
/// Laws, for any insight, ledger and catalog:
/// - **Batching.** Rows depend on the cut alone, not on the batches in which plays arrived, nor on
///   the cuts that were refreshed before.
/// - **Honesty.** If [`refresh`](Insight::refresh) says that nothing changed, the rows are byte for byte those of
///   the cut before.
/// - **Completeness.** [`render`](Insight::render) gives the header first, then every row, in the documented order.
pub trait Insight: Send {
    /// Its name, texts, columns and SQL.
    fn about(&self) -> &'static About;

    /// The name of its output folder, its settings and its metrics.
    fn name(&self) -> &'static str {
        self.about().name
    }

    /// Updates the rows for what changed since the last cut, and returns whether any row changed.
    fn refresh(&mut self, cut: &Cut) -> bool;

    /// Passes the header and all rows of the last refreshed cut to `emit`, in pieces of whole lines.
    /// Returns the number of rows without the header.
    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64;
}

/// A consistent view of all plays and one catalog, the same for all insights.
#[derive(Clone, Debug)]
pub struct Cut {
    /// All plays.
    pub ledger: Arc<Ledger>,
    /// Users and songs with new plays since the last cut.
    pub changes: Arc<Changes>,
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Whether the catalog differs from that of the last cut; true at the first cut.
    pub new_catalog: bool,
    /// The text of ids. May hold ids that the ledger does not have yet.
    pub dictionaries: Arc<Dictionaries>,
    /// All users in the order of their ids' bytes.
    pub user_order: Arc<SortedIds<UserId>>,
    /// All songs in the order of their ids' bytes.
    pub song_order: Arc<SortedIds<SongId>>,
    /// The week of the current time.
    pub current_week: Week,
}

impl Cut {
    /// The users whose rows may have changed: all users if the catalog changed.
    pub fn users_to_refresh(&self) -> Vec<UserId> {
        if self.new_catalog {
            (0..self.user_order.ids().len() as u32).map(UserId).collect()
        } else {
            self.changes.users.clone()
        }
    }

    /// The weeks that a setting may refer to.
    pub fn weeks(&self) -> Weeks {
        Weeks::new(self.ledger.latest_local(), self.current_week)
    }
}

/// The only column of a CSV file that holds a sentence in place of rows. Other formats have no rows then.
pub const MESSAGE: &str = "message";
