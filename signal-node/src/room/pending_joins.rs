//! Joins between their outcome and their entry.
//!
//! The outcome of a join brings the roster; its entry, which comes over the subscription, says where in the order of
//! the room the member begins. So a member is made at exactly its entry: it is sent everything behind it and nothing
//! before it. Where the entry never comes, a pending join ends in one of three other ways: a reset says that the log
//! restored it, or that another claim holds the member, or the position passes the entry. Each of them was once a
//! client that waited for its answer for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use signal_protocol::server::{RefusedMessage, SelfView};
use signal_protocol::{ErrorCode, IceServers, Mid, PeerId, Recovery, RoomId, Seq, ServerMessage};

use super::append_queue::AppendQueue;
use super::command::Reply;
use super::context::Environment;
use super::effect::{Count, StepContext};
use super::fanout::{self, is_inbox};
use super::members::{Member, Members};
use super::outbox::{Delivery, FrameEvent};
use super::replay::Replay;
use super::replies::refused_text;
use super::requester::Requester;
use crate::log::{Claim, Join, Joined, Op, Record, Restored};

/// Bytes that a line of a roster has beside `meta`.
const LINE_OVERHEAD: usize = 128;

/// A join that took effect, and whose entry was not delivered yet.
pub(super) struct PendingJoin {
    pub(super) join: Join,
    pub(super) joined: Joined,
    pub(super) ice: Option<Arc<IceServers>>,
    pub(super) reply: Reply,
}

impl PendingJoin {
    /// Tells whether it is a join of `peer`.
    pub(super) fn is_of(&self, peer: &PeerId) -> bool {
        self.join.peer == *peer
    }

    fn is_replay(&self) -> bool {
        self.joined.recovery == Recovery::Replay
    }

    /// Charges its sender for the roster that it is sent.
    pub(super) fn charge_roster(&self, environment: Environment<'_>) {
        let Environment { now, settings, .. } = environment;
        let lines = if self.is_replay() { &[] } else { self.joined.roster.as_slice() };
        let bytes = lines.iter().map(|line| line.meta.get().len() + LINE_OVERHEAD).sum();
        self.reply.outbox.budget(now).charge(settings.send_rates, bytes, now);
    }

    /// Makes its member.
    pub(super) fn into_member(self) -> Member {
        Member::new(self.join, &self.joined, self.reply.outbox)
    }

    /// Returns what restores its member in a log that has lost it.
    fn snapshot(&self) -> Restored {
        let Self { join, joined, .. } = self;
        Restored {
            by: Claim { peer: join.peer.clone(), generation: joined.seq },
            socket: join.socket,
            n: joined.n,
            mid: joined.mid,
            record: Record::new(join.clone(), joined),
        }
    }

    /// Writes `online`, the answer to a device.
    fn answer_device(&self) -> String {
        ServerMessage::Online { id: self.reply.id, device: &self.join.peer }.to_json()
    }

    fn answer(&self, room: &RoomId) -> Delivery {
        let frame = if is_inbox(room) { self.answer_device() } else { self.answer_member(room) };
        Delivery::from(frame).with_event(FrameEvent::Joined(room.clone()))
    }

    /// Writes `joined`. A refusal that was lost with its socket is in it, or the sender would take the message for
    /// delivered.
    fn answer_member(&self, room: &RoomId) -> String {
        let Self { join, joined, ice, reply } = self;
        let me = (joined.n, &join.peer);
        let frame = ServerMessage::Joined {
            id: reply.id,
            room,
            seq: joined.seq,
            recovery: joined.recovery,
            mid: joined.mid,
            me: SelfView { id: &join.peer, n: joined.n },
            peers: (!self.is_replay()).then(|| fanout::roster(me, joined.roster.iter())),
            ice: ice.as_deref(),
            refused: joined.refused.iter().map(|(mid, code)| refused(*mid, *code)).collect(),
        };
        frame.to_json()
    }
}

fn refused(mid: Mid, code: ErrorCode) -> RefusedMessage<'static> {
    RefusedMessage { mid, code, message: refused_text(code) }
}

/// The pending joins of one room.
#[derive(Default)]
pub(super) struct PendingJoins {
    /// By their entries.
    entries: BTreeMap<Seq, Box<PendingJoin>>,
    /// Members whose joins the task hands in again in a moment. A copy of one may have taken effect meanwhile.
    retries: Vec<PeerId>,
}

impl PendingJoins {
    pub(super) fn insert(&mut self, pending: Box<PendingJoin>) {
        self.entries.insert(pending.joined.seq, pending);
    }

    /// Notes that a join of `peer` is handed in again.
    pub(super) fn retry(&mut self, peer: PeerId) {
        self.retries.push(peer);
    }

    /// Notes that a join of `peer` was handed in again.
    pub(super) fn retried(&mut self, peer: &PeerId) {
        if let Some(at) = self.retries.iter().position(|retry| retry == peer) {
            self.retries.swap_remove(at);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.retries.is_empty()
    }

    /// Tells whether a join of `peer` is pending.
    pub(super) fn holds(&self, peer: &PeerId) -> bool {
        self.entries.values().any(|pending| pending.is_of(peer)) || self.retries.contains(peer)
    }

    /// Takes out the join with this entry.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Box<PendingJoin>> {
        let pending = self.entries.remove(&seq);
        if self.entries.is_empty() {
            // An emptied map keeps a node of its tree.
            self.entries = BTreeMap::new();
        }
        pending
    }

    /// Returns the entries before `seq` that joins wait for.
    pub(super) fn before(&self, seq: Seq) -> Vec<Seq> {
        self.entries.range(..seq).map(|(seq, _)| *seq).collect()
    }

    /// Tells whether the position has passed the entry of one: it was lost with the log.
    pub(super) fn is_passed(&self, position: Seq) -> bool {
        self.entries.first_key_value().is_some_and(|(seq, _)| *seq <= position)
    }

    pub(super) fn get(&self, seq: Seq) -> Option<&PendingJoin> {
        self.entries.get(&seq).map(AsRef::as_ref)
    }

    /// Takes all of them out.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = PendingJoin> {
        std::mem::take(&mut self.entries).into_values().map(|pending| *pending)
    }

    /// Returns what restores their members.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = Restored> {
        self.entries.values().map(|pending| pending.snapshot())
    }
}

/// Makes a member of the join with this entry, if there is one. It is sent what it missed up to the entry `before`,
/// then hears everything. Without a `before` nothing is replayed: a reset speaks for what was missed.
///
/// The join stays in `joins` until nothing more can panic: [`super::Replica::rebuild`] ends the joins it finds there.
pub(super) fn activate(
    joins: &mut PendingJoins,
    (seq, before): (Seq, Option<Seq>),
    members: &mut Members,
    queue: &mut AppendQueue,
    step: &mut StepContext<'_>,
) {
    let Some(pending) = joins.get(seq) else { return };
    let is_closed = pending.reply.outbox.is_closed();
    let answer = (!is_closed).then(|| pending.answer(step.room));
    let position = pending.join.position.filter(|_| pending.is_replay());
    let (recovery, room_size) = (pending.joined.recovery, pending.joined.roster.len() + 1);
    let Some(mut member) = joins.remove(seq).map(|pending| pending.into_member()) else { return };
    let Some(answer) = answer else {
        // The socket closed meanwhile, and its session knew of no membership to detach.
        return queue.push_housekeeping(Op::Detach { by: member.claim });
    };
    // Joins of one member whose entries are lost are all made members at the reset, where nothing has ended the one before.
    fanout::end_replaced(members, step.room, &member.claim.peer, Some(member.socket));
    if is_inbox(step.room) {
        queue.push(Op::Calls, Requester::Rings { peer: member.claim.peer.clone() });
    } else {
        step.count(Count::Joined(recovery));
    }
    members.set_room_size(room_size);
    match position.filter(|position| before.is_some_and(|before| *position < before)) {
        Some(position) => step.effects.replays.push(Replay::begin(&mut member, position, answer)),
        None => drop(member.outbox.push(answer)),
    }
    members.insert(member);
}

/// Ends the connections of members that cannot be sent what they missed: they come back for a snapshot.
///
/// The detach is queued here: when the session says that its socket is gone, the room holds the member no more.
pub(super) fn disconnect_for_snapshot(
    lost: impl IntoIterator<Item = Member>,
    queue: &mut AppendQueue,
    room: &RoomId,
) {
    for member in lost {
        fanout::disconnect(&member, room, "the room's history was lost here");
        queue.push_housekeeping(Op::Detach { by: member.claim });
    }
}
