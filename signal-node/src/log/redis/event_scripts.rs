//! That events are stored in Redis, and the scripts of their queues.

use std::sync::Arc;
use std::time::Duration;

use fred::types::scripts::Script;

use crate::log::ChangedQueues;

/// The script of one queue, and that of all of them.
const QUEUE: &str = include_str!("events.lua");
const ATTEND: &str = include_str!("attend.lua");

/// That events are stored, and how.
pub(super) struct Events {
    /// How long a queue is kept after its last event.
    pub(super) keep: Duration,
    /// How long a node attends to a room that it opens.
    pub(super) attended: Duration,
    pub(super) changed: Arc<ChangedQueues>,
    pub(super) queue: Script,
    pub(super) attend: Script,
}

impl Events {
    pub(super) fn new(keep: Duration, attended: Duration) -> Self {
        let (queue, attend) = (Script::from_lua(QUEUE), Script::from_lua(ATTEND));
        Self { keep, attended, changed: Arc::default(), queue, attend }
    }
}
