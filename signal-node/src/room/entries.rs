//! What the entries of the log mean for the members here.
//!
//! Entries are applied one by one, and each before it is delivered to the members: `left replaced` ends a socket
//! before the entry of the join that replaced it, `joined` reaches a new member before any later entry, and neither is
//! sent its own entry.

use std::sync::Arc;

use signal_protocol::{PeerId, Seq};

use super::effect::{Count, StepContext};
use super::fanout::{self, is_inbox};
use super::history;
use super::local_room::LocalRoom;
use super::log_cursor::Next;
use super::members::Member;
use super::pending_joins::{activate, disconnect_for_snapshot};
use super::replay::{AfterPage, Replay, send_page};
use super::requests::FRESH;
use super::{ringing, watching};
use crate::log::{Batch, Claim, Entry, FeedEvent, Op, ResetMember};
use crate::metrics::GapCause;

/// Takes in what came over the subscription.
pub(super) fn on_event(local: &mut LocalRoom, step: &mut StepContext<'_>, event: FeedEvent) {
    match event {
        FeedEvent::Batch(batch) => {
            if !local.cursor.push(batch) {
                step.count(Count::Gap(GapCause::Held));
            }
        }
        FeedEvent::Volatile(volatiles) => {
            for volatile in &*volatiles {
                fanout::deliver_volatile(&mut local.members, step.room, volatile);
            }
        }
        // The log may have ended before our position while nothing was heard, so it is asked for its head, too.
        FeedEvent::Gap => {
            step.count(Count::Gap(GapCause::Feed));
            local.cursor.missed();
            watching::ask_again(local);
            ringing::ask_again(local, step);
            if !local.holds_nobody() || !is_inbox(step.room) {
                local.trim();
            }
        }
    }
}

/// Delivers everything that can be delivered now.
pub(super) fn advance(local: &mut LocalRoom, step: &mut StepContext<'_>) {
    check_unordered(local, step);
    loop {
        match local.cursor.next() {
            Next::Batch(batch) if awaits_outcome(local, step, &batch) => {
                local.cursor.unread(batch);
                break;
            }
            Next::Batch(batch) => deliver(local, step, &batch),
            Next::Lost => {
                local.disconnect_behind_loss(step);
                watching::ask_again(local);
                ringing::ask_again(local, step);
            }
            Next::Broken if watching::begin_anew(local, step) => {
                ringing::ring_again(local, step);
                break;
            }
            Next::Broken => {
                let LocalRoom { recovery, cursor, .. } = local;
                recovery.find_reset(|reset| cursor.skips(reset));
                local.restore(step);
                break;
            }
            Next::Read(after) => {
                step.effects.read = Some(after);
                break;
            }
            Next::Nothing => break,
        }
    }
    let LocalRoom { members, queue, cursor, joins, recovery, .. } = local;
    recovery.resolve_lost_claims(cursor.position(), joins, members, queue, step);
}

/// Looks for joins over this node among the entries that came before the cursor has a position, since every join so far was
/// refused. A late copy of one may have entered since, and its member would hold the place that its client asks for. While a
/// join is under way, nothing needs to be looked for: the roster in its outcome has such a member.
fn check_unordered(local: &mut LocalRoom, step: &mut StepContext<'_>) {
    if !local.queue.is_idle() || !local.joins.is_empty() {
        return;
    }
    let Some((batches, has_missed)) = local.cursor.take_unordered() else { return };
    for (seq, entry) in batches.iter().flat_map(|batch| batch.numbered()) {
        if let Entry::Joined { peer, node, resumed, .. } = entry
            && *node == step.environment.settings.node
        {
            on_unclaimed_join(local, step, (peer, !resumed), seq);
        }
    }
    if has_missed {
        local.queue.push_housekeeping(Op::Inspect);
    }
}

/// Tells whether the batch holds a join of ours whose outcome is on its way. The outcome has the roster, so the batch
/// waits for it; it is never long in coming, since the entry proves that the call was made.
fn awaits_outcome(local: &LocalRoom, step: &StepContext<'_>, batch: &Batch) -> bool {
    batch.entries.iter().any(|entry| {
        matches!(entry, Entry::Joined { peer, node, .. }
            if *node == step.environment.settings.node && local.queue.is_joining(peer))
    })
}

fn deliver(local: &mut LocalRoom, step: &mut StepContext<'_>, batch: &Arc<Batch>) {
    // A device has no position, since nothing is replayed to it, and no timeline.
    let is_inbox = is_inbox(step.room);
    for (seq, entry) in batch.numbered() {
        let before = local.cursor.position();
        local.cursor.delivered(seq);
        if !local.sender_counts.note(entry) {
            continue;
        }
        if !is_inbox {
            let event = history::event(seq, entry, &step.environment.settings.node);
            step.effects.history.extend(event);
        }
        apply(local, step, (before, seq), entry);
        if let Some(presence) = &mut local.presence {
            presence.on_entry(seq, entry, step);
        }
        if !is_inbox {
            fanout::deliver(&mut local.members, step.room, seq, entry);
            local.members.count(step.room, seq);
        }
    }
    if !is_inbox {
        step.timers.position(step.environment.now);
    }
    local.count_growth(batch, step);
}

/// Applies an entry before it is delivered to the members. `before` is the entry before it.
fn apply(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    (before, seq): (Seq, Seq),
    entry: &Entry,
) {
    match entry {
        Entry::Joined { peer, node, resumed, .. } => {
            local.members.set_room_size(local.members.room_size() + usize::from(!resumed));
            step.timers.back(peer);
            step.effects.watch.push(node.clone());
            let is_ours = *node == step.environment.settings.node;
            let successor = local.joins.get(seq).map(|pending| pending.join.socket);
            if is_ours && successor.is_none() {
                on_unclaimed_join(local, step, (peer, !resumed), seq);
            } else {
                fanout::end_replaced(&mut local.members, step.room, peer, successor);
            }
            let LocalRoom { members, queue, joins, .. } = local;
            activate(joins, (seq, Some(before)), members, queue, step);
        }
        Entry::Away { peer, ago } => {
            step.member_away(peer, *ago);
            if let Some(reclaim) = local.reclaim(peer, seq, step) {
                local.queue.push_front(vec![reclaim]);
            }
        }
        Entry::Back { peer } => step.timers.back(peer),
        Entry::Left { peer, reason } => {
            local.members.set_room_size(local.members.others());
            step.timers.back(peer);
            if let Some(reason) = fanout::left_reason(*reason) {
                fanout::end(&mut local.members, step.room, peer, reason);
            }
        }
        Entry::Updated { peer, mid, meta } => {
            if let Some(member) = local.members.get_mut(peer) {
                member.message_in_log(*mid);
                member.set_meta(*mid, meta);
            }
        }
        Entry::Reset { roster } => {
            let LocalRoom { members, queue, joins, recovery, cursor, .. } = local;
            cursor.on_reset(seq);
            members.set_room_size(roster.len());
            recovery.on_reset((seq, roster), joins, members, queue, step);
            renew_claims(local, roster, step);
            ringing::ring_again(local, step);
        }
        Entry::Unreadable => local.restore(step),
        Entry::Call(call) => ringing::on_entry(local, step, call),
        Entry::Announced { .. } | Entry::Unknown => {}
        Entry::Signal { from, mid, .. } => {
            if let Some(member) = local.members.get_mut(from) {
                member.message_in_log(*mid);
            }
        }
    }
}

/// Handles a join over this node that no requester claims: a late copy of a call, or one whose answer nobody could
/// read. A log that has lost a member takes a copy of its join for a new one; the member is here and keeps its place.
///
/// Whoever came in by it anew leaves at once, and its place is free. In a fresh contact it is marked away only: the log may have
/// lost a member that is on another node by now, and that one would be removed.
fn on_unclaimed_join(
    local: &mut LocalRoom,
    step: &mut StepContext<'_>,
    (peer, is_new): (&PeerId, bool),
    seq: Seq,
) {
    if local.members.get(peer).is_some() {
        let reclaim = local.reclaim(peer, seq, step);
        return local.queue.push_front(reclaim.into_iter().collect());
    }
    if local.queue.has_join(peer) || local.joins.holds(peer) {
        // An earlier attempt has entered: the log will answer the one that waits as if it had.
        return;
    }
    let by = Claim { peer: peer.clone(), generation: seq };
    let is_certain = is_new && step.environment.cluster.in_contact_for(FRESH);
    local.queue.push_housekeeping(if is_certain { Op::Leave { by } } else { Op::Detach { by } });
}

/// Follows the claims of a roster: the entry that changed one may lie in the hole before the reset. A member of ours that was
/// suspected meanwhile is reclaimed. One that the log gives to another node, which may be so or be of a time before the
/// loss, ends its connection: it would get no reset, and its client asks anew.
fn renew_claims(local: &mut LocalRoom, roster: &[ResetMember], step: &mut StepContext<'_>) {
    for ResetMember { line, generation, .. } in roster {
        let peer = &line.peer;
        let is_old = |member: &Member| member.claim.generation < *generation;
        if !local.members.get(peer).is_some_and(is_old) || local.joins.holds(peer) {
            continue;
        }
        if line.node == step.environment.settings.node && line.away.is_some() {
            let reclaim = local.reclaim(peer, *generation, step);
            local.queue.push_front(reclaim.into_iter().collect());
        } else {
            disconnect(local, step, peer);
        }
    }
}

/// Sends the member of a replay what was read for it.
pub(super) fn on_replay_page(local: &mut LocalRoom, step: &mut StepContext<'_>, replay: Replay) {
    match send_page(&mut local.members, step.room, local.cursor.position(), replay) {
        AfterPage::Done => {}
        AfterPage::Read(replay) => step.effects.replays.push(replay),
        AfterPage::Lost(peer) => disconnect(local, step, &peer),
    }
}

fn disconnect(local: &mut LocalRoom, step: &StepContext<'_>, peer: &PeerId) {
    let lost = local.members.remove(peer);
    disconnect_for_snapshot(lost, &mut local.queue, step.room);
}
