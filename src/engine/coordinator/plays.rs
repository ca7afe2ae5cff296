//! All plays in memory: the ledger and the sorted ids. This module makes the cuts.

use std::sync::Arc;

use tokio::task::{JoinHandle, spawn_blocking};

use crate::catalog::Catalog;
use crate::insights::Cut;
use crate::ledger::listens::Sealed;
use crate::ledger::{Changes, Ledger};
use crate::model::bit_set::BitSet;
use crate::model::dictionary::{Dictionaries, Dictionary, Id};
use crate::model::sorted_ids::SortedIds;
use crate::model::{Batch, SongId, UserId};
use crate::time::civil::Week;

/// Number of plays in the buffer of listens from which a cut seals them on another thread. Fewer plays are
/// sealed in a few milliseconds.
const MANY_PLAYS: usize = 100_000;

/// What has changed since the workers saw a cut for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RefreshScope {
    /// Plays.
    Plays,
    /// Plays and the catalog.
    Catalog,
    /// All plays and the catalog, because the workers are new.
    Everything,
}

/// The plays of this process and of earlier processes.
#[derive(Debug)]
pub(super) struct Plays {
    ledger: Arc<Ledger>,
    /// A full buffer of listens that another thread sorts and merges.
    sealing: Option<JoinHandle<Sealed>>,
    pub(super) dictionaries: Arc<Dictionaries>,
    pub(super) user_order: Arc<SortedIds<UserId>>,
    pub(super) song_order: Arc<SortedIds<SongId>>,
    /// The changes that the last cut contains.
    changes: Arc<Changes>,
    pub(super) listeners: ListenerSet,
}

impl Plays {
    /// Starts with the plays of earlier processes.
    pub(super) fn new(ledger: Ledger, dictionaries: Arc<Dictionaries>) -> Self {
        Self {
            ledger: Arc::new(ledger),
            sealing: None,
            dictionaries,
            user_order: Arc::default(),
            song_order: Arc::default(),
            changes: Arc::default(),
            listeners: ListenerSet::default(),
        }
    }

    /// The ledger. It is complete after a cut. Between cuts, it lacks the listens that are being sealed.
    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The data for a commit: the ledger, the changes that the last cut contains, and the dictionaries.
    pub(super) fn for_commit(&mut self) -> (&mut Ledger, &Changes, &Dictionaries) {
        (Arc::make_mut(&mut self.ledger), &self.changes, &self.dictionaries)
    }

    /// Adds the plays of a batch.
    pub(super) async fn add(&mut self, batch: &Batch) {
        Arc::make_mut(&mut self.ledger).append(batch);
        if self.ledger.listens().is_full() {
            self.start_sealing().await;
        }
    }

    /// Starts to seal the buffer of listens on another thread.
    async fn start_sealing(&mut self) {
        self.finish_sealing().await;
        let unsealed = Arc::make_mut(&mut self.ledger).tables_mut().listens.take_unsealed();
        self.sealing = Some(spawn_blocking(move || unsealed.seal()));
    }

    /// Waits for the listens that are being sealed, and puts them back into the ledger.
    async fn finish_sealing(&mut self) {
        if let Some(sealing) = self.sealing.take() {
            let sealed = sealing.await.expect("sealing does not panic");
            Arc::make_mut(&mut self.ledger).tables_mut().listens.put_back(sealed);
        }
    }

    /// Makes a cut of all plays.
    pub(super) async fn cut(
        &mut self,
        scope: RefreshScope,
        catalog: &Arc<Catalog>,
        week: Week,
        threads: usize,
    ) -> Cut {
        self.finish_sealing().await;
        if self.ledger.listens().unsealed() >= MANY_PLAYS {
            self.start_sealing().await;
        }
        // Meanwhile, this thread sorts the new ids.
        tokio::task::block_in_place(|| self.sort_ids());
        self.finish_sealing().await;
        tokio::task::block_in_place(|| {
            self.changes = Arc::new(Arc::make_mut(&mut self.ledger).cut());
            let changes = match scope {
                RefreshScope::Everything => Arc::new(self.ledger.everything()),
                RefreshScope::Plays | RefreshScope::Catalog => Arc::clone(&self.changes),
            };
            self.listeners.add(&changes.users);
            let new_catalog = scope != RefreshScope::Plays;
            Cut { changes, new_catalog, ..self.cut_without_changes(catalog, week, threads) }
        })
    }

    /// A cut without changes, for its catalog and ids.
    pub(super) fn ids(&mut self, catalog: &Arc<Catalog>, week: Week, threads: usize) -> Cut {
        self.sort_ids();
        self.cut_without_changes(catalog, week, threads)
    }

    fn cut_without_changes(&self, catalog: &Arc<Catalog>, week: Week, threads: usize) -> Cut {
        Cut {
            period: None,
            ledger: Arc::clone(&self.ledger),
            changes: Arc::default(),
            catalog: Arc::clone(catalog),
            new_catalog: false,
            dictionaries: Arc::clone(&self.dictionaries),
            user_order: Arc::clone(&self.user_order),
            song_order: Arc::clone(&self.song_order),
            current_week: week,
            threads,
        }
    }

    fn sort_ids(&mut self) {
        sort_new(&mut self.user_order, &self.dictionaries.users.read());
        sort_new(&mut self.song_order, &self.dictionaries.songs.read());
    }

    /// The number of plays of songs that `catalog` does not contain.
    pub(super) fn unmatched(&self, catalog: &Catalog) -> u64 {
        let songs = (0..self.song_order.ids().len() as u32).map(SongId);
        let unmatched = songs.filter(|&song| !catalog.contains(song));
        unmatched.map(|song| self.ledger.song_plays().total(song).plays).sum()
    }
}

/// Inserts the new ids of a dictionary.
fn sort_new<I: Id>(order: &mut Arc<SortedIds<I>>, dictionary: &Dictionary<I>) {
    if dictionary.len() > order.ids().len() {
        Arc::make_mut(order).extend(dictionary);
    }
}

/// The listeners with at least one play.
#[derive(Debug, Default)]
pub(super) struct ListenerSet {
    known: BitSet,
    count: u64,
}

impl ListenerSet {
    fn add(&mut self, users: &[UserId]) {
        for user in users {
            self.count += u64::from(self.known.insert(user.index()));
        }
    }

    /// The number of listeners.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}
