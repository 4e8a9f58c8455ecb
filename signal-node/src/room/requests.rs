//! What members ask of the room, up to the step that waits for the log.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::server::{ErrorFrame, milliseconds};
use signal_protocol::{ErrorCode, IceServers, Mid, PeerId, RoomId, ServerMessage, limits};

use super::append_queue::Requester;
use super::command::{Command, JoinCommand, Ordered, Reply};
use super::outbox::FrameEvent;
use super::worker::Worker;
use crate::log::{Join, Op, SocketId, Volatile};

/// ReplayProgress to who waits while calls fail.
const UNREACHABLE: &str = "the room log is not reachable";

/// ReplayProgress to who asks while as much is waiting as may.
const CROWDED: &str = "too much is waiting for the room log";

/// A contact younger than this may have followed a loss.
const FRESH: Duration = Duration::from_secs(10);

/// Pause before a join is made again whose member may be put back yet.
const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Milliseconds after which a log that was not reachable, or a peer that was lost, may be there again.
const UNAVAILABLE_PAUSE: u64 = 500;

/// Milliseconds after which a member with a full window may go on.
const WINDOW_PAUSE: u64 = 100;

impl Worker {
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Join(join) => self.join(*join),
            Command::Ordered { peer, socket, mid, what } => self.kept(peer, socket, mid, what),
            Command::Volatile(volatile) => self.volatile(volatile),
            Command::Leave { peer, socket, reply } => self.leave(&peer, socket, reply),
            Command::Kick { peer, ban, reply } => {
                self.queue.push(Op::Kick { peer, ban }, Requester::Kick { reply });
            }
            Command::WaitIdle(waiting) => self.wait_idle(waiting),
            Command::Suspect => self.suspect(),
            Command::Detach { peer, socket } => {
                if self.members.of_socket(&peer, socket).is_some()
                    && let Some(member) = self.members.remove(&peer)
                {
                    self.queue.push(Op::Detach { by: member.claim }, Requester::Housekeeping);
                }
            }
        }
    }

    fn join(&mut self, command: JoinCommand) {
        let JoinCommand { mut join, ice, reply } = command;
        if reply.outbox.is_closed() {
            // It waited for longer than its socket lived, and would enter a member that is nobody.
            return;
        }
        let requester = Requester::Join { peer: join.peer.clone(), ice, reply };
        if let Some(why) = self.refuses() {
            return self.decline(requester, unavailable(why));
        }
        let liveness = &self.context.liveness;
        join.expires = liveness.in_contact_for(join.grace);
        join.silent = liveness.silent();
        join.waits = !liveness.in_contact_for(FRESH);
        self.queue.push(Op::Join(Box::new(join)), requester);
    }

    /// Asks again for a member that may be put back yet; in the end without regard to what it has seen.
    pub(super) fn join_again(&mut self, join: Join, ice: Option<Arc<IceServers>>, reply: Reply) {
        self.later.push(async move {
            tokio::time::sleep(JOIN_AGAIN_AFTER).await;
            Command::Join(Box::new(JoinCommand { join, ice, reply }))
        });
    }

    /// Says why nothing more can be taken in now.
    fn refuses(&self) -> Option<&'static str> {
        if self.queue.is_failing() {
            Some(UNREACHABLE)
        } else if self.queue.is_full() {
            self.context.metrics.room_refusals.inc();
            Some(CROWDED)
        } else {
            None
        }
    }

    fn kept(&mut self, peer: PeerId, socket: SocketId, mid: Mid, what: Ordered) {
        let (refusal, others) = (self.refuses(), self.room_size.saturating_sub(1));
        let Some(member) = self.members.of_socket(&peer, socket) else { return };
        if let Some(why) = refusal {
            return self.refuse_kept(&peer, socket, mid, unavailable(why));
        }
        if member.unacked() >= limits::UNACKED {
            let text = "too many messages wait for their ack";
            let error = ErrorFrame::new(ErrorCode::RateLimited, text);
            let error = ErrorFrame { after: Some(WINDOW_PAUSE), ..error };
            return self.refuse_kept(&peer, socket, mid, error);
        }
        if let Some(bytes) = multiplied(&what)
            && let Err(wait) = member.multiply(self.context.settings.fanout, bytes * others)
        {
            self.context.metrics.fanout_refusals.inc();
            return self.refuse_kept(&peer, socket, mid, too_much(wait));
        }
        member.take();
        let by = member.claim.clone();
        let (op, refusal) = match what {
            Ordered::Signal { to, data, span } => (Op::Signal { by, mid, to, data, span }, None),
            Ordered::Update(meta) => (Op::Update { by, mid, meta }, None),
            Ordered::Refuse(code, message) => (Op::Refuse { by, mid, code }, Some(message)),
        };
        self.queue.push(op, Requester::Ordered { peer, socket, mid, refusal });
    }

    /// What may be lost is dropped where it would multiply too much, and the member is told to slow down.
    fn volatile(&mut self, volatile: Volatile) {
        let bytes = volatile.data.get().len() * self.room_size.saturating_sub(1);
        let sender = self.members.get_mut(&volatile.from).filter(|_| volatile.to.is_none());
        if let Some(member) = sender
            && let Err(wait) = member.multiply(self.context.settings.fanout, bytes)
        {
            self.context.metrics.fanout_refusals.inc();
            self.context.metrics.refused(ErrorCode::RateLimited);
            let error = ErrorFrame { room: Some(&self.room), ..too_much(wait) };
            member.outbox.push(ServerMessage::Error(error).to_json());
            return;
        }
        self.volatile_queue.push(volatile);
    }

    fn leave(&mut self, peer: &PeerId, socket: SocketId, reply: Reply) {
        let Some(member) = self.members.of_socket(peer, socket) else {
            return reply.ok(Some(FrameEvent::Left(self.room.clone())));
        };
        let by = member.claim.clone();
        self.queue.push(Op::Leave { by }, Requester::Leave { peer: peer.clone(), reply });
    }

    /// Tells those who wait behind a failing call that nothing happened.
    pub(super) fn fail_waiting(&mut self) {
        if !self.queue.is_failing() {
            return;
        }
        let impatient = |requester: &Requester| {
            matches!(requester, Requester::Join { .. } | Requester::Ordered { .. })
        };
        for requester in self.queue.withdraw(impatient) {
            self.decline(requester, unavailable(UNREACHABLE));
        }
    }

    /// Tells the one who waits that the log gave no usable answer.
    pub(super) fn fail(&mut self, requester: Requester) {
        let text = "the room log gave no usable answer";
        self.decline(requester, ErrorFrame::new(ErrorCode::Internal, text));
    }

    /// Tells the one who waits that nothing happened.
    fn decline(&mut self, requester: Requester, error: ErrorFrame<'_>) {
        if !matches!(requester, Requester::Ordered { .. } | Requester::Housekeeping) {
            self.context.metrics.refused(error.code);
        }
        match requester {
            Requester::Join { reply, .. } => {
                reply.refuse(error, Some(FrameEvent::Refused(self.room.clone())));
            }
            Requester::Leave { reply, .. } => {
                reply.refuse(error, Some(FrameEvent::Joined(self.room.clone())));
            }
            Requester::Kick { reply } => reply.refuse(error, None),
            Requester::Ordered { peer, socket, mid, .. } => {
                self.answered(&peer, socket);
                self.refuse_kept(&peer, socket, mid, error);
            }
            Requester::Housekeeping => {}
        }
    }

    /// Notes that a kept message is not on its way any more.
    pub(super) fn answered(&mut self, peer: &PeerId, socket: SocketId) {
        if let Some(member) = self.members.of_socket(peer, socket) {
            member.answered();
        }
    }

    /// Answers a kept message with an error.
    pub(super) fn refuse_kept(
        &mut self,
        peer: &PeerId,
        socket: SocketId,
        mid: Mid,
        error: ErrorFrame<'_>,
    ) {
        self.context.metrics.refused(error.code);
        if let Some(member) = self.members.of_socket(peer, socket) {
            let error = ErrorFrame { mid: Some(mid), room: Some(&self.room), ..error };
            member.outbox.push(ServerMessage::Error(error).to_json());
        }
    }
}

/// Returns the size of what is told to all others, if it is.
fn multiplied(what: &Ordered) -> Option<usize> {
    match what {
        Ordered::Signal { to: None, data, .. } => Some(data.get().len()),
        Ordered::Update(meta) => Some(meta.get().len()),
        Ordered::Signal { to: Some(_), .. } | Ordered::Refuse(..) => None,
    }
}

/// Answers what would multiply too much now.
fn too_much(wait: Duration) -> ErrorFrame<'static> {
    let error = ErrorFrame::new(ErrorCode::RateLimited, "too much is said to all members at once");
    ErrorFrame { after: Some(milliseconds(wait).max(1)), ..error }
}

/// Answers what may be possible in a moment.
pub(super) fn unavailable(why: &str) -> ErrorFrame<'_> {
    let error = ErrorFrame::new(ErrorCode::Unavailable, why);
    ErrorFrame { after: Some(UNAVAILABLE_PAUSE), ..error }
}

/// Answers a command that nobody will carry out.
pub(super) fn refuse(room: &RoomId, command: Command) {
    let error = ErrorFrame::new(ErrorCode::Unavailable, UNREACHABLE);
    match command {
        Command::Join(join) => join.reply.refuse(error, Some(FrameEvent::Refused(room.clone()))),
        Command::Leave { reply, .. } => reply.ok(Some(FrameEvent::Left(room.clone()))),
        Command::Kick { reply, .. } => reply.refuse(error, None),
        Command::Ordered { .. }
        | Command::Volatile(_)
        | Command::WaitIdle(_)
        | Command::Suspect
        | Command::Detach { .. } => {}
    }
}
