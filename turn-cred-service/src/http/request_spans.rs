//! Requests as spans: whose request it is stays untold.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use service_kit::trace::{Kind, Span, TRACEPARENT};

/// Traces a request of a node, if the node does; its questions for news, which are long, it does not.
pub(super) async fn trace_with_parent(request: Request, next: Next) -> Response {
    let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let parent = header.and_then(|text| text.parse().ok());
    let span = parent.map(|parent| Span::under(parent, "POST", Kind::Server));
    trace(span, request, next).await
}

/// Traces a request from anywhere. What it says of a trace of its own is not believed: anybody could have all that he
/// asks sampled.
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
