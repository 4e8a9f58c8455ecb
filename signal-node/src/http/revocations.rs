//! What back ends ask about tokens that are to be void before their end.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use service_kit::clock;
use utoipa::ToSchema;

use super::Public;
use super::refusal::{Refusal, Refusals};
use crate::log::{Revoked, RevokedBy};

/// The longest revocation, in seconds: a leap year.
const LONGEST: u64 = 366 * 86_400;

/// A revocation that is in force.
#[derive(Serialize, ToSchema)]
pub(super) struct Revocation {
    by: RevokedBy,
    #[schema(example = "ana")]
    name: String,
    /// When it ends, in Unix seconds.
    #[schema(example = 1_795_452_762_u64)]
    until: u64,
}

/// All of them.
#[derive(Serialize, ToSchema)]
pub(super) struct RevocationList {
    revocations: Vec<Revocation>,
}

/// For how long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Term {
    /// Seconds from now; a day, if absent. No token of yours should live longer.
    #[serde(rename = "for", default = "a_day")]
    #[schema(minimum = 1, maximum = 31_622_400, example = 3_600)]
    seconds: u64,
}

fn a_day() -> u64 {
    86_400
}

/// Routes what back ends ask about tokens.
pub(super) fn routes() -> Router<Arc<Public>> {
    Router::new()
        .route("/v1/revocations", get(list))
        .route("/v1/revocations/{by}/{name}", put(revoke).delete(lift))
}

/// Lists what is revoked
#[utoipa::path(
    get,
    path = "/v1/revocations",
    tag = "revocations",
    responses((status = 200, description = "All revocations in force.", body = RevocationList), Refusals),
    security(("token" = [])),
)]
pub(super) async fn list(
    State(public): State<Arc<Public>>,
    headers: HeaderMap,
) -> Result<Json<RevocationList>, Refusal> {
    public.administer_all(&headers).await?;
    let list = public.sessions.revoked.list().await?;
    Ok(Json(RevocationList { revocations: list.into_iter().map(Revocation::new).collect() }))
}

/// Revokes all tokens of a subject, or the one of an id
///
/// Every node ends their connections within two seconds (close code 4100) and lets nobody in with them.
#[utoipa::path(
    put,
    path = "/v1/revocations/{by}/{name}",
    tag = "revocations",
    params(
        ("by" = RevokedBy, Path, description = "`sub` or `jti`"),
        ("name" = String, Path, description = "Any text of 1 to 1020 bytes, percent-encoded"),
    ),
    request_body = Term,
    responses((status = 200, description = "It is in force.", body = Revocation), Refusals),
    security(("token" = [])),
)]
pub(super) async fn revoke(
    State(public): State<Arc<Public>>,
    named_by: Result<Path<(RevokedBy, String)>, PathRejection>,
    request: Request,
) -> Result<Json<Revocation>, Refusal> {
    public.administer_all(request.headers()).await?;
    let Path((by, name)) = named_by.map_err(|_| Refusal::Revoked)?;
    let revoked = named(by, &name)?;
    let Json(Term { seconds }) = Json::from_request(request, &()).await?;
    if !(1..=LONGEST).contains(&seconds) {
        return Err(Refusal::Body(format!("for is 1 to {LONGEST} seconds")));
    }
    let until = clock::unix_seconds() + seconds;
    public.sessions.revoked.revoke(revoked.clone(), until).await?;
    Ok(Json(Revocation::new((revoked, until))))
}

/// Lifts a revocation
#[utoipa::path(
    delete,
    path = "/v1/revocations/{by}/{name}",
    tag = "revocations",
    params(
        ("by" = RevokedBy, Path, description = "`sub` or `jti`"),
        ("name" = String, Path, description = "Any text of 1 to 1020 bytes, percent-encoded"),
    ),
    responses((status = 204, description = "It is lifted."), Refusals),
    security(("token" = [])),
)]
pub(super) async fn lift(
    State(public): State<Arc<Public>>,
    named_by: Result<Path<(RevokedBy, String)>, PathRejection>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    public.administer_all(&headers).await?;
    let Path((by, name)) = named_by.map_err(|_| Refusal::Revoked)?;
    let lifted = public.sessions.revoked.lift(named(by, &name)?).await?;
    if lifted { Ok(StatusCode::NO_CONTENT) } else { Err(Refusal::NotRevoked) }
}

fn named(by: RevokedBy, name: &str) -> Result<Revoked, Refusal> {
    Revoked::new(by, name).ok_or(Refusal::Revoked)
}

impl Revocation {
    fn new((revoked, until): (Revoked, u64)) -> Self {
        Self { by: revoked.by, name: revoked.name, until }
    }
}
