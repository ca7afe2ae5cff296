//! One consistent cut of an output folder that somebody may be writing.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use crate::insights::enriched_logs;
use crate::model::error::{Error, FileRole, Op};

use crate::publish::REJECTS;
use crate::publish::manifest::{InsightEntry, Manifest, PartEntry, hash_text};
use crate::storage::{READ, SharedDisk};

/// How long files may differ from a manifest that stays as it is: whoever publishes replaces them
/// first and the manifest last.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Manifests that are tried before it is said that there is no end to it.
const MANIFESTS: usize = 200;

/// What a manifest lists.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) manifest: Manifest,
    output: PathBuf,
    /// The snapshots, opened: they may be replaced while others are read.
    opened: HashMap<PathBuf, File>,
}

/// Reads something of one cut; again, if what was read does not belong together.
///
/// # Errors
/// If there is no manifest (66), or what `read` says of files that stay as they are.
pub(super) fn consistently<T>(
    disk: &SharedDisk,
    output: &Path,
    read: impl Fn(&Cut) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut tried: Option<(Manifest, Instant)> = None;
    let mut manifests = 0;
    loop {
        let manifest = Manifest::read(disk, output)?.ok_or_else(|| {
            let what = "there is no _manifest.json; `replay` or `watch` makes one";
            Error::MissingInput(format!("{}: {what}", output.display()))
        })?;
        let found = Cut::open(output, manifest.clone()).and_then(|cut| read(&cut));
        let Err(failure) = found else { return found };
        match &tried {
            Some((same, since)) if *same == manifest && since.elapsed() > PATIENCE => return Err(failure),
            Some((same, _)) if *same == manifest => {}
            _ if manifests == MANIFESTS => return Err(failure),
            _ => {
                manifests += 1;
                tried = Some((manifest, Instant::now()));
            }
        }
        sleep(PAUSE);
    }
}

impl Cut {
    fn open(output: &Path, manifest: Manifest) -> Result<Self, Error> {
        let mut cut = Self { manifest, output: output.to_owned(), opened: HashMap::new() };
        // Logs only grow, so their parts can be opened when they are read.
        let snapshots = cut.manifest.insights.iter().filter(|(name, _)| *name != enriched_logs::NAME);
        for (name, entry) in snapshots {
            for part in &entry.parts {
                let path = cut.path(name, part);
                cut.opened.insert(path.clone(), open(&path)?);
            }
        }
        Ok(cut)
    }

    /// The entry of an insight or of the rejected rows, if it is published.
    pub(super) fn entry(&self, name: &str) -> Option<&InsightEntry> {
        if name == REJECTS { Some(&self.manifest.rejects) } else { self.manifest.insights.get(name) }
    }

    /// Where a part is.
    pub(super) fn path(&self, name: &str, part: &PartEntry) -> PathBuf {
        self.output.join(name).join(&part.file)
    }

    /// Goes through the lines of a part, of which the first is the header.
    ///
    /// # Errors
    /// If the part cannot be read (66) or is not what the manifest says (65), or what `each` says;
    /// an answer of `each` before counts only if this ends well.
    pub(super) fn each_line(
        &self,
        name: &str,
        part: &PartEntry,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let path = self.path(name, part);
        let (mut number, mut failed) = (0, None);
        let mut take = |line: &[u8]| {
            if failed.is_none() {
                failed = each(number, line).err();
            }
            number += 1;
        };
        let hash = match self.opened.get(&path) {
            Some(file) => read_lines(file.take(part.bytes), &mut take),
            None => read_lines(open(&path)?.take(part.bytes), &mut take),
        };
        let hash = hash.map_err(|cause| Error::file(FileRole::Input, Op::Read, &path, cause))?;
        let is_log = [enriched_logs::NAME, REJECTS].contains(&name);
        let longer = !is_log && path.metadata().is_ok_and(|metadata| metadata.len() > part.bytes);
        if longer || hash_text(hash) != part.hash {
            let (path, bytes) = (path.display(), part.bytes);
            let what = "is not what the manifest says";
            return Err(Error::Damaged(format!("{path}: {what} ({bytes} bytes)")));
        }
        failed.map_or(Ok(()), Err)
    }

    /// Says that a line of a part is no row.
    pub(super) fn no_row(&self, name: &str, part: &PartEntry, number: u64) -> Error {
        let path = self.path(name, part);
        Error::Damaged(format!("{}:{}: not a row of {name}", path.display(), number + 1))
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|cause| Error::file(FileRole::Input, Op::Read, path, cause))
}

/// Gives each line to `take` and returns the hash of everything.
fn read_lines(mut file: impl Read, mut take: impl FnMut(&[u8])) -> io::Result<u128> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; READ];
    let mut held = 0;
    loop {
        if held == buffer.len() {
            buffer.resize(2 * held, 0);
        }
        let read = match file.read(&mut buffer[held..]) {
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        if read == 0 {
            break;
        }
        hash.update(&buffer[held..held + read]);
        let end = held + read;
        let mut start = 0;
        for line_end in memchr::memchr_iter(b'\n', &buffer[held..end]).map(|at| held + at) {
            take(&buffer[start..line_end]);
            start = line_end + 1;
        }
        buffer.copy_within(start..end, 0);
        held = end - start;
    }
    if held > 0 {
        take(&buffer[..held]);
    }
    Ok(hash.digest128())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes in pieces of a size.
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
    fn lines_come_whole_whatever_the_pieces() {
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
