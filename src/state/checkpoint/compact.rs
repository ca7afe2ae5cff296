//! Compaction: merges segments in the background. In n commits, an entry is rewritten only O(log n) times.

use std::path::Path;
use std::thread::JoinHandle;

use crate::model::error::{Error, FileRole, Op};
use crate::state::checkpoint::generation::Generation;
use crate::state::checkpoint::merge::{merge_bytes, merge_numbers};
use crate::state::checkpoint::pace::Pace;
use crate::state::checkpoint::periods::merge_periods;
use crate::state::checkpoint::segment::{SegmentEntry, SegmentReader, SegmentWriter};
use crate::state::checkpoint::table::{Table, TableReader};
use crate::storage::failpoint::fail_point;
use crate::storage::{Disk, SharedDisk};
use crate::time::period::Period;

/// Minimum number of segments in a merge.
const FAN: usize = 8;

/// A running merge.
#[derive(Debug)]
pub struct Compaction {
    thread: JoinHandle<Result<SegmentEntry, Error>>,
}

/// Chooses the segments to merge. `segments` begins with the oldest one. A segment is due if all newer
/// segments together are at least as large. This rule avoids merging a large segment with a few small
/// ones. The oldest segment that is due is merged with all newer segments.
fn choose(segments: &[SegmentEntry]) -> Option<&[SegmentEntry]> {
    let mut newer_bytes = 0;
    let mut from = segments.len();
    for (index, segment) in segments.iter().enumerate().rev() {
        if segment.bytes <= newer_bytes {
            from = index;
        }
        newer_bytes += segment.bytes;
    }
    (segments.len() - from >= FAN).then(|| &segments[from..])
}

impl Compaction {
    /// If enough segments of a generation are due, begins to merge them in a new thread.
    pub fn begin(disk: &SharedDisk, folder: &Path, generation: &Generation, pace: &Pace) -> Option<Self> {
        let segments = choose(&generation.segments)?.to_vec();
        let (rules, latest_day) = (generation.config.periods, generation.latest_day);
        let keeps = move |period| rules.needs(period, latest_day);
        let (disk, folder, pace) = (disk.clone(), folder.to_owned(), pace.clone());
        let thread = std::thread::Builder::new().name("compact".to_owned());
        // If the thread cannot be started, a later commit tries again.
        let thread = thread.spawn(move || merge(&*disk, &folder, &segments, keeps, &pace)).ok()?;
        Some(Self { thread })
    }

    /// Whether the merge has ended.
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits until the merge has ended. Returns the merged segment.
    ///
    /// # Errors
    /// A file system error, or a damaged segment (65).
    pub fn finish(self) -> Result<SegmentEntry, Error> {
        self.thread
            .join()
            .map_err(|_| Error::Bug("the thread that merges segments has panicked".to_owned()))?
    }
}

/// Merges consecutive segments into one, and waits while a flush runs. `keeps` tells which periods are still needed.
///
/// # Errors
/// A file system error, or a damaged segment (65).
pub fn merge(
    disk: &dyn Disk,
    folder: &Path,
    segments: &[SegmentEntry],
    keeps: impl Fn(Period) -> bool,
    pace: &Pace,
) -> Result<SegmentEntry, Error> {
    let opened: Vec<SegmentReader<'_>> = segments
        .iter()
        .map(|segment| {
            SegmentReader::open(disk, folder, segment).map_err(|cause| {
                Error::file(FileRole::Committed, Op::Read, &folder.join(&segment.file), cause)
            })
        })
        .collect::<Result<_, _>>()?;
    let (first, last) = (segments[0].first, segments[segments.len() - 1].last);
    let mut writer = SegmentWriter::create(disk, folder, first, last)?.paced(pace.begin_merge());
    let damaged = |cause: std::io::Error| Error::file(FileRole::Committed, Op::MergeSegments, folder, cause);
    for table in Table::ALL.into_iter().filter(|table| *table != Table::Periods) {
        let readers: Vec<TableReader<'_>> = opened.iter().flat_map(|segment| segment.read(table)).collect();
        if readers.is_empty() {
            continue;
        }
        writer.begin(table)?;
        if table.holds_bytes() {
            merge_bytes(readers, &mut writer, damaged)?;
        } else {
            merge_numbers(table.merge(), readers, &mut writer, damaged)?;
        }
    }
    merge_periods(&opened, keeps, &mut writer, damaged)?;
    let merged = writer.finish()?;
    fail_point("compact.written");
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::real::RealDisk;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Numbers = BTreeMap<u64, u64>;
    type Texts = BTreeMap<u64, Vec<u8>>;

    fn write(
        disk: &dyn Disk,
        folder: &Path,
        number: u64,
        tables: &(Numbers, Numbers, Texts),
    ) -> SegmentEntry {
        let mut writer = SegmentWriter::create(disk, folder, number, number).unwrap();
        for (table, entries) in [(Table::Listens, &tables.0), (Table::Nights, &tables.1)] {
            writer.begin(table).unwrap();
            for (&key, &value) in entries {
                writer.number(key, value).unwrap();
            }
        }
        writer.begin(Table::Users).unwrap();
        for (&key, bytes) in &tables.2 {
            writer.bytes(key, bytes).unwrap();
        }
        writer.finish().unwrap()
    }

    fn read(disk: &dyn Disk, folder: &Path, entry: &SegmentEntry) -> (Numbers, Numbers, Texts) {
        let segment = SegmentReader::open(disk, folder, entry).unwrap();
        let numbers = |table| {
            let mut entries = Numbers::new();
            for mut reader in segment.read(table) {
                while let Some((key, value)) = reader.next_number().unwrap() {
                    entries.insert(key, value);
                }
            }
            entries
        };
        let mut texts = Texts::new();
        let mut bytes = Vec::new();
        for mut reader in segment.read(Table::Users) {
            while let Some(key) = reader.next_bytes(&mut bytes).unwrap() {
                texts.insert(key, bytes.clone());
            }
        }
        (numbers(Table::Listens), numbers(Table::Nights), texts)
    }

    fn tables() -> impl Strategy<Value = (Numbers, Numbers, Texts)> {
        let key = || prop_oneof![0_u64..20, any::<u64>()];
        let value = prop_oneof![0_u64..300, any::<u64>().prop_map(|n| n >> 8)];
        let bytes = proptest::collection::vec(any::<u8>(), 0..300);
        (
            proptest::collection::btree_map(key(), value.clone(), 0..30),
            proptest::collection::btree_map(key(), value, 0..30),
            proptest::collection::btree_map(key(), bytes, 0..10),
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_merged_segment_has_the_content_of_its_sources(
            sources in proptest::collection::vec(tables(), 1..6),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let disk = RealDisk::without_fsync();
            let mut expected = (Numbers::new(), Numbers::new(), Texts::new());
            let mut files = Vec::new();
            for (number, tables) in (1..).zip(&sources) {
                let file = write(&*disk, folder.path(), number, tables);
                prop_assert_eq!(&read(&*disk, folder.path(), &file), tables);
                for (&key, &value) in &tables.0 {
                    *expected.0.entry(key).or_default() += value;
                }
                expected.1.extend(&tables.1);
                expected.2.extend(tables.2.clone());
                files.push(file);
            }
            let merged = merge(&*disk, folder.path(), &files, |_| true, &Pace::default()).unwrap();
            prop_assert_eq!((merged.first, merged.last), (1, sources.len() as u64));
            prop_assert_eq!(read(&*disk, folder.path(), &merged), expected);
        }
    }

    #[test]
    fn segments_stay_few_and_are_rewritten_a_logarithmic_number_of_times() {
        let segment = |first, last, bytes| SegmentEntry {
            file: String::new(),
            first,
            last,
            bytes,
            hash: String::new(),
            tables: Vec::new(),
        };
        let (mut segments, mut written, mut most) = (Vec::new(), 0, 0);
        for number in 1..=10_000 {
            segments.push(segment(number, number, 1));
            if let Some(chosen) = choose(&segments) {
                let (first, bytes) = (chosen[0].first, chosen.iter().map(|segment| segment.bytes).sum());
                segments.truncate(segments.len() - chosen.len());
                segments.push(segment(first, number, bytes));
                written += bytes;
            }
            most = most.max(segments.len());
        }
        assert!(most <= 24, "{most} segments");
        assert!(written <= 14 * 10_000, "{written} entries written");
    }
}
