//! Error responses of the OpenAPI document, generated from `RequestError` and grouped by status.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use service_kit::http::{self, Problem};
use service_kit::tokens::TokenError;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{Content, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::super::request_error::RequestError;
use super::matrix_error::with_matrix_fields;
use crate::issuer::IssueError;
use signal_protocol::Subject;

const MEDIA: &str = "application/problem+json";

/// The schema of errors; utoipa's derive takes a type without parameters.
pub(super) type ProblemSchema = http::ProblemSchema<ProblemCode>;

/// Codes that programs may depend on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `Refusal` and the router decide")]
pub(super) enum ProblemCode {
    BadRequest,
    Unauthorized,
    TokenExpired,
    NotFound,
    MethodNotAllowed,
    Timeout,
    TooLarge,
    RateLimited,
    OverBudget,
    Denied,
    Forbidden,
    Unavailable,
}

/// An error with the members that Matrix clients read.
#[derive(ToSchema)]
#[schema(as = MatrixProblem)]
#[expect(dead_code, reason = "it describes what `matrix` writes")]
pub(super) struct MatrixProblemSchema {
    #[serde(flatten)]
    problem: ProblemSchema,
    /// The error code of the Matrix API.
    errcode: String,
    /// The same as `detail`.
    error: String,
    /// Milliseconds after which a repetition may succeed.
    retry_after_ms: Option<u64>,
}

/// An error of the admin endpoints.
#[derive(ToSchema)]
#[schema(as = AdminProblem)]
#[expect(dead_code, reason = "it is the same as `Document`, for routes with refusals of their own")]
pub(super) struct AdminProblemSchema {
    #[serde(flatten)]
    problem: ProblemSchema,
}

/// Errors of endpoints for tokens and API keys.
pub(super) struct ErrorResponses;

impl IntoResponses for ErrorResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&common())
    }
}

/// Errors of the Matrix endpoint.
pub(super) struct MatrixErrorResponses;

impl IntoResponses for MatrixErrorResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&of_matrix())
    }
}

/// Errors of the admin endpoints.
pub(super) struct AdminErrorResponses;

impl IntoResponses for AdminErrorResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&of_admins())
    }
}

/// All error responses by component name.
pub(super) fn answers() -> impl Iterator<Item = (String, Response)> {
    let groups = common().into_iter().chain(of_matrix()).chain(of_admins());
    groups.map(|group| (group.name(), group.describe()))
}

/// Errors with the same status.
struct StatusGroup {
    status: StatusCode,
    schema: &'static str,
    errors: Vec<(RequestError, Value)>,
}

fn common() -> Vec<StatusGroup> {
    let others = [
        RequestError::InvalidBody("expected value at line 1 column 1".to_owned()),
        RequestError::InvalidSubject(Subject::new("").expect_err("an empty text is no subject")),
        RequestError::UnsupportedService,
        RequestError::InvalidTtl,
        RequestError::MissingApiKey,
        RequestError::UnknownApiKey,
        RequestError::ApiKeysNotConfigured,
        RequestError::BodyTimeout,
        RequestError::BodyTooLarge,
    ];
    let document = |error: &RequestError| Problem::from(error).to_json();
    group("Problem", token_errors().into_iter().chain(others), document)
}

fn of_matrix() -> Vec<StatusGroup> {
    let document = |error: &RequestError| with_matrix_fields(error, Problem::from(error)).to_json();
    group("MatrixProblem", token_errors(), document)
}

fn of_admins() -> Vec<StatusGroup> {
    let others = [
        RequestError::MissingToken,
        RequestError::Token(TokenError::Expired),
        RequestError::AddressRateLimited { wait: Duration::from_secs(2) },
        RequestError::MissingRight,
        RequestError::NoRedis,
        RequestError::InvalidSubject(Subject::new("").expect_err("an empty text is no subject")),
        RequestError::InvalidBody("expected value at line 1 column 1".to_owned()),
    ];
    let document = |error: &RequestError| Problem::from(error).to_json();
    group("AdminProblem", others, document)
}

/// Errors of any endpoint that takes a token.
fn token_errors() -> [RequestError; 7] {
    let wait = Duration::from_secs(2);
    [
        RequestError::MissingToken,
        RequestError::Token(TokenError::Expired),
        RequestError::SubjectRateLimited { wait },
        RequestError::AddressRateLimited { wait },
        RequestError::Issue(IssueError::KeysUnconfirmed),
        RequestError::Issue(IssueError::Denied { until: 0 }),
        RequestError::Issue(IssueError::OverBudget { until: 0 }),
    ]
}

fn group(
    schema: &'static str,
    errors: impl IntoIterator<Item = RequestError>,
    document: impl Fn(&RequestError) -> Value,
) -> Vec<StatusGroup> {
    let mut groups: BTreeMap<StatusCode, StatusGroup> = BTreeMap::new();
    for error in errors {
        let status = error.status().0;
        let group = groups.entry(status);
        let group = group.or_insert_with(|| StatusGroup { status, schema, errors: Vec::new() });
        let document = document(&error);
        group.errors.push((error, document));
    }
    groups.into_values().collect()
}

fn references(groups: &[StatusGroup]) -> BTreeMap<String, RefOr<Response>> {
    let reference = |group: &StatusGroup| RefOr::Ref(Ref::from_response_name(group.name()));
    groups.iter().map(|group| (group.status.as_str().to_owned(), reference(group))).collect()
}

impl StatusGroup {
    fn title(&self) -> &'static str {
        self.status.canonical_reason().expect("every status used here has a reason phrase")
    }

    fn name(&self) -> String {
        self.title().replace(' ', "") + self.schema
    }

    fn describe(&self) -> Response {
        let mut content = Content::new(Some(Ref::from_schema_name(self.schema)));
        for (error, document) in &self.errors {
            let example = ExampleBuilder::new().value(Some(document.clone())).build();
            content.examples.insert(error.reason().to_owned(), RefOr::T(example));
        }
        let response = ResponseBuilder::new().description(self.title()).content(MEDIA, content);
        let mut response = response.build();
        for (name, what) in self.headers() {
            response.headers.insert(name.to_owned(), header(what));
        }
        response
    }

    /// Headers of this status, besides those of every response.
    fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let asks = self.status == StatusCode::UNAUTHORIZED;
        let waits = self.errors.iter().any(|(error, _)| error.retry_after().is_some());
        let asks = asks.then_some(("WWW-Authenticate", "`Bearer`"));
        let waits =
            waits.then_some(("Retry-After", "Seconds after which a repetition may succeed."));
        asks.into_iter().chain(waits)
    }
}

/// Describes a header of a response.
pub(super) fn header(what: &str) -> RefOr<Header> {
    RefOr::T(HeaderBuilder::new().description(Some(what)).build())
}
