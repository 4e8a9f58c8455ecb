//! What pages of other origins may do with the answers to their requests: those of the allowed origins read them, with cookies too,
//! which some send and the node does not read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::super::super::Public;

/// Answers the preflight of a page that sends a body or a token.
pub(super) async fn preflight() -> impl IntoResponse {
    let headers = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET,POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization,content-type"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers)
}

/// Lets a page of an allowed origin read the answer.
pub(super) async fn allow(
    State(public): State<Arc<Public>>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_allowed = |origin: &HeaderValue| {
        origin.to_str().is_ok_and(|origin| public.origins.allows(origin, host))
    };
    let origin = headers.get(ORIGIN).filter(|origin| is_allowed(origin)).cloned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    response
}
