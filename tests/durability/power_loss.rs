//! Power cuts and failing disks. The next start succeeds, and neither loses nor repeats rows.
//!
//! An image is the content of the disk after a power cut. `cargo test` checks a few thousand images.
//! `LONG_TESTS=1 cargo test --release --test durability power_loss` runs fifty times as many workloads.
//! `PROPTEST_CASES=n` runs exactly n workloads per test. A failure prints its seed. `POWER_LOSS_SEED=n` runs
//! only the workload of that seed.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use music_insights::cli::exit_code::{ExitCode, exit_code};
use music_insights::generate::rng::Rng as Dice;

use music_insights::publish::manifest::Manifest;
use music_insights::storage::Disk;

use crate::power_cuts::{Recording, in_parallel, later};
use crate::sim_disk::{Cut, Failed, Fault, Names, SimDisk, What};
use crate::size::cases;
use crate::workload::Step;

fn small(seed: u64) -> Recording {
    passes(Recording::of(seed, &Step::SMALL))
}

/// The seeds of a test with many images per seed: one seed, or fifty seeds with `LONG_TESTS=1`.
fn seeds(first: u64) -> Range<u64> {
    first..first + u64::from(cases(1))
}

#[track_caller]
fn passes<T>(result: Result<T, String>) -> T {
    result.unwrap_or_else(|what| panic!("{what}"))
}

#[test]
fn a_power_cut_after_any_operation_is_harmless() {
    let recording = small(1);
    let images = passes(recording.cut_everywhere(1));
    println!("{images} images after {} operations", recording.disk.operations());
}

#[test]
fn a_power_cut_after_a_kill_is_harmless() {
    for seed in seeds(100) {
        let images = passes(small(seed).cut_after_every_kill(seed));
        println!("{images} images of recoveries");
    }
}

/// The number of images per random workload.
const IMAGES: u64 = 25;

#[test]
fn a_power_cut_in_random_workloads_is_harmless() {
    let given = std::env::var("POWER_LOSS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = given.map_or_else(|| (1..=u64::from(cases(16))).collect(), |seed| vec![seed]);
    let merged = AtomicUsize::new(0);
    passes(in_parallel(&seeds, |&seed| {
        let mut dice = Dice::new(seed, 0);
        let recording = Recording::of(seed, &Step::random(&mut dice));
        let recording = recording.map_err(|what| format!("seed {seed}: {what}"))?;
        let has_merged = recording.disk.files().keys().any(|path| is_merged(path));
        merged.fetch_add(usize::from(has_merged), Ordering::Relaxed);
        for _ in 0..IMAGES {
            let at = dice.below(recording.disk.operations() as u64 + 1) as usize;
            recording.cut(seed, at, Cut::ALL[dice.below(5) as usize])?;
        }
        Ok(())
    }));
    let merged = merged.into_inner();
    println!(
        "{} images of {} workloads, {merged} with merged segments",
        IMAGES * seeds.len() as u64,
        seeds.len()
    );
    assert!(merged > 0 || given.is_some(), "no workload merged segments");
}

/// Whether the path belongs to a merged segment.
fn is_merged(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbers = name.strip_prefix("segment-").and_then(|name| name.strip_suffix(".bin")?.split_once('-'));
    numbers.is_some_and(|(first, last)| first != last)
}

/// Disk images for tests with faults during the recovery. Each image comes with the number of the operation
/// after which the process stopped.
fn beginnings(recording: &Recording, seed: u64) -> Vec<(usize, SimDisk)> {
    let operations = recording.disk.operations();
    let mut dice = Dice::new(seed, 2);
    let cuts = [
        (operations / 4, Cut::Kill),
        (operations / 2, Cut::Dice(Names::Any)),
        (operations * 9 / 10, Cut::AllKept),
    ];
    cuts.map(|(at, cut)| (at, recording.disk.image(at, cut, &mut dice))).into()
}

#[test]
fn repeated_power_cuts_during_recovery_are_harmless() {
    for seed in seeds(200) {
        let recording = small(seed);
        for (begun, first) in beginnings(&recording, seed) {
            let shown = recording.shown(&recording.disk.crash_image(begun));
            let undisturbed = first.crash_image(first.operations());
            recording.recover(&undisturbed).unwrap();
            let cuts: Vec<usize> = (first.operations()..=undisturbed.operations()).collect();
            passes(in_parallel(&cuts, |&at| {
                let mut dice = Dice::new(seed, 1000 + at as u64);
                let mut shown = shown.clone();
                let mut run = undisturbed.clone();
                let mut at = at;
                for depth in 1..=3 {
                    shown = later(shown, recording.shown(&run.crash_image(at)));
                    let image = run.image(at, Cut::ALL[dice.below(5) as usize], &mut dice);
                    let result =
                        recording.check_recovery(&image.crash_image(image.operations()), shown.as_ref());
                    result
                        .map_err(|what| format!("seed {seed}, from {begun}, cut {depth} at {at}: {what}"))?;
                    let from = image.operations();
                    recording.recover(&image).map_err(|failure| format!("seed {seed}: {failure}"))?;
                    at = from + dice.below((image.operations() - from) as u64 + 1) as usize;
                    run = image;
                }
                Ok(())
            }));
            println!("{} recoveries from operation {begun} on, each with three power cuts", cuts.len());
        }
    }
}

#[test]
fn an_io_error_ends_the_process_and_loses_nothing() {
    let (seed, recording) = (4, small(4));
    for (begun, first) in beginnings(&recording, seed) {
        let shown = recording.shown(&recording.disk.crash_image(begun));
        let undisturbed = first.crash_image(first.operations());
        recording.recover(&undisturbed).unwrap();
        let faults: Vec<usize> = (first.operations()..undisturbed.operations()).collect();
        passes(in_parallel(&faults, |&at| {
            let run = first.crash_image(first.operations());
            run.plan(Fault::Broken(at));
            disturbed(&recording, &run, shown.clone(), seed).map_err(|what| format!("fault at {at}: {what}"))
        }));
        println!("{} faults from operation {begun} on", faults.len());
    }
}

#[test]
fn a_full_disk_ends_the_process_and_loses_nothing() {
    let (seed, recording) = (5, small(5));
    for (begun, first) in beginnings(&recording, seed) {
        let shown = recording.shown(&recording.disk.crash_image(begun));
        let rooms: Vec<usize> = (0..40).map(|step| step * step * 8).collect();
        passes(in_parallel(&rooms, |&room| {
            let run = first.crash_image(first.operations());
            run.plan(Fault::Room(room));
            disturbed(&recording, &run, shown.clone(), seed)
                .map_err(|what| format!("disk full after {room} bytes: {what}"))
        }));
    }
}

#[test]
fn a_power_cut_during_a_fresh_start_is_harmless() {
    for seed in seeds(300) {
        let recording = small(seed);
        let run = recording.disk.crash_image(recording.disk.operations());
        recording.begin_again(&run).unwrap();
        let cuts: Vec<_> = (recording.disk.operations()..=run.operations())
            .flat_map(|at| Cut::ALL.map(|cut| (at, cut)))
            .collect();
        passes(in_parallel(&cuts, |&(at, cut)| {
            let image = run.image(at, cut, &mut Dice::new(seed, at as u64));
            let mut shown = recording.shown(&run.crash_image(at)).expect("the output always has a manifest");
            // Append-only tables start from the beginning, but epochs continue.
            shown.insights.clear();
            shown.rejects.parts.clear();
            let result = recording.check_recovery(&image, Some(&shown));
            result.map_err(|what| format!("seed {seed}, {cut:?} after operation {at}: {what}"))
        }));
        println!("{} images of a fresh start", cuts.len());
    }
}

/// Checks that a recovery with a fault ends with the right exit code, and that the next recovery succeeds,
/// with or without a power cut in between.
fn disturbed(recording: &Recording, run: &SimDisk, shown: Option<Manifest>, seed: u64) -> Result<(), String> {
    let outcome = recording.recover(run);
    let end = outcome.as_ref().err().map(exit_code);
    let expected: &[Option<ExitCode>] = match run.failed() {
        None => &[None],
        // The process may end before it writes a merged segment. In this case, the fault has no effect.
        Some(failed) if is_merged(&failed.path) => &[None, Some(ExitCode::Io), Some(ExitCode::CannotCreate)],
        Some(Failed { what: What::Append | What::Sync, .. }) => &[Some(ExitCode::Io)],
        // If a file cannot be removed, it may remain until the next start.
        Some(Failed { what: What::Cut | What::Naming, .. }) => {
            &[None, Some(ExitCode::Io), Some(ExitCode::CannotCreate)]
        }
    };
    if !expected.contains(&end) {
        return Err(format!("{:?} failed, but the result is {outcome:?}", run.failed()));
    }
    let shown = later(shown, recording.shown(run));
    let mut dice = Dice::new(seed, 5);
    for cut in Cut::ALL {
        let image = run.image(run.operations(), cut, &mut dice);
        recording.check_recovery(&image, shown.as_ref()).map_err(|what| format!("{cut:?}: {what}"))?;
    }
    Ok(())
}

#[test]
fn the_simulated_disk_keeps_synced_data_and_may_keep_unsynced_data() {
    let (disk, folder, file) = (SimDisk::default(), Path::new("/sim"), Path::new("/sim/file"));
    disk.create_folder(folder).unwrap();
    let mut open = disk.create_new(file).unwrap();
    open.append(&[1; 1500]).unwrap();
    open.sync().unwrap();
    let unnamed = disk.operations();
    disk.sync_folder(folder).unwrap();
    open.append(&[2; 1500]).unwrap();
    let mut dice = Dice::new(8, 0);
    let mut image = |at, cut| disk.image(at, cut, &mut dice).read(file);
    assert_eq!(image(unnamed, Cut::AllLost), None);
    assert_eq!(image(disk.operations(), Cut::AllLost), Some(vec![1; 1500]));
    assert_eq!(image(disk.operations(), Cut::AllKept), disk.read(file));
    let images: BTreeSet<Vec<u8>> =
        (0..100).filter_map(|_| image(disk.operations(), Cut::Dice(Names::Any))).collect();
    assert!(images.iter().all(|bytes| bytes.starts_with(&[1; 1500])));
    let torn = |bytes: &&Vec<u8>| bytes[1500..].contains(&0) && bytes[1500..].contains(&2);
    assert!(images.iter().any(|bytes| torn(&bytes)), "no image has a later sector without an earlier one");
    assert!(
        images.iter().any(|bytes| bytes.len() > 1500 && !bytes.contains(&2)),
        "no image has the new length without the new bytes"
    );
}

#[test]
fn damage_is_refused() {
    passes(small(6).check_damage());
}
