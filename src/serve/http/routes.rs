//! The routes. No part of a URL becomes a file path: the server looks up names in fixed tables and ids
//! in dictionaries.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::StatusCode;

use crate::serve::http::context::Context;
use crate::serve::http::health::ServiceState;
use crate::serve::http::middleware::guard;
use crate::serve::http::response::{Problem, uncached};
use crate::serve::http::{assets, entities, events, insights, openapi, periods, status};

pub(super) fn router(context: Arc<Context>) -> Router {
    Router::new()
        .route("/", get(assets::index))
        .route("/assets/{name}", get(assets::asset))
        .route("/api/v1/status", get(status::status))
        .route("/api/v1/overview", get(entities::overview))
        .route("/api/v1/periods", get(periods::periods))
        .route("/api/v1/insights/{name}", get(insights::insight))
        .route("/api/v1/rejects", get(insights::rejects))
        .route("/api/v1/search", get(entities::search))
        .route("/api/v1/users/{id}", get(entities::user))
        .route("/api/v1/songs/{id}", get(entities::song))
        .route("/api/v1/events", get(events::events))
        .route("/api/v1/openapi.json", get(openapi::document))
        .route("/metrics", get(metrics))
        .route("/health/livez", get(livez))
        .route("/health/readyz", get(readyz))
        .fallback(async || Problem::not_found("no such path; see /api/v1/openapi.json"))
        .layer(from_fn_with_state(Arc::clone(&context), guard))
        .with_state(context)
}

async fn metrics(State(context): State<Arc<Context>>) -> Response {
    uncached("text/plain; version=0.0.4; charset=utf-8", context.metrics().await.to_string())
}

async fn livez(State(context): State<Arc<Context>>) -> Response {
    let (status, message) = if context.has_heartbeat().await {
        (StatusCode::OK, "alive\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stalled: no heartbeat from the engine\n")
    };
    (status, uncached("text/plain; charset=utf-8", message)).into_response()
}

async fn readyz(State(context): State<Arc<Context>>) -> Response {
    let (status, message) = match context.state() {
        ServiceState::Ready => (StatusCode::OK, ready_text(&context)),
        ServiceState::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, "starting: no epoch is published yet\n".to_owned())
        }
        ServiceState::WaitingForRoom => {
            (StatusCode::SERVICE_UNAVAILABLE, "waiting: the disk is full or writing fails\n".to_owned())
        }
    };
    (status, uncached("text/plain; charset=utf-8", message)).into_response()
}

/// The answer of a server that is ready. It says whether published rows are lost.
fn ready_text(context: &Context) -> String {
    let view = context.view().ok();
    match view.and_then(|view| view.snapshot.manifest.incomplete_since.clone()) {
        Some(since) => format!("ready; append-only tables lack rows from before {since}\n"),
        None => "ready\n".to_owned(),
    }
}
