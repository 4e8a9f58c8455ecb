//! A connection that another node takes over: who the client is, and what its dialect knows of it.

use super::identity::{Identity, MovedSession};
use super::run::{CloseCause, Session};
use super::socket::Socket;

impl<S: Socket> Session<'_, S> {
    /// Gives the session to the node that has asked for it.
    pub(super) fn release(&mut self) -> CloseCause {
        // What was said to the client already goes with it; entries that come later are read by the other node.
        while self.outbox.has_frames() && !self.socket.is_full() && self.queue_some().is_ok() {}
        let dialect = self.dialect.as_ref().and_then(|session| session.dialect.export());
        let identity = self.machine.identity().map(Identity::moved);
        let session = identity.zip(dialect);
        self.socket.release(session.map(|(identity, dialect)| MovedSession { identity, dialect }));
        CloseCause::Moved
    }
}
