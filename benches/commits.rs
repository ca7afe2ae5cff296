//! What exactly-once costs: rows per second with commits, the commit of 10,000 new plays, and a
//! restart, with 20 million plays in the state.
//!
//! `cargo bench --bench commits [FOLDER]...` does it in `/dev/shm` and in the folder for temporary
//! files, or in those that are named; each needs 5 GB for a minute. On a disk it also measures how
//! fast the same bytes can be written and synced.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use clap::Parser;
use music_insights::checkpoint::keeper::{Commit, Keeper};
use music_insights::checkpoint::recover::Wishes;
use music_insights::cli::{Cli, Command as Subcommand};
use music_insights::disk::SharedDisk;
use music_insights::disk::real::RealDisk;
use music_insights::model::{Batch, Epoch, Input, InputId, Mark, Moment, Span, Text};
use music_insights::names::Names;
use music_insights::progress::Progress;
use music_insights::reload;
use music_insights::settings::Settings;
use music_insights::start::{self, Start};
use music_insights::stop::Stop;
use music_insights::waiting::{WaitingChanges, WaitingFile};

const ROWS: u64 = 20_000_000;
const NEW_PLAYS: u32 = 10_000;
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
    let watched = timed(|| run(root, &["watch", "--once", "--http", "off"]));
    let rate = |took: Duration| ROWS as f64 / took.as_secs_f64() / 1e6;
    println!("  replay, which never syncs       {:>8.2} M rows/s", rate(replayed));
    println!("  watch --once, with commits      {:>8.2} M rows/s", rate(watched));
    let bytes = size_of(&root.join("output")) + size_of(&root.join("data/state"));
    let synced = timed(|| write_and_sync(root, bytes));
    let megabytes = |took: Duration| bytes as f64 / took.as_secs_f64() / 1e6;
    println!(
        "  it wrote and synced             {:>8.0} MB/s; the same bytes alone {:.0} MB/s",
        megabytes(watched),
        megabytes(synced)
    );
    let mut restarts: Vec<Duration> =
        (0..RESTARTS).map(|_| timed(|| run(root, &["watch", "--once", "--http", "off"]))).collect();
    restarts.sort();
    println!("  restart until it has published  {:>8.2} s", restarts[RESTARTS / 2].as_secs_f64());
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
    music_insights::commands::generate::run(&args, &AtomicBool::new(false), &Progress::silent()).unwrap();
}

fn run(root: &Path, args: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_music-insights"));
    let status = command.current_dir(root).args(args).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let size = |entry: fs::DirEntry| {
        let metadata = entry.metadata().unwrap();
        if metadata.is_dir() { size_of(&entry.path()) } else { metadata.len() }
    };
    entries.map(size).sum()
}

/// Writes so many bytes and syncs them now and then, as a flush does.
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

/// Commits new plays on top of the state, several times; also returns the bytes of the last part.
fn commit(root: &Path) -> (Vec<Duration>, u64) {
    let settings =
        Settings { state: root.join("data/state"), output: root.join("output"), ..Settings::default() };
    let disk: SharedDisk = RealDisk::durable(Stop::default());
    let names = Names::default();
    let Start { mut loaded, keeper, epoch, logs, .. } =
        start::watch(&disk, &settings, Wishes::default(), &names).unwrap();
    let mut keeper: Keeper = keeper.unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let songs = root.join("data/songs_metadata.csv");
    let catalog = runtime.block_on(reload::load(&songs, &names)).unwrap().catalog;
    let manifest = keeper.current().manifest.clone().unwrap();
    let waiting = keeper.current().waiting.clone();
    let mut bytes = 0;
    let times = (1..=COMMITS)
        .map(|number| {
            loaded.ledger.observe(&plays(number, &names));
            let began = Instant::now();
            let changes = loaded.ledger.cut();
            keeper
                .commit(Commit {
                    ledger: &mut loaded.ledger,
                    changes: &changes,
                    names: &names,
                    inputs: &mut loaded.inputs,
                    waiting: WaitingChanges { file: WaitingFile::clone(&waiting), places: Vec::new() },
                    catalog: &catalog,
                    enriched: logs.enriched.clone(),
                    rejects: logs.rejects.clone(),
                    epoch: Epoch(epoch.0 + u64::from(number)),
                    manifest: &manifest,
                })
                .unwrap();
            keeper.retire().unwrap();
            let took = began.elapsed();
            bytes = keeper.current().parts.last().expect("a part was written").bytes;
            took
        })
        .collect();
    (times, bytes)
}

/// Plays of known listeners and songs, spread over all of them.
fn plays(number: u32, names: &Names) -> Batch {
    let (users, songs) = (names.users.read().len() as u32, names.songs.read().len() as u32);
    let pick = |row: u32, of: u32| (row * 7919 + number * 104_729) % of;
    let rows = 0..NEW_PLAYS;
    let moment = |row: u32| Moment { local: 1_742_500_000 + i64::from(row) * 8, offset: 0, nanos: 0 };
    Batch {
        input: Input { id: InputId(u32::MAX), label: String::new() }.into(),
        span: Span { from: 0, to: 0, first_line: 1 },
        mark: Mark::default(),
        text: Text::default(),
        users: rows.clone().map(|row| music_insights::model::UserId(pick(row, users))).collect(),
        songs: rows.clone().map(|row| music_insights::model::SongId(pick(row, songs))).collect(),
        moments: rows.clone().map(moment).collect(),
        millis: rows.map(|row| row * 20).collect(),
        user_cells: Vec::new(),
        song_cells: Vec::new(),
        rejects: Vec::new(),
        plays_before: Vec::new(),
        refused: false,
    }
}
