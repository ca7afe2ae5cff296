//! How many rows per second each stage takes, and the whole of `replay`.
//!
//! `cargo bench --bench stages [-- WORD]` runs all benches, or those with the word in their names, in less
//! than three minutes, and compares them with the last time. What is measured:
//!
//! - `decode`: text, copied to chunks of 512 KiB, to batches, all ids known; ids in quotes need the full lane.
//! - `tables`: batches to readable tables. `enriched`: batches to the rows of `enriched_logs`.
//! - `first`: an insight that has seen nothing makes and renders all rows of 20,000 listeners.
//! - `refresh`: an insight takes in 10,000 more rows and renders all of its own, as every flush does, with
//!   20,000 and with 200,000 listeners (ten rows each).
//! - `snapshot_file`: rows that are ready to a published file in the temporary folder, without syncing.
//! - `replay`: the program itself, from two million rows to all tables, in the temporary folder.
//!
//! What a commit costs is in `commits`, and a flush as a whole in `flush`.

#[path = "support/engine.rs"]
mod engine;

use std::fs;
use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::{
    Batch, Cut, Enriching, Feed, Insight, Look, Reader, SNAPSHOTS, State, insight, pieces, quoted, render,
    tables, write_snapshot,
};

const SONGS: u32 = 50_000;
/// Rows of the benches that know nothing of listeners.
const ROWS: u64 = 500_000;
const ROWS_PER_LISTENER: u64 = 10;
/// Rows that come in between two flushes.
const NEW_ROWS: u64 = 10_000;
/// Flushes one after the other, before it begins anew.
const FLUSHES: usize = 8;
/// Rows of the whole program.
const REPLAYED: u64 = 2_000_000;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = decode, batches, insights, replay
}
criterion_main!(benches);

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (look, name) in [(Look::Short, "short"), (Look::Uuid, "uuid")] {
        let plain = Feed::new(200_000, SONGS, ROWS, look).rows(ROWS);
        for (rows, lane) in [(quoted(&plain), "full"), (plain, "fast")] {
            let reader = Reader::new();
            reader.read(&rows);
            let pieces = pieces(&rows);
            group.throughput(Throughput::Elements(ROWS));
            group.bench_function(BenchmarkId::new(lane, name), |bencher| {
                bencher.iter(|| {
                    for piece in &pieces {
                        black_box(reader.decode(reader.chunk(piece)));
                    }
                });
            });
        }
    }
}

fn batches(criterion: &mut Criterion) {
    let mut feed = Feed::new(200_000, SONGS, ROWS, Look::Short);
    let reader = Reader::new();
    let mut enriching = Enriching::new(&State::new(&reader, &feed));
    let batches = reader.read(&feed.rows(ROWS));
    let mut group = criterion.benchmark_group("batches");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("tables", |bencher| bencher.iter(|| tables(&batches)));
    group.bench_function("enriched", |bencher| {
        bencher.iter(|| batches.iter().map(|batch| enriching.append(batch)).sum::<usize>());
    });
}

/// Cuts of a state, one after the other: the first of all rows, each of the others with a few more.
fn cuts(users: u32) -> Vec<Cut> {
    let rows = u64::from(users) * ROWS_PER_LISTENER;
    let mut feed = Feed::new(users, SONGS, rows, Look::Short);
    let reader = Reader::new();
    let mut state = State::new(&reader, &feed);
    let mut take = |state: &mut State, rows| {
        reader.read(&feed.rows(rows)).iter().for_each(|batch: &Batch| state.observe(batch));
        state.cut()
    };
    let first = take(&mut state, rows);
    let more = (0..FLUSHES).map(|_| take(&mut state, NEW_ROWS));
    std::iter::once(first).chain(more).collect()
}

fn insights(criterion: &mut Criterion) {
    let few = cuts(20_000);
    first(criterion, &few[0]);
    refresh(criterion, "20000", &few);
    drop(few);
    refresh(criterion, "200000", &cuts(200_000));
}

fn first(criterion: &mut Criterion, cut: &Cut) {
    let mut group = criterion.benchmark_group("first");
    group.throughput(Throughput::Elements(20_000 * ROWS_PER_LISTENER));
    for name in SNAPSHOTS {
        group.bench_function(name, |bencher| {
            let make = |mut insight: Box<dyn Insight>| {
                engine::refresh(&mut *insight, cut);
                (render(&*insight, cut), insight)
            };
            bencher.iter_batched(|| insight(name), make, BatchSize::PerIteration);
        });
    }
    group.finish();

    let folder = tempfile::tempdir().unwrap();
    let mut genres = insight("user_favorite_genres");
    engine::refresh(&mut *genres, cut);
    let mut group = criterion.benchmark_group("snapshot_file");
    group.throughput(Throughput::Elements(render(&*genres, cut)));
    group.bench_function("user_favorite_genres", |bencher| {
        bencher.iter(|| write_snapshot(folder.path(), &*genres, cut));
    });
}

fn refresh(criterion: &mut Criterion, users: &str, cuts: &[Cut]) {
    let mut group = criterion.benchmark_group("refresh");
    group.throughput(Throughput::Elements(NEW_ROWS));
    for name in SNAPSHOTS {
        group.bench_function(BenchmarkId::new(name, users), |bencher| {
            // Plays never go away, so after the last cut another insight begins with the first.
            let mut insight = insight(name);
            let mut next = 0;
            bencher.iter_custom(|times| {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    if next % cuts.len() == 0 {
                        insight = engine::insight(name);
                        engine::refresh(&mut *insight, &cuts[0]);
                        next = 1;
                    }
                    let cut = &cuts[next];
                    let began = Instant::now();
                    engine::refresh(&mut *insight, cut);
                    black_box(render(&*insight, cut));
                    took += began.elapsed();
                    next += 1;
                }
                took
            });
        });
    }
}

fn replay(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut feed = Feed::new(200_000, SONGS, REPLAYED, Look::Short);
    fs::create_dir_all(root.join("data/incoming")).unwrap();
    fs::write(root.join("data/songs_metadata.csv"), feed.catalog()).unwrap();
    let header = b"user_id,song_id,timestamp,duration_sec\n".to_vec();
    for file in 0..4 {
        let log = [header.clone(), feed.rows(REPLAYED / 4)].concat();
        fs::write(root.join(format!("data/incoming/plays-{file}.csv")), log).unwrap();
    }
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(REPLAYED));
    group.bench_function("2000000", |bencher| {
        bencher.iter(|| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_music-insights"));
            let status = command.current_dir(root).arg("replay").stdout(Stdio::null()).stderr(Stdio::null());
            assert!(status.status().unwrap().success());
        });
    });
}
