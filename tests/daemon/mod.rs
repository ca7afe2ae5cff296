//! Runs the real binary: to its end, or as a daemon in a folder of its own.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

/// Long enough for the slowest machine; nothing waits so long unless it is broken.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const LOG_HEADER: &str = "user_id,song_id,timestamp,duration_sec\n";
pub(crate) const CATALOG_HEADER: &str = "song_id,title,artist,genre,mood\n";

/// A folder with `data/incoming`, a catalog and room for output.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new(catalog: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
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

    /// Writes a file whole: under a hidden name, then renamed.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let hidden = path.with_file_name(format!(".{}.new", path.file_name().unwrap().to_str().unwrap()));
        fs::write(&hidden, text).unwrap();
        fs::rename(&hidden, &path).unwrap();
    }

    /// Lets a file grow.
    pub(crate) fn append(&self, name: &str, text: &str) {
        use std::io::Write;
        let mut file = fs::File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A command in this folder, without settings from the environment.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_music-insights"));
        command.current_dir(self.root()).args(args).stdin(Stdio::null());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSIC_INSIGHTS_")) {
            command.env_remove(name);
        }
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed.
    pub(crate) fn done(&self, args: &[&str]) -> Output {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        output
    }

    /// Starts `watch` with a short flush interval.
    pub(crate) fn watch(&self, more: &[&str]) -> Daemon {
        let often: &[&str] =
            if more.contains(&"--flush-interval") { &[] } else { &["--flush-interval", "20ms"] };
        let args = [&["watch", "--http", "off"], often, more].concat();
        let child = self.command(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Daemon { child: Some(child) }
    }

    pub(crate) fn manifest(&self, output: &str) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path(output).join("_manifest.json")).ok()?).ok()
    }

    /// Waits until `found` gives something.
    pub(crate) fn wait_for<T>(&self, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            if let Some(found) = found() {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "waited too long for {what}: {:?}", self.manifest("output"));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the published epoch holds so many rows.
    pub(crate) fn wait_for_rows(&self, rows: u64) -> Value {
        self.wait_for(&format!("{rows} rows"), || {
            self.manifest("output").filter(|manifest| manifest["totals"]["rows"] == rows)
        })
    }

    /// Waits until a snapshot is this text.
    pub(crate) fn wait_for_text(&self, insight: &str, text: &str) {
        let path = format!("output/{insight}/part-00000.csv");
        self.wait_for(&format!("{insight} to be {text:?}"), || (self.read(&path) == text).then_some(()));
    }

    /// Every file below a folder with what it holds, but for locks.
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

/// A running `watch`; it is killed when the test is over.
pub(crate) struct Daemon {
    child: Option<Child>,
}

impl Daemon {
    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").arg(signal).arg(self.id().to_string()).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it to stop and returns what it said.
    pub(crate) fn stop(mut self) -> Output {
        self.signal("-TERM");
        self.child.take().unwrap().wait_with_output().unwrap()
    }

    /// How it has ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().unwrap().try_wait().unwrap()
    }

    pub(crate) fn kill(mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap()
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

/// One consistent cut: every file that a manifest lists, up to the length that it says; nothing if
/// a hash differs, so that the reader has to try again.
pub(crate) fn read_cut(output: &Path) -> Option<(Value, BTreeMap<String, Vec<u8>>)> {
    let manifest: Value = serde_json::from_slice(&fs::read(output.join("_manifest.json")).ok()?)
        .expect("a manifest is never half written");
    let mut files = BTreeMap::new();
    let insights = manifest["insights"].as_object().unwrap().iter();
    let rejects = ("_rejects".to_owned(), manifest["rejects"].clone());
    for (name, entry) in insights.map(|(name, entry)| (name.clone(), entry.clone())).chain([rejects]) {
        for part in entry["parts"].as_array().unwrap() {
            let path = output.join(&name).join(part["file"].as_str().unwrap());
            let mut bytes = fs::read(path).ok()?;
            bytes.truncate(part["bytes"].as_u64().unwrap() as usize);
            if part["hash"] != format!("xxh3-128:{:032x}", xxh3_128(&bytes)) {
                return None;
            }
            files.insert(format!("{name}/{}", part["file"].as_str().unwrap()), bytes);
        }
    }
    Some((manifest, files))
}
