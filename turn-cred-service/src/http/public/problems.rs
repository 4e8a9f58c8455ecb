//! Errors in the description of the public listener: real refusals, grouped by their status.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;
use service_kit::http::Problem;
use service_kit::tokens::TokenError;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::super::refusal::Refusal;
use super::matrix;
use super::openapi::header;
use crate::credential::NotASubject;
use crate::issuer::NotIssued;

/// The media type of every error.
const MEDIA: &str = "application/problem+json";

/// An error (RFC 9457).
#[derive(ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes what `service_kit::http::Problem` writes")]
pub(super) struct Document {
    /// `urn:signal-cluster:problem:` and the code.
    r#type: String,
    /// The name of the status.
    title: String,
    /// The status.
    status: u16,
    code: Code,
    /// A sentence for the developer who reads it.
    detail: Option<String>,
}

/// What programs may depend on.
#[derive(ToSchema)]
#[schema(as = ProblemCode, rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `Refusal` and the router decide")]
enum Code {
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

/// An error with what Matrix clients read of it.
#[derive(ToSchema)]
#[schema(as = MatrixProblem)]
#[expect(dead_code, reason = "it describes what `matrix` writes")]
pub(super) struct MatrixDocument {
    #[serde(flatten)]
    problem: Document,
    /// What Matrix calls it.
    errcode: String,
    /// The same as `detail`.
    error: String,
    /// Milliseconds until it is worth asking again.
    retry_after_ms: Option<u64>,
}

/// An error that administrators are told.
#[derive(ToSchema)]
#[schema(as = AdminProblem)]
#[expect(dead_code, reason = "it is the same as `Document`, for routes with refusals of their own")]
pub(super) struct AdminDocument {
    #[serde(flatten)]
    problem: Document,
}

/// How holders of tokens and of API keys are refused.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&common())
    }
}

/// How Matrix clients are refused.
pub(super) struct MatrixRefusals;

impl IntoResponses for MatrixRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&of_matrix())
    }
}

/// How administrators are refused.
pub(super) struct AdminRefusals;

impl IntoResponses for AdminRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        references(&of_admins())
    }
}

/// Every answer that [`Refusals`] and [`MatrixRefusals`] refer to, by its name.
pub(super) fn answers() -> impl Iterator<Item = (String, Response)> {
    let groups = common().into_iter().chain(of_matrix()).chain(of_admins());
    groups.map(|group| (group.name(), group.describe()))
}

/// Refusals with the same status.
struct Group {
    status: StatusCode,
    schema: &'static str,
    refusals: Vec<(Refusal, Value)>,
}

fn common() -> Vec<Group> {
    let others = [
        Refusal::Body("expected value at line 1 column 1".to_owned()),
        Refusal::Subject(NotASubject),
        Refusal::Service,
        Refusal::Ttl,
        Refusal::NoApiKey,
        Refusal::WrongApiKey,
        Refusal::ApiKeysUnset,
        Refusal::SlowBody,
        Refusal::LargeBody,
    ];
    let document = |refusal: &Refusal| Problem::from(refusal).to_json();
    group("Problem", holders().into_iter().chain(others), document)
}

fn of_matrix() -> Vec<Group> {
    let document = |refusal: &Refusal| matrix::worded(refusal, Problem::from(refusal)).to_json();
    group("MatrixProblem", holders(), document)
}

fn of_admins() -> Vec<Group> {
    let others = [
        Refusal::NoToken,
        Refusal::Token(TokenError::Expired),
        Refusal::AddressTooOften { wait: Duration::from_secs(2) },
        Refusal::NoRight,
        Refusal::NoDb,
        Refusal::Subject(NotASubject),
        Refusal::Body("expected value at line 1 column 1".to_owned()),
    ];
    let document = |refusal: &Refusal| Problem::from(refusal).to_json();
    group("AdminProblem", others, document)
}

/// How whoever shows a token may be refused.
fn holders() -> [Refusal; 7] {
    let wait = Duration::from_secs(2);
    [
        Refusal::NoToken,
        Refusal::Token(TokenError::Expired),
        Refusal::SubjectTooOften { wait },
        Refusal::AddressTooOften { wait },
        Refusal::NotIssued(NotIssued::KeysUnconfirmed),
        Refusal::NotIssued(NotIssued::Denied { until: 0 }),
        Refusal::NotIssued(NotIssued::OverBudget { until: 0 }),
    ]
}

fn group(
    schema: &'static str,
    refusals: impl IntoIterator<Item = Refusal>,
    document: impl Fn(&Refusal) -> Value,
) -> Vec<Group> {
    let mut groups: BTreeMap<StatusCode, Group> = BTreeMap::new();
    for refusal in refusals {
        let status = refusal.status().0;
        let group = groups.entry(status);
        let group = group.or_insert_with(|| Group { status, schema, refusals: Vec::new() });
        let document = document(&refusal);
        group.refusals.push((refusal, document));
    }
    groups.into_values().collect()
}

fn references(groups: &[Group]) -> BTreeMap<String, RefOr<Response>> {
    let reference = |group: &Group| RefOr::Ref(Ref::from_response_name(group.name()));
    groups.iter().map(|group| (group.status.as_str().to_owned(), reference(group))).collect()
}

impl Group {
    fn title(&self) -> &'static str {
        self.status.canonical_reason().expect("it is a status of ours")
    }

    fn name(&self) -> String {
        self.title().replace(' ', "") + self.schema
    }

    fn describe(&self) -> Response {
        let mut content = Content::new(Some(Ref::from_schema_name(self.schema)));
        for (refusal, document) in &self.refusals {
            let example = ExampleBuilder::new().value(Some(document.clone())).build();
            content.examples.insert(refusal.reason().to_owned(), RefOr::T(example));
        }
        let response = ResponseBuilder::new().description(self.title()).content(MEDIA, content);
        let mut response = response.build();
        for (name, what) in self.headers() {
            response.headers.insert(name.to_owned(), header(what));
        }
        response
    }

    /// What such an answer carries beside what all carry.
    fn headers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let asks = self.status == StatusCode::UNAUTHORIZED;
        let waits = self.refusals.iter().any(|(refusal, _)| refusal.wait().is_some());
        let asks = asks.then_some(("WWW-Authenticate", "`Bearer`"));
        let waits = waits.then_some(("Retry-After", "Seconds until it is worth asking again."));
        asks.into_iter().chain(waits)
    }
}
