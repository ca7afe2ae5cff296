//! Plans the output of a run: which job makes which part of it. The client reads no rows, except for the rejects and a
//! few kilobytes at the end of each part of `enriched_logs`.

use std::collections::BTreeMap;

use music_insights_ballista::shared_storage;

use crate::cluster::index::{Index, PublishedOutput};
use crate::cluster::job::{
    JobKind, JobResult, ListenersJob, PartJob, RowRange, Slice, SongsJob, StagedTables, TableJob,
    TableSources, Target,
};
use crate::cluster::tasks::parse;
use crate::insights::SNAPSHOTS;
use crate::insights::enriched_logs::HEADER;
use crate::model::error::Error;
use crate::publish::manifest::{InsightEntry, PartEntry};

/// The number of bytes of sums that one job renders.
const SHARD_BYTES: u64 = 64 << 20;
/// The bytes that are read at once to find the end of a line.
const WINDOW: u64 = 64 << 10;

/// The rows of a part of `enriched_logs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedPart {
    /// The offset of the end of these rows in all enriched rows.
    pub(super) end: u64,
    pub(super) rows: Vec<RowRange>,
    /// The published part with these rows; `None` if a job must make the part.
    pub(super) published: Option<PartEntry>,
}

/// Ranges of listeners that divide the sums into pieces of similar size, each with its first id and the first id after it.
pub(super) fn shards(index: &Index, cores: usize) -> Vec<(String, Option<String>)> {
    let bytes: u64 = index.sums().map(|sums| sums.file.bytes).sum();
    let count = cores.max((bytes / SHARD_BYTES) as usize).max(1);
    let mut ids: Vec<&String> = index.sums().flat_map(|sums| &sums.sample).collect();
    ids.sort_unstable();
    let mut starts: Vec<String> = vec![String::new()];
    starts.extend((1..count).filter_map(|shard| ids.get(ids.len() * shard / count).map(|&id| id.clone())));
    starts.dedup();
    let ends = starts[1..].iter().cloned().map(Some).chain([None]).collect::<Vec<_>>();
    starts.into_iter().zip(ends).collect()
}

/// The jobs that render from sums: the tables of songs, and slices of the tables of listeners.
pub(super) fn render_jobs(
    sources: &TableSources,
    shards: &[(String, Option<String>)],
    folder: impl Fn(usize) -> String,
    target: &Target,
) -> Vec<JobKind> {
    let songs = SongsJob { sources: sources.clone(), target: target.clone() };
    let listeners = shards.iter().enumerate().map(|(shard, (from, to))| {
        let (from, to) = (from.clone(), to.clone());
        JobKind::Listeners(Box::new(ListenersJob {
            sources: sources.clone(),
            from,
            to,
            folder: folder(shard),
        }))
    });
    std::iter::once(JobKind::Songs(Box::new(songs))).chain(listeners).collect()
}

/// The jobs that put the tables of listeners together from their slices. `slices` are in the order of the shards.
pub(super) fn table_jobs(
    sources: &TableSources,
    slices: &[BTreeMap<String, Slice>],
    target: &Target,
) -> Vec<JobKind> {
    let enabled = sources.insights.enabled_snapshots();
    let of_listeners = SNAPSHOTS.into_iter().filter(|about| about.is_by_listener());
    let of_listeners =
        of_listeners.filter(|about| enabled.iter().any(|insight| insight.name() == about.name));
    let jobs = of_listeners.map(|about| {
        let slices: Vec<&Slice> = slices.iter().filter_map(|slices| slices.get(about.name)).collect();
        JobKind::Table(Box::new(TableJob {
            name: about.name.to_owned(),
            rows: slices.iter().map(|slice| slice.rows).sum(),
            slices: slices.into_iter().map(|slice| slice.url.clone()).collect(),
            insights: sources.insights.clone(),
            target: target.clone(),
        }))
    });
    jobs.collect()
}

/// The jobs that make the new parts, in order.
pub(super) fn part_jobs(parts: &[PlannedPart], target: &Target) -> Vec<JobKind> {
    let new = parts.iter().enumerate().filter(|(_, part)| part.published.is_none());
    let job = |(number, part): (usize, &PlannedPart)| {
        let job = PartJob { number, rows: part.rows.clone(), target: target.clone() };
        JobKind::Part(Box::new(job))
    };
    new.map(job).collect()
}

/// All staged tables, and the number of plays whose song is not in the catalog.
pub(super) fn staged_tables(
    results: impl Iterator<Item = JobResult>,
) -> (Vec<(&'static str, String, InsightEntry)>, u64) {
    let (mut tables, mut all) = (Vec::new(), 0);
    for result in results {
        let JobResult::Tables(StagedTables { tag, tables: staged, unmatched }) = result else { continue };
        all += unmatched;
        for (name, entry) in staged {
            tables.extend(crate::insights::about(&name).map(|about| (about.name, tag.clone(), entry)));
        }
    }
    (tables, all)
}

/// Divides enriched rows into the same parts as a `replay` on one machine. A part has at most `roll_bytes` bytes, or one
/// row. Parts of the last output with the same rows are kept.
///
/// # Errors
/// If a file of rows cannot be read.
pub(super) async fn plan_parts(
    rows: &[RowRange],
    roll_bytes: u64,
    last: Option<&PublishedOutput>,
) -> Result<Vec<PlannedPart>, Error> {
    let same = last.map_or(0, |last| {
        let pairs = rows.iter().zip(&last.enriched);
        pairs.take_while(|(new, old)| new == old).map(|(new, _)| new.bytes).sum()
    });
    let total: u64 = rows.iter().map(|range| range.bytes).sum();
    let is_same_end = last.is_some_and(|last| same == total && last.enriched.len() == rows.len());
    let room = roll_bytes.saturating_sub(HEADER.len() as u64);
    let (mut parts, mut start) = (Vec::new(), 0);
    // The row after an old part is the same row now, so the part still ends before it.
    let old = last.into_iter().flat_map(|last| &last.parts);
    for (end, entry) in old.take_while(|(end, _)| *end < same || (is_same_end && *end == same)) {
        parts.push(PlannedPart {
            end: *end,
            rows: range_of(rows, start, *end),
            published: Some(entry.clone()),
        });
        start = *end;
    }
    while start < total || parts.is_empty() {
        let end = if total - start <= room { total } else { end_of_part(rows, start, room).await? };
        parts.push(PlannedPart { end, rows: range_of(rows, start, end), published: None });
        start = end;
    }
    Ok(parts)
}

/// The ranges that cover the bytes from `start` to `end` of all rows.
fn range_of(rows: &[RowRange], start: u64, end: u64) -> Vec<RowRange> {
    let mut covered = Vec::new();
    let mut at = 0;
    for range in rows {
        let (from, to) = (start.clamp(at, at + range.bytes), end.clamp(at, at + range.bytes));
        if from < to {
            let offset = range.offset + from - at;
            covered.push(RowRange { url: range.url.clone(), offset, bytes: to - from });
        }
        at += range.bytes;
    }
    covered
}

/// The end of the last row from `start` on that fits into `room` bytes, or of the first row if none fits.
async fn end_of_part(rows: &[RowRange], start: u64, room: u64) -> Result<u64, Error> {
    let mut end = start + room;
    while end > start {
        // Each range ends with a line feed, so the last range has the end of the row, unless it begins a range.
        let covered = range_of(rows, start.max(end.saturating_sub(WINDOW)), end);
        let Some(last) = covered.last() else { break };
        if let Some(line_feed) = memchr::memrchr(b'\n', &read(last).await?) {
            return Ok(end - last.bytes + line_feed as u64 + 1);
        }
        end -= last.bytes;
        let begins_range = covered.len() > 1;
        if begins_range && end > start {
            return Ok(end);
        }
    }
    let mut at = start + room;
    loop {
        let covered = range_of(rows, at, at + WINDOW);
        let Some(first) = covered.first() else { return Ok(at) };
        if let Some(line_feed) = memchr::memchr(b'\n', &read(first).await?) {
            return Ok(at + line_feed as u64 + 1);
        }
        at += first.bytes;
    }
}

async fn read(range: &RowRange) -> Result<Vec<u8>, Error> {
    let bytes = range.offset..range.offset + range.bytes;
    Ok(shared_storage::read_range(&parse(&range.url)?, bytes).await?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::publish::append_only::AppendOnlyWriter;
    use crate::storage::real::RealDisk;

    /// Files with these lines, as ranges.
    fn ranges(folder: &std::path::Path, files: &[Vec<usize>]) -> (Vec<RowRange>, Vec<u8>) {
        let mut all = Vec::new();
        let ranges = files.iter().enumerate().map(|(number, lines)| {
            let rows: Vec<u8> =
                lines.iter().flat_map(|&len| [vec![b'x'; len], vec![b'\n']].concat()).collect();
            let path = folder.join(format!("rows-{number}"));
            // The rows do not begin at the start of the file.
            fs::write(&path, [b"abc".as_slice(), &rows].concat()).unwrap();
            all.extend_from_slice(&rows);
            RowRange { url: Url::from_file_path(&path).unwrap().into(), offset: 3, bytes: rows.len() as u64 }
        });
        (ranges.collect(), all)
    }

    proptest! {
        #[test]
        fn parts_end_where_the_writer_of_one_process_ends_them(
            files in proptest::collection::vec(proptest::collection::vec(0_usize..60, 1..8), 0..5),
            roll in 1_u64..200,
            pieces in proptest::collection::vec(1_usize..9, 1..4),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (ranges, all) = ranges(folder.path(), &files);
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let parts = runtime.block_on(plan_parts(&ranges, roll, None)).unwrap();
            let disk = RealDisk::without_fsync();
            let mut writer = AppendOnlyWriter::begin(&disk, folder.path(), HEADER, roll).unwrap();
            let lines: Vec<&[u8]> = all.split_inclusive(|&byte| byte == b'\n').collect();
            for piece in lines.chunks(pieces[0]) {
                writer.append(&piece.concat()).unwrap();
            }
            let written: Vec<u64> = writer.publish().unwrap().iter().map(|part| part.bytes - HEADER.len() as u64).collect();
            let planned: Vec<u64> =
                parts.iter().map(|part| part.rows.iter().map(|range| range.bytes).sum()).collect();
            prop_assert_eq!(&planned, &written);
            // The same rows make the same parts, and more rows at the end keep the full ones.
            let entry = |part: &PlannedPart| (part.end, PartEntry { file: String::new(), rows: 0, bytes: 0, hash: String::new() });
            let last = |rows: &[RowRange], parts: &[PlannedPart]| PublishedOutput {
                enriched: rows.to_vec(),
                parts: parts.iter().map(entry).collect(),
                ..PublishedOutput::default()
            };
            let again = runtime.block_on(plan_parts(&ranges, roll, Some(&last(&ranges, &parts)))).unwrap();
            prop_assert!(again.iter().all(|part| part.published.is_some()));
            prop_assert_eq!(again.iter().map(|part| part.end).collect::<Vec<_>>(), parts.iter().map(|part| part.end).collect::<Vec<_>>());
            if let Some((_, fewer)) = ranges.split_last() {
                let before = runtime.block_on(plan_parts(fewer, roll, None)).unwrap();
                let after = runtime.block_on(plan_parts(&ranges, roll, Some(&last(fewer, &before)))).unwrap();
                let ends = |parts: &[PlannedPart]| parts.iter().map(|part| part.end).collect::<Vec<_>>();
                prop_assert_eq!(ends(&after), ends(&parts));
                let kept = after.iter().filter(|part| part.published.is_some()).count();
                prop_assert_eq!(kept, before.len() - 1);
            }
        }
    }
}
