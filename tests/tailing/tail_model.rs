//! Compares the tailing of `watch` with a model. After random operations on the files of a folder, `watch`
//! must deliver each line of the model exactly once. The line number and the offset must also be right.
//!
//! Tailing compares hashes of files, but the model compares the whole content. The model also remembers the
//! content of deleted files. After a restart, the model knows only the committed inputs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, File, FileTimes};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use music_insights::ingest::decode::line::LINE_LIMIT;
use music_insights::ingest::source::archive::{Archiver, WhenDone};
use music_insights::ingest::source::compression::Compression;
use music_insights::ingest::source::fingerprint::{FileId, FileStat, Fingerprint, InodeKey};
use music_insights::ingest::source::log_names::LogNames;
use music_insights::ingest::source::scan::FolderRules;
use music_insights::ingest::source::tail::{KnownInput, LastLines};
use music_insights::ingest::source::watch::{Resume, Watch, WatchOptions};
use music_insights::ingest::source::{Bundle, Event, EventSender};
use music_insights::model::shutdown::Shutdown;
use music_insights::model::{Chunk, Content, InputId, Position, ReaderState};
use music_insights::storage::real::RealDisk;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::mpsc;

const HEADER: &str = "user_id,song_id,timestamp,duration_sec\n";
/// Three log names, and two names of rotated files. `watch` reads a file with a rotated name only if it
/// already knows the file.
const NAMES: [&str; 5] = ["a.csv", "b.csv", "c.csv", "a.csv.1", "b.old"];
const LOGS: usize = 3;
const PACKED: [&str; 2] = ["y.csv.gz", "z.csv.gz"];
/// Compressed files that contain a log. The last name is not the name of a log.
const ROLLED: [&str; 5] = ["o.csv.xz", "p.csv.bz2", "q.csv.zst", "r.csv.gz", "a.csv.1.gz"];

/// An operation on the folder. Names are indexes into [`NAMES`] or [`PACKED`].
#[derive(Clone, Debug)]
enum Step {
    /// Append whole lines. If the log is missing or empty, append a header first.
    Append {
        name: usize,
        rows: u8,
    },
    /// Append the first part of a line.
    AppendPart {
        name: usize,
    },
    /// Append the last part of a line.
    AppendEnd {
        name: usize,
    },
    /// Append a line that is longer than the limit, with or without a line feed.
    AppendLong {
        name: usize,
        whole: bool,
    },
    /// Truncate a log. The new length is `sixteenths` / 16 of the old length.
    Cut {
        name: usize,
        sixteenths: u8,
    },
    /// Copy a log to a different name, then truncate the log to length 0.
    CopyTruncate {
        name: usize,
        to: usize,
    },
    /// Rename a file.
    Rename {
        from: usize,
        to: usize,
    },
    /// Replace a log atomically by a new file.
    Replace {
        name: usize,
        with: Successor,
    },
    /// Change one byte of a row in place. The row starts at about `sixteenths` / 16 of the file length.
    Rewrite {
        name: usize,
        sixteenths: u8,
    },
    Delete {
        name: usize,
    },
    /// Append rows, and delete the log immediately afterwards.
    AppendDelete {
        name: usize,
    },
    /// Set the modification time to an earlier time.
    Touch {
        name: usize,
    },
    /// Add a hard link to a file.
    Link {
        from: usize,
        to: usize,
    },
    /// Copy a file to a different name.
    Copy {
        from: usize,
        to: usize,
    },
    /// Create an entry that is not a regular file.
    Odd {
        name: usize,
        kind: u8,
    },
    /// Create a log without a header.
    Headless {
        name: usize,
    },
    /// Write a compressed log. With `again`, its content is the same as before.
    Pack {
        name: usize,
        again: bool,
    },
    /// Rename or delete a compressed log.
    MovePacked {
        name: usize,
        away: bool,
    },
    /// Compress a log into a different file, under its name or one that sorts before or after it.
    Roll {
        name: usize,
        to: usize,
        then: Plain,
    },
    /// Delete a rolled file.
    DeleteRolled {
        name: usize,
    },
    /// Truncate a log and write rows to it, but no header.
    TruncateHeadless {
        name: usize,
        rows: u8,
    },
    /// Truncate a log whose last line is too long and has no end, and make it longer than before.
    RewriteLong {
        name: usize,
    },
    /// Scan the folder.
    Look,
    /// Restart from a commit that lacks the given number of latest events. The folder may be spelled
    /// differently, or be in a different place.
    Restart {
        events: u8,
        place: Spelling,
    },
}

/// What happens to a log after it was compressed.
#[derive(Clone, Copy, Debug)]
enum Plain {
    Stays,
    Grows,
    Deleted,
    Truncated,
    Replaced,
}

/// How the folder is named after a restart.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    Path,
    Dots,
    Link,
    /// The project was copied with its times, and the original is gone.
    Moved,
}

/// The content of the new file, compared with the replaced file.
#[derive(Clone, Copy, Debug)]
enum Successor {
    Other,
    Same,
    SameAndMore,
    Beginning,
}

fn is_log_name(name: &str) -> bool {
    LogNames::default().is_log(name.as_ref())
}

fn step() -> impl Strategy<Value = Step> {
    let (log, name) = (0..LOGS, 0..NAMES.len());
    let with = prop_oneof![
        Just(Successor::Other),
        Just(Successor::Same),
        Just(Successor::SameAndMore),
        Just(Successor::Beginning)
    ];
    let then = prop_oneof![
        Just(Plain::Stays),
        Just(Plain::Grows),
        Just(Plain::Deleted),
        Just(Plain::Truncated),
        Just(Plain::Replaced)
    ];
    prop_oneof![
        12 => Just(Step::Look),
        8 => (name.clone(), 1_u8..4).prop_map(|(name, rows)| Step::Append { name, rows }),
        3 => name.clone().prop_map(|name| Step::AppendPart { name }),
        3 => name.clone().prop_map(|name| Step::AppendEnd { name }),
        1 => (log.clone(), any::<bool>()).prop_map(|(name, whole)| Step::AppendLong { name, whole }),
        2 => (log.clone(), 0_u8..16).prop_map(|(name, sixteenths)| Step::Cut { name, sixteenths }),
        2 => (log.clone(), name.clone()).prop_map(|(name, to)| Step::CopyTruncate { name, to }),
        5 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename { from, to }),
        4 => (log.clone(), with).prop_map(|(name, with)| Step::Replace { name, with }),
        2 => (name.clone(), 0_u8..16).prop_map(|(name, sixteenths)| Step::Rewrite { name, sixteenths }),
        2 => name.clone().prop_map(|name| Step::Delete { name }),
        2 => name.clone().prop_map(|name| Step::AppendDelete { name }),
        1 => name.clone().prop_map(|name| Step::Touch { name }),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Link { from, to }),
        2 => (name.clone(), log.clone()).prop_map(|(from, to)| Step::Copy { from, to }),
        1 => (log.clone(), 0_u8..3).prop_map(|(name, kind)| Step::Odd { name, kind }),
        1 => log.clone().prop_map(|name| Step::Headless { name }),
        4 => (log.clone(), 0..ROLLED.len(), then).prop_map(|(name, to, then)| Step::Roll { name, to, then }),
        1 => (0..ROLLED.len()).prop_map(|name| Step::DeleteRolled { name }),
        2 => (log.clone(), 0_u8..3).prop_map(|(name, rows)| Step::TruncateHeadless { name, rows }),
        1 => log.prop_map(|name| Step::RewriteLong { name }),
        1 => (0..PACKED.len(), any::<bool>()).prop_map(|(name, again)| Step::Pack { name, again }),
        1 => (0..PACKED.len(), any::<bool>()).prop_map(|(name, away)| Step::MovePacked { name, away }),
        3 => (prop_oneof![2 => Just(0_u8), 1 => 0_u8..12], spelling())
            .prop_map(|(events, place)| Step::Restart { events, place }),
    ]
}

fn spelling() -> impl Strategy<Value = Spelling> {
    prop_oneof![
        2 => Just(Spelling::Path),
        1 => Just(Spelling::Dots),
        1 => Just(Spelling::Link),
        2 => Just(Spelling::Moved),
    ]
}

/// A delivered line or fault: the name of the log, the line number, the offset, and the text of the line or
/// the code of the fault.
type Delivery = (String, u64, u64, String);

/// The folder, and the contents of all its files, including deleted files.
struct Folder {
    root: tempfile::TempDir,
    contents: HashMap<FileId, Vec<u8>>,
    /// The size, times and content of each file at the last scan.
    looked: HashMap<PathBuf, (FileStat, Vec<u8>)>,
    rows: u32,
    ticks: u32,
}

fn look_at(path: &Path) -> (FileId, FileStat) {
    let metadata = path.symlink_metadata().unwrap();
    (FileId::of(&metadata), FileStat::of(&metadata))
}

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn is_file(&self, name: &str) -> bool {
        self.path(name).symlink_metadata().is_ok_and(|metadata| metadata.is_file())
    }

    fn begins_with_header(&self, name: &str) -> bool {
        self.is_file(name) && self.content(name).starts_with(HEADER.as_bytes())
    }

    fn content(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    fn row(&mut self) -> String {
        self.rows += 1;
        format!("u{0},s1,2025-03-21 12:00:00,{0}\n", self.rows)
    }

    fn lines(&mut self, rows: u8) -> String {
        (0..rows).map(|_| self.row()).collect()
    }

    /// A line that is too long, without a line feed. All these lines are different, so that the hashes of head
    /// and tail differ.
    fn long_line(&mut self) -> String {
        let part = self.row();
        part.trim_end().repeat(LINE_LIMIT / part.trim_end().len() + 2)
    }

    /// Compresses a log.
    fn roll(&mut self, name: &str, to: &str, then: Plain) {
        self.put(to, &pack(to, &self.content(name)));
        match then {
            Plain::Stays => {}
            Plain::Grows => {
                let lines = self.lines(1);
                self.append(name, &lines);
            }
            Plain::Deleted => self.clear(name),
            Plain::Truncated => {
                File::options().write(true).open(self.path(name)).unwrap().set_len(0).unwrap();
            }
            Plain::Replaced => {
                let lines = self.lines(2);
                self.put(name, format!("{HEADER}{lines}").as_bytes());
            }
        }
    }

    /// Removes the entry with this name.
    fn clear(&self, name: &str) {
        let path = self.path(name);
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir(path).unwrap(),
            Ok(_) => fs::remove_file(path).unwrap(),
            Err(_) => {}
        }
    }

    /// Replaces the entry with this name by a new file.
    fn put(&mut self, name: &str, content: &[u8]) {
        let (draft, path) = (self.path(".draft"), self.path(name));
        loop {
            fs::write(&draft, content).unwrap();
            // Neither tailing nor the model can distinguish files with the same inode and creation time.
            if self.contents.contains_key(&look_at(&draft).0) {
                fs::remove_file(&draft).unwrap();
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            break;
        }
        if path.is_dir() {
            self.clear(name);
        }
        fs::rename(draft, path).unwrap();
    }

    fn append(&mut self, name: &str, text: &str) {
        if !self.is_file(name) {
            self.put(name, b"");
        }
        let mut file = File::options().append(true).open(self.path(name)).unwrap();
        if file.metadata().unwrap().len() == 0 {
            file.write_all(HEADER.as_bytes()).unwrap();
        }
        file.write_all(text.as_bytes()).unwrap();
        drop(file);
        self.note();
    }

    /// Records the contents of all files. Makes sure that every change also changes the size or a time of
    /// the file.
    fn note(&mut self) {
        for (_, path) in self.files() {
            let content = fs::read(&path).unwrap();
            let (id, stamp) = look_at(&path);
            if self.looked.get(&path).is_some_and(|(seen, before)| *seen == stamp && *before != content) {
                self.touch(&path);
            }
            self.contents.insert(id, content);
        }
    }

    fn touch(&mut self, path: &Path) {
        self.ticks += 1;
        let past = SystemTime::now() - Duration::from_hours(1) + Duration::from_millis(self.ticks.into());
        let file = File::options().write(true).open(path).unwrap();
        file.set_times(FileTimes::new().set_modified(past)).unwrap();
    }

    /// All regular files, keyed by name.
    fn files(&self) -> BTreeMap<String, PathBuf> {
        let entries = fs::read_dir(self.root.path()).unwrap().map(Result::unwrap);
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|entry| (entry.file_name().into_string().unwrap(), entry.path())).collect()
    }

    /// A path of the folder. For [`Spelling::Moved`], moves the folder first.
    fn spelled(&mut self, spelling: Spelling, links: &Path) -> PathBuf {
        let root = self.root.path();
        match spelling {
            Spelling::Path => root.to_owned(),
            Spelling::Dots => root.join("..").join(root.file_name().unwrap()).join("."),
            Spelling::Link => {
                let link = links.join("link");
                let _ = fs::remove_file(&link);
                std::os::unix::fs::symlink(root, &link).unwrap();
                link
            }
            Spelling::Moved => {
                let moved = tempfile::tempdir().unwrap();
                let copied =
                    Command::new("cp").arg("-a").arg(root.join(".")).arg(moved.path()).status().unwrap();
                assert!(copied.success());
                self.root = moved;
                self.looked.clear();
                self.note();
                self.root.path().to_owned()
            }
        }
    }

    /// Performs a step. An impossible step does nothing.
    #[expect(clippy::too_many_lines, reason = "one short arm per step is easier to read than many functions")]
    fn take(&mut self, step: &Step) {
        match *step {
            Step::Append { name, rows } => self.when_there(name, |folder, name| {
                let lines = folder.lines(rows);
                folder.append(name, &lines);
            }),
            Step::AppendPart { name } => self.when_there(name, |folder, name| {
                let row = folder.row();
                folder.append(name, row.trim_end());
            }),
            Step::AppendEnd { name } => self.when_there(name, |folder, name| folder.append(name, "\n")),
            Step::AppendLong { name, whole } if self.begins_with_header(NAMES[name]) => {
                let end = if whole { "\n" } else { "" };
                let line = self.long_line();
                self.append(NAMES[name], &format!("{line}{end}"));
            }
            Step::RewriteLong { name } if self.begins_with_header(NAMES[name]) => {
                let len = self.content(NAMES[name]).len();
                // A file that is only a little longer than its header would lose a part of it.
                if len > LINE_LIMIT {
                    let file = File::options().write(true).open(self.path(NAMES[name])).unwrap();
                    file.set_len(len as u64 / 16).unwrap();
                    let more = format!("{}{}{}", self.row(), self.long_line(), self.long_line());
                    self.append(NAMES[name], &more);
                }
            }
            Step::Roll { name, to, then } if self.is_file(NAMES[name]) => {
                self.roll(NAMES[name], ROLLED[to], then);
            }
            Step::DeleteRolled { name } => self.clear(ROLLED[name]),
            Step::TruncateHeadless { name, rows } if self.is_file(NAMES[name]) => {
                let lines = self.lines(rows);
                let mut file =
                    File::options().write(true).truncate(true).open(self.path(NAMES[name])).unwrap();
                file.write_all(lines.as_bytes()).unwrap();
            }
            Step::Cut { name, sixteenths } if self.is_file(NAMES[name]) => {
                let file = File::options().write(true).open(self.path(NAMES[name])).unwrap();
                let len = file.metadata().unwrap().len() * u64::from(sixteenths) / 16;
                // Never keep only a part of the header, because a later append could complete it.
                file.set_len(if len < HEADER.len() as u64 { 0 } else { len }).unwrap();
            }
            Step::CopyTruncate { name, to } if self.is_file(NAMES[name]) && name != to => {
                self.put(NAMES[to], &self.content(NAMES[name]));
                File::options().write(true).open(self.path(NAMES[name])).unwrap().set_len(0).unwrap();
            }
            Step::Rename { from, to } if self.is_file(NAMES[from]) && from != to => {
                self.clear(NAMES[to]);
                fs::rename(self.path(NAMES[from]), self.path(NAMES[to])).unwrap();
            }
            Step::Replace { name, with } if self.is_file(NAMES[name]) => {
                let old = self.content(NAMES[name]);
                let new = self.lines(2);
                let content = match with {
                    Successor::Other => [HEADER.as_bytes(), new.as_bytes()].concat(),
                    Successor::Same => old,
                    Successor::SameAndMore => [&old, new.as_bytes()].concat(),
                    Successor::Beginning => old[..old.len() / 2].to_vec(),
                };
                self.put(NAMES[name], &content);
            }
            Step::Rewrite { name, sixteenths } if self.is_file(NAMES[name]) => {
                let content = self.content(NAMES[name]);
                // The changed byte must lie in the hashed range near the end.
                let from = content.len().saturating_sub(2000).max(HEADER.len());
                let at = from + content.len().saturating_sub(from) * usize::from(sixteenths) / 16;
                if content.get(at).is_some_and(u8::is_ascii_alphanumeric) {
                    let mut file = File::options().write(true).open(self.path(NAMES[name])).unwrap();
                    file.seek(SeekFrom::Start(at as u64)).unwrap();
                    file.write_all(if content[at] == b'7' { b"8" } else { b"7" }).unwrap();
                }
            }
            Step::Delete { name } => self.clear(NAMES[name]),
            Step::AppendDelete { name } if self.is_file(NAMES[name]) => {
                let lines = self.lines(2);
                self.append(NAMES[name], &lines);
                self.clear(NAMES[name]);
            }
            Step::Touch { name } if self.is_file(NAMES[name]) => self.touch(&self.path(NAMES[name])),
            Step::Link { from, to } if self.is_file(NAMES[from]) && from != to => {
                self.clear(NAMES[to]);
                fs::hard_link(self.path(NAMES[from]), self.path(NAMES[to])).unwrap();
            }
            Step::Copy { from, to } if self.is_file(NAMES[from]) && from != to => {
                self.put(NAMES[to], &self.content(NAMES[from]));
            }
            Step::Odd { name, kind } => {
                self.clear(NAMES[name]);
                let path = self.path(NAMES[name]);
                match kind {
                    0 => fs::create_dir(path).unwrap(),
                    1 => std::os::unix::fs::symlink(self.path(NAMES[(name + 1) % LOGS]), path).unwrap(),
                    _ => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
                }
            }
            Step::Headless { name } => {
                let line = self.row();
                self.put(NAMES[name], line.as_bytes());
            }
            Step::Pack { name, again } => {
                let content = if again && self.is_file(PACKED[name]) {
                    self.content(PACKED[name])
                } else {
                    pack(PACKED[name], format!("{HEADER}{}", self.lines(3)).as_bytes())
                };
                self.put(PACKED[name], &content);
            }
            Step::MovePacked { name, away } if self.is_file(PACKED[name]) => {
                if away {
                    self.clear(PACKED[name]);
                } else {
                    fs::rename(self.path(PACKED[name]), self.path(PACKED[1 - name])).unwrap();
                }
            }
            _ => {}
        }
        self.note();
    }

    /// Runs `act` if the file exists or has a log name. Only a rename or a copy creates files with rotated
    /// names.
    fn when_there(&mut self, name: usize, act: impl FnOnce(&mut Self, &str)) {
        if name < LOGS || self.is_file(NAMES[name]) {
            act(self, NAMES[name]);
        }
    }

    fn has_looked(&mut self) {
        let files = self.files().into_values();
        let seen = files.map(|path| {
            let (_, stamp) = look_at(&path);
            let content = fs::read(&path).unwrap();
            (path, (stamp, content))
        });
        self.looked = seen.collect();
    }
}

fn is_packed(name: &str) -> bool {
    !Compression::of(Path::new(name)).is_plain()
}

fn pack(name: &str, text: &[u8]) -> Vec<u8> {
    match Compression::of(Path::new(name)) {
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(text, 1).unwrap(),
        Compression::Bzip2 => {
            let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Xz => {
            let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        other => panic!("{name}: {other:?}"),
    }
}

fn unpack(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let format = Compression::of(Path::new(name));
    format.decode(Cursor::new(bytes.to_vec())).unwrap().read_to_end(&mut text).unwrap();
    text
}

/// The state of a followed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Lines,
    /// After an unfinished last line that was already counted.
    AfterEnd,
    Refused,
    Done,
    Conflict,
}

/// A file that `watch` follows.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the flags are independent of each other")]
struct Followed {
    label: String,
    name: String,
    file: FileId,
    /// The bytes that were read. For a compressed file, these are the decompressed bytes.
    read: Vec<u8>,
    /// The whole decompressed content of a compressed file.
    packed: Vec<u8>,
    line: u64,
    state: State,
    /// The offset up to which the file was scanned. The scan includes an overlong line without an end.
    scanned: usize,
    partial: bool,
    /// The size and times of the file when it was last read to its end.
    seen: Option<FileStat>,
    /// The size and times in the last fingerprint.
    noted: Option<FileStat>,
    open: bool,
    /// Whether an earlier file with the same name had a header.
    earlier: bool,
    /// Whether the first line is a row, under the header of an earlier file.
    headless: bool,
}

/// A compressed file that may contain a log.
struct Waiting {
    file: FileId,
    stamp: FileStat,
    text: Vec<u8>,
    /// The inputs with which the text begins, the longest first, and what was read of each.
    inputs: Vec<(u32, Vec<u8>)>,
}

/// The files of the folder, keyed by name.
type Files<'a> = BTreeMap<&'a str, (FileId, FileStat)>;

/// The model: the followed files and the expected deliveries.
struct Model {
    ends_soon: bool,
    max_open: usize,
    /// The open files, sorted by the time of opening.
    open: Vec<u32>,
    all: BTreeMap<u32, Followed>,
    by_name: HashMap<String, u32>,
    by_number: HashMap<InodeKey, u32>,
    next: u32,
    delivered: Vec<Delivery>,
    /// Whether a compressed file waits for its plain file to go away.
    waits: bool,
    waiting: BTreeMap<String, Waiting>,
    ignored: HashMap<String, FileStat>,
    /// The names of files that had a header.
    headers: HashSet<String>,
}

impl Model {
    fn new(
        [ends_soon, waits]: [bool; 2],
        max_open: usize,
        all: BTreeMap<u32, Followed>,
        headers: HashSet<String>,
    ) -> Self {
        let next = all.keys().last().map_or(0, |last| last + 1);
        let by_name = all.iter().map(|(&input, followed)| (followed.name.clone(), input)).collect();
        let by_number = all.iter().map(|(&input, followed)| (followed.file.inode_key, input)).collect();
        Self {
            ends_soon,
            max_open,
            open: Vec::new(),
            all,
            by_name,
            by_number,
            next,
            delivered: Vec::new(),
            waits,
            waiting: BTreeMap::new(),
            ignored: HashMap::new(),
            headers,
        }
    }

    /// Scans the folder, and returns the expected deliveries.
    fn look(&mut self, folder: &Folder) -> Vec<Delivery> {
        let files = folder.files();
        let files: Files = files.iter().map(|(name, path)| (name.as_str(), look_at(path))).collect();
        let known: HashSet<u64> = self.all.values().map(|followed| followed.file.inode_key.inode()).collect();
        let (packed, plain): (Vec<_>, Vec<_>) = files.iter().partition(|(name, _)| is_packed(name));
        for (&name, &(file, stamp)) in plain.into_iter().chain(packed) {
            let rolled = is_packed(name);
            let is_known = known.contains(&file.inode_key.inode()) || self.by_name.contains_key(name);
            if !is_log_name(name) && !rolled && !is_known {
                continue;
            }
            let content = &folder.contents[&file];
            if let Some(input) = self.input_of(name, (file, stamp), content, &files, folder) {
                let followed = &self.all[&input];
                if followed.is_packed() || followed.partial || followed.seen != Some(stamp) {
                    self.read(input, content, stamp);
                    self.all.get_mut(&input).unwrap().seen = Some(stamp);
                }
            }
            self.update_open();
            while self.open.len() > self.max_open {
                // A file without a name cannot be opened again, so it is closed last.
                let named = self.open.iter().position(|input| self.all[input].has_name(&files));
                let surplus = self.open.remove(named.unwrap_or(0));
                self.all.get_mut(&surplus).unwrap().open = false;
            }
        }
        let open = self.all.iter().filter(|(_, followed)| followed.open);
        for input in open.map(|(&input, _)| input).collect::<Vec<_>>() {
            let file = self.all[&input].file;
            // The followed file has lost its name, but it is still open. Read its rest.
            if !self.all[&input].has_name(&files) && self.by_number.get(&file.inode_key) == Some(&input) {
                let noted = self.all[&input].noted.unwrap();
                self.read(input, &folder.contents[&file], noted);
            }
        }
        self.decide(&files, folder);
        let mut delivered = std::mem::take(&mut self.delivered);
        delivered.sort();
        delivered
    }

    /// Updates the list of open files.
    fn update_open(&mut self) {
        self.open.retain(|input| self.all[input].open);
        let opened = self.all.iter().filter(|(input, followed)| followed.open && !self.open.contains(input));
        let opened: Vec<u32> = opened.map(|(&input, _)| input).collect();
        self.open.extend(opened);
    }

    /// The input that a file belongs to. `None` if `watch` must not read the file.
    fn input_of(
        &mut self,
        name: &str,
        (file, stamp): (FileId, FileStat),
        content: &[u8],
        files: &Files,
        folder: &Folder,
    ) -> Option<u32> {
        let by_number = self.by_number.get(&file.inode_key).copied();
        let by_number = by_number.filter(|input| self.all[input].file == file);
        let by_number =
            by_number.filter(|input| self.all[input].name == name || !self.all[input].has_name(files));
        let by_name = by_number.filter(|input| self.all[input].name == name);
        let by_name = by_name.or(self.by_name.get(name).copied());
        let found = |input: u32| Found::of(&self.all[&input], (file, stamp), content, folder);
        let candidate = match (by_name, by_number) {
            (Some(input), _) if found(input) == Found::Same => Some(input),
            (by_name, by_number) => by_number.or(by_name),
        };
        if let Some(input) = candidate {
            let found = found(input);
            match found {
                Found::Same | Found::Rewritten => self.name(input, name),
                Found::Copy => self.give(input, file),
                Found::Truncated | Found::Another => {}
            }
            let followed = self.all.get_mut(&input).unwrap();
            match found {
                Found::Same => return Some(input),
                Found::Rewritten => {
                    (followed.state, followed.open) = (State::Conflict, false);
                    return None;
                }
                Found::Copy => {
                    if followed.state == State::Conflict {
                        followed.state = State::Lines;
                    }
                    followed.open = false;
                    return Some(input);
                }
                Found::Truncated => {
                    followed.open = false;
                    // `watch` no longer reads a truncated file without a log name.
                    if !is_log_name(name) {
                        self.by_number.remove(&file.inode_key);
                        if followed.name == name && self.by_name.get(name) == Some(&input) {
                            self.by_name.remove(name);
                        }
                    }
                }
                Found::Another => {}
            }
        }
        if is_packed(name) && self.must_wait(name, file, content, files[name].1) {
            return None;
        }
        is_log_name(name).then(|| self.follow(name, file))
    }

    /// Whether a compressed file may contain a log, so that it waits for a decision.
    fn must_wait(&mut self, name: &str, file: FileId, content: &[u8], stamp: FileStat) -> bool {
        let waits = self.waiting.get(name).is_some_and(|known| known.file == file && known.stamp == stamp);
        if waits || self.ignored.get(name) == Some(&stamp) {
            return true;
        }
        let text = unpack(name, content);
        let logs = self.all.iter().filter(|(_, log)| log.may_be_rolled() && text.starts_with(&log.read));
        let mut inputs: Vec<_> = logs.map(|(&input, log)| (input, log.read.clone())).collect();
        inputs.sort_by_key(|(input, read)| (read.len(), *input));
        inputs.reverse();
        self.waiting.remove(name);
        if inputs.is_empty() {
            return false;
        }
        self.waiting.insert(name.to_owned(), Waiting { file, stamp, text, inputs });
        true
    }

    /// Whether the file of a log is gone, truncated or replaced.
    fn is_gone(&self, input: u32, files: &Files) -> bool {
        let log = &self.all[&input];
        if self.by_number.get(&log.file.inode_key) != Some(&input) {
            return true;
        }
        match files.get(log.name.as_str()) {
            Some((file, stamp)) if *file == log.file => stamp.size < log.read.len() as u64,
            _ => true,
        }
    }

    /// Decides about the compressed files.
    fn decide(&mut self, files: &Files, folder: &Folder) {
        let mut taken = HashSet::new();
        for (name, mut waiting) in std::mem::take(&mut self.waiting) {
            if files.get(name.as_str()) != Some(&(waiting.file, waiting.stamp)) {
                continue;
            }
            waiting.inputs.retain(|(input, _)| !taken.contains(input));
            loop {
                let first = waiting.inputs.first().map(|(input, _)| *input);
                if self.waits && first.is_some_and(|first| !self.is_gone(first, files)) {
                    self.waiting.insert(name, waiting);
                    break;
                }
                let gone = waiting.inputs.iter().position(|(input, _)| self.is_gone(*input, files));
                let Some(gone) = gone else {
                    if is_log_name(&name) {
                        let input = self.follow(&name, waiting.file);
                        self.read(input, &folder.contents[&waiting.file], waiting.stamp);
                        self.all.get_mut(&input).unwrap().seen = Some(waiting.stamp);
                    } else {
                        self.ignored.insert(name, waiting.stamp);
                    }
                    break;
                };
                let (input, compared) = waiting.inputs[gone].clone();
                let log = &self.all[&input];
                if log.may_be_rolled() && log.read != compared && log.read.len() > waiting.text.len() {
                    taken.insert(input);
                    if is_log_name(&name) {
                        let input = self.follow(&name, waiting.file);
                        let contained = self.all.get_mut(&input).unwrap();
                        (contained.state, contained.packed) = (State::Done, waiting.text);
                        contained.seen = Some(waiting.stamp);
                    } else {
                        self.ignored.insert(name, waiting.stamp);
                    }
                    break;
                }
                if log.may_be_rolled() && waiting.text.starts_with(&log.read) {
                    taken.insert(input);
                    self.name(input, &name);
                    self.give(input, waiting.file);
                    let log = self.all.get_mut(&input).unwrap();
                    (log.scanned, log.partial, log.open) = (log.read.len(), false, false);
                    self.read(input, &folder.contents[&waiting.file], waiting.stamp);
                    self.all.get_mut(&input).unwrap().seen = Some(waiting.stamp);
                    break;
                }
                waiting.inputs.remove(gone);
            }
        }
    }

    fn follow(&mut self, name: &str, file: FileId) -> u32 {
        let input = self.next;
        self.next += 1;
        self.by_name.insert(name.to_owned(), input);
        self.by_number.insert(file.inode_key, input);
        let followed = Followed {
            label: name.to_owned(),
            name: name.to_owned(),
            file,
            read: Vec::new(),
            packed: Vec::new(),
            line: 1,
            state: State::Start,
            scanned: 0,
            partial: false,
            seen: None,
            noted: None,
            open: false,
            earlier: self.headers.contains(name),
            headless: false,
        };
        self.all.insert(input, followed);
        input
    }

    /// Makes an input continue in a different file.
    fn give(&mut self, input: u32, file: FileId) {
        let followed = self.all.get_mut(&input).unwrap();
        if self.by_number.get(&followed.file.inode_key) == Some(&input) {
            self.by_number.remove(&followed.file.inode_key);
        }
        followed.file = file;
        self.by_number.insert(file.inode_key, input);
    }

    fn name(&mut self, input: u32, name: &str) {
        let followed = self.all.get_mut(&input).unwrap();
        if self.by_name.get(&followed.name) == Some(&input) {
            self.by_name.remove(&followed.name);
        }
        name.clone_into(&mut followed.name);
        self.by_name.insert(name.to_owned(), input);
        if followed.has_layout() {
            self.headers.insert(name.to_owned());
        }
    }

    fn read(&mut self, input: u32, content: &[u8], stamp: FileStat) {
        let followed = self.all.get_mut(&input).unwrap();
        if !matches!(followed.state, State::Start | State::Lines | State::AfterEnd) {
            return;
        }
        followed.noted = Some(stamp);
        let packed = followed.is_packed();
        let content = if packed { unpack(&followed.name, content) } else { content.to_vec() };
        followed.open = !packed;
        if content.len() < followed.scanned {
            // The file was truncated before it lost its name.
            return;
        }
        let ends = packed || followed.partial && self.ends_soon;
        while followed.next(&content, ends, &mut self.delivered) {}
        if followed.has_layout() {
            self.headers.insert(followed.name.clone());
        }
        if packed && followed.state != State::Refused {
            followed.state = State::Done;
        }
        if packed {
            followed.packed.clone_from(&content);
        }
    }
}

/// The relation of a file to a followed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Same,
    Copy,
    Truncated,
    Rewritten,
    Another,
}

impl Found {
    fn of(followed: &Followed, (file, stamp): (FileId, FileStat), content: &[u8], folder: &Folder) -> Self {
        let unpacked;
        let content = if followed.is_packed() {
            unpacked = unpack(&followed.name, content);
            &unpacked
        } else {
            content
        };
        let continues = if followed.is_packed() {
            followed.packed == *content
        } else {
            content.starts_with(&followed.read)
        };
        if file != followed.file {
            // The new file must also contain the unread rest of the old file.
            let from = followed.read.len();
            let still = followed.open.then(|| folder.contents[&followed.file].get(from..)).flatten();
            let rest =
                still.is_none_or(|still| content.get(from..).is_some_and(|new| new.starts_with(still)));
            let refused = followed.state == State::Refused;
            let rows = followed.is_packed() || followed.has_rows() || refused;
            let whole = followed.is_packed() || content.len() >= followed.scanned;
            let moved = followed.noted.is_some_and(|noted| stamp.is_copy_of(&noted));
            let copy = continues && rest && (whole && rows || moved);
            return if copy { Self::Copy } else { Self::Another };
        }
        if followed.state == State::Refused {
            return if continues { Self::Same } else { Self::Another };
        }
        if content.len() < followed.scanned.max(followed.read.len()) {
            return Self::Truncated;
        }
        if continues || followed.state == State::Conflict { Self::Same } else { Self::Rewritten }
    }
}

impl Followed {
    /// Whether the file still has its name.
    fn has_name(&self, files: &Files) -> bool {
        files.get(self.name.as_str()).is_some_and(|(file, _)| *file == self.file)
    }

    fn is_packed(&self) -> bool {
        is_packed(&self.name)
    }

    fn has_rows(&self) -> bool {
        self.line > 2 || self.headless && self.line > 1 || self.state == State::AfterEnd
    }

    /// Whether a header was read, or the header of an earlier file applies.
    fn has_layout(&self) -> bool {
        !matches!(self.state, State::Start | State::Refused)
    }

    /// Whether a compressed file may contain this log.
    fn may_be_rolled(&self) -> bool {
        !self.is_packed() && self.has_rows() && !matches!(self.state, State::Refused | State::Conflict)
    }

    /// Reads the next line or fault. Returns `false` if there is none.
    fn next(&mut self, content: &[u8], ends: bool, delivered: &mut Vec<Delivery>) -> bool {
        let rest = &content[self.read.len()..];
        let feed = rest.iter().position(|&byte| byte == b'\n');
        self.scanned = self.read.len();
        self.partial = false;
        let line = match feed {
            _ if self.state == State::Refused || rest.is_empty() => return false,
            Some(feed) => &rest[..=feed],
            None if ends => rest,
            None => {
                self.partial = true;
                if rest.len() > LINE_LIMIT + 1 || self.state == State::AfterEnd {
                    self.scanned = content.len();
                }
                return false;
            }
        };
        let text = String::from_utf8(line.strip_suffix(b"\n").unwrap_or(line).to_vec()).unwrap();
        let at = (self.label.clone(), self.line, self.read.len() as u64);
        let mut deliver = |text: &str| delivered.push((at.0.clone(), at.1, at.2, text.to_owned()));
        let line = line.to_vec();
        let (before, after) = (self.state, if feed.is_some() { State::Lines } else { State::AfterEnd });
        self.state = after;
        self.read.extend_from_slice(&line);
        self.line += u64::from(feed.is_some());
        self.scanned = self.read.len();
        match before {
            State::Start if text == HEADER.trim_end() => {}
            // A part of a header is no row.
            State::Start if self.earlier && !text.starts_with("user_id") => {
                self.headless = true;
                deliver(&text);
            }
            State::Start => {
                self.state = State::Refused;
                self.read = content.to_vec();
                self.scanned = self.read.len();
                deliver("refused");
            }
            State::AfterEnd if text.is_empty() => {}
            State::AfterEnd => deliver("continued_after_eof"),
            _ if text.len() > LINE_LIMIT => deliver("line_too_long"),
            _ => deliver(&text),
        }
        true
    }
}

/// The data that the coordinator has about an input, for a commit.
#[derive(Clone)]
struct Kept {
    label: String,
    known: KnownInput,
}

type Owner = BTreeMap<u32, Kept>;

/// The change of an input that an event causes.
#[derive(Clone)]
enum Change {
    Seen(KnownInput),
    /// The new position, and the number of rows before it.
    Position(InputId, Position, u64),
}

/// One process: a `Watch`, and a receiver of its events. The receiver replaces the coordinator.
struct Process {
    watch: Watch,
    sender: EventSender,
    bundles: mpsc::Receiver<Bundle>,
}

impl Process {
    fn start(folder: &Path, soon: [bool; 2], max_open: usize, owner: &Owner) -> Self {
        let wait = |now: bool| if now { Duration::ZERO } else { Duration::from_hours(1) };
        let archiver = Archiver {
            disk: RealDisk::without_fsync(),
            when_done: WhenDone::Keep,
            archive_dir: PathBuf::new(),
            after: Duration::ZERO,
        };
        let last_lines = LastLines { wait: wait(soon[0]), once: false };
        let rules = WatchOptions {
            folder: folder.to_owned(),
            rules: FolderRules::default(),
            dialect: Arc::default(),
            last_lines,
            roll_wait: wait(!soon[1]),
            // Only short texts are held back.
            max_held: 100,
            archiver,
            max_open,
            metrics: Arc::default(),
        };
        let inputs = owner.values().map(|kept| kept.known.clone()).collect();
        let resume = Resume { inputs, retirable: channel().1, fresh: false };
        let (sender, bundles) = mpsc::channel(10_000);
        Self { watch: Watch::new(rules, resume).unwrap(), sender: EventSender::new(sender), bundles }
    }

    /// Scans the folder once. Returns the deliveries, and the changes for a commit, both in order.
    fn look(&mut self) -> (Vec<Delivery>, Vec<Change>) {
        self.watch.poll(&self.sender, &Shutdown::default()).unwrap();
        let (mut delivered, mut changes) = (Vec::new(), Vec::new());
        while let Ok(bundle) = self.bundles.try_recv() {
            let [event] = <[Event; 1]>::try_from(bundle).expect("a watch sends every event at once");
            match event {
                Event::Grown(..) | Event::StartedOver => {}
                Event::Identified(input, fingerprint) => {
                    let known = KnownInput {
                        input,
                        fingerprint: *fingerprint,
                        position: Position::default(),
                        layout: None,
                        rows: 0,
                        retried: false,
                        earlier_settings: false,
                    };
                    changes.push(Change::Seen(known));
                }
                Event::Advanced(input, position) => changes.push(Change::Position(input.id, position, 0)),
                Event::Data(chunk) => {
                    assert_eq!(
                        chunk.position.offset, chunk.span.to,
                        "the position is not at the end of its chunk"
                    );
                    let mut position = chunk.position.clone();
                    if matches!(chunk.content, Content::Refused(..)) && position.state != ReaderState::Faulted
                    {
                        position.state = ReaderState::Refused;
                    }
                    changes.push(Change::Position(chunk.input.id, position, 1));
                    deliver(chunk, &mut delivered);
                }
                Event::Failed(error) => panic!("{error}"),
            }
        }
        delivered.sort();
        (delivered, changes)
    }
}

fn deliver(chunk: Chunk, delivered: &mut Vec<Delivery>) {
    let label = chunk.input.label.rsplit('/').next().unwrap().to_owned();
    match chunk.content {
        Content::Lines(_, text) => {
            let (mut line, mut offset) = (chunk.span.first_line, chunk.span.from);
            for bytes in text.as_bytes().split_inclusive(|&byte| byte == b'\n') {
                let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
                let text = if text.len() > LINE_LIMIT {
                    "line_too_long".to_owned()
                } else {
                    String::from_utf8(text.to_vec()).unwrap()
                };
                delivered.push((label.clone(), line, offset, text));
                line += 1;
                offset += bytes.len() as u64;
            }
            assert_eq!(offset, chunk.span.to);
        }
        Content::Fault(reject) => {
            delivered.push((label, reject.line, reject.offset, reject.reason.code().to_owned()));
        }
        Content::Refused(reject, _) => {
            delivered.push((label, reject.line, reject.offset, "refused".to_owned()));
        }
    }
}

fn apply(owner: &mut Owner, change: &Change) {
    match change {
        Change::Seen(known) => {
            let label = known.input.label.rsplit('/').next().unwrap().to_owned();
            let kept = owner.entry(known.input.id.0).or_insert_with(|| Kept { label, known: known.clone() });
            kept.known.fingerprint = known.fingerprint.clone();
        }
        Change::Position(input, position, rows) => {
            let known = &mut owner.get_mut(&input.0).expect("the input was seen before it was read").known;
            let before = std::mem::replace(&mut known.position, position.clone());
            if position.state.layout().is_none() && before.state.layout().is_some() {
                known.layout = before.state.layout().cloned();
            }
            known.rows += rows;
        }
    }
}

/// The followed files of a new process. This process knows only the committed inputs.
fn followed(
    owner: &Owner,
    read: &BTreeMap<u32, Followed>,
    headers: &HashSet<String>,
) -> BTreeMap<u32, Followed> {
    let followed = owner.iter().map(|(&input, kept)| {
        let KnownInput { fingerprint: Fingerprint { name, id, stat, .. }, position, .. } = &kept.known;
        let name = name.to_str().unwrap();
        let known = &read[&input];
        let state = match position.state {
            ReaderState::Start => State::Start,
            ReaderState::Lines(_) => State::Lines,
            ReaderState::AfterEnd(_) => State::AfterEnd,
            ReaderState::Finished => State::Done,
            ReaderState::Refused | ReaderState::Faulted => State::Refused,
        };
        let offset = position.offset as usize;
        let followed = Followed {
            label: kept.label.clone(),
            name: name.to_owned(),
            file: *id,
            read: known.read[..offset].to_vec(),
            line: position.lines + 1,
            state,
            scanned: offset,
            partial: false,
            seen: (position.offset == stat.size).then_some(*stat),
            noted: Some(*stat),
            open: false,
            earlier: headers.contains(name),
            headless: known.headless && offset > 0,
            ..known.clone()
        };
        (input, followed)
    });
    followed.collect()
}

/// The names of the committed inputs that had a header.
fn headers(owner: &Owner) -> HashSet<String> {
    let known = owner.values().filter(|kept| kept.known.layout().is_some());
    let names = known.flat_map(|kept| {
        let path = &kept.known.fingerprint.name;
        [kept.label.clone(), path.to_str().unwrap().to_owned()]
    });
    names.collect()
}

/// One scan of the folder: the inputs before the scan, and the changes that the scan causes. A restart may
/// find a commit after any number of these changes.
struct Moment {
    owner: Owner,
    changes: Vec<Change>,
    read: BTreeMap<u32, Followed>,
}

fn check(soon: [bool; 2], max_open: usize, steps: &[Step]) -> Result<(), TestCaseError> {
    let links = tempfile::tempdir().unwrap();
    let mut folder = Folder {
        root: tempfile::tempdir().unwrap(),
        contents: HashMap::new(),
        looked: HashMap::new(),
        rows: 0,
        ticks: 0,
    };
    let mut owner = Owner::new();
    let mut process = Process::start(folder.root.path(), soon, max_open, &owner);
    let mut model = Model::new(soon, max_open, BTreeMap::new(), HashSet::new());
    let mut play_times: Vec<Moment> = Vec::new();
    for (number, step) in steps.iter().chain([Step::Look, Step::Look].iter()).enumerate() {
        match *step {
            Step::Look => {
                let must = model.look(&folder);
                let (delivered, changes) = process.look();
                prop_assert_eq!(&delivered, &must, "step {}", number);
                let before = owner.clone();
                for change in &changes {
                    apply(&mut owner, change);
                }
                for (input, kept) in &owner {
                    let (known, position) = (&model.all[input], &kept.known.position);
                    prop_assert_eq!(&kept.label, &known.label, "step {}", number);
                    prop_assert_eq!(
                        position.offset,
                        known.read.len() as u64,
                        "step {}: {}",
                        number,
                        kept.label
                    );
                    if !matches!(known.state, State::Refused | State::Done) {
                        prop_assert_eq!(position.lines + 1, known.line, "step {}: {}", number, kept.label);
                    }
                }
                play_times.push(Moment { owner: before, changes, read: model.all.clone() });
                folder.has_looked();
            }
            Step::Restart { events, place } => {
                let mut back = usize::from(events);
                while let Some(last) = play_times.last()
                    && back > last.changes.len()
                    && play_times.len() > 1
                {
                    back -= last.changes.len();
                    play_times.pop();
                }
                if let Some(last) = play_times.pop() {
                    owner = last.owner;
                    let kept = last.changes.len().saturating_sub(back);
                    for change in &last.changes[..kept] {
                        apply(&mut owner, change);
                    }
                    let headers = headers(&owner);
                    let all = followed(&owner, &last.read, &headers);
                    play_times.push(Moment { owner: owner.clone(), changes: Vec::new(), read: last.read });
                    // The old process ends before the next one starts.
                    drop(process);
                    let path = folder.spelled(place, links.path());
                    process = Process::start(&path, soon, max_open, &owner);
                    model = Model::new(soon, max_open, all, headers);
                }
            }
            _ => folder.take(step),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: crate::size::cases(1500),
        max_shrink_iters: 4000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_line_is_read_once_after_any_file_operations(
        soon: [bool; 2], max_open in prop_oneof![3 => Just(256_usize), 1 => 1..3_usize],
        steps in vec(step(), 1..30),
    ) {
        check(soon, max_open, &steps)?;
    }
}
