//! The API of draft-uberti-behave-turn-rest-00, for servers: `?service=turn&username=…&key=…`.
//!
//! Janus uses it; clients written for Nextcloud's signaling server use it under
//! `/turn/credentials`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use service_kit::{clock, random};
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::super::request_error::RequestError;
use super::super::{read_bytes, respond};
use super::error_responses::ErrorResponses;
use super::state::{PublicState, UnresolvedRequest};
use crate::credential::Subject;
use crate::metrics::ListenerKind;
use crate::render::draft::DraftResponse;

/// The media type of a form (WHATWG URL §5).
const FORM: &str = "application/x-www-form-urlencoded";

/// The request parameters.
#[derive(IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
#[schema(as = DraftAsk)]
#[expect(dead_code, reason = "a parameter is read by its name")]
pub(super) struct DraftParameters {
    /// Always `turn`.
    #[param(example = "turn")]
    #[schema(example = "turn")]
    service: String,
    /// The subject: 1 to 128 letters, digits, dots, underscores, tildes or hyphens. If absent,
    /// every response is for a new random subject, and no limit per user applies.
    #[param(example = "ana")]
    #[schema(example = "ana")]
    username: Option<String>,
    /// An API key. Proxies on the way log it in a URL; a form hides it.
    key: Option<String>,
    /// The API key, under the name that Janus and Nextcloud send.
    api: Option<String>,
    /// Seconds; clamped to the bounds of the service.
    #[param(example = 600)]
    #[schema(example = 600)]
    ttl: Option<u64>,
}

/// Name and value pairs of query and form.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query, then the form of a `POST`.
    async fn read(request: Request) -> Result<Self, RequestError> {
        let query = request.uri().query().unwrap_or_default().as_bytes();
        let mut pairs: Vec<_> = form_urlencoded::parse(query).into_owned().collect();
        let media = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media.is_some_and(|media| media.starts_with(FORM)) {
            let form = read_bytes(request).await?;
            pairs.extend(form_urlencoded::parse(&form).into_owned());
        }
        Ok(Self(pairs))
    }

    /// Returns the first non-empty value of a parameter, so the query wins over the form.
    fn get(&self, name: &str) -> Option<&str> {
        let mut named = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        named.next().map(|(_, value)| value.as_str())
    }
}

pub(super) fn routes() -> Router<Arc<PublicState>> {
    let both = || -> MethodRouter<Arc<PublicState>> { get(turn).post(turn_by_form) };
    Router::new().route("/turn", both()).route("/turn/credentials", both())
}

/// Issues a credential to a server with an API key
#[utoipa::path(
    get,
    path = "/turn",
    tag = "draft-uberti",
    params(DraftParameters),
    responses((status = 200, description = "A credential.", body = DraftResponse), ErrorResponses),
    security(("key" = []), ("api" = [])),
)]
pub(super) async fn turn(State(state): State<Arc<PublicState>>, request: Request) -> Response {
    let began = Instant::now();
    let outcome = answer(&state, request).await;
    respond(&state.metrics, ListenerKind::Public, began, outcome.map(Json))
}

/// Issues a credential to a server with an API key in a form
///
/// A parameter in the query wins over the same one in the form.
#[utoipa::path(
    post,
    path = "/turn",
    tag = "draft-uberti",
    request_body(content = DraftParameters, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "A credential.", body = DraftResponse), ErrorResponses),
    security(("key" = []), ("api" = [])),
)]
pub(super) async fn turn_by_form(state: State<Arc<PublicState>>, request: Request) -> Response {
    turn(state, request).await
}

async fn answer(state: &PublicState, request: Request) -> Result<DraftResponse, RequestError> {
    let (address, hint) = (state.address(&request), state.hint(&request));
    let given = Parameters::read(request).await?;
    state.check_api_key(address, given.get("key").or(given.get("api")))?;
    if given.get("service") != Some("turn") {
        return Err(RequestError::UnsupportedService);
    }
    let ttl = given.get("ttl").map(str::parse).transpose().map_err(|_| RequestError::InvalidTtl)?;
    let subject = given.get("username").map_or_else(|| Ok(random_subject()), Subject::new)?;
    let now = clock::unix_now();
    let issued = state
        .issue(UnresolvedRequest { subject, ttl, token_ends: None, region: None, hint }, now)?;
    Ok(DraftResponse::new(&issued, now.as_secs()))
}

/// Generates a subject, so that requests without a username share no quota.
fn random_subject() -> Subject {
    random::token().parse().expect("a token is letters, digits, hyphens and underscores")
}
