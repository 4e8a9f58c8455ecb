//! The paths of `PeerJS` below its base: the WebSocket at `peerjs`, and at `KEY/id` an id for a client that has none.
//!
//! The key is any text, as every one opens the same ids: pages of one application are known to mix them.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Extensions, HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use service_kit::trace::{Kind, Span};
use signal_dialects::PeerJs;

use super::super::upgrade::{UpgradeRequest, answer, check_handshake, enter};
use super::super::{Anonymous, Public, readable_anywhere};
use super::{parameter, without_hello};

/// The path of the WebSocket below a base, which is `/` or has none at its end.
pub(super) fn socket_path(base: &str) -> String {
    format!("{}/peerjs", base.trim_end_matches('/'))
}

pub(super) fn routes(base: &str) -> Router<Arc<Public>> {
    let below = base.trim_end_matches('/');
    let router = Router::new()
        .route(&socket_path(base), get(connect))
        .route(&format!("{below}/{{key}}/id"), get(new_id))
        .route(&format!("{below}/{{key}}/peers"), get(no_discovery));
    router.layer(readable_anywhere())
}

/// Draws an id, which nobody else draws.
async fn new_id() -> Response {
    let drawn = u128::from_le_bytes(service_kit::random::bytes());
    // Version 4, and the variant of RFC 9562.
    let id = (drawn & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let text = format!("{id:032x}");
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], parts.join("-")).into_response()
}

/// The original server tells who is there only if it is set to.
async fn no_discovery() -> StatusCode {
    StatusCode::UNAUTHORIZED
}

async fn connect(
    State(public): State<Arc<Public>>,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = UpgradeRequest::new(&uri, &headers, &extensions);
    let span = Span::root("GET /peerjs", Kind::Server);
    let [id, token, key] = ["id", "token", "key"].map(|name| parameter(&uri, name));
    let admitted = match check_handshake(socket) {
        Ok(()) => {
            without_hello(&public, enter(&public, &request, (jwt(&public, &token), None)).await)
        }
        Err(rejection) => Err(rejection),
    };
    let dialect = Box::new(PeerJs::new(&id, &token, &key));
    answer(&public, &request, &extensions, (admitted, Some(dialect), span))
}

/// Where a token is needed, the one that shows whose an id is has to be a JWT, since the client has no other place for one.
fn jwt<'a>(public: &Public, token: &'a str) -> Option<&'a str> {
    (public.anonymous == Anonymous::Never).then_some(token)
}
