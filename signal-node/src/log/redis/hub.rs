//! The subscriptions of all rooms of the node, on one connection to each server.
//!
//! A room is registered before it is subscribed, so that nothing arrives for nobody. After every reconnect the
//! rooms are subscribed again and told that something may have been missed. The read loop never waits.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::config::Server as Connected;
use fred::types::{Message, Value};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use service_kit::redis_access::Server;
use signal_protocol::RoomId;
use tokio::runtime::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::decode;
use super::keys::KeySpace;
use super::publishing::Publishing;
use super::shards::{ShardList, Shards};
use crate::log::{
    ChangedBy, ChangedQueues, EventQueue, EventScope, Feed, FeedEvent, FeedSender, LogError, feed,
};

/// How many rooms are subscribed again at a time, so that the commands of 100,000 rooms do not fill the client's queue.
const RENEWALS_AT_A_TIME: usize = 512;

/// Pause before the rooms that could not be subscribed again are tried once more.
const RENEW_AGAIN_AFTER: Duration = Duration::from_millis(250);

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

    /// Notes that those of these channels are not subscribed.
    fn none_is_subscribed(&mut self, of: impl Fn(&str) -> bool) {
        self.unsubscribed.extend(self.feeds.keys().filter(|channel| of(channel)).cloned());
        if !self.unsubscribed.is_empty() {
            self.unsubscribed_since.get_or_insert_with(Instant::now);
        }
    }
}

/// Which room listens where.
pub(super) struct Hub {
    shards: Arc<Shards>,
    /// The clients that [`Hub::read`] reads of, by the address of their servers.
    clients: Mutex<HashMap<Server, Client>>,
    publishing: Publishing,
    names: KeySpace,
    rooms: Mutex<Rooms>,
    /// Told when rooms have to be subscribed again.
    renewal: Notify,
    reconnects: watch::Sender<u64>,
    /// Where events of back ends are stored: what is told of rooms in which some were.
    queues: OnceLock<Arc<ChangedQueues>>,
}

impl Hub {
    pub(super) fn start(
        shards: Arc<Shards>,
        (publishing, names): (Publishing, KeySpace),
        reconnects: watch::Sender<u64>,
    ) -> Arc<Self> {
        let (clients, rooms, renewal) = (Mutex::default(), Mutex::default(), Notify::new());
        let queues = OnceLock::new();
        let hub = Self { shards, clients, publishing, names, rooms, renewal, reconnects, queues };
        let hub = Arc::new(hub);
        let mut changes = hub.shards.changes();
        let mut attended = HashMap::new();
        hub.attend_all(&changes.borrow_and_update().clone(), &mut attended);
        tokio::spawn(hub.clone().follow_shards(changes, attended));
        tokio::spawn(hub.clone().renew_when_needed());
        hub
    }

    /// Notes from now on in which rooms something happened that back ends are told of, on whichever node.
    pub(super) fn note_events_in(&self, queues: Arc<ChangedQueues>) {
        let _ = self.queues.set(queues);
    }

    fn note_events(&self, channel: &str, event: &FeedEvent) {
        let Some(queues) = self.queues.get() else { return };
        let FeedEvent::Batch(batch) = event else { return };
        let room = self.names.room_of_channel(channel).filter(|_| batch.tells_back_ends());
        if let Some(room) = room.filter(|room| EventScope::of(room).is_some()) {
            queues.note(EventQueue::Room(room), ChangedBy::Another);
        }
    }

    /// Returns since when rooms are not subscribed that should be.
    pub(super) fn deaf_since(&self) -> Option<Instant> {
        self.rooms().unsubscribed_since
    }

    /// Returns the client on which a channel is subscribed.
    fn client(&self, channel: &str) -> Result<Client, LogError> {
        let shard = self.shards.of(channel)?;
        let client = self.clients().get(&shard.server).cloned();
        client.ok_or_else(|| LogError::Unavailable("the server is new".to_owned()))
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Server, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attends to servers that are new, lets go of those that are gone, and subscribes rooms where their slots are now:
    /// Redis ends the subscriptions of a slot that leaves a server.
    async fn follow_shards(
        self: Arc<Self>,
        mut changes: watch::Receiver<ShardList>,
        mut attended: HashMap<Server, JoinSet<()>>,
    ) {
        while changes.changed().await.is_ok() {
            let list = changes.borrow_and_update().clone();
            self.attend_all(&list, &mut attended);
            self.renew(|_| true);
        }
    }

    fn attend_all(self: &Arc<Self>, list: &ShardList, attended: &mut HashMap<Server, JoinSet<()>>) {
        let is_there = |server: &Server| list.shards.iter().any(|shard| shard.server == *server);
        attended.retain(|server, _| is_there(server));
        self.clients().retain(|server, _| is_there(server));
        for shard in &list.shards {
            if !attended.contains_key(&shard.server) {
                let mut tasks = JoinSet::new();
                let clients = shard.subscriptions.clients();
                let reading =
                    self.clone().read_client(shard.server.clone(), shard.subscriptions.client());
                tasks.spawn(self.clone().follow_clients(shard.server.clone(), clients, reading));
                attended.insert(shard.server.clone(), tasks);
            }
        }
    }

    /// Reads what comes on a client, and from then on subscribes on it; ends with the returned set.
    fn read_client(self: Arc<Self>, server: Server, client: Client) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().read(client.message_rx()));
        tasks.spawn(self.clone().resubscribe(server.clone(), client.reconnect_rx()));
        self.clients().insert(server, client);
        tasks
    }

    /// Goes over to each client that replaces the one before.
    async fn follow_clients(
        self: Arc<Self>,
        server: Server,
        mut clients: watch::Receiver<Client>,
        mut reading: JoinSet<()>,
    ) {
        while clients.changed().await.is_ok() {
            let client = clients.borrow_and_update().clone();
            reading = self.clone().read_client(server.clone(), client);
            self.on_reconnect(&server);
        }
        drop(reading);
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
        let client = self.client(channel)?;
        let subscribed = match self.publishing {
            Publishing::Sharded => client.ssubscribe(channel).await,
            // fred does not wait for this confirmation, but what follows on the connection comes after it.
            Publishing::Plain => match client.subscribe(channel).await {
                Ok(()) => client.ping::<()>(None).await,
                failed => failed,
            },
        };
        let subscribed = subscribed.map_err(LogError::from);
        subscribed.inspect_err(|error| {
            // If its slot is elsewhere, the new map leads to another round.
            let _ = self.shards.redirection(error);
        })
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
        // If no server holds the slot, there is no subscription.
        let Ok(client) = self.client(&channel) else { return };
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

    #[expect(clippy::wildcard_enum_match_arm, reason = "no other value comes over a channel")]
    fn dispatch(&self, message: &Message) {
        let rooms = self.rooms();
        let Some(room) = rooms.feeds.get(&*message.channel) else { return };
        let event = match &message.value {
            Value::Bytes(bytes) => decode::event(bytes),
            Value::String(text) => decode::event(text.as_bytes()),
            other => Err(LogError::UnexpectedReply(format!("{:?} on a channel", other.kind()))),
        };
        match event {
            Ok(event) => {
                self.note_events(&message.channel, &event);
                room.push(event);
            }
            Err(error) => {
                warn!(channel = &*message.channel, %error, "a message on the channel of a room cannot be read");
                room.push(FeedEvent::Gap);
            }
        }
    }

    /// Subscribes the rooms of a server again after each reconnect.
    async fn resubscribe(self: Arc<Self>, server: Server, mut connected: Receiver<Connected>) {
        while !matches!(connected.recv().await, Err(RecvError::Closed)) {
            self.on_reconnect(&server);
        }
    }

    fn on_reconnect(&self, server: &Server) {
        self.renew(|channel| self.shards.of(channel).is_ok_and(|shard| shard.server == *server));
    }

    /// Subscribes these channels again, since the servers behind them may not be what they were.
    fn renew(&self, which: impl Fn(&str) -> bool) {
        self.reconnects.send_modify(|count| *count += 1);
        let count = {
            let mut rooms = self.rooms();
            rooms.none_is_subscribed(which);
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
            // Channels of a server that does not answer wait for it, and delay none of the others.
            let is_up =
                |channel: &Arc<str>| self.client(channel).is_ok_and(|client| client.is_connected());
            let channels: Vec<_> = channels.into_iter().filter(is_up).collect();
            let mut renewals = FuturesUnordered::new();
            for channel in &channels {
                if renewals.len() == RENEWALS_AT_A_TIME {
                    renewals.next().await;
                }
                renewals.push(self.renew_one(channel));
            }
            while renewals.next().await.is_some() {}
            if !self.rooms().unsubscribed.is_empty() {
                sleep(RENEW_AGAIN_AFTER).await;
            }
        }
    }

    /// Subscribes a room again and lets it compare with its log.
    async fn renew_one(&self, channel: &str) {
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
