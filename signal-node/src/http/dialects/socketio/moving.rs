//! The WebSocket to which a session moves: at its own node, or at another one, which takes the session over then.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Extensions;
use axum::response::Response;
use engine_io::{Packet, RequestError};
use hyper::upgrade::OnUpgrade;
use signal_dialects::{Dialect, SocketIo};
use signal_protocol::NodeId;
use tokio::time::{Instant, timeout};

use super::super::super::Public;
use super::super::super::upgrade::UpgradeRequest;
use super::super::super::websocket::switching_protocols;
use super::carrier::Carrier;
use super::sessions::{Answer, Ask};
use super::socket::{EngineSocket, MovedEngine};
use super::{Polled, refuse};
use crate::session::{Entrance, HandshakeInfo, Incoming, run};

/// How long a client may take until it says that its WebSocket carries the session.
const MOVES_WITHIN: Duration = Duration::from_secs(10);

/// Gives the session of a client the WebSocket that came for it.
pub(super) async fn to_websocket(
    public: &Arc<Public>,
    polled: &Polled,
    (request, extensions): (&UpgradeRequest<'_>, &Extensions),
    sid: String,
) -> Response {
    let Some(upgrade) = extensions.get::<OnUpgrade>().cloned() else {
        return refuse(RequestError::BadRequest, true);
    };
    let limit = public.sessions.settings.max_message;
    let address = public.proxies.client_address(request.peer(), request.headers);
    match polled.forwarder.other_node(&sid) {
        None if polled.sessions.has(&sid) => {
            let sessions = polled.sessions.clone();
            tokio::spawn(async move {
                if let Some(carrier) = Carrier::take(upgrade, limit).await {
                    sessions.move_to(&sid, carrier);
                }
            });
        }
        None => return refuse(RequestError::UnknownSession, true),
        Some(node) => {
            if let Err(error) = polled.request(public, request, (sid.clone(), Ask::Probe)).await {
                return refuse(error, true);
            }
            let here = Destination { public: public.clone(), polled: polled.clone(), address };
            tokio::spawn(async move {
                if let Some(carrier) = Carrier::take(upgrade, limit).await {
                    here.take_over(carrier, &node, sid).await;
                }
            });
        }
    }
    switching_protocols(request.headers, false)
}

/// Where a session of another node arrives.
struct Destination {
    public: Arc<Public>,
    polled: Polled,
    address: IpAddr,
}

impl Destination {
    /// Goes on with a session once its client has moved, or closes the WebSocket.
    async fn take_over(self, mut carrier: Carrier, node: &NodeId, sid: String) {
        let probed = timeout(MOVES_WITHIN, answer_probe(&mut carrier)).await;
        if !matches!(probed, Ok(Some(()))) {
            return carrier.close(1000, "").await;
        }
        let released = self.polled.forwarder.request(node, sid, Ask::Release).await;
        match read(released) {
            Some((moved, dialect)) => self.run(carrier, moved, dialect).await,
            // The client begins another session, in which it is recovered.
            None => carrier.close(1011, "the session is gone").await,
        }
    }

    async fn run(self, mut carrier: Carrier, moved: MovedEngine, dialect: Box<dyn Dialect>) {
        let MovedEngine { revision, packets, session } = moved;
        let sessions = &self.public.sessions;
        let identity = session.identity.arrived(service_kit::clock::unix_now(), Instant::now());
        let Ok(permit) = self.public.connection_limiter.enter_moved(self.address) else {
            return carrier.close(1013, "the node is full").await;
        };
        if sessions.still_valid(&identity).is_err() {
            return carrier.close(1008, "the token was revoked").await;
        }
        let socket = EngineSocket::moved(revision, carrier, packets);
        let source = HandshakeInfo { address: self.address, region: None, trace: None };
        run(socket, Entrance::Authenticated(identity), (source, Some(dialect)), sessions).await;
        drop(permit);
    }
}

fn read(released: Answer) -> Option<(MovedEngine, Box<dyn Dialect>)> {
    let moved: MovedEngine = serde_json::from_str(&released.ok()?).ok()?;
    let dialect = SocketIo::import(&moved.session.dialect)?;
    Some((moved, Box::new(dialect)))
}

/// Answers the probe of a client, and waits until it has moved; `None`: it does something else.
async fn answer_probe(carrier: &mut Carrier) -> Option<()> {
    let Packet::Ping("probe") = Packet::parse(&next_text(carrier).await?)? else { return None };
    carrier.queue(Packet::Pong("probe").to_text());
    poll_fn(|context| carrier.poll_flush(context)).await.ok()?;
    matches!(Packet::parse(&next_text(carrier).await?)?, Packet::Upgrade).then_some(())
}

async fn next_text(carrier: &mut Carrier) -> Option<String> {
    loop {
        match poll_fn(|context| carrier.poll_recv(context)).await.ok()? {
            Incoming::Text(text) => return Some(text),
            Incoming::Control => {}
            Incoming::Binary | Incoming::Closed(_) | Incoming::Release => return None,
        }
    }
}
