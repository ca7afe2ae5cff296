//! Changes the inputs while `watch` runs on a simulated disk.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use flate2::Compression;
use flate2::write::GzEncoder;
use music_insights::engine::coordinator::{ControlHandles, RunMode, RunSummary};
use music_insights::engine::pipeline::Pipeline;
use music_insights::generate::rng::Rng as Dice;
use music_insights::ingest::source::EventSender;
use music_insights::ingest::source::archive::{Archiver, WhenDone};
use music_insights::ingest::source::tail::{LastLines, MAX_HELD};
use music_insights::ingest::source::watch::{Watch, WatchOptions};
use music_insights::model::error::Error;

use music_insights::model::period_rules::Kept;
use music_insights::model::shutdown::Shutdown;
use music_insights::model::value::{ByteSize, TimeSpan};
use music_insights::publish::manifest::{FILE, Manifest};
use music_insights::settings::{Periods, Settings};
use music_insights::state::checkpoint::recover::StartOptions;
use music_insights::storage::SharedDisk;
use music_insights::telemetry::progress::Progress;
use music_insights::time::clock::Clock;
use music_insights::time::date_range::DateRange;

use crate::engine::{HEADER, NOW, RUNTIME};
use crate::sim_disk::SimDisk;

/// The time of the first play: 2025-03-01T00:00:00Z.
const FIRST_PLAY: u64 = 1_740_787_200;
const NEVER: Duration = Duration::from_hours(1);
const CATALOG_HEADER: &str = "song_id,title,artist,genre,mood\n";
/// The number of songs in the first catalog. Later catalogs add songs, but never the last song.
pub(crate) const FIRST_SONGS: u64 = 3;
const SONGS: u64 = 7;

/// A change of the inputs or of the process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Append rows to a log, including bad rows and unmatched plays.
    Rows { log: usize, rows: u64 },
    /// Append rows, and the first part of another row.
    Partial { log: usize, rows: u64 },
    /// Drop a compressed log.
    Drop { rows: u64 },
    /// Rotate a log: rename the file, and create a new file under its old name.
    Rotate { log: usize },
    /// Publish a catalog with one more song.
    Catalog,
    /// Stop the process and start it again. With `catalog`, the catalog changes in between.
    Restart { catalog: bool },
    /// Kill the process or cut the power, and start it again.
    Crash,
}

impl Step {
    /// A few epochs with many kinds of change: a line in two pieces, a compressed log, a rotation,
    /// unmatched plays, a changed catalog and a restart.
    pub(crate) const SMALL: [Self; 7] = [
        Self::Partial { log: 0, rows: 12 },
        Self::Drop { rows: 5 },
        Self::Rows { log: 0, rows: 3 },
        Self::Catalog,
        Self::Rotate { log: 0 },
        Self::Restart { catalog: false },
        Self::Partial { log: 1, rows: 4 },
    ];

    /// Enough epochs in one process to make the process merge segments.
    pub(crate) const MANY: [Self; 16] = [Self::Rows { log: 0, rows: 2 }; 16];

    /// Random steps. There are enough steps to make `watch` merge segments and remove generations.
    pub(crate) fn random(dice: &mut Dice) -> Vec<Self> {
        let count = 12 + dice.below(6);
        let step = |_| {
            let (log, rows) = (dice.below(3) as usize, 1 + dice.below(7));
            match dice.below(20) {
                0..9 => Self::Rows { log, rows },
                9..12 => Self::Partial { log, rows },
                12..15 => Self::Drop { rows },
                15 => Self::Rotate { log },
                16 => Self::Crash,
                17 => Self::Restart { catalog: false },
                18 => Self::Restart { catalog: true },
                _ => Self::Catalog,
            }
        };
        (0..count).map(step).collect()
    }
}

/// A growing log.
#[derive(Debug, Default)]
struct Growing {
    /// The serial number of the log. `None` before its first row.
    serial: Option<u64>,
    /// The part of the last line that is not written yet.
    rest: String,
}

/// The folders of a run. Inputs are real files. State and output are on the simulated disk.
#[derive(Debug)]
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) settings: Settings,
}

impl Place {
    /// Creates folders without inputs.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings {
            songs: folder.path().join("songs_metadata.csv"),
            incoming: folder.path().join("incoming"),
            output: PathBuf::from("/sim/output"),
            state: PathBuf::from("/sim/state"),
            threads: Some(1),
            ..Settings::default()
        };
        settings.insights.enriched_logs.roll_bytes = ByteSize(600);
        // Few tables, because the tests check the disk after every operation.
        settings.periods = Periods {
            day: Kept::Latest(2),
            month: Kept::All,
            insights: "top_songs_this_week".parse().unwrap(),
            ..Periods::default()
        };
        fs::create_dir(&settings.incoming).unwrap();
        Self { folder, settings }
    }

    /// Runs `watch` until it is stopped. With `once`, `watch` ends when it has read all inputs.
    pub(crate) fn watch(
        &self,
        disk: &SimDisk,
        options: StartOptions,
        once: bool,
        stop: &Shutdown,
    ) -> Result<RunSummary, Error> {
        let mut settings = self.settings.clone();
        settings.flush_interval = TimeSpan(if once { NEVER } else { Duration::from_millis(1) });
        let shared: SharedDisk = Arc::new(disk.clone());
        let archiver = Archiver {
            disk: shared.clone(),
            when_done: WhenDone::Keep,
            archive_dir: PathBuf::new(),
            after: NEVER,
        };
        let last_lines = LastLines { wait: NEVER, once };
        let rules = WatchOptions {
            folder: settings.incoming.clone(),
            rules: settings.input.folder_rules(),
            dialect: settings.dialect(),
            last_lines,
            roll_wait: std::time::Duration::from_secs(10),
            max_held: MAX_HELD,
            archiver,
            max_open: 8,
            metrics: Arc::default(),
        };
        let stop = stop.clone();
        let pipeline = Pipeline {
            control: ControlHandles::alone(&settings),
            settings,
            disk: shared,
            mode: RunMode::Watch,
            dates: DateRange::default(),
            acceptance: None,
            clock: Clock::Stopped(NOW),
            options,
            progress: Arc::new(Progress::silent()),
        };
        let source = move |events: &EventSender, resume| Watch::new(rules, resume)?.run(events, &stop);
        RUNTIME.block_on(pipeline.run(source))
    }

    /// Starts `watch`, reads all inputs, and stops.
    pub(crate) fn recover(&self, disk: &SimDisk, options: StartOptions) -> Result<(), Error> {
        let run = || self.watch(disk, options, true, &Shutdown::default()).map(drop);
        let died = |_| Err(Error::Bug("watch panicked".to_owned()));
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(died)
    }

    /// The output folder of a replay of the inputs. This folder is not on the simulated disk.
    pub(crate) fn replayed(&self) -> PathBuf {
        self.folder.path().join("replayed")
    }

    /// The published manifest.
    pub(crate) fn manifest(&self, disk: &SimDisk) -> Option<Manifest> {
        serde_json::from_slice(&disk.read(&self.settings.output.join(FILE))?).ok()
    }
}

/// Applies steps to a place.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    place: &'a Place,
    pub(crate) dice: Dice,
    logs: [Growing; 3],
    /// The numbers of logs, rows and songs so far.
    serials: u64,
    plays: u64,
    pub(crate) songs: u64,
    /// The number of whole rows.
    pub(crate) rows: u64,
}

impl<'a> Feed<'a> {
    /// Writes the first catalog.
    pub(crate) fn new(place: &'a Place, dice: Dice) -> Self {
        let feed =
            Self { place, dice, logs: Default::default(), serials: 0, plays: 0, songs: FIRST_SONGS, rows: 0 };
        feed.write_catalog();
        feed
    }

    fn write_catalog(&self) {
        let mut text = format!("{CATALOG_HEADER},,,,\n");
        for song in 0..self.songs {
            let (genre, mood) = (["Rock", "Pop", ""][song as usize % 3], ["Sad", "Happy"][song as usize % 2]);
            writeln!(text, "s{song},Title {song},Artist,{genre},{mood}").unwrap();
        }
        self.write(&self.place.settings.songs, text.as_bytes());
    }

    /// Writes a whole file atomically.
    fn write(&self, path: &Path, bytes: &[u8]) {
        let hidden = self.place.folder.path().join("hidden");
        fs::write(&hidden, bytes).unwrap();
        fs::rename(&hidden, path).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.settings.incoming.join(name)
    }

    fn next_serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// Makes a unique row. Its `user_id` contains the serial number of the log.
    fn row(&mut self, serial: u64) -> String {
        self.plays += 1;
        let (play, user, song) = (self.plays, self.dice.below(3), self.dice.below(SONGS));
        if self.dice.below(6) == 0 {
            return format!("bad,{play}\n");
        }
        // About two plays come per day. Some are so late that they change a month before the previous one.
        let late = if self.dice.below(6) == 0 { 60 * 86_400 } else { 0 };
        let time = (FIRST_PLAY + play * 40_009 - late) as i64;
        let time = DateTime::from_timestamp(time, 0).unwrap().format("%Y-%m-%d %H:%M:%S");
        format!("f{serial}u{user},s{song},{time},{}\n", play % 300)
    }

    fn rows_of(&mut self, serial: u64, rows: u64) -> String {
        self.rows += rows;
        (0..rows).map(|_| self.row(serial)).collect()
    }

    fn log_path(&self, log: usize) -> PathBuf {
        self.path(["a.csv", "b.csv", "c.csv"][log])
    }

    fn grow(&mut self, log: usize, rows: u64, partial: bool) {
        let mut text = std::mem::take(&mut self.logs[log].rest);
        self.rows += u64::from(!text.is_empty());
        let serial = self.logs[log].serial.unwrap_or_else(|| {
            text = format!("{HEADER}\n");
            self.next_serial()
        });
        self.logs[log].serial = Some(serial);
        text += &self.rows_of(serial, rows);
        if partial {
            let row = self.row(serial);
            let (now, later) = row.split_at(1 + self.dice.below(row.len() as u64 - 1) as usize);
            text += now;
            later.clone_into(&mut self.logs[log].rest);
        }
        let mut options = fs::File::options();
        let mut file = options.create(true).append(true).open(self.log_path(log)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Applies a step to the inputs.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Rows { log, rows } => self.grow(log, rows, false),
            Step::Partial { log, rows } => self.grow(log, rows, true),
            Step::Drop { rows } => {
                let serial = self.next_serial();
                let text = format!("{HEADER}\n{}", self.rows_of(serial, rows));
                let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                gzip.write_all(text.as_bytes()).unwrap();
                self.write(&self.path(&format!("drop-{serial}.csv.gz")), &gzip.finish().unwrap());
            }
            Step::Rotate { log } => {
                if let Some(serial) = self.logs[log].serial {
                    // Finish the last line of the old file now, because no later step does so.
                    self.grow(log, 0, false);
                    fs::rename(self.log_path(log), self.path(&format!("old-{serial}.csv"))).unwrap();
                    self.logs[log] = Growing::default();
                }
                self.grow(log, 1, false);
            }
            Step::Catalog | Step::Restart { catalog: true } => {
                self.songs = (self.songs + 1).min(SONGS - 1);
                self.write_catalog();
            }
            Step::Restart { catalog: false } | Step::Crash => {}
        }
    }
}
