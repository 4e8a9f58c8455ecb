//! From an entry of the log to the frames of the members here: encoded once, handed to each it is for.

use bytes::Bytes;
use service_kit::trace::{Kind, Span};
use signal_protocol::{
    LeaveReason, LeftReason, PeerId, PeerView, RoomId, Seq, ServerMessage, Subject,
};

use super::members::{Member, Members};
use super::outbox::{Delivery, FrameEvent};
use crate::log::{Entry, Payload, RosterMember, Survivor, Volatile};

/// Who says what no member has said.
const SERVER: &str = "server";

/// Hands an entry to every live member here that it is for.
pub(super) fn deliver(members: &mut Members, room: &RoomId, seq: Seq, entry: &Entry) {
    let delivered = members.delivered();
    let hand = |member: &mut Member, frame: Bytes| {
        member.outbox.push(Delivery { event: traced(entry, &frame), frame });
        member.told(seq, delivered);
    };
    match entry {
        Entry::Reset { roster } => {
            for member in members.live() {
                if let Some(frame) = reset(member, room, seq, roster) {
                    hand(member, frame.into());
                }
            }
        }
        Entry::Signal { to: Some(to), .. } | Entry::Announced { to: Some(to), .. } => {
            let member = members.get_mut(to).filter(|member| member.is_live());
            if let (Some(member), Some(frame)) = (member, message(room, seq, entry)) {
                hand(member, frame.into());
            }
        }
        _ => {
            let mut told =
                members.live().filter(|m| about(entry) != Some(&m.claim.peer)).peekable();
            let Some(frame) = told.peek().and_then(|_| message(room, seq, entry)) else { return };
            let frame = Bytes::from(frame);
            told.for_each(|member| hand(member, frame.clone()));
        }
    }
}

/// Begins to trace a signal's way to one member, if it is traced.
fn traced(entry: &Entry, frame: &Bytes) -> Option<FrameEvent> {
    let Entry::Signal { trace: Some(parent), .. } = entry else { return None };
    let span = Span::under(**parent, "process room", Kind::Consumer);
    describe(&span, "process", frame.len());
    Some(FrameEvent::Traced(Box::new(span)))
}

/// Says of a span what the messaging conventions ask for; which room it is stays untold.
pub fn describe(span: &Span, operation: &'static str, bytes: usize) {
    span.set("messaging.system", "redis");
    span.set("messaging.operation.name", operation);
    span.set("messaging.destination.template", "{room}:l");
    span.set("messaging.message.body.size", i64::try_from(bytes).unwrap_or(i64::MAX));
}

/// Returns the frame by which one member is told of an entry, if it is for that member.
pub(super) fn told(member: &Member, room: &RoomId, seq: Seq, entry: &Entry) -> Option<String> {
    match entry {
        Entry::Reset { roster } => reset(member, room, seq, roster),
        Entry::Signal { to: Some(to), .. } | Entry::Announced { to: Some(to), .. }
            if *to != member.claim.peer =>
        {
            None
        }
        _ if about(entry) == Some(&member.claim.peer) => None,
        _ => message(room, seq, entry),
    }
}

/// Hands on what has no place in the order.
pub(super) fn tell(members: &mut Members, room: &RoomId, volatile: &Volatile) {
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

/// Returns the member that an entry is about, and that is not told of it.
fn about(entry: &Entry) -> Option<&PeerId> {
    match entry {
        Entry::Joined { peer, .. }
        | Entry::Updated { peer, .. }
        | Entry::Away { peer, .. }
        | Entry::Back { peer }
        | Entry::Left { peer, .. }
        | Entry::Signal { from: peer, .. } => Some(peer),
        Entry::Announced { .. } | Entry::Reset { .. } => None,
    }
}

fn signal<'a>(
    room: &'a RoomId,
    seq: Option<Seq>,
    (from, to, data): (&'a str, Option<&'a PeerId>, &'a Payload),
) -> ServerMessage<'a> {
    ServerMessage::Signal { room, seq, volatile: seq.is_none(), from, to, data }
}

/// Writes the frame that everyone gets to whom an entry is told; a reset is another one for each.
fn message(room: &RoomId, seq: Seq, entry: &Entry) -> Option<String> {
    let updated = |peer| ServerMessage::PeerUpdated { room, seq, peer };
    let message = match entry {
        Entry::Signal { from, to, data, .. } => {
            signal(room, Some(seq), (from.as_str(), to.as_ref(), data))
        }
        Entry::Announced { to, data } => signal(room, Some(seq), (SERVER, to.as_ref(), data)),
        Entry::Joined { peer, n, resumed: false, user, meta, .. } => {
            let peer = newcomer(peer, *n, user.as_ref(), meta.as_ref());
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
        Entry::Reset { .. } => return None,
    };
    Some(message.to_json())
}

/// Tells a member the roster after a loss; nothing, if another claim to it was put back.
///
/// A member that its node has yet to put back is told too: what follows is handed to it, and may not
/// look as if nothing were missing before it.
fn reset(member: &Member, room: &RoomId, seq: Seq, roster: &[Survivor]) -> Option<String> {
    let me = roster.iter().find(|survivor| survivor.line.peer == member.claim.peer);
    if me.is_some_and(|me| me.generation != member.claim.generation) {
        return None;
    }
    // What was acknowledged stays so: its node puts that back as well.
    let mid = me.map_or(member.taken(), |me| me.mid.max(member.taken()));
    let others = roster.iter().map(|survivor| &survivor.line);
    let peers = self::roster((member.n, &member.claim.peer), others);
    Some(ServerMessage::Reset { room, seq, mid, peers }.to_json())
}

fn unchanged(peer: &PeerId) -> PeerView<'_> {
    PeerView { id: peer, n: None, user: None, polite: None, away: None, meta: None }
}

/// A newcomer has the greatest `n` of the room, so it is polite towards everyone, and nobody towards it.
fn newcomer<'a>(
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

/// Tells a member that the room has ended its membership.
pub(super) fn end(member: &Member, room: &RoomId, reason: LeftReason) {
    let frame = ServerMessage::Left { room, reason }.to_json();
    member.outbox.push(Delivery::from(frame).with_event(FrameEvent::Ended(room.clone(), reason)));
}

/// Translates why a member is gone into what the member itself is told; `None`: it said so itself.
pub(super) fn told_reason(reason: LeaveReason) -> Option<LeftReason> {
    match reason {
        LeaveReason::Left => None,
        LeaveReason::Timeout => Some(LeftReason::Expired),
        LeaveReason::Kicked => Some(LeftReason::Kicked),
    }
}
