//! From an entry of the log to the frames of the members here: encoded once, pushed to each member it is for.

use bytes::Bytes;
use service_kit::trace::{Kind, Span};
use signal_protocol::server::ErrorFrame;
use signal_protocol::{
    ErrorCode, LeaveReason, LeftReason, PeerId, PeerView, RoomId, RoomTag, Seq, ServerMessage,
    Subject,
};

use super::members::{Member, Members};
use super::outbox::{Delivery, FrameEvent, Outbox};
use crate::log::{Entry, Payload, ResetMember, RosterMember, SocketId, Volatile};

/// The `from` of a signal that a back end sent.
const SERVER: &str = "server";

/// Pushes an entry to every live member here that it is for.
pub(super) fn deliver(members: &mut Members, room: &RoomId, seq: Seq, entry: &Entry) {
    let delivered = members.delivered();
    let push = |member: &mut Member, frame: Bytes| {
        member.outbox.push(Delivery { event: traced(entry, &frame), frame });
        member.position_sent(seq, delivered);
    };
    if let Entry::Reset { roster } = entry {
        for member in members.live() {
            if let Some(frame) = reset(member, room, seq, roster) {
                push(member, frame.into());
            }
        }
        return;
    }
    if let Some(to) = addressee(entry) {
        let member = members.get_mut(to).filter(|member| member.is_live());
        if let (Some(member), Some(frame)) = (member, message(room, seq, entry)) {
            push(member, frame.into());
        }
        return;
    }
    let mut receivers = members.live().filter(|m| about(entry) != Some(&m.claim.peer)).peekable();
    let Some(frame) = receivers.peek().and_then(|_| message(room, seq, entry)) else { return };
    let frame = Bytes::from(frame);
    receivers.for_each(|member| push(member, frame.clone()));
}

/// Begins to trace a signal's way to one member, if it is traced.
fn traced(entry: &Entry, frame: &Bytes) -> Option<FrameEvent> {
    let Entry::Signal { trace: Some(parent), .. } = entry else { return None };
    let span = Span::under(**parent, "process room", Kind::Consumer);
    describe(&span, "process", frame.len());
    Some(FrameEvent::Traced(Box::new(span)))
}

/// Sets the attributes of the OpenTelemetry messaging conventions, except the room, which stays out of traces.
pub fn describe(span: &Span, operation: &'static str, bytes: usize) {
    span.set("messaging.system", "redis");
    span.set("messaging.operation.name", operation);
    span.set("messaging.destination.template", "{room}:l");
    span.set("messaging.message.body.size", i64::try_from(bytes).unwrap_or(i64::MAX));
}

/// Returns the frame of an entry for one member, if the entry is for that member.
pub(super) fn frame_for(member: &Member, room: &RoomId, seq: Seq, entry: &Entry) -> Option<String> {
    if let Entry::Reset { roster } = entry {
        return reset(member, room, seq, roster);
    }
    let peer = &member.claim.peer;
    let is_for_another = addressee(entry).is_some_and(|to| to != peer);
    if is_for_another || about(entry) == Some(peer) { None } else { message(room, seq, entry) }
}

/// Delivers a volatile signal, which has no sequence number.
pub(super) fn deliver_volatile(members: &mut Members, room: &RoomId, volatile: &Volatile) {
    let Volatile { from, to, data } = volatile;
    let frame: Bytes = signal(room, None, (from.as_str(), to.as_ref(), data)).to_json().into();
    match to {
        None => {
            for member in members.live().filter(|member| member.claim.peer != *from) {
                member.outbox.push(frame.clone());
            }
        }
        Some(to) => {
            if let Some(member) = members.get_mut(to).filter(|member| member.is_live()) {
                member.outbox.push(frame);
            }
        }
    }
}

/// Returns the only member that an entry is for, if it is addressed.
fn addressee(entry: &Entry) -> Option<&PeerId> {
    if let Entry::Signal { to, .. } | Entry::Announced { to, .. } = entry {
        return to.as_ref();
    }
    None
}

/// Returns the member that an entry is about, which is not sent the entry.
fn about(entry: &Entry) -> Option<&PeerId> {
    match entry {
        Entry::Joined { peer, .. }
        | Entry::Updated { peer, .. }
        | Entry::Away { peer, .. }
        | Entry::Back { peer }
        | Entry::Left { peer, .. }
        | Entry::Signal { from: peer, .. } => Some(peer),
        Entry::Announced { .. }
        | Entry::Reset { .. }
        | Entry::Call(_)
        | Entry::Unknown
        | Entry::Unreadable => None,
    }
}

fn signal<'a>(
    room: &'a RoomId,
    seq: Option<Seq>,
    (from, to, data): (&'a str, Option<&'a PeerId>, &'a Payload),
) -> ServerMessage<'a> {
    ServerMessage::Signal { room, seq, volatile: seq.is_none(), from, to, data }
}

/// Writes the frame that every receiver of an entry gets. A reset has another frame for each, so it has none here.
fn message(room: &RoomId, seq: Seq, entry: &Entry) -> Option<String> {
    let updated = |peer| ServerMessage::PeerUpdated { room, seq, peer };
    let message = match entry {
        Entry::Signal { from, to, data, .. } => {
            signal(room, Some(seq), (from.as_str(), to.as_ref(), data))
        }
        Entry::Announced { to, data } => signal(room, Some(seq), (SERVER, to.as_ref(), data)),
        Entry::Joined { peer, n, resumed: false, user, meta, .. } => {
            let peer = new_peer(peer, *n, user.as_ref(), meta.as_ref());
            ServerMessage::PeerJoined { room, seq, peer }
        }
        Entry::Joined { peer, resumed: true, meta, .. } => {
            updated(PeerView { away: Some(false), meta: meta.as_deref(), ..unchanged(peer) })
        }
        Entry::Updated { peer, meta, .. } => {
            updated(PeerView { meta: Some(meta), ..unchanged(peer) })
        }
        Entry::Away { peer, .. } => updated(PeerView { away: Some(true), ..unchanged(peer) }),
        Entry::Back { peer } => updated(PeerView { away: Some(false), ..unchanged(peer) }),
        Entry::Left { peer, reason } => {
            ServerMessage::PeerLeft { room, seq, peer, reason: *reason }
        }
        Entry::Reset { .. } | Entry::Call(_) | Entry::Unknown | Entry::Unreadable => return None,
    };
    Some(message.to_json())
}

/// Writes the roster after a loss for one member; nothing, if a later claim to the member was restored.
///
/// A member that is not in the roster, or there with an earlier claim, since its node has yet to restore it, gets the reset
/// too: the entries that follow are pushed to it, and must not look as if nothing were missing before them.
fn reset(member: &Member, room: &RoomId, seq: Seq, roster: &[ResetMember]) -> Option<String> {
    let me = roster.iter().find(|reset_member| reset_member.line.peer == member.claim.peer);
    if me.is_some_and(|me| me.generation > member.claim.generation) {
        return None;
    }
    // An acknowledged message stays acknowledged: the restore of this member says so to the log as well.
    let mid = me.map_or(member.last_in_log(), |me| me.mid.max(member.last_in_log()));
    let others = roster.iter().map(|reset_member| &reset_member.line);
    let peers = self::roster((member.n, &member.claim.peer), others);
    Some(ServerMessage::Reset { room, seq, mid, peers }.to_json())
}

fn unchanged(peer: &PeerId) -> PeerView<'_> {
    PeerView { id: peer, n: None, user: None, polite: None, away: None, meta: None }
}

/// A new member has the greatest `n` of the room, so it is polite towards everyone, and nobody towards it.
fn new_peer<'a>(
    peer: &'a PeerId,
    n: u64,
    user: Option<&'a Subject>,
    meta: Option<&'a Payload>,
) -> PeerView<'a> {
    let (n, polite) = (Some(n), Some(false));
    PeerView { n, user, polite, meta: meta.map(AsRef::as_ref), ..unchanged(peer) }
}

/// Writes a roster as one receiver sees it. Of two members the one with the greater (`n`, id) is polite.
pub(super) fn roster<'a>(
    me: (u64, &PeerId),
    members: impl Iterator<Item = &'a RosterMember>,
) -> Vec<PeerView<'a>> {
    let line = |other: &'a RosterMember| PeerView {
        id: &other.peer,
        n: Some(other.n),
        user: other.user.as_ref(),
        polite: Some(me > (other.n, &other.peer)),
        away: Some(other.away.is_some()),
        meta: Some(&other.meta),
    };
    let mut lines: Vec<_> = members.filter(|other| other.peer != *me.1).map(line).collect();
    lines.sort_by_key(|line| line.n);
    lines
}

/// Tells whether a room is where a user is reached. Its members are devices, which are told nothing of each other.
pub(super) fn is_inbox(room: &RoomId) -> bool {
    room.tag() == Some(RoomTag::Inbox)
}

/// Ends the older socket of a member. A device that says `online` again over its socket goes on.
pub(super) fn end_replaced(
    members: &mut Members,
    room: &RoomId,
    peer: &PeerId,
    successor: Option<SocketId>,
) {
    if members.get(peer).is_some_and(|member| Some(member.socket) != successor) {
        end(members, room, peer, LeftReason::Replaced);
    }
}

/// Removes a member and sends it `left`, or `offline`: the room has ended its membership.
pub(super) fn end(members: &mut Members, room: &RoomId, peer: &PeerId, reason: LeftReason) {
    if let Some(member) = members.remove(peer) {
        let left = if is_inbox(room) {
            ServerMessage::Offline { reason }
        } else {
            ServerMessage::Left { room, reason }
        };
        let frame = left.to_json();
        let event = FrameEvent::Ended(room.clone(), reason);
        member.outbox.push(Delivery::from(frame).with_event(event));
    }
}

/// Translates why a member is gone into the reason in its own `left`; `None`: it left by itself.
pub(super) fn left_reason(reason: LeaveReason) -> Option<LeftReason> {
    match reason {
        LeaveReason::Left => None,
        LeaveReason::Timeout => Some(LeftReason::Expired),
        LeaveReason::Kicked => Some(LeftReason::Kicked),
    }
}

/// Ends the connection of a member with 4003, so that it comes back for a snapshot or a replay.
pub(super) fn disconnect(member: &Member, room: &RoomId, why: &str) {
    disconnect_outbox(&member.outbox, room, why);
}

/// Ends a connection with 4003.
pub(super) fn disconnect_outbox(outbox: &Outbox, room: &RoomId, why: &str) {
    let error = ErrorFrame::new(ErrorCode::Unavailable, why);
    let frame = ServerMessage::Error(error).to_json();
    outbox.push(Delivery::from(frame).with_event(FrameEvent::Lost(room.clone())));
}
