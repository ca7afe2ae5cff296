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
/// - **Batching.** Rows depend on the cut alone, not on how plays came in batches, nor on which
///   cuts were refreshed before it.
/// - **Honesty.** If [`refresh`](Insight::refresh) says that nothing changed, the rows are byte for byte those of
///   the cut before.
/// - **Whole.** [`render`](Insight::render) gives the header first, then every row, in the contract's order.
pub trait Insight: Send {
    /// Its name, texts, columns and SQL.
    fn about(&self) -> &'static About;

    /// The name of its output folder, its settings and its metrics.
    fn name(&self) -> &'static str {
        self.about().name
    }

    /// Brings the rows up to a cut by looking at what changed, and says whether any row did.
    fn refresh(&mut self, cut: &Cut) -> bool;

    /// Hands all rows of the cut that was last refreshed to `emit`, in pieces of whole lines, the
    /// header first, and returns their number without the header.
    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64;
}

/// A consistent view of everything: the same plays and the same catalog for all insights.
#[derive(Clone, Debug)]
pub struct Cut {
    /// All plays.
    pub ledger: Arc<Ledger>,
    /// What has new plays since the cut before.
    pub changes: Arc<Changes>,
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Whether the catalog is another than at the cut before (so at the first).
    pub new_catalog: bool,
    /// The text of ids; may know more than the ledger.
    pub dictionaries: Arc<Dictionaries>,
    /// All users in the order of their ids' bytes.
    pub user_order: Arc<SortedIds<UserId>>,
    /// All songs in the order of their ids' bytes.
    pub song_order: Arc<SortedIds<SongId>>,
    /// The week of now.
    pub current_week: Week,
}

impl Cut {
    /// The users whose rows may have changed: after a change of the catalog all of them.
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
