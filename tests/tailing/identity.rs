//! Logs are known by their file and by their name in the folder. The spelling and the place of the folder
//! make no difference.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr, stdout};

/// Reads everything in `incoming` once. Returns the messages.
fn read(place: &Place, incoming: &str, more: &[&str]) -> String {
    let once = ["watch", "--once", "--http", "off", "--incoming", incoming];
    stderr(&place.done(&[&once, more].concat()))
}

fn rows(place: &Place) -> u64 {
    place.manifest("output").unwrap()["totals"]["rows"].as_u64().unwrap()
}

fn rejected(place: &Place) -> usize {
    place.read("output/_rejects/part-00000.csv").lines().count() - 1
}

fn log(user: u32) -> String {
    format!("{LOG_HEADER}{}{}", play(user, 1, user), play(user, 9, user + 1))
}

fn packed(text: &str) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Logs of every kind: with rows, with a header only, empty, without a line end, compressed, damaged, and not
/// readable as a log.
fn place_with_all_kinds() -> Place {
    let place = Place::new(SONGS);
    place.write("data/incoming/rows.csv", &log(1));
    place.write("data/incoming/header.csv", LOG_HEADER);
    place.write("data/incoming/empty.csv", "");
    place.write("data/incoming/open.csv", &format!("{LOG_HEADER}{}", play(3, 1, 3).trim_end()));
    place.write("data/incoming/wrong.csv", "when,what\n1,2\n");
    fs::write(place.path("data/incoming/packed.csv.gz"), packed(&log(5))).unwrap();
    fs::write(place.path("data/incoming/damaged.csv.gz"), &packed(&log(7))[..30]).unwrap();
    place
}

/// The rows and the rejects of [`place_with_all_kinds`].
const ALL: (u64, usize) = (7, 2);

#[test]
fn the_spelling_of_the_folder_makes_no_difference() {
    let place = place_with_all_kinds();
    symlink(place.path("data/incoming"), place.path("link")).unwrap();
    symlink(place.path("data"), place.path("other")).unwrap();
    let absolute = place.path("data/incoming").to_str().unwrap().to_owned();
    let spellings = [
        "data/incoming",
        "./data/incoming",
        "data//incoming/",
        &absolute,
        "link",
        "other/incoming",
        "data/../link/.",
    ];
    for incoming in spellings {
        let messages = read(&place, incoming, &[]);
        assert_eq!((rows(&place), rejected(&place)), ALL, "{incoming}: {messages}");
        assert!(!messages.contains("different file") && !messages.contains("same content"), "{messages}");
    }
    let shown = stdout(&place.done(&["state", "--inputs"]));
    assert!(shown.contains("inputs     7\n") && shown.contains("\n  rows.csv: read to byte"), "{shown}");
    assert!(place.read("output/_rejects/part-00000.csv").contains("\nwrong.csv,1,0,missing_"));
    for incoming in ["data/incoming", "link"] {
        place.done(&["verify", "--incoming", incoming]);
    }
}

#[test]
fn a_project_that_was_copied_to_a_new_place_goes_on() {
    let mut place = place_with_all_kinds();
    read(&place, "data/incoming", &[]);
    for round in 0..2 {
        let moved = Place::new(SONGS);
        let copied =
            Command::new("cp").arg("-a").arg(place.root().join(".")).arg(moved.root()).status().unwrap();
        assert!(copied.success());
        place = moved;
        let absolute = place.path("data/incoming").to_str().unwrap().to_owned();
        let messages = read(&place, if round == 0 { &absolute } else { "data/incoming" }, &[]);
        assert_eq!((rows(&place), rejected(&place)), ALL, "{messages}");
        assert!(!messages.contains("different file"), "{messages}");
        place.done(&["verify"]);
    }
    // The moved logs are still followed.
    place.append("data/incoming/rows.csv", &play(8, 2, 8));
    place.append("data/incoming/header.csv", &play(9, 2, 9));
    read(&place, "data/incoming", &[]);
    assert_eq!(rows(&place), ALL.0 + 2);
    place.done(&["verify"]);
}

#[test]
fn the_spelling_of_the_catalog_makes_no_difference_to_verify() {
    let place = Place::new("s1,One,A,Rock,Sad\n,no id,,,\n");
    place.write("data/incoming/songs_metadata.csv", &format!("{LOG_HEADER}bad row\n{}", play(1, 1, 1)));
    read(&place, "data/incoming", &[]);
    for songs in ["data/songs_metadata.csv", "./data/songs_metadata.csv", "data/../data/songs_metadata.csv"] {
        place.done(&["verify", "--songs", songs]);
    }
    assert_eq!(rejected(&place), 2);
}

/// Copies a whole place with its times, as a move to a new disk does.
fn copy_of(place: &Place) -> Place {
    let copy = Place::new(SONGS);
    let copied = Command::new("cp").arg("-a").arg(place.root().join(".")).arg(copy.root()).status();
    assert!(copied.unwrap().success());
    copy
}

#[test]
fn a_renamed_log_is_known_in_a_new_place() {
    let place = Place::new(SONGS);
    place.write("data/incoming/early.csv", &log(1));
    read(&place, "data/incoming", &[]);
    fs::rename(place.path("data/incoming/early.csv"), place.path("data/incoming/late.csv")).unwrap();
    read(&place, "data/incoming", &[]);
    let moved = copy_of(&place);
    read(&moved, "data/incoming", &[]);
    assert_eq!(rows(&moved), 2);
}

#[test]
fn archived_logs_are_known_wherever_the_archive_is() {
    let archiving = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
    let place = Place::new(SONGS);
    let daemon = place.watch(&archiving);
    place.write("data/incoming/day.csv", &log(1));
    place.wait_for("the archive", || place.path("data/archive/day.csv").exists().then_some(()));
    // The state knows that the log is archived, so a log of the same name is a new one.
    place.wait_for("the commit", || stdout(&place.run(&["state"])).contains("inputs     1").then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(daemon.stop().status.success());
    let moved = copy_of(&place);
    moved.done(&["verify"]);
    moved.write("data/incoming/day.csv", &log(5));
    let messages = read(&moved, "./data/incoming", &[]);
    assert_eq!(rows(&moved), 4);
    assert!(!messages.contains("different file"), "{messages}");
    moved.done(&["verify"]);
    read(&moved, "data/incoming", &["--fresh"]);
    assert_eq!(rows(&moved), 4);
}

#[test]
fn copies_and_hard_links_are_warned_of_after_a_restart() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(1));
    fs::write(place.path("data/incoming/b.csv.gz"), packed(&log(3))).unwrap();
    read(&place, "data/incoming", &[]);
    fs::copy(place.path("data/incoming/a.csv"), place.path("data/incoming/copy.csv")).unwrap();
    fs::copy(place.path("data/incoming/b.csv.gz"), place.path("data/incoming/copy.csv.gz")).unwrap();
    let messages = read(&place, "data/incoming", &[]);
    for warning in
        ["copy.csv: has the same content as a.csv;", "copy.csv.gz: has the same content as b.csv.gz;"]
    {
        assert_eq!(messages.matches(warning).count(), 1, "{messages}");
    }
    assert_eq!(rows(&place), 8);
    fs::hard_link(place.path("data/incoming/a.csv"), place.path("data/incoming/linked.csv")).unwrap();
    let messages = read(&place, "data/incoming", &[]);
    assert_eq!(messages.matches("linked.csv: has the same content as ").count(), 1, "{messages}");
    assert_eq!(rows(&place), 10);
    // Nothing has changed, so nothing counts and no copy is news.
    let messages = read(&place, "data/incoming/../incoming", &[]);
    assert!(!messages.contains("same content"), "{messages}");
    assert_eq!(rows(&place), 10);
}

#[test]
fn control_characters_of_names_are_escaped_everywhere() {
    let place = Place::new(SONGS);
    let name = "x\u{1b}]0;y\u{7}\u{9b}\nz.csv";
    place.write(&format!("data/incoming/{name}"), &format!("{LOG_HEADER}bad\n{}", play(1, 1, 1)));
    let raw = |output: &std::process::Output| {
        let text = stdout(output) + &stderr(output);
        let is_raw = |char: char| char.is_control() && char != '\n';
        assert!(!text.contains(is_raw), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("z.csv")), "{text}");
    };
    for arguments in [
        &["watch", "--once", "--http", "off"] as &[&str],
        &["state", "--inputs"],
        &["verify"],
        &["check"],
        &["replay", "--output", "x\u{1b}[2J"],
        &["report", "--output", "x\u{1b}[2J", "--html", "r\u{1b}.html"],
    ] {
        raw(&place.run(arguments));
    }
    assert!(place.read("output/_rejects/part-00000.csv").contains(r"x\x1b]0;y\x07"));
}

#[test]
fn files_in_place_of_folders_are_named() {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &log(1));
    place.write("file", "");
    for (arguments, code) in [
        (["--incoming", "data/incoming/a.csv"], 66),
        (["--output", "file"], 73),
        (["--state", "file"], 73),
        (["--output", "file/below"], 73),
    ] {
        let output = place.run(&[&["watch", "--once", "--http", "off"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("is not a folder"), "{arguments:?}: {}", stderr(&output));
    }
}
