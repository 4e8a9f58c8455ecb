//! Three endpoints with a node behind each, the network before them, and what is done to all that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use signal_protocol::NodeId;
use tokio::io::duplex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::dice::Dice;
use super::link::{Link, Way};
use super::node::Node;
use super::settings::Settings;
use super::store::Store;
use super::unsteady::View;
use super::wire::{Network, forward, index};
use crate::client::{Endpoints, Socket, Wire};
use crate::cluster::NODES;
use crate::history::FaultKind;
use crate::nemesis::Planned;

/// Bytes that one end of a connection may have waiting.
const BUFFER: usize = 64 * 1024;

/// One endpoint.
struct Endpoint {
    /// The node behind it, unless there is none now.
    node: Mutex<Option<Arc<Node>>>,
    network: watch::Sender<Network>,
}

impl Endpoint {
    fn node(&self) -> MutexGuard<'_, Option<Arc<Node>>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole cluster.
pub(super) struct World {
    settings: Settings,
    store: Arc<Store>,
    endpoints: [Endpoint; NODES],
    dice: Dice,
    /// How many nodes were started so far.
    started: Mutex<u32>,
    /// Nodes that are about to end.
    ending: Mutex<Vec<JoinHandle<()>>>,
}

impl World {
    /// Starts three nodes.
    pub(super) fn start(settings: Settings) -> Arc<Self> {
        let dice = Dice::new(settings.run.seed);
        let store = Store::new(settings.retention);
        let endpoints = std::array::from_fn(|_| Endpoint {
            node: Mutex::default(),
            network: watch::Sender::new(Network::default()),
        });
        let (started, ending) = (Mutex::new(0), Mutex::default());
        let world = Arc::new(Self { settings, store, endpoints, dice, started, ending });
        (0..NODES).for_each(|endpoint| world.open(endpoint));
        world
    }

    /// How it is set up.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Puts a new node behind an endpoint.
    fn open(&self, endpoint: usize) {
        let id = self.next_id();
        let view = View::new(self.store.clone(), self.dice.fork());
        *self.endpoints[endpoint].node() = Some(Node::start(&id, &self.settings, view));
    }

    fn next_id(&self) -> NodeId {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        *started += 1;
        format!("n_{:012x}", *started).parse().expect("hexadecimal digits are of the alphabet")
    }

    /// Injects a fault.
    pub(super) fn inject(&self, fault: &Planned) {
        let endpoint = &self.endpoints[fault.node.unwrap_or_default()];
        let side = index(fault.direction);
        if fault.kind != FaultKind::WipeRedis {
            self.store.keep();
        }
        match fault.kind {
            FaultKind::KillNode => {
                if let Some(node) = endpoint.node().take() {
                    node.kill();
                }
            }
            FaultKind::RestartNode | FaultKind::RollingRestart => self.drain(endpoint),
            FaultKind::StopNode => {
                endpoint.network.send_modify(|network| network.stalled = true);
                on_link(endpoint, |link| link.set(Way::Stalled));
            }
            FaultKind::CutClients => endpoint.network.send_modify(|network| network.cuts += 1),
            FaultKind::HalfCloseClients => {
                endpoint.network.send_modify(|network| network.closed[side] += 1);
            }
            FaultKind::StallClients => {
                endpoint.network.send_modify(|network| network.stalled = true);
            }
            FaultKind::CutRedis => on_link(endpoint, Link::reconnect),
            FaultKind::HalfCloseRedis => on_link(endpoint, Link::deafen),
            FaultKind::StallRedisLink => on_link(endpoint, |link| link.set(Way::Stalled)),
            FaultKind::Partition => on_link(endpoint, |link| link.set(Way::Cut)),
            FaultKind::StallRedis => self.on_links(|link| link.set(Way::Stalled)),
            FaultKind::KillRedis => self.on_links(|link| link.set(Way::Cut)),
            FaultKind::WipeRedis => {
                self.on_links(|link| link.set(Way::Cut));
                self.store.lose(self.settings.has_snapshots && self.dice.one_in(2));
            }
            FaultKind::OutOfMemory => self.store.refuse_writes(true),
            FaultKind::StepClock => self.store.step_clock(fault.seconds),
            FaultKind::SilentRedis
            | FaultKind::HalfSilentRedis
            | FaultKind::SilentSubscriber
            | FaultKind::TooFewReplicas
            | FaultKind::ReadOnly
            | FaultKind::FailedSnapshot
            | FaultKind::FailOver
            | FaultKind::SlowNode
            | FaultKind::SlowRedis
            | FaultKind::LosePrimary
            | FaultKind::LoseKeys
            | FaultKind::OldSnapshot
            | FaultKind::LeapClock
            | FaultKind::MoveSlots
            | FaultKind::RefuseShard
            | FaultKind::LoseShard
            | FaultKind::LongOutage => unreachable!("a simulation draws no faults of a real Redis"),
        }
    }

    /// Heals a fault.
    pub(super) async fn heal(&self, fault: &Planned) {
        let number = fault.node.unwrap_or_default();
        let endpoint = &self.endpoints[number];
        match fault.kind {
            FaultKind::KillNode => self.open(number),
            FaultKind::RestartNode | FaultKind::RollingRestart => {
                self.ended().await;
                self.open(number);
            }
            FaultKind::StopNode => {
                endpoint.network.send_modify(|network| network.stalled = false);
                on_link(endpoint, |link| link.set(Way::Open));
            }
            FaultKind::StallClients => {
                endpoint.network.send_modify(|network| network.stalled = false);
            }
            FaultKind::StallRedisLink => on_link(endpoint, |link| link.set(Way::Open)),
            FaultKind::HalfCloseRedis | FaultKind::Partition => on_link(endpoint, Link::reconnect),
            FaultKind::StallRedis => self.on_links(|link| link.set(Way::Open)),
            FaultKind::KillRedis | FaultKind::WipeRedis => self.on_links(Link::reconnect),
            FaultKind::OutOfMemory => self.store.refuse_writes(false),
            FaultKind::StepClock => self.store.step_clock(-fault.seconds),
            FaultKind::CutClients
            | FaultKind::HalfCloseClients
            | FaultKind::CutRedis
            | FaultKind::SilentRedis
            | FaultKind::HalfSilentRedis
            | FaultKind::SilentSubscriber
            | FaultKind::TooFewReplicas
            | FaultKind::ReadOnly
            | FaultKind::FailedSnapshot
            | FaultKind::FailOver
            | FaultKind::SlowNode
            | FaultKind::SlowRedis
            | FaultKind::LosePrimary
            | FaultKind::LoseKeys
            | FaultKind::OldSnapshot
            | FaultKind::LeapClock
            | FaultKind::MoveSlots
            | FaultKind::RefuseShard
            | FaultKind::LoseShard
            | FaultKind::LongOutage => {}
        }
    }

    fn on_links(&self, act: impl Fn(&Link)) {
        self.endpoints.iter().for_each(|endpoint| on_link(endpoint, &act));
    }

    /// Closes an endpoint, and has the node behind it lead its clients out.
    fn drain(&self, endpoint: &Endpoint) {
        if let Some(node) = endpoint.node().take() {
            self.ending().push(tokio::spawn(async move { node.end().await }));
        }
    }

    fn ending(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ended(&self) {
        let ending = std::mem::take(&mut *self.ending());
        for node in ending {
            node.await.expect("a node that ends does not panic");
        }
    }
}

fn on_link(endpoint: &Endpoint, act: impl FnOnce(&Link)) {
    if let Some(node) = endpoint.node().as_ref() {
        act(&node.view.link);
    }
}

/// What clients know of the cluster.
pub(super) struct SimulatedEndpoints(pub(super) Arc<World>);

impl Endpoints for SimulatedEndpoints {
    fn count(&self) -> usize {
        NODES
    }

    fn dial(&self, endpoint: usize, token: String) -> BoxFuture<'static, Result<Socket, Error>> {
        let world = self.0.clone();
        let dice = world.dice.fork();
        Box::pin(async move {
            sleep(dice.delay()).await;
            let endpoint = &world.endpoints[endpoint];
            let (client, near) = duplex(BUFFER);
            let (far, node) = duplex(BUFFER);
            match endpoint.node().as_ref() {
                Some(behind) => behind.serve(node, token),
                None => return Err(Error::ConnectionClosed),
            }
            tokio::spawn(forward(near, far, endpoint.network.subscribe(), dice));
            let wire: Box<dyn Wire> = Box::new(client);
            Ok(WebSocketStream::from_raw_socket(wire, Role::Client, None).await)
        })
    }
}
