//! Reads one consistent epoch of an output folder, even while a `watch` publishes to that folder.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use crate::insights::{SNAPSHOTS, enriched_logs};
use crate::model::error::{Error, FileRole, Op};

use crate::publish::REJECTS;
use crate::publish::manifest::{InsightEntry, Manifest, PartEntry, PeriodEntry, hash_text};
use crate::publish::periods::PeriodIndex;
use crate::publish::table_folders::TableFolders;
use crate::storage::{READ, SharedDisk};
use crate::text::shown;
use crate::time::period::Period;

/// How long files may differ from an unchanged manifest. Publishing replaces the manifest last, so
/// files can be newer than the manifest for a moment.
const MISMATCH_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// Maximum number of manifests to try.
const MAX_MANIFESTS: usize = 200;

/// The files that a manifest lists. With a period, its tables take the place of the tables of all time.
#[derive(Debug)]
pub(super) struct PublishedOutput {
    pub(super) manifest: Manifest,
    /// The period, and the index of its tables.
    pub(super) period: Option<(Period, PeriodIndex)>,
    output: PathBuf,
    /// Snapshot files. They stay open, because publishing can replace them in the folder at any time.
    opened: HashMap<PathBuf, File>,
}

/// Calls `read` with the published output, and repeats the call until all files match one manifest.
///
/// # Errors
/// If there is no manifest (66), if the period is not published (66), or if `read` keeps failing although the
/// manifest does not change.
pub(super) fn read_consistently<T>(
    disk: &SharedDisk,
    output: &Path,
    period: Option<Period>,
    read: impl Fn(&PublishedOutput) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tried: Option<(Manifest, Instant)> = None;
    let mut manifests = 0;
    loop {
        let manifest = Manifest::read(disk, output)?.ok_or_else(|| {
            let message = "there is no _manifest.json; run `replay` or `watch` first";
            Error::MissingInput(format!("{}: {message}", shown(output)))
        })?;
        if let Some(period) = period.filter(|period| !is_published(&manifest, *period)) {
            return Err(not_published(output, &manifest, period));
        }
        let result =
            PublishedOutput::open(disk, output, manifest.clone(), period).and_then(|output| read(&output));
        let Err(error) = result else { return result };
        match &tried {
            Some((same, since)) if *same == manifest && since.elapsed() > MISMATCH_TIMEOUT => {
                return Err(error);
            }
            Some((same, _)) if *same == manifest => {}
            _ if manifests == MAX_MANIFESTS => return Err(error),
            _ => {
                manifests += 1;
                tried = Some((manifest, Instant::now()));
            }
        }
        sleep(RETRY_INTERVAL);
    }
}

impl PublishedOutput {
    fn open(
        disk: &SharedDisk,
        output: &Path,
        manifest: Manifest,
        period: Option<Period>,
    ) -> Result<Self, Error> {
        let with_index = |period| Ok::<_, Error>((period, index_of(disk, output, &manifest, period)?));
        let period = period.map(with_index).transpose()?;
        let mut published = Self { manifest, period, output: output.to_owned(), opened: HashMap::new() };
        // Append-only tables only grow, so their parts can be opened later.
        let names = SNAPSHOTS.iter().map(|about| about.name);
        let entries = names.filter_map(|name| Some((name, published.entry(name)?)));
        let parts = entries.flat_map(|(name, entry)| entry.parts.iter().map(move |part| (name, part)));
        let paths: Vec<PathBuf> = parts.map(|(name, part)| published.path(name, part)).collect();
        for path in paths {
            let file = open(&path)?;
            published.opened.insert(path, file);
        }
        Ok(published)
    }

    /// The manifest entry of an insight or of `_rejects`; `None` if the table is not published.
    pub(super) fn entry(&self, name: &'static str) -> Option<&InsightEntry> {
        match &self.period {
            _ if name == REJECTS => Some(&self.manifest.rejects),
            Some((_, index)) if !is_append_only(name) => index.table(name),
            _ => self.manifest.insights.get(name),
        }
    }

    /// Path of a part.
    pub(super) fn path(&self, name: &'static str, part: &PartEntry) -> PathBuf {
        let folders = match &self.period {
            Some((period, _)) if !is_append_only(name) => {
                TableFolders::of_period(&self.output, *period, name)
            }
            _ => TableFolders::of(&self.output, name),
        };
        folders.csv.join(&part.file)
    }

    /// Calls `each` with the number and text of each line of a part. Line 0 is the header.
    ///
    /// # Errors
    /// If the part cannot be read (66) or differs from the manifest (65), or if `each` fails. The results
    /// of `each` are valid only if this function returns `Ok`.
    pub(super) fn each_line(
        &self,
        name: &'static str,
        part: &PartEntry,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.path(name, part);
        let (mut number, mut failed) = (0, None);
        let mut take_line = |line: &[u8]| {
            if failed.is_none() {
                failed = each(number, line).err();
            }
            number += 1;
        };
        let hash = match self.opened.get(&path) {
            Some(file) => read_lines(file.take(part.bytes), &mut take_line),
            None => read_lines(open(&path)?.take(part.bytes), &mut take_line),
        };
        let hash = hash.map_err(|cause| Error::file(FileRole::Input, Op::Read, &path, cause))?;
        let longer =
            !is_append_only(name) && path.metadata().is_ok_and(|metadata| metadata.len() > part.bytes);
        if longer || hash_text(hash) != part.hash {
            let (path, bytes) = (shown(&path), part.bytes);
            let message =
                format!("{path}: differs from the manifest, which lists {bytes} bytes; run `verify`");
            return Err(Error::Damaged(message));
        }
        failed.map_or(Ok(()), Err)
    }

    /// The error for a line that is not a valid row of the table.
    pub(super) fn bad_row(&self, name: &'static str, part: &PartEntry, number: u64) -> Error {
        let path = self.path(name, part);
        Error::Damaged(format!("{}:{}: not a valid row of {name}", shown(&path), number + 1))
    }
}

fn is_append_only(name: &str) -> bool {
    [enriched_logs::NAME, REJECTS].contains(&name)
}

fn is_published(manifest: &Manifest, period: Period) -> bool {
    manifest.periods.iter().any(|entry| entry.period() == Some(period))
}

/// Reads the index of a published period.
fn index_of(
    disk: &SharedDisk,
    output: &Path,
    manifest: &Manifest,
    period: Period,
) -> Result<PeriodIndex, Error> {
    let entry = manifest.periods.iter().find(|entry| entry.period() == Some(period));
    let index = entry.and_then(|entry| PeriodIndex::read(&**disk, output, entry));
    index.map(|(_, index)| index).ok_or_else(|| {
        let path = entry.map_or_else(|| output.to_owned(), |entry| output.join(&entry.file));
        Error::Damaged(format!("{}: missing, or differs from the manifest; run `verify`", shown(&path)))
    })
}

/// The error for a period that is not published. It names the published periods.
fn not_published(output: &Path, manifest: &Manifest, period: Period) -> Error {
    /// Maximum number of named periods.
    const NAMED: usize = 12;
    let mut published: Vec<Period> = manifest.periods.iter().filter_map(PeriodEntry::period).collect();
    // Periods of the same length are the likeliest choices, and then the latest ones.
    published.sort_unstable_by_key(|other| (other.length != period.length, std::cmp::Reverse(*other)));
    let names: Vec<String> = published.iter().take(NAMED).map(ToString::to_string).collect();
    let which = match published.len() {
        0 => "no period is published; set periods.month=all, for instance, and run `replay` or `watch`"
            .to_owned(),
        all if all > NAMED => format!("{all} periods are, such as {}", names.join(", ")),
        _ => format!("these periods are: {}", names.join(", ")),
    };
    Error::MissingInput(format!("{}: {period} is not published; {which}", shown(output)))
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|cause| Error::file(FileRole::Input, Op::Read, path, cause))
}

/// Calls `take` with each line and returns the hash of all bytes.
fn read_lines(mut file: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; READ];
    let mut kept = 0;
    loop {
        if kept == buffer.len() {
            buffer.resize(2 * kept, 0);
        }
        let read = match file.read(&mut buffer[kept..]) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if read == 0 {
            break;
        }
        hash.update(&buffer[kept..kept + read]);
        let end = kept + read;
        let mut start = 0;
        for line_end in memchr::memchr_iter(b'\n', &buffer[kept..end]).map(|at| kept + at) {
            take(&buffer[start..line_end]);
            start = line_end + 1;
        }
        buffer.copy_within(start..end, 0);
        kept = end - start;
    }
    if kept > 0 {
        take(&buffer[..kept]);
    }
    Ok(hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that returns bytes in pieces of a fixed size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.1.min(self.0.len()).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    #[test]
    fn lines_are_complete_for_any_read_size() {
        let long = "x".repeat(3 * READ);
        let text = format!("a\n\n{long}\nlast");
        for size in [1, 2, 7, READ, 10 * READ] {
            let mut lines = Vec::new();
            let hash = read_lines(Pieces(text.as_bytes(), size), |line| lines.push(line.to_vec())).unwrap();
            assert_eq!(lines, [&b"a"[..], b"", long.as_bytes(), b"last"]);
            assert_eq!(hash, xxhash_rust::xxh3::xxh3_128(text.as_bytes()));
        }
    }
}
