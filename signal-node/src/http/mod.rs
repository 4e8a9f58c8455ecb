//! The public listener: the WebSocket upgrade, REST for back ends and the demo page. The only place that names axum.

mod assets;
mod connection_limiter;
mod console;
mod dialects;
mod ice;
mod openapi;
mod origin;
mod refusal;
mod refused_tokens;
mod revocations;
mod rooms;
mod starting;
mod static_file;
mod timelines;
mod unverified_limiter;
mod upgrade;
mod webhooks;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::http::header::ACCESS_CONTROL_ALLOW_ORIGIN;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::routing::get;
use bytes::Bytes;
use service_kit::http::{Problem, Proxies};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::liveness::Cluster;
use crate::log::EventStore;
use crate::session::Context;

pub use connection_limiter::{
    ConnectionLimiter, ConnectionLimits, ConnectionPermit, LimitExceeded,
};
pub use console::Console;
pub use dialects::Dialects;
pub(crate) use dialects::read_dialects;
pub use openapi::openapi;
pub use origin::AllowedOrigins;
pub use starting::starting_router;
pub use unverified_limiter::UnverifiedLimiter;

/// Who may come in without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Nobody.
    Never,
    /// Clients that show the token that the node prints at its start.
    WithStartupToken,
    /// Everybody.
    Always,
}

/// What the public listener works with.
pub struct Public {
    /// What every session shares.
    pub sessions: Context,
    /// Who may come in without a token.
    pub anonymous: Anonymous,
    /// The origins that pages may have.
    pub origins: AllowedOrigins,
    /// The proxies whose headers about a client are believed.
    pub proxies: Proxies,
    /// How many upgrades come without a valid token, and from where.
    pub unverified_limiter: UnverifiedLimiter,
    /// How many are here, and from where.
    pub connection_limiter: Arc<ConnectionLimiter>,
    /// The nodes, for who looks at them.
    pub cluster: Cluster,
    /// The dialects that are on, with their paths.
    pub dialects: Dialects,
    /// The queues of events, if there are endpoints for them.
    pub events: Option<Arc<dyn EventStore>>,
    /// The script of the client of Socket.IO, which pages load from the node.
    pub socketio_client: Option<Bytes>,
}

/// Lets pages of any origin read an answer, so that a page that could not connect finds out why. Who may connect is
/// decided by [`AllowedOrigins`].
fn readable_anywhere() -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::overriding(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"))
}

async fn not_found(uri: Uri) -> Problem {
    let text = format!("there is nothing at {}: the WebSocket is at /v1/ws", uri.path());
    Problem::new(StatusCode::NOT_FOUND, "not_found").detail(text)
}

/// What back ends ask, on the public listener and in the console.
fn back_end_routes(largest: usize) -> Router<Arc<Public>> {
    rooms::routes(largest).merge(revocations::routes()).merge(timelines::routes())
}

/// Makes the routes of the public listener.
pub fn router(public: Arc<Public>) -> Router {
    let largest = public.sessions.settings.max_message;
    Router::new()
        .route("/v1/ws", get(upgrade::upgrade).layer(readable_anywhere()))
        .merge(ice::routes())
        .merge(refused_tokens::bounded(back_end_routes(largest).merge(webhooks::routes()), &public))
        .merge(openapi::routes())
        .merge(assets::router())
        .merge(dialects::routes(&public, largest))
        .fallback(get(not_found).layer(readable_anywhere()))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
        })
        .with_state(public)
}
