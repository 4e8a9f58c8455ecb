//! A room never holds more members than its cap.
//!
//! Rosters are exact at their place in the log; between them joins and leaves are counted. Members that the log has lost
//! are put back by a `reset` even where others have joined meanwhile: nobody whose socket is open is removed. Nobody may
//! join then.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use crate::history::{Event, Peer, Recovery, SUITE, Seen, What};

/// What a place in the log says about who is in the room.
#[derive(Debug)]
enum Fact {
    Roster(BTreeSet<Peer>),
    /// The roster of a `new` join, with the one who joins.
    Entered(BTreeSet<Peer>),
    /// The roster of a `reset`.
    Restored(BTreeSet<Peer>),
    In(Peer),
    Out(Peer),
}

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let mut rooms: BTreeMap<u32, BTreeMap<u64, (u64, Fact)>> = BTreeMap::new();
    let mut who: HashMap<u32, (u32, Peer)> = HashMap::new();
    for event in model.events.iter().filter(|event| event.who != SUITE) {
        if let What::Joined(joined) = &event.what {
            who.insert(event.who, (joined.room, joined.peer));
        }
        let Some((room, me)) = who.get(&event.who) else { continue };
        if let Some((seq, fact)) = fact(event, *me) {
            note(rooms.entry(*room).or_default(), seq, event.at, fact);
        }
    }
    let losses: Vec<_> =
        faults(model).into_iter().filter(|fault| fault.kind.loses_data()).collect();
    let recovered_at = |loss: &FaultPeriod| loss.to.saturating_add(model.settings.lease);
    let is_incomplete = |at| losses.iter().any(|loss| loss.from <= at && at <= recovered_at(loss));
    rooms
        .iter()
        .flat_map(|(room, facts)| overfull(*room, facts, model.settings.capacity, is_incomplete))
        .collect()
}

/// A roster says more than the one entry at the same place.
fn note(facts: &mut BTreeMap<u64, (u64, Fact)>, seq: u64, at: u64, fact: Fact) {
    if !matches!(fact, Fact::In(_) | Fact::Out(_)) || !facts.contains_key(&seq) {
        facts.insert(seq, (at, fact));
    }
}

fn fact(event: &Event, me: Peer) -> Option<(u64, Fact)> {
    match &event.what {
        What::Joined(joined) => {
            let present = peers(joined.roster.as_deref()?, me);
            match joined.recovery {
                Recovery::New => Some((joined.seq, Fact::Entered(present))),
                Recovery::Snapshot => Some((joined.seq, Fact::Roster(present))),
                Recovery::Replay => None,
            }
        }
        What::Reset { seq, roster: seen } => Some((*seq, Fact::Restored(peers(seen, me)))),
        What::PeerJoined { seq, seen } => Some((*seq, Fact::In(seen.peer))),
        What::PeerLeft { seq, peer, .. } => Some((*seq, Fact::Out(*peer))),
        _ => None,
    }
}

fn peers(seen: &[Seen], me: Peer) -> BTreeSet<Peer> {
    seen.iter().map(|seen| seen.peer).chain([me]).collect()
}

fn overfull(
    room: u32,
    facts: &BTreeMap<u64, (u64, Fact)>,
    capacity: usize,
    is_incomplete: impl Fn(u64) -> bool,
) -> Vec<Violation> {
    let mut present = BTreeSet::new();
    // From then on somebody may have been put back whom no roster has shown yet.
    let mut restored = false;
    let mut violations = Vec::new();
    for (seq, (at, fact)) in facts {
        let before = present.len();
        match fact {
            Fact::Roster(roster) | Fact::Entered(roster) | Fact::Restored(roster) => {
                present.clone_from(roster);
            }
            Fact::In(peer) => drop(present.insert(*peer)),
            Fact::Out(peer) => drop(present.remove(peer)),
        }
        restored |= matches!(fact, Fact::Restored(_));
        let may_not_grow = match fact {
            Fact::Restored(_) | Fact::Out(_) => false,
            Fact::Roster(_) => !restored && present.len() > before,
            Fact::Entered(_) => true,
            // Into a log that has begun anew, whose room those who were there are not back in yet.
            Fact::In(_) => !is_incomplete(*at) && present.len() > before,
        };
        if present.len() > capacity && may_not_grow {
            let names: Vec<_> = present.iter().map(ToString::to_string).collect();
            let what = format!(
                "room {room} holds {} of {capacity} at seq {seq}: {}",
                names.len(),
                names.join(" ")
            );
            violations.push(Violation::new(*at, what));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, DI, HistoryBuilder, found, seen};

    #[test]
    fn a_full_room_is_fine() {
        assert_eq!(found(check, HistoryBuilder::three()), 0);
    }

    #[test]
    fn twin_one_more_than_the_cap_is_found() {
        let story = HistoryBuilder::three();
        let others = [seen(ANA, 1, true), seen(BO, 2, true), seen(CY, 3, true)];
        assert_eq!(found(check, story.join(DI, 9, 4, &others)), 1);
    }

    #[test]
    fn a_member_put_back_after_a_loss_may_be_one_too_many() {
        let story = HistoryBuilder::three().leave(CY).left(ANA, CY, 8);
        let story = story.join(DI, 9, 4, &[seen(ANA, 1, true), seen(BO, 2, true)]);
        let roster = [BO, CY, DI].map(|peer| seen(peer, 5, true));
        assert_eq!(found(check, story.reset_with(ANA, 10, &roster)), 0);
    }

    #[test]
    fn twin_a_join_into_a_room_that_a_reset_has_filled_is_found() {
        let story =
            HistoryBuilder::three().reset_with(ANA, 9, &[BO, CY].map(|peer| seen(peer, 5, true)));
        let others = [seen(ANA, 1, true), seen(BO, 2, true), seen(CY, 3, true)];
        assert_eq!(found(check, story.join(DI, 10, 4, &others)), 1);
    }

    #[test]
    fn a_seat_that_became_free_may_be_taken() {
        let story = HistoryBuilder::three().leave(CY).left(BO, CY, 8);
        let others = [seen(ANA, 1, true), seen(BO, 2, true)];
        assert_eq!(found(check, story.join(DI, 9, 4, &others)), 0);
    }
}
