//! The log of many nodes: a stream, two hashes and a channel per room, all in one slot, changed by one script.
//!
//! This is the only place of the node that names `fred`. Its own retry of commands is off: a call of unknown
//! outcome is the caller's to repeat, unchanged and before any other.

mod append_batcher;
mod decode;
mod encode;
mod exposure;
mod heartbeats;
mod hub;
mod keys;
mod messages;
mod publishing;
mod rejected;
mod revocation;
mod script;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface, StreamsInterface};
use fred::types::config::{Config, ReconnectPolicy, TcpConfig, UnresponsiveConfig};
use fred::types::scripts::Script;
use fred::types::{Builder, RespVersion, Value};
use futures_util::future::BoxFuture;
use service_kit::redis_access::RejectionLog;
use signal_protocol::{RoomId, Seq};
use tokio::sync::watch;
use tracing::warn;

use super::{Batch, Feed, LogError, Op, Outcome, Retention, RoomLog, Volatile};
use append_batcher::AppendBatcher;
pub use exposure::exposure;
use hub::Hub;
use keys::Keys;
use messages::Messages;
pub use publishing::Publishing;
use script::SCRIPT;

/// Reads what arrived on a room's channel; public for `fuzz/`.
///
/// # Errors
/// When it is not what a node publishes.
#[doc(hidden)]
pub fn read_channel(bytes: &[u8]) -> Result<super::FeedEvent, LogError> {
    decode::event(bytes)
}

/// How long one command may take; after that its outcome is unknown.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);

/// Messages that fred's broadcast channel holds before it drops the oldest. A dropped message costs one read of the
/// log by each room, not the message. fred allocates as many slots up front for every event channel of each client:
/// at 65,536, 90 MiB before the first connection.
const MESSAGE_BUFFER: usize = 4_096;

/// Rooms in Redis.
pub struct RedisLog {
    commands: Client,
    hub: Arc<Hub>,
    script: Script,
    batcher: AppendBatcher,
    publishing: Publishing,
    retention: Retention,
    reconnects: watch::Sender<u64>,
    rejections: Arc<RejectionLog>,
}

impl RedisLog {
    /// Connects, and keeps the connections from then on.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if the URL is not one or Redis does not answer now.
    pub async fn connect(
        url: &str,
        publishing: Publishing,
        retention: Retention,
    ) -> Result<Self, LogError> {
        let mut config = Config::from_url(url)?;
        // RESP3 lets a subscriber's connection carry other commands too.
        config.version = RespVersion::RESP3;
        let (commands, subscriber) = (client(&config)?, client(&config)?);
        tokio::try_join!(commands.init(), subscriber.init())?;
        let rejections = Arc::new(RejectionLog::default());
        for client in [&commands, &subscriber] {
            tokio::spawn(rejected::log_failed_connections(client.error_rx(), rejections.clone()));
        }
        warn_of_eviction(&commands).await;
        let reconnects = watch::Sender::new(0);
        tokio::spawn(heartbeats::count_reconnects(commands.reconnect_rx(), reconnects.clone()));
        let hub = Hub::start(subscriber, publishing, reconnects.clone());
        let batcher = AppendBatcher::start(commands.clone(), publishing);
        let script = Script::from_lua(SCRIPT);
        Ok(Self { commands, hub, script, batcher, publishing, retention, reconnects, rejections })
    }

    /// Asks Redis about itself.
    pub async fn facts(&self) -> Facts {
        Facts::of(&self.commands).await
    }

    async fn run(&self, room: &RoomId, seen: Seq, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
        if let Some(messages) = Messages::collect(ops) {
            let signals = messages.of_room(Keys::of(room), seen);
            if let Some(first) = self.batcher.submit(signals).await? {
                return Ok(messages::outcomes(first, ops.len()));
            }
        }
        // Boxed, since it is rare and its future is large.
        Box::pin(self.take(room, seen, ops)).await
    }

    /// Takes steps of any kind.
    async fn take(&self, room: &RoomId, seen: Seq, ops: &[Op]) -> Result<Vec<Outcome>, LogError> {
        let keys = Keys::of(room);
        let mut args = encode::Args::new(self.publishing, seen, &self.retention);
        for op in ops {
            args.push(op);
        }
        let once = ops.iter().find_map(|op| Keys::of_announcement(room, op));
        let mut keys = vec![keys.hash, keys.members, keys.stream, keys.channel];
        keys.extend(once);
        let reply: Value =
            self.script.evalsha_with_reload(&self.commands, keys, args.into_values()).await?;
        decode::outcomes(reply, ops)
    }

    async fn history(
        &self,
        room: &RoomId,
        after: Seq,
        limit: usize,
    ) -> Result<Vec<Batch>, LogError> {
        let (start, count) = (format!("{}-0", after.0 + 1), u64::try_from(limit).ok());
        let found: Vec<(String, HashMap<String, Bytes>)> =
            self.commands.xrange_values(Keys::of(room).stream, start, "+", count).await?;
        let text = |(id, mut fields): (String, HashMap<String, Bytes>)| {
            fields
                .remove("b")
                .ok_or_else(|| LogError::UnexpectedReply(format!("entry {id} has no field b")))
        };
        found.into_iter().map(|entry| decode::batch(&text(entry)?)).collect()
    }

    async fn publish(&self, room: &RoomId, volatiles: &[Volatile]) -> Result<(), LogError> {
        let (channel, text) = (Keys::of(room).channel, encode::volatiles(volatiles));
        let _receivers: i64 = match self.publishing {
            Publishing::Sharded => self.commands.spublish(channel, text).await?,
            Publishing::Plain => self.commands.publish(channel, text).await?,
        };
        Ok(())
    }
}

/// What a Redis tells about itself, as far as its user may ask.
#[derive(Debug, Default)]
pub struct Facts {
    /// Its version.
    pub version: Option<String>,
    /// What it does when its memory is full (`maxmemory-policy`).
    pub eviction: Option<String>,
}

impl Facts {
    async fn of(client: &Client) -> Self {
        // A user that may not ask is no reason not to start.
        let info: String = client.info(None).await.unwrap_or_default();
        let find = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
        };
        Self { version: find("redis_version:"), eviction: find("maxmemory_policy:") }
    }

    /// The first part of its version.
    #[must_use]
    pub fn major(&self) -> Option<u32> {
        self.version.as_ref()?.split('.').next()?.parse().ok()
    }
}

/// Tells whether a URL names a Redis, without asking it.
///
/// # Errors
/// What is wrong with it.
pub fn check_url(url: &str) -> Result<(), LogError> {
    Config::from_url(url)?;
    Ok(())
}

/// A Redis that evicts keys under memory pressure forgets rooms that are in use.
async fn warn_of_eviction(client: &Client) {
    let policy = Facts::of(client).await.eviction;
    if let Some(policy) = policy.filter(|policy| policy != "noeviction") {
        warn!(
            "Redis evicts keys (maxmemory-policy {policy}): set it to noeviction, or rooms get lost"
        );
    }
}

fn client(config: &Config) -> Result<Client, LogError> {
    let mut builder = Builder::from_config(config.clone());
    builder
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIMEOUT;
            performance.broadcast_channel_capacity = MESSAGE_BUFFER;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = COMMAND_TIMEOUT;
            connection.internal_command_timeout = COMMAND_TIMEOUT;
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = 100_000;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(2 * COMMAND_TIMEOUT),
                interval: Duration::from_secs(1),
            };
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 500, 2));
    Ok(builder.build()?)
}

impl From<Error> for LogError {
    /// Only what will not be better next time is garbled: a server that loads, moves a slot or has lost its
    /// master says so with errors too.
    fn from(error: Error) -> Self {
        let told = error.details();
        match error.kind() {
            ErrorKind::InvalidArgument | ErrorKind::Parse => {
                Self::UnexpectedReply(error.to_string())
            }
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
        Box::pin(async move { self.hub.open(&room).await })
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

    fn tell<'a>(
        &'a self,
        room: &'a RoomId,
        volatiles: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(async move { self.publish(room, volatiles).await })
    }
}
