//! From an entry of the log to the frames of the members here: encoded once, handed to each it is for.

use bytes::Bytes;
use signal_protocol::{
    LeaveReason, LeftReason, PeerId, PeerView, RoomId, Seq, ServerMessage, Subject,
};

use super::members::{Member, Members};
use super::outbox::{Delivery, Mark};
use crate::log::{Entry, Payload, RosterMember, Volatile};

/// Hands an entry to every member here that it is for.
pub(super) fn deliver(members: &mut Members, room: &RoomId, seq: Seq, entry: &Entry) {
    match entry {
        Entry::Signal { from, to, data, .. } => {
            signal(members, room, Some(seq), (from, to.as_ref(), data));
        }
        Entry::Joined { peer, n, resumed: false, user, meta, .. } => {
            let view = newcomer(peer, *n, user.as_ref(), meta.as_ref());
            spread(members, peer, seq, &ServerMessage::PeerJoined { room, seq, peer: view });
        }
        Entry::Joined { peer, resumed: true, meta, .. } => {
            let view = PeerView { away: Some(false), meta: meta.as_deref(), ..unchanged(peer) };
            spread(members, peer, seq, &ServerMessage::PeerUpdated { room, seq, peer: view });
        }
        Entry::Updated { peer, meta, .. } => {
            let view = PeerView { meta: Some(meta), ..unchanged(peer) };
            spread(members, peer, seq, &ServerMessage::PeerUpdated { room, seq, peer: view });
        }
        Entry::Away { peer } => {
            let view = PeerView { away: Some(true), ..unchanged(peer) };
            spread(members, peer, seq, &ServerMessage::PeerUpdated { room, seq, peer: view });
        }
        Entry::Left { peer, reason } => {
            let reason = *reason;
            spread(members, peer, seq, &ServerMessage::PeerLeft { room, seq, peer, reason });
        }
    }
}

/// Hands on what has no place in the order.
pub(super) fn tell(members: &mut Members, room: &RoomId, volatile: &Volatile) {
    let Volatile { from, to, data } = volatile;
    signal(members, room, None, (from, to.as_ref(), data));
}

fn signal(
    members: &mut Members,
    room: &RoomId,
    seq: Option<Seq>,
    (from, to, data): (&PeerId, Option<&PeerId>, &Payload),
) {
    let volatile = seq.is_none();
    let from_text = from.as_str();
    let message = ServerMessage::Signal { room, seq, volatile, from: from_text, to, data };
    let Some(to) = to else {
        return spread(members, from, seq.unwrap_or_default(), &message);
    };
    let delivered = members.delivered();
    if let Some(member) = members.get_mut(to) {
        member.outbox.hand(message.to_json());
        if let Some(seq) = seq {
            member.told(seq, delivered);
        }
    }
}

/// Hands one frame to everyone but the member it is about.
fn spread(members: &mut Members, about: &PeerId, seq: Seq, message: &ServerMessage<'_>) {
    let delivered = members.delivered();
    let mut frame: Option<Bytes> = None;
    for member in members.others(about) {
        let frame = frame.get_or_insert_with(|| message.to_json().into());
        member.outbox.hand(frame.clone());
        if seq > Seq::default() {
            member.told(seq, delivered);
        }
    }
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
pub(super) fn roster<'a>(me: (u64, &PeerId), members: &'a [RosterMember]) -> Vec<PeerView<'a>> {
    let line = |other: &'a RosterMember| PeerView {
        id: &other.peer,
        n: Some(other.n),
        user: other.user.as_ref(),
        polite: Some(me > (other.n, &other.peer)),
        away: Some(other.away.is_some()),
        meta: Some(&other.meta),
    };
    let mut lines: Vec<_> = members.iter().map(line).collect();
    lines.sort_by_key(|line| line.n);
    lines
}

/// Tells a member that the room has ended its membership.
pub(super) fn end(member: &Member, room: &RoomId, reason: LeftReason) {
    let frame = ServerMessage::Left { room, reason }.to_json();
    member.outbox.hand(Delivery::from(frame).marked(Mark::Ended(room.clone(), reason)));
}

/// Translates why a member is gone into what the member itself is told; `None`: it said so itself.
pub(super) fn told_reason(reason: LeaveReason) -> Option<LeftReason> {
    match reason {
        LeaveReason::Left => None,
        LeaveReason::Timeout => Some(LeftReason::Expired),
        LeaveReason::Kicked => Some(LeftReason::Kicked),
    }
}
