//! `music-insights generate`: a synthetic catalog and listening logs, at once or as a live feed.
//!
//! What the rows are is decided in [`crate::generate`]; here they become files, in the time and the folder asked for.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::commands::run_until_stopped;
use crate::failure::{Exit, Failure};
use crate::generate::feed::{Cuts, Pacer, SLICE, TICK, Turn, Turns};
use crate::generate::{GenerateArgs, Plan, PlayLog, text};
use crate::progress::{Progress, Unit};
use crate::settings::Settings;
use crate::source::Stop;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The catalog.
    pub catalog: PathBuf,
    /// The songs in it.
    pub songs: u32,
    /// The folder of the listening logs.
    pub incoming: PathBuf,
    /// The listening logs written.
    pub files: u64,
    /// The rows in them.
    pub rows: u64,
    /// The bytes in them, headers included.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
    /// The stop flag ended it before all rows were there. (An endless feed always ends so.)
    pub stopped: bool,
}

impl fmt::Display for Generated {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { catalog, songs, incoming, files, rows, bytes, elapsed, .. } = self;
        let (catalog, incoming) = (catalog.display(), incoming.display());
        write!(
            out,
            "{songs} songs in {catalog}; {rows} rows ({bytes} bytes) in {files} files in {incoming}; {elapsed:.1?}"
        )
    }
}

/// A file or folder that could not be made.
#[derive(Debug)]
pub struct GenerateError {
    /// What failed: `create`, `read` or `write`.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl fmt::Display for GenerateError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {} {}: {}", self.action, self.path.display(), self.source)
    }
}

// The message already ends with the cause, so there is no `source` for a reporter to say it again.
impl Error for GenerateError {}

type Result<T> = std::result::Result<T, GenerateError>;

/// Names the path in an error.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> GenerateError {
    move |source| GenerateError { action, path: path.to_owned(), source }
}

/// Runs the command: until all rows are there, or a signal stops it.
///
/// # Errors
/// The first file or folder that cannot be made, exit code 73.
pub fn run_command(args: &GenerateArgs) -> std::result::Result<(), Failure> {
    let stop = Stop::default();
    let progress = Progress::new(args.total(), Unit::Rows);
    let made = run_until_stopped(&Settings::default(), &stop, async {
        tokio::task::block_in_place(|| run(args, stop.flag(), &progress))
            .map_err(|cause| Failure::new(Exit::CannotCreate, cause.to_string()))
    })?;
    progress.finish();
    println!("{made}");
    Ok(())
}

/// Writes the catalog, then the listening logs, until all rows are there or `stop` is set.
///
/// # Errors
///
/// The first file or folder that cannot be made; no temporary file is left behind.
pub fn run(args: &GenerateArgs, stop: &AtomicBool, progress: &Progress) -> Result<Generated> {
    let began = Instant::now();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let plan = args.plan(now);
    let incoming = args.out.join("incoming");
    fs::create_dir_all(&incoming).map_err(failed("create", &incoming))?;
    let catalog = args.out.join("songs_metadata.csv");
    write_catalog(&plan, &catalog)?;
    let tally = match args.rate {
        None => write_logs(args, &plan, &incoming, stop, progress)?,
        Some(rate) => {
            // The clock starts when it is first asked, lest the time to set up be caught up with.
            let mut first = None;
            let mut clock = || first.get_or_insert_with(Instant::now).elapsed();
            feed(args, rate, &plan, &incoming, stop, progress, &mut clock)?
        }
    };
    let Tally { files, rows, bytes } = tally;
    let stopped = args.total() != Some(rows);
    Ok(Generated {
        catalog,
        songs: plan.songs,
        incoming,
        files,
        rows,
        bytes,
        elapsed: began.elapsed(),
        stopped,
    })
}

/// What has been written, complete and under its final name.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    rows: u64,
    bytes: u64,
}

fn write_catalog(plan: &Plan, path: &Path) -> Result<()> {
    let mut text = Vec::new();
    plan.catalog().append(&mut text);
    let mut draft = Draft::create(path.to_owned())?;
    draft.write(&text)?;
    draft.publish()
}

fn write_logs(
    args: &GenerateArgs,
    plan: &Plan,
    incoming: &Path,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Tally> {
    let total = u128::from(args.total().unwrap_or(0));
    let files = u64::from(args.files);
    let until = |file: u64| (total * u128::from(file) / u128::from(files)) as u64;
    let mut log = PlayLog::new(plan);
    let mut tally = Tally::default();
    let mut text = Vec::new();
    for file in 0..files {
        let mut draft = Draft::create(incoming.join(format!("plays-{file:05}.csv")))?;
        draft.write(text::HEADER)?;
        let mut left = until(file + 1) - until(file);
        while left > 0 {
            if stop.load(Ordering::Relaxed) {
                // Half a file under the name of a whole one would not be what the seed promises.
                return Ok(tally);
            }
            let rows = left.min(SLICE);
            text.clear();
            log.append(rows, &mut text);
            draft.write(&text)?;
            draft.rows += rows;
            progress.advance(rows, rows);
            left -= rows;
        }
        tally.add(&draft);
        draft.publish()?;
    }
    Ok(tally)
}

impl Tally {
    fn add(&mut self, draft: &Draft) {
        self.files += 1;
        self.rows += draft.rows;
        self.bytes += draft.bytes;
    }
}

/// A file under a temporary name, which becomes visible whole or not at all.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    file: File,
    rows: u64,
    bytes: u64,
}

impl Draft {
    fn create(path: PathBuf) -> Result<Self> {
        // A reader of the folder takes no name that starts with a dot or ends in anything but `.csv`.
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let temporary = path.with_file_name(format!(".{name}.tmp"));
        let file = File::create(&temporary).map_err(failed("create", &temporary))?;
        Ok(Self { path, temporary, file, rows: 0, bytes: 0 })
    }

    fn write(&mut self, text: &[u8]) -> Result<()> {
        self.bytes += text.len() as u64;
        self.file.write_all(text).map_err(failed("write", &self.path))
    }

    fn publish(mut self) -> Result<()> {
        fs::rename(&self.temporary, &self.path).map_err(failed("write", &self.path))?;
        self.temporary.clear();
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            // Already on the way out with an error or a stop; there is nobody left to tell.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

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

fn feed(
    args: &GenerateArgs,
    rate: u64,
    plan: &Plan,
    incoming: &Path,
    stop: &AtomicBool,
    progress: &Progress,
    clock: &mut dyn FnMut() -> Duration,
) -> Result<Tally> {
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
    fn run(mut self) -> Result<Tally> {
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

    fn grow(&mut self, rows: u64) -> Result<()> {
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

    fn drop_file(&mut self, rows: u64) -> Result<()> {
        let mut left = rows;
        let mut draft: Option<Draft> = None;
        while let Some(rows) = self.due(left) {
            left -= rows;
            let draft = if let Some(draft) = &mut draft {
                draft
            } else {
                let path = self.incoming.join(format!("drop-{:05}.csv", self.next_drop));
                self.next_drop += 1;
                let new = draft.insert(Draft::create(path)?);
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
    file: Option<(PathBuf, File)>,
    /// Text that has been made but not written, so that appends end in the middle of a line.
    waiting: Vec<u8>,
    cuts: Cuts,
}

impl Growing {
    /// Makes sure that there is a file; says whether it is a new one.
    fn open(&mut self, incoming: &Path) -> Result<bool> {
        if self.file.is_some() {
            return Ok(false);
        }
        let path = incoming.join(format!("live-{:05}.csv", self.next));
        let file = File::create_new(&path).map_err(failed("create", &path))?;
        self.next += 1;
        self.file = Some((path, file));
        self.waiting.extend_from_slice(text::HEADER);
        Ok(true)
    }

    fn append(&mut self, text: &[u8]) -> Result<()> {
        self.waiting.extend_from_slice(text);
        let now = self.cuts.cut(self.waiting.len());
        self.write(now)
    }

    /// Ends the file, complete to the last line.
    fn end(&mut self) -> Result<()> {
        self.write(self.waiting.len())?;
        self.file = None;
        Ok(())
    }

    fn write(&mut self, length: usize) -> Result<()> {
        if let Some((path, file)) = &mut self.file {
            file.write_all(&self.waiting[..length]).map_err(failed("write", path))?;
            self.waiting.drain(..length);
        }
        Ok(())
    }
}

/// The number after the highest of the files named so, compressed ones included, whatever has become of the others.
fn next_number(folder: &Path, prefix: &str) -> Result<u64> {
    let mut next = 0;
    for entry in fs::read_dir(folder).map_err(failed("read", folder))? {
        let name = entry.map_err(failed("read", folder))?.file_name();
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
