//! The end of a node: not ready, then moving its clients to other nodes, then stopped.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use service_kit::http::Health;
use service_kit::lifecycle::Lifecycle;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::http::Public;
use crate::liveness::Heartbeater;
use crate::session::{Handover, NodeEvents};

/// How often a drain that takes long is logged.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

pub(crate) struct Drain {
    life: Lifecycle,
    health: Health,
    /// How long the node still accepts connections after it was asked to stop.
    delay: Duration,
    /// How long after that the node exits at the latest.
    deadline: Duration,
    /// Stops last: without our heartbeat the other nodes would suspect members that we still hold. `None` if there are
    /// no other nodes to move clients to.
    heartbeater: Option<Heartbeater>,
    listener: CancellationToken,
    sessions: CancellationToken,
    handover: watch::Sender<Option<Handover>>,
}

impl Drain {
    pub(crate) fn new(
        config: &Config,
        life: &Lifecycle,
        health: Health,
        heartbeater: Option<Heartbeater>,
    ) -> Self {
        Self {
            life: life.clone(),
            health,
            delay: config.drain_delay,
            deadline: config.drain_deadline,
            heartbeater,
            listener: CancellationToken::new(),
            sessions: CancellationToken::new(),
            handover: watch::Sender::new(None),
        }
    }

    /// Returns the events that every session follows.
    pub(crate) fn events(
        &self,
        cut_off: watch::Receiver<bool>,
        revoked: watch::Receiver<u64>,
    ) -> NodeEvents {
        let (handover, stop) = (self.handover.subscribe(), self.sessions.clone());
        NodeEvents { cut_off, handover, revoked, stop }
    }

    /// Returns the token whose cancellation closes the public listener.
    pub(crate) fn closed(&self) -> CancellationToken {
        self.listener.clone()
    }

    /// Waits until the node is asked to stop, then drains it.
    pub(crate) async fn run(mut self, public: Arc<Public>) {
        self.life.soft.cancelled().await;
        self.health.not_ready("draining");
        public.sessions.metrics.draining.set(1);
        info!("draining: not ready any more, still accepting for {:?}", self.delay);
        self.until_hard_stop(tokio::time::sleep(self.delay)).await;
        public.connection_limiter.drain();
        let time = self.deadline.saturating_sub(self.delay);
        let ended = timeout(time, self.until_hard_stop(self.empty(&public, time))).await;
        if ended.is_err() {
            warn!("the drain deadline has passed: closing the connections that are left");
        }
        self.sessions.cancel();
        if let Some(heartbeater) = self.heartbeater.take() {
            self.until_hard_stop(heartbeater.stop()).await;
        }
        self.listener.cancel();
        self.life.hard.cancel();
    }

    /// Ends every connection, and waits until the log has stored that its members are away.
    async fn empty(&self, public: &Public, time: Duration) {
        if self.heartbeater.is_some() {
            let clients = public.connection_limiter.count();
            info!("draining: asking {clients} clients to move to other nodes");
            self.handover.send_replace(Some(Handover::plan(clients, time)));
            // Each session closes by itself once the time given to its client is over.
        } else {
            self.sessions.cancel();
        }
        let ended = async {
            public.connection_limiter.gone().await;
            public.sessions.rooms.wait_idle().await;
        };
        tokio::select! {
            () = ended => info!("drained: every connection has ended"),
            () = report_progress(public) => {}
        }
    }

    /// Waits, but no longer than until a second signal.
    async fn until_hard_stop<T>(&self, waited: impl Future<Output = T>) -> Option<T> {
        self.life.hard.run_until_cancelled(waited).await
    }
}

/// Logs every few seconds what the drain still waits for; never returns.
async fn report_progress(public: &Public) {
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        let metrics = &public.sessions.metrics;
        let connections = public.connection_limiter.count();
        let (rooms, queued) = (metrics.rooms.get(), metrics.log_queued.get());
        info!(
            connections,
            rooms,
            queued,
            "draining: waiting for {connections} connections to end, and for the room log to answer {queued} steps of \
             {rooms} rooms"
        );
    }
}
