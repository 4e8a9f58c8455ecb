//! The public listener: JWTs or API keys authenticate the caller, and the route determines the
//! response format. Browsers may call with a JWT.

mod admin;
mod cloudflare;
mod draft;
mod error_responses;
mod matrix;
mod matrix_error;
mod native;
mod openapi;
mod state;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::middleware::from_fn;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::request_spans::trace_root;
use super::{with_limits, without_caching};
use crate::config::Origin;

pub use openapi::openapi;
pub(crate) use state::PublicState;

/// Time a browser may cache a preflight response.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Combines the routes of every API.
pub(crate) fn public_router(state: PublicState, origins: &[Origin]) -> Router {
    let shapes = native::routes()
        .merge(draft::routes())
        .merge(matrix::routes())
        .merge(cloudflare::routes())
        .merge(admin::routes())
        .merge(openapi::routes())
        .layer(from_fn(trace_root));
    let router = with_limits(shapes.with_state(Arc::new(state)));
    without_caching(router.layer(cors(origins)), "Origin, Authorization")
}

/// Allows exactly the listed origins; without any, no cross-origin browser request succeeds.
fn cors(origins: &[Origin]) -> CorsLayer {
    let allowed = if origins.iter().any(Origin::is_any) {
        AllowOrigin::any()
    } else {
        let exact = origins.iter().filter_map(|o| HeaderValue::from_str(o.as_str()).ok());
        AllowOrigin::list(exact)
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}
