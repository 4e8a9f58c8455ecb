//! The public listener of a node that waits for its room log.

use std::sync::Arc;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use service_kit::http::Problem;

use super::readable_anywhere;
use super::upgrade::RETRY_AFTER;
use crate::metrics::Metrics;

/// Answers every request 503, so that clients try another node, or come again.
pub fn starting_router(metrics: Arc<Metrics>) -> Router {
    let refuse_upgrade = async move || {
        metrics.rejected.with_label_values(&["starting"]).inc();
        unavailable()
    };
    let refuse = async || unavailable();
    Router::new()
        .route("/v1/ws", any(refuse_upgrade))
        .fallback(any(refuse))
        .layer(readable_anywhere())
}

fn unavailable() -> Response {
    let text = "the node is starting: its room log is unavailable";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable").detail(text);
    // The next request may reach another node.
    let close = [(CONNECTION, HeaderValue::from_static("close"))];
    (close, problem.retry_spread(RETRY_AFTER)).into_response()
}
