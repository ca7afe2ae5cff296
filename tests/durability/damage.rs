//! `watch` does not start if its state or output is damaged, missing or in use, or belongs to different
//! settings. It then changes no files, and its message says what to do.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::daemon::{CATALOG_HEADER, LOG_HEADER, Place, is_long, stderr, stdout};
use crate::exact::assert_exact;
use crate::oracle::{assert_equals_replay, assert_equals_replay_of};
use crate::parallel::{Announced, root};
use music_insights::cli::exit_code::exit_code;
use music_insights::generate::rng::Rng as Dice;
use music_insights::model::dictionary::Dictionaries;
use music_insights::model::error::Error;

use music_insights::settings::Settings;
use music_insights::state::checkpoint::generation::{
    FORMAT, Generation, StateConfig, Unusable, generation_name,
};
use music_insights::state::checkpoint::load::Loaded;
use music_insights::state::checkpoint::recover::{StartOptions, generations_in, open, read_sound};
use music_insights::state::checkpoint::table::TableReader;
use music_insights::state::unmatched::UnmatchedPlays;
use music_insights::storage::SharedDisk;
use music_insights::storage::real::RealDisk;
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

/// The catalog of these tests. It lacks the song s9, so plays of s9 are unmatched.
const CATALOG: &str = "s0,Zero,A,Rock,Sad\ns1,One,A,Pop,Happy\ns2,Two,B,Jazz,\n";
const ONCE: [&str; 6] =
    ["watch", "--once", "--http", "off", "--set", "insights.enriched_logs.roll_bytes=700"];
const DAMAGED: i32 = 65;
const BUSY: i32 = 75;
const CONFIG: i32 = 78;

fn play(file: u32, play: u32) -> String {
    let (user, song) = ((file + play) % 7, [0, 1, 2, 9][(file + play * play) as usize % 4]);
    format!("u{user},s{song},2025-03-{:02} {:02}:30:00,{}\n", play + 10, file % 24, 60 + play)
}

fn drop_file(place: &Place, number: u32) {
    let plays: String = (0..9).map(|row| play(number, row)).collect();
    place.write(&format!("data/incoming/{number}.csv"), &format!("{LOG_HEADER}{plays}no,row\n"));
}

/// A place with several generations. Each generation includes one more file than the previous one.
fn place_with_state() -> Place {
    // The folder is in memory if possible, because the test overwrites files many times.
    let place = Place::below(&root(0), CATALOG);
    for number in 0..4 {
        drop_file(&place, number);
        place.done(&ONCE);
    }
    place
}

fn once(place: &Place, more: &[&str]) -> Output {
    place.run(&[&ONCE, more].concat())
}

/// Checks that `watch` fails with the given exit code and a message with the given texts, and that it does
/// not change the output.
fn assert_refuses(place: &Place, more: &[&str], code: i32, says: &[&str]) {
    let before = place.files("output");
    // A damaged file must never cause a large allocation.
    let limited = "ulimit -v 4000000; exec \"$0\" \"$@\"";
    let command = place.command(&[&ONCE, more].concat());
    let output = std::process::Command::new("sh")
        .args(["-c", limited])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(place.root())
        .output()
        .unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{message}");
    for word in says {
        assert!(message.contains(word), "the message lacks {word:?}: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(before == place.files("output"), "the output changed");
}

fn newest(state: &Path) -> u64 {
    generations_in(&*RealDisk::without_fsync(), state).unwrap()[0]
}

fn newest_generation(place: &Place) -> (PathBuf, Generation) {
    let state = place.path("data/state");
    let name = generation_name(newest(&state));
    let generation = Generation::read(&*RealDisk::without_fsync(), &state, &name).unwrap();
    (state.join(name), generation)
}

/// Loads a state inside the test process, as `watch` does at its start.
fn load(disk: &SharedDisk, state: &Path) -> Result<(), Error> {
    let config = StateConfig::of(&Settings::default());
    let store = open(disk, state, &config, StartOptions::default())?.expect("the state has generations");
    Loaded::of(&**disk, state, store.current(), &Dictionaries::default())?;
    UnmatchedPlays::resume(disk, state, &store.current().unmatched, HashMap::new())?;
    Ok(())
}

/// Checks that loading fails with a message that names the damaged file and says what to do.
fn assert_refused(disk: &SharedDisk, state: &Path, name: &str, what: &str) {
    let _announced = Announced(format!("{name}: {what}"));
    let failure = load(disk, state).expect_err("loading detects the damage");
    let output = failure.to_string();
    assert_eq!(exit_code(&failure) as i32, DAMAGED, "{output}");
    assert!(output.contains(name), "{output}");
    assert!(output.contains("--rollback") || output.contains("--fresh"), "{output}");
}

/// All damaged versions of a text: truncated to each shorter length, and with one bit or all bits flipped in
/// each byte.
fn every_damage(text: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let cut = (0..text.len()).map(|len| (format!("truncated to {len} bytes"), text[..len].to_vec()));
    let flipped = (0..text.len()).flat_map(move |at| {
        [1 << (at % 8), 0xff].map(|bits| (format!("byte {at} ^ {bits:#x}"), flip(text, at, bits)))
    });
    cut.chain(flipped)
}

fn flip(text: &[u8], at: usize, bits: u8) -> Vec<u8> {
    let mut text = text.to_vec();
    text[at] ^= bits;
    text
}

#[test]
fn every_damaged_byte_of_the_state_is_detected() {
    let place = place_with_state();
    let (disk, state) = (RealDisk::without_fsync(), place.path("data/state"));
    load(&disk, &state).unwrap();
    let (path, generation) = newest_generation(&place);
    let name = path.file_name().unwrap().to_str().unwrap();
    let sound = fs::read(&path).unwrap();
    for (number, (what, text)) in every_damage(&sound).enumerate() {
        assert!(matches!(Generation::parse(&text), Err(Unusable::Damaged(_))), "{what}");
        if number % 16 == 0 {
            fs::write(&path, text).unwrap();
            assert_refused(&disk, &state, name, &what);
        }
    }
    fs::write(&path, &sound).unwrap();

    let mut dice = Dice::new(1, 0);
    for name in generation.files() {
        let path = state.join(&name);
        let sound = fs::read(&path).unwrap();
        for len in 0..sound.len() {
            fs::write(&path, &sound[..len]).unwrap();
            assert!(
                read_sound(&*disk, &state, generation.number).is_err(),
                "{name} truncated to {len} bytes"
            );
            if len % 64 == 0 {
                assert_refused(&disk, &state, &name, &format!("truncated to {len} bytes"));
            }
        }
        fs::remove_file(&path).unwrap();
        assert_refused(&disk, &state, &name, "gone");
        fs::write(&path, sound).unwrap();
    }
    for _ in 0..if is_long() { 2000 } else { 200 } {
        let name = &generation.segments[dice.below(generation.segments.len() as u64) as usize].file;
        let sound = fs::read(state.join(name)).unwrap();
        let (at, bits) = (dice.below(sound.len() as u64) as usize, dice.below(255) as u8 + 1);
        fs::write(state.join(name), flip(&sound, at, bits)).unwrap();
        assert_refused(&disk, &state, name, &format!("byte {at} ^ {bits:#x}"));
        fs::write(state.join(name), sound).unwrap();
    }
    load(&disk, &state).unwrap();
}

#[test]
fn watch_refuses_a_damaged_state_and_rolls_back_on_request() {
    let place = place_with_state();
    let (path, generation) = newest_generation(&place);
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let sound = fs::read(&path).unwrap();
    let damages: Vec<(String, Vec<u8>)> = every_damage(&sound).collect();
    for (what, text) in damages.iter().step_by(damages.len() / 14) {
        let _announced = Announced(what.clone());
        fs::write(&path, text).unwrap();
        assert_refuses(&place, &[], DAMAGED, &[&name, "music-insights watch --state data/state --rollback"]);
    }
    fs::write(&path, &sound).unwrap();

    // Only the newest generation uses the last segment.
    let part = place.path("data/state").join(&generation.segments.last().unwrap().file);
    let sound = fs::read(&part).unwrap();
    fs::write(&part, flip(&sound, sound.len() / 2, 4)).unwrap();
    let part = part.file_name().unwrap().to_str().unwrap();
    assert_refuses(&place, &[], DAMAGED, &[&name, part, "--rollback"]);
    let output = once(&place, &["--rollback"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("this generation is ignored"), "{}", stderr(&output));
    assert_exact(&place, &ONCE[4..], &[]);

    // All generations use the first segment.
    let (_, generation) = newest_generation(&place);
    let part = place.path("data/state").join(&generation.segments[0].file);
    fs::write(&part, b"").unwrap();
    assert_refuses(&place, &[], DAMAGED, &[&generation.segments[0].file, "--fresh"]);
    assert_refuses(&place, &["--rollback"], DAMAGED, &["--fresh"]);
    place.done(&[&ONCE[..], &["--fresh"]].concat());
    assert_exact(&place, &ONCE[4..], &[]);
}

#[test]
fn lost_unmatched_plays_are_detected_and_an_older_generation_may_be_complete() {
    let place = place_with_state();
    let (_, generation) = newest_generation(&place);
    let path = place.path("data/state").join(generation.unmatched.name());
    fs::File::options().write(true).open(&path).unwrap().set_len(generation.unmatched.bytes - 1).unwrap();
    assert_refuses(&place, &[], DAMAGED, &[&generation.unmatched.name(), "--rollback"]);
    place.done(&[&ONCE[..], &["--rollback"]].concat());
    place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{CATALOG}s9,Nine,C,Folk,Sad\n"));
    assert_exact(&place, &ONCE[4..], &[]);
}

#[test]
fn a_missing_state_is_refused_and_fresh_reads_everything_again() {
    let place = Place::new(CATALOG);
    let archiving = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
    drop_file(&place, 0);
    let daemon = place.watch(&archiving);
    place.wait_for("the archive", || place.path("data/archive/0.csv").exists().then_some(()));
    assert!(daemon.stop().status.success());
    drop_file(&place, 1);
    place.done(&ONCE);
    fs::remove_dir_all(place.path("data/state")).unwrap();
    assert_refuses(&place, &[], CONFIG, &["data/state has no state for it", "--fresh"]);
    place.done(&[&ONCE[..], &["--fresh"]].concat());
    assert_equals_replay_of(&place, &["data/incoming", "data/archive"]);

    // `--fresh` also works with an intact state, but not if an input was deleted.
    place.done(&[&ONCE[..], &["--fresh"]].concat());
    assert_exact(&place, &ONCE[4..], &["data/incoming", "data/archive"]);
    fs::remove_file(place.path("data/archive/0.csv")).unwrap();
    assert_refuses(&place, &["--fresh"], CONFIG, &["0.csv", "would lose rows"]);
}

#[test]
fn settings_that_the_state_depends_on_cannot_change() {
    let place = place_with_state();
    for (setting, name) in [
        ("timezone=Europe/Berlin", "timezone is UTC"),
        ("insights.night_owl_users.from=23:00", "insights.night_owl_users.from"),
        ("insights.night_owl_users.to=04:00", "insights.night_owl_users.to"),
        ("insights.enriched_logs.enabled=false", "insights.enriched_logs.enabled is true"),
        ("input.max_future=1h", "input.max_future"),
        ("input.max_bad_lines=7", "input.max_bad_lines"),
    ] {
        assert_refuses(&place, &["--set", setting], CONFIG, &[name, "data/state", "--fresh"]);
    }
    // All other settings may change, and take effect.
    let others = [
        "insights.top_songs_this_week.limit=1",
        "insights.user_favorite_genres.ties=all",
        "insights.enriched_logs.roll_bytes=300",
        "flush_interval=7ms",
    ];
    let others: Vec<&str> = others.iter().flat_map(|other| ["--set", other]).collect();
    place.done(&[&ONCE[..4], &others].concat());
    assert_eq!(place.read("output/top_songs_this_week/part-00000.csv").lines().count(), 2);
    drop_file(&place, 7);
    place.done(&[&ONCE[..4], &others].concat());
    let longest = place.files("output").into_iter().filter(|(name, _)| name.starts_with("enriched_logs/"));
    let last = longest.map(|(_, text)| text.len()).next_back().unwrap();
    assert!(last <= 300, "the last part has {last} bytes");
    place.done(&ONCE);
    assert_equals_replay(&place);
}

#[test]
fn the_message_about_a_different_format_version_says_what_to_do() {
    let place = place_with_state();
    let (path, generation) = newest_generation(&place);
    let text = generation.to_text();
    let (body, _) = text.rsplit_once("xxh3-128:").unwrap();
    for version in [FORMAT - 1, FORMAT + 1] {
        let other = body.replacen(&format!("state {FORMAT}"), &format!("state {version}"), 1);
        fs::write(&path, format!("{other}xxh3-128:{:032x}\n", xxh3_128(other.as_bytes()))).unwrap();
        let message = format!(
            "the format version is {version}, but this program reads version {FORMAT}; use the program"
        );
        for more in [&[][..], &["--rollback"]] {
            assert_refuses(&place, more, CONFIG, &[&message, "--fresh"]);
        }
        for command in ["state", "verify"] {
            let refused = place.run(&[command]);
            let text = format!("{}{}", stdout(&refused), stderr(&refused));
            assert_eq!(refused.status.code(), Some(CONFIG), "{text}");
            assert!(text.contains(&format!("the format version is {version}")), "{text}");
        }
    }
    place.done(&[&ONCE[..], &["--fresh"]].concat());
    assert_exact(&place, &ONCE[4..], &[]);
}

#[test]
fn append_only_tables_are_truncated_but_never_extended() {
    let place = place_with_state();
    let (_, generation) = newest_generation(&place);
    for (folder, parts) in [("enriched_logs", &generation.enriched), ("_rejects", &generation.rejects)] {
        let last = parts.last().unwrap();
        let path = place.path(&format!("output/{folder}/{}", last.file));
        let sound = fs::read(&path).unwrap();
        fs::write(&path, &sound[..sound.len() - 1]).unwrap();
        assert_refuses(&place, &[], DAMAGED, &[folder, &last.file, "--fresh"]);
        fs::write(&path, flip(&sound, sound.len() / 2, 1)).unwrap();
        assert_refuses(&place, &[], DAMAGED, &[folder, &last.file, "have changed since they were committed"]);
        fs::remove_file(&path).unwrap();
        assert_refuses(&place, &[], DAMAGED, &[folder, &last.file, "gone"]);
        fs::write(&path, [&sound[..], b"half a ro"].concat()).unwrap();
        place.done(&ONCE);
        assert_eq!(fs::read(&path).unwrap(), sound);
    }
    let first = place.path(&format!("output/enriched_logs/{}", generation.enriched[0].file));
    let sound = fs::read(&first).unwrap();
    fs::write(&first, &sound[..sound.len() / 2]).unwrap();
    assert_refuses(&place, &[], DAMAGED, &[&generation.enriched[0].file, "--fresh"]);
    fs::write(&first, sound).unwrap();
    assert_exact(&place, &ONCE[4..], &[]);
}

#[test]
fn a_second_daemon_reports_the_first_daemon() {
    let place = place_with_state();
    let daemon = place.watch(&[]);
    let id = daemon.id().to_string();
    let locks = ["output/.lock", "data/state/.lock"];
    place.wait_for("the locks", || locks.iter().all(|lock| place.read(lock) == id).then_some(()));
    let second = once(&place, &[]);
    assert_eq!(second.status.code(), Some(BUSY), "{}", stderr(&second));
    let named = format!("already in use by process {id}");
    assert!(stderr(&second).contains(&named), "{}", stderr(&second));
    // A second daemon with a different state would still write to the same output.
    let second = once(&place, &["--state", "data/other"]);
    assert_eq!(second.status.code(), Some(BUSY), "{}", stderr(&second));
    assert!(stderr(&second).contains(&named), "{}", stderr(&second));
}

/// Copies a folder recursively.
fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else if entry.file_name() != ".lock" {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Continues from the stored state of each released version. The inputs are the files that this version had
/// read. `UPDATE_GOLDEN=1` writes the state of the current version. Use it only just before a release.
#[test]
fn watch_continues_from_the_states_of_all_versions() {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkpoints = project.join("tests/checkpoints");
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        let golden = checkpoints.join(env!("CARGO_PKG_VERSION"));
        let _ = fs::remove_dir_all(&golden);
        let place = Place::new(CATALOG);
        // Some plays in this state are unmatched.
        drop_file(&place, 1);
        drop_file(&place, 2);
        place.append("data/incoming/1.csv", "u1,s1,2025-03-21 12:0");
        let daemon = place.watch(&[]);
        place.wait_for_rows(20);
        daemon.kill();
        for folder in ["data", "output"] {
            copy_folder(&place.path(folder), &golden.join(folder));
        }
    }
    for golden in fs::read_dir(checkpoints).unwrap().map(|entry| entry.unwrap().path()) {
        let _announced = Announced(golden.display().to_string());
        let place = Place::new("");
        copy_folder(&golden, place.root());
        let before = place.files("output");
        let incoming = place.path("data/incoming").to_str().unwrap().to_owned();
        let daemon = place.watch(&["--incoming", &incoming]);
        // The copied inputs have new inodes, and the folder is spelled differently. `watch` recognises them by
        // their names and their content, and does not read them again.
        let next = place.manifest("output").unwrap()["epoch"].as_u64();
        drop_file(&place, 3);
        place.append("data/incoming/1.csv", "5:00,77\n");
        place.wait_for_rows(31);
        assert!(place.manifest("output").unwrap()["epoch"].as_u64() > next);
        assert!(daemon.stop().status.success());
        let after: BTreeMap<String, String> = place.files("output");
        let log = "enriched_logs/part-00000.csv";
        assert!(after[log].starts_with(&before[log]), "published rows changed");
        assert_exact(&place, &[], &[]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_a_generation_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        numbers in proptest::collection::vec(any::<u64>(), 0..4),
    ) {
        prop_assert!(Generation::parse(&bytes).is_err());
        // Content with a correct checksum may still be invalid.
        for body in [bytes, format!("music-insights state {FORMAT}\n{{\"number\":{numbers:?}}}\n").into_bytes()] {
            let text = [&body[..], format!("xxh3-128:{:032x}\n", xxh3_128(&body)).as_bytes()].concat();
            prop_assert!(Generation::parse(&text).is_err());
        }
    }

    #[test]
    fn no_bytes_make_a_table_panic(
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0_u8..4, Just(0xff_u8)], 0..300),
        offset in 0_u64..400,
        len in prop_oneof![0_u64..400, any::<u64>()],
        entries in prop_oneof![0_u64..40, any::<u64>()],
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        fs::write(&path, &bytes).unwrap();
        let file = RealDisk::without_fsync().open(&path).unwrap();
        let read = || {
            let mut numbers = TableReader::new(&*file, offset, len, entries);
            while numbers.next_number().is_ok_and(|entry| entry.is_some()) {}
            let (mut texts, mut text) = (TableReader::new(&*file, offset, len, entries), Vec::new());
            while texts.next_bytes(&mut text).is_ok_and(|key| key.is_some()) {
                assert!(text.len() <= bytes.len());
            }
        };
        prop_assert!(catch_unwind(AssertUnwindSafe(read)).is_ok());
    }
}
