//! Measures the time of a flush, without writing files, for two numbers of listeners.
//!
//! `cargo bench --bench flush` prints a table of medians in milliseconds. The state contains 200,000
//! listeners in one column, and 2,000,000 in the other. Each listener has ten rows. The bench needs 2 GB and
//! a minute.
//!
//! A flush adds 10,000 rows. A hundred of these rows belong to new listeners. The cut makes the rows
//! readable. Then each insight refreshes its rows. If a row has changed, the insight renders all its rows
//! without writing them. The program runs the insights in parallel, but this bench runs them one after
//! another.
//!
//! The last lines of the table show a flush that swaps the two most popular Happy songs. This flush changes
//! nearly all recommendations. All its plays belong to one listener.
//!
//! The target: with ten times as many listeners, a flush takes at most twice the time.

#[path = "support/engine.rs"]
mod engine;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use engine::{Feed, Insight, Look, Reader, State, insight, refresh, render, snapshots};

const SIZES: [u32; 2] = [200_000, 2_000_000];
const SONGS: u32 = 50_000;
/// The average number of random rows per listener. Each listener also has one fixed row.
const DRAWN: u64 = 9;
const NEW_ROWS: u64 = 9_900;
const NEW_LISTENERS: u64 = 100;
const FLUSHES: u64 = 9;
/// The number of rows per batch.
const PORTION: u64 = 500_000;

/// The names and times of the steps of a flush, in order.
type Times = Vec<(String, Duration)>;

fn main() {
    let [few, many] = SIZES.map(measure);
    println!("| flush of 10,000 new rows | {} listeners | {} listeners | |", SIZES[0], SIZES[1]);
    println!("|---|---|---|---|");
    for ((step, few), (_, many)) in few.iter().zip(&many) {
        let millis = |time: &Duration| time.as_secs_f64() * 1e3;
        println!(
            "| {step} | {:.2} ms | {:.2} ms | x {:.1} |",
            millis(few),
            millis(many),
            millis(many) / millis(few)
        );
    }
}

fn measure(users: u32) -> Times {
    let rows = u64::from(users) * DRAWN;
    let mut feed = Feed::new(users, SONGS, rows, Look::Short);
    let reader = Reader::new();
    let mut state = State::new(&reader, &feed);
    let mut take = |state: &mut State, rows: &[u8]| {
        for batch in reader.read(rows) {
            state.observe(&batch);
        }
    };
    take(&mut state, &feed.everybody().collect::<Vec<_>>().concat());
    for portion in 0..rows.div_ceil(PORTION) {
        take(&mut state, &feed.rows(PORTION.min(rows - portion * PORTION)));
    }
    let mut insights: Vec<Box<dyn Insight>> = snapshots().iter().map(|name| insight(name)).collect();
    flush(&mut state, &mut insights);

    let flushes = (0..FLUSHES).map(|number| {
        let mut rows = feed.rows(NEW_ROWS);
        rows.extend_from_slice(&new_listeners(number));
        take(&mut state, &rows);
        flush(&mut state, &mut insights)
    });
    let mut times = medians(&flushes.collect::<Vec<_>>());

    // In each of these flushes, the second most popular song gets enough plays to become the most popular.
    let (_, lead) = state.leading_happy_songs();
    take_plays_of_second(&mut state, &mut take, lead.saturating_sub(1));
    flush(&mut state, &mut insights);
    let swaps = (0..FLUSHES).map(|_| {
        let (leaders, _) = state.leading_happy_songs();
        take_plays_of_second(&mut state, &mut take, 2);
        assert_ne!(leaders, state.leading_happy_songs().0, "the two leading songs did not swap");
        flush(&mut state, &mut insights)
    });
    let swaps = medians(&swaps.collect::<Vec<_>>());
    let of_swap = |(step, _): &(String, Duration)| step.starts_with("happy") || step == ALL;
    times.extend(
        swaps.into_iter().filter(of_swap).map(|(step, time)| (format!("leaders swap: {step}"), time)),
    );
    times
}

const ALL: &str = "all steps";

/// Makes a cut, then refreshes and renders all insights.
fn flush(state: &mut State, insights: &mut [Box<dyn Insight>]) -> Times {
    let began = Instant::now();
    let mut last = began;
    let mut times = Times::new();
    let mut lap = |step: String| {
        let now = Instant::now();
        times.push((step, now - last));
        last = now;
    };
    let cut = state.cut();
    lap("cut".to_owned());
    for insight in insights {
        let changed = refresh(&mut **insight, &cut);
        lap(format!("{}: refresh", insight.name()));
        if changed {
            render(&**insight, &cut);
        }
        lap(format!("{}: render", insight.name()));
    }
    drop(cut);
    times.push((ALL.to_owned(), began.elapsed()));
    times
}

fn medians(flushes: &[Times]) -> Times {
    let median = |step: usize| {
        let mut times: Vec<Duration> = flushes.iter().map(|times| times[step].1).collect();
        times.sort_unstable();
        (flushes[0][step].0.clone(), times[times.len() / 2])
    };
    (0..flushes[0].len()).map(median).collect()
}

/// One row for each new listener of a flush.
fn new_listeners(flush: u64) -> Vec<u8> {
    let mut rows = String::new();
    for number in 0..NEW_LISTENERS {
        // The new ids sort between the existing ids.
        let id = number * 7919 % 1000;
        let _ =
            writeln!(rows, "user_{id}_{flush},song_{},2025-03-27 12:00:00,100", number * 331 % 50_000 + 1);
    }
    rows.into_bytes()
}

/// Adds plays of the second most popular Happy song. All these plays belong to one listener.
fn take_plays_of_second(state: &mut State, take: &mut impl FnMut(&mut State, &[u8]), plays: u64) {
    let ([_, second], _) = state.leading_happy_songs();
    let row = [b"user_1,", second.as_slice(), b",2025-03-27 12:00:00,100\n"].concat();
    take(state, &row.repeat(plays as usize));
}
