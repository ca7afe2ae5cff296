//! The HTTP server: dashboard, API and metrics.
//!
//! The server is read-only: no request can change anything. It reads the metrics and the
//! [`View`](crate::serve::view::View) of the latest epoch. Its threads have low priority, so that
//! requests do not delay ingestion.

mod access;
mod assets;
mod connections;
mod context;
mod download;
mod entities;
mod events;
mod health;
mod insights;
mod live;
mod middleware;
mod openapi;
mod periods;
mod priority;
mod response;
mod routes;
mod status;
mod tables;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

pub use crate::serve::http::access::Access;
pub use crate::serve::http::context::Sources;

use crate::model::error::{Error, FileRole, Op};
use crate::serve::http::context::Context;
use crate::serve::http::priority::lower_priority;
use crate::text::shown;

/// Number of threads for slow requests, such as a search in a million rows.
const SEARCH_THREADS: usize = 1;

/// A running server. Dropping the value stops the server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Dropping the sender stops the loop of the server.
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Binds the address and starts the server's thread.
    ///
    /// # Errors
    /// If the address cannot be bound (74), or if other machines can reach it and there is no token (78).
    pub fn start(address: &str, access: Access, sources: Sources) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: address.to_owned(), source };
        let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
        if !access.needs_token() && addresses.iter().any(|address| !address.ip().is_loopback()) {
            let message = format!(
                "http: other machines can reach {address}; set a token with --http-token-file, or use a loopback \
                 address such as 127.0.0.1:8080"
            );
            return Err(Error::Config(message));
        }
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            lower_priority();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(SEARCH_THREADS)
                .on_thread_start(lower_priority)
                .thread_name("http-search")
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let context = Arc::new(Context::new(access, sources, connections::max_connections()));
                    tokio::spawn(live::measure(Arc::clone(&context)));
                    tokio::select! {
                        () = connections::serve(listener, context) => {}
                        _ = stopped => {}
                    }
                }),
                Err(cause) => tracing::error!("cannot serve HTTP: {cause}"),
            }
        };
        let spawned = std::thread::Builder::new().name("http".to_owned()).spawn(run);
        spawned.map_err(failed)?;
        Ok(Self { address, _stop: stop })
    }

    /// The bound address, with the actual port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Reads the token from a file.
///
/// # Errors
/// If the file cannot be read (66), or if the token is too short or not printable ASCII (78).
pub fn read_token(path: &Path) -> Result<String, Error> {
    const MIN_LENGTH: usize = 16;
    let text =
        std::fs::read_to_string(path).map_err(|cause| Error::file(FileRole::Input, Op::Read, path, cause))?;
    let token = text.trim();
    if token.len() < MIN_LENGTH || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!(
            "{}: expected a token of at least {MIN_LENGTH} printable ASCII characters; create one with \
             `openssl rand -hex 32`",
            shown(path)
        );
        return Err(Error::Config(message));
    }
    Ok(token.to_owned())
}
