//! Runs the engine inside the test process.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use music_insights::engine::coordinator::{ControlHandles, RunMode, RunSummary};
use music_insights::engine::pipeline::Pipeline;
use music_insights::ingest::source::EventSender;
use music_insights::ingest::source::replay::Replay;
use music_insights::model::shutdown::Shutdown;
use music_insights::settings::Settings;
use music_insights::state::checkpoint::recover::StartOptions;
use music_insights::storage::real::RealDisk;
use music_insights::telemetry::progress::Progress;
use music_insights::time::clock::Clock;
use tokio::runtime::Runtime;

/// One tokio runtime for all cases, because starting a runtime takes longer than a small case.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// Runs `replay` as the command does, but without parsing arguments and without printing a summary.
pub(crate) fn replay(settings: &Settings, logs: Vec<PathBuf>, now: i64, chunk: usize) -> RunSummary {
    let dialect = settings.dialect();
    let source = move |events: &EventSender, _| {
        Replay { logs, dialect, now, chunk, allow_empty: true }.run(events, &Shutdown::default())
    };
    let pipeline = Pipeline {
        settings: settings.clone(),
        disk: RealDisk::without_fsync(),
        mode: RunMode::Replay,
        acceptance: None,
        clock: Clock::Stopped(now),
        options: StartOptions::default(),
        progress: Arc::new(Progress::silent()),
        control: ControlHandles::alone(settings),
    };
    RUNTIME.block_on(pipeline.run(source)).unwrap()
}

/// The header of all logs in these tests, without a line feed.
pub(crate) const HEADER: &str = "user_id,song_id,timestamp,duration_sec";

/// The time at which all these tests read their rows: 2026-11-23T00:00:00Z, a Monday.
pub(crate) const NOW: i64 = 1_795_392_000;
