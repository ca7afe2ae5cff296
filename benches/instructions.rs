//! Counts the instructions per row of each stage. Unlike times, instruction counts do not depend on the load
//! of the machine.
//!
//! `benches/instructions/run.py` counts the instructions with callgrind, and compares the counts with
//! `benches/instructions/expected.toml`. With `--update`, the script writes the counts to this file.
//!
//! The script calls `cargo bench --bench instructions -- STAGE ROWS`. The stage repeatedly processes a fixed
//! input of 50,000 rows, until it has processed `ROWS` rows in total. It then prints the number of items,
//! such as rows, ids or listeners. Preparing the input takes the same number of instructions for any `ROWS`.
//! The difference between two runs is therefore the cost of the stage. Without arguments, every stage runs
//! once and prints its time.

#[path = "support/committing.rs"]
mod committing;
#[path = "support/engine.rs"]
mod engine;
#[path = "support/program.rs"]
mod program;

use std::hint::black_box;
use std::time::Instant;

use committing::{Committing, NEW_PLAYS};
use engine::{
    Column, Enriching, Feed, Listeners, Look, Reader, State, insight, pieces, quoted, tables, write_snapshot,
};
use program::{WATCH, folder_in_memory, run};

/// The number of rows in the input.
const BLOCK: u64 = 50_000;
const USERS: u32 = 5_000;
const SONGS: u32 = 5_000;
/// The number of repetitions of cheap work in a pass. The work must be large compared with preparing the
/// input, because the cost of the preparation varies with the seeds of the hashes.
const AGAIN: u64 = 10;

/// Processes the input once, and returns the number of items.
type Pass = Box<dyn FnMut() -> u64>;

/// A stage: its name, the unit of its items, and the function that prepares its input.
type Stage = (&'static str, &'static str, fn() -> Pass);

const STAGES: [Stage; 12] = [
    ("decode_short", "row", || decode(Look::Short, <[u8]>::to_vec)),
    ("decode_uuid", "row", || decode(Look::Uuid, <[u8]>::to_vec)),
    ("decode_quoted", "row", || decode(Look::Short, quoted)),
    ("dictionary_known", "id", known_ids),
    ("dictionary_new", "id", new_ids),
    ("tables", "row", observe),
    ("enriched_rows", "row", enrich),
    ("favorite_genres", "listener", || refresh("user_favorite_genres")),
    ("genre_loyalty", "listener", || refresh("genre_loyalty_scores")),
    ("recommendations", "listener", || refresh("happy_recommendations")),
    ("snapshot", "line", snapshot),
    ("commit", "play", commit),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match words.as_slice() {
        [] => STAGES.iter().for_each(|stage| count(stage, BLOCK)),
        [list] if list == "list" => STAGES.iter().for_each(|(name, unit, _)| println!("{name} {unit}")),
        [name, rows] => {
            let stage = STAGES.iter().find(|stage| stage.0 == name);
            let rows = rows.parse().expect("ROWS is a number");
            count(stage.unwrap_or_else(|| panic!("unknown stage {name}")), rows);
        }
        _ => panic!("expected a stage and a number of rows"),
    }
}

fn count((name, unit, prepare): &Stage, rows: u64) {
    let mut pass = prepare();
    let began = Instant::now();
    let done: u64 = (0..rows.div_ceil(BLOCK)).map(|_| pass()).sum();
    println!("{name} {done} {unit}s in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
}

/// Decodes text with known ids into batches.
fn decode(look: Look, change: fn(&[u8]) -> Vec<u8>) -> Pass {
    let rows = change(&Feed::new(USERS, SONGS, BLOCK, look).rows(BLOCK));
    let reader = Reader::new();
    reader.read(&rows);
    Box::new(move || {
        let decode = |piece| black_box(reader.decode(reader.chunk(piece))).plays() as u64;
        pieces(&rows).into_iter().map(decode).sum()
    })
}

fn known_ids() -> Pass {
    let column = Column::of(BLOCK, Look::Short);
    let listeners = Listeners::default();
    listeners.intern(&column);
    Box::new(move || listeners.intern(&column))
}

fn new_ids() -> Pass {
    // There are many small dictionaries, because the number of collisions depends on the seed of a
    // dictionary.
    let column = Column::of(BLOCK / 25, Look::Short);
    Box::new(move || (0..25).map(|_| Listeners::default().intern(&column)).sum())
}

/// Adds batches to tables, and makes the tables readable.
fn observe() -> Pass {
    let batches = Reader::new().read(&Feed::new(USERS, SONGS, BLOCK, Look::Short).rows(BLOCK));
    Box::new(move || {
        black_box(tables(&batches));
        BLOCK
    })
}

fn enrich() -> Pass {
    let mut feed = Feed::new(USERS, SONGS, BLOCK, Look::Short);
    let reader = Reader::new();
    let mut enriching = Enriching::new(&State::new(&reader, &feed));
    let batches = reader.read(&feed.rows(BLOCK));
    Box::new(move || {
        for batch in &batches {
            black_box(enriching.append(batch));
        }
        BLOCK
    })
}

fn state() -> (Reader, State) {
    let mut feed = Feed::new(USERS, SONGS, BLOCK, Look::Short);
    let reader = Reader::new();
    let mut state = State::new(&reader, &feed);
    reader.read(&feed.rows(BLOCK)).iter().for_each(|batch| state.observe(batch));
    (reader, state)
}

/// Computes all rows of a new insight.
fn refresh(name: &'static str) -> Pass {
    let (_, mut state) = state();
    let cut = state.cut();
    let users = state.users() as u64;
    Box::new(move || {
        for _ in 0..AGAIN {
            black_box(engine::refresh(&mut *insight(name), &cut));
        }
        AGAIN * users
    })
}

/// Writes rows to a file. The count excludes the work of the operating system.
fn snapshot() -> Pass {
    let (_, mut state) = state();
    let cut = state.cut();
    let mut genres = insight("user_favorite_genres");
    engine::refresh(&mut *genres, &cut);
    let folder = folder_in_memory();
    Box::new(move || (0..AGAIN).map(|_| write_snapshot(folder.path(), &*genres, &cut)).sum())
}

/// Adds new plays to the tables, and writes a segment and a generation. The count excludes the work of the
/// operating system. It also excludes the merging of segments, which runs in parallel.
fn commit() -> Pass {
    let folder = folder_in_memory();
    Feed::new(USERS, SONGS, BLOCK, Look::Short).write(folder.path(), BLOCK, 1);
    // `watch` runs as a separate process. callgrind does not count its instructions.
    run(folder.path(), &WATCH);
    let mut committing = Committing::resume(folder.path());
    Box::new(move || {
        let _kept = &folder;
        let new_plays = u64::from(NEW_PLAYS);
        for _ in 0..BLOCK / new_plays {
            committing.take();
            committing.commit();
        }
        BLOCK
    })
}
