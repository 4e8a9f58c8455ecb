//! The queues of events of a cluster: a stream in the slot of each room, and who attends to it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use futures_util::future::BoxFuture;
use signal_protocol::RoomId;

use super::event_lines;
use super::event_scripts::Events;
use super::words::garbled;
use super::{RedisLog, encode};
use crate::log::{
    ChangedBy, ChangedQueues, Claimant, DEAD_LETTERS, DeadLetter, EndpointId, EventContent,
    EventQueue, EventScope, EventStore, Letter, LogError, Op, Position, Progress, QueuedEvent,
    Taken,
};

/// Shared keys. The tag puts each into a slot that no room has, since `:` is not of their alphabet.
const QUEUES: &str = "{webhooks:queues}:z";
const DEAD: &str = "{webhooks:dead}:w";

/// Names that go in one call.
const NAMES_AT_ONCE: usize = 1_000;

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

fn texts(words: impl IntoIterator<Item = String>) -> Vec<Value> {
    words.into_iter().map(Value::from).collect()
}

impl RedisLog {
    fn events(&self) -> Result<&Events, LogError> {
        let off = || LogError::Unavailable("no events are stored".to_owned());
        self.events.as_ref().ok_or_else(off)
    }

    /// Returns which events of a room are stored, and for how long.
    pub(super) fn stored_events(&self, room: &RoomId) -> Option<encode::StoredEvents> {
        let keep = self.events.as_ref()?.keep;
        EventScope::of(room).map(|scope| encode::StoredEvents { scope, keep })
    }

    /// Notes that a call may have stored events, also where its outcome is unknown.
    pub(super) fn note_events(&self, room: &RoomId, ops: &[Op]) {
        let Some(events) = self.events.as_ref().filter(|_| ops.iter().any(Op::may_tell)) else {
            return;
        };
        if EventScope::of(room).is_some() {
            events.changed.note(EventQueue::Room(room.clone()), ChangedBy::ThisNode);
        }
    }

    /// Says that this node attends to a room that it opens, before anything can happen in it. A Redis Cluster without the shard
    /// of the list keeps nobody out of rooms on other shards: the sender says it again.
    pub(super) async fn attend_room(&self, room: &RoomId) {
        let Some(events) = self.events.as_ref().filter(|_| EventScope::of(room).is_some()) else {
            return;
        };
        let _ = self.attend_queues(&[EventQueue::Room(room.clone())], events.attended).await;
    }

    async fn attend_queues(
        &self,
        queues: &[EventQueue],
        time: Duration,
    ) -> Result<Duration, LogError> {
        let mut latest = Duration::ZERO;
        for some in queues.chunks(NAMES_AT_ONCE) {
            let words = ["attend".to_owned(), millis(time)];
            let words = words.into_iter().chain(some.iter().map(ToString::to_string));
            let (until,): (u64,) = self.run_attend(words).await?.convert()?;
            latest = Duration::from_millis(until);
        }
        Ok(latest)
    }

    async fn take_over_queues(
        &self,
        limit: usize,
        time: Duration,
    ) -> Result<(Duration, Vec<EventQueue>), LogError> {
        let words = ["take_over".to_owned(), millis(time), limit.to_string()];
        let (until, names): (u64, Vec<String>) = self.run_attend(words).await?.convert()?;
        let queues = names.iter().filter_map(|name| EventQueue::stored(name)).collect();
        Ok((Duration::from_millis(until), queues))
    }

    async fn run_attend(&self, words: impl IntoIterator<Item = String>) -> Result<Value, LogError> {
        let script = &self.events()?.attend;
        self.shards.run(script, vec![self.names.shared(QUEUES)], texts(words)).await
    }

    async fn run_queue(
        &self,
        Claimant { queue, endpoint, node }: Claimant<'_>,
        verb: &str,
        words: impl IntoIterator<Item = String>,
    ) -> Result<Value, LogError> {
        let [stream, deliveries] = self.names.events(queue);
        let head = [verb.to_owned(), endpoint.0.to_string(), node.to_string()];
        let args = texts(head.into_iter().chain(words));
        self.shards.run(&self.events()?.queue, vec![stream, deliveries], args).await
    }

    async fn take_events(
        &self,
        claimant: Claimant<'_>,
        lease: Duration,
        limit: usize,
    ) -> Result<Taken, LogError> {
        let reply = self.run_queue(claimant, "take", [millis(lease), limit.to_string()]).await?;
        taken(reply)
    }

    async fn finish_events(
        &self,
        claimant: Claimant<'_>,
        progress: Progress,
        endpoints: &[EndpointId],
    ) -> Result<bool, LogError> {
        let position = progress.position.map_or_else(|| "~".to_owned(), |at| at.to_string());
        let (attempts, pause) = (progress.attempts.to_string(), millis(progress.pause));
        let words = [position, attempts, pause, millis(self.retention.room)];
        let words = words.into_iter().chain(endpoints.iter().map(|id| id.0.to_string()));
        let more: u64 = self.run_queue(claimant, "finish", words).await?.convert()?;
        Ok(more > 0)
    }

    async fn add_letter(
        &self,
        key: String,
        field: &str,
        letter: &impl serde::Serialize,
    ) -> Result<(), LogError> {
        let text = serde_json::to_string(letter).expect("texts and numbers serialize");
        let (client, in_use) = self.client_of(&key)?;
        let cap = ("MAXLEN", "~", i64::try_from(DEAD_LETTERS).unwrap_or(i64::MAX));
        let _id: String =
            in_use.answer(client.xadd(key, false, cap, "*", vec![(field, text)])).await?;
        Ok(())
    }

    async fn read_dead(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<Vec<(Position, DeadLetter)>, LogError> {
        let key = self.names.shared(DEAD);
        let (client, in_use) = self.client_of(&key)?;
        let found = client.xrange_values(key, format!("({after}"), "+", u64::try_from(limit).ok());
        let found: Vec<(String, HashMap<String, String>)> = in_use.answer(found).await?;
        // What another version wrote in another form is left out.
        let read = |(id, fields): (String, HashMap<String, String>)| {
            Some((id.parse().ok()?, serde_json::from_str(fields.get("l")?).ok()?))
        };
        Ok(found.into_iter().filter_map(read).collect())
    }

    async fn replay_letter(&self, position: Position) -> Result<bool, LogError> {
        let before = Position { n: position.n.saturating_sub(1), ..position };
        let before = if position.n == 0 {
            Position { at: position.at.saturating_sub(1), n: u64::MAX }
        } else {
            before
        };
        let found = self.read_dead(before, 1).await?;
        let Some((_, dead)) = found.into_iter().find(|(at, _)| *at == position) else {
            return Ok(false);
        };
        let [stream, _] = self.names.events(&EventQueue::Replays);
        // Attended to first: a letter that nobody sends would be lost.
        self.attend_queues(&[EventQueue::Replays], self.events()?.attended).await?;
        self.add_letter(stream, "r", &dead.letter).await?;
        let key = self.names.shared(DEAD);
        let (client, in_use) = self.client_of(&key)?;
        let _removed: u64 = in_use.answer(client.xdel(key, position.to_string())).await?;
        self.events()?.changed.note(EventQueue::Replays, ChangedBy::ThisNode);
        Ok(true)
    }
}

/// Reads the answer to `take`.
fn taken(reply: Value) -> Result<Taken, LogError> {
    let mut fields = reply.into_array().into_iter();
    let mut next = || fields.next().ok_or_else(|| garbled("end of an answer"));
    let word: String = next()?.convert()?;
    match word.as_str() {
        "nothing" => Ok(Taken::Nothing),
        "later" => Ok(Taken::Later(Duration::from_millis(next()?.convert()?))),
        "events" => {
            let attempts = next()?.convert()?;
            let events = next()?.into_array().into_iter().map(queued).collect::<Result<_, _>>()?;
            Ok(Taken::Events { attempts, events })
        }
        other => Err(garbled(format!("answer {other:?}"))),
    }
}

/// Reads one entry of a queue. What cannot be read is skipped by the sender, so that it holds up nothing.
fn queued(entry: Value) -> Result<QueuedEvent, LogError> {
    let (id, fields): (String, Vec<String>) = entry.convert()?;
    let position = id.parse().map_err(|()| garbled(format!("position {id:?}")))?;
    let content = match &fields[..] {
        [field, line] if field == "e" => event_lines::event(line).ok().map(EventContent::Event),
        [field, text] if field == "r" => {
            serde_json::from_str::<Letter>(text).ok().map(Box::new).map(EventContent::Replay)
        }
        _ => None,
    };
    Ok(QueuedEvent { position, content: content.unwrap_or(EventContent::Unknown) })
}

impl EventStore for RedisLog {
    fn changes(&self) -> Arc<ChangedQueues> {
        self.events.as_ref().map(|events| events.changed.clone()).unwrap_or_default()
    }

    fn attend<'a>(
        &'a self,
        queues: &'a [EventQueue],
        time: Duration,
    ) -> BoxFuture<'a, Result<Duration, LogError>> {
        Box::pin(self.attend_queues(queues, time))
    }

    fn take_over(
        &self,
        limit: usize,
        time: Duration,
    ) -> BoxFuture<'_, Result<(Duration, Vec<EventQueue>), LogError>> {
        Box::pin(self.take_over_queues(limit, time))
    }

    fn forget_queue<'a>(
        &'a self,
        queue: &'a EventQueue,
        until: Duration,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        let words = ["forget".to_owned(), millis(until), queue.to_string()];
        Box::pin(async move { self.run_attend(words).await.map(drop) })
    }

    fn take<'a>(
        &'a self,
        claimant: Claimant<'a>,
        lease: Duration,
        limit: usize,
    ) -> BoxFuture<'a, Result<Taken, LogError>> {
        Box::pin(self.take_events(claimant, lease, limit))
    }

    fn finish<'a>(
        &'a self,
        claimant: Claimant<'a>,
        progress: Progress,
        endpoints: &'a [EndpointId],
    ) -> BoxFuture<'a, Result<bool, LogError>> {
        Box::pin(self.finish_events(claimant, progress, endpoints))
    }

    fn bury<'a>(&'a self, dead: &'a DeadLetter) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.add_letter(self.names.shared(DEAD), "l", dead))
    }

    fn dead_letters(
        &self,
        after: Position,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<(Position, DeadLetter)>, LogError>> {
        Box::pin(self.read_dead(after, limit))
    }

    fn replay(&self, position: Position) -> BoxFuture<'_, Result<bool, LogError>> {
        Box::pin(self.replay_letter(position))
    }
}
