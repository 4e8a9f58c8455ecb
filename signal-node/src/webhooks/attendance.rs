//! Which queues this node attends to: those of its rooms, and those that no node attends to any more.
//!
//! Nobody else notices when the last node of a room is gone: its members would be forgotten with its keys, and no back end
//! would be told. So the node that takes such a room over has the log suspect and remove its members, as a node with members
//! in the room does.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{RoomId, Seq};
use tracing::debug;

use crate::liveness::Liveness;
use crate::log::{CallState, EventQueue, EventScope, EventStore, LogError, Op, Outcome, RoomLog};
use crate::room::RoomSettings;

/// Queues that are taken over at once.
const AT_A_TIME: usize = 256;

/// A queue that was taken over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orphan {
    /// Until when this node attends to it, by the clock of the log.
    until: Duration,
    /// Whether nobody was in its room when that was looked at last.
    was_over: bool,
}

/// The queues that were taken over.
pub(super) type Orphans = BTreeMap<EventQueue, Orphan>;

/// What one look needs to know.
pub(super) struct Attended {
    /// The queues of rooms that are open here.
    pub(super) open: Vec<EventQueue>,
    /// The queues that have something to send.
    pub(super) pending: HashSet<EventQueue>,
    pub(super) orphans: Orphans,
    /// Whether it is time to say again what this node attends to.
    pub(super) renews: bool,
}

/// What came of it.
pub(super) struct Found {
    pub(super) orphans: Orphans,
    /// The queues that were taken over now.
    pub(super) taken_over: Vec<EventQueue>,
}

/// What looks.
pub(super) struct Attendance {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) log: Arc<dyn RoomLog>,
    pub(super) liveness: Arc<Liveness>,
    pub(super) settings: RoomSettings,
    /// For how long a node attends to a queue without saying so again.
    pub(super) time: Duration,
}

impl Attendance {
    /// Looks once. Where the log does not answer, everything stays as it is.
    pub(super) async fn look(self: Arc<Self>, attended: Attended) -> Found {
        let Attended { open, pending, mut orphans, renews } = attended;
        let mut taken_over = Vec::new();
        let looked = self.try_look((&open, &pending, renews), &mut orphans, &mut taken_over);
        if let Err(error) = looked.await {
            debug!(%error, "queues of events could not be attended to: {error}");
        }
        Found { orphans, taken_over }
    }

    async fn try_look(
        &self,
        (open, pending, renews): (&[EventQueue], &HashSet<EventQueue>, bool),
        orphans: &mut Orphans,
        taken_over: &mut Vec<EventQueue>,
    ) -> Result<(), LogError> {
        if renews {
            let open: HashSet<&EventQueue> = open.iter().collect();
            orphans.retain(|queue, _| !open.contains(queue));
            let all: HashSet<_> = open.into_iter().chain(pending).cloned().collect();
            self.store.attend(&all.into_iter().collect::<Vec<_>>(), self.time).await?;
        }
        for queue in orphans.keys().cloned().collect::<Vec<_>>() {
            self.settle(&queue, pending.contains(&queue), orphans).await?;
        }
        let (until, found) = self.store.take_over(AT_A_TIME, self.time).await?;
        for queue in &found {
            orphans.entry(queue.clone()).or_insert(Orphan { until, was_over: false }).until = until;
        }
        *taken_over = found;
        Ok(())
    }

    /// Ends what is over in a room without nodes, and forgets a queue of which nothing is left. A room that was found over is
    /// looked at twice, since its last events may be on their way.
    async fn settle(
        &self,
        queue: &EventQueue,
        is_pending: bool,
        orphans: &mut Orphans,
    ) -> Result<(), LogError> {
        let is_over = match queue {
            EventQueue::Replays => true,
            EventQueue::Room(room) => self.is_over(room).await?,
        };
        let Some(orphan) = orphans.get_mut(queue) else { return Ok(()) };
        if is_over && orphan.was_over && !is_pending {
            let until = orphan.until;
            orphans.remove(queue);
            return self.store.forget_queue(queue, until).await;
        }
        orphan.was_over = is_over;
        orphan.until = self.store.attend(std::slice::from_ref(queue), self.time).await?;
        Ok(())
    }

    /// Has the log end what has lasted for long enough; tells whether nobody and no call is left.
    async fn is_over(&self, room: &RoomId) -> Result<bool, LogError> {
        let grace = self.settings.grace_of(room);
        let judgement = self.liveness.judgement();
        let mut ops = vec![Op::Suspect { grace, judgement: judgement.clone() }];
        if self.liveness.in_contact_for(grace) {
            ops.push(Op::Expire { grace, judgement });
        }
        if EventScope::of(room) == Some(EventScope::Calls) {
            ops.push(Op::Calls);
        }
        ops.push(Op::Inspect);
        let outcomes = self.log.call(room, Seq(0), &ops).await?;
        let mut is_over = true;
        for outcome in outcomes {
            if let Outcome::Room(view) = outcome {
                self.liveness.watch(view.members.iter().map(|member| &member.node));
                is_over &= view.members.is_empty();
            } else if let Outcome::Calls(view) = outcome {
                is_over &= view.calls.iter().all(|call| call.state != CallState::Ringing);
            }
        }
        Ok(is_over)
    }
}

#[cfg(test)]
#[path = "attendance_tests.rs"]
mod tests;
