//! What a node holds of one room: its members here, what waits for the log, and how far the log was delivered.

use signal_protocol::{LeftReason, PeerId, Seq};

use super::append_queue::{AppendQueue, QueuedOp};
use super::calls::Calls;
use super::effect::{Count, StepContext};
use super::fanout;
use super::log_cursor::LogCursor;
use super::members::Members;
use super::pending_joins::{PendingJoin, PendingJoins, disconnect_for_snapshot};
use super::presence::Presence;
use super::recovery::LossRecovery;
use super::sender_counts::SenderCounts;
use crate::log::{Batch, Op, Restored, Retention};

/// The parts of a room that entries and outcomes change. Each keeps its own state to itself.
#[derive(Default)]
pub(super) struct LocalRoom {
    pub(super) members: Members,
    pub(super) queue: AppendQueue,
    pub(super) cursor: LogCursor,
    pub(super) joins: PendingJoins,
    pub(super) recovery: LossRecovery,
    pub(super) sender_counts: SenderCounts,
    /// The presence of the user, of an inbox that is watched here.
    pub(super) presence: Option<Box<Presence>>,
    /// The callers here, and the calls that ring, of an inbox.
    pub(super) calls: Calls,
    growth: Growth,
}

/// What the log has grown by since it was last trimmed.
#[derive(Default)]
struct Growth {
    entries: usize,
    bytes: usize,
}

impl Growth {
    /// Adds a batch; tells whether an eighth of what is kept has come since the last trim.
    fn add(&mut self, batch: &Batch, keep: &Retention) -> bool {
        self.entries += batch.entries.len();
        self.bytes += batch.bytes();
        self.entries > keep.length / 8 || self.bytes > keep.bytes / 8
    }
}

impl LocalRoom {
    /// Tells whether nothing is left to do for the members, watchers and callers here, of which there are none.
    pub(super) fn is_idle(&self) -> bool {
        let nobody = self.presence.is_none() && !self.calls.has_callers();
        self.holds_nobody() && nobody && self.queue.is_idle()
    }

    /// Tells whether there is nobody here whom a log without its last writes would have to get back.
    pub(super) fn holds_nobody(&self) -> bool {
        self.members.is_empty() && self.joins.is_empty()
    }

    /// Notes that the log reaches at least as far as `seq`.
    pub(super) fn note_head(&mut self, seq: Seq, step: &mut StepContext<'_>) {
        self.cursor.note_head(seq, step.timers, step.environment.now);
    }

    /// Trims the log, prolongs the life of the room, and asks where its log ends.
    pub(super) fn trim(&mut self) {
        self.growth = Growth::default();
        self.queue.push_housekeeping(Op::Maintain);
    }

    /// Counts a delivered batch, and trims the log where it has grown.
    pub(super) fn count_growth(&mut self, batch: &Batch, step: &StepContext<'_>) {
        if self.growth.add(batch, &step.environment.settings.retention) {
            self.trim();
        }
    }

    /// Reclaims a member that was suspected although its socket lives here. Once per suspicion: the entry and the
    /// answer to a call both report it. Its waiting ops get the new generation, or the log would reject each of them
    /// in turn.
    pub(super) fn reclaim(
        &mut self,
        peer: &PeerId,
        generation: Seq,
        step: &mut StepContext<'_>,
    ) -> Option<QueuedOp> {
        let member = self.members.get_mut(peer)?;
        if member.claim.generation >= generation {
            return None;
        }
        let old = member.claim.clone();
        member.claim.generation = generation;
        let by = member.claim.clone();
        self.queue.renew(&old, generation);
        step.count(Count::Reclaimed);
        Some(QueuedOp::housekeeping(Op::Reclaim { by }))
    }

    /// Restores everything that is known here, unless that is under way.
    pub(super) fn restore(&mut self, step: &mut StepContext<'_>) {
        let Self { members, queue, cursor, joins, recovery, .. } = self;
        recovery.restore(cursor.position(), joins, members, queue, step);
    }

    /// Ends a member that the log does not restore, since it has left: the entry that says so is lost here.
    pub(super) fn end_left(&mut self, restored: &Restored, seq: Seq, step: &mut StepContext<'_>) {
        let peer = &restored.by.peer;
        self.note_head(seq, step);
        if self.members.of_socket(peer, restored.socket).is_some() {
            fanout::end(&mut self.members, step.room, peer, LeftReason::Expired);
        }
    }

    /// Ends the connections of the members, and of the joins whose entry was passed over: entries are gone from the
    /// log, so nobody can say what they missed.
    pub(super) fn disconnect_behind_loss(&mut self, step: &StepContext<'_>) {
        let passed = self.joins.before(Seq(self.cursor.position().0 + 1));
        let passed = passed.into_iter().filter_map(|seq| self.joins.remove(seq));
        let lost: Vec<_> = passed.map(|pending| pending.into_member()).collect();
        let lost = self.members.take_all().into_iter().chain(lost);
        disconnect_for_snapshot(lost, &mut self.queue, step.room);
    }

    /// Ends the connections of all members and of all joins that have an outcome.
    pub(super) fn disconnect_all(&mut self, room: &signal_protocol::RoomId) {
        let joining = self.joins.take_all().map(PendingJoin::into_member);
        let all = self.members.take_all().into_iter().chain(joining);
        disconnect_for_snapshot(all, &mut self.queue, room);
    }
}
