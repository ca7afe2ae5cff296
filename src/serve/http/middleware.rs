//! What every request must get past, and what every answer gets.

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

/// Bytes of an address.
const URI_SIZE: usize = 8 << 10;
/// For an answer to begin.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// The page may load what is ours and nothing else, and nobody may put it into a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// What has no data in it, and so is open to everybody who may ask at all.
const OPEN: [&str; 3] = ["/", "/assets/", "/health/"];

/// Lets a request pass, or answers it.
pub(super) async fn admit(State(context): State<Arc<Context>>, request: Request, next: Next) -> Response {
    let mut answer = match check(&context, &request) {
        Ok(()) => match tokio::time::timeout(ANSWER_TIME, next.run(request)).await {
            Ok(answer) => answer,
            Err(_) => Problem::unavailable("too much is asked at the moment; try again").into_response(),
        },
        Err(refusal) => refusal.into_response(),
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let class = ["1xx", "2xx", "3xx", "4xx", "5xx"][usize::from(answer.status().as_u16() / 100 - 1).min(4)];
    context.metrics.http_requests.with_label_values(&[class]).inc();
    answer
}

fn check(context: &Context, request: &Request) -> Result<(), Problem> {
    let refuse = |status: StatusCode, message: &str| Err(Problem::new(status, message));
    let (uri, headers) = (request.uri(), request.headers());
    if uri.path().len() + uri.query().map_or(0, str::len) > URI_SIZE {
        return refuse(StatusCode::URI_TOO_LONG, "the address is longer than 8 KiB");
    }
    if let Err(status) = context.access.check_host(headers, uri) {
        return refuse(status, "this is no name of ours; to be addressed by it, add it to http_hosts");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let refusal = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
        return Err(refusal.with(ALLOW, "GET, HEAD"));
    }
    if has_body(headers) {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "a request has no body here");
    }
    let is_open = uri.path() == OPEN[0] || OPEN[1..].iter().any(|start| uri.path().starts_with(start));
    if !is_open && !context.access.is_granted(headers) {
        let message = "a token is needed: send `Authorization: Bearer <token>`";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, message).with(WWW_AUTHENTICATE, "Bearer"));
    }
    Ok(())
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}
