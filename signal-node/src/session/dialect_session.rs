//! What a session holds for a client that does not speak `signal.v1`.

use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use signal_dialects::{Dialect, Effects, PostOutcome};
use signal_protocol::{PeerId, RoomId};

use super::context::Context;
use crate::log::SocketId;
use crate::pending_futures::PendingFutures;
use crate::room::{Command, Outbox, Reply};

/// What the log has answered, for the dialect that asked.
pub(super) enum DialectAnswer {
    Posted(RoomId, PostOutcome),
    Number(Option<u64>),
}

/// The dialect of one connection, what it asks for, and its questions in flight.
pub(super) struct DialectSession<'a> {
    pub(super) context: &'a Context,
    pub(super) dialect: Box<dyn Dialect>,
    pub(super) effects: Effects,
    pub(super) answers: PendingFutures<'a, DialectAnswer>,
}

impl<'a> DialectSession<'a> {
    pub(super) fn new(dialect: Box<dyn Dialect>, context: &'a Context) -> Self {
        context.metrics.dialects.opened(dialect.name());
        Self { context, dialect, effects: Vec::new(), answers: PendingFutures::default() }
    }
}

impl Drop for DialectSession<'_> {
    fn drop(&mut self) {
        self.context.metrics.dialects.closed(self.dialect.name());
    }
}

/// Polls the questions in flight; pending where there is no dialect.
pub(super) fn poll_answers(
    dialect: &mut Option<Box<DialectSession<'_>>>,
    context: &mut TaskContext<'_>,
) -> Poll<DialectAnswer> {
    dialect.as_mut().map_or(Poll::Pending, |dialect| dialect.answers.poll_next(context))
}

/// The leave of a member whose socket is gone.
pub(super) fn leave_of(peer: PeerId, socket: SocketId, outbox: Arc<Outbox>) -> Command {
    Command::Leave { peer, socket, reply: Reply { outbox, id: None } }
}
