//! The two lines that the log has about a connection: that it opened, and how it ended.

use std::fmt::Display;

use signal_protocol::Subject;
use tracing::field::{DisplayValue, display};
use tracing::{debug, info};

use super::identity::Identity;
use super::run::{CloseCause, Session};
use super::socket::Socket;
use super::traffic::Traffic;
use crate::room::FrameEvent;

impl<S: Socket> Session<'_, S> {
    fn user(&self) -> Option<&str> {
        self.machine.identity().and_then(Identity::subject).map(Subject::as_str)
    }

    /// Logs that the connection is open: the client was welcomed, so that its user is known.
    pub(super) fn log_opened(&self) {
        info!(
            socket.id = %self.machine.socket(),
            node.id = %self.context.settings.node,
            user = self.user(),
            dialect = self.dialect.as_ref().map(|session| session.dialect.name().as_str()),
            address = self.context.log_addresses.of(self.address).map(display),
            "connection opened"
        );
    }

    /// Logs how the connection ended. Rooms and members are those that it held then, or the last one that was taken
    /// from it.
    pub(super) fn log_ended(&self, cause: &CloseCause) {
        let Traffic { received, sent } = &self.traffic;
        let held = || self.machine.last_memberships();
        info!(
            socket.id = %self.machine.socket(),
            node.id = %self.context.settings.node,
            room.id = list(held().map(|(room, _)| room)),
            peer.id = list(held().map(|(_, peer)| peer)),
            user = self.user(),
            address = self.context.log_addresses.of(self.address).map(display),
            close.code = cause.label(),
            seconds = self.began.elapsed().as_secs_f64(),
            bytes.received = received.bytes,
            bytes.sent = sent.bytes,
            frames.received = received.count,
            frames.sent = sent.count,
            "connection ended: {}", cause.text()
        );
    }

    /// Logs a change of membership that the client has just been sent.
    pub(super) fn log_membership(&self, event: &FrameEvent) {
        let socket = self.machine.socket();
        match event {
            FrameEvent::Joined(room) => {
                let peer = self.machine.member(room).map(display);
                debug!(socket.id = %socket, room.id = %room, peer.id = peer, "joined room {room}");
            }
            FrameEvent::Left(room) | FrameEvent::Ended(room, _) => {
                let peer = self.machine.member(room).map(display);
                debug!(socket.id = %socket, room.id = %room, peer.id = peer, "left room {room}");
            }
            FrameEvent::Refused(_)
            | FrameEvent::Traced(_)
            | FrameEvent::ForClient
            | FrameEvent::Unwatched(_)
            | FrameEvent::Rings(_)
            | FrameEvent::CallOver(_)
            | FrameEvent::Lost(_) => {}
        }
    }
}

/// Joins names by commas; `None` if there is none, so that the line has no empty field.
fn list(names: impl Iterator<Item = impl Display>) -> Option<DisplayValue<String>> {
    let names: Vec<String> = names.map(|name| name.to_string()).collect();
    (!names.is_empty()).then(|| display(names.join(",")))
}
