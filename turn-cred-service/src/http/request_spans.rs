//! Spans of requests. They contain no subject.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use service_kit::trace::{Kind, Span, TRACEPARENT};

/// Continues the trace of a node, if the request has one. Changes requests have none: they wait for
/// up to 25 s.
pub(super) async fn trace_with_parent(request: Request, next: Next) -> Response {
    let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let parent = header.and_then(|text| text.parse().ok());
    let span = parent.map(|parent| Span::under(parent, "POST", Kind::Server));
    trace(span, request, next).await
}

/// Starts a trace on the public listener. A `traceparent` of the request is ignored: with it,
/// anybody could force sampling of every request.
pub(super) async fn trace_root(request: Request, next: Next) -> Response {
    trace(Span::root("POST", Kind::Server), request, next).await
}

async fn trace(span: Option<Span>, request: Request, next: Next) -> Response {
    let Some(span) = span else { return next.run(request).await };
    span.set("http.request.method", request.method().to_string());
    if let Some(route) = request.extensions().get::<MatchedPath>() {
        span.set("http.route", route.as_str().to_owned());
    }
    let response = next.run(request).await;
    span.set("http.response.status_code", i64::from(response.status().as_u16()));
    if response.status().is_server_error() {
        span.fail();
    }
    response
}
