//! When all is quiet, everyone's roster is the members that are there, and nobody is away.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Violation;
use super::model::Model;
use crate::history::{Peer, UNRECORDED, What};

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let mut members: HashMap<u32, (u32, Peer)> = HashMap::new();
    for member in model.memberships.iter().filter(|member| member.lasted) {
        members.insert(member.peer.client, (member.room, member.peer));
    }
    let mut rooms: BTreeMap<u32, BTreeSet<Peer>> = BTreeMap::new();
    for (room, peer) in members.values() {
        rooms.entry(*room).or_default().insert(*peer);
    }
    let mut violations = Vec::new();
    for event in model.events {
        let What::Roster { peers } = &event.what else { continue };
        let Some((room, me)) = members.get(&event.who) else { continue };
        let told: BTreeMap<Peer, bool> = peers.iter().copied().collect();
        let mut fault = |what: String| violations.push(Violation::new(event.at, what));
        for peer in rooms[room].iter().filter(|peer| **peer != *me) {
            match told.get(peer) {
                None => fault(format!("{me} does not know of {peer} in room {room}")),
                Some(true) => fault(format!("{me} believes {peer} to be away")),
                Some(false) => {}
            }
        }
        let others = told.keys().filter(|peer| peer.client < UNRECORDED);
        for peer in others.filter(|peer| !rooms[room].contains(peer)) {
            fault(format!("{me} believes {peer} to be in room {room}, which it is not"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, HistoryBuilder};

    fn found(story: HistoryBuilder) -> usize {
        let history = story.unreported();
        check(&Model::new(&history)).len()
    }

    fn two() -> HistoryBuilder {
        HistoryBuilder::three().leave(CY).left(ANA, CY, 8).left(BO, CY, 8)
    }

    #[test]
    fn rosters_that_name_each_other_are_fine() {
        assert_eq!(found(two().report(ANA, &[(BO, false)]).report(BO, &[(ANA, false)])), 0);
    }

    #[test]
    fn twin_a_ghost_in_a_roster_is_found() {
        let story = two().report(ANA, &[(BO, false), (CY, true)]);
        assert_eq!(found(story.report(BO, &[(ANA, false)])), 1);
    }

    #[test]
    fn twin_a_member_that_is_missing_in_a_roster_is_found() {
        assert_eq!(found(two().report(ANA, &[]).report(BO, &[(ANA, false)])), 1);
    }

    #[test]
    fn twin_a_member_that_is_there_and_held_to_be_away_is_found() {
        assert_eq!(found(two().report(ANA, &[(BO, true)]).report(BO, &[(ANA, false)])), 1);
    }
}
