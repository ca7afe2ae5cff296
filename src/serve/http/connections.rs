//! Accepts connections. Limits how many are open, how long clients may take and how much they may send.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower_service::Service;

use crate::serve::http::context::Context;
use crate::serve::http::routes;
use crate::storage::descriptors;

/// Open connections may take one of this many parts of the limit on open files, because a request can open
/// files, too.
const CONNECTIONS: usize = 8;
/// Time limit for a client to send the head of a request. The time starts when the connection opens or
/// the previous request ends.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Time limit for a client to accept the next bytes of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of the head of a request, in bytes.
const MAX_HEAD_SIZE: usize = 16 << 10;
/// Maximum number of header lines in a request.
const MAX_HEADERS: usize = 64;
/// Pause after `accept` fails, for example because no file descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The response to a connection above the limit.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// Maximum number of open connections: 256, or fewer if the limit on open files is low.
pub(super) fn max_connections() -> usize {
    descriptors::share(CONNECTIONS)
}

/// Accepts and serves connections. Returns only if the listener is unusable.
pub(super) async fn serve(listener: TcpListener, context: Arc<Context>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(cause) => return tracing::error!("cannot serve HTTP: {cause}"),
    };
    let permits = Arc::new(Semaphore::new(max_connections()));
    let metrics = Arc::clone(&context.metrics);
    let router = routes::router(context);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                tracing::debug!("cannot accept a connection: {cause}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            // The response normally fits into the socket buffer. If it does not, closing the connection
            // is enough.
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        // Responses are written in large pieces, so Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let (router, metrics) = (router.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            metrics.http_connections.inc();
            let service = service_fn(move |request| respond(router.clone(), request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(MAX_HEAD_SIZE)
                .max_headers(MAX_HEADERS)
                // A client may close its side after the request and still wait for the response.
                .half_close(true)
                .serve_connection(TokioIo::new(Box::pin(stream)), service)
                .await;
            // Errors of a single connection (closed, too slow, not HTTP) are expected, so they are not
            // reported.
            drop((served, permit));
            metrics.http_connections.dec();
        });
    }
}

async fn respond(
    mut router: Router,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<axum::response::Response, Infallible> {
    router.call(request.map(axum::body::Body::new)).await
}
