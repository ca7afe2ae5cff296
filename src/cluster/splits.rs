//! Divides the logs of a run into jobs of similar size.

use std::collections::HashSet;
use std::path::Path;

use music_insights_ballista::shared_storage;

use crate::cluster::inputs::Log;
use crate::cluster::job::LogRange;
use crate::cluster::tasks::parse;
use crate::ingest::source::compression::Compression;
use crate::ingest::source::utf16::ByteOrder;
use crate::model::dialect::Dialect;
use crate::model::error::Error;

/// The limits for the number of bytes that a job should read. Large jobs make fewer files of sums, but need
/// more memory for them.
const JOB_BYTES: (u64, u64) = (32 << 20, 256 << 20);
/// The number of jobs per core that is aimed at. With several jobs, all cores end at about the same time.
const JOBS_PER_CORE: u64 = 4;
/// About how many times as long as a compressed log its text is.
const RATIO: u64 = 6;
/// The maximum number of logs in a job. The report of a job has an entry for each log.
const LOGS: usize = 1000;

/// The logs of a job, each with its place in the list of new logs.
pub(super) type JobLogs = Vec<(usize, LogRange)>;

/// Divides logs into jobs, in order. Several small logs share a job. A large log is cut into ranges if `cuttable`
/// contains its URL. The logs get the numbers from `first` on.
pub(super) fn split(logs: &[Log], first: u32, cores: usize, cuttable: &HashSet<String>) -> Vec<JobLogs> {
    let wanted = job_bytes(logs, cores);
    let (mut jobs, mut open, mut open_bytes) = (Vec::new(), JobLogs::new(), 0);
    for (index, log) in logs.iter().enumerate() {
        let bytes = text_bytes(log);
        let ranges = if is_large(bytes, wanted) && cuttable.contains(&log.url) {
            ranges(log.size, wanted)
        } else {
            vec![None]
        };
        let is_cut = ranges.len() > 1;
        if !open.is_empty() && (is_cut || open_bytes + bytes > wanted + wanted / 4 || open.len() == LOGS) {
            jobs.push(std::mem::take(&mut open));
            open_bytes = 0;
        }
        let number = first + index as u32;
        let part = |range| (index, LogRange { number, url: log.url.clone(), range });
        if is_cut {
            jobs.extend(ranges.into_iter().map(|range| vec![part(range)]));
        } else {
            open.push(part(None));
            open_bytes += bytes;
        }
    }
    jobs.extend(Some(open).filter(|open| !open.is_empty()));
    jobs
}

/// Whether the lines of logs with this dialect can be read from anywhere.
pub(super) fn can_cut(dialect: &Dialect, max_bad_lines: u64) -> bool {
    dialect.encoding.is_utf8() && max_bad_lines == 0
}

/// The URLs of the large logs whose lines can be read from anywhere, because they are plain text and not in UTF-16.
///
/// # Errors
/// If the start of a log cannot be read.
pub(super) async fn cuttable(logs: &[Log], cores: usize) -> Result<HashSet<String>, Error> {
    let wanted = job_bytes(logs, cores);
    let mut cuttable = HashSet::new();
    for log in logs.iter().filter(|log| is_plain(log) && is_large(log.size, wanted)) {
        let start = shared_storage::read_range(&parse(&log.url)?, 0..2).await?;
        if ByteOrder::of(&start).is_none() {
            cuttable.insert(log.url.clone());
        }
    }
    Ok(cuttable)
}

/// The number of bytes that a job should read.
fn job_bytes(logs: &[Log], cores: usize) -> u64 {
    let total: u64 = logs.iter().map(text_bytes).sum();
    (total / (cores as u64 * JOBS_PER_CORE)).clamp(JOB_BYTES.0, JOB_BYTES.1)
}

/// Whether a log has too many bytes for one job.
fn is_large(bytes: u64, wanted: u64) -> bool {
    bytes > wanted + wanted / 2
}

fn is_plain(log: &Log) -> bool {
    Compression::of(Path::new(&log.label)).is_plain()
}

pub(super) fn text_bytes(log: &Log) -> u64 {
    if is_plain(log) { log.size } else { log.size.saturating_mul(RATIO) }
}

/// Ranges of similar size that cover a log.
fn ranges(size: u64, wanted: u64) -> Vec<Option<(u64, u64)>> {
    let count = size.div_ceil(wanted);
    (0..count).map(|part| Some((size * part / count, size * (part + 1) / count))).collect()
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn log(name: &str, size: u64) -> Log {
        let url = format!("file:///logs/{name}");
        Log { label: name.to_owned(), url, size, version: "1".to_owned() }
    }

    fn shape(jobs: &[JobLogs]) -> Vec<Vec<usize>> {
        jobs.iter().map(|job| job.iter().map(|(index, _)| *index).collect()).collect()
    }

    #[test]
    fn small_logs_share_a_job() {
        let logs: Vec<Log> = (0..6).map(|n| log(&format!("{n}.csv"), 14 << 20)).collect();
        assert_eq!(shape(&split(&logs, 0, 2, &HashSet::new())), [vec![0, 1], vec![2, 3], vec![4, 5]]);
        // The text of a compressed log is longer.
        let logs = [log("a.csv", 20 << 20), log("b.csv.gz", 10 << 20), log("c.csv", 20 << 20)];
        assert_eq!(shape(&split(&logs, 0, 1, &HashSet::new())), [[0], [1], [2]]);
        assert!(split(&[], 0, 1, &HashSet::new()).is_empty());
    }

    #[tokio::test]
    async fn a_large_log_is_cut_if_its_lines_can_be_read_from_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let large = |name: &str, start: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, start).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_len(100 << 20).unwrap();
            Log { url: Url::from_file_path(&path).unwrap().into(), ..log(name, 100 << 20) }
        };
        let packed = [large("utf16.csv", b"\xff\xfeu\0"), large("a.csv.gz", b"\x1f\x8b")];
        assert!(cuttable(&packed, 1).await.unwrap().is_empty());
        let logs = [log("a.csv", 1), large("large.csv", b"user_id"), log("z.csv", 1)];
        let jobs = split(&logs, 7, 1, &cuttable(&logs, 1).await.unwrap());
        assert_eq!(shape(&jobs), [[0], [1], [1], [1], [1], [2]]);
        let ranges: Vec<_> = jobs[1..5].iter().map(|job| job[0].1.range.unwrap()).collect();
        assert_eq!((ranges[0].0, ranges[3].1), (0, 100 << 20));
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert!(jobs[1..5].iter().all(|job| job[0].1.number == 8));
        assert_eq!(shape(&split(&logs, 7, 1, &HashSet::new())), [[0], [1], [2]]);
    }
}
