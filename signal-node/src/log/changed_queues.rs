//! The queues of events that a node has to look at.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::events::EventQueue;

/// Which node has changed a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangedBy {
    /// This one, which sends at once.
    ThisNode,
    /// Another one: this one looks a little later whether the events are sent.
    Another,
}

/// A set that the log adds to and the sender empties: as large as the rooms of the node at most.
#[derive(Debug, Default)]
pub struct ChangedQueues {
    changed: Mutex<HashMap<EventQueue, ChangedBy>>,
    notify: Notify,
}

impl ChangedQueues {
    fn changed(&self) -> MutexGuard<'_, HashMap<EventQueue, ChangedBy>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a queue may have an event more.
    pub fn note(&self, queue: EventQueue, by: ChangedBy) {
        let mut changed = self.changed();
        let known = changed.entry(queue).or_insert(by);
        if by == ChangedBy::ThisNode {
            *known = by;
        }
        drop(changed);
        self.notify.notify_one();
    }

    /// Waits until there are some, and takes them out.
    pub async fn next(&self) -> Vec<(EventQueue, ChangedBy)> {
        loop {
            let changed = std::mem::take(&mut *self.changed());
            if !changed.is_empty() {
                return changed.into_iter().collect();
            }
            self.notify.notified().await;
        }
    }
}
