//! `watch` works with few descriptors, and with files that it can neither archive nor delete.

use std::process::Command;

use crate::daemon::{Daemon, Fault, LOG_HEADER, Place, SONGS, play, stderr};
use crate::oracle::assert_equals_replay;

/// Starts `watch` with a limit on open files that it cannot raise.
fn watch_with_limit(place: &Place, limit: u32, more: &[&str]) -> Daemon {
    let watch = place.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {limit}; exec \"$0\" \"$@\"")]).arg(watch.get_program());
    command.args(["watch", "--flush-interval", "20ms"]).args(more).current_dir(place.root());
    for (name, _) in watch.get_envs() {
        command.env_remove(name);
    }
    Daemon::start(&mut command)
}

fn drop_logs(place: &Place, name: &str, count: u32) {
    for number in 0..count {
        place.write(
            &format!("data/incoming/{name}{number}.csv"),
            &format!("{LOG_HEADER}{}", play(number, 1, 5)),
        );
    }
}

#[test]
fn few_descriptors_are_enough_for_many_logs() {
    let place = Place::new(SONGS);
    drop_logs(&place, "early", 400);
    let daemon = watch_with_limit(&place, 128, &["--http", "127.0.0.1:0"]);
    place.wait_for_rows(400);
    drop_logs(&place, "late", 400);
    place.wait_for_rows(800);
    for number in 0..400 {
        place.append(&format!("data/incoming/early{number}.csv"), &play(number, 2, 6));
    }
    place.wait_for_rows(1200);
    let output = daemon.stop();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("Too many open files"), "{}", stderr(&output));
    assert_equals_replay(&place);
}

#[test]
fn a_shortage_of_descriptors_does_not_last() {
    let place = Place::new(SONGS);
    drop_logs(&place, "a", 60);
    // With this limit, the program cannot keep its share of logs open.
    let daemon = watch_with_limit(&place, 64, &["--http", "off"]);
    place.wait_for_rows(60);
    drop_logs(&place, "b", 60);
    place.wait_for_rows(120);
    let output = daemon.stop();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_equals_replay(&place);
}

#[test]
fn the_soft_limit_is_raised() {
    let place = Place::new(SONGS);
    let watch = place.command(&[]);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -n 100; exec \"$0\" watch --http off"]).arg(watch.get_program());
    let daemon = Daemon::start(command.current_dir(place.root()));
    let limits = format!("/proc/{}/limits", daemon.id());
    if std::path::Path::new(&limits).exists() {
        place.wait_for("the limit", || {
            let text = std::fs::read_to_string(&limits).unwrap();
            let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
            let columns: Vec<&str> = line.split_whitespace().collect();
            (columns[3] == columns[4]).then_some(())
        });
    }
}

#[test]
fn reading_goes_on_if_a_log_cannot_be_archived() {
    let place = Place::new(SONGS);
    // The archive cannot be created, because a file has its name.
    place.write("data/archive", "in the way");
    let archiving = ["--set", "input.when_done=archive", "--set", "input.done_after=10ms"];
    let daemon = place.watch(&archiving);
    drop_logs(&place, "a", 2);
    place.wait_for_rows(2);
    std::thread::sleep(std::time::Duration::from_secs(3));
    drop_logs(&place, "b", 1);
    place.wait_for_rows(3);
    std::fs::remove_file(place.path("data/archive")).unwrap();
    place.wait_for("the archive", || {
        ["a0.csv", "a1.csv", "b0.csv"]
            .iter()
            .all(|name| place.path("data/archive").join(name).exists())
            .then_some(())
    });
    let output = daemon.stop();
    assert!(output.status.success());
    let messages = stderr(&output);
    assert_eq!(messages.matches("cannot archive a0.csv: ").count(), 1, "{messages}");
    assert!(messages.contains("is not a folder; trying again later"), "{messages}");
}

#[test]
fn reading_goes_on_if_a_log_cannot_be_deleted() {
    let place = Place::new(SONGS);
    drop_logs(&place, "a", 1);
    let path = "data/incoming/a0.csv";
    let fault = Fault { path, calls: "unlink", how: "error=EACCES" };
    let deleting =
        ["--set", "input.when_done=delete", "--set", "input.done_after=10ms", "--flush-interval", "20ms"];
    let Some(daemon) = place.watch_with_faults(&[fault], &deleting) else { return };
    place.wait_for_rows(1);
    std::thread::sleep(std::time::Duration::from_secs(2));
    drop_logs(&place, "b", 1);
    place.wait_for_rows(2);
    place.wait_for("the other log to be deleted", || {
        (!place.path("data/incoming/b0.csv").exists()).then_some(())
    });
    let output = daemon.stop();
    assert!(output.status.success());
    assert!(place.path(path).exists());
    assert_eq!(stderr(&output).matches("cannot delete a0.csv: ").count(), 1, "{}", stderr(&output));
}
