//! The OpenAPI document.

use axum::response::Response;

use crate::serve::http::response::uncached;

/// The document. A test checks the responses against it.
const DOCUMENT: &str = include_str!("openapi.json");

pub(super) async fn document() -> Response {
    uncached("application/json", DOCUMENT)
}
