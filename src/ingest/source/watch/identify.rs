//! Decides which tail a file belongs to, regardless of its name.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use crate::ingest::source::tail::Comparison;
use crate::ingest::source::watch::tail_set::{TailId, TailSet};

/// The relation of a file to the tails of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The file that a tail follows. It may have been renamed.
    Known(TailId),
    /// A different file with the content of a tail. The tail continues in this file.
    Copy(TailId),
    /// The file that a tail follows, but bytes were overwritten after they had been read.
    Rewritten(TailId),
    /// The file that a tail follows, but shorter than the part that was read.
    Truncated(TailId),
    /// A new file at the path of a file that a tail has followed.
    Replaced(TailId),
    /// A new file.
    New,
}

/// Compares a file with the tail of its path and with the tail of its inode.
///
/// # Errors
/// An error of the file system.
pub(super) fn identify(tails: &TailSet, path: &Path, metadata: &Metadata) -> io::Result<Identity> {
    let by_file = tails.find_file(path, metadata);
    let by_path = by_file.filter(|&id| tails[id].path() == path).or_else(|| tails.find_path(path));
    let mut found = by_path;
    let mut comparison = match by_path {
        Some(id) => tails[id].compare_with(path, metadata)?,
        None => Comparison::Different,
    };
    if comparison != Comparison::Same
        && let Some(id) = by_file
        && by_path != Some(id)
    {
        found = Some(id);
        comparison = tails[id].compare_with(path, metadata)?;
    }
    Ok(match (comparison, found) {
        (Comparison::Same, Some(id)) => Identity::Known(id),
        (Comparison::Copy, Some(id)) => Identity::Copy(id),
        (Comparison::Rewritten, Some(id)) => Identity::Rewritten(id),
        (Comparison::Truncated, Some(id)) => Identity::Truncated(id),
        (Comparison::Different, _) | (_, None) => by_path.map_or(Identity::New, Identity::Replaced),
    })
}
