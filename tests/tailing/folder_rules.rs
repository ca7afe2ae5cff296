//! `input.names`, `input.recursive` and `input.follow_symlinks`: which files in a folder are logs.

use std::fs;
use std::os::unix::fs::symlink;

use crate::daemon::{LOG_HEADER, Place, SONGS, play, stderr};
use crate::oracle::assert_equals_replay;

fn put(place: &Place, name: &str, user: u32) {
    let path = place.path("data/incoming").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{LOG_HEADER}{}", play(user, 1, user))).unwrap();
}

/// The listeners in the output, without repetitions.
fn users(place: &Place) -> Vec<u32> {
    let enriched = place.read("output/enriched_logs/part-00000.csv");
    let cell = |row: &str| row.split(',').nth(1)?.strip_prefix('u')?.parse().ok();
    let mut users: Vec<u32> = enriched.lines().skip(1).filter_map(cell).collect();
    users.sort_unstable();
    users
}

/// Reads the folder with `watch --once` and with `replay`. Returns the messages of `watch`.
fn read(place: &Place, settings: &[&str]) -> String {
    for folder in ["output", "data/state"] {
        let _ = fs::remove_dir_all(place.path(folder));
    }
    let sets: Vec<&str> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let messages = stderr(&place.done(&[&["watch", "--once", "--http", "off"], &sets[..]].concat()));
    let by_watch = users(place);
    place.done(&[&["verify"], &sets[..]].concat());
    place.done(&[&["replay", "--fresh"], &sets[..]].concat());
    assert_eq!(users(place), by_watch, "replay differs from watch");
    fs::remove_dir_all(place.path("output")).unwrap();
    fs::remove_dir_all(place.path("data/state")).unwrap();
    place.done(&[&["watch", "--once", "--http", "off"], &sets[..]].concat());
    messages
}

#[test]
fn names_choose_the_logs_and_skipped_files_are_named() {
    let place = Place::new(SONGS);
    for (name, user) in [
        ("a.csv", 1),
        ("B.CSV", 2),
        ("c.log", 3),
        (".d.csv", 4),
        ("e.csv.part", 5),
        ("f.csv.tmp", 6),
        ("g.txt", 7),
    ] {
        put(&place, name, user);
    }
    let messages = read(&place, &[]);
    assert_eq!(users(&place), [1, 2]);
    let warning = "data/incoming: 5 files are skipped because of their names (see input.names): \
                   .d.csv, c.log, e.csv.part, f.csv.tmp, g.txt";
    assert!(messages.contains(warning), "{messages}");
    for (names, found) in
        [("*.log,g.*", vec![3, 7]), (r#"["?.LOG", "[ab].csv"]"#, vec![1, 2, 3]), ("*", vec![1, 2, 3, 7])]
    {
        read(&place, &[&format!("input.names={names}")]);
        assert_eq!(users(&place), found, "{names}");
    }
    place.write("music-insights.toml", "[input]\nnames = ['*.txt']\n");
    read(&place, &[]);
    assert_eq!(users(&place), [7]);
    let output =
        place.command(&["config"]).env("MUSIC_INSIGHTS_INPUT__NAMES", "*.log, *.x").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains(r#"names = ["*.log","*.x"]"#));
    // Files that are named directly or by a pattern are read under any name.
    place.done(&[
        "replay",
        "--fresh",
        "data/incoming/e.csv.part",
        "data/incoming/.d.csv",
        "data/incoming/*.tmp",
    ]);
    assert_eq!(users(&place), [4, 5, 6]);
    for wrong in ["input.names=[]", "input.names=a/*.csv", "input.names=[x"] {
        assert_eq!(place.run(&["check", "--set", wrong]).status.code(), Some(78), "{wrong}");
    }
}

#[test]
fn more_than_ten_skipped_files_are_counted() {
    let place = Place::new(SONGS);
    put(&place, "a.csv", 1);
    (10..25).for_each(|number| put(&place, &format!("n{number}.dat"), number));
    for command in
        [&["check"] as &[&str], &["replay"], &["watch", "--once", "--http", "off", "--output", "o"]]
    {
        let messages = stderr(&place.run(command));
        assert_eq!(messages.matches("15 files are skipped").count(), 1, "{messages}");
        assert!(messages.contains("n18.dat, n19.dat and 5 more"), "{messages}");
    }
}

#[test]
fn new_skipped_files_are_named_while_watch_runs() {
    let place = Place::new(SONGS);
    let daemon = place.watch(&[]);
    put(&place, "a.csv", 1);
    place.wait_for_rows(1);
    put(&place, "late.dat", 2);
    put(&place, "busy.csv.part", 3);
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let messages = stderr(&daemon.stop());
    assert_eq!(messages.matches("skipped because of").count(), 1, "{messages}");
    assert!(
        messages.contains("1 file is skipped because of its name (see input.names): late.dat"),
        "{messages}"
    );
}

#[test]
fn subfolders_are_read_if_wanted() {
    let place = Place::new(SONGS);
    for (name, user) in [
        ("a.csv", 1),
        ("date=2025-03-21/part-0.csv", 2),
        ("date=2025-03-21/hour=1/part-0.csv", 3),
        ("table.csv/part-0.csv", 4),
        ("_temporary/part-0.csv", 5),
        (".hidden/part-0.csv", 6),
        ("date=2025-03-21/_logs/part-0.csv", 7),
    ] {
        put(&place, name, user);
    }
    let messages = read(&place, &[]);
    assert_eq!(users(&place), [1]);
    assert!(
        messages.contains("1 subfolder is not read; input.recursive = true reads subfolders"),
        "{messages}"
    );
    read(&place, &["input.recursive=true"]);
    assert_eq!(users(&place), [1, 2, 3, 4]);
    // The settings are not part of the state. What was read stays counted.
    place.done(&["watch", "--once", "--http", "off"]);
    assert_eq!(users(&place), [1, 2, 3, 4]);
    place.done(&["verify"]);
}

#[test]
fn subfolders_that_appear_later_are_followed_and_archived() {
    let recursive = ["--set", "input.recursive=true"];
    let place = Place::new(SONGS);
    let daemon = place.watch(&recursive);
    put(&place, "2025/03/a.csv", 1);
    place.wait_for_rows(1);
    place.append("data/incoming/2025/03/a.csv", &play(2, 1, 2));
    place.wait_for_rows(2);
    // A subfolder arrives together with its files, and another one is renamed.
    fs::create_dir_all(place.path("draft/04")).unwrap();
    place.write("draft/04/a.csv", &format!("{LOG_HEADER}{}", play(3, 1, 3)));
    fs::rename(place.path("draft/04"), place.path("data/incoming/2025/04")).unwrap();
    place.wait_for_rows(3);
    fs::rename(place.path("data/incoming/2025/03"), place.path("data/incoming/2025/02")).unwrap();
    place.append("data/incoming/2025/02/a.csv", &play(4, 1, 4));
    place.wait_for_rows(4);
    assert!(daemon.stop().status.success());
    assert_eq!(users(&place), [1, 2, 3, 4]);
    let archiving = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
    let daemon =
        place.watch(&[recursive, [archiving[0], archiving[1]], [archiving[2], archiving[3]]].concat());
    place.wait_for("the archive", || {
        let archived = |name: &str| place.path("data/archive").join(name).exists();
        (archived("2025/02/a.csv") && archived("2025/04/a.csv")).then_some(())
    });
    assert!(daemon.stop().status.success());
    place.done(&[&["verify"], &recursive[..]].concat());
    place.done(&[&["watch", "--once", "--http", "off", "--fresh"], &recursive[..]].concat());
    assert_eq!(users(&place), [1, 2, 3, 4]);
}

#[test]
fn recursive_folders_must_not_contain_what_the_program_writes() {
    let place = Place::new(SONGS);
    put(&place, "a.csv", 1);
    symlink(place.path("data"), place.path("link")).unwrap();
    for (set, value) in [
        ("input.archive_dir", "data/incoming/archive"),
        ("input.archive_dir", "link/incoming/archive"),
        ("output", "link/incoming/x/output"),
        ("state", "./data/../data/incoming/state"),
    ] {
        let set = format!("{set}={value}");
        let arguments = ["watch", "--once", "--http", "off", "--set", "input.recursive=true", "--set", &set];
        let output = place.run(&arguments);
        assert_eq!(output.status.code(), Some(78), "{set}: {}", stderr(&output));
        assert!(stderr(&output).contains("inside incoming"), "{}", stderr(&output));
    }
    // Otherwise `replay` would read its own tables.
    let output = place.run(&["replay", ".", "--set", "input.recursive=true"]);
    assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
}

#[test]
fn links_to_files_are_read_if_wanted_and_once() {
    let place = Place::new(SONGS);
    put(&place, "z.csv", 1);
    place.write("outside.dat", &format!("{LOG_HEADER}{}", play(2, 1, 2)));
    fs::create_dir(place.path("folder")).unwrap();
    place.write("folder/in.csv", &format!("{LOG_HEADER}{}", play(3, 1, 3)));
    for (target, name) in [
        ("data/incoming/z.csv", "a.csv"),
        ("outside.dat", "m.csv"),
        ("outside.dat", "n.csv"),
        ("folder", "folder.csv"),
        ("nowhere", "broken.csv"),
    ] {
        symlink(place.path(target), place.path("data/incoming").join(name)).unwrap();
    }
    let messages = read(&place, &[]);
    assert_eq!(users(&place), [1]);
    assert!(messages.contains("m.csv: skipped, because it is not a regular file, but a link"), "{messages}");
    let follow = ["input.follow_symlinks=true", "input.recursive=true"];
    let messages = read(&place, &follow);
    assert_eq!(users(&place), [1, 2]);
    assert!(
        messages.contains("folder.csv: skipped, because it is a link, but not to a regular file"),
        "{messages}"
    );
    let daemon = place.watch(&["--set", follow[0]]);
    std::fs::OpenOptions::new()
        .append(true)
        .open(place.path("outside.dat"))
        .and_then(|mut file| std::io::Write::write_all(&mut file, play(4, 1, 4).as_bytes()))
        .unwrap();
    place.wait_for_rows(3);
    assert!(daemon.stop().status.success());
    assert_eq!(users(&place), [1, 2, 4]);
}

#[test]
fn the_rules_hold_for_a_running_watch() {
    let place = Place::new(SONGS);
    place.write("music-insights.toml", "[input]\nnames = ['*.LOG', '*.csv']\nrecursive = true\n");
    let daemon = place.watch(&[]);
    put(&place, "a.log", 1);
    put(&place, "x/b.csv", 2);
    put(&place, "x/_y/c.csv", 3);
    put(&place, "x/d.dat", 4);
    place.wait_for_rows(2);
    put(&place, "x/e.csv", 5);
    place.wait_for_rows(3);
    assert!(daemon.stop().status.success());
    assert_eq!(users(&place), [1, 2, 5]);
    assert_equals_replay(&place);
}
