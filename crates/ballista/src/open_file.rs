//! Opens a file or an object, to read it from any offset.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use object_store::path::Path as Key;
use object_store::{GetOptions, GetRange, ObjectStore as _, ObjectStoreExt as _};
use tokio::runtime::Handle;
use url::Url;

use crate::error::{ClusterError, ErrorKind};
use crate::shared_storage::{file_error, key_of, store_error, store_for};

/// The smallest and the largest number of bytes that are requested at once. Requests for neighbouring bytes grow.
const WINDOW: (u64, u64) = (64 << 10, 8 << 20);

/// A file or an object that can be read from any offset.
pub trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// Opens a file or an object. Requests run on `runtime`. The reading thread waits for them, so it must not be
/// one that runs async tasks.
///
/// # Errors
/// If the object does not exist, or the store cannot be read.
pub fn open(url: &Url, runtime: &Handle) -> Result<Box<dyn ReadSeek>, ClusterError> {
    if let Ok(path) = url.to_file_path() {
        let file = File::open(&path).map_err(|error| file_error("read", &path, error))?;
        return Ok(Box::new(file));
    }
    let key = key_of(url)?;
    let found = runtime.block_on(async {
        store_for(url)?.head(&key).await.map_err(|error| store_error("read", url, error))
    })?;
    let (runtime, url) = (runtime.clone(), url.clone());
    let (size, version) = (found.size, found.e_tag);
    Ok(Box::new(Object {
        runtime,
        url,
        key,
        size,
        version,
        at: 0,
        window: Vec::new(),
        window_at: 0,
        wanted: 0,
    }))
}

/// An object that is open. It keeps the bytes of the last request.
struct Object {
    runtime: Handle,
    url: Url,
    key: Key,
    size: u64,
    /// The entity tag when the object was opened. All requests ask for this version.
    version: Option<String>,
    /// The offset of the next byte.
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    /// The length of the last request.
    wanted: u64,
}

impl Object {
    /// Requests the bytes from the current offset on.
    fn request(&mut self) -> Result<(), ClusterError> {
        let continues = self.at == self.window_at + self.window.len() as u64;
        self.wanted = if continues { (self.wanted * 2).clamp(WINDOW.0, WINDOW.1) } else { WINDOW.0 };
        let range = self.at..self.size.min(self.at + self.wanted);
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            if_match: self.version.clone(),
            ..GetOptions::default()
        };
        let bytes = self.runtime.block_on(async {
            let object = store_for(&self.url)?.get_opts(&self.key, options).await;
            let bytes = match object {
                Ok(object) => object.bytes().await,
                Err(error) => Err(error),
            };
            bytes.map_err(|error| match error {
                object_store::Error::Precondition { .. } => ClusterError::new(
                    ErrorKind::Io,
                    format!("{} was replaced while it was read; run the command again", self.url),
                ),
                error => store_error("read", &self.url, error),
            })
        })?;
        (self.window, self.window_at) = (bytes.to_vec(), self.at);
        Ok(())
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let is_here = (self.window_at..self.window_at + self.window.len() as u64).contains(&self.at);
        if !is_here {
            self.request().map_err(io::Error::other)?;
        }
        let rest = &self.window[(self.at - self.window_at) as usize..];
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Object {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
