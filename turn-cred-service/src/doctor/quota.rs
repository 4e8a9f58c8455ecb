//! How many allocations one user gets: enough for a call, and not all there are.

use super::admission::{QUOTA_REACHED, admit, release, remedy};
use super::report::{Check, Finding};
use super::visit::{Visit, nobody};
use crate::relay::RelayError;

/// At least so many allocations are opened in search of a quota.
const SEARCHED: usize = 64;

/// The largest call that the relays are for, in which all media goes over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Members of a room, each connected to each.
    pub members: usize,
    /// Networks that one machine gathers on, such as Wi-Fi and a cable.
    pub networks: usize,
}

impl Demand {
    /// How many allocations one member holds at a relay with so many TURN URLs: one for each of the
    /// others, URL and network.
    pub(super) fn allocations(self, urls: usize) -> usize {
        self.members.saturating_sub(1) * urls * self.networks
    }
}

pub(super) async fn quota(visit: &mut Visit<'_>) -> Finding {
    if visit.allocation.is_none() {
        return Finding::skipped(Check::Quota, "there is no allocation");
    }
    let (demand, urls) = (visit.terms.demand, visit.urls);
    let most = SEARCHED.max(2 * demand.allocations(urls));
    let credential = visit.credential(&nobody(), visit.ttl());
    let mut held = Vec::new();
    let mut refusal = None;
    while held.len() < most && refusal.is_none() {
        match admit(visit, &credential).await {
            Ok((client, _)) => held.push(client),
            Err(error) => refusal = Some(error),
        }
    }
    for client in &mut held {
        release(client).await;
    }
    judge(held.len(), refusal.as_ref(), demand, urls)
}

fn judge(held: usize, refusal: Option<&RelayError>, demand: Demand, urls: usize) -> Finding {
    let needed = demand.allocations(urls);
    let Demand { members, networks } = demand;
    let need = format!(
        "a relay-only room of {members} takes {needed}: ({members} - 1) x {urls} TURN URLs x \
         {networks} networks"
    );
    match refusal {
        Some(RelayError::Refused(QUOTA_REACHED)) if held >= needed => {
            Finding::ok(Check::Quota, format!("one user gets {held} allocations; {need}"))
        }
        Some(RelayError::Refused(QUOTA_REACHED)) => {
            let found = format!("one user gets {held} allocations, and {need}");
            let advice = format!(
                "set user-quota={needed} or more, and total-quota to that of all users; or say how \
                 large rooms are with --members and --networks"
            );
            Finding::warn(Check::Quota, found, advice)
        }
        Some(error) => {
            let found = format!("after {held} allocations of one user: {error}; {need}");
            Finding::warn(Check::Quota, found, remedy(error))
        }
        None => {
            let found = format!("no per-user quota: one user got {held} allocations; {need}");
            let advice = format!("set user-quota={needed}, or one user takes every port");
            Finding::warn(Check::Quota, found, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_quota_is_held_against_members_urls_and_networks() {
        let verdict = |held, members, urls, networks| {
            let reached = RelayError::Refused(QUOTA_REACHED);
            judge(held, Some(&reached), Demand { members, networks }, urls).verdict
        };
        assert_eq!(verdict(12, 8, 1, 2), Verdict::Warn);
        assert_eq!(verdict(13, 8, 1, 2), Verdict::Warn);
        assert_eq!(verdict(14, 8, 1, 2), Verdict::Ok);
        assert_eq!(verdict(42, 8, 3, 2), Verdict::Ok);
        assert_eq!(verdict(41, 8, 3, 2), Verdict::Warn);
        assert_eq!(verdict(0, 1, 3, 2), Verdict::Ok, "nobody else is there");
    }
}
