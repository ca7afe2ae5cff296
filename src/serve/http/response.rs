//! Responses and errors.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

use crate::serve::view::View;
use crate::serve::view::table::Replaced;

/// The header with the number of the epoch that a response belongs to.
pub(super) const EPOCH_HEADER: HeaderName = HeaderName::from_static("x-music-insights-epoch");

/// An error response: a status code and a message for the client.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    /// A header that tells the client what is allowed, such as `Allow`.
    header: Option<(HeaderName, HeaderValue)>,
    /// Whether the same request can succeed with the next epoch.
    is_temporary: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None, is_temporary: false }
    }

    /// Whether the same request can succeed with the next epoch.
    pub(super) fn is_temporary(&self) -> bool {
        self.is_temporary
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The response for a published file that cannot be read, or for an invalid cursor in the request.
    pub(super) fn unreadable(cause: &std::io::Error) -> Self {
        if cause.kind() == std::io::ErrorKind::InvalidInput {
            return Self::bad_request(cause.to_string());
        }
        if Replaced::is_cause_of(cause) {
            return Self { is_temporary: true, ..Self::unavailable(format!("{cause}; try again")) };
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot read a published file: {cause}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.message });
        let mut response = uncached("application/json", json_text(&body));
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.header);
        response
    }
}

/// A JSON response with data of an epoch.
pub(super) fn json_of_epoch(view: &View, value: &impl Serialize) -> Response {
    with_epoch(view, uncached("application/json", json_text(value)))
}

/// Adds the header with the number of the epoch.
pub(super) fn with_epoch(view: &View, mut response: Response) -> Response {
    response.headers_mut().insert(EPOCH_HEADER, HeaderValue::from(view.snapshot.manifest.epoch));
    response
}

/// A response that clients must not cache, because the next epoch may follow at any moment.
pub(super) fn uncached(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("responses are plain data")
}

/// Computes a response on the search thread, so that slow requests do not delay fast ones.
pub(super) async fn respond_from(
    view: Arc<View>,
    make: impl FnOnce(&View) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let response = tokio::task::spawn_blocking(move || make(&view)).await;
    response.map_err(|_| Problem::unavailable("the request was cancelled; try again"))?
}
