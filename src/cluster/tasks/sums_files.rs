//! Fetches files of sums, or parts of them.

use music_insights_ballista::error::ClusterError;
use music_insights_ballista::shared_storage;
use url::Url;

use crate::cluster::job::SumsFile;
use crate::cluster::sums::{Directory, IdRange, Section, SumsSource, TRAILER, each_song, each_week_song};
use crate::cluster::tasks::{Tasks, damaged, parse};
use crate::ledger::song_plays::Total;
use crate::time::civil::Week;

/// The bytes at the end of a file that are read first. In most files they contain the directory.
const END: u64 = 64 << 10;

/// An open file of sums. The directory and the songs are in memory.
#[derive(Debug)]
pub(super) struct OpenSums {
    url: Url,
    /// The offset of the sums in the file.
    offset: u64,
    directory: Directory,
    songs: Vec<u8>,
}

impl Tasks {
    /// Opens a file of sums: fetches its directory and its songs.
    pub(super) fn open_sums(&self, file: &SumsFile) -> Result<OpenSums, ClusterError> {
        let damaged = damaged(&file.url);
        let url = parse(&file.url)?;
        let end_at = file.bytes.saturating_sub(END);
        let end = self
            .runtime
            .block_on(shared_storage::read_range(&url, file.offset + end_at..file.offset + file.bytes))?;
        let trailer = &end[end.len().saturating_sub(TRAILER as usize)..];
        let place = Directory::place(trailer).map_err(&damaged)?;
        let directory = match place.range().start.checked_sub(end_at) {
            Some(start) => {
                let length = place.range().end - place.range().start;
                let bytes = end.get(start as usize..(start + length) as usize).unwrap_or_default();
                place.check(bytes).and_then(Directory::parse)
            }
            None => Directory::parse(&self.section(&url, file.offset, place)?),
        };
        let directory = directory.map_err(&damaged)?;
        let songs = self.section(&url, file.offset, directory.songs)?;
        Ok(OpenSums { url, offset: file.offset, directory, songs })
    }

    fn section(&self, url: &Url, offset: u64, section: Section) -> Result<Vec<u8>, ClusterError> {
        let range = section.range().start + offset..section.range().end + offset;
        let bytes = self.runtime.block_on(shared_storage::read_range(url, range))?;
        section.check(&bytes).map_err(damaged(url.as_str()))?;
        Ok(bytes)
    }

    /// The listeners of a file in a range. `songs` has a number for each song of the file; equal songs of
    /// different files have equal numbers.
    pub(super) fn listeners_of(
        &self,
        sums: &OpenSums,
        (from, to): IdRange<'_>,
        songs: Vec<u32>,
    ) -> Result<SumsSource, ClusterError> {
        let blocks = sums.directory.blocks(from, to);
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
            return Ok(SumsSource { blocks: Vec::new(), songs });
        };
        let range = first.range().start..last.range().end;
        let in_file = range.start + sums.offset..range.end + sums.offset;
        let bytes = self.runtime.block_on(shared_storage::read_range(&sums.url, in_file))?;
        for block in &blocks {
            let place =
                (block.range().start - range.start) as usize..(block.range().end - range.start) as usize;
            block.check(&bytes[place]).map_err(damaged(sums.url.as_str()))?;
        }
        Ok(SumsSource { blocks: bytes, songs })
    }

    /// Passes the number of each song in the file, and its plays in a week, to `each`.
    pub(super) fn each_of_week(
        &self,
        sums: &OpenSums,
        week: Week,
        each: impl FnMut(u32, u64),
    ) -> Result<(), ClusterError> {
        let Some(section) = sums.directory.week(week) else { return Ok(()) };
        each_week_song(&self.section(&sums.url, sums.offset, section)?, each)
            .map_err(damaged(sums.url.as_str()))
    }
}

impl OpenSums {
    /// The songs: id and totals, ascending by id.
    pub(super) fn songs(&self) -> Result<Vec<(&[u8], Total)>, ClusterError> {
        let mut songs = Vec::new();
        each_song(&self.songs, |id, total| songs.push((id, total))).map_err(damaged(self.url.as_str()))?;
        Ok(songs)
    }

    /// The weeks with plays, ascending.
    pub(super) fn weeks(&self) -> impl Iterator<Item = Week> {
        self.directory.weeks()
    }
}
