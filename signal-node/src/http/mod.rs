//! The public listener: the WebSocket upgrade and the demo page. The only place that names axum.

mod assets;
mod origin;
mod upgrade;
mod visitors;
mod websocket;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use ipnet::IpNet;

use crate::session::Context;

pub use origin::{AllowedOrigins, Origin};
pub use visitors::{Crowded, Place, Visitors};

/// Who may come in without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Nobody.
    Never,
    /// Whoever comes from this very machine, by a name that no other machine has.
    Local,
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
    /// The networks whose `X-Forwarded-*` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they say where a client is.
    pub region_header: Option<String>,
    /// How many are here, and from where.
    pub visitors: Arc<Visitors>,
    /// The port it is bound to, if it is one.
    pub port: Option<u16>,
}

/// Makes the routes of the public listener.
pub fn router(public: Arc<Public>) -> Router {
    Router::new().route("/v1/ws", get(upgrade::upgrade)).merge(assets::router()).with_state(public)
}
