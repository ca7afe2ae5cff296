//! Recognises logs that were rolled: compressed into another file, after which the plain file goes away.
//!
//! A compressed file belongs to a plain input if its text begins with everything that was read of the input,
//! and if the plain file goes away soon. All bytes are compared: the hash of the head finds the inputs, and the
//! hashes of all blocks and of the tail are equal only if every byte is the same. The state of an earlier
//! version has no hash of the blocks; then only the head, the tail and the length are compared.
//!
//! Until the decision, the rows of the compressed file do not count. Tools write the compressed file first and
//! remove the plain file seconds later, so the decision takes up to [`ROLL_WAIT`].

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ingest::source::compression::Compression;
use crate::ingest::source::content_hash::ContentHash;
use crate::ingest::source::fingerprint::{FileStat, HEAD};
use crate::ingest::source::log_folder::LogFolder;
use crate::ingest::source::packed;
use crate::ingest::source::scan::Candidate;
use crate::ingest::source::tail::ReadContent;
use crate::ingest::source::watch::tail_id::TailId;
use crate::ingest::source::watch::tail_set::TailSet;

/// How long the plain file may still exist after its compressed form is complete.
pub const ROLL_WAIT: Duration = Duration::from_secs(10);
/// How long an incomplete compressed file must be unchanged before it counts as damaged.
const DAMAGED_AFTER: Duration = Duration::from_secs(2);
/// Bytes per read of a compressed file.
const BUFFER: usize = 128 << 10;

/// Compressed files that wait for a decision.
#[derive(Debug)]
pub(super) struct Rolled {
    waiting: BTreeMap<PathBuf, Waiting>,
    /// Compressed files without the name of a log that belong to no input.
    ignored: HashMap<PathBuf, FileStat>,
    wait: Duration,
}

/// A compressed file that waits for a decision.
#[derive(Debug)]
struct Waiting {
    folder: Arc<LogFolder>,
    file: Candidate,
    stat: FileStat,
    /// When this size and these times were seen for the first time.
    unchanged_since: Instant,
    /// `None` while the file cannot be decompressed to its end.
    text: Option<RolledText>,
}

/// The text of a complete compressed file, compared with the plain inputs.
#[derive(Debug)]
struct RolledText {
    complete_since: Instant,
    bytes: u64,
    /// The inputs with which the text begins, the longest first, and how much of each had been read.
    inputs: Vec<(TailId, ReadContent)>,
}

/// A compressed file after its decision.
#[derive(Debug)]
pub(super) struct Decided {
    /// The folder.
    pub(super) folder: Arc<LogFolder>,
    /// The file.
    pub(super) file: Candidate,
    /// The decision.
    pub(super) decision: Decision,
}

/// What a compressed file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// The input, rolled. Reading continues in the compressed file, whose text has this number of bytes.
    Continues(TailId, u64),
    /// The input, rolled. More was read of it than the compressed file contains, so no row is left.
    Contained(TailId),
    /// A file of its own. If it has the text of an input, that input.
    New(Option<TailId>),
}

impl Rolled {
    /// No compressed files. The plain file of a rolled log may exist for `wait` after its compressed form is
    /// complete.
    pub(super) fn new(wait: Duration) -> Self {
        Self { waiting: BTreeMap::new(), ignored: HashMap::new(), wait }
    }

    /// Considers a compressed file that belongs to no tail. Returns whether the file waits for a decision.
    ///
    /// # Errors
    /// An error of the file system.
    pub(super) fn consider(
        &mut self,
        folder: &Arc<LogFolder>,
        file: &Candidate,
        tails: &TailSet,
    ) -> io::Result<bool> {
        let (path, stat) = (file.path.as_path(), FileStat::of(&file.metadata));
        if self.ignored.get(path) == Some(&stat) {
            return Ok(true);
        }
        if let Some(waiting) = self.waiting.get(path)
            && waiting.stat == stat
            && waiting.text.is_some()
        {
            return Ok(true);
        }
        let format = Compression::of(path);
        if matches!(format, Compression::Plain | Compression::Parquet) || !tails.has_heads() {
            self.waiting.remove(path);
            return Ok(false);
        }
        let text = match read_head(format, path)? {
            Some(head) => match tails.find_heads(&head) {
                inputs if inputs.is_empty() => {
                    self.waiting.remove(path);
                    return Ok(false);
                }
                inputs => compare(format, path, tails, inputs)?,
            },
            None => None,
        };
        if text.as_ref().is_some_and(|text| text.inputs.is_empty()) {
            self.waiting.remove(path);
            return Ok(false);
        }
        let since = self.waiting.get(path).filter(|waiting| waiting.stat == stat);
        let unchanged_since = since.map_or_else(Instant::now, |waiting| waiting.unchanged_since);
        let (folder, file) = (Arc::clone(folder), file.clone());
        let waiting = Waiting { folder, file, stat, unchanged_since, text };
        self.waiting.insert(waiting.file.path.clone(), waiting);
        Ok(true)
    }

    /// Never considers a file again until it changes.
    pub(super) fn ignore(&mut self, file: &Candidate) {
        self.ignored.insert(file.path.clone(), FileStat::of(&file.metadata));
    }

    /// The latest time of the next decision.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of = |waiting: &Waiting| match &waiting.text {
            Some(text) => text.complete_since + self.wait,
            None => waiting.unchanged_since + DAMAGED_AFTER,
        };
        self.waiting.values().map(of).min()
    }

    /// Whether a scan of the folder may lead to a decision at once.
    pub(super) fn may_decide(&self, tails: &TailSet) -> bool {
        let longest = self.waiting.values().filter_map(|waiting| waiting.text.as_ref()?.inputs.first());
        longest.into_iter().any(|&(id, _)| tails.is_gone(id))
    }

    /// Makes all decisions that can be made after a scan of the whole folder. With `now_or_never`, decides
    /// about all files.
    pub(super) fn decide(&mut self, tails: &TailSet, now_or_never: bool) -> Vec<Decided> {
        let mut decided = Vec::new();
        let mut taken: Vec<TailId> = Vec::new();
        self.waiting.retain(|path, waiting| {
            let now = waiting.folder.metadata(&waiting.file.name);
            let unchanged = now.is_ok_and(|now| FileStat::of(&now) == waiting.stat);
            if !unchanged {
                // The next scan considers the file again, if it still exists.
                return waiting.text.is_none() && path.exists();
            }
            let decision = match &mut waiting.text {
                None if now_or_never || waiting.unchanged_since.elapsed() >= DAMAGED_AFTER => {
                    Some(Decision::New(None))
                }
                None => None,
                Some(text) => {
                    let in_time = !now_or_never && text.complete_since.elapsed() < self.wait;
                    text.inputs.retain(|(id, _)| !taken.contains(id));
                    text.decide(path, tails, in_time)
                }
            };
            let Some(decision) = decision else { return true };
            if let Decision::Continues(id, _) | Decision::Contained(id) = decision {
                taken.push(id);
            }
            let (folder, file) = (Arc::clone(&waiting.folder), waiting.file.clone());
            decided.push(Decided { folder, file, decision });
            false
        });
        decided
    }
}

impl RolledText {
    /// Decides about the file at `path`. `None` if the plain file of the longest input still exists, but may go
    /// away in time.
    fn decide(&mut self, path: &Path, tails: &TailSet, in_time: bool) -> Option<Decision> {
        let format = Compression::of(path);
        loop {
            let gone = |(id, _): &&(TailId, ReadContent)| tails.is_gone(*id);
            let (id, compared) = match self.inputs.first() {
                Some(longest) if in_time && !tails.is_gone(longest.0) => return None,
                Some(_) => match self.inputs.iter().find(gone) {
                    Some(&gone) => gone,
                    None => return Some(Decision::New(self.same_text(tails))),
                },
                None => return Some(Decision::New(None)),
            };
            let now = tails[id].read_content();
            // The plain log may have grown since the comparison.
            match now {
                Some(now) if now == compared => return Some(Decision::Continues(id, self.bytes)),
                Some(now) if now.offset > self.bytes => return Some(Decision::Contained(id)),
                Some(_) => match compare(format, path, tails, vec![id]) {
                    Ok(Some(text)) if !text.inputs.is_empty() => {
                        return Some(Decision::Continues(id, self.bytes));
                    }
                    // The file is tried again after the next scan.
                    Err(_) if in_time => return None,
                    _ => {}
                },
                None => {}
            }
            self.inputs.retain(|(other, _)| *other != id);
        }
    }

    /// The input with exactly this text.
    fn same_text(&self, tails: &TailSet) -> Option<TailId> {
        let mut inputs = self.inputs.iter().map(|&(id, _)| id);
        inputs.find(|&id| tails[id].offset() == self.bytes)
    }
}

/// Reads the beginning of the text. `None` if it cannot be decompressed, or if nothing is written yet.
fn read_head(format: Compression, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    if path.metadata()?.len() == 0 {
        return Ok(None);
    }
    let read = format.open_compressed(path)?.take(HEAD as u64).read_to_end(&mut head);
    Ok(read.is_ok().then_some(head))
}

/// Compares a text with everything that was read of some inputs. `None` if the text cannot be decompressed to
/// its end, or is implausibly long.
fn compare(
    format: Compression,
    path: &Path,
    tails: &TailSet,
    inputs: Vec<TailId>,
) -> io::Result<Option<RolledText>> {
    let read = |id: TailId| Some((id, tails[id].read_content()?));
    let mut inputs: Vec<(TailId, ReadContent)> = inputs.into_iter().filter_map(read).collect();
    inputs.sort_by_key(|(id, content)| (content.offset, *id));
    let limit = packed::limit(path.metadata()?.len());
    let mut reader = format.open_compressed(path)?.take(limit + 1);
    let mut hash = ContentHash::new();
    let mut equal = Vec::new();
    let mut next = inputs.into_iter().peekable();
    let mut buffer = vec![0; BUFFER];
    loop {
        while let Some((id, content)) = next.next_if(|(_, content)| content.offset == hash.end()) {
            let blocks = hash.at(content.offset);
            let same_blocks = content.blocks.is_none() || content.blocks == blocks;
            if same_blocks && hash.tail() == content.tail {
                equal.push((id, content));
            }
        }
        // The hash stops at every offset with which it is compared.
        let left = next.peek().map_or(u64::MAX, |(_, content)| content.offset - hash.end());
        let len = left.min(BUFFER as u64) as usize;
        match reader.read(&mut buffer[..len]) {
            Ok(0) => break,
            Ok(len) => hash.update(&buffer[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(None),
        }
    }
    if hash.end() > limit {
        return Ok(None);
    }
    equal.reverse();
    Ok(Some(RolledText { complete_since: Instant::now(), bytes: hash.end(), inputs: equal }))
}
