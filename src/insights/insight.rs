//! The computation of an insight, and the cut that it reads.

use std::fmt::{self, Debug};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::insights::about::About;
use crate::insights::genre_counts::GenreCounts;
use crate::insights::query::Weeks;
use crate::ledger::song_plays::Total;
use crate::ledger::{Changes, Ledger};
use crate::model::dictionary::Dictionaries;
use crate::model::sorted_ids::SortedIds;
use crate::model::{SongId, UserId};
use crate::text::padded::PaddedText;
use crate::time::civil::Week;
use crate::time::period::Period;

/// A question about all plays up to a cut.
///
/// Every insight must obey these laws, for any ledger and catalog:
/// - **Batching.** Rows depend only on the cut. They do not depend on how plays were split into batches, or
///   on earlier cuts.
/// - **Honesty.** If [`refresh`](Insight::refresh) returns `false`, the rows are byte for byte the same as
///   the rows of the previous cut.
/// - **Completeness.** [`render`](Insight::render) writes the header first, then every row in the documented
///   order.
/// - **Once.** [`once`](Insight::once) gives the same rows as [`refresh`](Insight::refresh) and
///   [`render`](Insight::render) of a new insight.
pub trait Insight: Send {
    /// The name, texts, columns and SQL of the insight.
    fn about(&self) -> &'static About;

    /// The name of the insight in the output folder, in settings and in metrics.
    fn name(&self) -> &'static str {
        self.about().name
    }

    /// Whether a new catalog can change the rows.
    fn reads_catalog(&self) -> bool {
        true
    }

    /// Updates the rows that are affected by changes since the last cut. Returns whether any row changed.
    fn refresh(&mut self, cut: &Cut) -> bool;

    /// Passes the header and all rows of the last refreshed cut to `emit`, in pieces of whole lines.
    /// Returns the number of rows, not counting the header.
    fn render(&self, cut: &Cut, emit: &mut dyn FnMut(&[u8])) -> u64;

    /// Renders the rows of a single cut. Use it in place of [`refresh`](Insight::refresh) and
    /// [`render`](Insight::render) if the insight is dropped afterwards: then no rows need to be kept.
    fn once(&mut self, cut: &Cut) -> Once<'_>;
}

/// How the rows of a single cut are rendered.
pub enum Once<'a> {
    /// With [`render`](Insight::render).
    Table(&'a dyn Insight),
    /// For one listener after the other, together with other insights. See [`pass`](crate::insights::pass).
    Listeners(&'a dyn ListenerTable),
    /// For one song after the other.
    Songs(&'a dyn SongTable),
}

impl Debug for Once<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(insight) => formatter.debug_tuple("Table").field(&insight.name()).finish(),
            Self::Listeners(rows) => formatter.debug_tuple("Listeners").field(rows).finish(),
            Self::Songs(rows) => formatter.debug_tuple("Songs").field(rows).finish(),
        }
    }
}

/// A table with one row for each song with plays.
pub trait SongTable: Debug {
    /// Appends the row of a song. `id` is the id of the song.
    fn push_row(&self, id: &[u8], total: Total, lines: &mut Vec<u8>);
}

/// A table whose rows each belong to one listener.
pub trait ListenerTable: Debug + Sync {
    /// Appends the rows of a listener.
    fn push_rows(&self, cut: &Cut, listener: &Listener<'_>, lines: &mut Vec<u8>);

    /// The content of the file if there are no rows; `None` if it is only the header.
    fn message(&self) -> Option<String> {
        None
    }
}

/// A listener, and what several insights need to know of the listener.
#[derive(Clone, Copy, Debug)]
pub struct Listener<'a> {
    /// The number of the listener.
    pub user: UserId,
    /// The id of the listener as a CSV cell.
    pub cell: &'a PaddedText,
    /// The songs that the listener has played, each with a number of plays. A song can occur several times.
    pub plays: &'a [(SongId, u64)],
    /// The plays by genre.
    pub genres: &'a GenreCounts,
}

/// A consistent view of all plays and one catalog. All insights read the same cut.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The period whose plays the ledger has; `None` for all plays.
    pub period: Option<Period>,
    /// The plays.
    pub ledger: Arc<Ledger>,
    /// Users and songs with new plays since the last cut. If the catalog of a period is new, these are all users
    /// and songs of the period.
    pub changes: Arc<Changes>,
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Whether the catalog differs from the catalog of the last cut; true at the first cut.
    pub new_catalog: bool,
    /// The text of ids. The dictionaries may hold ids that the ledger does not have yet.
    pub dictionaries: Arc<Dictionaries>,
    /// All users, sorted by the bytes of their ids.
    pub user_order: Arc<SortedIds<UserId>>,
    /// All songs, sorted by the bytes of their ids.
    pub song_order: Arc<SortedIds<SongId>>,
    /// The week that contains the current time.
    pub current_week: Week,
    /// Number of threads that an insight may use. No result depends on it.
    pub threads: usize,
}

impl Cut {
    /// The users with rows that may have changed. If the catalog changed, these are all users.
    pub fn users_to_refresh(&self) -> Vec<UserId> {
        // The changes of a period already name all its users if the catalog is new.
        if self.new_catalog && self.period.is_none() { self.users() } else { self.changes.users.clone() }
    }

    /// All users that may have plays.
    pub fn users(&self) -> Vec<UserId> {
        match self.period {
            // A period has few of the users.
            Some(_) => self.ledger.everything().users,
            None => (0..self.user_order.ids().len() as u32).map(UserId).collect(),
        }
    }

    /// The weeks that a setting may refer to.
    pub fn weeks(&self) -> Weeks {
        Weeks::new(self.ledger.latest_local(), self.current_week)
    }
}

/// The only column of a CSV file that holds a message in place of rows. In other formats, such a file has no
/// rows.
pub const MESSAGE: &str = "message";
