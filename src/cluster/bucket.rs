//! A bucket as a disk, so that the output of a cluster can be in a bucket.
//!
//! A new file is written to a temporary file of this machine, and becomes an object when it is synced. To
//! rename an object, the store copies it. Objects appear whole or not at all, so there is nothing else to
//! make durable. An object cannot grow; only `watch` needs that, and it does not run on a cluster.

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use music_insights_ballista::error::{ClusterError, ErrorKind};
use music_insights_ballista::lease::Lease;
use music_insights_ballista::shared_storage::{self, child};
use tokio::runtime::Runtime;
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use crate::cluster::inputs::url_of;
use crate::model::error::Error;
use crate::storage::{Disk, DiskFile, FileIdentity, FileStat, FolderLock, SharedDisk};
use crate::text::shown;

/// The name of the object that locks an output folder.
const LOCK: &str = ".lock";

/// The disk of paths such as `s3://bucket/folder/file`.
#[derive(Debug)]
pub(super) struct BucketDisk(Arc<Requests>);

/// Runs requests to stores. The caller waits for the result.
#[derive(Debug)]
struct Requests(Option<Runtime>);

impl Requests {
    /// Runs a request and waits for its result. The caller may be a thread of another runtime.
    fn wait<T: Send>(&self, request: impl Future<Output = T> + Send) -> T {
        let runtime = self.0.as_ref().expect("the runtime lives as long as the disk").handle();
        std::thread::scope(|scope| {
            let request = scope.spawn(move || runtime.block_on(request)).join();
            request.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        // A runtime must not be dropped where blocking is not allowed.
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

impl BucketDisk {
    /// A disk for all buckets that the credentials of this process give access to.
    ///
    /// # Errors
    /// If the system has no room for a thread.
    pub(super) fn open() -> Result<SharedDisk, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|cause| Error::Bug(format!("cannot start the runtime: {cause}")))?;
        Ok(Arc::new(Self(Arc::new(Requests(Some(runtime))))))
    }
}

fn url(path: &Path) -> io::Result<Url> {
    url_of(path).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))
}

fn io_error(error: ClusterError) -> io::Error {
    let kind = if error.kind == ErrorKind::Missing { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    io::Error::new(kind, error)
}

fn identity_of(version: &str) -> FileIdentity {
    (0, xxh3_64(version.as_bytes()))
}

impl Disk for BucketDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = tempfile::NamedTempFile::new()?;
        Ok(Box::new(NewObject { requests: Arc::clone(&self.0), url: url(path)?, file, len: 0 }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let url = url(path)?;
        let found = self.0.wait(shared_storage::stat(&url)).map_err(io_error)?;
        let (len, version) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(OldObject { requests: Arc::clone(&self.0), url, len, version }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.wait(shared_storage::rename(&url(from)?, &url(to)?)).map_err(io_error)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.wait(shared_storage::remove(&url(path)?)).map_err(io_error)
    }

    fn create_folder(&self, _: &Path) -> io::Result<()> {
        // A bucket has no folders.
        Ok(())
    }

    fn remove_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        // The empty child adds a slash, so the URL means a folder.
        let url = child(&url(folder)?, "");
        let (files, folders) = self
            .0
            .wait(async {
                let files = shared_storage::list(&url).await?;
                Ok::<_, ClusterError>((files, shared_storage::list_folders(&url).await?))
            })
            .map_err(io_error)?;
        let name = |url: &Url| url.path_segments().and_then(Iterator::last).map(OsString::from);
        let files = files.iter().filter_map(|file| name(&file.url));
        Ok(files.chain(folders.into_iter().map(OsString::from)).collect())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        let found = self.0.wait(shared_storage::stat(&url(path)?)).map_err(io_error)?;
        let (len, version) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(FileStat { len, identity: identity_of(&version) })
    }

    fn lock(&self, folder: &Path) -> Result<Box<dyn FolderLock>, Error> {
        let url = child(&url_of(folder)?, LOCK);
        let owner = format!("process {}", std::process::id());
        match self.0.wait(Lease::take(&url, &owner))? {
            Ok(lease) => Ok(Box::new(BucketLock { requests: Arc::clone(&self.0), url, lease: Some(lease) })),
            Err(owner) => {
                let message = format!(
                    "{} is in use by another music-insights ({owner}); wait for its end, or choose a different folder",
                    shown(folder)
                );
                Err(Error::Busy(message))
            }
        }
    }
}

/// A file that becomes an object when it is synced.
#[derive(Debug)]
struct NewObject {
    requests: Arc<Requests>,
    url: Url,
    file: tempfile::NamedTempFile,
    len: u64,
}

impl DiskFile for NewObject {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.file.as_file_mut();
        file.seek(SeekFrom::Start(self.len))?;
        file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.as_file().read_at(bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(self.url.as_str()))
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.len = len;
        self.file.as_file().set_len(len)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.requests.wait(shared_storage::upload(self.file.path(), &self.url)).map(drop).map_err(io_error)
    }
}

/// An object that is only read.
#[derive(Debug)]
struct OldObject {
    requests: Arc<Requests>,
    url: Url,
    len: u64,
    version: String,
}

impl DiskFile for OldObject {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "an object cannot grow"))
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let end = self.len.min(offset + bytes.len() as u64);
        let range = offset.min(end)..end;
        let read = self.requests.wait(shared_storage::read_range(&self.url, range)).map_err(io_error)?;
        bytes[..read.len()].copy_from_slice(&read);
        Ok(read.len())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn identity(&self) -> io::Result<FileIdentity> {
        Ok(identity_of(&self.version))
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "an object cannot shrink"))
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lock of an output folder in a bucket.
#[derive(Debug)]
struct BucketLock {
    requests: Arc<Requests>,
    url: Url,
    lease: Option<Lease>,
}

impl FolderLock for BucketLock {
    fn is_current(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_held)
    }

    fn renew(&mut self) -> Result<bool, Error> {
        Ok(false)
    }
}

impl Drop for BucketLock {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            // Without the release, the lease expires.
            let _ = self.requests.wait(lease.release(&self.url));
        }
    }
}
