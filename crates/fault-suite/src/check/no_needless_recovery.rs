//! A `reset`, a `snapshot` and a close with 4003 have a cause among the faults.
//!
//! A node could meet every doubt with one of them, and would keep every other promise.

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use crate::history::{Recovery, What};

/// The effects of a fault show at most this long after lease and grace, in microseconds.
const SLACK: u64 = 15_000_000;
/// What a replay takes, in microseconds.
const AT_ONCE: u64 = 100_000;
/// A reader that is too slow; it has missed what it did not read.
const SLOW_READER: u16 = 4002;
/// The node cannot serve the connection any more.
const UNAVAILABLE: u16 = 4003;

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let faults = faults(model);
    let within = model.settings.lease + model.settings.grace + SLACK;
    let shows = |fault: &FaultPeriod, at| fault.from <= at && at <= fault.to.saturating_add(within);
    let any = |at| faults.iter().any(|fault| shows(fault, at));
    let loss = |at| faults.iter().any(|fault| fault.kind.loses_data() && shows(fault, at));
    let needless = model.events.iter().filter_map(|event| {
        let (at, who) = (event.at, event.who);
        let what = match &event.what {
            What::Reset { seq, .. } if !loss(at) && !loss(back_from(model, who, at)) => {
                format!("`reset` at seq {seq}, and nothing was lost")
            }
            What::Joined(joined)
                if joined.recovery == Recovery::Snapshot
                    && !any(at)
                    && !was_slow(model, who, at) =>
            {
                format!("`snapshot` at seq {}, and nothing was broken", joined.seq)
            }
            What::Closed { code: UNAVAILABLE } if !any(at) => {
                "closed 4003, and nothing was broken".to_owned()
            }
            _ => return None,
        };
        Some(Violation::new(at, format!("client {who} was told {what}")))
    });
    needless.collect()
}

/// When a client last heard of its room before a time: whoever was away for long is told then what happened meanwhile.
fn back_from(model: &Model<'_>, who: u32, at: u64) -> u64 {
    let before = model.events.iter().take_while(|event| event.at < at);
    let heard = before.filter(|event| event.who == who && is_of_room(&event.what));
    // What is replayed comes at once.
    heard.map(|event| event.at).filter(|heard| heard + AT_ONCE < at).last().unwrap_or(at)
}

fn is_of_room(what: &What) -> bool {
    matches!(what, What::Received { .. } | What::Position { .. } | What::Joined(_))
}

/// Whether a client has been closed before for reading too slowly.
fn was_slow(model: &Model<'_>, who: u32, at: u64) -> bool {
    let before = model.events.iter().take_while(|event| event.at <= at);
    before
        .into_iter()
        .any(|event| event.who == who && event.what == What::Closed { code: SLOW_READER })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{BO, HistoryBuilder, found};
    use crate::history::FaultKind;

    #[test]
    fn a_reset_after_a_loss_and_a_snapshot_after_any_fault_are_fine() {
        let story = HistoryBuilder::three().fault(FaultKind::OldSnapshot).healed().reset(BO, 9);
        assert_eq!(found(check, story), 0);
        let story = HistoryBuilder::three().fault(FaultKind::CutClients).healed().snapshot(BO, 9);
        assert_eq!(found(check, story), 0);
    }

    #[test]
    fn a_reset_that_is_told_to_who_was_away_for_long_is_fine() {
        let lost = || HistoryBuilder::three().fault(FaultKind::OldSnapshot).healed();
        let away = lost().replay(BO, 8).wait(60);
        assert_eq!(found(check, away.reset(BO, 9)), 0);
        let there = lost().wait(60).replay(BO, 8);
        assert_eq!(found(check, there.reset(BO, 9)), 1);
    }

    #[test]
    fn a_snapshot_for_a_slow_reader_is_fine() {
        assert_eq!(
            found(check, HistoryBuilder::three().closed_with(BO, SLOW_READER).snapshot(BO, 9)),
            0
        );
    }

    #[test]
    fn twin_a_reset_without_a_loss_is_found() {
        assert_eq!(
            found(check, HistoryBuilder::three().fault(FaultKind::CutRedis).healed().reset(BO, 9)),
            1
        );
    }

    #[test]
    fn twin_a_snapshot_long_after_a_fault_is_found() {
        let story = HistoryBuilder::three().fault(FaultKind::CutClients).healed().wait(60);
        assert_eq!(found(check, story.snapshot(BO, 9)), 1);
    }

    #[test]
    fn twin_a_connection_that_is_closed_4003_in_quiet_is_found() {
        assert_eq!(
            found(check, HistoryBuilder::three().closed_with(BO, UNAVAILABLE).replay(BO, 9)),
            1
        );
    }
}
