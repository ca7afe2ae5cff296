//! Files and objects that all machines of a cluster can access: `file:///srv/…` and `s3://bucket/…`. In this
//! module, an *object* is either of them.
//!
//! Environment variables of each process configure the access to a bucket: `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL` (or `AWS_ENDPOINT`) and `AWS_ALLOW_HTTP`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Handle, Id};
use url::Url;

use crate::error::{ClusterError, ErrorKind};

/// The size of one part of an upload, in bytes.
const PART_BYTES: usize = 8 << 20;
/// The maximum number of parts of an upload that are sent at the same time.
const PARTS_IN_FLIGHT: usize = 2;

/// An object in a listing.
#[derive(Clone, Debug)]
pub struct ObjectInfo {
    /// The URL of the object.
    pub url: Url,
    /// The length of the object in bytes.
    pub size: u64,
    /// The entity tag of the object, or its modification time. It changes when the object is replaced.
    pub version: String,
}

/// The URL of a file or folder in the file system.
///
/// # Errors
/// If the path is relative.
pub fn file_url(path: &Path) -> Result<Url, ClusterError> {
    Url::from_file_path(path).map_err(|()| {
        ClusterError::new(ErrorKind::Address, format!("{}: not an absolute path", path.display()))
    })
}

/// The URL of a file or folder inside a folder.
///
/// # Panics
/// If the URL of the folder has no path, as in `mailto:`.
#[must_use]
pub fn child(folder: &Url, name: &str) -> Url {
    let mut url = folder.clone();
    url.path_segments_mut().expect("file: and s3: have paths").pop_if_empty().push(name);
    url
}

/// The store that contains the object with a URL.
///
/// # Errors
/// If the scheme is neither `file` nor `s3`, or if the environment lacks the settings for the bucket.
pub fn store_for(url: &Url) -> Result<Arc<dyn ObjectStore>, ClusterError> {
    match url.scheme() {
        "file" => Ok(Arc::new(LocalFileSystem::new())),
        "s3" => bucket(url.host_str().unwrap_or_default())
            .map_err(|source| ClusterError::with_source(ErrorKind::Setup, url, source)),
        other => {
            let message = format!("{url}: the scheme must be file or s3, not {other}");
            Err(ClusterError::new(ErrorKind::Address, message))
        }
    }
}

/// Stores by runtime and bucket.
type Stores = HashMap<(Option<Id>, String), Arc<dyn ObjectStore>>;

/// The store of a bucket. Its connections are kept open for later requests from the same runtime; those of another
/// runtime may not be served at the moment.
fn bucket(name: &str) -> object_store::Result<Arc<dyn ObjectStore>> {
    static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);
    let key = (Handle::try_current().ok().map(|runtime| runtime.id()), name.to_owned());
    let mut stores = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(store) = stores.get(&key) {
        return Ok(Arc::clone(store));
    }
    let store: Arc<dyn ObjectStore> = Arc::new(AmazonS3Builder::from_env().with_bucket_name(name).build()?);
    stores.insert(key, Arc::clone(&store));
    Ok(store)
}

pub(crate) fn key_of(url: &Url) -> Result<Key, ClusterError> {
    Key::from_url_path(url.path())
        .map_err(|source| ClusterError::with_source(ErrorKind::Address, url, source))
}

/// Creates an error of a store. `operation` is a verb for the message.
pub(crate) fn store_error(operation: &str, url: &Url, source: object_store::Error) -> ClusterError {
    let context = format!("cannot {operation} {url}");
    match source {
        object_store::Error::NotFound { .. } => {
            ClusterError::with_source(ErrorKind::Missing, context, source)
        }
        object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
            // The text of the store is long, and names neither the machine nor the way out.
            let message = format!(
                "{context}: the store denies access; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of this \
                 process, and the policy of the bucket"
            );
            ClusterError::new(ErrorKind::Denied, message)
        }
        source => match missing_setting(&source.to_string()) {
            Some(missing) => ClusterError::new(ErrorKind::Denied, format!("{context}: {missing}")),
            None => ClusterError::with_source(ErrorKind::Io, context, source),
        },
    }
}

/// The setting of the environment that is missing according to the text of an error.
fn missing_setting(text: &str) -> Option<&'static str> {
    // Without a key, the client of the store asks this address of a cloud for one.
    if text.contains("169.254.169.254") {
        Some("this process has no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    } else if text.contains("builder error") {
        Some("this process may not use a store without TLS; set AWS_ALLOW_HTTP=true")
    } else {
        None
    }
}

/// Creates an error of the file system. `operation` is a verb for the message.
pub(crate) fn file_error(operation: &str, path: &Path, source: io::Error) -> ClusterError {
    let kind = match source.kind() {
        io::ErrorKind::NotFound => ErrorKind::Missing,
        _ => ErrorKind::Io,
    };
    ClusterError::with_source(kind, format!("cannot {operation} {}", path.display()), source)
}

/// Lists the objects directly in a folder. If the URL is that of an object, lists only this object.
///
/// # Errors
/// If the store cannot be read.
pub async fn list(url: &Url) -> Result<Vec<ObjectInfo>, ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    let info = |meta: &ObjectMeta, url: Url| ObjectInfo {
        url,
        size: meta.size,
        version: meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339()),
    };
    let is_folder = url.path().ends_with('/') || url.path().is_empty();
    if !is_folder && let Ok(meta) = store.head(&key).await {
        return Ok(vec![info(&meta, url.clone())]);
    }
    let found =
        store.list_with_delimiter(Some(&key)).await.map_err(|error| store_error("list", url, error))?;
    let name = |meta: &ObjectMeta| meta.location.filename().map(str::to_owned);
    Ok(found.objects.iter().filter_map(|meta| Some(info(meta, child(url, &name(meta)?)))).collect())
}

/// Lists the objects in a folder and in all its subfolders.
///
/// # Errors
/// If the store cannot be read.
pub async fn list_tree(url: &Url) -> Result<Vec<ObjectInfo>, ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    let found: Vec<ObjectMeta> =
        store.list(Some(&key)).try_collect().await.map_err(|error| store_error("list", url, error))?;
    let info = |meta: &ObjectMeta| {
        let parts = meta.location.prefix_match(&key)?;
        Some(ObjectInfo {
            url: parts.fold(url.clone(), |url, part| child(&url, part.as_ref())),
            size: meta.size,
            version: meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339()),
        })
    };
    Ok(found.iter().filter_map(info).collect())
}

/// The names of the folders directly in a folder.
///
/// # Errors
/// If the store cannot be read.
pub async fn list_folders(url: &Url) -> Result<Vec<String>, ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    let found =
        store.list_with_delimiter(Some(&key)).await.map_err(|error| store_error("list", url, error))?;
    Ok(found.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned)).collect())
}

/// The content of an object; `None` if it does not exist.
///
/// # Errors
/// If the store cannot be read.
pub async fn read(url: &Url) -> Result<Option<Vec<u8>>, ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    match store.get(&key).await {
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(store_error("read", url, error)),
        Ok(object) => {
            let bytes = object.bytes().await.map_err(|error| store_error("read", url, error))?;
            Ok(Some(bytes.to_vec()))
        }
    }
}

/// The bytes of an object in a range.
///
/// # Errors
/// If the object does not exist or is shorter than the range, or if the store cannot be read.
pub async fn read_range(url: &Url, range: Range<u64>) -> Result<Vec<u8>, ClusterError> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let (store, key) = (store_for(url)?, key_of(url)?);
    let bytes = store.get_range(&key, range).await.map_err(|error| store_error("read", url, error))?;
    Ok(bytes.to_vec())
}

/// The length and a version of an object; `None` if it does not exist. The version changes with the content.
///
/// # Errors
/// If the store cannot be read.
pub async fn stat(url: &Url) -> Result<Option<(u64, String)>, ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    match store.head(&key).await {
        Ok(meta) => Ok(Some((meta.size, meta.e_tag.unwrap_or_else(|| meta.last_modified.to_rfc3339())))),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(store_error("read", url, error)),
    }
}

/// Gives an object another name in the same store. The store copies it, so no bytes come to this process.
///
/// # Errors
/// If the object does not exist, or the store cannot be written.
pub async fn rename(from: &Url, to: &Url) -> Result<(), ClusterError> {
    let store = store_for(from)?;
    store.copy(&key_of(from)?, &key_of(to)?).await.map_err(|error| store_error("copy", from, error))?;
    remove(from).await
}

/// Writes an object atomically.
///
/// # Errors
/// If the store cannot be written.
pub async fn write(url: &Url, bytes: Vec<u8>) -> Result<(), ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    let written = store.put(&key, PutPayload::from(bytes)).await;
    written.map(drop).map_err(|error| store_error("write", url, error))
}

/// Copies a file to an object atomically. Returns its length in bytes.
///
/// # Errors
/// If the file cannot be read, or the store cannot be written.
pub async fn upload(file: &Path, url: &Url) -> Result<u64, ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    let unreadable =
        |error| ClusterError::with_source(ErrorKind::Io, format!("cannot read {}", file.display()), error);
    let unwritable = |error| store_error("write", url, error);
    let mut reader = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let size = reader.metadata().await.map_err(unreadable)?.len();
    let upload = store.put_multipart(&key).await.map_err(unwritable)?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let mut buffer = vec![0; PART_BYTES];
    loop {
        match reader.read(&mut buffer).await.map_err(unreadable)? {
            0 => break,
            read => upload.write(&buffer[..read]),
        }
        upload.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(unwritable)?;
    }
    upload.finish().await.map_err(unwritable)?;
    Ok(size)
}

/// An object that is being written. It appears under its URL when it is complete.
#[derive(Debug)]
pub struct NewFile {
    file: std::fs::File,
    temporary: tempfile::TempPath,
    url: Url,
}

impl NewFile {
    /// Starts an object. A new file is first written under a temporary name in its own folder, and an object
    /// of a bucket in `work_dir`.
    ///
    /// # Errors
    /// If the file cannot be created.
    pub fn create(url: &Url, work_dir: &Path) -> Result<Self, ClusterError> {
        let path = url.to_file_path().ok();
        let folder = path.as_deref().and_then(Path::parent).unwrap_or(work_dir);
        let unwritable = |error| file_error("write to", folder, error);
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let created = tempfile::Builder::new().prefix(".new-").tempfile_in(folder).map_err(unwritable)?;
        let (file, temporary) = created.into_parts();
        Ok(Self { file, temporary, url: url.clone() })
    }

    /// Completes the object.
    ///
    /// # Errors
    /// If the file or the store cannot be written.
    pub async fn store(self) -> Result<(), ClusterError> {
        match self.url.to_file_path() {
            Ok(path) => {
                self.temporary.persist(&path).map_err(|error| file_error("write", &path, error.error))
            }
            Err(()) => upload(&self.temporary, &self.url).await.map(drop),
        }
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes an object. A missing object is not an error.
///
/// # Errors
/// If the store cannot be written.
pub async fn remove(url: &Url) -> Result<(), ClusterError> {
    let (store, key) = (store_for(url)?, key_of(url)?);
    match store.delete(&key).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(store_error("remove", url, error)),
    }
}

/// Removes a folder of the file system with all its files, such as files of an interrupted upload. In a bucket, this
/// function does nothing, because a bucket has no folders.
pub fn remove_folder(url: &Url) {
    if let Ok(path) = url.to_file_path() {
        // A remaining folder does no harm.
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Removes a folder with all its files. A missing folder is not an error.
///
/// # Errors
/// If the store cannot be read or written.
pub async fn remove_tree(url: &Url) -> Result<(), ClusterError> {
    if url.scheme() == "file" {
        remove_folder(url);
        return Ok(());
    }
    for object in list_tree(url).await? {
        remove(&object.url).await?;
    }
    Ok(())
}

/// A local file with the content of an object: the object itself if it is a file, otherwise a temporary copy.
#[derive(Debug)]
pub struct LocalFile {
    path: PathBuf,
    copy: Option<tempfile::TempPath>,
}

impl LocalFile {
    /// The path of the local file.
    pub fn path(&self) -> &Path {
        self.copy.as_deref().unwrap_or(&self.path)
    }
}

/// Fetches an object. A temporary copy is created in `work_dir`; its name ends with the name of the object.
///
/// # Errors
/// If the object cannot be read, or the copy cannot be written.
pub async fn fetch(url: &Url, work_dir: &Path) -> Result<LocalFile, ClusterError> {
    if let Ok(path) = url.to_file_path() {
        return match path.symlink_metadata() {
            Ok(_) => Ok(LocalFile { path, copy: None }),
            Err(error) => Err(file_error("read", &path, error)),
        };
    }
    let (store, key) = (store_for(url)?, key_of(url)?);
    let unreadable = |error| store_error("read", url, error);
    let unwritable = |error: io::Error| {
        ClusterError::with_source(ErrorKind::Io, format!("cannot write to {}", work_dir.display()), error)
    };
    let suffix = format!("-{}", key.filename().unwrap_or_default());
    let mut copy =
        tempfile::Builder::new().prefix(".log-").suffix(&suffix).tempfile_in(work_dir).map_err(unwritable)?;
    let object = store.get(&key).await.map_err(unreadable)?;
    match object.payload {
        GetResultPayload::Stream(mut stream) => {
            while let Some(bytes) = stream.try_next().await.map_err(unreadable)? {
                copy.write_all(&bytes).map_err(unwritable)?;
            }
        }
        GetResultPayload::File(mut file, _) => {
            io::copy(&mut file, &mut copy).map_err(unwritable)?;
        }
    }
    copy.flush().map_err(unwritable)?;
    Ok(LocalFile { path: PathBuf::new(), copy: Some(copy.into_temp_path()) })
}
