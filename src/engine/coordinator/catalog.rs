//! The current catalog, and the rejects of its versions.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::catalog::reload::CatalogVersion;
use crate::model::{Reason, Reject};
use crate::publish::manifest::CatalogEntry;

/// The catalog version that the last cut used, and the channel that delivers newer versions.
#[derive(Debug)]
pub(super) struct CatalogInForce {
    version: Arc<CatalogVersion>,
    versions: watch::Receiver<Arc<CatalogVersion>>,
    /// Rejects that `_rejects` already contains. If a later version of the catalog has the same rejects, they
    /// are not reported again.
    reported: HashSet<(Reason, Vec<u8>)>,
}

impl CatalogInForce {
    /// Starts with the newest version. `reported` has the rejects that earlier processes reported.
    pub(super) fn new(
        versions: watch::Receiver<Arc<CatalogVersion>>,
        reported: HashSet<(Reason, Vec<u8>)>,
    ) -> Self {
        let version = Arc::clone(&versions.borrow());
        Self { version, versions, reported }
    }

    /// The current version: the catalog, and the rejects of its file.
    pub(super) fn version(&self) -> &Arc<CatalogVersion> {
        &self.version
    }

    /// The catalog.
    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.version.catalog
    }

    /// The newest version, if its content differs from the current one.
    pub(super) fn newer(&self) -> Option<Arc<CatalogVersion>> {
        let newest = Arc::clone(&self.versions.borrow());
        (newest.catalog.fingerprint() != self.version.catalog.fingerprint()).then_some(newest)
    }

    /// Switches to a newer version.
    pub(super) fn update(&mut self, version: Arc<CatalogVersion>) {
        self.version = version;
    }

    /// Returns the rejects of the current version that are not reported yet, and marks them as reported.
    pub(super) fn take_new_rejects(&mut self) -> Vec<Reject> {
        let is_new = |reject: &&Reject| !self.reported.contains(&(reject.reason, reject.raw.clone()));
        let new: Vec<Reject> = self.version.rejects.iter().filter(is_new).cloned().collect();
        self.reported.extend(new.iter().map(|reject| (reject.reason, reject.raw.clone())));
        new
    }

    /// Reports all rejects of the current version again.
    pub(super) fn forget_reported(&mut self) {
        self.reported.clear();
    }

    /// The entry of the catalog in the manifest.
    pub(super) fn entry(&self, path: &Path) -> CatalogEntry {
        let catalog = self.catalog();
        CatalogEntry::new(path, catalog.len(), &self.version.rejects, catalog.fingerprint())
    }
}
