//! Which ICE servers a session holds, and when it needs fresh ones.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::IceServers;
use tokio::time::Instant;

/// Pause before a credential service that did not answer is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The ICE servers of one session.
#[derive(Debug, Default)]
pub(super) struct IceState {
    current: Option<Arc<IceServers>>,
    due: Option<Instant>,
}

impl IceState {
    /// Returns what can be handed out without asking anyone.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<IceServers>> {
        self.current.clone().filter(|_| self.due.is_some_and(|due| now < due))
    }

    /// Takes an answer in; `None`: the service is away. Sets when to ask next.
    pub(super) fn answered(&mut self, servers: Option<Arc<IceServers>>, now: Instant) {
        let wait = match &servers {
            // However short the validity, the service is not asked more than once a second.
            Some(servers) => Duration::from_secs(servers.refresh_after.max(1)),
            None => ASK_AGAIN_AFTER,
        };
        self.due = Some(now + wait);
        self.current = servers.or(self.current.take());
    }

    /// Returns when to ask next; `None` before the first answer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the appointment out if its time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }
}
