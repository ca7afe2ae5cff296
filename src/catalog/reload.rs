//! The catalog file: read at start, and again whenever it has changed and stands still.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::catalog::Catalog;
use crate::catalog::load::{Rows, parse};
use crate::ingest::source::compression::{self, Compression};
use crate::model::Reject;
use crate::model::delimiter::Delimiter;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;

use crate::telemetry::metrics::Metrics;

/// A catalog and the rows of its file that are no songs.
#[derive(Debug)]
pub struct CatalogVersion {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Bad rows.
    pub rejects: Vec<Reject>,
    /// When the file was read.
    pub read_at: SystemTime,
}

/// How often the file is looked at: one system call, so that a change is seen on any file system.
const LOOK: Duration = Duration::from_millis(50);
/// How long the file must stand still before it is read (spec.md section 2).
const STILL: Duration = Duration::from_millis(200);

/// Reads the catalog once.
///
/// # Errors
/// If it is missing, unreadable or lacks a column: exit code 66.
pub async fn load(
    path: &Path,
    delimiter: Delimiter,
    dictionaries: &Dictionaries,
) -> Result<CatalogVersion, Error> {
    Ok(version(read(path, delimiter).await?, dictionaries))
}

/// Reads the rows of the catalog, which have no numbers yet.
///
/// # Errors
/// As [`load`].
pub async fn read(path: &Path, delimiter: Delimiter) -> Result<Rows, Error> {
    let unreadable = |cause: std::io::Error| compression::unreadable(path, cause);
    // A pipe or a device might never end.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(Error::MissingInput(format!("{} is not a regular file", path.display())));
    }
    let file = match Compression::of(path) {
        storage @ Compression::Parquet => {
            let mut text = Vec::new();
            let read = storage.open(path, delimiter).and_then(|mut reader| reader.read_to_end(&mut text));
            read.map(|_| text)
        }
        _ => std::fs::read(path),
    };
    rows_of(path, &file.map_err(unreadable)?, delimiter).await
}

/// The rows of the text of a catalog, which came from `path`, with warnings of what is odd about them.
///
/// # Errors
/// If it lacks a column: exit code 66.
pub async fn rows_of(path: &Path, file: &[u8], delimiter: Delimiter) -> Result<Rows, Error> {
    let broken = |detail: &str| Error::MissingInput(format!("{}:1: {detail}", path.display()));
    let rows = parse(file, delimiter).await.map_err(|fault| broken(&fault.detail))?;
    let path = path.display();
    for reject in rows.rejects.iter().take(3) {
        tracing::warn!("{path}:{}: rejected: {}", reject.line, reject.reason.code());
    }
    if let Some((earlier, later)) = rows.replaced.first() {
        let count = rows.replaced.len();
        tracing::warn!(
            "{path}:{later}: the song of line {earlier} comes again and replaces it ({count} such rows)"
        );
    }
    Ok(rows)
}

/// Makes rows a catalog, by giving numbers to their songs.
pub fn version(rows: Rows, dictionaries: &Dictionaries) -> CatalogVersion {
    CatalogVersion {
        catalog: Arc::new(rows.catalog(dictionaries)),
        rejects: rows.rejects,
        read_at: SystemTime::now(),
    }
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Follows the file for as long as somebody listens. A file that is broken or gone leaves the
/// catalog as it is, with a warning.
pub async fn follow(
    path: PathBuf,
    delimiter: Delimiter,
    dictionaries: Arc<Dictionaries>,
    versions: watch::Sender<Arc<CatalogVersion>>,
    metrics: Arc<Metrics>,
) {
    let count = |result: &str| {
        metrics.catalog_reloads.with_label_values(&[result]).inc();
        metrics.catalog_broken.set(i64::from(result == "broken"));
    };
    // What is sent first was read before this began, so the file may have changed already.
    let mut read = None;
    let mut seen = stamp(&path);
    let mut since = Instant::now();
    while !versions.is_closed() {
        sleep(LOOK).await;
        let now = stamp(&path);
        if now != seen {
            if now.is_none() {
                tracing::warn!("{}: the catalog is gone; the last one stays in force", path.display());
            }
            (seen, since) = (now, Instant::now());
        }
        if now.is_none() || now == read || since.elapsed() < STILL {
            continue;
        }
        let version = load(&path, delimiter, &dictionaries).await;
        if stamp(&path) != now {
            continue;
        }
        read = now;
        match version {
            Ok(version) if version.catalog.fingerprint() == versions.borrow().catalog.fingerprint() => {
                count("same");
            }
            Ok(version) => {
                tracing::info!("{}: read again, {} songs", path.display(), version.catalog.len());
                versions.send_replace(Arc::new(version));
                count("new");
            }
            Err(failure) => {
                tracing::warn!("{failure}; the last catalog stays in force");
                count("broken");
            }
        }
    }
}
