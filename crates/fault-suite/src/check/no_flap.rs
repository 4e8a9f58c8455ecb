//! A return within the grace shows others at most `away` and back, no leave and join.
//!
//! The cluster may notice a lost socket earlier than the client does, by the ping interval and the
//! four seconds for which a `pong` is waited for, and a second for good measure.

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use super::presence::{Presence, Removal, State, removals};
use crate::history::{LeaveReason, Peer};

/// How long a client waits for a `pong`, and a second, in microseconds.
const PATIENCE: u64 = 5_000_000;

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let presence = Presence::new(model);
    let certain = model.settings.grace.saturating_sub(model.settings.ping + PATIENCE);
    let removed = removals(model);
    let lost = |removal: &Removal| match presence.at(removal.peer, removal.at) {
        Some(State::Lost { since }) => is_forgotten(model, since, removal.at),
        Some(State::Live { .. } | State::GivenUp) | None => false,
    };
    // A client that joins anew after that, and gives the join up, leaves.
    let known = removed.iter().filter(|removal| !lost(removal));
    let early = known.filter_map(|removal| early(&presence, removal, certain));
    let anew =
        presence.peers().flat_map(|peer| new_members_in_time(model, &presence, peer, certain));
    early.chain(anew).collect()
}

/// A member that was removed although it had not been away for long, or had not left.
fn early(presence: &Presence, removal: &Removal, certain: u64) -> Option<Violation> {
    let (peer, seq) = (removal.peer, removal.seq);
    let what = match (removal.reason, presence.at(peer, removal.at)?) {
        (LeaveReason::Timeout, State::Lost { since }) if removal.at - since < certain => {
            let away = (removal.at - since) / 1000;
            format!("{peer} was removed at seq {seq} after {away} ms without a socket")
        }
        (LeaveReason::Left, State::Live { seq: joined, .. }) if joined < seq => {
            format!("{peer} was said to have left at seq {seq}, and had not")
        }
        (LeaveReason::Left, State::Lost { .. }) => {
            format!("{peer} was said to have left at seq {seq}, and only lost its socket")
        }
        _ => return None,
    };
    Some(Violation::new(removal.at, what))
}

/// Returns of a member in time that made a new one of it.
fn new_members_in_time(
    model: &Model<'_>,
    presence: &Presence,
    peer: Peer,
    certain: u64,
) -> Vec<Violation> {
    let joins: Vec<u64> = model
        .memberships
        .iter()
        .filter(|member| member.peer == peer && !member.reset)
        .map(|member| member.joined_at)
        .skip(1)
        .collect();
    let states = presence.changes(peer);
    let back = states.windows(2).filter_map(|pair| match (pair[0], pair[1]) {
        ((lost, State::Lost { .. }), (at, State::Live { .. })) => {
            let forgotten = is_forgotten(model, lost, at);
            let soon = joins.contains(&at) && at - lost < certain && !forgotten;
            let what = format!("{peer} was back after {} ms, as a new member", (at - lost) / 1000);
            soon.then(|| Violation::new(at, what))
        }
        _ => None,
    });
    back.collect()
}

/// Tells whether no node could restore the member: it had no socket when the log lost data, or lost its socket before its
/// node had restored it.
fn is_forgotten(model: &Model<'_>, lost: u64, at: u64) -> bool {
    let put_back = |loss: &FaultPeriod| loss.to.saturating_add(model.settings.lease);
    let losses = faults(model).into_iter().filter(|fault| fault.kind.loses_data());
    losses.into_iter().any(|loss| loss.from <= at && lost <= put_back(&loss))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, HistoryBuilder, found, seen};

    #[test]
    fn a_member_that_is_back_in_time_as_itself_is_fine() {
        assert_eq!(found(check, HistoryBuilder::three().closed(BO).wait(5).replay(BO, 9)), 0);
    }

    #[test]
    fn twin_a_member_removed_before_the_grace_is_over_is_found() {
        assert_eq!(found(check, HistoryBuilder::three().closed(BO).wait(5).timeout(ANA, BO, 9)), 1);
    }

    #[test]
    fn twin_a_lost_socket_that_is_told_as_a_leave_is_found() {
        assert_eq!(found(check, HistoryBuilder::three().closed(BO).left(ANA, BO, 9)), 1);
    }

    #[test]
    fn twin_a_return_in_time_as_a_new_member_is_found() {
        let others = [seen(ANA, 1, true)];
        assert_eq!(
            found(check, HistoryBuilder::three().closed(BO).wait(5).join(BO, 9, 4, &others)),
            1
        );
    }
}
