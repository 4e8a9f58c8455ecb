//! After a fault of Redis signals are delivered again in time.
//!
//! Asked of each fault that no other one follows within that time: a signal that was sent during it or soon after is
//! acknowledged, and arrives at every member whose socket stayed, in time from the end of the fault or, if later, from when
//! it was sent. A role that changes has an end only for the old primary: there a signal has its time from when it was sent.

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::{Model, Sent, SignalOutcome, index};
use super::presence::{Presence, State};
use crate::history::FaultKind;

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let faults = faults(model);
    let presence = Presence::new(model);
    let lone = faults.iter().enumerate().filter_map(|(number, fault)| {
        let within = within(fault.kind)?;
        let others = faults.iter().enumerate().filter(|(other, _)| *other != number);
        is_alone(fault, within, others.map(|(_, other)| other)).then_some((fault, within))
    });
    lone.flat_map(|(fault, within)| late(model, &presence, fault, within)).collect()
}

/// How soon after its end, in microseconds: all that has piled up meanwhile too.
fn within(kind: FaultKind) -> Option<u64> {
    match kind {
        FaultKind::FailOver => Some(10_000_000),
        kind if kind.is_silence() => Some(15_000_000),
        kind if kind.refuses_writes() => Some(5_000_000),
        _ => None,
    }
}

fn is_alone<'a>(
    fault: &FaultPeriod,
    within: u64,
    others: impl Iterator<Item = &'a FaultPeriod>,
) -> bool {
    let until = fault.to.saturating_add(within);
    let mut others = others;
    !others.any(|other| other.from < until && other.to.saturating_add(within) > fault.from)
}

fn late(
    model: &Model<'_>,
    presence: &Presence,
    fault: &FaultPeriod,
    within: u64,
) -> Vec<Violation> {
    let until = fault.to.saturating_add(within);
    let concerned = |sent: &Sent| fault.from <= sent.at && sent.at < until;
    let due = |sent: &Sent| {
        let from = if fault.kind == FaultKind::FailOver { sent.at } else { sent.at.max(fault.to) };
        from.saturating_add(within)
    };
    let acknowledged = model.sent.values().flatten().filter(|sent| concerned(sent));
    let acknowledged = acknowledged.filter_map(|sent| match sent.fate {
        SignalOutcome::Settled(at) if at > due(sent) && kept_its_socket(presence, sent, at) => {
            Some(Violation::new(
                at,
                format!("{} was acknowledged {}", sent.from, after(sent, at, fault)),
            ))
        }
        SignalOutcome::Settled(_) | SignalOutcome::Open | SignalOutcome::Refused => None,
    });
    let arrived = model.received.iter().filter_map(|received| {
        let sent = model.sent.get(&received.from.client)?.get(index(received.number))?;
        let state = presence.at(received.by, received.at);
        let open = matches!(state, Some(State::Live { since, .. }) if since <= sent.at);
        (concerned(sent) && received.at > due(sent) && open).then(|| {
            let what =
                format!("{} heard {} {}", received.by, sent.from, after(sent, received.at, fault));
            Violation::new(received.at, what)
        })
    });
    acknowledged.chain(arrived).collect()
}

/// Whether the sender had its socket all the time.
fn kept_its_socket(presence: &Presence, sent: &Sent, at: u64) -> bool {
    matches!(presence.at(sent.from, at), Some(State::Live { since, .. }) if since <= sent.at)
}

fn after(sent: &Sent, at: u64, fault: &FaultPeriod) -> String {
    let (sent, end) = ((at - sent.at) / 1000, at.saturating_sub(fault.to) / 1000);
    format!("{sent} ms after it was sent and {end} ms after the end of {}", fault.kind.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, HistoryBuilder, found};

    fn signals_during(kind: FaultKind) -> HistoryBuilder {
        HistoryBuilder::three().fault(kind).unacknowledged_signal(ANA, None).healed()
    }

    #[test]
    fn what_is_delivered_in_time_is_fine() {
        let story = signals_during(FaultKind::OutOfMemory).hear(BO, ANA, 1, 9);
        assert_eq!(found(check, story.settled(ANA, 1)), 0);
    }

    #[test]
    fn twin_what_arrives_late_after_refused_writes_is_found() {
        assert_eq!(
            found(check, signals_during(FaultKind::ReadOnly).wait(5).hear(BO, ANA, 1, 9)),
            1
        );
    }

    #[test]
    fn twin_what_is_acknowledged_late_after_refused_writes_is_found() {
        assert_eq!(
            found(check, signals_during(FaultKind::TooFewReplicas).wait(5).settled(ANA, 1)),
            1
        );
    }

    #[test]
    fn twin_what_arrives_late_after_silence_is_found() {
        let story = signals_during(FaultKind::SilentSubscriber).wait(10).hear(BO, ANA, 1, 9);
        assert_eq!(found(check, story.wait(10)), 0);
        let story = signals_during(FaultKind::SilentSubscriber).wait(15).hear(BO, ANA, 1, 9);
        assert_eq!(found(check, story), 1);
    }

    #[test]
    fn twin_what_waits_for_the_end_of_an_old_primary_is_found() {
        let story = HistoryBuilder::three()
            .fault(FaultKind::FailOver)
            .unacknowledged_signal(ANA, None)
            .wait(20)
            .healed();
        assert_eq!(found(check, story.hear(BO, ANA, 1, 9)), 1);
    }
}
