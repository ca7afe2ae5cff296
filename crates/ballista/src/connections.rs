//! A pool of connections between executors.
//!
//! Without the pool, each fetch of a shuffle partition opens its own connection, and a machine can run out of ports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;

/// How long an idle connection stays open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

type Key = (String, u16, GrpcClientConfig);

/// An idle connection, and the time at which it became idle.
type Idle = (BallistaClient, Instant);

/// Idle connections by address. The most recently used connection comes last.
#[derive(Clone, Default)]
pub(crate) struct ConnectionPool(Arc<Mutex<HashMap<Key, Vec<Idle>>>>);

impl std::fmt::Debug for ConnectionPool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConnectionPool").finish_non_exhaustive()
    }
}

impl ConnectionPool {
    fn take(&self, key: &Key) -> Option<BallistaClient> {
        self.close_expired();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(key)?.pop().map(|(client, _)| client)
    }

    fn put_back(&self, key: Key, client: BallistaClient) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(key).or_default().push((client, Instant::now()));
    }

    fn close_expired(&self) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, clients| {
            clients.retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
            !clients.is_empty()
        });
    }
}

#[async_trait::async_trait]
impl BallistaClientPool for ConnectionPool {
    async fn acquire(
        &self,
        host: &str,
        port: u16,
        config: &GrpcClientConfig,
        customize_endpoint: Option<Arc<BallistaConfigGrpcEndpoint>>,
    ) -> Result<PooledClient> {
        let key = (host.to_owned(), port, config.clone());
        let client = match self.take(&key) {
            Some(client) => client,
            None => {
                BallistaClient::try_new(
                    host,
                    port,
                    config.max_message_size,
                    config.use_tls,
                    customize_endpoint,
                    config.io_retries_times,
                    config.io_retry_wait_time_ms,
                    config.initial_connection_window_size,
                    config.initial_stream_window_size,
                )
                .await?
            }
        };
        let pool = self.clone();
        Ok(PooledClient::new(client, Box::new(move |client| pool.put_back(key, client))))
    }

    async fn evict_idle(&self) {
        self.close_expired();
    }
}
