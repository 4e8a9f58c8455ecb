//! Where clients of other protocols connect: one path for each dialect that is on.

mod matchbox;
mod peerjs;
mod setting;
mod socketio;
mod topics;

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::Uri;
use signal_dialects::DialectName;

use super::upgrade::{Admission, UpgradeRequest, check_handshake, enter};
use super::{Anonymous, Public};
use crate::session::{Entrance, Identity, SessionRejection};

pub use setting::Dialects;
pub(crate) use setting::read_dialects;

/// Makes the routes of the dialects that are on.
pub(super) fn routes(public: &Arc<Public>, largest: usize) -> Router<Arc<Public>> {
    public.dialects.iter().fold(Router::new(), |router, (name, path)| match name {
        DialectName::Topics => router.merge(topics::routes(path)),
        DialectName::PeerJs => router.merge(peerjs::routes(path)),
        DialectName::Matchbox => router.merge(matchbox::routes(path)),
        DialectName::SocketIo => router.merge(socketio::routes(path, public, largest)),
    })
}

/// Reads a parameter of the query, which is a form: `+` is a blank. One that is not there is empty.
fn parameter(uri: &Uri, name: &str) -> String {
    let query = uri.query().unwrap_or_default().as_bytes();
    let found = form_urlencoded::parse(query).find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// A browser that opens a WebSocket sets no headers, and clients of others offer no subprotocol of ours. So their token stands in
/// the query, as `token`.
async fn admit(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Admission {
    check_handshake(socket)?;
    let token = parameter(request.uri, "token");
    let token = (!token.is_empty()).then_some(&*token);
    without_hello(public, enter(public, request, (token, None)).await)
}

/// Decides about a client without a token: its protocol has no `hello` for one. Where natives show the token that the node has
/// printed, such a client cannot, and comes in without it.
pub(super) fn without_hello(public: &Public, admitted: Admission) -> Admission {
    let (entrance, permit) = admitted?;
    let Entrance::AwaitingHello { .. } = entrance else { return Ok((entrance, permit)) };
    let entrance = match public.anonymous {
        Anonymous::Always | Anonymous::WithStartupToken => {
            Entrance::Authenticated(Identity::Anonymous)
        }
        Anonymous::Never => Entrance::Rejected(SessionRejection::no_token()),
    };
    Ok((entrance, permit))
}
