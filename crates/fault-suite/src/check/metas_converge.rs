//! When all is quiet, everyone holds the `meta` that each other member has set last.

use std::collections::HashMap;

use super::Violation;
use super::model::Model;
use crate::history::{Peer, What};

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let lasting = model.memberships.iter().filter(|member| member.lasted);
    let peers: HashMap<u32, Peer> =
        lasting.map(|member| (member.peer.client, member.peer)).collect();
    let mut reports = Vec::new();
    for event in model.events {
        let What::Metas { own, peers: held } = &event.what else { continue };
        if let Some(me) = peers.get(&event.who) {
            reports.push((event.at, *me, *own, held));
        }
    }
    let set = reports.iter().filter_map(|(_, me, own, _)| Some((*me, (*own)?)));
    let set: HashMap<Peer, u32> = set.collect();
    let mut violations = Vec::new();
    for (at, me, _, held) in &reports {
        for (peer, meta) in *held {
            let Some(own) = set.get(peer).filter(|own| *own != meta) else { continue };
            let what = format!("{me} holds update {meta} of {peer}, which has made {own}");
            violations.push(Violation::new(*at, what));
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
        let story = HistoryBuilder::three().leave(CY).left(ANA, CY, 8).left(BO, CY, 8);
        story.report(ANA, &[(BO, false)]).report(BO, &[(ANA, false)])
    }

    #[test]
    fn what_each_has_set_and_the_other_holds_is_fine() {
        assert_eq!(found(two().metas(ANA, 2, &[(BO, 0)]).metas(BO, 0, &[(ANA, 2)])), 0);
    }

    #[test]
    fn twin_an_update_that_one_member_missed_is_found() {
        assert_eq!(found(two().metas(ANA, 2, &[(BO, 0)]).metas(BO, 0, &[(ANA, 1)])), 1);
    }
}
