//! Which address is answered by whom. No address ever becomes a path: names are looked up in fixed
//! tables, ids in dictionaries.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;

use crate::serve::http::context::Context;
use crate::serve::http::health::State as Condition;
use crate::serve::http::middleware::admit;
use crate::serve::http::response::{Problem, text};
use crate::serve::http::{assets, entities, events, insights, openapi, status};

pub(super) fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/overview", get(entities::overview))
        .route("/api/v1/insights/{name}", get(insights::insight))
        .route("/api/v1/rejects", get(insights::rejects))
        .route("/api/v1/search", get(entities::search))
        .route("/api/v1/users/{id}", get(entities::user))
        .route("/api/v1/songs/{id}", get(entities::song))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/metrics", get(metrics))
        .route("/health/livez", get(alive))
        .route("/health/readyz", get(ready))
        .fallback(async || Problem::not_found("there is nothing here; see /api/v1/openapi.json"))
        .layer(from_fn_with_state(Arc::clone(&context), admit))
        .with_state(context)
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    text("text/plain; version=0.0.4; charset=utf-8", context.metrics().await.to_string())
}

async fn alive(State(context): State<Arc<Context>>) -> Response {
    let (status, words) = if context.is_alive().await {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "silent: the owner of the state shows no sign of life\n")
    };
    (status, text("text/plain; charset=utf-8", words)).into_response()
}

async fn ready(State(context): State<Arc<Context>>) -> Response {
    let (status, words) = match context.state() {
        Condition::Ready => (StatusCode::OK, "ready\n"),
        Condition::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting: nothing is published yet\n"),
        Condition::WaitingForRoom => {
            (StatusCode::SERVICE_UNAVAILABLE, "waiting: the output cannot be written\n")
        }
    };
    (status, text("text/plain; charset=utf-8", words)).into_response()
}
