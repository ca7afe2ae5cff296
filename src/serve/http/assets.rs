//! The files of the dashboard, embedded in the program.

use axum::extract::Path;
use axum::response::Response;
use hyper::header::{CACHE_CONTROL, HeaderValue};

use crate::serve::charts;
use crate::serve::http::response::{Problem, uncached};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// The entry of [`FILES`] for a file in `page/`.
macro_rules! file {
    ($name:literal, $kind:expr) => {
        ($name, $kind, include_str!(concat!("page/", $name)))
    };
}

/// Name, media type and text of every file.
const FILES: &[(&str, &str, &str)] = &[
    ("charts.css", CSS, charts::STYLE),
    file!("actions.js", SCRIPT),
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("events.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("frame.js", SCRIPT),
    file!("icon.svg", SVG),
    file!("inputs.js", SCRIPT),
    file!("insight.js", SCRIPT),
    file!("listener.js", SCRIPT),
    file!("listing.js", SCRIPT),
    file!("overview.js", SCRIPT),
    file!("parts.js", SCRIPT),
    file!("period.js", SCRIPT),
    file!("rejects.js", SCRIPT),
    file!("route.js", SCRIPT),
    file!("search.js", SCRIPT),
    file!("song.js", SCRIPT),
    file!("stage.js", SCRIPT),
    file!("style.css", CSS),
    file!("table.js", SCRIPT),
    file!("theme.js", SCRIPT),
    file!("token.js", SCRIPT),
    file!("words.js", SCRIPT),
];

pub(super) async fn index() -> Response {
    file(HTML, include_str!("page/index.html"))
}

pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let (_, kind, content) = found.ok_or_else(|| Problem::not_found("the dashboard has no such file"))?;
    Ok(file(kind, content))
}

fn file(kind: &'static str, content: &'static str) -> Response {
    let mut response = uncached(kind, content);
    // A different version of the program serves different files under the same names, so browsers must
    // revalidate.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
