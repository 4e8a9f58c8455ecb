//! Decides from heartbeat counters which nodes are silent. Pure: time is an argument.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use signal_protocol::NodeId;
use tokio::time::Instant;

/// The newest observation of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    /// `None` without an entry among the heartbeats: the node took itself off, or is known from a roster only.
    counter: Option<u64>,
    since: Instant,
}

/// Watches the counters of all other nodes over one connection.
///
/// A node is silent when its counter has not moved for a whole lease, by this node's monotonic clock, while
/// this node's own contact was unbroken. A broken contact begins every observation anew, so that
/// an outage, a failover or a pause of this very process condemns nobody.
#[derive(Debug)]
pub(super) struct Observer {
    own: NodeId,
    lease: Duration,
    nodes: HashMap<NodeId, Seen>,
    /// When the log last accepted our heartbeat, or answered between two that it accepted.
    heard: Instant,
    /// Since when it has answered without a break.
    began: Option<Instant>,
}

impl Observer {
    pub(super) fn new(own: NodeId, lease: Duration, now: Instant) -> Self {
        Self { own, lease, nodes: HashMap::new(), heard: now, began: None }
    }

    /// Applies the counters that were read at `now`, while our own heartbeats were accepted: a log that answers and
    /// refuses to write stops the counters of all nodes, and the members of none of them are gone.
    pub(super) fn counters_read(&mut self, counters: &[(NodeId, u64)], now: Instant) {
        if self.contact(now).is_none() {
            self.broke(now);
        }
        self.began.get_or_insert(now);
        self.heard = now;
        let listed: HashSet<&NodeId> = counters.iter().map(|(node, _)| node).collect();
        let is_gone = |node: &NodeId| !listed.contains(node);
        for (_, seen) in self.nodes.iter_mut().filter(|(node, _)| is_gone(node)) {
            seen.counter = None;
        }
        for (node, counter) in counters.iter().filter(|(node, _)| *node != self.own) {
            let counter = Some(*counter);
            let seen = self.nodes.entry(node.clone()).or_insert(Seen { counter, since: now });
            if seen.counter != counter {
                *seen = Seen { counter, since: now };
            }
        }
    }

    /// Restarts every observation, since the contact was broken: a counter that did not move meanwhile proves
    /// nothing.
    pub(super) fn broke(&mut self, now: Instant) {
        self.began = None;
        self.nodes.values_mut().for_each(|seen| seen.since = now);
    }

    /// Observes a node of a roster as well, which may have no counter any more.
    pub(super) fn watch(&mut self, node: &NodeId, now: Instant) {
        if *node != self.own && !self.nodes.contains_key(node) {
            self.nodes.insert(node.clone(), Seen { counter: None, since: now });
        }
    }

    /// Returns since when the contact has been unbroken, if the last answer is less than half a lease old. A process
    /// that was stopped would otherwise count the time it slept as contact, and remove living members (seen with a
    /// node stopped for 11 s).
    pub(super) fn contact(&self, now: Instant) -> Option<Instant> {
        self.began.filter(|_| now - self.heard <= self.lease / 2)
    }

    /// Tells whether the log has not accepted our heartbeat for a lease.
    pub(super) fn is_cut_off(&self, now: Instant) -> bool {
        now >= self.heard + self.lease
    }

    /// Returns the silent nodes, and when that became certain of each.
    ///
    /// A node without an entry is among them: should its members still be in a roster, somebody has to suspect
    /// them.
    pub(super) fn silent(&self, now: Instant) -> Vec<(NodeId, Instant)> {
        let mut silent: Vec<_> =
            self.overdue(now).map(|(node, _, certain)| (node.clone(), certain)).collect();
        silent.sort_by(|a, b| a.0.cmp(&b.0));
        silent
    }

    /// Returns the nodes that stopped without taking their entry off: killed, cut off from Redis, or hanging.
    pub(super) fn failed(&self, now: Instant) -> Vec<NodeId> {
        let failed = self.overdue(now).filter(|(_, seen, _)| seen.counter.is_some());
        let mut failed: Vec<_> = failed.map(|(node, _, _)| node.clone()).collect();
        failed.sort();
        failed
    }

    /// Returns the nodes whose counter has not moved for a lease, and when that became certain of each.
    fn overdue(&self, now: Instant) -> impl Iterator<Item = (&NodeId, &Seen, Instant)> {
        let contact = self.contact(now);
        self.nodes.iter().filter_map(move |(node, seen)| {
            let certain = seen.since.max(contact?) + self.lease;
            (certain <= self.heard).then_some((node, seen, certain))
        })
    }

    /// Takes nodes out that have been silent for longer than `keep`; no room remembers them any more.
    pub(super) fn forget(&mut self, keep: Duration, now: Instant) -> Vec<NodeId> {
        let long = |at: &Instant| now >= *at + keep;
        let silent = self.silent(now).into_iter().filter(|(_, at)| long(at));
        let gone: Vec<NodeId> = silent.map(|(node, _)| node).collect();
        for node in &gone {
            self.nodes.remove(node);
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: Duration = Duration::from_secs(6);

    fn node(name: &str) -> NodeId {
        format!("n_{name}").parse().unwrap()
    }

    fn names(observer: &Observer, now: Instant) -> Vec<NodeId> {
        observer.silent(now).into_iter().map(|(node, _)| node).collect()
    }

    #[test]
    fn a_node_is_silent_when_its_counter_stands_still_for_a_lease_of_unbroken_contact() {
        let start = Instant::now();
        let mut observer = Observer::new(node("me"), LEASE, start);
        for second in 0..=6 {
            let now = start + Duration::from_secs(second);
            assert!(names(&observer, now).is_empty());
            observer
                .counters_read(&[(node("dead"), 7), (node("live"), second), (node("me"), 1)], now);
        }
        let now = start + LEASE;
        assert_eq!(observer.silent(now), [(node("dead"), start + LEASE)]);
        observer.counters_read(&[(node("dead"), 8)], now);
        assert!(names(&observer, now).is_empty(), "it has moved");
    }

    #[test]
    fn a_broken_contact_condemns_nobody() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut observer = Observer::new(node("me"), LEASE, start);
        for second in [0, 1, 2, 62, 63, 64, 65, 66, 67] {
            observer.counters_read(&[(node("other"), 7)], at(second));
            assert!(names(&observer, at(second)).is_empty(), "after {second} s");
        }
        assert_eq!(observer.contact(at(67)), Some(at(62)));
        assert_eq!(observer.contact(at(71)), None, "it may have slept since");
        observer.counters_read(&[(node("other"), 7)], at(68));
        assert_eq!(names(&observer, at(68)), [node("other")]);
        observer.broke(at(69));
        observer.counters_read(&[(node("other"), 7)], at(69));
        assert!(names(&observer, at(69)).is_empty());
    }

    #[test]
    fn a_node_of_a_roster_without_a_counter_is_silent_after_a_lease_too() {
        let start = Instant::now();
        let mut observer = Observer::new(node("me"), LEASE, start);
        observer.counters_read(&[], start);
        observer.watch(&node("ghost"), start);
        for second in 1..=6 {
            observer.counters_read(&[], start + Duration::from_secs(second));
        }
        assert_eq!(names(&observer, start + LEASE), [node("ghost")]);
        assert_eq!(observer.forget(Duration::ZERO, start + LEASE), [node("ghost")]);
        assert!(names(&observer, start + LEASE).is_empty());
    }

    #[test]
    fn a_node_that_took_its_entry_off_has_not_failed() {
        let start = Instant::now();
        let mut observer = Observer::new(node("me"), LEASE, start);
        let both = [(node("killed"), 7), (node("stopped"), 3)];
        observer.counters_read(&both, start);
        for second in 1..=6 {
            observer.counters_read(&both[..1], start + Duration::from_secs(second));
        }
        let now = start + LEASE;
        assert_eq!(observer.failed(now), [node("killed")]);
        assert_eq!(names(&observer, now), [node("killed"), node("stopped")]);
        observer.counters_read(&both, now);
        assert_eq!(names(&observer, now), [node("killed")], "its entry is back");
    }

    #[test]
    fn a_lease_without_an_answer_is_being_cut_off() {
        let start = Instant::now();
        let mut observer = Observer::new(node("me"), LEASE, start);
        observer.counters_read(&[], start);
        assert!(!observer.is_cut_off(start + LEASE / 2));
        assert!(observer.is_cut_off(start + LEASE));
    }

    #[test]
    fn a_node_whose_heartbeat_is_refused_judges_nobody_until_a_lease_after_the_next_accepted_one() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut observer = Observer::new(node("me"), LEASE, start);
        observer.counters_read(&[(node("other"), 7)], at(0));
        // Refused for a minute: nothing is read, since only a heartbeat reads.
        assert!(observer.is_cut_off(at(6)) && observer.contact(at(60)).is_none());
        for second in 60..=65 {
            observer.counters_read(&[(node("other"), 7)], at(second));
            assert!(names(&observer, at(second)).is_empty(), "after {second} s");
        }
        observer.counters_read(&[(node("other"), 7)], at(66));
        assert_eq!(names(&observer, at(66)), [node("other")]);
    }

    proptest! {
        /// Under any polls a node whose counter moves at each of them is never silent, and no
        /// node is unless a whole lease of polls without a long pause lies behind.
        #[test]
        fn only_a_whole_lease_of_steady_polls_condemns(
            pauses in proptest::collection::vec((1_u64..9_000, any::<bool>()), 1..60),
        ) {
            let start = Instant::now();
            let mut observer = Observer::new(node("me"), LEASE, start);
            let (mut now, mut steady_since, mut count) = (start, start, 0);
            for (pause, breaks) in pauses {
                let before = now;
                now += Duration::from_millis(pause);
                if breaks && pause % 7 == 0 {
                    observer.broke(now);
                    steady_since = now;
                } else if now - before > LEASE / 2 {
                    steady_since = now;
                }
                count += 1;
                observer.counters_read(&[(node("still"), 1), (node("moving"), count)], now);
                let silent = names(&observer, now);
                prop_assert!(!silent.contains(&node("moving")));
                if now < steady_since + LEASE {
                    prop_assert!(silent.is_empty());
                }
            }
        }
    }
}
