//! Runs the engine inside the test process.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use music_insights::engine::coordinator::{ControlHandles, RunMode, RunSummary};
use music_insights::engine::pipeline::Pipeline;
use music_insights::ingest::source::EventSender;
use music_insights::ingest::source::archive::Archiver;
use music_insights::ingest::source::replay::Replay;
use music_insights::ingest::source::tail::{LastLines, MAX_HELD};
use music_insights::ingest::source::watch::{ROLL_WAIT, Resume, Watch, WatchOptions};
use music_insights::model::error::Error;
use music_insights::model::shutdown::Shutdown;
use music_insights::settings::Settings;
use music_insights::state::checkpoint::recover::StartOptions;
use music_insights::storage::real::RealDisk;
use music_insights::telemetry::progress::Progress;
use music_insights::time::clock::Clock;
use music_insights::time::date_range::DateRange;
use tokio::runtime::Runtime;

/// One tokio runtime for all cases, because starting a runtime takes longer than a small case.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// Runs `replay` as the command does, but without parsing arguments and without printing a summary.
pub(crate) fn replay(settings: &Settings, logs: Vec<PathBuf>, now: i64, chunk: usize) -> RunSummary {
    replay_dates(settings, DateRange::default(), logs, now, chunk)
}

/// Runs `replay` with `--from` and `--to`.
pub(crate) fn replay_dates(
    settings: &Settings,
    dates: DateRange,
    logs: Vec<PathBuf>,
    now: i64,
    chunk: usize,
) -> RunSummary {
    let dialect = settings.dialect();
    let source = move |events: &EventSender, _| {
        Replay { logs, dialect, now, chunk, allow_empty: true, reads_once: true }
            .run(events, &Shutdown::default())
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        mode: RunMode::Replay,
        dates,
        acceptance: None,
        clock: Clock::Stopped(now),
        options: StartOptions::default(),
        progress: Arc::new(Progress::silent()),
        control: ControlHandles::alone(settings),
    };
    RUNTIME.block_on(pipeline.run(source)).unwrap()
}

/// Writes to the folder of the logs.
pub(crate) type Piece = Box<dyn FnOnce() + Send>;

/// Runs `watch` without fsync while the steps write to the folder of the logs. It polls the folder after each step.
/// Then a second process reads what is there with `--once`.
pub(crate) fn watch(settings: &Settings, steps: Vec<Vec<Piece>>) {
    watch_with_clock(settings, Clock::Stopped(NOW), steps);
}

/// Same as [`watch`], with a clock that decides what is current.
pub(crate) fn watch_with_clock(settings: &Settings, clock: Clock, steps: Vec<Vec<Piece>>) {
    let options = watch_options(settings, false);
    run_watch(settings, clock, move |events, resume| {
        let mut watch = Watch::new(options, resume)?;
        for step in steps {
            for piece in step {
                piece();
            }
            if watch.poll(events, &Shutdown::default()).is_err() {
                break;
            }
        }
        Ok(())
    });
    watch_once_with_clock(settings, clock, MAX_HELD);
}

/// Runs `watch --once`. `max_held` is the number of bytes of text to hold back while a compressed log is checked.
pub(crate) fn watch_once(settings: &Settings, max_held: u64) {
    watch_once_with_clock(settings, Clock::Stopped(NOW), max_held);
}

fn watch_once_with_clock(settings: &Settings, clock: Clock, max_held: u64) {
    let options = WatchOptions { max_held, ..watch_options(settings, true) };
    run_watch(settings, clock, |events, resume| {
        Watch::new(options, resume)?.run(events, &Shutdown::default())
    });
}

fn watch_options(settings: &Settings, once: bool) -> WatchOptions {
    let input = &settings.input;
    WatchOptions {
        folder: settings.incoming.clone(),
        rules: input.folder_rules(),
        dialect: settings.dialect(),
        last_lines: LastLines { wait: input.last_line_wait.0, once },
        archiver: Archiver {
            disk: RealDisk::without_fsync(),
            when_done: input.when_done,
            archive_dir: input.archive_dir.clone(),
            after: input.done_after.0,
        },
        roll_wait: ROLL_WAIT,
        max_held: MAX_HELD,
        max_open: 16,
        metrics: Arc::default(),
    }
}

fn run_watch<S>(settings: &Settings, clock: Clock, source: S)
where
    S: FnOnce(&EventSender, Resume) -> Result<(), Error> + Send + 'static,
{
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        mode: RunMode::Watch,
        dates: DateRange::default(),
        clock,
        // A catalog may lose all its songs in these tests.
        options: StartOptions { allow_empty: true, ..StartOptions::default() },
        acceptance: None,
        progress: Arc::new(Progress::silent()),
        control: ControlHandles::alone(settings),
    };
    RUNTIME.block_on(pipeline.run(source)).unwrap();
}

/// The header of all logs in these tests, without a line feed.
pub(crate) const HEADER: &str = "user_id,song_id,timestamp,duration_sec";

/// The time at which all these tests read their rows: 2026-11-23T00:00:00Z, a Monday.
pub(crate) const NOW: i64 = 1_795_392_000;
