//! Connections between executors, kept for as long as they are of use: without them every fetch of a shuffled
//! partition would open one of its own, until a machine runs out of ports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ballista_core::client::BallistaClient;
use ballista_core::client_pool::{BallistaClientPool, PooledClient};
use ballista_core::error::Result;
use ballista_core::extension::BallistaConfigGrpcEndpoint;
use ballista_core::utils::GrpcClientConfig;

/// For how long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

type Key = (String, u16, GrpcClientConfig);
/// A connection, and since when nobody uses it.
type Idle = (BallistaClient, Instant);

/// Connections that nobody uses at the moment, the latest last.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<Key, Vec<Idle>>>>);

impl std::fmt::Debug for Connections {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    fn take(&self, key: &Key) -> Option<BallistaClient> {
        self.forget_idle();
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.get_mut(key)?.pop().map(|(client, _)| client)
    }

    fn put_back(&self, key: Key, client: BallistaClient) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.entry(key).or_default().push((client, Instant::now()));
    }

    fn forget_idle(&self) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|_, clients| {
            clients.retain(|(_, since)| since.elapsed() < IDLE);
            !clients.is_empty()
        });
    }
}

#[async_trait::async_trait]
impl BallistaClientPool for Connections {
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
        self.forget_idle();
    }
}
