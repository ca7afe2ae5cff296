//! The folder of the state: how a generation is committed, and when old ones go.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::model::error::Error;
use crate::state::checkpoint::compact::Compaction;
use crate::state::checkpoint::generation::{Generation, generation_name};
use crate::state::checkpoint::segment::{SegmentEntry, SegmentWriter};
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::staged_file::StagedFile;
use crate::storage::{SharedDisk, append, remove_file, sync_folder};

/// Generations that are kept, so that there is one to go back to.
pub const KEPT: usize = 3;

/// The folder.
#[derive(Debug)]
pub struct Store {
    disk: SharedDisk,
    folder: PathBuf,
    /// The last generation that was committed.
    current: Generation,
    /// The generations that are kept, the oldest first, with the files that they need.
    kept: VecDeque<(u64, Vec<String>)>,
    compaction: Option<Compaction>,
    /// Files that no generation needs any more.
    unneeded: Vec<String>,
    /// Numbers up to this one have been used.
    used: u64,
}

impl Store {
    /// A store whose last generation is `current`, with the older ones that are kept.
    pub fn new(
        disk: &SharedDisk,
        folder: &Path,
        current: Generation,
        kept: VecDeque<(u64, Vec<String>)>,
        used: u64,
    ) -> Self {
        let folder = folder.to_owned();
        Self { disk: disk.clone(), folder, current, kept, compaction: None, unneeded: Vec::new(), used }
    }

    /// The last generation that was committed.
    pub fn current(&self) -> &Generation {
        &self.current
    }

    /// The oldest generation that one can go back to.
    pub fn oldest(&self) -> u64 {
        self.kept.front().map_or(0, |(number, _)| *number)
    }

    /// Commits a generation, with the part that `write` fills. Number and parts of `next` are set here.
    ///
    /// # Errors
    /// What the file system says (73, 74), or what is damaged (65).
    pub fn commit(
        &mut self,
        mut next: Generation,
        write: impl FnOnce(&mut SegmentWriter) -> Result<(), Error>,
    ) -> Result<(), Error> {
        next.number = self.used + 1;
        next.parts = std::mem::take(&mut self.current.parts);
        let mut writer = SegmentWriter::create(&*self.disk, &self.folder, next.number, next.number)?;
        write(&mut writer)?;
        fail_point("commit.part_written");
        let part = writer.finish()?;
        if part.tables.is_empty() {
            remove_file(&*self.disk, &self.folder.join(&part.file))?;
        } else {
            next.parts.push(part);
        }
        fail_point("commit.part_synced");
        if let Some(done) = self.compaction.take_if(|compaction| compaction.is_done()) {
            self.replace(&mut next.parts, done.finish()?);
        }
        // The names of the parts must be durable before a generation counts on them.
        sync_folder(&*self.disk, &self.folder)?;
        let path = self.folder.join(generation_name(next.number));
        let (draft, mut file) = StagedFile::create(&self.disk, &path)?;
        append(&mut *file, &path, next.to_text().as_bytes())?;
        fail_point("commit.generation_written");
        draft.sync(&mut *file)?;
        draft.commit()?;
        fail_point("commit.generation_renamed");
        sync_folder(&*self.disk, &self.folder)?;
        fail_point("commit.done");
        self.used = next.number;
        self.kept.push_back((next.number, next.files()));
        self.current = next;
        Ok(())
    }

    /// Puts a merged part in the place of those that it was made of.
    fn replace(&mut self, parts: &mut Vec<SegmentEntry>, merged: SegmentEntry) {
        let of_it = |part: &SegmentEntry| merged.first <= part.first && part.last <= merged.last;
        let from = parts.iter().position(of_it).expect("parts stay until they are replaced");
        let to = from + parts[from..].iter().take_while(|part| of_it(part)).count();
        self.unneeded.extend(parts[from..to].iter().map(|part| part.file.clone()));
        parts.splice(from..to, [merged]);
    }

    /// Removes what only generations need that are too old to go back to, and begins to merge
    /// parts if there are many. All of this can be done again.
    ///
    /// # Errors
    /// What the file system says, exit code 73.
    pub fn retire(&mut self) -> Result<(), Error> {
        while self.kept.len() > KEPT {
            let (number, files) = self.kept.pop_front().expect("there are more than are kept");
            remove_file(&*self.disk, &self.folder.join(generation_name(number)))?;
            fail_point("retire.generation");
            self.unneeded.extend(files);
        }
        let newest = if planted(Bug::RetireTooEarly) { self.kept.len() - 1 } else { 0 };
        let needed = |file: &String| self.kept.iter().skip(newest).any(|(_, files)| files.contains(file));
        // What is still needed comes up again when the generation that needs it goes.
        for file in self.unneeded.drain(..).filter(|file| !needed(file)) {
            remove_file(&*self.disk, &self.folder.join(&file))?;
            fail_point("retire.part");
        }
        if self.compaction.is_none() {
            self.compaction = Compaction::begin(&self.disk, &self.folder, &self.current.parts);
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(Ok(part)) = self.compaction.take().map(Compaction::finish) {
            // Nobody needs it; if it cannot be removed, the next start does so.
            let _ = remove_file(&*self.disk, &self.folder.join(part.file));
        }
    }
}
