//! The logs that a cluster reads: files that all nodes see at the same path, and objects in buckets.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use music_insights_ballista::places::{self, Listed};
use url::Url;

use crate::cluster::failure_of;
use crate::ingest::source::replay::find_logs;
use crate::ingest::source::scan::{is_log_name, is_unfinished};
use crate::ingest::source::stdin::is_stdin;
use crate::model::error::{Error, FileRole, Op};

use crate::text::path_text;

/// How the names of objects begin.
const S3: &str = "s3://";

/// A log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Its path as given, as text: what stands in `_rejects`.
    pub label: String,
    /// Where all nodes find it.
    pub url: String,
    /// Its length in bytes, as it is stored.
    pub size: u64,
    /// What changes when it does.
    pub stamp: String,
}

/// Whether a path is the address of an object or a folder of objects.
pub fn is_object(path: &Path) -> bool {
    path.as_os_str().as_bytes().starts_with(S3.as_bytes())
}

/// The URL that all nodes know a path by.
///
/// # Errors
/// If there is no current folder to complete it with.
pub fn url_of(path: &Path) -> Result<Url, Error> {
    if is_object(path) {
        let text = path.to_string_lossy();
        return Url::parse(&text).map_err(|cause| Error::Usage(format!("{text}: {cause}")));
    }
    let absolute =
        std::path::absolute(path).map_err(|cause| Error::file(FileRole::Input, Op::Find, path, cause))?;
    places::url_of(&absolute).map_err(|trouble| failure_of(&trouble))
}

/// The logs that the arguments name, in the order of the bytes of their paths as given, each once.
///
/// # Errors
/// The first argument that names nothing, exit code 66; stdin, which no other node could read, 64.
pub async fn find(arguments: &[PathBuf]) -> Result<Vec<Log>, Error> {
    if arguments.iter().any(|argument| is_stdin(argument)) {
        let message = "a cluster cannot read stdin; name a file, a folder or s3://bucket/folder/ that all its nodes see";
        return Err(Error::Usage(message));
    }
    let (objects, paths): (Vec<PathBuf>, Vec<PathBuf>) =
        arguments.iter().cloned().partition(|argument| is_object(argument));
    let mut logs = BTreeMap::new();
    for path in find_logs(&paths)? {
        logs.insert(path.as_os_str().as_bytes().to_vec(), of_file(&path)?);
    }
    for argument in objects {
        for log in of_objects(&argument).await? {
            logs.insert(log.label.clone().into_bytes(), log);
        }
    }
    Ok(logs.into_values().collect())
}

fn of_file(path: &Path) -> Result<Log, Error> {
    let metadata = path.metadata().map_err(|cause| Error::file(FileRole::Input, Op::Read, path, cause))?;
    let stamp = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
    Ok(Log { label: path_text(path), url: url_of(path)?.into(), size: metadata.len(), stamp })
}

/// The objects of an address: one, those directly in a folder, or those that match a pattern there.
async fn of_objects(argument: &Path) -> Result<Vec<Log>, Error> {
    let text = path_text(argument);
    let (folder, name) = text.rsplit_once('/').unwrap_or((&text, ""));
    let is_pattern = name.contains(['*', '?', '[']);
    let listed = if is_pattern { format!("{folder}/") } else { text.clone() };
    let found = places::list(&url_of(Path::new(&listed))?).await;
    let found = found.map_err(|trouble| failure_of(&trouble))?;
    let wrong = |cause: glob::PatternError| Error::Usage(format!("{text}: not a pattern: {cause}"));
    let pattern = is_pattern.then(|| glob::Pattern::new(name)).transpose().map_err(wrong)?;
    let is_one = found.len() == 1 && found[0].url.as_str() == listed;
    let wanted = |found: &Listed| {
        let name = name_of(found);
        let path = Path::new(&name);
        is_one
            || pattern.as_ref().map_or_else(
                || is_log_name(path.as_os_str()),
                |pattern| pattern.matches(&name) && !is_unfinished(path) && !name.starts_with('.'),
            )
    };
    let prefix = if is_pattern { folder } else { text.trim_end_matches('/') };
    let logs: Vec<Log> = found
        .into_iter()
        .filter(wanted)
        .map(|found| Log {
            label: if is_one { text.clone() } else { format!("{prefix}/{}", name_of(&found)) },
            url: found.url.to_string(),
            size: found.size,
            stamp: found.stamp,
        })
        .collect();
    if logs.is_empty() {
        return Err(Error::MissingInput(format!("{text} names no log")));
    }
    Ok(logs)
}

fn name_of(found: &Listed) -> String {
    let name = found.url.path_segments().and_then(Iterator::last).unwrap_or_default().to_owned();
    // What is odd in a name is escaped in a URL.
    url::form_urlencoded::parse(format!("name={}", name.replace('+', "%2B")).as_bytes())
        .next()
        .map_or(name.clone(), |(_, value)| value.into_owned())
}
