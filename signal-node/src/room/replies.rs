//! The answers of a room to the requests that it refuses.

use std::time::Duration;

use signal_protocol::server::{ErrorFrame, milliseconds};
use signal_protocol::{ErrorCode, LeftReason, RoomId, ServerMessage};

use super::command::{Command, MessageId, Reply, WatchCommand};
use super::effect::{Count, StepContext};
use super::fanout::is_inbox;
use super::members::Members;
use super::outbox::{Delivery, FrameEvent};
use super::requester::Requester;
use super::watchers::end_watch;
use crate::log::JoinRefusal;

/// Error text while calls to the log fail.
pub(super) const UNREACHABLE: &str = "the room log is not reachable";

/// Milliseconds after which a log that was not reachable, or a peer that was lost, may be there again.
const UNAVAILABLE_PAUSE: u64 = 500;

/// Answers an ordered message with an error, if the socket it came over still holds the member.
pub(super) fn refuse_ordered(
    members: &mut Members,
    step: &mut StepContext<'_>,
    id: &MessageId,
    error: ErrorFrame<'_>,
) {
    step.count(Count::Refused(error.code));
    if let Some(member) = members.of_socket(&id.peer, id.socket) {
        let error = ErrorFrame { mid: Some(id.mid), room: Some(step.room), ..error };
        member.outbox.push(ServerMessage::Error(error).to_json());
    }
}

/// Answers a request that has had no effect.
pub(super) fn decline(
    members: &mut Members,
    step: &mut StepContext<'_>,
    requester: Requester,
    error: ErrorFrame<'_>,
) {
    if !matches!(
        requester,
        Requester::Ordered { .. } | Requester::Rings { .. } | Requester::Housekeeping
    ) {
        step.count(Count::Refused(error.code));
    }
    match requester {
        Requester::Join { reply, .. } => {
            reply.refuse(error, Some(FrameEvent::Refused(step.room.clone())));
        }
        // The member is still in the room.
        Requester::Leave { reply, .. } => {
            reply.refuse(error, Some(FrameEvent::Joined(step.room.clone())));
        }
        Requester::Kick { reply } | Requester::Call { reply, .. } => reply.refuse(error, None),
        Requester::Ordered { id, .. } => {
            if let Some(member) = members.of_socket(&id.peer, id.socket) {
                member.message_answered();
            }
            refuse_ordered(members, step, &id, error);
        }
        Requester::Rings { .. } | Requester::Housekeeping => {}
    }
}

/// Answers an `online` that the log has refused.
fn refuse_device(step: &mut StepContext<'_>, reply: &Reply, refusal: JoinRefusal) {
    let (code, message, after) = match refusal {
        JoinRefusal::Full { after, .. } => {
            (ErrorCode::LimitExceeded, "the user has as many devices online as may be", after)
        }
        JoinRefusal::TooManyOfSubject => {
            (ErrorCode::LimitExceeded, "the user has as many devices online as may be", None)
        }
        JoinRefusal::Locked | JoinRefusal::Forbidden => {
            (ErrorCode::Forbidden, "the device is one of another user", None)
        }
        JoinRefusal::Replaced => {
            (ErrorCode::AlreadyJoined, "the device has said online with a later try", None)
        }
    };
    step.count(Count::Refused(code));
    let error = ErrorFrame { after: after.map(milliseconds), ..ErrorFrame::new(code, message) };
    reply.refuse(error, Some(FrameEvent::Refused(step.room.clone())));
}

/// Answers a join that the log has refused.
pub(super) fn refuse_join(step: &mut StepContext<'_>, reply: &Reply, refusal: JoinRefusal) {
    let room = step.room;
    if is_inbox(room) {
        return refuse_device(step, reply, refusal);
    }
    let (code, message, after) = match refusal {
        JoinRefusal::Full { capacity, after } => {
            let text = format!("room '{room}' takes {capacity} members and has as many");
            (ErrorCode::RoomFull, text, after)
        }
        JoinRefusal::Locked => {
            (ErrorCode::RoomLocked, format!("room '{room}' takes no new members"), None)
        }
        JoinRefusal::Forbidden => {
            (ErrorCode::Forbidden, format!("room '{room}' does not admit you"), None)
        }
        JoinRefusal::TooManyOfSubject => {
            let text = format!("too many members of this subject are in room '{room}'");
            (ErrorCode::LimitExceeded, text, None)
        }
        JoinRefusal::Replaced => {
            let reason = LeftReason::Replaced;
            let frame = ServerMessage::Left { room, reason }.to_json();
            let event = FrameEvent::Ended(room.clone(), reason);
            reply.outbox.push(Delivery::from(frame).with_event(event));
            return;
        }
    };
    step.count(Count::Refused(code));
    let after = after.map(milliseconds);
    let error = ErrorFrame { after, ..ErrorFrame::new(code, &message) };
    reply.refuse(error, Some(FrameEvent::Refused(room.clone())));
}

/// Answers a command that came when the room had ended.
pub(super) fn refuse_command(room: &RoomId, command: Command) {
    let error = ErrorFrame::new(ErrorCode::Unavailable, UNREACHABLE);
    match command {
        Command::Join(join) => join.reply.refuse(error, Some(FrameEvent::Refused(room.clone()))),
        Command::Leave { reply, .. } => reply.ok(Some(FrameEvent::Left(room.clone()))),
        Command::Kick { reply, .. } => reply.refuse(error, None),
        Command::Ring(ring) => ring.reply.refuse(error, None),
        Command::StepCall(command) => command.reply.refuse(error, None),
        Command::Watch(WatchCommand { user, outbox, .. }) => {
            end_watch(&outbox, &user, UNREACHABLE);
        }
        Command::Ordered { .. }
        | Command::Volatile(_)
        | Command::Unwatch(_)
        | Command::EndCalls(_)
        | Command::WaitIdle(_)
        | Command::Suspect
        | Command::Detach { .. } => {}
    }
}

/// An error for what may be possible in a moment.
pub(super) fn unavailable(why: &str) -> ErrorFrame<'_> {
    let error = ErrorFrame::new(ErrorCode::Unavailable, why);
    ErrorFrame { after: Some(UNAVAILABLE_PAUSE), ..error }
}

/// An error for a member that sends more to all others than its budget.
pub(super) fn too_much(wait: Duration) -> ErrorFrame<'static> {
    let error = ErrorFrame::new(
        ErrorCode::RateLimited,
        "too much is said at once, counted in bytes and by those who get them",
    );
    ErrorFrame { after: Some(milliseconds(wait).max(1)), ..error }
}

/// The text of an error whose code is the log's.
pub(super) fn refused_text(code: ErrorCode) -> &'static str {
    if code == ErrorCode::PeerNotFound {
        return "nobody of that id is in the room";
    }
    "the message was refused"
}
