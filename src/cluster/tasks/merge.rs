//! Adds up files of sums.

use std::collections::{BTreeMap, BTreeSet};

use music_insights_ballista::error::ClusterError;
use music_insights_ballista::shared_storage;

use crate::cluster::job::{MergeJob, Sums, SumsFile};
use crate::cluster::sums::{SumsSource, SumsWriter, each_listener};
use crate::cluster::tasks::sums_files::OpenSums;
use crate::cluster::tasks::{Tasks, damaged, parse};
use crate::ledger::song_plays::Total;

impl Tasks {
    /// Adds up files of sums into one. The new file has its own numbers for songs.
    pub(super) fn merge(&self, job: &MergeJob) -> Result<Sums, ClusterError> {
        let files: Vec<_> = job.sums.iter().map(|file| self.open_sums(file)).collect::<Result<_, _>>()?;
        let mut totals: BTreeMap<&[u8], Total> = BTreeMap::new();
        for file in &files {
            for (id, total) in file.songs()? {
                let sum = totals.entry(id).or_default();
                sum.plays += total.plays;
                sum.millis += total.millis;
            }
        }
        let numbers: BTreeMap<&[u8], u32> = totals.keys().copied().zip(0..).collect();
        let mut sources: Vec<SumsSource> = Vec::new();
        for file in &files {
            let songs = file.songs()?.iter().map(|(id, _)| numbers[id]).collect();
            sources.push(self.listeners_of(file, (b"", None), songs)?);
        }
        let mut writer = SumsWriter::default();
        each_listener(&sources, (b"", None), |id, nights, songs| writer.listener(id, nights, songs))
            .map_err(damaged(&job.target))?;
        writer.songs(totals.iter().map(|(&id, &total)| (id, total)));
        let weeks: BTreeSet<_> = files.iter().flat_map(OpenSums::weeks).collect();
        for week in weeks {
            let mut plays = BTreeMap::new();
            for (file, source) in files.iter().zip(&sources) {
                self.each_of_week(file, week, |song, more| {
                    let song = source.songs.get(song as usize).copied().unwrap_or_default();
                    *plays.entry(song).or_default() += more;
                })?;
            }
            writer.week(week, &plays.into_iter().collect::<Vec<_>>());
        }
        let sums = writer.finish();
        let file = SumsFile { url: job.target.clone(), offset: 0, bytes: sums.bytes.len() as u64 };
        let sample = sums.sample.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect();
        self.runtime.block_on(shared_storage::write(&parse(&job.target)?, sums.bytes))?;
        Ok(Sums { file, sample })
    }
}
