//! The logs of a run: files that have the same path on all machines, and objects in buckets.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use music_insights_ballista::shared_storage::{self, ObjectInfo};
use url::Url;

use crate::ingest::source::replay::{FoundLogs, find_logs, no_log};
use crate::ingest::source::scan::{FolderRules, SkippedFiles};
use crate::ingest::source::stdin::is_stdin;
use crate::model::error::{Error, FileRole, Op};
use crate::text::{path_text, shown};

/// The URL scheme of objects in buckets.
const S3: &str = "s3://";

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The path of the log as the user gave it. The path appears in `_rejects`.
    pub label: String,
    /// The URL of the log, valid on all machines.
    pub url: String,
    /// The stored length of the log in bytes, before decompression.
    pub size: u64,
    /// The modification time or the entity tag of the log. It changes when the log changes.
    pub version: String,
}

/// Whether a path is the URL of an object or of a folder of objects.
pub fn is_object(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(S3.as_bytes())
}

/// The URL of a path, valid on all machines. A relative path is resolved against the current folder.
///
/// # Errors
/// If the URL is invalid, or the current folder is unknown.
pub fn url_of(path: &Path) -> Result<Url, Error> {
    if is_object(path) {
        let text = path.to_string_lossy();
        return Url::parse(&text).map_err(|cause| Error::Usage(format!("{text}: {cause}")));
    }
    let absolute =
        std::path::absolute(path).map_err(|cause| Error::file(FileRole::Input, Op::Find, path, cause))?;
    Ok(shared_storage::file_url(&absolute)?)
}

/// Finds the logs that the arguments name. In a folder, `rules` say which files are logs. Each log occurs once.
/// The logs are sorted by the bytes of their paths as given.
///
/// # Errors
/// If an argument names no log and `allow_empty` is not set (exit code 66), or if an argument is stdin (exit
/// code 64). Other machines cannot read stdin.
pub async fn find(arguments: &[PathBuf], rules: &FolderRules, allow_empty: bool) -> Result<Vec<Log>, Error> {
    if arguments.iter().any(|argument| is_stdin(argument)) {
        let message =
            "a cluster cannot read stdin; name a file, a folder or s3://bucket/folder/ that all machines see";
        return Err(Error::Usage(message.to_owned()));
    }
    let (objects, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        arguments.iter().cloned().partition(|argument| is_object(argument));
    let mut logs = BTreeMap::new();
    let FoundLogs { logs: files, mut skipped } = find_logs(&paths, rules, allow_empty)?;
    for path in files {
        logs.insert(path.as_os_str().as_bytes().to_vec(), file_log(&path)?);
    }
    for argument in objects {
        let mut ignored = SkippedFiles::default();
        let found = object_logs(&argument, rules, &mut ignored).await?;
        if found.is_empty() && !allow_empty {
            return Err(no_log(&argument, &ignored));
        }
        logs.extend(found.into_iter().map(|log| (log.label.clone().into_bytes(), log)));
        if !ignored.is_empty() {
            skipped.push((argument, ignored));
        }
    }
    for (folder, skipped) in skipped {
        tracing::warn!("{}: {skipped}", shown(&folder));
    }
    Ok(logs.into_values().collect())
}

fn file_log(path: &Path) -> Result<Log, Error> {
    let metadata = path.metadata().map_err(|cause| Error::file(FileRole::Input, Op::Read, path, cause))?;
    let version = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    Ok(Log { label: path_text(path), url: url_of(path)?.into(), size: metadata.len(), version })
}

/// The logs of a URL: one object, the logs in a folder, or the objects in a folder that match a pattern. Objects
/// that are not logs because of their names are added to `skipped`.
async fn object_logs(
    argument: &Path,
    rules: &FolderRules,
    skipped: &mut SkippedFiles,
) -> Result<Vec<Log>, Error> {
    let text = path_text(argument);
    let (folder, name) = text.rsplit_once('/').unwrap_or((&text, ""));
    let is_pattern = name.contains(['*', '?', '[']);
    let listed = if is_pattern { format!("{folder}/") } else { text.clone() };
    let folder_url = url_of(Path::new(&listed))?;
    let mut found = shared_storage::list(&folder_url).await?;
    let invalid = |cause: glob::PatternError| Error::Usage(format!("{text}: invalid pattern: {cause}"));
    let pattern = is_pattern.then(|| glob::Pattern::new(name)).transpose().map_err(invalid)?;
    let is_one = found.len() == 1 && found[0].url.as_str() == listed;
    if rules.recursive && !is_pattern && !is_one {
        found = shared_storage::list_tree(&folder_url).await?;
    }
    let mut is_selected = |found: &ObjectInfo| match &pattern {
        _ if is_one => true,
        Some(pattern) => {
            let name = name_in(&folder_url, found);
            pattern.matches(&name) && !name.starts_with('.')
        }
        None => {
            let name = name_in(&folder_url, found);
            let is_log = rules.is_log(Path::new(&name));
            if !is_log {
                skipped.add(Path::new(&name));
            }
            is_log
        }
    };
    let prefix = if is_pattern { folder } else { text.trim_end_matches('/') };
    let logs: Vec<Log> = found
        .into_iter()
        .filter(|found| is_selected(found))
        .map(|found| Log {
            label: if is_one { text.clone() } else { format!("{prefix}/{}", name_in(&folder_url, &found)) },
            url: found.url.to_string(),
            size: found.size,
            version: found.version,
        })
        .collect();
    Ok(logs)
}

/// The name of an object relative to a folder, with the percent escapes of its URL decoded.
fn name_in(folder: &Url, found: &ObjectInfo) -> String {
    let depth = folder.path_segments().map_or(0, |parts| parts.filter(|part| !part.is_empty()).count());
    let parts = found.url.path_segments().into_iter().flatten().filter(|part| !part.is_empty()).skip(depth);
    parts.map(decoded).collect::<Vec<_>>().join("/")
}

/// A part of a URL with its percent escapes decoded.
fn decoded(part: &str) -> String {
    // The decoder is for forms and turns `+` into a space. In a path, `+` means a plus.
    url::form_urlencoded::parse(format!("name={}", part.replace('+', "%2B")).as_bytes())
        .next()
        .map_or(part.to_owned(), |(_, value)| value.into_owned())
}
