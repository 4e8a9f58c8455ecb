//! The public listener: whoever holds a token or an API key gets a credential, in the shape of the
//! route that is asked; holders of tokens from a browser too.

mod admin;
mod cloudflare;
mod desk;
mod draft;
mod matrix;
mod native;
mod openapi;
mod problems;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Method;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::middleware::from_fn;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::traced::of_its_own;
use super::{bounded, uncached};
use crate::config::Origin;

pub(crate) use desk::PublicDesk;
pub use openapi::openapi;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Routes every shape.
pub(crate) fn public_router(desk: PublicDesk, origins: &[Origin]) -> Router {
    let shapes = native::routes()
        .merge(draft::routes())
        .merge(matrix::routes())
        .merge(cloudflare::routes())
        .merge(admin::routes())
        .merge(openapi::routes())
        .layer(from_fn(of_its_own));
    let router = bounded(shapes.with_state(Arc::new(desk)));
    uncached(router.layer(cors(origins)), "Origin, Authorization")
}

/// Lets the listed origins call, exactly; without any, browsers of other origins cannot.
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
