//! Server-sent events: how it is going, once a second, and each epoch as it is published.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::stream::{self, StreamExt};
use tokio_stream::wrappers::WatchStream;

use crate::serve::http::context::Context;
use crate::serve::http::response::{Problem, text};

/// Tells of everything that happens, until the reader hangs up.
///
/// A reader who is slow misses what is outdated anyway: only the latest of each kind waits.
pub(super) async fn events(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    let place = Arc::clone(&context.subscribers).try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("there are too many listeners; try again"))?;
    let status = WatchStream::from_changes(context.live.subscribe()).map(|live| {
        let data = serde_json::to_string(&*live).expect("plain data");
        format!("event: status\ndata: {data}\n\n")
    });
    let epochs = WatchStream::new(context.views.clone()).filter_map(async |view| {
        let epoch = view?.snapshot.manifest.epoch;
        Some(format!("event: epoch\nid: {epoch}\ndata: {{\"epoch\":{epoch}}}\n\n"))
    });
    // How long a browser waits until it connects again.
    let beginning = stream::once(async { "retry: 2000\n\n".to_owned() });
    let events = beginning.chain(stream::select(Box::pin(epochs), status));
    let events = events.map(move |event| {
        // It is theirs for as long as they listen.
        let _ = &place;
        Ok::<_, Infallible>(event)
    });
    Ok(text("text/event-stream", Body::from_stream(events)))
}
