//! `watch` under a service manager: it sends notifications, and reloads its settings on SIGHUP.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, LOG_HEADER, Place, play, stderr, stdout};
use crate::oracle::assert_equals_replay;

const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\ns3,Three,C,Pop,Happy\ns4,Four,D,Rock,Happy\n";

fn rows(from: u32, to: u32) -> String {
    (from..to).map(|n| play(n % 11, n * n % 5 + 1, n * 7)).collect()
}

/// A place with a log that contains rows.
fn place() -> Place {
    let place = Place::new(SONGS);
    place.write("data/incoming/a.csv", &format!("{LOG_HEADER}{}", rows(0, 300)));
    place
}

/// A replacement for the service manager. It records notifications.
struct Manager {
    socket: UnixDatagram,
    received: Vec<String>,
}

impl Manager {
    fn of(place: &Place) -> Self {
        let socket = UnixDatagram::bind(place.path("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        Self { socket, received: Vec::new() }
    }

    fn watches(place: &Place) -> Daemon {
        let mut command = place.command(&["watch", "--http", "off"]);
        command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "3000000");
        Daemon::start(&mut command)
    }

    /// Waits for a notification with the given prefix.
    fn wait_for(&mut self, wanted: &str) -> String {
        let began = Instant::now();
        let mut bytes = [0; 4096];
        while began.elapsed() < Duration::from_mins(1) {
            let Ok(len) = self.socket.recv(&mut bytes) else { continue };
            let lines = std::str::from_utf8(&bytes[..len]).unwrap().lines().map(str::to_owned);
            let lines: Vec<String> = lines.collect();
            let found = lines.iter().find(|line| line.starts_with(wanted)).cloned();
            self.received.extend(lines);
            if let Some(found) = found {
                return found;
            }
        }
        panic!("received no notification {wanted}, only {:?}", self.received);
    }

    /// Forgets all notifications so far.
    fn forget(&mut self) {
        self.socket.set_nonblocking(true).unwrap();
        while self.socket.recv(&mut [0; 4096]).is_ok() {}
        self.socket.set_nonblocking(false).unwrap();
        self.received.clear();
    }
}

#[test]
fn the_service_manager_is_notified_of_every_state() {
    let place = place();
    let mut manager = Manager::of(&place);
    let daemon = Manager::watches(&place);
    assert_eq!(manager.wait_for("READY"), "READY=1");
    assert!(place.manifest("output").is_some(), "watch is ready but has not published");
    assert!(!manager.received.iter().any(|line| line.starts_with("STATUS=epoch")), "{:?}", manager.received);
    manager.wait_for("WATCHDOG=1");
    let status = manager.wait_for("STATUS=");
    assert!(status.contains("rows/s, nothing unread"), "{status}");
    manager.received.clear();

    daemon.signal("-HUP");
    manager.wait_for("RELOADING=1");
    let monotonic = manager.received.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(monotonic.is_some_and(|usec| usec.parse::<u64>().unwrap() > 0), "{:?}", manager.received);
    manager.wait_for("READY=1");
    for _ in 0..8 {
        manager.forget();
        daemon.signal("-HUP");
        manager.wait_for("READY=1");
    }
    let output = stderr(&daemon.stop());
    manager.wait_for("STOPPING=1");
    let again = "settings reloaded: no reloadable setting changed";
    let output: Vec<&str> = output.lines().filter(|line| line.contains(again)).collect();
    assert_eq!(output.len(), 6, "{output:?}");
    assert!(output[..5].iter().all(|line| line.ends_with(again)), "{output:?}");
    assert!(output[5].ends_with("(repeated 4 times)"), "{output:?}");
}

/// Starts `watch` with a fault that strace injects. Measures the time until `watch` is ready, and the longest
/// time without a notification before that.
fn longest_silence(calls: &str, how: &str, path: Option<&str>) -> Option<(Duration, Duration)> {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is missing");
        return None;
    }
    let place = place();
    let mut manager = Manager::of(&place);
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "-o", "/dev/null"]).current_dir(place.root());
    command.arg(format!("--trace={calls}")).arg(format!("--inject={calls}:{how}"));
    if let Some(path) = path {
        command.arg("-P").arg(path).arg("-P").arg(place.path(path));
    }
    command.arg(env!("CARGO_BIN_EXE_music-insights"));
    command.args(["watch", "--http", "off", "--flush-interval", "700ms"]);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "3000000");
    let _daemon = Daemon::start(&mut command);
    manager.wait_for("WATCHDOG=1");
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while !manager.received.contains(&"READY=1".to_owned()) {
        let began = Instant::now();
        manager.wait_for("WATCHDOG=1");
        longest = longest.max(began.elapsed());
    }
    Some((longest, began.elapsed()))
}

#[test]
fn a_blocked_coordinator_sends_no_watchdog_notification() {
    // A delayed rename blocks the coordinator in its first flush.
    let held = longest_silence("rename,renameat,renameat2", "delay_enter=5s:when=3", None);
    assert!(held.is_none_or(|(longest, _)| longest > Duration::from_secs(4)), "{held:?}");
}

#[test]
fn a_coordinator_that_waits_for_disk_space_still_notifies_the_watchdog() {
    let path = "output/._manifest.json.tmp";
    let Some((longest, all)) = longest_silence("write", "error=ENOSPC:when=1..16", Some(path)) else {
        return;
    };
    assert!(all > Duration::from_secs(4) && longest < Duration::from_secs(2), "{longest:?} of {all:?}");
}

#[test]
fn a_reload_applies_reloadable_settings() {
    let place = place();
    let mut manager = Manager::of(&place);
    place.write("music-insights.toml", "[insights.top_songs_this_week]\nlimit = 1\n");
    let daemon = Manager::watches(&place);
    manager.wait_for("READY=1");
    place.wait_for_rows(300);
    for settings in [
        "[insights.top_songs_this_week]\nlimit = 3\nweek = '2025-W12'\n",
        "[insights.user_favorite_genres]\nties = 'first'\n[insights.night_owl_users]\nenabled = false\n",
        "[insights.genre_loyalty_scores]\nthreshold = 0.4\ndecimals = 2\n[insights.happy_recommendations]\nper_user = 1\ndominant = true\n",
        "flush_interval = '5ms'\n[insights.avg_listen_time_per_song]\ndecimals = 0\n[insights.night_owl_users]\nmin_plays = 3\n",
        "",
    ] {
        place.write("music-insights.toml", settings);
        let epoch = place.manifest("output").unwrap()["epoch"].as_u64().unwrap();
        manager.forget();
        daemon.signal("-HUP");
        manager.wait_for("READY=1");
        assert_equals_replay(&place);
        let now = place.manifest("output").unwrap()["epoch"].as_u64().unwrap();
        assert!(now > epoch, "{settings}");
    }
    // The new settings apply to later rows. A restart does not change the output.
    place.append("data/incoming/a.csv", &rows(300, 400));
    place.wait_for_rows(400);
    assert_equals_replay(&place);
    let output = stderr(&daemon.stop());
    assert!(
        output.contains("settings reloaded: insights.top_songs_this_week.limit, insights.top_songs"),
        "{output}"
    );
    let before = place.files("output");
    place.done(&["watch", "--once", "--http", "off"]);
    assert_eq!(place.files("output"), before);
    assert!(place.run(&["verify"]).status.success());
}

#[test]
fn a_reload_names_settings_that_need_a_restart() {
    let place = place();
    let mut manager = Manager::of(&place);
    let daemon = Manager::watches(&place);
    place.wait_for_rows(300);
    manager.wait_for("READY=1");
    place.write(
        "music-insights.toml",
        "timezone = 'Asia/Tokyo'\n[input]\nmax_bad_lines = 1\n[logging]\nformat = 'json'\n\
         [insights]\nnight_owl_users.from = '04:00'\nnight_owl_users.to = '23:00'\nenriched_logs.enabled = false\n",
    );
    manager.forget();
    let before = place.files("output");
    daemon.signal("-HUP");
    manager.wait_for("READY=1");
    assert_eq!(place.files("output"), before, "the reload changed the published output");
    let broken = "[insights.top_songs_this_week]\nlimt = 3\n";
    place.write("music-insights.toml", broken);
    daemon.signal("-HUP");
    manager.wait_for("READY=1");
    let status = manager.wait_for("STATUS=settings not reloaded: music-insights.toml:2: unknown setting");
    assert!(status.contains("did you mean"), "{status}");
    let output = stderr(&daemon.stop());
    let warning = "these changed settings need a restart: timezone, input.max_bad_lines, \
                   insights.night_owl_users.from, insights.night_owl_users.to, insights.enriched_logs.enabled";
    assert!(output.contains(warning), "{output}");
    let failed = output.lines().find(|line| line.contains("the previous settings stay in force")).unwrap();
    let failed: serde_json::Value =
        serde_json::from_str(failed).expect("the reload applied the new message format");
    assert_eq!((&failed["level"], &failed["failed"]), (&"error".into(), &1.into()));
    assert_eq!(place.files("output"), before);
}

#[test]
fn the_unit_is_valid_and_confined() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = fs::read_to_string(root.join("packaging/systemd/music-insights.service")).unwrap();
    let place = Place::new("");
    // The check requires that the program of the unit exists.
    let here = unit.replace("/usr/bin/music-insights", env!("CARGO_BIN_EXE_music-insights"));
    // Versions before 253 ignore `Type=notify-reload` with a warning, and keep the type before it.
    let version = Command::new("systemd-analyze").arg("--version").output().map(|output| stdout(&output));
    let version = version.ok().and_then(|output| output.split_whitespace().nth(1)?.parse::<u32>().ok());
    let here = if version.is_some_and(|version| version < 253) {
        here.replace("Type=notify-reload\n", "")
    } else {
        here
    };
    place.write("music-insights.service", &here);
    // Every environment variable in the unit must be the name of a setting.
    place.write("empty.toml", "");
    let mut config = place.command(&["config"]);
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=")) {
        let (name, value) = line.split_once('=').unwrap();
        config.env(name, if name.ends_with("CONFIG") { "empty.toml" } else { value });
    }
    let shown = config.output().unwrap();
    assert!(stdout(&shown).contains("archive_dir = \"archive\"  # MUSIC_INSIGHTS_INPUT__ARCHIVE_DIR"));
    let analyze = |args: &[&str]| {
        let unit = place.path("music-insights.service");
        Command::new("systemd-analyze").args(args).arg(unit).output()
    };
    let Ok(verified) = analyze(&["verify", "--man=no"]) else {
        println!("skipped: systemd-analyze is missing");
        return;
    };
    assert!(verified.status.success() && verified.stderr.is_empty(), "{}", stderr(&verified));
    let output = analyze(&["security", "--offline=true", "--no-pager", "--threshold=15"]).unwrap();
    assert!(output.status.success(), "{}", stdout(&output));
}
