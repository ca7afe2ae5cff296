//! Measures freshness: the time until an appended row or a corrected genre appears in the published tables.
//!
//! `cargo bench --bench freshness` runs the real `watch` in `/dev/shm`, or in the temporary folder if
//! `/dev/shm` does not exist. The state contains a million plays of 20,000 listeners. The bench prints
//! percentiles.

#[path = "support/program.rs"]
mod program;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Parser;
use music_insights::cli::args::{Cli, Command as Subcommand};
use music_insights::telemetry::progress::Progress;
use program::folder_in_memory;

const FLUSH: Duration = Duration::from_millis(250);
const APPENDS: usize = 100;
const CORRECTIONS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);

fn main() {
    let folder = folder_in_memory();
    let root = folder.path();
    generate(root);
    let flush = format!("{}ms", FLUSH.as_millis());
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_music-insights"))
        .current_dir(root)
        .args(["watch", "--http", "off", "--flush-interval", &flush])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait(|| read(root, "_manifest.json").contains("\"rows\": 1000000"));

    let mut log = fs::File::options().append(true).open(root.join("data/incoming/plays-00000.csv")).unwrap();
    let rows = (0..APPENDS).map(|number| {
        sleep(Duration::from_millis(number as u64 * 37 % 400));
        // The row belongs to a new night owl, so it appears in a small table that is fast to read.
        let user = format!("fresh_{number}");
        let began = Instant::now();
        writeln!(log, "{user},song_1,2025-03-21 01:00:00,100").unwrap();
        wait(|| read(root, "night_owl_users/part-00000.csv").contains(&format!("{user}\n")));
        began.elapsed()
    });
    report("a row", rows.collect());

    let catalog = fs::read_to_string(root.join("data/songs_metadata.csv")).unwrap();
    let corrections = (0..CORRECTIONS).map(|number| {
        let genre = format!("Genre {number}");
        let (first, rest) = catalog.split_once('\n').unwrap();
        let (_, rest) = rest.split_once('\n').unwrap();
        let began = Instant::now();
        let hidden = root.join("data/.songs.tmp");
        fs::write(&hidden, format!("{first}\nsong_1,One,A,{genre},Sad\n{rest}")).unwrap();
        fs::rename(hidden, root.join("data/songs_metadata.csv")).unwrap();
        wait(|| read(root, "user_favorite_genres/part-00000.csv").contains(&genre));
        began.elapsed()
    });
    report("a genre", corrections.collect());
    Command::new("kill").arg(daemon.id().to_string()).status().unwrap();
    daemon.wait().unwrap();
}

fn generate(root: &Path) {
    let args = ["", "generate", "--rows", "1000000", "--users", "20000", "--songs", "5000", "--out"];
    let out = root.join("data");
    let cli = Cli::parse_from(args.iter().copied().chain([out.to_str().unwrap()]));
    let Subcommand::Generate(args) = cli.command else { unreachable!("the command is generate") };
    music_insights::cli::commands::generate::run(
        &args.generate,
        &AtomicBool::new(false),
        &Progress::silent(),
    )
    .unwrap();
}

fn read(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join("output").join(name)).unwrap_or_default()
}

fn wait(mut until: impl FnMut() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < PATIENCE, "waited too long");
        sleep(Duration::from_millis(2));
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_millis();
    println!(
        "{what}: p50 {} ms, p90 {} ms, p99 {} ms, longest {} ms; flush interval {} ms",
        at(50),
        at(90),
        at(99),
        at(100),
        FLUSH.as_millis()
    );
}
