//! A lease on a folder in a bucket: an object that only one process at a time holds.
//!
//! The holder renews the object every few seconds. A process that finds an object waits: if the object is not renewed
//! in the meantime, its holder is dead, and the process takes the lease over. No clocks are compared. All writes are
//! conditional, so two processes never hold the lease at the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use tokio::task::JoinHandle;
use url::Url;

use crate::error::ClusterError;
use crate::shared_storage::{key_of, store_error, store_for};

/// The interval at which the holder renews the lease.
const RENEWAL: Duration = Duration::from_secs(4);
/// The time without a renewal after which another process takes a lease over.
const EXPIRY: Duration = Duration::from_secs(15);

/// A lease. [`release`](Self::release) ends it. If the value is dropped instead, the lease is no longer
/// renewed, and expires.
#[derive(Debug)]
pub struct Lease {
    is_held: Arc<AtomicBool>,
    renewal: JoinHandle<()>,
}

/// The object of a lease.
#[derive(Clone, Debug)]
struct LeaseObject {
    store: Arc<dyn ObjectStore>,
    key: Key,
    url: Url,
    owner: String,
}

impl Lease {
    /// Takes the lease of an object. If the object exists, waits first whether its holder renews it. Returns
    /// the owner if another process holds the lease. `owner` is a text for people.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub async fn take(url: &Url, owner: &str) -> Result<Result<Self, String>, ClusterError> {
        let object = LeaseObject {
            store: store_for(url)?,
            key: key_of(url)?,
            url: url.clone(),
            owner: owner.to_owned(),
        };
        let mut version = object.put(PutMode::Create).await?;
        if version.is_none() {
            let found = object.current().await?;
            tokio::time::sleep(EXPIRY).await;
            let mode = match (object.current().await?, found) {
                (Some((now, _)), Some((before, _))) if now == before => PutMode::Update(now),
                (Some((_, owner)), _) => return Ok(Err(owner)),
                (None, _) => PutMode::Create,
            };
            version = object.put(mode).await?;
        }
        let Some(version) = version else { return Ok(Err("another process".to_owned())) };
        let is_held = Arc::new(AtomicBool::new(true));
        let renewal = tokio::spawn(object.renew(version, Arc::clone(&is_held)));
        Ok(Ok(Self { is_held, renewal }))
    }

    /// Whether this process still holds the lease.
    pub fn is_held(&self) -> bool {
        self.is_held.load(Ordering::SeqCst)
    }

    /// Releases the lease.
    ///
    /// # Errors
    /// If the store cannot be written. Another process can then take the lease after some seconds.
    pub async fn release(self, url: &Url) -> Result<(), ClusterError> {
        self.renewal.abort();
        if self.is_held() { crate::shared_storage::remove(url).await } else { Ok(()) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

impl LeaseObject {
    /// Writes the object. Returns `None` if the condition does not hold.
    async fn put(&self, mode: PutMode) -> Result<Option<UpdateVersion>, ClusterError> {
        // Each content has its own entity tag, even in a store that derives it from the content.
        let content = format!("{} {:?}\n", self.owner, std::time::SystemTime::now());
        let written = self.store.put_opts(&self.key, content.into(), PutOptions::from(mode)).await;
        match written {
            Ok(written) => Ok(Some(UpdateVersion::from(written))),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(None)
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error("lock", &self.url, error)),
        }
    }

    /// The version and the owner of the object; `None` if it does not exist.
    async fn current(&self) -> Result<Option<(UpdateVersion, String)>, ClusterError> {
        let failed = |error| store_error("lock", &self.url, error);
        let object = match self.store.get(&self.key).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other.map_err(failed)?,
        };
        let version =
            UpdateVersion { e_tag: object.meta.e_tag.clone(), version: object.meta.version.clone() };
        let content = object.bytes().await.map_err(failed)?;
        let content = String::from_utf8_lossy(&content).into_owned();
        let owner = content.split(" SystemTime").next().unwrap_or_default().to_owned();
        Ok(Some((version, owner)))
    }

    /// Renews the lease until another process holds it, or the store fails for too long.
    async fn renew(self, mut version: UpdateVersion, is_held: Arc<AtomicBool>) {
        let mut since = std::time::Instant::now();
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.put(PutMode::Update(version.clone())).await {
                Ok(Some(next)) => (version, since) = (next, std::time::Instant::now()),
                Err(_) if since.elapsed() < EXPIRY / 2 => {}
                Ok(None) | Err(_) => break,
            }
        }
        is_held.store(false, Ordering::SeqCst);
    }
}
