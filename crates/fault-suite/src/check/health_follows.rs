//! A node reports what was done to its Redis, and that it is over, within two leases.
//!
//! `signal_log_up` and `signal_log_trouble` of `/metrics`, and `/readyz`. A node that is down without a fault is wrong too.

use std::collections::HashMap;

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use crate::history::{FaultKind, What};

/// What a busy machine and the time between two looks take, in microseconds.
const SLACK: u64 = 1_500_000;
/// As long a node may take until it is well again.
const RECOVERS_WITHIN: u64 = 15_000_000;

/// What a node said, from a time on.
struct HealthPeriod<'a> {
    at: u64,
    up: bool,
    ready: bool,
    trouble: &'a [Box<str>],
}

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let faults = faults(model);
    let mut nodes: HashMap<u8, Vec<HealthPeriod<'_>>> = HashMap::new();
    for event in model.events {
        if let What::Health { node, up, ready, trouble } = &event.what {
            let said = HealthPeriod { at: event.at, up: *up, ready: *ready, trouble };
            nodes.entry(*node).or_default().push(said);
        }
    }
    let leases = 2 * model.settings.lease + SLACK;
    let end = model.events.last().map_or(0, |event| event.at);
    let of_node = |(node, said): (&u8, &Vec<HealthPeriod<'_>>)| {
        let mine: Vec<_> =
            faults.iter().copied().filter(|f| f.node.is_none_or(|n| n == *node)).collect();
        let mut found = undetected(*node, said, &mine, leases);
        found.extend(stays_down(*node, said, &mine, leases, end));
        found.extend(false_alarms(*node, said, &mine, leases));
        found
    };
    nodes.iter().flat_map(of_node).collect()
}

/// The label of `signal_log_trouble` that a fault must lead to.
fn expected(kind: FaultKind) -> Option<&'static str> {
    use FaultKind as K;
    match kind {
        K::SilentSubscriber => Some("deaf"),
        K::Partition
        | K::StallRedisLink
        | K::SilentRedis
        | K::HalfSilentRedis
        | K::StallRedis
        | K::KillRedis
        | K::WipeRedis
        | K::LongOutage => Some("cut_off"),
        kind if kind.refuses_writes() => Some("read_only"),
        _ => None,
    }
}

fn at<'a, 'b>(said: &'a [HealthPeriod<'b>], time: u64) -> Option<&'a HealthPeriod<'b>> {
    said.iter().rev().find(|said| said.at <= time)
}

/// Whether another fault is near, which makes it hard to tell what a node must say.
fn is_alone(fault: &FaultPeriod, all: &[FaultPeriod], near: u64) -> bool {
    let others = all.iter().filter(|other| other.number != fault.number);
    !others.into_iter().any(|other| {
        other.from < fault.to.saturating_add(near) && other.to.saturating_add(near) > fault.from
    })
}

/// Returns from when on a node can see a fault: it may still be getting well after the one before.
fn well_before(fault: &FaultPeriod, all: &[FaultPeriod]) -> u64 {
    let over = all.iter().filter(|other| other.to <= fault.from).map(|other| other.to);
    over.max().map_or(fault.from, |to| fault.from.max(to.saturating_add(RECOVERS_WITHIN)))
}

/// Faults that lasted, and were not said.
fn undetected(
    node: u8,
    said: &[HealthPeriod<'_>],
    faults: &[FaultPeriod],
    leases: u64,
) -> Vec<Violation> {
    let lone = faults.iter().filter(|fault| is_alone(fault, faults, 0));
    let missed = lone.filter_map(|fault| {
        let (kind, due) = (expected(fault.kind)?, well_before(fault, faults) + leases);
        if due > fault.to {
            return None;
        }
        let tells = |said: &HealthPeriod<'_>| {
            !said.up && !said.ready && said.trouble.iter().any(|name| &**name == kind)
        };
        // A subscriber that was replaced counts as heard until it is silent in turn.
        let before = fault.kind == FaultKind::SilentSubscriber
            && said.iter().any(|said| (fault.from..due).contains(&said.at) && tells(said));
        let said = at(said, due)?;
        let told = before || tells(said);
        let what = format!(
            "node {node} said up {}, ready {}, trouble {:?} two leases into {}, not {kind}",
            said.up,
            said.ready,
            said.trouble,
            fault.kind.name()
        );
        (!told).then(|| Violation::new(due, what))
    });
    missed.collect()
}

/// Faults that were over, and a node that went on being down.
fn stays_down(
    node: u8,
    said: &[HealthPeriod<'_>],
    faults: &[FaultPeriod],
    leases: u64,
    end: u64,
) -> Vec<Violation> {
    let within = RECOVERS_WITHIN + leases;
    let over = faults.iter().filter(|f| f.to.saturating_add(within) < end);
    let lone = over.filter(|fault| is_alone(fault, faults, within));
    let missed = lone.filter_map(|fault| {
        let due = fault.to + within;
        let said = at(said, due)?;
        let what = format!("node {node} was still down, long after {}", fault.kind.name());
        (!said.up || !said.ready).then(|| Violation::new(due, what))
    });
    missed.collect()
}

/// A node that said that it is down, without any fault.
fn false_alarms(
    node: u8,
    said: &[HealthPeriod<'_>],
    faults: &[FaultPeriod],
    leases: u64,
) -> Vec<Violation> {
    let within = RECOVERS_WITHIN + leases;
    let caused = |at: u64| faults.iter().any(|f| f.from <= at && at <= f.to.saturating_add(within));
    // A node that has just started is up with its first heartbeat.
    let down = said.iter().skip_while(|said| !said.up).filter(|said| !said.up && !caused(said.at));
    down.map(|said| {
        Violation::new(
            said.at,
            format!("node {node} said trouble {:?} without a fault", said.trouble),
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{HistoryBuilder, found};

    fn well() -> HistoryBuilder {
        HistoryBuilder::three().health(0, true, &[])
    }

    #[test]
    fn a_node_that_says_what_is_wrong_and_when_it_is_over_is_fine() {
        let story = well().fault(FaultKind::OutOfMemory).wait(10).health(0, false, &["read_only"]);
        let story = story.wait(10).healed().health(0, true, &[]);
        assert_eq!(found(check, story.wait(60)), 0);
    }

    #[test]
    fn a_node_that_has_just_started_may_be_down() {
        let story = HistoryBuilder::three().health(0, false, &[]).health(0, true, &[]);
        assert_eq!(found(check, story.wait(60)), 0);
    }

    #[test]
    fn a_fault_that_is_over_within_two_leases_need_not_be_said() {
        assert_eq!(found(check, well().fault(FaultKind::OutOfMemory).wait(5).healed()), 0);
    }

    #[test]
    fn twin_a_node_that_is_up_while_writes_are_refused_is_found() {
        assert_eq!(found(check, well().fault(FaultKind::ReadOnly).wait(20).healed()), 1);
    }

    /// Redis stalls, and the node reports it; at once afterwards Redis refuses writes, and the node does not report that.
    fn refuses_writes_after_a_stall() -> HistoryBuilder {
        let stalled = well().fault(FaultKind::StallRedis).wait(5).health(0, false, &["cut_off"]);
        stalled.wait(15).healed().fault(FaultKind::ReadOnly)
    }

    #[test]
    fn a_node_that_is_still_getting_well_may_say_what_came_before() {
        let story = refuses_writes_after_a_stall().wait(16);
        assert_eq!(found(check, story.healed().health(0, true, &[]).wait(60)), 0);
    }

    #[test]
    fn twin_a_node_that_never_says_the_second_of_two_faults_is_found() {
        let story = refuses_writes_after_a_stall().wait(40);
        assert_eq!(found(check, story.healed().health(0, true, &[]).wait(60)), 1);
    }

    #[test]
    fn twin_a_node_that_says_something_else_is_found() {
        let story =
            well().fault(FaultKind::SilentSubscriber).wait(5).health(0, false, &["cut_off"]);
        assert_eq!(found(check, story.wait(20).healed()), 1);
    }

    #[test]
    fn twin_a_node_that_stays_down_is_found() {
        let story = well().fault(FaultKind::StallRedis).wait(5).health(0, false, &["cut_off"]);
        assert_eq!(
            found(check, story.wait(20).healed().wait(60).leave(crate::check::testing::ANA)),
            1
        );
    }

    #[test]
    fn twin_a_node_that_is_down_without_a_fault_is_found() {
        assert_eq!(found(check, well().health(0, false, &["deaf"]).health(0, true, &[])), 1);
    }
}
