//! Answers, and what goes wrong with them.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

use crate::serve::view::View;

/// The header with the number of the epoch that an answer is of.
pub(super) const EPOCH: HeaderName = HeaderName::from_static("x-music-insights-epoch");

/// A refusal, in words.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
    /// What would do instead.
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), header: None }
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

    /// What was published cannot be read any more, or is not what was asked for.
    pub(super) fn unreadable(cause: &std::io::Error) -> Self {
        if cause.kind() == std::io::ErrorKind::InvalidInput {
            return Self::bad_request(cause.to_string());
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("what was published cannot be read: {cause}"))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = text("application/json", json_text(&serde_json::json!({ "error": self.message })));
        *answer.status_mut() = self.status;
        answer.headers_mut().extend(self.header);
        answer
    }
}

/// An answer in JSON of an epoch.
pub(super) fn of_epoch(view: &View, value: &impl Serialize) -> Response {
    with_epoch(view, text("application/json", json_text(value)))
}

/// Names the epoch in an answer.
pub(super) fn with_epoch(view: &View, mut answer: Response) -> Response {
    answer.headers_mut().insert(EPOCH, HeaderValue::from(view.snapshot.manifest.epoch));
    answer
}

/// An answer that must not be kept, for the next epoch may be a moment away.
pub(super) fn text(media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn json_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers are plain data")
}

/// Looks something up on a thread that may take its time.
pub(super) async fn look(
    view: Arc<View>,
    find: impl FnOnce(&View) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let found = tokio::task::spawn_blocking(move || find(&view)).await;
    found.map_err(|_| Problem::unavailable("the search was given up"))?
}
