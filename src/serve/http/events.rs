//! Server-sent events: the live status once a second, and each epoch when it is published.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, StreamExt};
use hyper::header::{CACHE_CONTROL, HeaderValue};
use tokio_stream::wrappers::WatchStream;

use crate::serve::http::context::Context;
use crate::serve::http::response::Problem;

/// Time that a browser waits before it reconnects.
const RECONNECT: Duration = Duration::from_secs(2);

/// Sends events until the subscriber closes the connection. A slow subscriber gets only the latest
/// event of each kind.
pub(super) async fn events(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    let permit = Arc::clone(&context.subscribers).try_acquire_owned();
    let permit = permit.map_err(|_| Problem::unavailable("too many subscribers of events; try again"))?;
    let status = WatchStream::from_changes(context.live.subscribe()).map(|live| {
        let data = serde_json::to_string(&*live).expect("plain data");
        Event::default().event("status").data(data)
    });
    let epochs = WatchStream::new(context.views.clone()).filter_map(async |view| {
        let epoch = view?.snapshot.manifest.epoch;
        let data = format!("{{\"epoch\":{epoch}}}");
        Some(Event::default().event("epoch").id(epoch.to_string()).data(data))
    });
    let first = stream::once(async { Event::default().retry(RECONNECT) });
    let events = first.chain(stream::select(Box::pin(epochs), status));
    let events = events.map(move |event| {
        // The stream holds the permit until the connection is closed.
        let _ = &permit;
        Ok::<_, Infallible>(event)
    });
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
