//! One subscriber connection for all rooms of the node.
//!
//! A room is registered before it is subscribed, so that nothing arrives for nobody. After every reconnect the
//! rooms are subscribed again and told that something may have been missed. The read loop never waits.

use std::collections::{HashMap, HashSet};
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
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::connection::Connection;
use super::decode;
use super::keys::KeySpace;
use super::publishing::Publishing;
use crate::log::{Feed, FeedEvent, FeedSender, LogError, feed};

/// How many rooms are subscribed again at a time, so that the commands of 100,000 rooms do not fill the client's queue.
const RENEWALS_AT_A_TIME: usize = 512;

/// Pause before the rooms that could not be subscribed again are tried once more.
const RENEW_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// How often the map of slots is looked at.
const SLOTS_EVERY: Duration = Duration::from_secs(1);

/// Keeps of `CLUSTER SLOTS` who is the master of which slots: first, last, server.
fn masters(slots: Value) -> Vec<Vec<Value>> {
    let range = |range: Value| range.into_array().into_iter().take(3).collect();
    let mut masters: Vec<Vec<Value>> = slots.into_array().into_iter().map(range).collect();
    masters.sort_by_key(|range| range.first().and_then(Value::as_u64));
    masters
}

/// The rooms of this node, and those of them that are not subscribed as they should be.
#[derive(Default)]
struct Rooms {
    feeds: HashMap<Arc<str>, FeedSender>,
    unsubscribed: HashSet<Arc<str>>,
    /// Since when there are some.
    unsubscribed_since: Option<Instant>,
}

impl Rooms {
    fn remove(&mut self, channel: &str) {
        self.feeds.remove(channel);
        self.subscribed(channel);
    }

    fn subscribed(&mut self, channel: &str) {
        self.unsubscribed.remove(channel);
        if self.unsubscribed.is_empty() {
            (self.unsubscribed, self.unsubscribed_since) = (HashSet::new(), None);
        }
    }

    fn is_not_subscribed(&mut self, channel: Arc<str>) {
        self.unsubscribed.insert(channel);
        self.unsubscribed_since.get_or_insert_with(Instant::now);
    }

    fn none_is_subscribed(&mut self) {
        self.unsubscribed = self.feeds.keys().cloned().collect();
        if !self.unsubscribed.is_empty() {
            self.unsubscribed_since.get_or_insert_with(Instant::now);
        }
    }
}

/// Which room listens where.
pub(super) struct Hub {
    connection: Arc<Connection>,
    /// The client that [`Hub::read`] reads of.
    client: watch::Sender<Client>,
    publishing: Publishing,
    names: KeySpace,
    rooms: Mutex<Rooms>,
    /// Told when rooms have to be subscribed again.
    renewal: Notify,
    reconnects: watch::Sender<u64>,
}

impl Hub {
    /// Starts to read; ends when the connection is given up.
    pub(super) fn start(
        connection: Arc<Connection>,
        (publishing, names): (Publishing, KeySpace),
        reconnects: watch::Sender<u64>,
    ) -> Arc<Self> {
        let clients = connection.clients();
        let client = watch::Sender::new(connection.client());
        let (rooms, renewal) = (Mutex::default(), Notify::new());
        let hub =
            Arc::new(Self { connection, client, publishing, names, rooms, renewal, reconnects });
        let tasks = hub.clone().attend(&hub.client());
        tokio::spawn(hub.clone().follow_clients(clients, tasks));
        tokio::spawn(hub.clone().renew_when_needed());
        hub
    }

    /// Returns since when rooms are not subscribed that should be.
    pub(super) fn deaf_since(&self) -> Option<Instant> {
        self.rooms().unsubscribed_since
    }

    /// Returns the connection that it subscribes on.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn client(&self) -> Client {
        self.client.borrow().clone()
    }

    /// Reads what comes on a client; ends with the returned set.
    fn attend(self: Arc<Self>, client: &Client) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().read(client.message_rx()));
        let (connected, moved) = (client.reconnect_rx(), client.cluster_change_rx());
        tasks.spawn(self.clone().resubscribe(connected, moved));
        if client.is_clustered() {
            tasks.spawn(self.follow_slots(client.clone()));
        }
        tasks
    }

    /// Goes over to each client that replaces the one before. It is read before anything is subscribed on it.
    async fn follow_clients(
        self: Arc<Self>,
        mut clients: watch::Receiver<Client>,
        mut tasks: JoinSet<()>,
    ) {
        while clients.changed().await.is_ok() {
            let client = clients.borrow_and_update().clone();
            tasks = self.clone().attend(&client);
            self.client.send_replace(client);
            self.on_reconnect();
        }
        drop(tasks);
    }

    /// Registers, subscribes and waits for the confirmation.
    pub(super) async fn open(self: &Arc<Self>, room: &RoomId) -> Result<Feed, LogError> {
        let channel: Arc<str> = self.names.channel(room).into();
        let (sender, receiver) = feed();
        self.rooms().feeds.insert(channel.clone(), sender.clone());
        if let Err(error) = self.subscribe(&channel).await {
            self.rooms().remove(&channel);
            return Err(error);
        }
        let (hub, runtime) = (self.clone(), Handle::current());
        // A task that waited for the end would take more memory than the room.
        Ok(receiver.at_end(move || drop(runtime.spawn(hub.forget(channel, sender)))))
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes, and returns when Redis has confirmed it.
    async fn subscribe(&self, channel: &str) -> Result<(), LogError> {
        let client = self.client();
        match self.publishing {
            Publishing::Sharded => client.ssubscribe(channel).await?,
            Publishing::Plain => {
                // fred does not wait for this confirmation, but what follows on the connection comes after it.
                client.subscribe(channel).await?;
                client.ping::<()>(None).await?;
            }
        }
        Ok(())
    }

    /// Ends the subscription of a worker that has let go, unless a new one has taken its place.
    async fn forget(self: Arc<Self>, channel: Arc<str>, sender: FeedSender) {
        {
            let mut rooms = self.rooms();
            if !rooms.feeds.get(&*channel).is_some_and(|current| current.same(&sender)) {
                return;
            }
            rooms.remove(&channel);
        }
        let client = self.client();
        let ended = match self.publishing {
            Publishing::Sharded => client.sunsubscribe(&*channel).await,
            Publishing::Plain => client.unsubscribe(&*channel).await,
        };
        if ended.is_err() || self.rooms().feeds.contains_key(&*channel) {
            // Someone subscribed again while we unsubscribed: the last word must be theirs.
            self.rooms().is_not_subscribed(channel);
            self.renewal.notify_one();
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
                    self.rooms().feeds.values().for_each(FeedSender::miss);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn dispatch(&self, message: &Message) {
        let rooms = self.rooms();
        let Some(room) = rooms.feeds.get(&*message.channel) else { return };
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
            self.on_reconnect();
        }
    }

    fn on_reconnect(&self) {
        self.reconnects.send_modify(|count| *count += 1);
        self.renew_all();
    }

    /// Redis ends the subscriptions of a slot that leaves a server. fred does not pass that on, so the map of
    /// slots has to be looked at.
    async fn follow_slots(self: Arc<Self>, client: Client) {
        // Before anything is subscribed on this client; where that fails, the first map that is known is news.
        let mut known = client.cluster_slots::<Value>().await.map(masters).ok();
        loop {
            sleep(SLOTS_EVERY).await;
            // A cluster that does not answer now is asked the next time.
            let Ok(slots) = client.cluster_slots::<Value>().await else { continue };
            let masters = Some(masters(slots));
            if known != masters {
                known = masters;
                info!("slots of the Redis Cluster have moved");
                if let Err(error) = client.sync_cluster().await {
                    warn!(%error, "the new map of slots could not be read");
                }
                self.renew_all();
            }
        }
    }

    fn renew_all(&self) {
        let count = {
            let mut rooms = self.rooms();
            rooms.none_is_subscribed();
            rooms.unsubscribed.len()
        };
        info!(rooms = count, "subscribing {count} rooms again");
        self.renewal.notify_one();
    }

    /// Subscribes the rooms that are not subscribed until all are, whenever there are some.
    async fn renew_when_needed(self: Arc<Self>) {
        loop {
            if self.rooms().unsubscribed.is_empty() {
                self.renewal.notified().await;
            }
            let channels: Vec<Arc<str>> = self.rooms().unsubscribed.iter().cloned().collect();
            let mut renewals = FuturesUnordered::new();
            for channel in &channels {
                if renewals.len() == RENEWALS_AT_A_TIME {
                    renewals.next().await;
                }
                renewals.push(self.renew(channel));
            }
            while renewals.next().await.is_some() {}
            if !self.rooms().unsubscribed.is_empty() {
                sleep(RENEW_AGAIN_AFTER).await;
            }
        }
    }

    /// Subscribes a room again and lets it compare with its log.
    async fn renew(&self, channel: &str) {
        let subscribed = self.subscribe(channel).await;
        let mut rooms = self.rooms();
        match rooms.feeds.get(channel) {
            Some(_) if subscribed.is_err() => {}
            room => {
                room.inspect(|room| room.miss());
                rooms.subscribed(channel);
            }
        }
    }
}
