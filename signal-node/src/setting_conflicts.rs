//! Settings of which each may stand and not all of them: a node with them would fail its clients later.

use std::time::Duration;

use service_kit::settings::Reader;
use signal_protocol::limits;

use crate::session::SessionSettings;

/// Bytes that a node adds to a message on its way to the receiver.
const FRAME_OVERHEAD: usize = 1_024;

/// Bytes that a roster has for a member beside its `meta`.
const MEMBER_OVERHEAD: usize = 256;

/// After its own detection of a dead socket a client needs at most this long to be back.
const RECONNECT: Duration = Duration::from_secs(5);

/// The client gives up this long after an unanswered `ping`.
const CLIENT_PATIENCE: Duration = Duration::from_secs(4);

/// Reports what of the settings cannot be together.
pub(crate) fn check(r: &mut Reader<'_>, sessions: &SessionSettings) {
    check_outbox(r, sessions);
    check_grace(r, sessions);
}

/// The queue of a connection must hold a message beside what it may have when a replay goes on, and every roster.
fn check_outbox(r: &mut Reader<'_>, sessions: &SessionSettings) {
    // A replay goes on while a quarter of the queue is taken.
    let message = (sessions.max_message + FRAME_OVERHEAD) * 4 / 3 + 1;
    if sessions.outbox_bytes < message {
        let what = format!(
            "is too small for one message of max_message: whoever is sent one would be closed 4002, so write {message} or more"
        );
        r.fault("outbox_bytes", what);
    }
    let roster =
        (limits::META_BYTES + MEMBER_OVERHEAD) * sessions.room_capacity as usize + FRAME_OVERHEAD;
    if sessions.outbox_bytes < roster {
        let what = format!(
            "is too small for the roster of a room of room_capacity members with all the meta they may have: whoever \
             joined would be closed 4002, so write {roster} or more"
        );
        r.fault("outbox_bytes", what);
    }
}

/// A client must be able to notice a dead socket and be back within the grace.
fn check_grace(r: &mut Reader<'_>, sessions: &SessionSettings) {
    let back = sessions.ping + CLIENT_PATIENCE + RECONNECT;
    if back >= sessions.grace {
        let what = format!(
            "is too short: a client notices a dead socket after ping + 4 s and needs 5 s to be \
             back, so grace must be above {back:?}"
        );
        r.fault("grace", what);
    }
}
