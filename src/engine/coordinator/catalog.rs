//! The catalog in force, and the rejects of its versions.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use crate::catalog::Catalog;
use crate::catalog::reload::CatalogVersion;
use crate::model::{Reason, Reject};
use crate::publish::manifest::CatalogEntry;

/// The version of the catalog that the last cut used, and the newer ones to come.
#[derive(Debug)]
pub(super) struct CatalogInForce {
    version: Arc<CatalogVersion>,
    versions: watch::Receiver<Arc<CatalogVersion>>,
    /// Rejects that are in `_rejects` already. Later versions of the file do not repeat them.
    reported: HashSet<(Reason, Vec<u8>)>,
}

impl CatalogInForce {
    /// The newest version, with the rejects that earlier processes reported.
    pub(super) fn new(
        versions: watch::Receiver<Arc<CatalogVersion>>,
        reported: HashSet<(Reason, Vec<u8>)>,
    ) -> Self {
        let version = Arc::clone(&versions.borrow());
        Self { version, versions, reported }
    }

    /// The catalog with the rejects of its file.
    pub(super) fn version(&self) -> &Arc<CatalogVersion> {
        &self.version
    }

    /// The catalog.
    pub(super) fn catalog(&self) -> &Arc<Catalog> {
        &self.version.catalog
    }

    /// Brings the newest version into force. Returns whether its content is new.
    pub(super) fn update(&mut self) -> bool {
        let newest = self.versions.borrow();
        let is_new = newest.catalog.fingerprint() != self.version.catalog.fingerprint();
        if is_new {
            self.version = Arc::clone(&newest);
        }
        is_new
    }

    /// The rejects that no earlier version had. They count as reported from now on.
    pub(super) fn take_new_rejects(&mut self) -> Vec<Reject> {
        let is_new = |reject: &&Reject| !self.reported.contains(&(reject.reason, reject.raw.clone()));
        let new: Vec<Reject> = self.version.rejects.iter().filter(is_new).cloned().collect();
        self.reported.extend(new.iter().map(|reject| (reject.reason, reject.raw.clone())));
        new
    }

    /// The entry for the manifest.
    pub(super) fn entry(&self, path: &Path) -> CatalogEntry {
        let catalog = self.catalog();
        CatalogEntry::new(path, catalog.len(), &self.version.rejects, catalog.fingerprint())
    }
}
