//! Executors and clients that are killed, stopped or out of space, and other errors.

use std::fs;
use std::io::{Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use music_insights::storage::failpoint::{CLIENT_POINTS, TASK_POINTS};

use crate::processes::{TestCluster, assert_exit, command, free_port, run, wait_until};
use crate::{arguments, assert_same, assert_success, compare, files_of_tables, write_difficult_inputs};

/// Generates logs that take some seconds to read.
fn generate_long_inputs(folder: &Path) {
    let generate =
        ["generate", "--out", ".", "--rows", "600000", "--users", "3000", "--songs", "900", "--files", "12"];
    assert_exit(&run(folder, &generate), 0);
    fs::rename(folder.join("incoming"), folder.join("logs")).unwrap();
    fs::rename(folder.join("songs_metadata.csv"), folder.join("songs.csv")).unwrap();
}

#[test]
fn a_killed_executor_does_not_change_the_output() {
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    assert_exit(&run(folder.path(), &arguments("expected", &[])), 0);
    // Each lost executor takes the scheduler some seconds to notice.
    let points: &[&str] = if std::env::var_os("LONG_TESTS").is_some() {
        &TASK_POINTS
    } else {
        &["task.map", "task.listeners", "task.part"]
    };
    // A first run of `replay` has no such jobs.
    let absent = ["task.merge", "task.compare"];
    for point in points.iter().filter(|point| !absent.contains(point)) {
        let Some(mut cluster) = TestCluster::start(0, &[]) else { return };
        // The first executor is killed after its first task of this kind, before its report.
        cluster.add_executor(&[("CRASH_AT", format!("{point}:1"))]);
        let address = cluster.address.clone();
        let replay = command(folder.path(), &arguments("found", &["--cluster", &address, "--fresh"]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("the executor is killed", || !cluster.executors[0].is_running());
        cluster.add_executor(&[]);
        let output = replay.wait_with_output().unwrap();
        assert_success(&output, &cluster, point);
        assert_same(folder.path(), "expected", "found", point);
        fs::remove_dir_all(folder.path().join("found")).unwrap();
    }
}

#[test]
fn an_executor_that_comes_back_late_changes_nothing() {
    let Some(mut cluster) = TestCluster::start(1, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    generate_long_inputs(folder.path());
    assert_exit(&run(folder.path(), &arguments("expected", &[])), 0);
    let address = cluster.address.clone();
    let mut replay = command(folder.path(), &arguments("found", &["--cluster", &address]));
    let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let tables = folder.path().join("found/_tables");
    wait_until("a log is being read", || files_of_tables(&tables).iter().any(|file| file.contains("/.new-")));
    cluster.executors[0].signal("-STOP");
    cluster.add_executor(&[]);
    let output = replay.wait_with_output().unwrap();
    assert_success(&output, &cluster, "stopped");
    assert_same(folder.path(), "expected", "found", "stopped");
    cluster.executors[0].signal("-CONT");
    // The executor finishes its task, and its scheduler does not know it any more.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert_same(folder.path(), "expected", "found", "continued");
    assert_exit(&run(folder.path(), &arguments("found", &["--cluster", &address])), 0);
    assert_same(folder.path(), "expected", "found", "the next run");
}

#[test]
fn a_client_that_is_killed_at_any_point_leaves_no_trace() {
    let Some(cluster) = TestCluster::start(1, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let flags = ["--cluster", cluster.address.as_str()];
    let add_log = |number: usize| {
        let text = format!("user_id,song_id,timestamp,duration_sec\nu{number},s1,2025-04-01 01:00:00,5\n");
        fs::write(folder.path().join(format!("logs/n{number}.csv")), text).unwrap();
    };
    assert_exit(&run(folder.path(), &arguments("found", &flags)), 0);
    for (number, point) in CLIENT_POINTS.into_iter().flat_map(|point| [point; 2]).enumerate() {
        add_log(number);
        let mut replay = command(folder.path(), &arguments("found", &flags));
        let output = replay.env("CRASH_AT", format!("{point}:1")).output().unwrap();
        assert_eq!(output.status.code(), None, "{point} was not reached");
        if number % 2 == 1 {
            // The new log is gone. Files with its plays may be in the output already.
            fs::remove_file(folder.path().join(format!("logs/n{number}.csv"))).unwrap();
        }
        compare(&cluster, folder.path(), &[]);
        if number % 2 == 1 {
            // With nothing new, a run removes no leftovers.
            continue;
        }
        let left = files_of_tables(&folder.path().join("found/_tables"));
        let index = fs::read_to_string(folder.path().join("found/_tables/index.json")).unwrap();
        for file in left.iter().filter(|file| !file.ends_with("index.json")) {
            assert!(index.contains(file.as_str()), "{point}: {file} is a leftover");
        }
    }
}

#[test]
fn a_run_that_is_stopped_or_killed_publishes_nothing() {
    let Some(cluster) = TestCluster::start(2, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    generate_long_inputs(folder.path());
    let flags = ["--cluster", cluster.address.as_str()];
    let tables = folder.path().join("found/_tables");
    for signal in ["-INT", "-KILL"] {
        let mut replay = command(folder.path(), &arguments("found", &flags));
        let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let before = files_of_tables(&tables).len();
        wait_until("a log is being read", || files_of_tables(&tables).len() > before);
        assert!(Command::new("kill").args([signal, &replay.id().to_string()]).status().unwrap().success());
        let output = replay.wait_with_output().unwrap();
        if signal == "-INT" {
            assert!(assert_exit(&output, 74).1.contains("nothing was published"));
        }
        assert!(!folder.path().join("found/_manifest.json").exists());
    }
    compare(&cluster, folder.path(), &[]);
    // The last run has removed the leftovers of the interrupted runs.
    let index = fs::read_to_string(tables.join("index.json")).unwrap();
    for file in files_of_tables(&tables).iter().filter(|file| !file.ends_with("index.json")) {
        assert!(index.contains(file.as_str()), "{file} is a leftover");
    }
}

#[test]
fn errors_of_a_cluster_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let assert_fails = |code: i32, address: &str, more: &[&str], words: &[&str]| {
        let (_, error) = assert_exit(
            &run(folder.path(), &arguments("found", &[more, &["--cluster", address]].concat())),
            code,
        );
        for word in words {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        assert!(!folder.path().join("found/_manifest.json").exists());
    };
    assert_fails(64, "localhost:50050", &[], &["not the address of a cluster", "df://"]);
    let unused = format!("df://127.0.0.1:{}", free_port());
    assert_fails(74, &unused, &[], &["no scheduler answers", "start one"]);
    assert_fails(64, &unused, &["-"], &["stdin"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let executor = ["executor", "--scheduler", &unused, "--work-dir", "work", "--port", &port];
    let (_, error) = assert_exit(&run(folder.path(), &executor), 74);
    assert!(error.contains(&port) && error.contains("(--port)"), "{error}");

    // A server that answers like a scheduler of a different version.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("df://{}", other.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in other.incoming().flatten() {
            let mut stream = stream;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let body = r#"{"version":"54.1.0","datafusion_version":"54.0.0"}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
    assert_fails(78, &address, &[], &["54.1.0", "55.0.0", "must run the same version"]);

    let Some(mut cluster) = TestCluster::start(0, &[]) else { return };
    let address = cluster.address.clone();
    assert_fails(78, &address, &[], &["no executor", "music-insights executor"]);
    cluster.add_executor(&[]);
    // This path exists only for the client.
    let (_, error) = {
        let arguments = [
            "replay",
            "/proc/self/cwd/logs",
            "--songs",
            "songs.csv",
            "--output",
            "found",
            "--cluster",
            &address,
        ];
        assert_exit(&run(folder.path(), &arguments), 66)
    };
    assert!(
        error.contains("/proc/self/cwd/logs/") && error.contains("all machines of a cluster must see"),
        "{error}"
    );
    assert!(!folder.path().join("found/_manifest.json").exists());

    // Kill the scheduler during the run.
    let other = tempfile::tempdir().unwrap();
    generate_long_inputs(other.path());
    let mut replay = command(other.path(), &arguments("found", &["--cluster", &address]));
    let replay = replay.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("a log is being read", || !files_of_tables(&other.path().join("found/_tables")).is_empty());
    cluster.scheduler.kill();
    let (_, error) = assert_exit(&replay.wait_with_output().unwrap(), 74);
    assert!(error.contains("the scheduler at") && error.contains("is gone"), "{error}");
    assert!(cluster.executors[0].is_running());
}

#[test]
fn a_full_disk_of_an_executor_publishes_nothing() {
    let Some(mut cluster) = TestCluster::start(0, &[]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_difficult_inputs(folder.path());
    let full = folder.path().join("found/enriched_logs");
    fs::create_dir_all(&full).unwrap();
    // Only this executor sees the small disk.
    let mount = format!("mount -t tmpfs -o size=16k tmpfs {}", full.display());
    if !Command::new("unshare")
        .args(["-Urm", "sh", "-c", &mount])
        .output()
        .is_ok_and(|it| it.status.success())
    {
        eprintln!("skipped: `unshare` cannot mount a small disk");
        return;
    }
    cluster.add_executor_after(&mount);
    let address = cluster.address.clone();
    let (_, error) = assert_exit(&run(folder.path(), &arguments("found", &["--cluster", &address])), 74);
    for words in ["found/enriched_logs/", "No space left on device", "the executors"] {
        assert!(error.contains(words), "{words}: {error}");
    }
    assert!(!folder.path().join("found/_manifest.json").exists());
    cluster.executors[0].kill();
    cluster.add_executor(&[]);
    compare(&cluster, folder.path(), &[]);
}
