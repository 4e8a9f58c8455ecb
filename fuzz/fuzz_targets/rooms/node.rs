//! One node: a replica, and what its task would have under way.

use std::time::Duration;

use futures_util::FutureExt as _;
use signal_node::log::memory::MemoryLog;
use signal_node::log::{
    Feed, Judgement, LogError, Op, Outcome, Retention, RoomLog, Silent, Volatile,
};
use signal_node::room::{
    AppendCall, ClusterView, Effects, Environment, Input, JoinCommand, Replay, Replica,
    RoomSettings,
};
use signal_node::send_budget::SendRates;
use signal_protocol::{NodeId, RoomId, Seq};
use tokio::time::Instant;

/// How long a member may be away.
pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// What a node believes of the other one.
pub(crate) struct Cluster(pub(crate) Option<NodeId>);

impl ClusterView for Cluster {
    fn judgement(&self) -> Judgement {
        let silent = self.0.clone().map(|node| Silent { node, ago: Duration::from_secs(1) });
        Judgement::certain(silent.into_iter().collect())
    }

    fn in_contact_for(&self, _: Duration) -> bool {
        true
    }

    fn log_time(&self) -> Option<Duration> {
        None
    }
}

pub(crate) type Answer = (Vec<Op>, Result<Vec<Outcome>, LogError>);

pub(crate) struct Node {
    pub(crate) replica: Replica,
    pub(crate) settings: RoomSettings,
    pub(crate) cluster: Cluster,
    pub(crate) feed: Feed,
    pub(crate) call: Option<AppendCall>,
    pub(crate) answer: Option<Answer>,
    pub(crate) read: Option<Seq>,
    pub(crate) replays: Vec<Replay>,
    pub(crate) joins: Vec<JoinCommand>,
    pub(crate) publication: Vec<Volatile>,
}

pub(crate) fn retention() -> Retention {
    let age = Duration::from_secs(10_000);
    Retention { age, length: 100_000, bytes: 1 << 26, room: Duration::from_secs(60) }
}

pub(crate) fn subscribed(log: &MemoryLog, room: &RoomId) -> Feed {
    log.open(room).now_or_never().and_then(Result::ok).expect("a log in memory answers at once")
}

impl Node {
    pub(crate) fn new(name: &str, room: &RoomId, log: &MemoryLog) -> Self {
        let rate = "1000000000/s,burst=1000000000".parse().expect("a rate");
        let send_rates = SendRates { fanout: rate, receiver: rate };
        let node = name.parse().expect("a node");
        Self {
            replica: Replica::new(room.clone()),
            settings: RoomSettings { node, grace: GRACE, retention: retention(), send_rates },
            cluster: Cluster(None),
            feed: subscribed(log, room),
            call: None,
            answer: None,
            read: None,
            replays: Vec::new(),
            joins: Vec::new(),
            publication: Vec::new(),
        }
    }

    /// Takes one step, and notes what is to be done; tells whether the room wants to be subscribed again.
    pub(crate) fn on(&mut self, input: Input, now: Instant) -> bool {
        let (settings, cluster) = (&self.settings, &self.cluster);
        let environment = &Environment { now, settings, cluster };
        let mut effects = Effects::default();
        self.replica.on(input, environment, &mut effects);
        self.replica.advance(environment, &mut effects);
        let Effects { append, read, publish, resubscribe, replays, join_retries, .. } = effects;
        if let Some(call) = append {
            assert!(self.call.is_none() && self.answer.is_none(), "two calls at once");
            assert!(!call.ops.is_empty() && call.ops.len() <= 128, "a call out of bounds");
            self.call = Some(call);
        }
        assert!(publish.len() <= 256, "a publication out of bounds");
        self.publication.extend(publish);
        self.read = read.or(self.read);
        self.replays.extend(replays);
        self.joins.extend(join_retries);
        resubscribe.is_some()
    }
}
