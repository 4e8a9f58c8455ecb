//! Checks the per-user quota: enough allocations for a call, but not all of the relay's.

use super::credential_checks::{QUOTA_REACHED, open_allocation, release, remedy};
use super::findings::{Check, Finding};
use super::options::CallSize;
use super::url_context::{UrlContext, random_user};
use crate::relay::RelayError;

/// Allocations opened before the check concludes that there is no quota.
const MIN_ATTEMPTS: usize = 64;

pub(super) async fn quota(url: &mut UrlContext<'_>) -> Finding {
    if url.allocation.is_none() {
        return Finding::skipped(Check::Quota, "there is no allocation");
    }
    let (call_size, turn_urls) = (url.options.call_size, url.turn_urls);
    let max_attempts = MIN_ATTEMPTS.max(2 * call_size.allocations(turn_urls));
    let credential = url.credential(&random_user(), url.ttl());
    let mut held = Vec::new();
    let mut refusal = None;
    while held.len() < max_attempts && refusal.is_none() {
        match open_allocation(url, &credential).await {
            Ok((client, _)) => held.push(client),
            Err(error) => refusal = Some(error),
        }
    }
    for client in &mut held {
        release(client).await;
    }
    assess(held.len(), refusal.as_ref(), call_size, turn_urls)
}

fn assess(
    held: usize,
    refusal: Option<&RelayError>,
    call_size: CallSize,
    turn_urls: usize,
) -> Finding {
    let needed = call_size.allocations(turn_urls);
    let CallSize { members, networks } = call_size;
    let need = format!(
        "a relay-only room of {members} takes {needed}: ({members} - 1) x {turn_urls} TURN URLs x \
         {networks} networks"
    );
    match refusal {
        Some(RelayError::ErrorResponse(QUOTA_REACHED)) if held >= needed => {
            Finding::ok(Check::Quota, format!("one user gets {held} allocations; {need}"))
        }
        Some(RelayError::ErrorResponse(QUOTA_REACHED)) => {
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
    use super::*;
    use service_kit::findings::CheckResult;

    #[test]
    fn a_quota_is_held_against_members_urls_and_networks() {
        let verdict = |held, members, turn_urls, networks| {
            let reached = RelayError::ErrorResponse(QUOTA_REACHED);
            assess(held, Some(&reached), CallSize { members, networks }, turn_urls).verdict
        };
        assert_eq!(verdict(12, 8, 1, 2), CheckResult::Warn);
        assert_eq!(verdict(13, 8, 1, 2), CheckResult::Warn);
        assert_eq!(verdict(14, 8, 1, 2), CheckResult::Ok);
        assert_eq!(verdict(42, 8, 3, 2), CheckResult::Ok);
        assert_eq!(verdict(41, 8, 3, 2), CheckResult::Warn);
        assert_eq!(verdict(0, 1, 3, 2), CheckResult::Ok, "nobody else is there");
    }
}
