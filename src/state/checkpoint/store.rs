//! The state folder: commits generations and removes obsolete files.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use crate::model::error::Error;
use crate::state::checkpoint::compact::Compaction;
use crate::state::checkpoint::generation::{Generation, StateConfig, generation_name};
use crate::state::checkpoint::pace::{Pace, RunningFlush};
use crate::state::checkpoint::segment::{SegmentEntry, SegmentWriter};
use crate::storage::failpoint::{Bug, fail_point, planted};
use crate::storage::staged_file::StagedFile;
use crate::storage::{Disk, SharedDisk, append, is_missing, remove_file, sync_folder};

/// Number of generations that are kept for a rollback.
pub const KEPT: usize = 3;

/// The state folder.
#[derive(Debug)]
pub struct Store {
    disk: SharedDisk,
    folder: PathBuf,
    /// The last committed generation.
    current: Generation,
    /// The numbers of the kept generations, oldest first, each with the files that the generation needs.
    kept: VecDeque<(u64, Vec<String>)>,
    compaction: Option<Compaction>,
    pace: Pace,
    /// Files that the current generation does not need. An older generation may still need them.
    superseded: Vec<String>,
    /// The highest generation number that was ever used.
    last_number: u64,
}

impl Store {
    /// A store with its last committed generation, the kept generations and the highest number used.
    pub fn new(
        disk: &SharedDisk,
        folder: &Path,
        current: Generation,
        kept: VecDeque<(u64, Vec<String>)>,
        last_number: u64,
    ) -> Self {
        let folder = folder.to_owned();
        let disk = disk.clone();
        let (compaction, pace, superseded) = (None, Pace::default(), Vec::new());
        Self { disk, folder, current, kept, compaction, pace, superseded, last_number }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Begins a flush, for which a merge waits.
    pub fn begin_flush(&self) -> RunningFlush {
        self.pace.begin_flush()
    }

    /// The file system.
    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Whether the file of the last committed generation exists. If the file system cannot tell, the answer is
    /// yes.
    pub fn is_in_place(&self) -> bool {
        let name = generation_name(self.current.number);
        self.disk.stat(&self.folder.join(name)).map_or_else(|cause| !is_missing(&cause), |_| true)
    }

    /// Changes the settings of the state. The next commit contains them.
    pub fn set_config(&mut self, config: StateConfig) {
        self.current.config = config;
    }

    /// The last committed generation.
    pub fn current(&self) -> &Generation {
        &self.current
    }

    /// The number of the oldest kept generation.
    pub fn oldest(&self) -> u64 {
        self.kept.front().map_or(0, |(number, _)| *number)
    }

    /// Commits the generation `next`, together with a segment that `write` fills. Sets the number and the
    /// segments of the generation.
    ///
    /// # Errors
    /// A file system error (73, 74), or a damaged segment (65).
    pub fn commit(
        &mut self,
        mut next: Generation,
        write: impl FnOnce(&mut SegmentWriter) -> Result<(), Error>,
    ) -> Result<(), Error> {
        next.number = self.last_number + 1;
        next.segments = std::mem::take(&mut self.current.segments);
        let mut writer = SegmentWriter::create(&*self.disk, &self.folder, next.number, next.number)?;
        write(&mut writer)?;
        fail_point("commit.part_written");
        let segment = writer.finish()?;
        if segment.tables.is_empty() {
            remove_file(&*self.disk, &self.folder.join(&segment.file))?;
        } else {
            next.segments.push(segment);
        }
        fail_point("commit.part_synced");
        if let Some(done) = self.compaction.take_if(|compaction| compaction.is_done()) {
            self.replace(&mut next.segments, done.finish()?);
        }
        // The names of the segments must be durable before a generation relies on them.
        sync_folder(&*self.disk, &self.folder)?;
        let path = self.folder.join(generation_name(next.number));
        let (staged, mut file) = StagedFile::create(&self.disk, &path)?;
        append(&mut *file, &path, next.to_text().as_bytes())?;
        fail_point("commit.generation_written");
        staged.sync(&mut *file)?;
        staged.commit()?;
        fail_point("commit.generation_renamed");
        sync_folder(&*self.disk, &self.folder)?;
        fail_point("commit.done");
        self.last_number = next.number;
        self.kept.push_back((next.number, next.files()));
        self.current = next;
        Ok(())
    }

    /// Replaces the source segments of a merge with the merged segment.
    fn replace(&mut self, segments: &mut Vec<SegmentEntry>, merged: SegmentEntry) {
        let is_source = |segment: &SegmentEntry| merged.first <= segment.first && segment.last <= merged.last;
        let from = segments.iter().position(is_source).expect("merged segments stay until they are replaced");
        let to = from + segments[from..].iter().take_while(|segment| is_source(segment)).count();
        self.superseded.extend(segments[from..to].iter().map(|segment| segment.file.clone()));
        segments.splice(from..to, [merged]);
    }

    /// Removes the generations that are no longer kept, and the files that only they need. If enough
    /// segments are due, begins to merge them. A crash does no harm: the next start removes the remaining
    /// files.
    ///
    /// # Errors
    /// A file system error, exit code 73.
    pub fn remove_obsolete(&mut self) -> Result<(), Error> {
        while self.kept.len() > KEPT {
            let (number, files) = self.kept.pop_front().expect("more generations than are kept");
            remove_file(&*self.disk, &self.folder.join(generation_name(number)))?;
            fail_point("retire.generation");
            self.superseded.extend(files);
        }
        let newest = if planted(Bug::RetireTooEarly) { self.kept.len() - 1 } else { 0 };
        let needed = |file: &String| self.kept.iter().skip(newest).any(|(_, files)| files.contains(file));
        // If a generation still needs a file, the file is listed again when that generation is removed.
        for file in self.superseded.drain(..).filter(|file| !needed(file)) {
            remove_file(&*self.disk, &self.folder.join(&file))?;
            fail_point("retire.part");
        }
        if self.compaction.is_none() {
            self.compaction = Compaction::begin(&self.disk, &self.folder, &self.current, &self.pace);
        }
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(Ok(segment)) = self.compaction.take().map(Compaction::finish) {
            // No generation references the merged segment. If the file cannot be removed now, the next start
            // removes it.
            let _ = remove_file(&*self.disk, &self.folder.join(segment.file));
        }
    }
}
