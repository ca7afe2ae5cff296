//! Connections, each of which has a limited time and size for everything.

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

/// Connections at the same time.
const CONNECTIONS: usize = 256;
/// For the head of a request, from its first byte or from the end of the last one on.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// For a reader to take more of an answer.
const WRITE_TIME: Duration = Duration::from_secs(30);
/// Bytes of a head.
const HEAD_SIZE: usize = 16 << 10;
/// Lines of a head.
const HEADERS: usize = 64;
/// How long nothing is accepted after a failure, such as no more descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// What those get who are too many.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";

/// Serves all connections, for as long as it is polled.
pub(super) async fn serve(listener: TcpListener, context: Arc<Context>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(cause) => return tracing::error!("cannot serve HTTP: {cause}"),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let metrics = Arc::clone(&context.metrics);
    let router = routes::router(context);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(cause) => {
                tracing::debug!("cannot accept a connection: {cause}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // There is room for so little; if not, closing says enough.
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        // Answers are written whole; waiting for more of them gains nothing.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIME));
        let (router, metrics) = (router.clone(), Arc::clone(&metrics));
        tokio::spawn(async move {
            metrics.http_connections.inc();
            let service = service_fn(move |request| answer(router.clone(), request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_buf_size(HEAD_SIZE)
                .max_headers(HEADERS)
                // Whoever has said all may stop talking and still wants the answer.
                .half_close(true)
                .serve_connection(TokioIo::new(Box::pin(stream)), service)
                .await;
            // Whoever hangs up, is too slow or speaks no HTTP is no concern of ours.
            drop((served, place));
            metrics.http_connections.dec();
        });
    }
}

async fn answer(
    mut router: Router,
    request: hyper::Request<hyper::body::Incoming>,
) -> Result<axum::response::Response, Infallible> {
    router.call(request.map(axum::body::Body::new)).await
}
