//! Measures the cost of exactly-once processing with 20 million plays in the state: the rows per second with
//! commits, the time of a commit with 10,000 new plays, and the time of a restart.
//!
//! `cargo bench --bench commits [FOLDER]...` runs in the given folders. Without arguments it runs in
//! `/dev/shm` and in the temporary folder. Each folder needs 5 GB and about a minute. For comparison, the
//! bench also writes and syncs the same number of bytes without any other work.

#[path = "support/committing.rs"]
mod committing;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Parser;
use committing::{Committing, NEW_PLAYS};
use music_insights::cli::args::{Cli, Command as Subcommand};
use music_insights::telemetry::progress::Progress;
use program::{WATCH, run};

const ROWS: u64 = 20_000_000;
const COMMITS: u32 = 20;
const RESTARTS: usize = 3;

fn main() {
    let named: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).map(Into::into).collect();
    let usual = vec![PathBuf::from("/dev/shm"), std::env::temp_dir()];
    for place in if named.is_empty() { usual } else { named } {
        if place.is_dir() {
            measure(&place);
        }
    }
}

fn measure(place: &Path) {
    let folder = tempfile::tempdir_in(place).unwrap();
    let root = folder.path();
    println!("{}", place.display());
    generate(root);
    let replayed = timed(|| run(root, &["replay", "--output", "replayed"]));
    let watched = timed(|| run(root, &WATCH));
    let rate = |took: Duration| ROWS as f64 / took.as_secs_f64() / 1e6;
    println!("  replay, without syncs           {:>8.2} M rows/s", rate(replayed));
    println!("  watch --once, with commits      {:>8.2} M rows/s", rate(watched));
    let bytes = size_of(&root.join("output")) + size_of(&root.join("data/state"));
    let synced = timed(|| write_and_sync(root, bytes));
    let megabytes = |took: Duration| bytes as f64 / took.as_secs_f64() / 1e6;
    println!(
        "  bytes written and synced        {:>8.0} MB/s; the same bytes alone {:.0} MB/s",
        megabytes(watched),
        megabytes(synced)
    );
    let mut restarts: Vec<Duration> = (0..RESTARTS).map(|_| timed(|| run(root, &WATCH))).collect();
    restarts.sort();
    println!("  restart, including publishing   {:>8.2} s", restarts[RESTARTS / 2].as_secs_f64());
    let (mut commits, bytes) = commit(root);
    commits.sort();
    println!(
        "  commit of {NEW_PLAYS} new plays      {:>8.1} ms, longest {:.1} ms; {} KB each",
        commits[commits.len() / 2].as_secs_f64() * 1e3,
        commits[commits.len() - 1].as_secs_f64() * 1e3,
        bytes / 1000
    );
}

fn timed(act: impl FnOnce()) -> Duration {
    let began = Instant::now();
    act();
    began.elapsed()
}

fn generate(root: &Path) {
    let rows = ROWS.to_string();
    let data = root.join("data");
    let args = ["music-insights", "generate", "--users", "200000", "--songs", "50000", "--files", "8"];
    let args = args.into_iter().chain(["--rows", &rows, "--out", data.to_str().unwrap()]);
    let Subcommand::Generate(args) = Cli::parse_from(args).command else { unreachable!() };
    music_insights::cli::commands::generate::run(
        &args.generate,
        &AtomicBool::new(false),
        &Progress::silent(),
    )
    .unwrap();
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let size = |entry: fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { size_of(&entry.path()) } else { metadata.len() }
    };
    entries.map(size).sum()
}

/// Writes the given number of bytes in pieces, with a sync after each piece, as flushes do.
fn write_and_sync(root: &Path, bytes: u64) {
    let block = vec![b'x'; 1 << 20];
    let mut file = fs::File::create(root.join("alone")).unwrap();
    for number in 0..bytes >> 20 {
        file.write_all(&block).unwrap();
        if number % 400 == 399 {
            file.sync_data().unwrap();
        }
    }
    file.sync_data().unwrap();
}

/// Commits new plays to the state several times. Returns the times and the size of the last segment in bytes.
fn commit(root: &Path) -> (Vec<Duration>, u64) {
    let mut committing = Committing::resume(root);
    let times = (0..COMMITS).map(|_| {
        committing.take();
        timed(|| {
            committing.commit();
            committing.retire();
        })
    });
    (times.collect(), committing.bytes_of_last_segment())
}
