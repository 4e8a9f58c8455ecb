//! The servers that hold rooms: one, or those of a Redis Cluster, each with connections of its own.
//!
//! fred's client of a cluster is not used, for two reasons. With one server unreachable it reconnects to all of them and
//! answers for none. It sends a command that was answered `-ASK` to the same server again, until its routing task ends.
//! So each server has clients that know nothing of clusters. Each of our commands concerns one key, and the slot of that key
//! selects the server.

use std::sync::Arc;
use std::time::Duration;

use fred::interfaces::{ClientLike as _, ClusterInterface as _};
use fred::types::scripts::Script;
use fred::types::{ClusterHash, CustomCommand, Value};
use fred::util::redis_keyslot;
use futures_util::future::join_all;
use service_kit::redis_access::{RedisAccess, RejectionLog, Server, Topology};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::connection::{Connection, bounded};
use super::slots::{Redirection, SlotMap};
use super::{reconnects, rejected, watchdog};
use crate::log::LogError;

/// How often the map of slots is looked at; also whenever a server says that a slot has moved.
const SLOTS_EVERY: Duration = Duration::from_secs(1);

/// How long a server may take to tell the map of slots, or to be connected at the start.
const PATIENCE: Duration = Duration::from_secs(3);

/// One server, and our two connections to it.
pub(super) struct Shard {
    pub(super) server: Server,
    pub(super) commands: Arc<Connection>,
    pub(super) subscriptions: Arc<Connection>,
}

/// All servers as they are known now.
#[derive(Clone, Default)]
pub(super) struct ShardList {
    slots: SlotMap,
    pub(super) shards: Vec<Arc<Shard>>,
}

/// What watches each connection.
#[derive(Clone)]
pub(super) struct Watchers {
    pub(super) lease: Duration,
    pub(super) rejections: Arc<RejectionLog>,
    pub(super) reconnects: watch::Sender<u64>,
}

/// The servers, and who watches them.
pub(super) struct Shards {
    access: RedisAccess,
    watchers: Watchers,
    list: watch::Sender<ShardList>,
    has_moved: Notify,
}

impl Shards {
    /// Connects to the server, or to all of a cluster.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if none of them answers now.
    pub(super) async fn open(
        access: RedisAccess,
        watchers: Watchers,
    ) -> Result<Arc<Self>, LogError> {
        let (list, has_moved) = (watch::Sender::default(), Notify::new());
        let shards = Arc::new(Self { access, watchers, list, has_moved });
        if shards.is_cluster() {
            let slots = Box::pin(shards.ask_seeds()).await?;
            shards.list.send_replace(shards.apply(slots)?);
            let connected = shards.all().into_iter().map(|shard| async move {
                let client = shard.commands.client();
                matches!(timeout(PATIENCE, client.wait_for_connect()).await, Ok(Ok(())))
            });
            if !join_all(connected).await.contains(&true) {
                return Err(LogError::Unavailable("no server of the cluster answers".to_owned()));
            }
            tokio::spawn(shards.clone().follow_slots());
        } else {
            let shard = Arc::new(Box::pin(shards.single()).await?);
            shards.list.send_replace(ShardList { shards: vec![shard], ..ShardList::default() });
        }
        Ok(shards)
    }

    /// Tells whether a command may name keys of one slot only.
    pub(super) fn is_cluster(&self) -> bool {
        self.access.topology == Topology::Cluster
    }

    pub(super) fn all(&self) -> Vec<Arc<Shard>> {
        self.list.borrow().shards.clone()
    }

    /// Changes when servers come, go, or slots move between them.
    pub(super) fn changes(&self) -> watch::Receiver<ShardList> {
        self.list.subscribe()
    }

    /// Returns the server that holds a key or a channel.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] if no server holds its slot now.
    pub(super) fn of(&self, key: &str) -> Result<Arc<Shard>, LogError> {
        let list = self.list.borrow();
        let shard = if self.is_cluster() {
            let server = list.slots.server(redis_keyslot(key.as_bytes()));
            server.and_then(|server| list.find(server))
        } else {
            list.shards.first().cloned()
        };
        shard.ok_or_else(|| LogError::Unavailable(format!("no server holds the slot of {key}")))
    }

    /// Has the server that holds these keys run a script; also where its slot is on the move.
    pub(super) async fn run(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> Result<Value, LogError> {
        let shard = self.of(&keys[0])?;
        let (client, in_use) = shard.commands.in_use();
        if !self.is_cluster() {
            return in_use.answer(script.evalsha_with_reload(&client, keys, args)).await;
        }
        let answer = script.evalsha_with_reload(&client, keys.clone(), args.clone());
        let answer = in_use.answer(answer).await;
        match answer.as_ref().err().and_then(|error| self.redirection(error)) {
            Some(server) => self.run_at(&server, script, keys, args).await,
            None => answer,
        }
    }

    /// Looks whether an error sends the caller elsewhere: to a server for this call, or to a new map of slots.
    pub(super) fn redirection(&self, error: &LogError) -> Option<Server> {
        let LogError::Unavailable(words) = error else { return None };
        match Redirection::read(words)? {
            Redirection::Ask(server) => Some(server),
            Redirection::Moved => {
                self.has_moved.notify_one();
                None
            }
        }
    }

    /// Runs a script where a slot is being moved to. `ASKING` holds for the next command of its connection, which a
    /// pipeline sends right behind it.
    async fn run_at(
        &self,
        server: &Server,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> Result<Value, LogError> {
        let shard = self.list.borrow().find(server);
        let unknown = || LogError::Unavailable(format!("{server} is not known yet"));
        let (client, in_use) = shard.ok_or_else(unknown)?.commands.in_use();
        let command = |name| CustomCommand::new_static(name, ClusterHash::FirstKey, false);
        let count = i64::try_from(keys.len()).unwrap_or(i64::MAX);
        let words = [Value::from(script.sha1().clone()), count.into()];
        let words: Vec<Value> =
            words.into_iter().chain(keys.into_iter().map(Value::from)).chain(args).collect();
        in_use
            .answer(async {
                script.load(&client).await?;
                let pipeline = client.pipeline();
                let _: () = pipeline.custom(command("ASKING"), Vec::<Value>::new()).await?;
                let _: () = pipeline.custom(command("EVALSHA"), words).await?;
                pipeline.last().await
            })
            .await
    }

    async fn single(&self) -> Result<Shard, LogError> {
        let lease = self.watchers.lease;
        let (commands, subscriptions) = tokio::try_join!(
            Connection::open("commands", self.access.clone(), lease),
            Connection::open("subscriptions", self.access.clone(), lease),
        )?;
        Ok(self.watch(self.access.servers[0].clone(), commands, subscriptions))
    }

    fn watch(&self, server: Server, commands: Connection, subscriptions: Connection) -> Shard {
        let (commands, subscriptions) = (Arc::new(commands), Arc::new(subscriptions));
        let Watchers { lease, rejections, reconnects: counter } = &self.watchers;
        for connection in [&commands, &subscriptions] {
            tokio::spawn(rejected::follow(connection.clients(), rejections.clone()));
            tokio::spawn(watchdog::watch(Arc::downgrade(connection), *lease));
        }
        tokio::spawn(reconnects::count(commands.clients(), counter.clone()));
        Shard { server, commands, subscriptions }
    }

    /// Returns how a server of the cluster is reached.
    fn access_to(&self, server: &Server) -> RedisAccess {
        let (topology, servers) = (Topology::Single, vec![server.clone()]);
        RedisAccess { topology, servers, ..self.access.clone() }
    }

    /// Asks the servers of the settings, one after the other, for the map of slots.
    async fn ask_seeds(&self) -> Result<SlotMap, LogError> {
        let mut failed = LogError::Unavailable("no server is known".to_owned());
        for seed in &self.access.servers {
            let asked = async {
                let access = self.access_to(seed);
                let connection = Connection::open("slots", access, self.watchers.lease).await?;
                let slots = connection.client().cluster_slots::<Value>().await?;
                Ok(SlotMap::read(slots, seed))
            };
            match bounded(PATIENCE, asked).await {
                Ok(slots) if slots != SlotMap::default() => return Ok(slots),
                Ok(_) => failed = LogError::Unavailable(format!("{seed} knows no slots")),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Makes connections to servers that are new, and keeps those to servers that stay.
    fn apply(&self, slots: SlotMap) -> Result<ShardList, LogError> {
        let before = self.list.borrow().clone();
        let mut shards = Vec::new();
        for server in slots.servers() {
            shards.push(match before.find(&server) {
                Some(shard) => shard,
                None => Arc::new(self.begin(server)?),
            });
        }
        Ok(ShardList { slots, shards })
    }

    fn begin(&self, server: Server) -> Result<Shard, LogError> {
        let (access, lease) = (self.access_to(&server), self.watchers.lease);
        let commands = Connection::begin("commands", access.clone(), lease)?;
        let subscriptions = Connection::begin("subscriptions", access, lease)?;
        Ok(self.watch(server, commands, subscriptions))
    }

    /// Keeps the map of slots.
    async fn follow_slots(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = sleep(SLOTS_EVERY) => {}
                () = self.has_moved.notified() => {}
            }
            let slots = match SlotMap::of_most(&self.ask_all().await) {
                Some(slots) => slots,
                // All addresses may be new.
                None => match Box::pin(self.ask_seeds()).await {
                    Ok(slots) => slots,
                    Err(_) => continue,
                },
            };
            if slots == self.list.borrow().slots {
                continue;
            }
            match self.apply(slots) {
                Ok(list) => {
                    info!("slots of the Redis Cluster have moved");
                    self.list.send_replace(list);
                }
                Err(error) => warn!(%error, "the new map of slots cannot be used: {error}"),
            }
        }
    }

    async fn ask_all(&self) -> Vec<SlotMap> {
        let shards = self.all();
        let asked = shards.iter().map(|shard| async {
            let client = shard.commands.client();
            let slots = bounded(SLOTS_EVERY, async { Ok(client.cluster_slots::<Value>().await?) });
            slots.await.ok().map(|slots| SlotMap::read(slots, &shard.server))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

impl ShardList {
    fn find(&self, server: &Server) -> Option<Arc<Shard>> {
        self.shards.iter().find(|shard| shard.server == *server).cloned()
    }
}
