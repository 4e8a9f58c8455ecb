//! Notifies waiting nodes that the credentials or relays they handed out have been superseded.

use signal_protocol::IceReason;
use tokio::sync::watch;

/// One change of keys or relays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Rises by one per change, from a random start; nodes only compare it for equality.
    pub number: u64,
    /// The kind of change; nodes forward it to clients.
    pub reason: IceReason,
}

/// Holds the newest change and wakes everyone who waits for the next one.
#[derive(Clone, Debug)]
pub struct ChangeNotifier(watch::Sender<Change>);

impl ChangeNotifier {
    /// Starts at a random number, so that a node notices the restart of this service as a change.
    #[must_use]
    pub fn new() -> Self {
        // 53 bits: clients in other languages read JSON numbers as IEEE doubles.
        let number = u64::from_be_bytes(service_kit::random::bytes()) >> 12;
        Self(watch::Sender::new(Change { number, reason: IceReason::Refresh }))
    }

    /// Publishes a change; every waiting `GET /internal/v1/changes` returns.
    pub fn notify(&self, reason: IceReason) {
        self.0.send_modify(|change| *change = Change { number: change.number + 1, reason });
    }

    /// Returns a receiver that sees every change from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Change> {
        self.0.subscribe()
    }
}

impl Default for ChangeNotifier {
    fn default() -> Self {
        Self::new()
    }
}
