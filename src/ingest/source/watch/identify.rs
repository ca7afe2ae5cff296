//! Decides which tail a file belongs to, regardless of its name.

use std::io;

use crate::ingest::source::fingerprint::FileId;
use crate::ingest::source::scan::Candidate;
use crate::ingest::source::tail::Comparison;
use crate::ingest::source::watch::tail_id::TailId;
use crate::ingest::source::watch::tail_set::TailSet;

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
    /// A new file with the name of a file that a tail has followed.
    Replaced(TailId),
    /// A new file.
    New,
}

/// Compares a file with the tail of its name and with the tail of its inode.
///
/// # Errors
/// An error of the file system.
pub(super) fn identify(tails: &TailSet, file: &Candidate) -> io::Result<Identity> {
    let Candidate { name, path, metadata, .. } = file;
    let by_file = tails.find_file(file);
    let has_name = |&id: &TailId| tails[id].name() == name && tails[id].path() == *path;
    let by_name = by_file.filter(has_name).or_else(|| tails.find_name(name));
    let mut found = by_name;
    let mut comparison = match by_name {
        Some(id) => tails[id].compare_with(path, metadata)?,
        None => Comparison::Different,
    };
    if comparison != Comparison::Same
        && let Some(id) = by_file
        && by_name != Some(id)
    {
        let other = tails[id].compare_with(path, metadata)?;
        // If the inode may have been reused, a copy with the right name is better evidence.
        let is_certain = tails[id].id().is_same(&FileId::of(metadata));
        if comparison != Comparison::Copy || is_certain || other == Comparison::Same {
            (found, comparison) = (Some(id), other);
        }
    }
    Ok(match (comparison, found) {
        (Comparison::Same, Some(id)) => Identity::Known(id),
        (Comparison::Copy, Some(id)) => Identity::Copy(id),
        (Comparison::Rewritten, Some(id)) => Identity::Rewritten(id),
        (Comparison::Truncated, Some(id)) => Identity::Truncated(id),
        (Comparison::Different, _) | (_, None) => by_name.map_or(Identity::New, Identity::Replaced),
    })
}
