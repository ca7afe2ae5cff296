//! Finds the logs in a folder.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs::{DirEntry, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use crate::ingest::source::fingerprint::FileId;
use crate::ingest::source::log_names::LogNames;
use crate::text::shown;

/// The rules that say which files in a folder are logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderRules {
    /// The names of logs.
    pub names: LogNames,
    /// Whether subfolders are read, too.
    pub recursive: bool,
    /// Whether a link to a file is read as that file.
    pub follow_symlinks: bool,
}

impl FolderRules {
    /// Whether the rules allow a file with this name, relative to the folder. Its subfolder must be one that
    /// is read.
    pub fn is_log(&self, name: &Path) -> bool {
        let mut folders = name.parent().into_iter().flat_map(Path::components);
        let is_read = |part: Component<'_>| self.recursive && is_read_folder(part.as_os_str());
        folders.all(is_read) && name.file_name().is_some_and(|name| self.names.is_log(name))
    }
}

/// Whether the name of a subfolder allows reading it. A leading `.` or `_` marks folders that are not data.
fn is_read_folder(name: &OsStr) -> bool {
    !matches!(name.as_bytes().first(), Some(b'.' | b'_') | None)
}

/// A file that may be a log.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The name relative to the folder.
    pub name: PathBuf,
    /// The path. It starts with the path of the folder.
    pub path: PathBuf,
    /// The metadata at the time of the scan. For a link, it is the metadata of the linked file.
    pub metadata: Metadata,
    /// Whether the name is a symbolic link to the file.
    pub is_link: bool,
}

/// The result of a scan.
#[derive(Debug, Default)]
pub struct FolderScan {
    /// The logs, sorted by name; links after files.
    pub logs: Vec<Candidate>,
    /// The files that are not logs because of their names.
    pub skipped: SkippedFiles,
    /// The files and subfolders that cannot be read.
    pub unreadable: Vec<(PathBuf, io::Error)>,
}

/// Number of skipped files that a message names.
const NAMED: usize = 10;

/// Files in a folder that are skipped because of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkippedFiles {
    /// Number of files.
    pub count: u64,
    /// The first ten names, relative to the folder.
    pub first: BTreeSet<PathBuf>,
    /// Number of subfolders that are not read, because `input.recursive` is off.
    pub folders: u64,
}

impl SkippedFiles {
    /// Adds a file.
    pub fn add(&mut self, name: &Path) {
        self.count += 1;
        if self.first.len() < NAMED || self.first.last().is_some_and(|last| name < last.as_path()) {
            self.first.insert(name.to_owned());
            if self.first.len() > NAMED {
                self.first.pop_last();
            }
        }
    }

    /// Whether nothing was skipped.
    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.folders == 0
    }
}

/// The skipped files as a part of a message, such as ``2 files are skipped because of their names (see
/// input.names): a.txt, b.log``.
impl Display for SkippedFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural =
            |count: u64| if count == 1 { ("", "is", "its name") } else { ("s", "are", "their names") };
        if self.count > 0 {
            let (s, are, names) = plural(self.count);
            let listed: Vec<String> = self.first.iter().map(|name| shown(name)).collect();
            write!(
                formatter,
                "{} file{s} {are} skipped because of {names} (see input.names): {}",
                self.count,
                listed.join(", ")
            )?;
            match self.count - self.first.len() as u64 {
                0 => {}
                more => write!(formatter, " and {more} more")?,
            }
        }
        if self.folders > 0 {
            let (s, are, _) = plural(self.folders);
            let and = if self.count > 0 { "; " } else { "" };
            write!(
                formatter,
                "{and}{} subfolder{s} {are} not read; input.recursive = true reads subfolders",
                self.folders
            )?;
        }
        Ok(())
    }
}

/// Finds the logs in a folder.
///
/// The scanner never opens a pipe, device or folder, even if it has a log name. Opening one could block or
/// lead to a different folder. The same holds for links, unless the rules allow links to files. The scanner
/// remembers these names, so that it logs only one warning for each name.
#[derive(Debug, Default)]
pub struct FolderScanner {
    rules: FolderRules,
    /// Whether messages show paths that start with the folder. Otherwise, they show names in the folder.
    shows_paths: bool,
    warned: BTreeSet<PathBuf>,
}

impl FolderScanner {
    /// A scanner whose messages show the names of files in the folder.
    pub fn new(rules: FolderRules) -> Self {
        Self { rules, shows_paths: false, warned: BTreeSet::new() }
    }

    /// A scanner whose messages show paths that start with the folder.
    pub fn showing_paths(rules: FolderRules) -> Self {
        Self { shows_paths: true, ..Self::new(rules) }
    }

    /// The rules.
    pub fn rules(&self) -> &FolderRules {
        &self.rules
    }

    /// Inspects one name in a folder. `None` if the file does not exist or is not a log. A file that
    /// `known` recognizes is a log under any name, because logs are renamed when they are rotated.
    ///
    /// # Errors
    /// An error of the file system. It is not an error if the file does not exist.
    pub fn inspect(
        &mut self,
        folder: &Path,
        name: &Path,
        known: impl Fn(&Metadata) -> bool,
    ) -> io::Result<Option<Candidate>> {
        let path = folder.join(name);
        let Some(mut metadata) = existing(path.symlink_metadata())? else { return Ok(None) };
        let is_log = self.rules.is_log(name);
        let is_link = metadata.is_symlink() && self.rules.follow_symlinks && is_log;
        if is_link {
            match path.metadata() {
                Ok(target) => metadata = target,
                Err(error) => {
                    return Ok(self.skip(
                        folder,
                        name,
                        &format!("the target of the link cannot be read: {error}"),
                    ));
                }
            }
        }
        if metadata.is_file() {
            let found = is_log || known(&metadata);
            return Ok(found.then(|| Candidate { name: name.to_owned(), path, metadata, is_link }));
        }
        Ok(match (is_log, metadata.is_symlink(), is_link) {
            (false, ..) => None,
            (.., true) => self.skip(folder, name, "it is a link, but not to a regular file"),
            (_, true, _) => {
                let cause = "it is not a regular file, but a link (see input.follow_symlinks)";
                self.skip(folder, name, cause)
            }
            _ if metadata.is_dir() && self.rules.recursive => None,
            _ => self.skip(folder, name, "it is not a regular file"),
        })
    }

    /// Warns once that a name is skipped.
    fn skip<T>(&mut self, folder: &Path, name: &Path, cause: &str) -> Option<T> {
        if self.warned.insert(name.to_owned()) {
            let path = if self.shows_paths { folder.join(name) } else { name.to_owned() };
            tracing::warn!("{}: skipped, because {cause}", shown(&path));
        }
        None
    }

    /// Finds all logs in a folder, and all files with a `known` name or inode. Each file that is neither is
    /// passed to `skipped`, too.
    ///
    /// # Errors
    /// An error of the file system for the folder itself. Errors of files and subfolders are in the result.
    pub fn scan(
        &mut self,
        folder: &Path,
        known: impl Fn(&Path, u64) -> bool,
        mut skipped: impl FnMut(&Path),
    ) -> io::Result<FolderScan> {
        let mut scan = FolderScan::default();
        let mut names = Vec::new();
        let mut subfolders = vec![PathBuf::new()];
        while let Some(subfolder) = subfolders.pop() {
            let is_top = subfolder.as_os_str().is_empty();
            let path = if is_top { folder.to_owned() } else { folder.join(&subfolder) };
            let listed = path.read_dir().and_then(|entries| {
                entries.into_iter().try_for_each(|entry| {
                    let entry = entry?;
                    let name = entry.file_name();
                    // A directory entry contains the kind and the inode, so files that are not logs cost no
                    // system call.
                    let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                    let is_log = self.rules.names.is_log(&name);
                    let full_name: PathBuf = if is_top { (&name).into() } else { subfolder.join(&name) };
                    if is_folder && self.rules.recursive {
                        if is_read_folder(&name) {
                            subfolders.push(full_name);
                        }
                    } else if is_log || known(&full_name, entry.ino()) {
                        names.push(full_name);
                    } else if is_folder {
                        scan.skipped.folders += u64::from(is_read_folder(&name));
                    } else if is_file(&entry) {
                        scan.skipped.add(&full_name);
                        skipped(&full_name);
                    }
                    Ok(())
                })
            });
            match listed {
                Err(error) if is_top => return Err(error),
                // The subfolder has just been removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => scan.unreadable.push((subfolder, error)),
                Ok(()) => {}
            }
        }
        names.sort_unstable();
        for name in names {
            match self.inspect(folder, &name, |metadata| known(&name, metadata.ino())) {
                Ok(log) => scan.logs.extend(log),
                Err(error) => scan.unreadable.push((name, error)),
            }
        }
        drop_repeated_links(&mut scan.logs);
        Ok(scan)
    }
}

/// Moves links behind files, and drops links to files that are in the list anyway.
pub fn drop_repeated_links(logs: &mut Vec<Candidate>) {
    if !logs.iter().any(|log| log.is_link) {
        return;
    }
    logs.sort_by(|one, other| (one.is_link, &one.name).cmp(&(other.is_link, &other.name)));
    let mut files = HashSet::new();
    logs.retain(|log| files.insert(FileId::of(&log.metadata).inode_key) || !log.is_link);
}

fn is_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

/// The metadata of a file; `None` if there is no such file.
fn existing(metadata: io::Result<Metadata>) -> io::Result<Option<Metadata>> {
    match metadata {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_first_ten_skipped_files_are_named() {
        let mut skipped = SkippedFiles::default();
        assert!(skipped.is_empty());
        skipped.add("b\u{1b}.log".as_ref());
        assert_eq!(
            skipped.to_string(),
            r"1 file is skipped because of its name (see input.names): b\x1b.log"
        );
        (10..30).rev().for_each(|number| skipped.add(format!("{number}.log").as_ref()));
        skipped.folders = 2;
        let text = skipped.to_string();
        assert!(text.starts_with("21 files are skipped because of their names (see input.names): 10.log, "));
        assert!(text.ends_with(
            "19.log and 11 more; 2 subfolders are not read; input.recursive = true reads subfolders"
        ));
    }

    #[test]
    fn a_scan_finds_logs_links_and_known_files() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        ["z.csv", "a.csv.1", "other.txt", "sub/b.csv", "sub/_no/c.csv"].into_iter().for_each(put);
        std::os::unix::fs::symlink(folder.path().join("z.csv"), folder.path().join("a.csv")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("other.txt"), folder.path().join("b.csv")).unwrap();
        let find = |recursive, follow_symlinks| {
            let rules = FolderRules { recursive, follow_symlinks, ..FolderRules::default() };
            let mut all_skipped = Vec::new();
            let known = |name: &Path, _| name == Path::new("a.csv.1");
            let scan = FolderScanner::new(rules).scan(folder.path(), known, |name| {
                all_skipped.push(name.to_owned());
            });
            let scan = scan.unwrap();
            assert_eq!(all_skipped, [Path::new("other.txt")]);
            assert_eq!((scan.skipped.count, scan.skipped.folders), (1, u64::from(!recursive)));
            let names = scan.logs.iter().map(|log| log.name.to_str().unwrap().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(find(false, false), ["a.csv.1", "z.csv"]);
        assert_eq!(find(true, false), ["a.csv.1", "sub/b.csv", "z.csv"]);
        // A link to a file that is read anyway is not a second log.
        assert_eq!(find(true, true), ["a.csv.1", "sub/b.csv", "z.csv", "b.csv"]);
    }

    #[test]
    fn names_in_unread_subfolders_are_not_logs() {
        let rules = |recursive| FolderRules { recursive, ..FolderRules::default() };
        let is_log = |recursive, name: &str| rules(recursive).is_log(Path::new(name));
        assert!(is_log(false, "a.csv") && !is_log(false, "b/a.csv"));
        assert!(is_log(true, "b/c=1/a.csv") && !is_log(true, "b/_c/a.csv") && !is_log(true, ".b/a.csv"));
    }
}
