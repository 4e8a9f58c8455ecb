//! The `Authorization` header.

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;

/// Returns the bearer token of a request (RFC 6750 §2.1).
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
