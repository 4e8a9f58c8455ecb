//! HTTP errors as problem documents (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::random;

/// A response of type `application/problem+json` with a stable `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Option<Cow<'static, str>>,
    retry_after: Option<Duration>,
    members: Map<String, Value>,
}

#[derive(Serialize)]
struct ProblemBody<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(flatten)]
    members: &'a Map<String, Value>,
}

impl Problem {
    /// Creates a problem; `code` is in snake case, such as `token_expired`.
    pub fn new(status: StatusCode, code: &'static str) -> Self {
        Self { status, code, detail: None, retry_after: None, members: Map::new() }
    }

    /// Adds an explanation for the developer.
    pub fn detail(self, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// Adds `Retry-After`, in whole seconds rounded up (RFC 9110 §10.2.3).
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Adds `Retry-After` with a random part, so that those who were refused together do not come back together.
    pub fn retry_spread(self, wait: Duration) -> Self {
        let [part] = random::bytes();
        let spread = (wait / 2).max(Duration::from_secs(2)) * u32::from(part) / 256;
        self.retry_after(wait + spread)
    }

    /// Adds an extension member (RFC 9457 §3.2), such as those that Matrix clients read.
    pub fn member(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The code, for logs and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The body as JSON, for the examples of an OpenAPI document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        serde_json::to_value(self.body()).expect("texts and numbers serialize")
    }

    fn body(&self) -> ProblemBody<'_> {
        ProblemBody {
            r#type: format!("urn:signal-cluster:problem:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.as_deref(),
            members: &self.members,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 §11.6.1: a 401 must contain a challenge.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
