//! How a session begins, over a WebSocket or with polling. It is admitted and counted once, whatever carries it later.

use std::sync::Arc;

use axum::http::Extensions;
use axum::response::Response;
use engine_io::{Open, RequestError, Revision, Transport, payload};
use hyper::upgrade::OnUpgrade;
use service_kit::trace::{Kind, Span};
use signal_dialects::socketio::Protocol;
use signal_dialects::{Dialect, SocketIo};
use signal_protocol::CloseCode;

use super::super::super::upgrade::{
    Admission, Rejection, UpgradeRequest, answer_with, enter, pending,
};
use super::super::super::websocket::PendingSession;
use super::super::super::{Anonymous, Public};
use super::super::{parameter, without_hello};
use super::carrier::Carrier;
use super::socket::EngineSocket;
use super::{Polled, answer, refuse};
use crate::session::{Entrance, SessionSettings, run};

/// Opens a session over a WebSocket.
pub(super) async fn over_websocket(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    extensions: &Extensions,
    (revision, handshake): (Revision, Result<(), Rejection>),
) -> Response {
    let admitted = match handshake {
        Ok(()) => admit(public, request, revision).await,
        Err(rejection) => Err(rejection),
    };
    let sid = new_sid(&public.sessions.settings);
    let opening = (admitted, Some(dialect(revision, &sid)), span());
    answer_with(public, request, extensions, opening, |upgrade, pending| {
        tokio::spawn(run_over_websocket(upgrade, pending, (revision, sid)));
    })
}

async fn run_over_websocket(
    upgrade: OnUpgrade,
    pending: Box<PendingSession>,
    (revision, sid): (Revision, String),
) {
    let PendingSession { entrance, source, dialect, public, permit } = *pending;
    let settings = &public.sessions.settings;
    let Some(carrier) = Carrier::take(upgrade, settings.max_message).await else { return };
    let open = open_packet(settings, &sid, Transport::WebSocket);
    let socket = EngineSocket::over_websocket(revision, carrier, open);
    run(socket, entrance, (source, dialect), &public.sessions).await;
    drop(permit);
}

/// Opens a session with polling.
pub(super) async fn over_polling(
    public: &Arc<Public>,
    polled: &Polled,
    request: &UpgradeRequest<'_>,
    revision: Revision,
) -> Response {
    let admitted = admit(public, request, revision).await;
    if let Ok((Entrance::Rejected(rejection), _)) = &admitted
        && rejection.close == CloseCode::OriginRefused
    {
        return refuse(RequestError::Forbidden, false);
    }
    let (settings, sid) = (&public.sessions.settings, new_sid(&public.sessions.settings));
    let opening = (admitted, Some(dialect(revision, &sid)), span());
    let pending = match pending(public, request, opening) {
        Ok(pending) => pending,
        Err(refused) => return *refused,
    };
    // The next request may come to another node. Without the log it finds nobody, and the client begins anew.
    let _ = polled.forwarder.listen().await;
    let (listed, requests) = polled.sessions.list(&sid);
    tokio::spawn(async move {
        let PendingSession { entrance, source, dialect, public, permit } = pending;
        let socket = EngineSocket::over_polling(revision, requests);
        run(socket, entrance, (source, dialect), &public.sessions).await;
        drop((listed, permit));
    });
    let open = open_packet(settings, &sid, Transport::Polling);
    answer(Ok(payload::encode(revision, &[open])), "text/plain; charset=UTF-8")
}

fn span() -> Option<Span> {
    Span::root("GET /socket.io", Kind::Server)
}

/// Decides about a client by the token of its headers or its query. A client of the fourth revision may show one when it connects
/// to the namespace instead.
async fn admit(
    public: &Arc<Public>,
    request: &UpgradeRequest<'_>,
    revision: Revision,
) -> Admission {
    let token = parameter(request.uri, "token");
    let token = (!token.is_empty()).then_some(&*token);
    let admitted = enter(public, request, (token, None)).await;
    match (revision, admitted) {
        (Revision::V4, Ok((Entrance::AwaitingHello { .. }, permit))) => {
            let anonymous = public.anonymous != Anonymous::Never;
            Ok((Entrance::AwaitingHello { anonymous }, permit))
        }
        (_, admitted) => without_hello(public, admitted),
    }
}

fn dialect(revision: Revision, sid: &str) -> Box<dyn Dialect> {
    let protocol = match revision {
        Revision::V3 => Protocol::Four { sid: sid.to_owned() },
        Revision::V4 => Protocol::Five,
    };
    let secret = service_kit::random::token();
    Box::new(SocketIo::new(protocol, &secret).expect("16 random bytes in base64url are a key"))
}

/// Names a session: with the node, so that any other one finds it.
fn new_sid(settings: &SessionSettings) -> String {
    format!("{}~{}", settings.node, service_kit::random::token())
}

/// The first packet of a session. The session pings and gives up as it does for every client.
fn open_packet(settings: &SessionSettings, sid: &str, transport: Transport) -> String {
    let times = (settings.ping, settings.ping * 5 / 2);
    Open::new(sid, transport, times, settings.max_message).to_packet()
}
