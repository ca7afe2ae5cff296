//! The last header of each file name. It applies if a rotation starts a file with this name without a header.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::source::tail::KnownInput;
use crate::model::Layout;
use crate::text::parse_path;

/// The layouts of the last files with a header, by their names relative to the folder.
#[derive(Debug, Default)]
pub(super) struct EarlierHeaders(HashMap<PathBuf, Arc<Layout>>);

impl EarlierHeaders {
    /// Restores the headers of committed inputs. The inputs must be in the order of their ids. Inputs that were
    /// archived or deleted count, too.
    pub(super) fn of(inputs: &[KnownInput]) -> Self {
        let mut headers = Self::default();
        for known in inputs {
            if let Some(layout) = known.layout() {
                // An input that was renamed has had two names.
                headers.note(&parse_path(&known.input.label), layout);
                if !known.fingerprint.retired {
                    headers.note(&known.fingerprint.name, layout);
                }
            }
        }
        headers
    }

    /// Records the layout of the file with this name.
    pub(super) fn note(&mut self, name: &Path, layout: &Arc<Layout>) {
        if !layout.has_header() {
            return;
        }
        if !self.0.get(name).is_some_and(|known| Arc::ptr_eq(known, layout)) {
            self.0.insert(name.to_owned(), Arc::clone(layout));
        }
    }

    /// The layout of the last file that had this name.
    pub(super) fn get(&self, name: &Path) -> Option<Arc<Layout>> {
        self.0.get(name).cloned()
    }
}
