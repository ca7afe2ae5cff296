//! Checks every request, and adds headers to every response.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY,
    TRANSFER_ENCODING, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, StatusCode};

use crate::serve::http::context::Context;
use crate::serve::http::response::Problem;

/// Maximum length of path and query together, in bytes.
const MAX_URI_SIZE: usize = 8 << 10;
/// Time limit for the start of a response.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The dashboard may load resources only from this server, and no site may embed it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Paths that need no token because they return no data.
const OPEN: [&str; 3] = ["/", "/assets/", "/health/"];

/// Handles a request that passes all checks. Refuses any other request.
pub(super) async fn guard(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let mut response = match check(&context, &request) {
        Ok(()) => match tokio::time::timeout(RESPONSE_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::unavailable("the server is overloaded; try again").into_response(),
        },
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let class = ["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(response.status().as_u16() / 100 - 1).min(4)];
    context.metrics.http_requests.with_label_values(&[class]).inc();
    response
}

fn check(context: &Context, request: &Request) -> Result<(), Problem> {
    let refuse = |status: StatusCode, message: &str| Err(Problem::new(status, message));
    let (uri, headers) = (request.uri(), request.headers());
    if uri.path().len() + uri.query().map_or(0, str::len) > MAX_URI_SIZE {
        return refuse(StatusCode::URI_TOO_LONG, "path and query together are longer than 8 KiB");
    }
    if let Err(status) = context.access.check_host(headers, uri) {
        return refuse(status, "this host is not allowed; add it to the setting `http_hosts`");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are allowed");
        return Err(problem.with(ALLOW, "GET, HEAD"));
    }
    if has_body(headers) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "a request must not have a body");
    }
    let is_open = uri.path() == OPEN[0] || OPEN[1..].iter().any(|start| uri.path().starts_with(start));
    if !is_open && !context.access.is_granted(headers) {
        let message = "the token is missing or wrong; send `Authorization: Bearer <token>`";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, message).with(WWW_AUTHENTICATE, "Bearer"));
    }
    Ok(())
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}
