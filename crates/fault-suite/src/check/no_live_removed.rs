//! No member with a live socket is removed, unless its node was without Redis for lease + grace.
//!
//! A client gives a dead socket up within the ping interval and four seconds, which is less than
//! the grace. So a member that was removed although its socket was open all the time since it last
//! joined had a live one.

use std::collections::HashSet;

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use super::presence::{Presence, Removal, State, removals};
use crate::history::{Event, LeaveReason, LeftReason, What};
use signal_protocol::CloseCode;

/// Closes a connection whose last member was removed.
const KICKED: u16 = CloseCode::Kicked.number();

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let presence = Presence::new(model);
    let faults = faults(model);
    let mut violations = told(model, &faults);
    for removal in removals(model).iter().filter(|removal| removal.reason == LeaveReason::Timeout) {
        if was_live(&presence, removal) && !excused(model, &faults, removal.at) {
            let what = format!(
                "client {} saw {} removed at seq {}, whose socket was open",
                removal.by, removal.peer, removal.seq
            );
            violations.push(Violation::new(removal.at, what));
        }
    }
    violations
}

fn was_live(presence: &Presence, removal: &Removal) -> bool {
    match presence.at(removal.peer, removal.at) {
        Some(State::Live { seq, .. }) => seq < removal.seq,
        Some(State::Lost { .. } | State::GivenUp) | None => false,
    }
}

/// Memberships that ended on a socket that the client had not replaced itself, and that nobody asked to be removed.
fn told(model: &Model<'_>, faults: &[FaultPeriod]) -> Vec<Violation> {
    let kicks: HashSet<u32> = model.events.iter().filter_map(kicked).collect();
    let ended = model.events.iter().filter_map(|event| match event.what {
        What::Ended { reason: LeftReason::Kicked } | What::Stopped { code: KICKED }
            if kicks.contains(&event.who) =>
        {
            None
        }
        What::Ended { reason: LeftReason::Expired } => {
            (!excused(model, faults, event.at)).then(|| {
                Violation::new(event.at, format!("client {} was told left expired", event.who))
            })
        }
        What::Ended { reason } => Some(Violation::new(
            event.at,
            format!("client {} was told left {reason:?} on its newest socket", event.who),
        )),
        What::Stopped { code } => Some(Violation::new(
            event.at,
            format!("client {} was closed {code}, which ends it for good", event.who),
        )),
        _ => None,
    });
    ended.collect()
}

fn kicked(event: &Event) -> Option<u32> {
    match event.what {
        What::Kicking { peer, .. } => Some(peer.client),
        _ => None,
    }
}

/// Whether, shortly before a time, Redis was out of reach for one node for as long as lease and grace.
///
/// A fault of all nodes alike excuses nothing: a node that had no contact itself judges nobody.
fn excused(model: &Model<'_>, faults: &[FaultPeriod], at: u64) -> bool {
    let long = model.settings.lease + model.settings.grace;
    faults.iter().any(|fault| {
        let lasted = fault.to.min(at).saturating_sub(fault.from);
        fault.kind.affects_redis()
            && fault.kind.is_local()
            && lasted >= long
            && at < fault.to.saturating_add(2 * long)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, HistoryBuilder, found};
    use crate::history::FaultKind;

    #[test]
    fn a_member_away_for_too_long_may_be_removed() {
        assert_eq!(
            found(check, HistoryBuilder::three().closed(BO).wait(40).timeout(ANA, BO, 8)),
            0
        );
    }

    #[test]
    fn twin_a_member_removed_while_its_socket_is_open_is_found() {
        assert_eq!(found(check, HistoryBuilder::three().wait(40).timeout(ANA, BO, 8)), 1);
    }

    #[test]
    fn twin_a_member_told_that_it_expired_although_redis_was_there_is_found() {
        assert_eq!(found(check, HistoryBuilder::three().ended(BO, LeftReason::Expired)), 1);
    }

    #[test]
    fn twin_a_member_removed_after_writes_were_refused_to_all_is_found() {
        let story = HistoryBuilder::three().fault(FaultKind::OutOfMemory).wait(50).healed();
        assert_eq!(found(check, story.timeout(ANA, BO, 8)), 1);
    }

    #[test]
    fn a_node_without_redis_for_too_long_may_lose_its_members() {
        let story = HistoryBuilder::three().fault(FaultKind::Partition).wait(50).healed();
        assert_eq!(found(check, story.timeout(ANA, BO, 8).ended(BO, LeftReason::Expired)), 0);
    }
}
