//! Reads folders into maps from paths to contents, so that tests can compare them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The contents of files, keyed by their path inside a folder.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// All files below a folder. Empty if the folder does not exist.
pub(crate) fn files_under(folder: &Path) -> Files {
    let mut files = Files::new();
    collect(folder, "", &mut files);
    files
}

fn collect(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), &format!("{name}/"), files);
        } else {
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
}
