//! What can be done to a cluster, and what follows from it for what the checks expect.

use serde::{Deserialize, Serialize};

/// What can be done to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// `kill -9` of a node, and a new start on the same address.
    KillNode,
    /// SIGSTOP of a node, then SIGCONT.
    StopNode,
    /// A node gets a tenth of its processor: SIGSTOP and SIGCONT in turn.
    SlowNode,
    /// SIGTERM of a node, and a new start on the same address once it has ended.
    RestartNode,
    /// All nodes restarted so, one after the other.
    RollingRestart,
    /// All sockets between clients and a node are reset.
    CutClients,
    /// One direction of all sockets between clients and a node is closed.
    HalfCloseClients,
    /// Nothing is forwarded between clients and a node; the sockets stay open.
    StallClients,
    /// All connections between a node and Redis are reset.
    CutRedis,
    /// One direction of all connections between a node and Redis is closed.
    HalfCloseRedis,
    /// Nothing is forwarded between a node and Redis.
    StallRedisLink,
    /// A node has no connection to Redis and gets none.
    Partition,
    /// Packets between a node and Redis are lost without a reset. The connections it has stay silent for ever.
    SilentRedis,
    /// The same in one direction.
    HalfSilentRedis,
    /// The same for the connection of the subscriptions alone.
    SilentSubscriber,
    /// SIGSTOP of Redis, then SIGCONT.
    StallRedis,
    /// Redis gets a tenth of its processor: SIGSTOP and SIGCONT in turn.
    SlowRedis,
    /// `kill -9` of Redis, and a new start with what it had written.
    KillRedis,
    /// `kill -9` of Redis, and a new start with nothing.
    WipeRedis,
    /// Redis refuses writes: too few replicas (`NOREPLICAS`).
    TooFewReplicas,
    /// Redis refuses writes: no memory left (`OOM`).
    OutOfMemory,
    /// Redis refuses writes: it is the replica of a primary that is not there (`READONLY`).
    ReadOnly,
    /// Redis refuses writes: its last snapshot failed (`MISCONF`).
    FailedSnapshot,
    /// A planned `FAILOVER` to a replica behind the same address; the old primary stays, as a replica.
    FailOver,
    /// `kill -9` of the primary; at the end a replica, which may lack its last writes, is promoted behind the same address.
    LosePrimary,
    /// About half of all keys are deleted, as an eviction policy that forgets rooms does.
    LoseKeys,
    /// A snapshot is taken; at the end, `kill -9` of Redis and a new start with that snapshot.
    OldSnapshot,
    /// The clock of Redis is set by less than the keys of a room live, and set right again.
    StepClock,
    /// The clock of Redis is set by more than that, and set right again.
    LeapClock,
    /// SIGSTOP of Redis, then SIGCONT when the keys of all rooms have ended by its clock.
    LongOutage,
    /// Slots of a Redis Cluster move from master to master, one after the other.
    MoveSlots,
    /// One master of a Redis Cluster refuses writes (`NOREPLICAS`).
    RefuseShard,
    /// `kill -9` of a master of a Redis Cluster, whose replica may lack its last writes; at the end it comes back as a replica.
    LoseShard,
}

impl FaultKind {
    /// Its name in histories and tables.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|name| name.as_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Tells whether it may keep nodes from Redis.
    #[must_use]
    pub fn affects_redis(self) -> bool {
        use FaultKind as K;
        match self {
            K::KillNode
            | K::RestartNode
            | K::RollingRestart
            | K::CutClients
            | K::HalfCloseClients
            | K::StallClients => false,
            // A stopped node hears nothing from Redis either.
            K::StopNode
            | K::SlowNode
            | K::CutRedis
            | K::HalfCloseRedis
            | K::StallRedisLink
            | K::Partition
            | K::SilentRedis
            | K::HalfSilentRedis
            | K::SilentSubscriber
            | K::StallRedis
            | K::SlowRedis
            | K::KillRedis
            | K::WipeRedis
            | K::TooFewReplicas
            | K::OutOfMemory
            | K::ReadOnly
            | K::FailedSnapshot
            | K::FailOver
            | K::LosePrimary
            | K::LoseKeys
            | K::OldSnapshot
            | K::StepClock
            | K::LeapClock
            | K::LongOutage
            | K::MoveSlots
            | K::RefuseShard
            | K::LoseShard => true,
        }
    }

    /// Tells whether it affects one node, and leaves the others and Redis alone.
    #[must_use]
    pub fn is_local(self) -> bool {
        use FaultKind as K;
        match self {
            K::KillNode
            | K::StopNode
            | K::SlowNode
            | K::RestartNode
            | K::CutClients
            | K::HalfCloseClients
            | K::StallClients
            | K::CutRedis
            | K::HalfCloseRedis
            | K::StallRedisLink
            | K::Partition
            | K::SilentRedis
            | K::HalfSilentRedis
            | K::SilentSubscriber => true,
            K::RollingRestart
            | K::StallRedis
            | K::SlowRedis
            | K::KillRedis
            | K::WipeRedis
            | K::TooFewReplicas
            | K::OutOfMemory
            | K::ReadOnly
            | K::FailedSnapshot
            | K::FailOver
            | K::LosePrimary
            | K::LoseKeys
            | K::OldSnapshot
            | K::StepClock
            | K::LeapClock
            | K::LongOutage
            | K::MoveSlots
            | K::RefuseShard
            | K::LoseShard => false,
        }
    }

    /// Tells whether the log loses what was in it, between the beginning and the end of the fault.
    #[must_use]
    pub fn loses_data(self) -> bool {
        use FaultKind as K;
        matches!(
            self,
            K::WipeRedis
                | K::OldSnapshot
                | K::LosePrimary
                | K::LoseKeys
                | K::LoseShard
                | K::LeapClock
                | K::LongOutage
        )
    }

    /// Tells whether the clock of the log is set.
    #[must_use]
    pub fn sets_clock(self) -> bool {
        matches!(self, Self::StepClock | Self::LeapClock | Self::LongOutage)
    }

    /// Tells whether Redis answers reads and refuses writes.
    #[must_use]
    pub fn refuses_writes(self) -> bool {
        use FaultKind as K;
        matches!(self, K::TooFewReplicas | K::OutOfMemory | K::ReadOnly | K::FailedSnapshot)
    }

    /// Tells whether packets between a node and Redis are lost without a reset.
    #[must_use]
    pub fn is_silence(self) -> bool {
        matches!(self, Self::SilentRedis | Self::HalfSilentRedis | Self::SilentSubscriber)
    }
}
