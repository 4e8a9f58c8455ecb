//! What every room of a node shares, and what one step of a room may look at.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{NodeId, RoomId};
use tokio::time::Instant;

use crate::liveness::Liveness;
use crate::log::{Judgement, Retention, RoomLog, RoomProfile};
use crate::metrics::Metrics;
use crate::send_budget::SendRates;
use crate::timeline::Recorder;

/// The settings of all rooms of a node.
#[derive(Clone, Debug)]
pub struct RoomSettings {
    /// This node.
    pub node: NodeId,
    /// How long a member without a socket may come back as the same member.
    pub grace: Duration,
    /// What the log keeps.
    pub retention: Retention,
    /// Bytes that one sender may have sent.
    pub send_rates: SendRates,
}

impl RoomSettings {
    /// Returns how long a member of this room may be away.
    #[must_use]
    pub fn grace_of(&self, room: &RoomId) -> Duration {
        RoomProfile::of(room).map_or(self.grace, |profile| profile.grace.min(self.grace))
    }
}

/// What the tasks of all rooms of a node share.
pub struct RoomContext {
    /// The log that orders the entries of every room.
    pub log: Arc<dyn RoomLog>,
    /// The liveness of the other nodes.
    pub liveness: Arc<Liveness>,
    /// The settings of all rooms.
    pub settings: RoomSettings,
    /// The node's counters.
    pub metrics: Arc<Metrics>,
    /// What writes down who came and went.
    pub timelines: Arc<Recorder>,
}

/// What a room asks about the other nodes. A test answers with constants, a node with its [`Liveness`].
pub trait ClusterView {
    /// Returns the nodes that are silent now, with the proof.
    fn judgement(&self) -> Judgement;

    /// Tells whether this node has been in contact with the log for `time` without a break.
    fn in_contact_for(&self, time: Duration) -> bool;

    /// Returns the log's own time, if an estimate is known.
    fn log_time(&self) -> Option<Duration>;
}

impl ClusterView for Liveness {
    fn judgement(&self) -> Judgement {
        Self::judgement(self)
    }

    fn in_contact_for(&self, time: Duration) -> bool {
        Self::in_contact_for(self, time)
    }

    fn log_time(&self) -> Option<Duration> {
        Self::log_time(self)
    }
}

/// Everything outside a room that a step depends on: with the same inputs and environments a
/// [`Replica`](super::Replica) takes the same course.
#[derive(Clone, Copy)]
pub struct Environment<'a> {
    /// The time of the step.
    pub now: Instant,
    /// The settings of all rooms.
    pub settings: &'a RoomSettings,
    /// The liveness of the other nodes.
    pub cluster: &'a dyn ClusterView,
}
