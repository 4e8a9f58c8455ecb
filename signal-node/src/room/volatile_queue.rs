//! Volatile signals on their way to the other nodes: while some are being published, the next ones collect.

use crate::log::Volatile;

/// Volatile signals that may wait. Newer ones replace the oldest, which are worth least by now.
const WAITING: usize = 256;

/// The volatile signals of one room.
#[derive(Default)]
pub(super) struct VolatileQueue {
    waiting: Vec<Volatile>,
    is_publishing: bool,
}

impl VolatileQueue {
    /// Queues a signal; tells whether an older one was dropped for it.
    #[must_use]
    pub(super) fn push(&mut self, volatile: Volatile) -> bool {
        let is_full = self.waiting.len() >= WAITING;
        if is_full {
            self.waiting.remove(0);
        }
        self.waiting.push(volatile);
        is_full
    }

    /// Takes out what has collected, unless something is being published.
    pub(super) fn take_next(&mut self) -> Vec<Volatile> {
        if self.is_publishing || self.waiting.is_empty() {
            return Vec::new();
        }
        self.is_publishing = true;
        std::mem::take(&mut self.waiting)
    }

    /// Notes that the last ones were published, or lost.
    pub(super) fn on_published(&mut self) {
        self.is_publishing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volatile(number: usize) -> Volatile {
        let data = serde_json::value::RawValue::from_string(number.to_string()).unwrap().into();
        Volatile { from: "p_someone_else".parse().unwrap(), to: None, data }
    }

    #[test]
    fn signals_collect_while_others_are_published_and_the_oldest_are_lost_to_newer_ones() {
        let mut queue = VolatileQueue::default();
        assert!(!queue.push(volatile(0)));
        assert_eq!(queue.take_next().len(), 1);
        let dropped = (1..=WAITING + 1).filter(|number| queue.push(volatile(*number)));
        assert_eq!(dropped.collect::<Vec<_>>(), [WAITING + 1]);
        assert!(queue.take_next().is_empty());
        queue.on_published();
        let next = queue.take_next();
        assert_eq!((next.len(), next[0].data.get()), (WAITING, "2"));
    }
}
