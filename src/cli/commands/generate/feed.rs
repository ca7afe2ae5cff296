//! The live feed. It writes rows at a given rate. Some rows go to a growing file. The rest go to files that
//! are complete when they appear.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::cli::args::generate::GenerateArgs;
use crate::cli::commands::generate::log_file::{LogFile, Tally};
use crate::generate::feed::{AppendSizes, Pacer, TICK, Turn, Turns};
use crate::generate::{Plan, PlayLog, text};
use crate::model::error::{Error, FileRole, Op};
use crate::storage::real::RealDisk;
use crate::storage::{DiskFile, append, create_new};
use crate::telemetry::progress::Progress;

/// A running feed.
struct Feed<'a> {
    log: PlayLog,
    turns: Turns,
    pacer: Pacer,
    /// Monotonic time since the start.
    clock: &'a mut dyn FnMut() -> Duration,
    stop: &'a AtomicBool,
    progress: &'a Progress,
    incoming: &'a Path,
    growing: GrowingFile,
    /// Number of the next finished file.
    next_drop: u64,
    text: Vec<u8>,
    tally: Tally,
}

/// Runs the feed until all rows are written or `stop` is set. After a stop, it still writes the rows that it
/// has generated.
pub(super) fn feed(
    args: &GenerateArgs,
    rate: u64,
    plan: &Plan,
    incoming: &Path,
    stop: &AtomicBool,
    progress: &Progress,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<Tally, Error> {
    let next = next_number(incoming, "live-")?;
    let sizes = AppendSizes::new(plan.seed);
    let growing = GrowingFile { next, file: None, pending: Vec::new(), sizes };
    let feed = Feed {
        log: PlayLog::new(plan),
        turns: Turns::new(plan.seed, rate),
        pacer: Pacer::new(rate, args.total()),
        clock,
        stop,
        progress,
        incoming,
        growing,
        next_drop: next_number(incoming, "drop-")?,
        text: Vec::new(),
        tally: Tally::default(),
    };
    feed.run()
}

impl Feed<'_> {
    fn run(mut self) -> Result<Tally, Error> {
        while !self.is_over() {
            match self.turns.next() {
                Some(Turn::Grow(rows)) => self.grow(rows)?,
                Some(Turn::Rotate(rows)) => {
                    self.growing.finish()?;
                    self.grow(rows)?;
                }
                Some(Turn::Drop(rows)) => self.drop_file(rows)?,
                None => break,
            }
        }
        self.growing.finish()?;
        Ok(self.tally)
    }

    fn grow(&mut self, rows: u64) -> Result<(), Error> {
        let mut left = rows;
        while let Some(rows) = self.due(left) {
            left -= rows;
            if self.growing.open(self.incoming)? {
                self.tally.files += 1;
                self.tally.bytes += text::HEADER.len() as u64;
            }
            self.tally.rows += rows;
            self.tally.bytes += self.text.len() as u64;
            self.growing.append(&self.text)?;
        }
        Ok(())
    }

    fn drop_file(&mut self, rows: u64) -> Result<(), Error> {
        let mut left = rows;
        let mut file: Option<LogFile> = None;
        while let Some(rows) = self.due(left) {
            left -= rows;
            let file = if let Some(file) = &mut file {
                file
            } else {
                let path = self.incoming.join(format!("drop-{:05}.csv", self.next_drop));
                self.next_drop += 1;
                let new = file.insert(LogFile::create(&path)?);
                new.write(text::HEADER)?;
                new
            };
            file.write(&self.text)?;
            file.rows += rows;
        }
        // The file is published even after a stop. Otherwise its rows would be lost.
        if let Some(file) = file {
            self.tally.add(&file);
            file.publish()?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.pacer.is_over() || self.stop.load(Ordering::Relaxed)
    }

    /// Generates the rows that are due now, at most `most`, and returns their number. Waits until a row is
    /// due. Returns `None` when the feed is over.
    fn due(&mut self, most: u64) -> Option<u64> {
        while most > 0 && !self.is_over() {
            let rows = self.pacer.due((self.clock)(), most);
            if rows > 0 {
                self.text.clear();
                self.log.append(rows, &mut self.text);
                self.progress.advance(rows, rows);
                return Some(rows);
            }
            thread::sleep(TICK);
        }
        None
    }
}

/// A file that grows by appends.
struct GrowingFile {
    /// Number of the next file.
    next: u64,
    file: Option<(PathBuf, Box<dyn DiskFile>)>,
    /// Text that is not written yet. If an append ends in the middle of a line, the rest of the line stays
    /// here.
    pending: Vec<u8>,
    sizes: AppendSizes,
}

impl GrowingFile {
    /// Creates a file if no file is open, and returns whether it created one.
    fn open(&mut self, incoming: &Path) -> Result<bool, Error> {
        if self.file.is_some() {
            return Ok(false);
        }
        let path = incoming.join(format!("live-{:05}.csv", self.next));
        let file = create_new(&*RealDisk::without_fsync(), &path)?;
        self.next += 1;
        self.file = Some((path, file));
        self.pending.extend_from_slice(text::HEADER);
        Ok(true)
    }

    fn append(&mut self, text: &[u8]) -> Result<(), Error> {
        self.pending.extend_from_slice(text);
        let length = self.sizes.next(self.pending.len());
        self.write(length)
    }

    /// Writes the pending text and closes the file.
    fn finish(&mut self) -> Result<(), Error> {
        self.write(self.pending.len())?;
        self.file = None;
        Ok(())
    }

    fn write(&mut self, length: usize) -> Result<(), Error> {
        if let Some((path, file)) = &mut self.file {
            append(&mut **file, path, &self.pending[..length])?;
            self.pending.drain(..length);
        }
        Ok(())
    }
}

/// The next free number for files with this prefix: the highest number in use plus one. The numbers of
/// compressed files count, too.
fn next_number(folder: &Path, prefix: &str) -> Result<u64, Error> {
    let failed = |cause: std::io::Error| Error::file(FileRole::Open, Op::Read, folder, cause);
    let mut next = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix(prefix)?.split('.').next()?.parse::<u64>().ok());
        next = next.max(number.map_or(0, |number| number.saturating_add(1)));
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: GenerateArgs,
    }

    #[test]
    fn a_feed_rotates_and_has_the_rows_of_its_seed() {
        let folder = std::env::temp_dir().join(format!("music-insights-feed-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let args = Cli::parse_from(["generate", "--rate", "1000", "--rows", "50000"]).args;
        let plan = args.plan(0);
        let mut elapsed = Duration::ZERO;
        // This clock advances with every call, so the test does not wait.
        let mut clock = || {
            elapsed += TICK;
            elapsed
        };
        let (stop, progress) = (AtomicBool::new(false), Progress::silent());
        let tally = feed(&args, 1000, &plan, &folder, &stop, &progress, &mut clock).unwrap();
        let (mut rows, mut bytes, mut names) = (Vec::new(), 0, Vec::new());
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            names.push(entry.file_name().into_string().unwrap());
            let text = fs::read_to_string(entry.path()).unwrap();
            bytes += text.len() as u64;
            let lines = text.strip_prefix(std::str::from_utf8(text::HEADER).unwrap()).unwrap();
            assert!(lines.ends_with('\n'));
            rows.extend(lines.lines().map(str::to_owned));
        }
        fs::remove_dir_all(&folder).unwrap();
        let mut expected = Vec::new();
        PlayLog::new(&plan).append(50_000, &mut expected);
        let mut expected: Vec<&str> = std::str::from_utf8(&expected).unwrap().lines().collect();
        rows.sort_unstable();
        expected.sort_unstable();
        assert_eq!(rows, expected);
        assert_eq!((tally.rows, tally.files, tally.bytes), (50_000, names.len() as u64, bytes));
        let grown = names.iter().filter(|name| name.starts_with("live-")).count();
        assert!((2..5).contains(&grown) && names.len() > 20, "{names:?}");
        assert!(names.iter().all(|name| !name.starts_with('.')));
    }
}
