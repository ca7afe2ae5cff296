//! What the API promises, in its own words.

use axum::response::Response;

use crate::serve::http::response::text;

/// The document, which tests hold against the answers.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> Response {
    text("application/json", DOCUMENT)
}
