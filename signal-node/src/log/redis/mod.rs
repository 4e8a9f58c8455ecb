//! The log of many nodes: a stream, two hashes and a channel per room, all in one slot, changed by one script.
//!
//! This is the only place of the node that names `fred`. Its own retry of commands is off: a call of unknown
//! outcome is the caller's to repeat, unchanged and before any other.

mod answers;
mod append_batcher;
mod call_lines;
mod client;
mod connection;
mod decode;
mod encode;
mod event_lines;
mod event_scripts;
mod events;
mod exposure;
mod heartbeats;
mod hub;
mod keys;
mod messages;
mod prefix;
mod probes;
mod publishing;
mod reconnects;
mod refusal;
mod rejected;
mod revocation;
mod script;
mod shards;
mod slots;
mod suitability;
mod timeline;
mod watchdog;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{PubsubInterface, StreamsInterface};
use fred::types::Value;
use fred::types::scripts::Script;
use futures_util::future::BoxFuture;
use service_kit::redis_access::{self, RedisAccess, RejectionLog};
use signal_protocol::{RoomId, Seq};
use tokio::sync::watch;

use super::{Batch, Feed, LogError, Op, Outcome, Retention, RoomLog, Volatile};
use append_batcher::AppendBatcher;
use connection::InUse;
use event_scripts::Events;
pub use exposure::exposure;
use hub::Hub;
use keys::KeySpace;
use messages::Messages;
pub use prefix::RedisPrefix;
pub use publishing::Publishing;
use script::SCRIPT;
use shards::{Shards, Watchers};
pub use suitability::Facts;

/// Reads what arrived on a room's channel; public for `fuzz/`.
///
/// # Errors
/// When it is not what a node publishes.
#[doc(hidden)]
pub fn read_channel(bytes: &[u8]) -> Result<super::FeedEvent, LogError> {
    decode::event(bytes)
}

/// Rooms in Redis.
pub struct RedisLog {
    shards: Arc<Shards>,
    hub: Arc<Hub>,
    script: Script,
    heartbeat: Script,
    batcher: AppendBatcher,
    publishing: Publishing,
    names: KeySpace,
    retention: Retention,
    lease: Duration,
    reconnects: watch::Sender<u64>,
    rejections: Arc<RejectionLog>,
    /// `None`: no events are stored.
    events: Option<Events>,
}

impl RedisLog {
    /// Connects, and keeps the connections from then on. A connection on which nothing was heard for a lease is
    /// replaced.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if Redis does not answer now, [`LogError::Rejected`] if user or certificate are of no
    /// use, [`LogError::Unsuitable`] if it cannot hold rooms.
    pub async fn connect(
        access: &RedisAccess,
        prefix: &RedisPrefix,
        publishing: Publishing,
        retention: Retention,
        lease: Duration,
    ) -> Result<Self, LogError> {
        let names = KeySpace::new(prefix, access.database);
        let rejections = Arc::new(RejectionLog::default());
        let reconnects = watch::Sender::new(0);
        let (words, counts) = (rejections.clone(), reconnects.clone());
        let watchers = Watchers { lease, rejections: words, reconnects: counts };
        let shards = Shards::open(access.clone(), watchers).await?;
        suitability::check(&shards, publishing, &names).await?;
        let hub = Hub::start(shards.clone(), (publishing, names.clone()), reconnects.clone());
        let batcher = AppendBatcher::start(shards.clone(), publishing);
        let (script, heartbeat) = (Script::from_lua(SCRIPT), Script::from_lua(heartbeats::SCRIPT));
        Ok(Self {
            shards,
            hub,
            script,
            heartbeat,
            batcher,
            publishing,
            names,
            retention,
            lease,
            reconnects,
            rejections,
            events: None,
        })
    }

    /// Stores events for webhooks from now on, and keeps each queue for so long after its last event. A node attends to a room
    /// for `attended` as it opens it.
    #[must_use]
    pub fn with_events(self, keep: Duration, attended: Duration) -> Self {
        let events = Events::new(keep, attended);
        self.hub.note_events_in(events.changed.clone());
        Self { events: Some(events), ..self }
    }

    /// Returns the client of the server that holds a key, and what to wait with for its answer.
    fn client_of(&self, key: &str) -> Result<(Client, InUse), LogError> {
        Ok(self.shards.of(key)?.commands.in_use())
    }

    /// Asks Redis about itself; of a cluster, one server.
    pub async fn facts(&self) -> Facts {
        match self.shards.all().first() {
            Some(shard) => Facts::of(&shard.commands.client()).await,
            None => Facts::default(),
        }
    }

    async fn run(&self, room: &RoomId, seen: Seq, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
        if let Some(messages) = Messages::collect(ops) {
            let signals = messages.of_room(self.names.room(room), seen);
            if let Some(first) = self.batcher.submit(signals).await? {
                return Ok(messages::outcomes(first, ops.len()));
            }
        }
        // Boxed, since it is rare and its future is large.
        let outcomes = Box::pin(self.take(room, seen, ops)).await;
        self.note_events(room, ops);
        outcomes
    }

    /// Takes steps of any kind.
    async fn take(&self, room: &RoomId, seen: Seq, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
        let keys = self.names.room(room);
        let retention = self.retention.of(room);
        let mut args = encode::Args::new(self.publishing, seen, (keys.channel, &retention));
        let events = self.stored_events(room);
        args.events(events);
        for op in ops {
            args.push(op);
        }
        let once = ops.iter().find_map(|op| self.names.announcement(room, op));
        let queue = events.map(|_| keys.events);
        let keys = [keys.hash, keys.members, keys.stream, keys.configuration];
        let keys: Vec<String> = keys.into_iter().chain(queue).collect();
        let args = args.into_values();
        let reply = match once {
            None => self.shards.run(&self.script, keys, args).await?,
            Some(once) => self.take_once(keys, once, args).await?,
        };
        answers::outcomes(reply, ops)
    }

    /// Takes steps of which one has an idempotency key. While a slot moves, a key that does not exist yet can be named
    /// together with no other.
    async fn take_once(
        &self,
        keys: Vec<String>,
        once: String,
        args: Vec<Value>,
    ) -> Result<Value, LogError> {
        let all = keys.iter().cloned().chain([once]).collect();
        match self.shards.run(&self.script, all, args.clone()).await {
            Err(LogError::Unavailable(error)) if error.contains("TRYAGAIN") => {
                self.shards.run(&self.script, keys, args).await
            }
            reply => reply,
        }
    }

    async fn history(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Batch>, LogError> {
        let (start, count) = (format!("{}-0", after.0 + 1), u64::try_from(limit).ok());
        let stream = self.names.room(room).stream;
        let (client, in_use) = self.client_of(&stream)?;
        let found = client.xrange_values(stream, start, "+", count);
        let found: Vec<(String, HashMap<String, Bytes>)> = in_use.answer(found).await?;
        found.iter().map(|(id, fields)| decode::stored_batch(id, fields.get("b"))).collect()
    }

    async fn publish(&self, room: &RoomId, volatiles: &[Volatile]) -> Result<(), LogError> {
        let (channel, text) = (self.names.channel(room), encode::volatiles(volatiles));
        let (client, in_use) = self.client_of(&channel)?;
        let _receivers: i64 = match self.publishing {
            Publishing::Sharded => in_use.answer(client.spublish(channel, text)).await?,
            Publishing::Plain => in_use.answer(client.publish(channel, text)).await?,
        };
        Ok(())
    }
}

impl From<Error> for LogError {
    /// Only what will not be better next time is unexpected: a server that loads, moves a slot, has lost its master or
    /// does not know our user yet says so with errors too.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "most kinds of fred's errors say that Redis cannot be reached"
    )]
    fn from(error: Error) -> Self {
        let told = error.details();
        if refusal::is_one(told) {
            return Self::WriteRefused(told.to_owned());
        }
        match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::Parse => {
                Self::UnexpectedReply(error.to_string())
            }
            _ if redis_access::advice(told).is_some() => Self::Unavailable(error.to_string()),
            _ if told.starts_with("ERR") || told.starts_with("WRONGTYPE") => {
                Self::UnexpectedReply(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl RoomLog for RedisLog {
    fn open(&self, room: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>> {
        let room = room.clone();
        Box::pin(async move {
            self.attend_room(&room).await;
            self.hub.open(&room).await
        })
    }

    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        seen: Seq,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>> {
        Box::pin(self.run(room, seen, ops))
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>> {
        Box::pin(self.history(room, after, limit))
    }

    fn publish_volatile<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(async move { self.publish(room, volatiles).await })
    }
}
