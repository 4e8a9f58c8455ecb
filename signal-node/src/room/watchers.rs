//! The sockets that are told of one user.

use std::sync::Arc;

use bytes::Bytes;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{ErrorCode, ServerMessage, Subject};

use super::outbox::{Delivery, Enqueued, FrameEvent, Outbox};
use crate::log::SocketId;

/// Milliseconds after which a watch that has ended may be asked for again.
const WATCH_AGAIN_AFTER: u64 = 500;

/// A socket that is told.
struct Watcher {
    socket: SocketId,
    outbox: Arc<Outbox>,
    is_told: bool,
}

/// All sockets of this node that watch one user.
#[derive(Default)]
pub(super) struct Watchers {
    list: Vec<Watcher>,
    /// Whether one of them has been told nothing yet.
    has_new: bool,
}

impl Watchers {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Tells whether one of them has been told nothing yet.
    pub(super) fn has_new(&self) -> bool {
        self.has_new
    }

    /// Adds a socket; one that is there is told again.
    pub(super) fn add(&mut self, socket: SocketId, outbox: Arc<Outbox>) {
        self.remove(socket);
        self.list.reserve_exact(1);
        self.list.push(Watcher { socket, outbox, is_told: false });
        self.has_new = true;
    }

    pub(super) fn remove(&mut self, socket: SocketId) {
        self.list.retain(|watcher| watcher.socket != socket);
    }

    /// Pushes a frame to all of them, or to the new ones. Those whose session is over are removed.
    pub(super) fn push(&mut self, frame: &Bytes, to_all: bool) {
        self.has_new = false;
        self.list.retain_mut(|watcher| {
            let is_due = to_all || !watcher.is_told;
            watcher.is_told = true;
            !is_due || watcher.outbox.push(frame.clone()) != Enqueued::Gone
        });
    }

    /// Ends all watches: the inbox ends here.
    pub(super) fn end(&mut self, user: &Subject) {
        for watcher in std::mem::take(&mut self.list) {
            end_watch(
                &watcher.outbox,
                user,
                "the presence of the user cannot be followed here now",
            );
        }
    }
}

/// Tells a socket that it watches a user no more, for a reason that passes.
pub(super) fn end_watch(outbox: &Outbox, user: &Subject, why: &str) {
    let error = ErrorFrame::new(ErrorCode::Unavailable, why);
    let error = ErrorFrame { user: Some(user), after: Some(WATCH_AGAIN_AFTER), ..error };
    let frame = ServerMessage::Error(error).to_json();
    outbox.push(Delivery::from(frame).with_event(FrameEvent::Unwatched(user.clone())));
}
