//! The listeners of a service that waits for the relays' Redis, which holds its keys.

use std::time::Duration;

use axum::Router;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use service_kit::http::Problem;

use super::with_limits;
use crate::metrics::Metrics;

/// When a caller may try again; half as much is added at random.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Answers every request 503, so that callers ask another instance, or come again.
pub(crate) fn starting_router(metrics: Metrics) -> Router {
    with_limits(Router::new()).fallback(async move || refuse(&metrics))
}

fn refuse(metrics: &Metrics) -> Response {
    metrics.count_refused("starting");
    let text = "the service is starting: the relays' Redis, which holds its keys, is unavailable";
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable").detail(text);
    // The next request may reach another instance.
    let close = [(CONNECTION, HeaderValue::from_static("close"))];
    (close, problem.retry_spread(RETRY_AFTER)).into_response()
}
