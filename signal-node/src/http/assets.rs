//! The demo page and the client library, out of the binary.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};
use service_kit::http::Problem;

use super::Public;
use super::static_file::StaticFiles;

static DEMO_DIR: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../client/demo");
static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../client/src");
static BUNDLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../client/dist");

static DEMO: LazyLock<StaticFiles> = LazyLock::new(|| StaticFiles::of(&[&DEMO_DIR]));
static CLIENT: LazyLock<StaticFiles> = LazyLock::new(|| StaticFiles::of(&[&SOURCES, &BUNDLES]));

/// Nothing from elsewhere, nothing inline; sockets only to where the page came from.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'";

/// Camera, microphone and the copied link: for this page and nothing framed in it.
const PERMISSIONS: &str = "camera=(self), microphone=(self), clipboard-write=(self)";

pub(super) fn router() -> Router<Arc<Public>> {
    Router::new()
        .route("/", get(async |headers: HeaderMap| page("index.html", &headers)))
        .merge(demo())
        .route(
            "/client/{*path}",
            get(async |Path(path): Path<String>, headers: HeaderMap| sdk(&path, &headers)),
        )
}

/// Routes the files of the demo page, some of which the console uses too.
pub(super) fn demo<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(
        "/demo/{*path}",
        get(async |Path(path): Path<String>, headers: HeaderMap| page(&path, &headers)),
    )
}

fn missing() -> Response {
    let detail = "there is a demo page at / and a WebSocket at /v1/ws";
    Problem::new(StatusCode::NOT_FOUND, "not_found").detail(detail).into_response()
}

fn page(path: &str, headers: &HeaderMap) -> Response {
    serve(&DEMO, path, headers)
}

/// The SDK is public code without credentials, so pages of every origin may import it, those included
/// that ask for cross-origin isolation. The upgrade decides which pages may open a socket.
fn sdk(path: &str, headers: &HeaderMap) -> Response {
    let mut response = serve(&CLIENT, path, headers);
    let shared = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    for (name, value) in shared {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Answers with a file, which may load nothing from elsewhere.
pub(super) fn serve(files: &StaticFiles, path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = files.get(path) else { return missing() };
    let common = [
        // A new version of the node is a new version of the page, so each use asks whether the ETag still holds.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    (common, file.answer(headers)).into_response()
}
