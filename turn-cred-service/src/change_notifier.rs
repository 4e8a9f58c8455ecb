//! Tells the nodes beside us when what they hold is not the best any more.

use signal_protocol::IceReason;
use tokio::sync::watch;

/// One change of what is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Counts the changes from an arbitrary beginning; what differs is newer.
    pub number: u64,
    /// What happened.
    pub reason: IceReason,
}

/// The newest change, for everybody who waits for the next.
#[derive(Clone, Debug)]
pub struct ChangeNotifier(watch::Sender<Change>);

impl ChangeNotifier {
    /// Begins with a number that no earlier process has given.
    #[must_use]
    pub fn new() -> Self {
        // Programs in other languages read numbers as floats of 53 bits.
        let number = u64::from_be_bytes(service_kit::random::bytes()) >> 12;
        Self(watch::Sender::new(Change { number, reason: IceReason::Refresh }))
    }

    /// Tells everybody to ask again.
    pub fn notify(&self, reason: IceReason) {
        self.0.send_modify(|change| *change = Change { number: change.number + 1, reason });
    }

    /// Hears of every change from now on.
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
