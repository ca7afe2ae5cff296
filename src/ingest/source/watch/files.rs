//! Which tail a file belongs to, whatever its name.

use std::collections::hash_map::Entry;
use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::source::fingerprint::FileId;
use crate::ingest::source::scan::is_log_name;
use crate::ingest::source::tail::{Look, Tail};
use crate::ingest::source::watch::Watch;
use crate::model::error::Error;

use crate::model::{Input, InputId};
use crate::text::path_text;

impl Watch {
    /// Takes a tail in; it stands for its path and its file from now on.
    pub(super) fn follow(&mut self, tail: Tail) -> usize {
        let index = self.tails.len();
        self.by_number.insert(tail.id().number, index);
        self.inodes.insert(tail.id().number.inode());
        self.by_input.insert(tail.input().id, index);
        let path = tail.path().to_owned();
        self.tails.push(tail);
        self.name(index, path);
        index
    }

    /// The tail of a file: the one that has followed it, under whatever name, or a new one. Nothing
    /// if nobody can say what counts of it.
    pub(super) fn tail_of(&mut self, path: PathBuf, metadata: &Metadata) -> io::Result<Option<usize>> {
        let by_number = self.by_number(&path, metadata);
        let by_path = by_number.filter(|&index| self.tails[index].path() == path);
        let by_path = by_path.or_else(|| self.by_path.get(&path).copied());
        let mut candidate = by_path;
        let mut look = match by_path {
            Some(index) => self.tails[index].look(&path, metadata)?,
            None => Look::Another,
        };
        if look != Look::Same
            && let Some(index) = by_number
            && by_path != Some(index)
        {
            candidate = Some(index);
            look = self.tails[index].look(&path, metadata)?;
        }
        let is_log = is_log_name(path.file_name().unwrap_or_default());
        match (look, candidate) {
            (Look::Same, Some(index)) => {
                self.rename(index, path);
                return Ok(Some(index));
            }
            (Look::Rewritten, Some(index)) => {
                self.rename(index, path);
                self.report_conflict(index, metadata);
                return Ok(None);
            }
            (Look::Copy, Some(index)) => {
                self.move_to(index, metadata);
                return Ok(Some(index));
            }
            (Look::Truncated, Some(index)) if !is_log => {
                self.rules.metrics.files_truncated.inc();
                // Nobody can say whether this is what was read under another name.
                let shown = path.display();
                tracing::warn!(
                    "{shown}: was cut short under a name that is no log's; it is not read any more"
                );
                let number = self.tails[index].id().number;
                self.tails[index].close();
                self.by_number.remove(&number);
                self.inodes.remove(&number.inode());
            }
            (Look::Truncated, Some(index)) => {
                self.rules.metrics.files_truncated.inc();
                let path = path.display();
                tracing::warn!("{path}: was cut short; reading it from its beginning");
                self.tails[index].close();
            }
            _ => {
                if by_path.is_some_and(|index| !self.tails[index].is_rejected()) {
                    let path = path.display();
                    tracing::warn!("{path}: another file has taken its place; reading it from its beginning");
                }
            }
        }
        if !is_log {
            return Ok(None);
        }
        let input = Arc::new(Input { id: InputId(self.next_input), label: path_text(&path) });
        self.next_input += 1;
        Ok(Some(self.follow(Tail::new(input, path, metadata, self.rules.delimiter))))
    }

    fn rename(&mut self, index: usize, path: PathBuf) {
        if self.by_path.get(&path) == Some(&index) {
            return;
        }
        let old = self.tails[index].path();
        if self.by_path.get(old) == Some(&index) {
            self.by_path.remove(old);
        }
        self.orphans.remove(&index);
        self.tails[index].rename(path.clone());
        self.name(index, path);
    }

    /// Gives a tail a path; another that had it must do with the open file.
    fn name(&mut self, index: usize, path: PathBuf) {
        if let Some(other) = self.by_path.insert(path, index) {
            self.waiting.remove(&other);
            if self.tails[other].is_open() {
                self.orphans.insert(other);
            }
        }
    }

    /// Goes on in another file, which holds what was read.
    fn move_to(&mut self, index: usize, metadata: &Metadata) {
        let old = self.tails[index].id().number;
        if self.by_number.get(&old) == Some(&index) {
            self.by_number.remove(&old);
        }
        self.tails[index].move_to(metadata);
        let new = self.tails[index].id().number;
        self.by_number.insert(new, index);
        self.inodes.insert(new.inode());
    }

    /// The tail of a file that has this name, or had one that is gone or another file's now.
    fn by_number(&self, path: &Path, metadata: &Metadata) -> Option<usize> {
        let id = FileId::of(metadata);
        let &index = self.by_number.get(&id.number)?;
        let tail = &self.tails[index];
        let there = || tail.path().symlink_metadata().ok().map(|metadata| FileId::of(&metadata));
        let free = tail.path() == path || !there().is_some_and(|there| there.may_be_same(tail.id()));
        (free && id.may_be_same(tail.id())).then_some(index)
    }

    fn report_conflict(&mut self, index: usize, metadata: &Metadata) {
        self.rules.metrics.files_rewritten.inc();
        let tail = &mut self.tails[index];
        tracing::error!(
            "{}: bytes before {} were read and are others now; nothing more is read of it until it is \
             replaced or cut short (a copy under another name is read from its beginning)",
            tail.path().display(),
            tail.offset()
        );
        let message = format!("{}: bytes that were read have been rewritten", tail.path().display());
        tail.give_up(metadata);
        self.failure = Some(Error::MissingInput(message));
        self.waiting.remove(&index);
    }

    /// Notices a file that holds what another has held.
    pub(super) fn note_content(&mut self, index: usize, before: Option<(u64, u128, u128)>) {
        let content = self.tails[index].content();
        if content == before {
            return;
        }
        if let Some(before) = before
            && self.contents.get(&before) == Some(&index)
        {
            self.contents.remove(&before);
        }
        let Some(content) = content else { return };
        match self.contents.entry(content) {
            Entry::Vacant(entry) => {
                entry.insert(index);
            }
            Entry::Occupied(entry) if *entry.get() == index => {}
            Entry::Occupied(entry) => {
                let [this, that] = [index, *entry.get()].map(|tail| self.tails[tail].path().display());
                tracing::warn!("{this}: holds the same as {that}; its rows count again");
            }
        }
    }
}
