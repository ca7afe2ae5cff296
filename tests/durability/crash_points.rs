//! Crashes `watch` at every fail point, and again during the recovery. In the end, the published output
//! equals the output of a replay.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Instant;

use crate::daemon::{Daemon, LOG_HEADER, Place, is_long, stderr};
use crate::exact::assert_exact;
use crate::parallel::{Announced, in_parallel, root};
use music_insights::storage::failpoint::POINTS;

const CATALOG: &str = "s0,Zero,A,Rock,Sad\ns1,One,A,Pop,Happy\ns2,Two,B,Jazz,\n";
const SETTINGS: [&str; 8] = [
    "--flush-interval",
    "5ms",
    "--set",
    "insights.enriched_logs.roll_bytes=1000",
    "--set",
    "input.when_done=archive",
    "--set",
    "input.done_after=10ms",
];
/// The number of epochs of a workload. It is large enough to make `watch` merge segments and then remove
/// the old segments.
const EPOCHS: u64 = 24;
/// A crash that leaves work for the recovery: files to remove, and append-only tables to truncate.
const UNTIDY: (&str, u64) = ("commit.generation_written", 3);
/// A crash that leaves append-only tables with rows that were not committed. Only an epoch reaches this point,
/// whereas input progress without new rows is committed, too.
const UNCOMMITTED_ROWS: (&str, u64) = ("commit.logs_synced", 3);
/// The fail points that a start with new rows reaches.
const IN_RECOVERY: [&str; 15] = [
    "recover.begun",
    "recover.leftovers",
    "recover.log_cut",
    "recover.done",
    "flush.cut",
    "flush.staged",
    "commit.logs_synced",
    "commit.part_written",
    "commit.part_synced",
    "commit.generation_written",
    "commit.generation_renamed",
    "commit.done",
    "publish.snapshot",
    "publish.period_table",
    "publish.manifest",
];

/// The crashes of a run: one when `watch` reaches a fail point for the n-th time, then one in each recovery.
struct Plan {
    first: (&'static str, u64),
    then: [&'static str; 2],
}

/// Plans for every fail point. The first crash happens at one of the first `hits` hits of the point. For each
/// hit, there are `ways` plans with different crashes in the recoveries.
fn plans(hits: u64, ways: usize) -> Vec<Plan> {
    let mut plans = Vec::new();
    for (number, &name) in POINTS.iter().enumerate() {
        let once = ["recover.begun", "recover.done"].contains(&name);
        for hit in 1..=if once { 1 } else { hits } {
            for way in 0..ways {
                let second = number + way * 5 + hit as usize;
                let third = number * 3 + way + hit as usize * 7;
                let then = [second, third].map(|number| IN_RECOVERY[number % IN_RECOVERY.len()]);
                plans.push(Plan { first: (name, hit), then });
            }
        }
    }
    plans
}

fn play(file: u64, play: u64) -> String {
    // Each file has plays of a new day, and late plays of earlier days.
    let day = 1 + (file + play % 2).saturating_sub(play % 5) % 28;
    let (user, song) = (file * 5 % 17 + play, (file + play * play) % 4);
    format!("u{user},s{song},2025-03-{day:02} {:02}:00:00,{}\n", file % 24, 30 + play)
}

/// Drops a file with matched plays, unmatched plays and a bad row.
fn drop_file(place: &Place, number: u64) {
    let plays: String = (0..12).map(|row| play(number, row)).collect();
    place.write(&format!("data/incoming/{number}.csv"), &format!("{LOG_HEADER}{plays}no,row\n"));
}

fn crashing(place: &Place, args: &[&str], (name, hit): (&str, u64)) -> Command {
    let mut command = place.command(&[&["watch", "--http", "off"], args, &SETTINGS].concat());
    command.env("CRASH_AT", format!("{name}:{hit}"));
    command
}

/// Feeds a daemon epoch by epoch. Returns whether the daemon has crashed.
fn crashes(place: &Place, point: (&str, u64)) -> bool {
    let mut daemon = Daemon::start(&mut crashing(place, &[], point));
    let fed = place.manifest("output").map_or(0, |manifest| manifest["totals"]["inputs"].as_u64().unwrap());
    for number in fed..fed + EPOCHS {
        drop_file(place, number);
        let ended = place.wait_for("an epoch or a crash", || {
            let inputs = place.manifest("output").and_then(|manifest| manifest["totals"]["inputs"].as_u64());
            daemon.has_ended().map(Some).or((inputs > Some(number)).then_some(None))
        });
        if ended.is_some() {
            break;
        }
    }
    // `watch` archives inputs only after it has removed older generations. For the last inputs, this takes
    // some flushes without new rows.
    if point.0 == "inputs.archived" && point.1 <= EPOCHS {
        place.wait_for("files to be archived", || daemon.has_ended());
    }
    let crashed = daemon.has_ended().is_some();
    let output = daemon.kill();
    let signal = output.status.signal();
    assert_eq!(signal, Some(if crashed { ABORTED } else { KILLED }), "{}", stderr(&output));
    crashed
}

const KILLED: i32 = 9;
const ABORTED: i32 = 6;

/// Starts `watch --once`. Returns whether it has crashed at a fail point.
fn crashes_at_start(place: &Place, name: &'static str) -> bool {
    let output = crashing(place, &["--once"], (name, 1)).output().unwrap();
    assert!(output.status.success() || output.status.signal() == Some(ABORTED), "{}", stderr(&output));
    !output.status.success()
}

/// Runs a plan. Returns whether the first crash happened, and the fail points of the crashes in the
/// recoveries.
fn run_plan(number: u64, plan: &Plan) -> (bool, Vec<&'static str>) {
    let Plan { first, then } = plan;
    let _announced = Announced(format!("CRASH_AT={}:{}, then {then:?}", first.0, first.1));
    let place = Place::below(&root(number), CATALOG);
    place.write("music-insights.toml", "[periods]\nday = 2\nweek = \"all\"\n");
    fs::create_dir(place.path("data/archive")).unwrap();
    if first.0.starts_with("recover.") {
        let untidy = if first.0 == "recover.log_cut" { UNCOMMITTED_ROWS } else { UNTIDY };
        assert!(crashes(&place, untidy));
    }
    let crashed = crashes(&place, *first);
    assert!(crashed || first.1 > 1, "the daemon did not reach the fail point {}", first.0);
    let mut more = Vec::new();
    for (depth, name) in (1..).zip(then) {
        // Recover from the crash, sometimes with new rows and sometimes without.
        if (number + depth).is_multiple_of(2) {
            drop_file(&place, 1000 + depth);
        }
        if crashes_at_start(&place, name) {
            more.push(*name);
        }
    }
    assert_exact(&place, &SETTINGS, &["data/incoming", "data/archive"]);
    (crashed, more)
}

#[test]
fn crashes_at_fail_points_and_in_recoveries_do_not_change_the_output() {
    if !cfg!(debug_assertions) {
        println!("skipped: a release build has no fail points");
        return;
    }
    let began = Instant::now();
    let (hits, ways) = if is_long() { (8, 3) } else { (2, 1) };
    let plans = plans(hits, ways);
    let done = in_parallel(plans.len() as u64, |number| run_plan(number, &plans[number as usize]));
    let crashes: usize = done.iter().map(|(crashed, more)| usize::from(*crashed) + more.len()).sum();
    println!(
        "{crashes} crashes in {} plans in {:.1} s, 0 differences",
        plans.len(),
        began.elapsed().as_secs_f64()
    );

    let in_recovery: BTreeSet<&str> = done.iter().flat_map(|(_, more)| more).copied().collect();
    for name in IN_RECOVERY {
        assert!(in_recovery.contains(name), "no recovery reached the fail point {name}");
    }
}
