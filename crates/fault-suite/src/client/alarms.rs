//! What a client is to do at a time of its own choice.

use tokio::time::Instant;

/// One time for each thing there is to do.
#[derive(Default)]
pub(super) struct Alarms {
    /// Open a socket, having none.
    pub(super) connect: Option<Instant>,
    /// Open the socket that is to replace the current one.
    pub(super) handover: Option<Instant>,
    /// Join again on the current socket.
    pub(super) rejoin: Option<Instant>,
    /// Leave, drop the socket, or come back as somebody new.
    pub(super) change: Option<Instant>,
}

impl Alarms {
    /// The earliest of them.
    pub(super) fn next(&self) -> Option<Instant> {
        [self.connect, self.handover, self.rejoin, self.change].into_iter().flatten().min()
    }
}

/// Whether an alarm is due; one that is, is taken.
pub(super) fn take_due(alarm: &mut Option<Instant>, now: Instant) -> bool {
    let due = alarm.is_some_and(|at| now >= at);
    if due {
        *alarm = None;
    }
    due
}
