//! What back ends ask with a token that has the right `admin`: who is in a room, say something there, remove a member,
//! close the doors; and how the cluster does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service_kit::clock;
use service_kit::http::bearer;
use service_kit::tokens::{Claims, Right};
use signal_protocol::{PeerId, RoomId, Seq, limits};
use utoipa::{IntoParams, ToSchema};

use super::Public;
use super::refusal::{Refusal, Refusals};
use crate::liveness::NodeState;
use crate::log::{Op, Outcome, RoomView, RosterMember};

/// The header by which a repeated signal is told from a new one.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest key, in characters.
const KEY_CHARS: usize = 128;

/// A room as it is now.
#[derive(Serialize, ToSchema)]
pub(super) struct Room {
    #[serde(rename = "room")]
    #[schema(value_type = String, example = "demo")]
    id: RoomId,
    /// The number of its last entry; 0 if nothing is kept of it.
    #[schema(value_type = u64, example = 1_795_366_362_000_047_u64)]
    seq: Seq,
    /// How many members it takes, where that was set for it.
    cap: Option<u32>,
    /// Whether new members are refused.
    locked: bool,
    /// Its members in the order in which they entered.
    peers: Vec<Member>,
}

/// A member of a room.
#[derive(Serialize, ToSchema)]
struct Member {
    #[schema(value_type = String, example = "p_u1BMnQ3PWsFKcSzG2oqhFg")]
    id: PeerId,
    /// Its number among the joins of the room.
    n: u64,
    /// The subject of its token; none if anonymous.
    user: Option<String>,
    /// Whether its socket is gone, so that it may come back.
    away: bool,
    /// The node that holds its socket, or held it last.
    #[schema(example = "n_5f3c0a9d1b2e")]
    node: String,
    /// What it tells about itself.
    #[schema(value_type = Object)]
    meta: Box<RawValue>,
}

/// What to say in a room.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Signal {
    /// The member it is for; all members, if absent.
    #[schema(value_type = Option<String>, example = json!(null))]
    to: Option<PeerId>,
    /// Any JSON. Members receive it unchanged, with `"from":"server"`.
    #[schema(value_type = Object, example = json!({"recording": true}))]
    data: Box<RawValue>,
}

/// Where a signal stands in the room's log.
#[derive(Serialize, ToSchema)]
pub(super) struct Announcement {
    #[schema(value_type = u64, example = 1_795_366_362_000_048_u64)]
    seq: Seq,
}

/// What to set; what is absent stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RoomConfiguration {
    /// How many members the room takes.
    #[schema(minimum = 1, example = 12)]
    cap: Option<u32>,
    /// Whether new members are refused. Who is a member comes back nevertheless.
    locked: Option<bool>,
}

/// How to remove a member.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Kick {
    /// For how many seconds its subject may not come back; a day at most.
    #[serde(default)]
    #[param(minimum = 0, maximum = 86_400, example = 60)]
    ban: u64,
}

/// The nodes of the cluster.
#[derive(Serialize, ToSchema)]
pub(super) struct Cluster {
    nodes: Vec<NodeState>,
}

/// Routes what back ends ask; `largest` is the largest body, in bytes.
pub(super) fn routes(largest: usize) -> Router<Arc<Public>> {
    Router::new()
        .route("/v1/rooms/{room}", get(inspect).put(configure))
        .route("/v1/rooms/{room}/signals", post(announce))
        .route("/v1/rooms/{room}/peers/{peer}", delete(kick))
        .route("/v1/cluster", get(cluster))
        .layer(DefaultBodyLimit::max(largest))
}

/// Tells who is in a room
#[utoipa::path(
    get,
    path = "/v1/rooms/{room}",
    params(("room" = String, Path, description = "1–64 of `A–Z a–z 0–9 . _ -`")),
    responses((status = 200, description = "The room; without members if there is none.", body = Room), Refusals),
    security(("token" = [])),
)]
pub(super) async fn inspect(
    State(public): State<Arc<Public>>,
    Path(room): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Room>, Refusal> {
    let room = public.administer(&headers, &room).await?;
    public.see(room).await
}

/// Sets how many members a room takes, and whether it takes new ones
///
/// It holds for a day at least, and for as long as the room has members.
#[utoipa::path(
    put,
    path = "/v1/rooms/{room}",
    params(("room" = String, Path, description = "1–64 of `A–Z a–z 0–9 . _ -`")),
    request_body = RoomConfiguration,
    responses((status = 200, description = "The room as it is now.", body = Room), Refusals),
    security(("token" = [])),
)]
pub(super) async fn configure(
    State(public): State<Arc<Public>>,
    Path(room): Path<String>,
    request: Request,
) -> Result<Json<Room>, Refusal> {
    let room = public.administer(request.headers(), &room).await?;
    let Json(RoomConfiguration { cap, locked }) = Json::from_request(request, &()).await?;
    if cap == Some(0) {
        return Err(Refusal::Body("cap is at least 1; to let nobody in, set locked".to_owned()));
    }
    let most = limits::ROOM_CAPACITY;
    if cap.is_some_and(|cap| cap > most) {
        return Err(Refusal::Body(format!("cap is at most {most}")));
    }
    public.decide(&room, Op::Configure { capacity: cap, locked }).await?;
    public.see(room).await
}

/// Says something in a room, to all its members or to one
///
/// With an `Idempotency-Key` a repeated request has no second effect for a day, and the answer of the first.
#[utoipa::path(
    post,
    path = "/v1/rooms/{room}/signals",
    params(
        ("room" = String, Path, description = "1–64 of `A–Z a–z 0–9 . _ -`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1–128 of `A–Z a–z 0–9 . _ -`"),
    ),
    request_body = Signal,
    responses((status = 200, description = "It is in the room's log.", body = Announcement), Refusals),
    security(("token" = [])),
)]
pub(super) async fn announce(
    State(public): State<Arc<Public>>,
    Path(room): Path<String>,
    request: Request,
) -> Result<Json<Announcement>, Refusal> {
    // The right comes before the body: nobody without it has the node wait for one.
    let room = public.administer(request.headers(), &room).await?;
    let key = idempotency_key(request.headers())?;
    let Json(Signal { to, data }) = Json::from_request(request, &()).await?;
    let announce = Op::Announce { key, to, data: data.into() };
    let outcome = public.decide(&room, announce).await?;
    if let Outcome::Appended(seq) = outcome {
        return Ok(Json(Announcement { seq }));
    }
    Err(if matches!(outcome, Outcome::Gone(_)) { Refusal::NoMembers } else { Refusal::NoPeer })
}

/// Removes a member from a room
#[utoipa::path(
    delete,
    path = "/v1/rooms/{room}/peers/{peer}",
    params(
        ("room" = String, Path, description = "1–64 of `A–Z a–z 0–9 . _ -`"),
        ("peer" = String, Path, description = "As the roster tells it."),
        Kick,
    ),
    responses((status = 204, description = "It is no member any more."), Refusals),
    security(("token" = [])),
)]
pub(super) async fn kick(
    State(public): State<Arc<Public>>,
    Path((room, peer)): Path<(String, String)>,
    headers: HeaderMap,
    how: Result<Query<Kick>, QueryRejection>,
) -> Result<StatusCode, Refusal> {
    let room = public.administer(&headers, &room).await?;
    let peer: PeerId = peer.parse().map_err(|_| Refusal::NoPeer)?;
    let Query(Kick { ban }) = how?;
    let ban = Duration::from_secs(ban.min(limits::BAN_SECONDS));
    let outcome = public.decide(&room, Op::Kick { peer, ban }).await?;
    let is_removed = matches!(outcome, Outcome::Appended(_));
    is_removed.then_some(StatusCode::NO_CONTENT).ok_or(Refusal::NoPeer)
}

/// Lists the nodes, and what each of them carries
#[utoipa::path(
    get,
    path = "/v1/cluster",
    responses((status = 200, description = "All nodes that are known.", body = Cluster), Refusals),
    security(("token" = [])),
)]
pub(super) async fn cluster(
    State(public): State<Arc<Public>>,
    headers: HeaderMap,
) -> Result<Json<Cluster>, Refusal> {
    public.administrator(&headers).await?;
    Ok(Json(Cluster { nodes: public.cluster.nodes().await? }))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(key) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let key = key.to_str().ok().filter(|key| (1..=KEY_CHARS).contains(&key.len()));
    let key = key.filter(|key| key.bytes().all(plain)).ok_or(Refusal::Key)?;
    Ok(Some(key.to_owned()))
}

impl Public {
    /// Checks that an administrator asks.
    pub(super) async fn administrator(&self, headers: &HeaderMap) -> Result<Claims, Refusal> {
        let token = bearer(headers).ok_or(Refusal::NoToken)?;
        let claims = self.sessions.verifier.verify_fresh(token, clock::unix_now()).await?;
        if self.sessions.revoked.covers(&claims.sub, claims.jti.as_deref()) {
            return Err(Refusal::TokenRevoked);
        }
        if claims.can(Right::Admin) { Ok(claims) } else { Err(Refusal::NoRight) }
    }

    /// Checks that an administrator of every room asks.
    pub(super) async fn administer_all(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let claims = self.administrator(headers).await?;
        let opens_all = claims.rooms.iter().any(|pattern| pattern == "*");
        if opens_all { Ok(()) } else { Err(Refusal::NotAllRooms) }
    }

    /// Checks that an administrator of this room asks.
    pub(super) async fn administer(
        &self,
        headers: &HeaderMap,
        room: &str,
    ) -> Result<RoomId, Refusal> {
        let claims = self.administrator(headers).await?;
        let room: RoomId = room.parse().map_err(|_| Refusal::Room)?;
        if claims.may_enter(room.as_str()) { Ok(room) } else { Err(Refusal::ForeignRoom) }
    }

    async fn decide(&self, room: &RoomId, op: Op) -> Result<Outcome, Refusal> {
        Ok(self.sessions.rooms.decide(room, op).await?)
    }

    async fn see(&self, room: RoomId) -> Result<Json<Room>, Refusal> {
        let Outcome::Room(view) = self.decide(&room, Op::Inspect).await? else {
            return Err(Refusal::Unavailable);
        };
        Ok(Json(Room::new(room, *view)))
    }
}

impl Room {
    fn new(id: RoomId, view: RoomView) -> Self {
        let mut peers: Vec<Member> = view.members.into_iter().map(Member::new).collect();
        peers.sort_by_key(|peer| peer.n);
        Self { id, seq: view.head, cap: view.capacity, locked: view.locked, peers }
    }
}

impl Member {
    fn new(member: RosterMember) -> Self {
        Self {
            id: member.peer,
            n: member.n,
            user: member.user.map(|user| user.as_str().to_owned()),
            away: member.away.is_some(),
            node: member.node.to_string(),
            meta: RawValue::to_owned(&member.meta),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        self.problem().into_response()
    }
}
