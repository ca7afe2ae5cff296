//! The live feed: files that grow and files that drop in, at a pace.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::cli::commands::generate::{LogFile, Tally};
use crate::generate::feed::{Cuts, Pacer, TICK, Turn, Turns};
use crate::generate::{GenerateArgs, Plan, PlayLog, text};
use crate::model::error::{Error, FileRole, Op};

use crate::storage::real::RealDisk;
use crate::storage::{DiskFile, append, create_new};
use crate::telemetry::progress::Progress;

/// A live feed on its way into files.
struct Feed<'a> {
    log: PlayLog,
    turns: Turns,
    pacer: Pacer,
    /// The time since the begin, by a clock that never jumps.
    clock: &'a mut dyn FnMut() -> Duration,
    stop: &'a AtomicBool,
    progress: &'a Progress,
    incoming: &'a Path,
    growing: Growing,
    next_drop: u64,
    text: Vec<u8>,
    tally: Tally,
}

/// Feeds until all rows are there or `stop` is set; what was made is written to its end.
pub(super) fn feed(
    args: &GenerateArgs,
    rate: u64,
    plan: &Plan,
    incoming: &Path,
    stop: &AtomicBool,
    progress: &Progress,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<Tally, Error> {
    let cuts = Cuts::new(plan.seed);
    let growing = Growing { next: next_number(incoming, "live-")?, file: None, waiting: Vec::new(), cuts };
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
                    self.growing.end()?;
                    self.grow(rows)?;
                }
                Some(Turn::Drop(rows)) => self.drop_file(rows)?,
                None => break,
            }
        }
        self.growing.end()?;
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
        let mut draft: Option<LogFile> = None;
        while let Some(rows) = self.due(left) {
            left -= rows;
            let draft = if let Some(draft) = &mut draft {
                draft
            } else {
                let path = self.incoming.join(format!("drop-{:05}.csv", self.next_drop));
                self.next_drop += 1;
                let new = draft.insert(LogFile::create(&path)?);
                new.write(text::HEADER)?;
                new
            };
            draft.write(&self.text)?;
            draft.rows += rows;
        }
        // Also when stopped: rows that have been made are not lost.
        if let Some(draft) = draft {
            self.tally.add(&draft);
            draft.publish()?;
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.pacer.is_over() || self.stop.load(Ordering::Relaxed)
    }

    /// Makes the rows that are due now, at most `most`, waiting if there are none; nothing when the feed is over.
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

/// The file that grows.
struct Growing {
    next: u64,
    file: Option<(PathBuf, Box<dyn DiskFile>)>,
    /// Text that has been made but not written, so that appends end in the middle of a line.
    waiting: Vec<u8>,
    cuts: Cuts,
}

impl Growing {
    /// Makes sure that there is a file; says whether it is a new one.
    fn open(&mut self, incoming: &Path) -> Result<bool, Error> {
        if self.file.is_some() {
            return Ok(false);
        }
        let path = incoming.join(format!("live-{:05}.csv", self.next));
        let file = create_new(&*RealDisk::without_fsync(), &path)?;
        self.next += 1;
        self.file = Some((path, file));
        self.waiting.extend_from_slice(text::HEADER);
        Ok(true)
    }

    fn append(&mut self, text: &[u8]) -> Result<(), Error> {
        self.waiting.extend_from_slice(text);
        let now = self.cuts.cut(self.waiting.len());
        self.write(now)
    }

    /// Ends the file, complete to the last line.
    fn end(&mut self) -> Result<(), Error> {
        self.write(self.waiting.len())?;
        self.file = None;
        Ok(())
    }

    fn write(&mut self, length: usize) -> Result<(), Error> {
        if let Some((path, file)) = &mut self.file {
            append(&mut **file, path, &self.waiting[..length])?;
            self.waiting.drain(..length);
        }
        Ok(())
    }
}

/// The number after the highest of the files named so, compressed ones included, whatever has become of the others.
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
    fn a_feed_rotates_and_its_rows_are_those_of_the_seed() {
        let folder = std::env::temp_dir().join(format!("music-insights-feed-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let args = Cli::parse_from(["generate", "--rate", "1000", "--rows", "50000"]).args;
        let plan = args.plan(0);
        let mut elapsed = Duration::ZERO;
        // A clock that is always ahead: half a minute goes by without a pause.
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
