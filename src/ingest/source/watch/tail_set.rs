//! All tails of a watched folder, with indices by file, name, input and content.
//!
//! Only the code in this file changes a tail or an index, so that tails and indices always agree.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fs::Metadata;
use std::io;
use std::ops::Index;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ingest::source::fingerprint::{FileId, Head, InodeKey};
use crate::ingest::source::log_folder::LogFolder;
use crate::ingest::source::scan::Candidate;
use crate::ingest::source::tail::Tail;
use crate::ingest::source::watch::heads::Heads;
use crate::ingest::source::watch::tail_id::TailId;
use crate::model::InputId;
use crate::text::shown;

/// All tails of a watched folder.
#[derive(Debug, Default)]
pub(super) struct TailSet {
    tails: Vec<Tail>,
    /// The tail that follows a file.
    by_file: HashMap<InodeKey, TailId>,
    /// For each inode number, the number of keys in `by_file` that contain it. These keys can belong to
    /// several devices.
    inodes: HashMap<u64, usize>,
    /// The tail of a name relative to the folder. Retired tails have no name there.
    by_name: HashMap<PathBuf, TailId>,
    by_input: HashMap<InputId, TailId>,
    /// For each content, the first tail with this content. A second tail with the same content reveals a
    /// file that was delivered twice.
    by_content: HashMap<(u64, u128, u128), TailId>,
    /// The heads of plain logs, to recognise compressed logs.
    heads: Heads,
    /// Tails with an incomplete last line.
    incomplete: BTreeSet<TailId>,
    /// Open tails, sorted by the time of opening.
    open: VecDeque<TailId>,
    /// Open tails without a name of their own. The name is gone, or belongs to a different file.
    orphans: BTreeSet<TailId>,
}

impl Index<TailId> for TailSet {
    type Output = Tail;

    fn index(&self, id: TailId) -> &Tail {
        &self.tails[id.0]
    }
}

impl TailSet {
    /// Adds a tail. If a different tail had the same file or name, the new tail takes it over.
    pub(super) fn insert(&mut self, tail: Tail) -> TailId {
        let id = TailId(self.tails.len());
        self.by_input.insert(tail.input().id, id);
        let (key, content) = (tail.id().inode_key, tail.content_key());
        self.heads.change(id, None, head_of(&tail));
        self.tails.push(tail);
        self.index_file(key, id);
        self.index_name(id);
        // An earlier process has already warned of tails with the same content.
        if let Some(content) = content {
            self.by_content.entry(content).or_insert(id);
        }
        id
    }

    /// Finds the tail of a name.
    pub(super) fn find_name(&self, name: &Path) -> Option<TailId> {
        self.by_name.get(name).copied()
    }

    /// Finds the tail of an input.
    pub(super) fn find_input(&self, input: InputId) -> Option<TailId> {
        self.by_input.get(&input).copied()
    }

    /// Finds the tail that follows a file. A file with one link is one file, whatever its path. If a file has
    /// several links, and its name differs from that of the tail, the name of the tail must be gone or belong
    /// to a different file. Otherwise, a hard link would be mistaken for a rename.
    pub(super) fn find_file(&self, file: &Candidate) -> Option<TailId> {
        let found = FileId::of(&file.metadata);
        let &id = self.by_file.get(&found.inode_key)?;
        let tail = &self[id];
        let is_one = file.metadata.nlink() == 1 || file.is_link;
        let has_name = || tail.name() == file.name && tail.path() == file.path;
        let is_same = is_one || has_name() || !tail.has_its_path();
        (is_same && found.may_be_same(tail.id())).then_some(id)
    }

    /// Whether a tail follows the file with this metadata.
    pub(super) fn has_file(&self, metadata: &Metadata) -> bool {
        self.by_file.contains_key(&FileId::of(metadata).inode_key)
    }

    /// Whether a tail follows a file with this inode, on any device.
    pub(super) fn has_inode(&self, inode: u64) -> bool {
        self.inodes.contains_key(&inode)
    }

    /// Whether the file of a tail still belongs to this tail. Otherwise, a different tail reads the rows
    /// of the file.
    pub(super) fn owns_its_file(&self, id: TailId) -> bool {
        self.by_file.get(&self[id].id().inode_key) == Some(&id)
    }

    /// Changes a tail, and then updates the indices that depend on its state. The change must not affect
    /// the name.
    pub(super) fn update<R>(&mut self, id: TailId, change: impl FnOnce(&mut Tail) -> R) -> R {
        let tail = &mut self.tails[id.0];
        let (key, content, was_open) = (tail.id().inode_key, tail.content_key(), tail.is_open());
        let head = head_of(tail);
        let result = change(tail);
        self.heads.change(id, head, head_of(tail));
        let (new_key, new_content, is_open) = (tail.id().inode_key, tail.content_key(), tail.is_open());
        if new_key != key {
            self.forget_key(key, id);
            self.index_file(new_key, id);
        }
        if new_content != content {
            self.index_content(content, new_content, id);
        }
        if is_open && !was_open {
            self.open.push_back(id);
        } else if was_open && !is_open {
            self.open.retain(|&other| other != id);
            self.orphans.remove(&id);
        }
        result
    }

    /// Whether there is a plain log with rows.
    pub(super) fn has_heads(&self) -> bool {
        !self.heads.is_empty()
    }

    /// The plain logs with rows whose heads are the beginning of a text.
    pub(super) fn find_heads(&self, text: &[u8]) -> Vec<TailId> {
        self.heads.find(text)
    }

    /// Whether the file of a plain log is gone, truncated or replaced, as far as this can be told without a
    /// scan of the folder.
    pub(super) fn is_gone(&self, id: TailId) -> bool {
        let tail = &self[id];
        match tail.metadata() {
            // The content before the truncation has a tail of its own.
            _ if !self.owns_its_file(id) => true,
            Ok(metadata) if FileId::of(&metadata).may_be_same(tail.id()) => metadata.len() < tail.offset(),
            // An archived file may have been copied to a different device.
            Ok(_) => !tail.is_retired(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Continues a rolled plain log in its compressed file.
    pub(super) fn continue_compressed(
        &mut self,
        id: TailId,
        folder: &Arc<LogFolder>,
        name: &Path,
        metadata: &Metadata,
    ) {
        self.set_incomplete(id, false);
        self.rename(id, folder, name);
        self.update(id, |tail| tail.continue_compressed(metadata));
    }

    /// Closes a tail.
    pub(super) fn close(&mut self, id: TailId) {
        self.update(id, Tail::close);
    }

    /// Gives a tail the name of its renamed file.
    pub(super) fn rename(&mut self, id: TailId, folder: &Arc<LogFolder>, name: &Path) {
        if !folder.is_archive && self.by_name.get(name) == Some(&id) {
            return;
        }
        self.forget_name(id);
        self.orphans.remove(&id);
        self.tails[id.0].rename(Arc::clone(folder), name.to_owned());
        self.index_name(id);
    }

    /// Closes a tail after its file was moved to `name` in the folder of archived logs, or deleted.
    pub(super) fn retire(&mut self, id: TailId, archive: &Arc<LogFolder>, name: &Path) {
        self.close(id);
        self.rename(id, archive, name);
    }

    /// Closes a tail and no longer recognizes its file, which has this name now.
    pub(super) fn forget_file(&mut self, id: TailId, name: &Path) {
        self.close(id);
        if self[id].name() == name {
            self.forget_name(id);
        }
        self.forget_key(self[id].id().inode_key, id);
    }

    /// Records whether the last line of a tail is incomplete.
    pub(super) fn set_incomplete(&mut self, id: TailId, incomplete: bool) {
        if incomplete {
            self.incomplete.insert(id);
        } else {
            self.incomplete.remove(&id);
        }
    }

    /// Records that the path of a tail is gone. While the file is open, the rest of it can still be
    /// read.
    pub(super) fn orphan(&mut self, id: TailId) {
        if self[id].is_open() {
            self.orphans.insert(id);
        }
    }

    /// Tails with an incomplete last line.
    pub(super) fn incomplete(&self) -> &BTreeSet<TailId> {
        &self.incomplete
    }

    /// Orphans: open tails without a path of their own. The path is gone, or belongs to a different
    /// file.
    pub(super) fn orphans(&self) -> &BTreeSet<TailId> {
        &self.orphans
    }

    /// Removes and returns all orphans. They stay open.
    pub(super) fn take_orphans(&mut self) -> BTreeSet<TailId> {
        std::mem::take(&mut self.orphans)
    }

    /// Open tails, sorted by the time of opening.
    pub(super) fn open(&self) -> &VecDeque<TailId> {
        &self.open
    }

    fn index_file(&mut self, key: InodeKey, id: TailId) {
        if self.by_file.insert(key, id).is_none() {
            *self.inodes.entry(key.inode()).or_default() += 1;
        }
    }

    fn forget_key(&mut self, key: InodeKey, id: TailId) {
        if self.by_file.get(&key) != Some(&id) {
            return;
        }
        self.by_file.remove(&key);
        if let Entry::Occupied(mut keys) = self.inodes.entry(key.inode()) {
            *keys.get_mut() -= 1;
            if *keys.get() == 0 {
                keys.remove();
            }
        }
    }

    /// Indexes the name of a tail. If a different tail had this name, that tail becomes an orphan.
    fn index_name(&mut self, id: TailId) {
        if self[id].is_retired() {
            return;
        }
        let name = self[id].name().to_owned();
        if let Some(other) = self.by_name.insert(name, id) {
            self.incomplete.remove(&other);
            self.orphan(other);
        }
    }

    fn forget_name(&mut self, id: TailId) {
        let name = self.tails[id.0].name();
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
        }
    }

    /// Updates the index after the content of a tail changed. Warns if a different tail has the same
    /// content.
    fn index_content(
        &mut self,
        before: Option<(u64, u128, u128)>,
        content: Option<(u64, u128, u128)>,
        id: TailId,
    ) {
        if let Some(before) = before
            && self.by_content.get(&before) == Some(&id)
        {
            self.by_content.remove(&before);
        }
        let Some(content) = content else { return };
        let first = *self.by_content.entry(content).or_insert(id);
        if first != id {
            let [this, other] = [id, first].map(|id| shown(self[id].name()));
            tracing::warn!("{this}: has the same content as {other}; its rows are counted again");
        }
    }
}

/// The head of a plain log with rows.
fn head_of(tail: &Tail) -> Option<Head> {
    tail.read_content().map(|_| tail.head())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;
    use crate::ingest::source::EventSender;
    use crate::ingest::source::tail::LastLines;
    use crate::model::Input;
    use crate::model::dialect::Dialect;
    use crate::model::shutdown::Shutdown;

    const HEADER: &str = "user_id,song_id,timestamp,duration_sec\n";
    const ROW: &str = "u1,s1,2025-03-21 01:09:00,150\n";

    struct Folder {
        place: tempfile::TempDir,
        logs: Arc<LogFolder>,
        archive: Arc<LogFolder>,
        tails: TailSet,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let logs = |path, is_archive| Arc::new(LogFolder { path, is_archive, follow_symlinks: false });
            let (path, archive) = (folder.path().to_owned(), folder.path().join("archive"));
            Self {
                place: folder,
                logs: logs(path, false),
                archive: logs(archive, true),
                tails: TailSet::default(),
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.place.path().join(name)
        }

        fn metadata(&self, name: &str) -> Metadata {
            self.path(name).metadata().unwrap()
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        fn follow(&mut self, name: &str) -> TailId {
            let number = self.tails.tails.len() as u32;
            let input = Arc::new(Input { id: InputId(number), label: name.to_owned() });
            let (folder, metadata) = (Arc::clone(&self.logs), self.metadata(name));
            let id = self.tails.insert(Tail::new(
                input,
                folder,
                name.into(),
                &metadata,
                &Arc::new(Dialect::default()),
            ));
            self.check();
            id
        }

        fn find_file(&self, name: &str) -> Option<TailId> {
            let (path, metadata) = (self.path(name), self.metadata(name));
            self.tails.find_file(&Candidate { name: name.into(), path, metadata, is_link: false })
        }

        fn read(&mut self, id: TailId, name: &str) {
            let (sender, _events) = mpsc::channel(100);
            let last_lines = LastLines { wait: Duration::from_secs(5), once: false };
            let metadata = self.metadata(name);
            let read = |tail: &mut Tail| {
                tail.read(&metadata, last_lines, &EventSender::new(sender), &Shutdown::default())
            };
            self.tails.update(id, read).unwrap();
            self.check();
        }

        /// Checks an index. Every entry must belong to a tail with the property that the index
        /// represents.
        fn check(&self) {
            let tails = &self.tails;
            for (key, &id) in &tails.by_file {
                assert_eq!(tails[id].id().inode_key, *key);
            }
            let mut inodes = HashMap::new();
            tails.by_file.keys().for_each(|key| *inodes.entry(key.inode()).or_default() += 1);
            assert_eq!(tails.inodes, inodes);
            for (name, &id) in &tails.by_name {
                assert_eq!(tails[id].name(), name);
                assert!(!tails[id].is_retired());
            }
            for (&input, &id) in &tails.by_input {
                assert_eq!(tails[id].input().id, input);
            }
            for (&content, &id) in &tails.by_content {
                assert_eq!(tails[id].content_key(), Some(content));
            }
            let open: Vec<TailId> =
                (0..tails.tails.len()).map(TailId).filter(|&id| tails[id].is_open()).collect();
            let mut listed: Vec<TailId> = tails.open.iter().copied().collect();
            listed.sort_unstable();
            assert_eq!(listed, open);
            assert!(tails.orphans.iter().all(|id| open.contains(id)));
        }
    }

    #[test]
    fn a_tail_is_found_by_file_name_and_input() {
        let mut folder = Folder::new();
        folder.write("a.csv", HEADER);
        let id = folder.follow("a.csv");
        let metadata = folder.metadata("a.csv");
        assert_eq!(folder.tails.find_name("a.csv".as_ref()), Some(id));
        assert_eq!(folder.find_file("a.csv"), Some(id));
        assert_eq!(folder.tails.find_input(InputId(0)), Some(id));
        assert!(folder.tails.has_file(&metadata) && folder.tails.owns_its_file(id));
        // A hard link counts as a different file as long as the first name exists.
        fs::hard_link(folder.path("a.csv"), folder.path("b.csv")).unwrap();
        assert_eq!(folder.find_file("b.csv"), None);
        fs::remove_file(folder.path("a.csv")).unwrap();
        assert_eq!(folder.find_file("b.csv"), Some(id));
    }

    #[test]
    fn a_rename_moves_the_name_and_orphans_the_tail_that_had_it() {
        let mut folder = Folder::new();
        folder.write("a.csv", &format!("{HEADER}{ROW}"));
        folder.write("b.csv", &format!("{HEADER}{ROW}{ROW}"));
        let (a, b) = (folder.follow("a.csv"), folder.follow("b.csv"));
        folder.read(a, "a.csv");
        folder.read(b, "b.csv");
        folder.tails.set_incomplete(b, true);
        let logs = Arc::clone(&folder.logs);
        folder.tails.rename(a, &logs, "b.csv".as_ref());
        folder.check();
        assert_eq!(folder.tails.find_name("a.csv".as_ref()), None);
        assert_eq!(folder.tails.find_name("b.csv".as_ref()), Some(a));
        assert!(folder.tails.incomplete().is_empty());
        assert_eq!(folder.tails.take_orphans(), BTreeSet::from([b]));
    }

    #[test]
    fn a_tail_that_switches_files_leaves_no_entry_for_the_old_one() {
        let mut folder = Folder::new();
        let text = format!("{HEADER}{ROW}");
        folder.write("a.csv", &text);
        let id = folder.follow("a.csv");
        folder.read(id, "a.csv");
        let old = folder.metadata("a.csv");
        // The copy is written before the old file is removed, so that it has a different inode.
        folder.write("copy", &text);
        fs::rename(folder.path("copy"), folder.path("a.csv")).unwrap();
        let new = folder.metadata("a.csv");
        folder.tails.update(id, |tail| tail.switch_to(&new));
        folder.check();
        let inode = |metadata| FileId::of(metadata).inode_key.inode();
        assert!(!folder.tails.has_file(&old) && !folder.tails.has_inode(inode(&old)));
        assert!(folder.tails.has_file(&new) && folder.tails.has_inode(inode(&new)));
        assert!(folder.tails.open().is_empty());
    }

    #[test]
    fn a_retired_or_forgotten_tail_has_no_open_file_and_no_name_or_inode() {
        let mut folder = Folder::new();
        folder.write("a.csv", &format!("{HEADER}{ROW}"));
        folder.write("b.csv", &format!("{HEADER}{ROW}{ROW}"));
        let (a, b) = (folder.follow("a.csv"), folder.follow("b.csv"));
        folder.read(a, "a.csv");
        folder.read(b, "b.csv");
        assert_eq!(folder.tails.open(), &[a, b]);
        folder.tails.orphan(a);
        let archive = Arc::clone(&folder.archive);
        folder.tails.retire(a, &archive, "a.csv".as_ref());
        folder.check();
        assert_eq!(folder.tails.find_name("a.csv".as_ref()), None);
        let metadata = folder.metadata("b.csv");
        folder.tails.forget_file(b, "b.csv".as_ref());
        folder.check();
        assert!(!folder.tails.has_file(&metadata));
        assert!(folder.tails.open().is_empty() && folder.tails.orphans().is_empty());
    }

    #[test]
    fn content_is_indexed_for_the_first_tail_and_follows_its_growth() {
        let mut folder = Folder::new();
        let text = format!("{HEADER}{ROW}");
        folder.write("a.csv", &text);
        folder.write("b.csv", &text);
        let (a, b) = (folder.follow("a.csv"), folder.follow("b.csv"));
        folder.read(a, "a.csv");
        folder.read(b, "b.csv");
        assert_eq!(folder.tails.by_content.values().collect::<Vec<_>>(), [&a]);
        folder.write("a.csv", &format!("{text}{ROW}"));
        folder.read(a, "a.csv");
        assert_eq!(folder.tails.by_content.values().collect::<Vec<_>>(), [&a]);
        let metadata = folder.metadata("a.csv");
        folder.tails.update(a, |tail| tail.give_up(&metadata));
        folder.check();
        assert!(folder.tails.by_content.is_empty());
    }
}
