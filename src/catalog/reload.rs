//! Reads the catalog file, and watches it for changes.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::catalog::Catalog;
use crate::catalog::load::{Rows, parse};
use crate::ingest::decode::header::{BYTE_ORDER_MARK, HeaderFault};
use crate::ingest::hints::{Subject, hint, with_hint};
use crate::ingest::source::compression::{self, Compression};
use crate::ingest::source::packed;
use crate::model::Reject;
use crate::model::dialect::CatalogDialect;
use crate::model::dictionary::Dictionaries;
use crate::model::error::Error;
use crate::telemetry::metrics::Metrics;
use crate::text::shown;

/// A catalog, and the rejects of its file.
#[derive(Debug)]
pub struct CatalogVersion {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// Rejects for rows that are not valid songs.
    pub rejects: Vec<Reject>,
    /// The time at which the file was read.
    pub read_at: SystemTime,
}

/// The time between two checks of the file. A check needs one system call. Polling works on every file
/// system.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the file must be unchanged before it is read.
const SETTLE_TIME: Duration = Duration::from_millis(200);

/// Reads the catalog file and builds the catalog.
///
/// # Errors
/// If the file is missing (exit code 66), or is broken: it is unreadable or lacks a column (65).
pub async fn load(
    path: &Path,
    dialect: &CatalogDialect,
    dictionaries: &Dictionaries,
) -> Result<CatalogVersion, Error> {
    Ok(build(read(path, dialect).await?, dictionaries))
}

/// Reads the rows of the catalog file without interning their songs.
///
/// # Errors
/// The same as for [`load`].
pub async fn read(path: &Path, dialect: &CatalogDialect) -> Result<Rows, Error> {
    let unreadable = |cause: std::io::Error| match cause.kind() {
        ErrorKind::NotFound | ErrorKind::Unsupported => compression::unreadable(path, cause),
        _ => Error::Damaged(format!("cannot read {}: {cause}", shown(path))),
    };
    // Reading from a pipe or a device might never end.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(Error::MissingInput(format!("{} is not a regular file", shown(path))));
    }
    let storage = Compression::of(path);
    if !matches!(storage, Compression::Plain | Compression::Parquet) {
        let check = packed::check(storage, path, dialect.columns.wanted()).map_err(unreadable)?;
        check.map_err(|fault| broken(path, &fault.detail))?;
    }
    let mut text = Vec::new();
    // The text of a compressed catalog is decoded later, with the encoding that the dialect declares.
    let reader = match storage {
        Compression::Parquet => storage.open(path, dialect.columns.wanted()),
        _ => storage.open_compressed(path),
    };
    reader.and_then(|mut reader| reader.read_to_end(&mut text)).map_err(unreadable)?;
    rows_of(path, &text, dialect).await
}

fn broken(path: &Path, detail: &str) -> Error {
    Error::Damaged(format!("{}:1: {detail}", shown(path)))
}

/// Parses the text of the catalog file at `path`, and warns about rejects and repeated songs.
///
/// # Errors
/// If a column is missing (exit code 65).
pub async fn rows_of(path: &Path, file: &[u8], dialect: &CatalogDialect) -> Result<Rows, Error> {
    let dialect = dialect.of_file(path);
    let name = shown(path);
    let hinted =
        |fault: &HeaderFault| with_hint(Subject::Catalog, fault, first_line(file), dialect.delimiter);
    let rows = parse(file, &dialect).await.map_err(|fault| broken(path, &hinted(&fault)))?;
    for reject in rows.rejects.iter().take(3) {
        let hint = hint(Subject::Catalog, reject).map(|hint| format!("; {hint}")).unwrap_or_default();
        tracing::warn!("{name}:{}: rejected: {}{hint}", reject.line, reject.reason.code());
    }
    if let Some((earlier, later)) = rows.replaced.first() {
        let count = rows.replaced.len();
        tracing::warn!(
            "{name}:{later}: same song as in line {earlier}; the later line counts (repeated rows: {count})"
        );
    }
    Ok(rows)
}

/// The first line of a file that is not blank, without a byte order mark.
fn first_line(file: &[u8]) -> &[u8] {
    let text = file.strip_prefix(BYTE_ORDER_MARK).unwrap_or(file);
    let mut lines = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    lines.find(|line| !line.is_empty()).unwrap_or_default()
}

/// Builds the catalog from rows, and interns their songs.
pub fn build(rows: Rows, dictionaries: &Dictionaries) -> CatalogVersion {
    CatalogVersion {
        catalog: Arc::new(rows.catalog(dictionaries)),
        rejects: rows.rejects,
        read_at: SystemTime::now(),
    }
}

/// The attributes of a file that change when the file changes.
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

/// Watches the catalog file until the receiver is dropped, and sends a new catalog after each change. If
/// the file is broken or missing, or has lost all its songs, the last catalog stays in use, and this function
/// logs a warning. With `allow_empty`, a catalog without songs is used.
pub async fn watch_catalog(
    path: PathBuf,
    dialect: CatalogDialect,
    dictionaries: Arc<Dictionaries>,
    versions: watch::Sender<Arc<CatalogVersion>>,
    metrics: Arc<Metrics>,
    allow_empty: bool,
) {
    let count = |result: &str| {
        metrics.catalog_reloads.with_label_values(&[result]).inc();
        metrics.catalog_broken.set(i64::from(result == "broken"));
    };
    // The first catalog was read before this function started, and the file may have changed since then.
    let mut read = None;
    let mut seen = stamp(&path);
    let mut since = Instant::now();
    while !versions.is_closed() {
        sleep(POLL_INTERVAL).await;
        let now = stamp(&path);
        if now != seen {
            if now.is_none() {
                tracing::warn!(
                    "{}: the catalog file is missing; the last catalog stays in use",
                    shown(&path)
                );
            }
            (seen, since) = (now, Instant::now());
        }
        if now.is_none() || now == read || since.elapsed() < SETTLE_TIME {
            continue;
        }
        let version = load(&path, &dialect, &dictionaries).await;
        if stamp(&path) != now {
            continue;
        }
        read = now;
        let songs = versions.borrow().catalog.len();
        match version {
            Ok(version) if version.catalog.is_empty() && songs > 0 && !allow_empty => {
                tracing::warn!("{}; the last catalog stays in use", lost_all_songs(&path, songs));
                count("broken");
            }
            Ok(version) if version.catalog.fingerprint() == versions.borrow().catalog.fingerprint() => {
                count("same");
            }
            Ok(version) => {
                tracing::info!("{}: catalog reloaded, {} songs", shown(&path), version.catalog.len());
                versions.send_replace(Arc::new(version));
                count("new");
            }
            Err(error) => {
                tracing::warn!("{error}; the last catalog stays in use");
                count("broken");
            }
        }
    }
}

/// The text about a catalog that has lost all its songs.
pub fn lost_all_songs(path: &Path, before: u64) -> String {
    format!(
        "{}: the catalog has lost all its songs; before, it had {before}; --allow-empty accepts this",
        shown(path)
    )
}
