//! Compares published files with recomputed ones.

use std::io::{self, Read, SeekFrom};

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::open_file::{ReadSeek, open};
use xxhash_rust::xxh3::Xxh3;

use crate::cluster::job::{CompareJob, FileDifference, FilePair};
use crate::cluster::tasks::{Tasks, damaged, parse};
use crate::publish::manifest::hash_text;
use crate::verify::rows::shown;

/// Bytes that are compared at once.
const BUFFER: usize = 256 << 10;
/// The maximum number of bytes of a line in a report.
const SHOWN: u64 = 400;

impl Tasks {
    /// Compares pairs of files. Returns the first difference of each pair.
    pub(super) fn compare(&self, job: &CompareJob) -> Result<Vec<Option<FileDifference>>, ClusterError> {
        job.files.iter().map(|pair| self.compare_pair(pair)).collect()
    }

    fn compare_pair(&self, pair: &FilePair) -> Result<Option<FileDifference>, ClusterError> {
        let mut published = match open(&parse(&pair.published)?, &self.runtime) {
            Err(error) if error.kind == ErrorKind::Missing => return Ok(Some(FileDifference::Missing)),
            opened => opened?,
        };
        let mut expected = open(&parse(&pair.expected)?, &self.runtime)?;
        let difference = compare(&mut published, &mut expected).map_err(damaged(&pair.published))?;
        let difference = match difference {
            Comparison::Equal { hash } => (hash != pair.hash).then_some(FileDifference::Hash),
            Comparison::Differs { offset, .. } if pair.published.ends_with(".parquet") => {
                Some(FileDifference::Byte { offset })
            }
            Comparison::Differs { line, start, .. } => {
                let text =
                    |file: &mut Box<dyn ReadSeek>| line_at(file, start).map_err(damaged(&pair.published));
                Some(FileDifference::Line {
                    line,
                    found: text(&mut published)?,
                    expected: text(&mut expected)?,
                })
            }
        };
        Ok(difference)
    }
}

/// The result of a comparison.
#[derive(Debug, PartialEq, Eq)]
enum Comparison {
    Equal {
        hash: String,
    },
    /// The offset of the first different byte, and its line: the number of the line, and the offset of its start.
    Differs {
        offset: u64,
        line: u64,
        start: u64,
    },
}

fn compare(published: &mut impl Read, expected: &mut impl Read) -> io::Result<Comparison> {
    let (mut found, mut wanted) = (Vec::with_capacity(BUFFER), Vec::with_capacity(BUFFER));
    let mut hash = Xxh3::new();
    let (mut at, mut line, mut start) = (0, 1, 0);
    loop {
        for (file, bytes) in [(&mut *published as &mut dyn Read, &mut found), (expected, &mut wanted)] {
            bytes.clear();
            file.take(BUFFER as u64).read_to_end(bytes)?;
        }
        let same = found.iter().zip(&wanted).take_while(|(found, wanted)| found == wanted).count();
        line += memchr::memchr_iter(b'\n', &found[..same]).count() as u64;
        if let Some(line_feed) = memchr::memrchr(b'\n', &found[..same]) {
            start = at + line_feed as u64 + 1;
        }
        if same < found.len().max(wanted.len()) {
            return Ok(Comparison::Differs { offset: at + same as u64, line, start });
        }
        if found.is_empty() {
            return Ok(Comparison::Equal { hash: hash_text(hash.digest128()) });
        }
        hash.update(&found);
        at += found.len() as u64;
    }
}

/// The line that begins at an offset, shortened; `None` if the file ends there.
fn line_at(file: &mut Box<dyn ReadSeek>, start: u64) -> io::Result<Option<String>> {
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(SHOWN).read_to_end(&mut bytes)?;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Ok((!bytes.is_empty()).then(|| shown(line)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_first_difference_is_found(
            lines in proptest::collection::vec("[ab]{0,5}", 0..20),
            other in proptest::collection::vec("[ab]{0,5}", 0..20),
            common in 0_usize..20,
        ) {
            let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let other = [&lines[..common.min(lines.len())], &other[..]].concat();
            let (found, wanted) = (text(&lines), text(&other));
            let first = lines.iter().zip(&other).take_while(|(a, b)| a == b).count();
            let start = text(&lines[..first]).len() as u64;
            match compare(&mut found.as_bytes(), &mut wanted.as_bytes()).unwrap() {
                Comparison::Equal { .. } => prop_assert_eq!(&found, &wanted),
                Comparison::Differs { line, start: found_start, offset } => {
                    prop_assert_eq!((line, found_start), (first as u64 + 1, start));
                    let offset = offset as usize;
                    prop_assert_eq!(&found[..offset], &wanted[..offset]);
                    prop_assert_ne!(found.as_bytes().get(offset), wanted.as_bytes().get(offset));
                }
            }
        }
    }

    #[test]
    fn differences_far_inside_a_file_are_found() {
        let mut text = "0123456789\n".repeat(100_000).into_bytes();
        let equal = compare(&mut text.as_slice(), &mut text.clone().as_slice()).unwrap();
        assert_eq!(equal, Comparison::Equal { hash: hash_text(xxhash_rust::xxh3::xxh3_128(&text)) });
        let expected = text.clone();
        text[11 * 77_777 + 3] = b'x';
        let found = compare(&mut text.as_slice(), &mut expected.as_slice()).unwrap();
        let offset = 11 * 77_777 + 3;
        assert_eq!(found, Comparison::Differs { offset, line: 77_778, start: 11 * 77_777 });
    }
}
