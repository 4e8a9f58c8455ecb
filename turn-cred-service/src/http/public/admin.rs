//! Endpoints for operators and back ends, with a token that has the right `admin`: usage, denials,
//! relays.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service_kit::clock;
use service_kit::tokens::Right;
use utoipa::ToSchema;

use super::super::request_error::RequestError;
use super::super::{error_response, read_body};
use super::error_responses::AdminErrorResponses;
use super::state::PublicState;
use crate::credential::Subject;
use crate::pool::{Pools, Standing};
use crate::relay_db::Window;
use crate::revocation::{LONGEST_DENIAL, revoke};
use crate::usage::{Budget, UsageDb};

/// A day.
const DEFAULT_DENIAL_SECONDS: u64 = 86_400;

/// Bytes relayed in the current window.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Usage {
    /// Bytes to and from clients, as far as the relays have reported them.
    #[schema(example = 1_048_576)]
    bytes: u64,
    /// The budget in bytes, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    budget: Option<u64>,
    /// The length of the window in seconds.
    #[schema(example = 86_400)]
    window: u64,
    /// End of the window; the counter restarts then.
    #[schema(example = "2026-11-26T00:00:00Z")]
    ends_at: String,
}

/// The duration of a denial.
#[derive(Deserialize, ToSchema)]
#[schema(as = DenialAsk)]
pub(super) struct DenialBody {
    /// Seconds; a day if absent.
    #[schema(minimum = 1, maximum = 31_622_400, example = 3600)]
    seconds: Option<u64>,
}

/// A denial.
#[derive(Serialize, ToSchema)]
pub(super) struct Denial {
    /// End of the denial.
    #[schema(example = "2026-11-26T12:00:00Z")]
    until: String,
    /// The allocations closed, per relay with a console.
    relays: Vec<RelayRevocation>,
}

/// The allocations closed at one relay.
#[derive(Serialize, ToSchema)]
#[schema(as = RevokedAtRelay)]
pub(super) struct RelayRevocation {
    #[schema(example = "eu-1")]
    relay: String,
    /// Number of allocations closed.
    #[schema(example = 2)]
    ended: usize,
    /// The error of the console, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// A relay and its health.
#[derive(Serialize, ToSchema)]
pub(super) struct RelayState {
    #[schema(example = "eu-1")]
    relay: String,
    #[schema(example = "eu")]
    region: String,
    /// `healthy`, `suspect`, `draining` or `down`.
    #[schema(example = "healthy")]
    standing: String,
    uris: Vec<String>,
}

pub(super) fn routes() -> Router<Arc<PublicState>> {
    Router::new()
        .route("/v1/subjects/{subject}/usage", get(subject_usage))
        .route("/v1/subjects/{subject}/denial", put(deny).delete(allow))
        .route("/v1/rooms/{room}/usage", get(room_usage))
        .route("/v1/relays", get(relays))
}

/// Returns the bytes that a subject has relayed
#[utoipa::path(
    get,
    path = "/v1/subjects/{subject}/usage",
    tag = "admin",
    params(("subject" = String, Path, description = "The subject as in tokens, not its pseudonym.")),
    responses((status = 200, description = "Its usage.", body = Usage), AdminErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn subject_usage(
    State(state): State<Arc<PublicState>>,
    Path(subject): Path<String>,
    request: Request,
) -> Response {
    respond_or_error(&state, usage_of_subject(&state, &subject, request).await)
}

async fn usage_of_subject(
    state: &PublicState,
    subject: &str,
    request: Request,
) -> Result<Json<Usage>, RequestError> {
    let usage = state.admin_db(state.token(&request)?).await?;
    let pseudonym = state.issuer.keys().pseudonym_of(&Subject::new(subject)?);
    let window = usage.window(clock::unix_seconds());
    let bytes = usage.db.usage(window, pseudonym.as_str()).await?;
    Ok(Json(Usage::new(bytes, window, usage.budget)))
}

/// Returns the bytes that the members of a room have relayed
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}/usage",
    tag = "admin",
    params(("room" = String, Path, description = "The room id.")),
    responses((status = 200, description = "Its usage.", body = Usage), AdminErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn room_usage(
    State(state): State<Arc<PublicState>>,
    Path(room): Path<String>,
    request: Request,
) -> Response {
    respond_or_error(&state, usage_of_room(&state, &room, request).await)
}

async fn usage_of_room(
    state: &PublicState,
    room: &str,
    request: Request,
) -> Result<Json<Usage>, RequestError> {
    let usage = state.admin_db(state.token(&request)?).await?;
    let window = usage.window(clock::unix_seconds());
    let bytes = usage.db.room_usage(window, room).await?;
    Ok(Json(Usage::new(bytes, window, None)))
}

/// Denies a subject credentials, and closes its allocations where a relay has a console
#[utoipa::path(
    put,
    path = "/v1/subjects/{subject}/denial",
    tag = "admin",
    params(("subject" = String, Path, description = "The subject as in tokens, not its pseudonym.")),
    request_body = DenialBody,
    responses((status = 200, description = "The denial.", body = Denial), AdminErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn deny(
    State(state): State<Arc<PublicState>>,
    Path(subject): Path<String>,
    request: Request,
) -> Response {
    respond_or_error(&state, deny_subject(&state, &subject, request).await)
}

async fn deny_subject(
    state: &PublicState,
    subject: &str,
    request: Request,
) -> Result<Json<Denial>, RequestError> {
    let UsageDb { db, .. } = state.admin_db(state.token(&request)?).await?;
    let pseudonym = state.issuer.keys().pseudonym_of(&Subject::new(subject)?);
    let DenialBody { seconds } = read_body(request).await?;
    let seconds = seconds.unwrap_or(DEFAULT_DENIAL_SECONDS);
    if !(1..=LONGEST_DENIAL).contains(&seconds) {
        return Err(RequestError::InvalidDenial);
    }
    let revoked = revoke(&db, state.issuer.pools(), &pseudonym, seconds).await?;
    let ended = revoked.relays.into_iter().map(|(relay, ended)| RelayRevocation {
        relay: relay.to_string(),
        ended: ended.as_ref().copied().unwrap_or_default(),
        error: ended.err().map(|error| error.to_string()),
    });
    Ok(Json(Denial { until: clock::rfc3339(revoked.until), relays: ended.collect() }))
}

/// Removes a denial
#[utoipa::path(
    delete,
    path = "/v1/subjects/{subject}/denial",
    tag = "admin",
    params(("subject" = String, Path, description = "The subject as in tokens, not its pseudonym.")),
    responses((status = 204, description = "The denial is removed."), AdminErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn allow(
    State(state): State<Arc<PublicState>>,
    Path(subject): Path<String>,
    request: Request,
) -> Response {
    respond_or_error(&state, allow_subject(&state, &subject, request).await)
}

async fn allow_subject(
    state: &PublicState,
    subject: &str,
    request: Request,
) -> Result<StatusCode, RequestError> {
    let UsageDb { db, .. } = state.admin_db(state.token(&request)?).await?;
    db.allow(&state.issuer.keys().pseudonym_of(&Subject::new(subject)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists the relays and their health
#[utoipa::path(
    get,
    path = "/v1/relays",
    tag = "admin",
    responses((status = 200, description = "All relays.", body = [RelayState]), AdminErrorResponses),
    security(("token" = [])),
)]
pub(super) async fn relays(State(state): State<Arc<PublicState>>, request: Request) -> Response {
    respond_or_error(&state, list_relays(&state, request).await)
}

async fn list_relays(
    state: &PublicState,
    request: Request,
) -> Result<Json<Vec<RelayState>>, RequestError> {
    state.check_right(state.token(&request)?, Right::Admin).await?;
    Ok(Json(relay_states(state)))
}

fn relay_states(state: &PublicState) -> Vec<RelayState> {
    let (pools, standings): (&Pools, _) = (state.issuer.pools(), state.issuer.standings());
    let relays = pools.iter().flat_map(|pool| pool.relays.iter().map(move |relay| (pool, relay)));
    let state = |(number, (pool, relay)): (usize, (&crate::pool::Pool, &crate::pool::Relay))| {
        let standing = match standings.of_relay(number) {
            Standing::Healthy => "healthy",
            Standing::Suspect => "suspect",
            Standing::Draining => "draining",
            Standing::Down => "down",
        };
        RelayState {
            relay: relay.name.to_string(),
            region: pool.region.to_string(),
            standing: standing.to_owned(),
            uris: relay.uris.iter().map(ToString::to_string).collect(),
        }
    };
    relays.enumerate().map(state).collect()
}

impl Usage {
    fn new(bytes: u64, window: Window, budget: Option<Budget>) -> Self {
        Self {
            bytes,
            budget: budget.map(|budget| budget.bytes),
            window: window.length,
            ends_at: clock::rfc3339(window.end),
        }
    }
}

impl PublicState {
    /// Checks the right `admin`, and that Redis is configured.
    async fn admin_db(&self, token: &str) -> Result<UsageDb, RequestError> {
        self.check_right(token, Right::Admin).await?;
        self.usage.clone().ok_or(RequestError::NoRedis)
    }
}

fn respond_or_error(
    state: &PublicState,
    outcome: Result<impl IntoResponse, RequestError>,
) -> Response {
    outcome.map_or_else(|error| error_response(&state.metrics, &error), IntoResponse::into_response)
}
