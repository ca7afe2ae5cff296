//! Divides the logs of a run into jobs of similar size.

use std::path::Path;

use url::Url;

use crate::cluster::inputs::Log;
use crate::cluster::job::LogRange;
use crate::ingest::source::compression::Compression;
use crate::model::dialect::Dialect;

/// The smallest and the largest number of bytes that a job reads. A job that reads more has larger sums, but
/// fewer of them.
const JOB_BYTES: (u64, u64) = (32 << 20, 256 << 20);
/// The number of jobs per core. With several jobs, all cores end at about the same time.
const JOBS_PER_CORE: u64 = 4;
/// How much longer the text of a compressed log is, about.
const RATIO: u64 = 6;
/// The maximum number of logs in a job. Each has a report.
const LOGS: usize = 1000;

/// The logs of a job, each with its place in the list of new logs.
pub(super) type JobLogs = Vec<(usize, LogRange)>;

/// Divides logs into jobs, in order. Several small logs share a job, and a large log is cut into ranges if its
/// lines can be read from anywhere. The logs get the numbers from `first` on.
pub(super) fn split(logs: &[Log], first: u32, cores: usize, can_cut: bool) -> Vec<JobLogs> {
    let total: u64 = logs.iter().map(text_bytes).sum();
    let wanted = (total / (cores as u64 * JOBS_PER_CORE)).clamp(JOB_BYTES.0, JOB_BYTES.1);
    let (mut jobs, mut open, mut open_bytes) = (Vec::new(), JobLogs::new(), 0);
    for (index, log) in logs.iter().enumerate() {
        let bytes = text_bytes(log);
        let ranges = if can_cut && bytes > wanted + wanted / 2 && is_cuttable(log) {
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

/// Whether a log is plain text in the file system. Each range of an object would fetch the whole object.
fn is_cuttable(log: &Log) -> bool {
    let path = Url::parse(&log.url).ok().and_then(|url| url.to_file_path().ok());
    path.is_some_and(|path| {
        let format = Compression::of(&path);
        format.is_plain() && path.is_file() && !format.is_utf16(&path).unwrap_or(true)
    })
}

fn text_bytes(log: &Log) -> u64 {
    let is_plain = Compression::of(Path::new(&log.label)).is_plain();
    if is_plain { log.size } else { log.size.saturating_mul(RATIO) }
}

/// Ranges of similar size that cover a log.
fn ranges(size: u64, wanted: u64) -> Vec<Option<(u64, u64)>> {
    let count = size.div_ceil(wanted);
    (0..count).map(|part| Some((size * part / count, size * (part + 1) / count))).collect()
}

#[cfg(test)]
mod tests {
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
        assert_eq!(shape(&split(&logs, 0, 2, true)), [vec![0, 1], vec![2, 3], vec![4, 5]]);
        // The text of a compressed log is longer.
        let logs = [log("a.csv", 20 << 20), log("b.csv.gz", 10 << 20), log("c.csv", 20 << 20)];
        assert_eq!(shape(&split(&logs, 0, 1, true)), [[0], [1], [2]]);
        assert!(split(&[], 0, 1, true).is_empty());
    }

    #[test]
    fn a_large_log_is_cut_if_its_lines_can_be_read_from_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.csv");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(100 << 20).unwrap();
        let large = Log { url: Url::from_file_path(&path).unwrap().into(), ..log("large.csv", 100 << 20) };
        let logs = [log("a.csv", 1), large, log("z.csv", 1)];
        let jobs = split(&logs, 7, 1, true);
        assert_eq!(shape(&jobs), [[0], [1], [1], [1], [1], [2]]);
        let ranges: Vec<_> = jobs[1..5].iter().map(|job| job[0].1.range.unwrap()).collect();
        assert_eq!((ranges[0].0, ranges[3].1), (0, 100 << 20));
        assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert!(jobs[1..5].iter().all(|job| job[0].1.number == 8));
        assert_eq!(shape(&split(&logs, 7, 1, false)), [[0], [1], [2]]);
    }
}
