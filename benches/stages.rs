//! Measures the rows per second of each stage, and of the whole program.
//!
//! `cargo bench --bench stages [-- WORD]` runs all benches in less than three minutes, and compares them with
//! the last run. With `WORD`, it runs only the benches with this word in their name:
//!
//! - `decode`: decodes chunks of text with known ids into batches. Quoted ids need the slow path.
//! - `dictionary`: interns columns with the ids of 200,000 listeners. All ids are known, or all are new.
//! - `tables`: adds batches to tables, and makes the tables readable.
//! - `enriched`: renders batches as rows of `enriched_logs`.
//! - `first`: a new insight computes and renders all rows.
//! - `refresh`: an insight adds 10,000 rows and renders all its rows, as in every flush. `refresh` and
//!   `first` run with 20,000 and with 200,000 listeners. Each listener has ten rows.
//! - `snapshot_file`: renders rows, and publishes them as a file without a sync.
//! - `replay` and `watch`: the whole program reads two million rows and writes all tables. `watch --once`
//!   starts without a state, and commits.
//! - `commit`: commits 10,000 plays to the state of the bench `watch`. The plays are already in the tables.
//!
//! The benches write files to `/dev/shm`, or to the temporary folder if `/dev/shm` does not exist. The bench
//! `commits` measures commits on a disk. The bench `flush` measures whole flushes.

#[path = "support/committing.rs"]
mod committing;
#[path = "support/engine.rs"]
mod engine;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use committing::{Committing, NEW_PLAYS};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::{
    Batch, Column, Cut, Enriching, Feed, Insight, Listeners, Look, Reader, State, insight, pieces, quoted,
    render, snapshots, tables, write_snapshot,
};
use program::{WATCH, folder_in_memory, run};

/// The kinds of ids. The word for each kind is a part of the names of the benches.
const LOOKS: [(Look, &str); 2] = [(Look::Short, "short"), (Look::Uuid, "uuid")];
const SONGS: u32 = 50_000;
/// The number of rows in benches that do not depend on the number of listeners.
const ROWS: u64 = 500_000;
const ROWS_PER_LISTENER: u64 = 10;
/// The number of new rows per flush.
const NEW_ROWS: u64 = 10_000;
/// The number of ids in the dictionary benches.
const IDS: u64 = 200_000;
/// The number of consecutive flushes before the bench starts again with a new insight.
const FLUSHES: usize = 8;
/// The number of rows in the benches of the whole program.
const REPLAYED: u64 = 2_000_000;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = decode, dictionary, batches, insights, program
}
criterion_main!(benches);

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (look, name) in LOOKS {
        let plain = Feed::new(200_000, SONGS, ROWS, look).rows(ROWS);
        for (rows, path) in [(quoted(&plain), "slow"), (plain, "fast")] {
            let reader = Reader::new();
            reader.read(&rows);
            let pieces = pieces(&rows);
            group.throughput(Throughput::Elements(ROWS));
            group.bench_function(BenchmarkId::new(path, name), |bencher| {
                bencher.iter(|| {
                    for piece in &pieces {
                        black_box(reader.decode(reader.chunk(piece)));
                    }
                });
            });
        }
    }
}

fn dictionary(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dictionary");
    group.throughput(Throughput::Elements(IDS));
    for (look, name) in LOOKS {
        let columns = Column::pieces(IDS, look);
        let intern =
            |listeners: &Listeners| columns.iter().map(|column| listeners.intern(column)).sum::<u64>();
        let known = Listeners::default();
        intern(&known);
        group.bench_function(BenchmarkId::new("known", name), |bencher| bencher.iter(|| intern(&known)));
        group.bench_function(BenchmarkId::new("new", name), |bencher| {
            let fill = |new: Listeners| (intern(&new), new);
            bencher.iter_batched(Listeners::default, fill, BatchSize::PerIteration);
        });
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

/// Consecutive cuts of a state. The first cut has most of the rows. Each later cut adds a few rows.
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
    first(criterion, 20_000, &few[0]);
    refresh(criterion, 20_000, &few);
    snapshot_file(criterion, &few[0]);
    drop(few);
    let many = cuts(200_000);
    first(criterion, 200_000, &many[0]);
    refresh(criterion, 200_000, &many);
}

fn first(criterion: &mut Criterion, users: u32, cut: &Cut) {
    let mut group = criterion.benchmark_group("first");
    group.throughput(Throughput::Elements(u64::from(users) * ROWS_PER_LISTENER));
    for name in snapshots() {
        group.bench_function(BenchmarkId::new(name, users), |bencher| {
            let make = |mut insight: Box<dyn Insight>| {
                engine::refresh(&mut *insight, cut);
                (render(&*insight, cut), insight)
            };
            bencher.iter_batched(|| insight(name), make, BatchSize::PerIteration);
        });
    }
}

fn snapshot_file(criterion: &mut Criterion, cut: &Cut) {
    let folder = folder_in_memory();
    let mut genres = insight("user_favorite_genres");
    engine::refresh(&mut *genres, cut);
    let mut group = criterion.benchmark_group("snapshot_file");
    group.throughput(Throughput::Elements(render(&*genres, cut)));
    group.bench_function("user_favorite_genres", |bencher| {
        bencher.iter(|| write_snapshot(folder.path(), &*genres, cut));
    });
}

fn refresh(criterion: &mut Criterion, users: u32, cuts: &[Cut]) {
    let mut group = criterion.benchmark_group("refresh");
    group.throughput(Throughput::Elements(NEW_ROWS));
    for name in snapshots() {
        group.bench_function(BenchmarkId::new(name, users), |bencher| {
            // An insight cannot return to an earlier cut. After the last cut, a new insight starts with the
            // first cut.
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

fn program(criterion: &mut Criterion) {
    let folder = folder_in_memory();
    let root = folder.path();
    Feed::new(200_000, SONGS, REPLAYED, Look::Short).write(root, REPLAYED, 4);
    replay(criterion, root);
    watch(criterion, root);
    commit(criterion, root);
}

fn replay(criterion: &mut Criterion, root: &Path) {
    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(REPLAYED));
    group.bench_function(REPLAYED.to_string(), |bencher| {
        bencher.iter(|| run(root, &["replay", "--output", "replayed"]));
    });
}

fn watch(criterion: &mut Criterion, root: &Path) {
    let mut group = criterion.benchmark_group("watch");
    group.throughput(Throughput::Elements(REPLAYED));
    group.bench_function(REPLAYED.to_string(), |bencher| {
        bencher.iter_batched(|| forget(root), |()| run(root, &WATCH), BatchSize::PerIteration);
    });
}

/// Removes the output and the state of a `watch`, if they exist.
fn forget(root: &Path) {
    for folder in ["data/state", "output"].map(|folder| root.join(folder)) {
        if folder.is_dir() {
            fs::remove_dir_all(folder).unwrap();
        }
    }
}

fn commit(criterion: &mut Criterion, root: &Path) {
    // The previous bench has already run `watch`, unless only this bench was selected.
    run(root, &WATCH);
    let mut committing = Committing::resume(root);
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(NEW_PLAYS.into()));
    group.bench_function(NEW_PLAYS.to_string(), |bencher| {
        bencher.iter_custom(|times| {
            let commit = |_| {
                committing.take();
                let began = Instant::now();
                committing.commit();
                committing.retire();
                began.elapsed()
            };
            (0..times).map(commit).sum()
        });
    });
}
