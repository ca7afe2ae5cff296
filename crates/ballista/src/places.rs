//! Files and objects that all nodes see: `file:///srv/…` and `s3://bucket/…`.
//!
//! What a bucket needs (keys, region, endpoint) is in the environment of each node, under the names that the
//! AWS tools know: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use url::Url;

use crate::trouble::{ClusterError, ErrorKind};

/// Bytes of a file that are sent at once.
const PIECE: usize = 8 << 20;

/// An object as a listing shows it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Where it is.
    pub url: Url,
    /// Its length in bytes.
    pub size: u64,
    /// What changes when the object is replaced.
    pub stamp: String,
}

/// The URL of a file or folder of this machine.
///
/// # Errors
/// If the path is relative.
pub fn url_of(path: &Path) -> Result<Url, ClusterError> {
    Url::from_file_path(path).map_err(|()| {
        ClusterError::new(ErrorKind::Address, format!("{} is not an absolute path", path.display()))
    })
}

/// The URL of something directly below a folder.
///
/// # Panics
/// If the URL of the folder can have nothing below it, as `mailto:` has not.
#[must_use]
pub fn below(folder: &Url, name: &str) -> Url {
    let mut url = folder.clone();
    url.path_segments_mut().expect("file: and s3: have paths").pop_if_empty().push(name);
    url
}

/// The store that a URL belongs to.
///
/// # Errors
/// If its scheme is unknown or the environment lacks what the store needs.
pub fn store_of(url: &Url) -> Result<Arc<dyn ObjectStore>, ClusterError> {
    match url.scheme() {
        "file" => Ok(Arc::new(LocalFileSystem::new())),
        "s3" => {
            let bucket = url.host_str().unwrap_or_default();
            let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build();
            Ok(Arc::new(
                store.map_err(|cause| ClusterError::new(ErrorKind::Setup, format!("{url}: {cause}")))?,
            ))
        }
        other => Err(ClusterError::new(ErrorKind::Address, format!("{url}: {other} is neither file nor s3"))),
    }
}

fn key_of(url: &Url) -> Result<Key, ClusterError> {
    Key::from_url_path(url.path())
        .map_err(|cause| ClusterError::new(ErrorKind::Address, format!("{url}: {cause}")))
}

fn failed(wanted: &str, url: &Url, cause: &object_store::Error) -> ClusterError {
    let fault = if matches!(cause, object_store::Error::NotFound { .. }) {
        ErrorKind::Missing
    } else {
        ErrorKind::Io
    };
    ClusterError::new(fault, format!("cannot {wanted} {url}: {cause}"))
}

/// The objects directly in a folder, or the one object of that name.
///
/// # Errors
/// What the store says.
pub async fn list(url: &Url) -> Result<Vec<Listed>, ClusterError> {
    let (store, key) = (store_of(url)?, key_of(url)?);
    let listed = |meta: &object_store::ObjectMeta, url: Url| Listed {
        url,
        size: meta.size,
        stamp: meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339()),
    };
    let as_folder = url.path().ends_with('/') || url.path().is_empty();
    if !as_folder && let Ok(meta) = store.head(&key).await {
        return Ok(vec![listed(&meta, url.clone())]);
    }
    let found = store.list_with_delimiter(Some(&key)).await.map_err(|cause| failed("list", url, &cause))?;
    let name = |meta: &object_store::ObjectMeta| meta.location.filename().map(str::to_owned);
    Ok(found.objects.iter().filter_map(|meta| Some(listed(meta, below(url, &name(meta)?)))).collect())
}

/// The names of the folders directly in a folder.
///
/// # Errors
/// What the store says.
pub async fn folders(url: &Url) -> Result<Vec<String>, ClusterError> {
    let (store, key) = (store_of(url)?, key_of(url)?);
    let found = store.list_with_delimiter(Some(&key)).await.map_err(|cause| failed("list", url, &cause))?;
    Ok(found.common_prefixes.iter().filter_map(|prefix| prefix.filename().map(str::to_owned)).collect())
}

/// All bytes of an object; nothing if there is none.
///
/// # Errors
/// What the store says.
pub async fn read(url: &Url) -> Result<Option<Vec<u8>>, ClusterError> {
    let (store, key) = (store_of(url)?, key_of(url)?);
    match store.get(&key).await {
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(cause) => Err(failed("read", url, &cause)),
        Ok(got) => {
            let bytes = got.bytes().await.map_err(|cause| failed("read", url, &cause))?;
            Ok(Some(bytes.to_vec()))
        }
    }
}

/// Makes an object of some bytes, at once or not at all.
///
/// # Errors
/// What the store says.
pub async fn write(url: &Url, bytes: Vec<u8>) -> Result<(), ClusterError> {
    let (store, key) = (store_of(url)?, key_of(url)?);
    let put = store.put(&key, PutPayload::from(bytes)).await;
    put.map(drop).map_err(|cause| failed("write", url, &cause))
}

/// Makes an object of a file, at once or not at all. Returns its length in bytes.
///
/// # Errors
/// What the file system or the store says.
pub async fn send(file: &Path, url: &Url) -> Result<u64, ClusterError> {
    let (store, key) = (store_of(url)?, key_of(url)?);
    let unreadable = |cause: std::io::Error| {
        ClusterError::new(ErrorKind::Io, format!("cannot read {}: {cause}", file.display()))
    };
    let mut reader = tokio::fs::File::open(file).await.map_err(unreadable)?;
    let size = reader.metadata().await.map_err(unreadable)?.len();
    let upload = store.put_multipart(&key).await.map_err(|cause| failed("write", url, &cause))?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
    let mut piece = vec![0; PIECE];
    loop {
        match tokio::io::AsyncReadExt::read(&mut reader, &mut piece).await.map_err(unreadable)? {
            0 => break,
            read => upload.write(&piece[..read]),
        }
        upload.wait_for_capacity(2).await.map_err(|cause| failed("write", url, &cause))?;
    }
    upload.finish().await.map_err(|cause| failed("write", url, &cause))?;
    Ok(size)
}

/// Removes an object; that there is none is no error.
///
/// # Errors
/// What the store says.
pub async fn remove(url: &Url) -> Result<(), ClusterError> {
    let (store, key) = (store_of(url)?, key_of(url)?);
    match store.delete(&key).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(cause) => Err(failed("remove", url, &cause)),
    }
}

/// Removes what is left of a folder, where there are folders: an upload that was cut short leaves something.
pub fn remove_folder(url: &Url) {
    if let Ok(path) = url.to_file_path() {
        // It is in nobody's way.
        let _ = std::fs::remove_dir_all(path);
    }
}

/// A file with what is in an object: the file itself if it is one of this machine, else a copy in `folder`
/// that goes when it is dropped.
#[derive(Debug)]
pub struct Fetched {
    path: PathBuf,
    copy: Option<tempfile::TempPath>,
}

impl Fetched {
    /// Where it is.
    pub fn path(&self) -> &Path {
        self.copy.as_deref().unwrap_or(&self.path)
    }
}

/// Fetches an object, whose name the copy keeps the end of.
///
/// # Errors
/// What the store says, or the file system.
pub async fn fetch(url: &Url, folder: &Path) -> Result<Fetched, ClusterError> {
    if let Ok(path) = url.to_file_path() {
        return match path.symlink_metadata() {
            Ok(_) => Ok(Fetched { path, copy: None }),
            Err(cause) => {
                let fault = if cause.kind() == std::io::ErrorKind::NotFound {
                    ErrorKind::Missing
                } else {
                    ErrorKind::Io
                };
                Err(ClusterError::new(fault, format!("cannot read {}: {cause}", path.display())))
            }
        };
    }
    let (store, key) = (store_of(url)?, key_of(url)?);
    let unwritable = |cause: std::io::Error| {
        ClusterError::new(ErrorKind::Io, format!("cannot write to {}: {cause}", folder.display()))
    };
    let suffix = format!("-{}", key.filename().unwrap_or_default());
    let mut copy =
        tempfile::Builder::new().prefix(".log-").suffix(&suffix).tempfile_in(folder).map_err(unwritable)?;
    let got = store.get(&key).await.map_err(|cause| failed("read", url, &cause))?;
    match got.payload {
        GetResultPayload::Stream(mut stream) => {
            while let Some(bytes) = stream.try_next().await.map_err(|cause| failed("read", url, &cause))? {
                copy.write_all(&bytes).map_err(unwritable)?;
            }
        }
        GetResultPayload::File(mut file, _) => {
            std::io::copy(&mut file, &mut copy).map_err(unwritable)?;
        }
    }
    copy.flush().map_err(unwritable)?;
    Ok(Fetched { path: PathBuf::new(), copy: Some(copy.into_temp_path()) })
}
