//! The page, the API and the metrics, over HTTP.
//!
//! It is a reader like any other: it looks at the [`View`](crate::serve::view::View) of the latest epoch and at the meters, and
//! nothing that is asked of it can change anything. It has a thread of its own, of low priority, so
//! that those who take in plays go first, however much is asked.

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
mod response;
mod routes;
mod status;

use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

pub use crate::serve::http::access::Access;
pub use crate::serve::http::context::Sources;

use crate::model::error::{Error, FileRole, Op};
use crate::serve::http::context::Context;

/// How much less its threads matter to the operating system than those that take in plays: with both
/// busy on one processor, one of these gets a seventieth.
const NICENESS: i32 = 19;
/// Threads for what takes longer, such as a search among a million rows.
const SEARCHERS: usize = 1;

/// A server that listens until this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    /// Dropping it tells the server.
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// Starts to listen.
    ///
    /// # Errors
    /// If the address cannot be listened on (74), or is open to others without a token (78).
    pub fn start(address: &str, access: Access, sources: Sources) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: address.to_owned(), source };
        let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(failed)?.collect();
        if !access.needs_token() && addresses.iter().any(|address| !address.ip().is_loopback()) {
            let message = format!(
                "http: {address} can be reached from other machines, so it needs a token: name a file that holds \
                 one with --http-token-file, or listen on 127.0.0.1"
            );
            return Err(Error::Config(message));
        }
        let listener = TcpListener::bind(addresses.as_slice()).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            give_way();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(SEARCHERS)
                .on_thread_start(give_way)
                .thread_name("http-search")
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(async {
                    let context = Arc::new(Context::new(access, sources));
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Lowers the priority of this thread.
fn give_way() {
    // Where that is not possible, all are equal.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}

/// Reads the token that is asked of readers.
///
/// # Errors
/// If it cannot be read (66), or is too short (78).
pub fn read_token(path: &Path) -> Result<String, Error> {
    const SHORTEST: usize = 16;
    let text =
        std::fs::read_to_string(path).map_err(|cause| Error::file(FileRole::Input, Op::Read, path, cause))?;
    let token = text.trim();
    if token.len() < SHORTEST || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = format!(
            "{}: expected a token of at least {SHORTEST} printable ASCII characters, such as `openssl rand -hex 32` \
             makes",
            path.display()
        );
        return Err(Error::Config(message));
    }
    Ok(token.to_owned())
}
