//! One subscriber connection for all rooms of the node.
//!
//! A room is registered before it is subscribed, so that nothing arrives for nobody. After every reconnect the
//! rooms are subscribed again and told that something may have been missed. The read loop never waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, ClusterInterface, EventInterface, PubsubInterface};
use fred::types::config::Server;
use fred::types::{ClusterStateChange, Message, Value};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use signal_protocol::RoomId;
use tokio::runtime::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tracing::{info, warn};

use super::decode;
use super::keys::Keys;
use super::publishing::Publishing;
use crate::log::{Feed, FeedEvent, FeedSender, LogError, feed};

/// How often a room is subscribed again before the connection counts as gone.
const RENEWALS: usize = 3;

/// How often the connection is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(2);

/// How often the map of slots is looked at.
const SLOTS_EVERY: Duration = Duration::from_secs(1);

/// Keeps of `CLUSTER SLOTS` who is the master of which slots: first, last, server.
fn masters(slots: Value) -> Vec<Vec<Value>> {
    let range = |range: Value| range.into_array().into_iter().take(3).collect();
    let mut masters: Vec<Vec<Value>> = slots.into_array().into_iter().map(range).collect();
    masters.sort_by_key(|range| range.first().and_then(Value::as_u64));
    masters
}

/// Which room listens where.
pub(super) struct Hub {
    subscriber: Client,
    publishing: Publishing,
    rooms: Mutex<HashMap<Arc<str>, FeedSender>>,
    reconnects: watch::Sender<u64>,
}

impl Hub {
    /// Starts to read; ends when the connection is given up.
    pub(super) fn start(
        subscriber: Client,
        publishing: Publishing,
        reconnects: watch::Sender<u64>,
    ) -> Arc<Self> {
        let (messages, connected) = (subscriber.message_rx(), subscriber.reconnect_rx());
        let moved = subscriber.cluster_change_rx();
        let hub = Arc::new(Self { subscriber, publishing, rooms: Mutex::default(), reconnects });
        tokio::spawn(hub.clone().read(messages));
        tokio::spawn(hub.clone().resubscribe(connected, moved));
        tokio::spawn(hub.clone().stay_in_touch());
        if hub.subscriber.is_clustered() {
            tokio::spawn(hub.clone().follow_slots());
        }
        hub
    }

    /// Registers, subscribes and waits for the confirmation.
    pub(super) async fn open(self: &Arc<Self>, room: &RoomId) -> Result<Feed, LogError> {
        let channel: Arc<str> = Keys::of(room).channel.into();
        let (sender, receiver) = feed();
        self.rooms().insert(channel.clone(), sender.clone());
        if let Err(error) = self.subscribe(&channel).await {
            self.rooms().remove(&*channel);
            return Err(error);
        }
        let (hub, runtime) = (self.clone(), Handle::current());
        // A task that waited for the end would take more memory than the room.
        Ok(receiver.at_end(move || drop(runtime.spawn(hub.forget(channel, sender)))))
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<Arc<str>, FeedSender>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes, and returns when Redis has confirmed it.
    async fn subscribe(&self, channel: &str) -> Result<(), LogError> {
        match self.publishing {
            Publishing::Sharded => self.subscriber.ssubscribe(channel).await?,
            Publishing::Plain => {
                // fred does not wait for this confirmation, but what follows on the connection comes after it.
                self.subscriber.subscribe(channel).await?;
                self.subscriber.ping::<()>(None).await?;
            }
        }
        Ok(())
    }

    /// Ends the subscription of a worker that has let go, unless a new one has taken its place.
    async fn forget(self: Arc<Self>, channel: Arc<str>, sender: FeedSender) {
        {
            let mut rooms = self.rooms();
            if !rooms.get(&*channel).is_some_and(|current| current.same(&sender)) {
                return;
            }
            rooms.remove(&*channel);
        }
        let ended = match self.publishing {
            Publishing::Sharded => self.subscriber.sunsubscribe(&*channel).await,
            Publishing::Plain => self.subscriber.unsubscribe(&*channel).await,
        };
        if ended.is_err() || self.rooms().contains_key(&*channel) {
            // Someone subscribed again while we unsubscribed: the last word must be theirs.
            self.renew(&channel).await;
        }
    }

    async fn read(self: Arc<Self>, mut messages: Receiver<Message>) {
        loop {
            match messages.recv().await {
                Ok(message) => self.dispatch(&message),
                Err(RecvError::Lagged(count)) => {
                    warn!(
                        count,
                        "{count} messages from Redis were dropped; all rooms compare with their log"
                    );
                    self.rooms().values().for_each(FeedSender::miss);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn dispatch(&self, message: &Message) {
        let rooms = self.rooms();
        let Some(room) = rooms.get(&*message.channel) else { return };
        let event = match &message.value {
            Value::Bytes(bytes) => decode::event(bytes),
            Value::String(text) => decode::event(text.as_bytes()),
            other => Err(LogError::UnexpectedReply(format!("{:?} on a channel", other.kind()))),
        };
        match event {
            Ok(event) => room.push(event),
            Err(error) => {
                warn!(channel = &*message.channel, %error, "a message on a room's channel was not ours");
                room.push(FeedEvent::Gap);
            }
        }
    }

    /// Subscribes all rooms again after a reconnect, and after slots of a cluster have moved: Redis ends the
    /// subscriptions of a slot that leaves it.
    async fn resubscribe(
        self: Arc<Self>,
        mut connected: Receiver<Server>,
        mut moved: Receiver<Vec<ClusterStateChange>>,
    ) {
        loop {
            let closed = tokio::select! {
                server = connected.recv() => matches!(server, Err(RecvError::Closed)),
                changes = moved.recv() => matches!(changes, Err(RecvError::Closed)),
            };
            if closed {
                return;
            }
            self.reconnects.send_modify(|count| *count += 1);
            self.renew_all().await;
        }
    }

    /// Redis ends the subscriptions of a slot that leaves a server. fred does not pass that on, so the map of
    /// slots has to be looked at.
    async fn follow_slots(self: Arc<Self>) {
        let mut known = None;
        loop {
            tokio::time::sleep(SLOTS_EVERY).await;
            // A cluster that does not answer now is asked the next time.
            let Ok(slots) = self.subscriber.cluster_slots::<Value>().await else { continue };
            let masters = masters(slots);
            if known.replace(masters.clone()).is_some_and(|before| before != masters) {
                info!("slots of the Redis Cluster have moved");
                if let Err(error) = self.subscriber.sync_cluster().await {
                    warn!(%error, "the new map of slots could not be read");
                }
                self.renew_all().await;
            }
        }
    }

    async fn renew_all(&self) {
        let channels: Vec<Arc<str>> = self.rooms().keys().cloned().collect();
        info!(rooms = channels.len(), "subscribing {} rooms again", channels.len());
        let renewals: FuturesUnordered<_> =
            channels.iter().map(|channel| self.renew(channel)).collect();
        renewals.collect::<Vec<()>>().await;
    }

    /// Subscribes a room again and lets it compare with its log. After several failures the connection is
    /// gone again, and so this will be called again.
    async fn renew(&self, channel: &str) {
        for _ in 0..RENEWALS {
            let subscribed = self.subscribe(channel).await;
            let rooms = self.rooms();
            let Some(room) = rooms.get(channel) else { return };
            if subscribed.is_ok() {
                return room.miss();
            }
        }
    }

    /// Asks for a sign of life, since nothing else is asked on this connection for long: fred makes a
    /// connection again whose commands stay without an answer.
    async fn stay_in_touch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(PING_EVERY).await;
            // What comes of it is fred's to see.
            let _ = self.subscriber.ping::<()>(None).await;
        }
    }
}
