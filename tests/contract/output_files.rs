//! Reads and compares output folders.

use std::path::Path;

use crate::files::{Files, files_under};

/// The output files of a run, without the manifest, the indexes of periods and the lock file.
pub(crate) fn output_files(folder: &Path) -> Files {
    let mut files = files_under(folder);
    files.retain(|name, _| !["_manifest.json", ".lock"].contains(&name.as_str()));
    files.retain(|name, _| !name.ends_with("/_index.json"));
    files
}

/// Describes the first difference. `None` if there is no difference.
pub(crate) fn difference(expected: &Files, found: &Files) -> Option<String> {
    let names = expected.keys().chain(found.keys());
    names.into_iter().find(|name| expected.get(*name) != found.get(*name)).map(|name| {
        let text = |files: &Files| match files.get(name) {
            Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            None => "no such file\n".to_owned(),
        };
        format!("{name}\n--- expected\n{}--- found\n{}---", text(expected), text(found))
    })
}
