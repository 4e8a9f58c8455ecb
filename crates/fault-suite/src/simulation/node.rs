//! One node: the real sessions, rooms and liveness, over an unsteady view of the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::logged_address::AddressDetail;
use service_kit::settings::Rate;
use signal_node::liveness::{HeartbeatSettings, Heartbeater, Liveness};
use signal_node::log::Retention;
use signal_node::log::memory::MemoryLog;
use signal_node::metrics::Metrics;
use signal_node::revoked::RevokedTokens;
use signal_node::room::{RoomContext, RoomSettings, Rooms};
use signal_node::send_budget::SendRates;
use signal_node::session::{
    Context, Entrance, Handover, HandshakeInfo, NodeEvents, SessionRejection, SessionSettings,
    SessionTimers, run as session,
};
use signal_protocol::NodeId;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::link::Way;
use super::settings::Settings;
use super::socket::NodeSocket;
use super::unsteady::View;

/// How long a node that is told to end gives its clients.
const DRAIN_WITHIN: Duration = Duration::from_secs(5);

/// A running node.
pub(super) struct Node {
    context: Arc<Context>,
    /// Its view of the log.
    pub(super) view: Arc<View>,
    heartbeater: Mutex<Option<Heartbeater>>,
    handover: watch::Sender<Option<Handover>>,
    stop: CancellationToken,
    sessions: Mutex<JoinSet<()>>,
}

impl Node {
    /// Starts a node with this name.
    pub(super) fn start(id: &NodeId, settings: &Settings, view: Arc<View>) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new());
        let liveness = Liveness::among(id.clone(), settings.lease);
        let keep = settings.retention.room * 2;
        let beats = HeartbeatSettings { own: id.clone(), lease: settings.lease, keep };
        let heartbeater = Heartbeater::start(&liveness, beats, view.clone(), metrics.clone());
        let (handover, stop) = (watch::Sender::new(None), CancellationToken::new());
        // Nobody revokes anything here.
        let list = Arc::new(MemoryLog::new(settings.retention));
        let revoked = Arc::new(RevokedTokens::new(list, metrics.clone()));
        let events = NodeEvents {
            cut_off: liveness.cut_off(),
            handover: handover.subscribe(),
            revoked: revoked.changes(),
            stop: stop.clone(),
        };
        let sessions = SessionSettings { node: id.clone(), ..settings.sessions.clone() };
        let rooms = room_settings(&sessions, settings.retention);
        let room_context = RoomContext {
            log: view.clone(),
            liveness,
            settings: rooms,
            metrics: metrics.clone(),
            timelines: Arc::default(),
        };
        let context = Arc::new(Context {
            settings: Arc::new(sessions),
            rooms: Rooms::new(room_context),
            verifier: settings.verifier.clone(),
            startup_token: None,
            log_addresses: AddressDetail::None,
            revoked,
            credentials: None,
            metrics,
            timers: SessionTimers::start(&events, None),
            events,
        });
        let (heartbeater, sessions) = (Mutex::new(Some(heartbeater)), Mutex::default());
        Arc::new(Self { context, view, heartbeater, handover, stop, sessions })
    }

    fn sessions(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves a connection whose upgrade is done.
    pub(super) fn serve(&self, stream: DuplexStream, token: String) {
        let context = self.context.clone();
        let mut sessions = self.sessions();
        while sessions.try_join_next().is_some() {}
        sessions.spawn(async move {
            let socket = NodeSocket::new(stream).await;
            let entrance = entrance(context.verify(&token).await);
            session(socket, entrance, (HandshakeInfo::default(), None), &context).await;
        });
    }

    /// Ends it as `kill -9` does: nothing of it is ever heard again.
    pub(super) fn kill(&self) {
        self.view.link.set(Way::Dead);
        self.sessions().abort_all();
    }

    /// Ends it as SIGTERM does: it hands its clients over, and takes leave of the others.
    pub(super) async fn end(&self) {
        // A plan for nobody asks everybody at once, and draws nothing.
        self.handover.send_replace(Some(Handover::plan(0, DRAIN_WITHIN)));
        let mut sessions = std::mem::take(&mut *self.sessions());
        // Those that have not moved in time are closed.
        let _ = timeout(DRAIN_WITHIN, all(&mut sessions)).await;
        self.stop.cancel();
        all(&mut sessions).await;
        let _ = timeout(DRAIN_WITHIN, self.context.rooms.wait_idle()).await;
        let heartbeater = self.heartbeater.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(heartbeater) = heartbeater {
            heartbeater.stop().await;
        }
        self.kill();
    }
}

async fn all(sessions: &mut JoinSet<()>) {
    while sessions.join_next().await.is_some() {}
}

fn entrance(verdict: Result<signal_node::session::Identity, SessionRejection>) -> Entrance {
    match verdict {
        Ok(identity) => Entrance::Authenticated(identity),
        Err(refused) => Entrance::Rejected(refused),
    }
}

fn room_settings(sessions: &SessionSettings, retention: Retention) -> RoomSettings {
    // Bytes, of which no client here sends too many.
    let ample: Rate = "100000000/s".parse().expect("a rate");
    let send_rates = SendRates { fanout: ample, receiver: ample };
    RoomSettings { node: sessions.node.clone(), grace: sessions.grace, retention, send_rates }
}
