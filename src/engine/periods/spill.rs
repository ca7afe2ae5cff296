//! Moves the plays of periods from memory to temporary files, so that the memory of a `replay` is bounded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::ledger::Ledger;
use crate::ledger::columns::PlayColumns;
use crate::model::error::Error;
use crate::state::checkpoint::periods::{SavedPeriods, write_periods};
use crate::state::checkpoint::segment::{SegmentEntry, SegmentWriter};
use crate::storage::SharedDisk;
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// Temporary segments in the output folder. Dropping the value removes them.
#[derive(Debug)]
pub(super) struct Spill {
    disk: SharedDisk,
    folder: PathBuf,
    segments: Vec<SegmentEntry>,
    /// The segment that a thread is writing.
    writing: Option<JoinHandle<Result<SegmentEntry, Error>>>,
    written: u64,
}

impl Spill {
    /// No segments yet.
    pub(super) fn new(disk: &SharedDisk, folder: &Path) -> Self {
        Self {
            disk: disk.clone(),
            folder: folder.to_owned(),
            segments: Vec::new(),
            writing: None,
            written: 0,
        }
    }

    /// Begins to write plays. Waits for the previous segment, so at most two segments are in memory.
    ///
    /// # Errors
    /// A file system error, exit code 73 or 74.
    pub(super) async fn write(
        &mut self,
        plays: BTreeMap<Period, PlayColumns>,
        window: NightWindow,
    ) -> Result<(), Error> {
        self.finish().await?;
        self.written += 1;
        let (disk, path) = (self.disk.clone(), self.folder.join(format!(".periods-{:05}.tmp", self.written)));
        self.writing = Some(spawn_blocking(move || {
            let mut writer = SegmentWriter::create_at(&*disk, &path)?;
            let ledgers =
                plays.into_iter().map(|(period, plays)| (period, Ledger::of_columns(&plays, window)));
            write_periods(&mut writer, ledgers)?;
            writer.finish()
        }));
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else { return Ok(()) };
        let written = writing.await.map_err(|cause| Error::Bug(format!("a thread has panicked: {cause}")))?;
        self.segments.push(written?);
        Ok(())
    }

    /// Adds all written plays to `saved`.
    ///
    /// # Errors
    /// A file system error.
    pub(super) async fn read(&mut self, saved: &mut SavedPeriods) -> Result<(), Error> {
        self.finish().await?;
        saved.follow(&*self.disk, &self.folder, &self.segments)
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        for segment in &self.segments {
            // If a file cannot be removed now, the next run removes it.
            let _ = self.disk.remove(&self.folder.join(&segment.file));
        }
    }
}
