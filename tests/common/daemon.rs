//! Runs the real binary in a temporary folder, either until it ends or as a daemon.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest wait before a test fails. It is long enough for the slowest machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const LOG_HEADER: &str = "user_id,song_id,timestamp,duration_sec\n";
pub(crate) const CATALOG_HEADER: &str = "song_id,title,artist,genre,mood\n";
pub(crate) const SONGS: &str = "s1,One,A,Rock,Sad\ns2,Two,B,Pop,Happy\n";

/// A temporary folder with `data/incoming` and a catalog.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(catalog: &str) -> Self {
        Self::below(&std::env::temp_dir(), catalog)
    }

    /// Creates a place below a folder. With `KEEP_PLACES=1`, the place remains after the test.
    pub(crate) fn below(folder: &Path, catalog: &str) -> Self {
        let mut place = Self { folder: tempfile::tempdir_in(folder).unwrap() };
        place.folder.disable_cleanup(std::env::var("KEEP_PLACES").is_ok_and(|value| value == "1"));
        fs::create_dir_all(place.path("data/incoming")).unwrap();
        place.write("data/songs_metadata.csv", &format!("{CATALOG_HEADER}{catalog}"));
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file under a hidden name, then renames the file, so that it appears as a whole.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let hidden = path.with_file_name(format!(".{}.new", path.file_name().unwrap().to_str().unwrap()));
        fs::write(&hidden, text).unwrap();
        fs::rename(&hidden, &path).unwrap();
    }

    /// Appends to a file.
    pub(crate) fn append(&self, name: &str, text: &str) {
        use std::io::Write;
        let mut file = fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Prepares a command that runs in this folder, without settings in its environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_music-insights"));
        command.current_dir(self.root()).args(args).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSIC_INSIGHTS_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command, and waits until it ends.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command. Fails the test if the command fails.
    pub(crate) fn done(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output
    }

    /// Starts `watch` with a short flush interval.
    pub(crate) fn watch(&self, more: &[&str]) -> Daemon {
        let often: &[&str] =
            if more.contains(&"--flush-interval") { &[] } else { &["--flush-interval", "20ms"] };
        Daemon::start(&mut self.command(&[&["watch", "--http", "off"], often, more].concat()))
    }

    /// Starts `watch` with its dashboard, and returns the address.
    pub(crate) fn watch_with_page(&self, http: &str, more: &[&str]) -> (Daemon, String) {
        let often = ["watch", "--http", http, "--flush-interval", "20ms"];
        let mut daemon = Daemon::start(&mut self.command(&[&often, more].concat()));
        let address = daemon.page();
        (daemon, address)
    }

    /// Starts `watch` with faults that strace injects. The paths of the faults are relative to this folder.
    /// Returns `None` if strace is not installed.
    pub(crate) fn watch_with_faults(&self, faults: &[Fault<'_>], more: &[&str]) -> Option<Daemon> {
        if Command::new("strace").arg("-V").output().is_err() {
            println!("skipped: strace is missing");
            return None;
        }
        let watch = self.command(&[]);
        let mut command = Command::new("strace");
        // With `-D`, strace runs as a grandchild, so the started process is `watch` itself.
        command.args(["-D", "-f", "-qq", "-o"]).arg(self.path("trace")).current_dir(self.root());
        let calls: Vec<&str> = faults.iter().map(|fault| fault.calls).collect();
        command.arg(format!("--trace={}", calls.join(",")));
        for Fault { path, calls, how } in faults {
            if !path.is_empty() {
                command.arg("-P").arg(path).arg("-P").arg(self.path(path));
            }
            command.arg(format!("--inject={calls}:{how}"));
        }
        command.arg(watch.get_program()).args(["watch", "--http", "off"]).args(more).stdin(Stdio::null());
        for (name, _) in watch.get_envs() {
            command.env_remove(name);
        }
        Some(Daemon::start(&mut command))
    }

    pub(crate) fn manifest(&self, output: &str) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path(output).join("_manifest.json")).ok()?).ok()
    }

    /// Waits until `found` returns a value.
    pub(crate) fn wait_for<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        let patience = if is_long() { 10 * PATIENCE } else { PATIENCE };
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(began.elapsed() < patience, "waited too long for {what}: {:?}", self.manifest("output"));
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until a daemon ends without a signal from the test, and returns its output.
    pub(crate) fn wait_for_end(&self, mut daemon: Daemon) -> Output {
        self.wait_for("the daemon to end", || daemon.has_ended());
        daemon.child.take().unwrap().wait_with_output().unwrap()
    }

    /// Waits until the published epoch has the given number of rows.
    pub(crate) fn wait_for_rows(&self, rows: u64) -> Value {
        self.wait_for(&format!("{rows} rows"), || {
            self.manifest("output").filter(|manifest| manifest["totals"]["rows"] == rows)
        })
    }

    /// Waits until the file of a snapshot has exactly the given text.
    pub(crate) fn wait_for_text(&self, insight: &str, text: &str) {
        let path = format!("output/{insight}/part-00000.csv");
        self.wait_for(&format!("{insight} to be {text:?}"), || (self.read(&path) == text).then_some(()));
    }

    /// All files below a folder with their contents, without lock files.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, String> {
        let root = self.path(folder);
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap() != ".lock" {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    files.insert(name, fs::read_to_string(&path).unwrap());
                }
            }
        }
        files
    }
}

/// A running `watch`. It is killed at the end of the test.
pub(crate) struct Daemon {
    child: Option<Child>,
}

/// System calls that fail for one path. An empty path stands for all paths.
#[derive(Clone, Copy)]
pub(crate) struct Fault<'a> {
    pub(crate) path: &'a str,
    pub(crate) calls: &'a str,
    pub(crate) how: &'a str,
}

impl Daemon {
    /// Starts a command.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self { child: Some(child) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Sends SIGTERM to the daemon, and returns its output.
    pub(crate) fn stop(mut self) -> Output {
        self.signal("-TERM");
        self.child.take().unwrap().wait_with_output().unwrap()
    }

    /// Waits for the message with the address of the dashboard. Ignores all later messages.
    fn page(&mut self) -> String {
        let mut lines = BufReader::new(self.child.as_mut().unwrap().stderr.take().unwrap()).lines();
        let mut messages = Vec::new();
        loop {
            let Some(Ok(line)) = lines.next() else {
                panic!("no message with the address of the dashboard: {messages:#?}")
            };
            if let Some((_, address)) = line.split_once("dashboard at ") {
                // Keep reading the pipe, because a full pipe would block the daemon.
                thread::spawn(move || lines.for_each(drop));
                return address.trim().trim_end_matches('/').to_owned();
            }
            messages.push(line);
        }
    }

    /// Closes the pipes for the standard output and error of the daemon.
    pub(crate) fn hang_up(&mut self) {
        let child = self.child.as_mut().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
    }

    /// The exit status, if the daemon has ended.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().unwrap().try_wait().unwrap()
    }

    /// Kills the daemon with SIGKILL, and returns its output.
    pub(crate) fn kill(mut self) -> Output {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait_with_output().unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether `LONG_TESTS=1` is set.
pub(crate) fn is_long() -> bool {
    std::env::var("LONG_TESTS").is_ok_and(|value| value == "1")
}

/// A row of a log.
pub(crate) fn play(user: u32, song: u32, minute: u32) -> String {
    format!(
        "u{user},s{song},2025-03-21 {:02}:{:02}:00,{}\n",
        minute / 60 % 24,
        minute % 60,
        30 + minute % 200
    )
}
