//! The queues of events of one process. They end with it: what was not delivered by then is lost.

use std::future::ready;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::RoomId;

use super::MemoryLog;
use super::event_queues::{Events, Queues};
use crate::log::{
    ChangedBy, ChangedQueues, Claimant, DEAD_LETTERS, DeadLetter, EndpointId, EventContent,
    EventQueue, EventScope, EventStore, LogError, Position, Progress, RoomEvent, Taken,
};

impl MemoryLog {
    /// Stores what back ends are told of a call.
    pub(super) fn store_events(&self, room: &RoomId, told: Vec<RoomEvent>, now: Duration) {
        let (Some(events), Some(scope)) = (&self.events, EventScope::of(room)) else { return };
        let is_stored = |event: &RoomEvent| match (scope, event) {
            (EventScope::Calls, RoomEvent::Call(_)) => true,
            (EventScope::Calls, _) | (EventScope::Room, RoomEvent::Call(_)) => false,
            (EventScope::Room, _) => true,
        };
        let queue = EventQueue::Room(room.clone());
        let mut queues = events.queues();
        let told: Vec<_> = told.into_iter().filter(is_stored).collect();
        let is_changed = !told.is_empty();
        for event in told {
            queues.push(&queue, EventContent::Event(event), now);
        }
        drop(queues);
        if is_changed {
            events.changed.note(queue, ChangedBy::ThisNode);
        }
    }

    pub(super) fn attend_room(&self, room: &RoomId) {
        let Some(events) = self.events.as_ref().filter(|_| EventScope::of(room).is_some()) else {
            return;
        };
        let until = (self.clock)() + events.attended;
        events.queues().attended.insert(EventQueue::Room(room.clone()), until);
    }

    /// Drops events that are too old.
    pub(super) fn trim_events(&self, now: Duration) {
        let Some(events) = &self.events else { return };
        let oldest = u64::try_from(now.saturating_sub(events.keep).as_millis()).unwrap_or(u64::MAX);
        events.queues().trim(oldest);
    }

    fn queues(&self) -> Result<MutexGuard<'_, Queues>, LogError> {
        let off = || LogError::Unavailable("no events are stored".to_owned());
        self.events.as_ref().map(Events::queues).ok_or_else(off)
    }

    fn replay_dead(&self, position: Position) -> Result<bool, LogError> {
        let now = (self.clock)();
        let mut queues = self.queues()?;
        let Some(dead) = queues.dead.remove(&position) else { return Ok(false) };
        let content = EventContent::Replay(Box::new(dead.letter));
        queues.push(&EventQueue::Replays, content, now);
        drop(queues);
        self.changes().note(EventQueue::Replays, ChangedBy::ThisNode);
        Ok(true)
    }

    fn keep_dead(&self, dead: &DeadLetter) -> Result<(), LogError> {
        let now = (self.clock)();
        let mut queues = self.queues()?;
        let position = queues.next_position(now);
        queues.dead.insert(position, dead.clone());
        if queues.dead.len() > DEAD_LETTERS {
            queues.dead.pop_first();
        }
        Ok(())
    }
}

impl EventStore for MemoryLog {
    fn changes(&self) -> Arc<ChangedQueues> {
        self.events.as_ref().map(|events| events.changed.clone()).unwrap_or_default()
    }

    fn attend<'a>(
        &'a self,
        names: &'a [EventQueue],
        time: Duration,
    ) -> BoxFuture<'a, Result<Duration, LogError>> {
        let until = (self.clock)() + time;
        Box::pin(ready(self.queues().map(|mut queues| {
            queues.attended.extend(names.iter().map(|name| (name.clone(), until)));
            until
        })))
    }

    fn take_over(
        &self,
        limit: usize,
        time: Duration,
    ) -> BoxFuture<'_, Result<(Duration, Vec<EventQueue>), LogError>> {
        let now = (self.clock)();
        let until = now + time;
        Box::pin(ready(
            self.queues().map(|mut queues| (until, queues.take_over(limit, until, now))),
        ))
    }

    fn forget_queue<'a>(
        &'a self,
        queue: &'a EventQueue,
        until: Duration,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(ready(self.queues().map(|mut queues| {
            if queues.attended.get(queue).is_some_and(|attended| *attended <= until) {
                queues.attended.remove(queue);
            }
        })))
    }

    fn take<'a>(
        &'a self,
        claimant: Claimant<'a>,
        _: Duration,
        limit: usize,
    ) -> BoxFuture<'a, Result<Taken, LogError>> {
        let now = (self.clock)();
        Box::pin(ready(self.queues().map(|mut queues| queues.take(claimant, limit, now))))
    }

    fn finish<'a>(
        &'a self,
        claimant: Claimant<'a>,
        progress: Progress,
        endpoints: &'a [EndpointId],
    ) -> BoxFuture<'a, Result<bool, LogError>> {
        let now = (self.clock)();
        let finished =
            self.queues().map(|mut queues| queues.finish(claimant, progress, endpoints, now));
        Box::pin(ready(finished))
    }

    fn bury<'a>(&'a self, dead: &'a DeadLetter) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(ready(self.keep_dead(dead)))
    }

    fn dead_letters(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Position, DeadLetter)>, LogError>> {
        Box::pin(ready(self.queues().map(|queues| {
            let later = queues.dead.iter().filter(|(position, _)| **position > after);
            later.take(limit).map(|(position, dead)| (*position, dead.clone())).collect()
        })))
    }

    fn replay(&self, position: Position) -> BoxFuture<'_, Result<bool, LogError>> {
        Box::pin(ready(self.replay_dead(position)))
    }
}
