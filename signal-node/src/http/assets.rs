//! The demo page and the client library, out of the binary.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};
use service_kit::http::Problem;

use super::Public;

static DEMO: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../client/demo");
static CLIENT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../client/src");

/// Nothing from elsewhere, nothing inline; sockets only to where the page came from.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Camera, microphone and the copied link: for this page and nothing framed in it.
const PERMISSIONS: &str = "camera=(self), microphone=(self), clipboard-write=(self)";

pub(super) fn router() -> Router<Arc<Public>> {
    Router::new()
        .route("/", get(async || serve(&DEMO, "index.html")))
        .route("/demo/{*path}", get(async |Path(path): Path<String>| serve(&DEMO, &path)))
        .route("/client/{*path}", get(async |Path(path): Path<String>| serve(&CLIENT, &path)))
        .fallback(async || missing())
}

fn missing() -> Response {
    let detail = "there is a demo page at / and a WebSocket at /v1/ws";
    Problem::new(StatusCode::NOT_FOUND, "not_found").detail(detail).into_response()
}

fn serve(folder: &'static Dir<'static>, path: &str) -> Response {
    let Some(file) = folder.get_file(path) else { return missing() };
    let headers = [
        (CONTENT_TYPE, content_type(path)),
        // A new version of the node is a new version of the page.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    (headers, file.contents()).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}
