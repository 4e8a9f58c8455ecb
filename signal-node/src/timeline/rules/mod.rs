//! The rules by which a timeline is explained. Each is a function of a case, and says one thing or nothing.

mod devices;
mod paths;
mod peers;
mod relays;
#[cfg(test)]
mod tests;

use super::finding::{Case, Finding, Severity, Verdict};

pub(super) use devices::of_devices;

/// A rule with its name, by which programs and docs/WHEN-A-CALL-FAILS.md know it.
type Rule = (&'static str, fn(&Case<'_>) -> Option<Verdict>);

/// The rules for attempts to connect.
const RULES: &[Rule] = &[
    ("relay_credential_expired", relays::credential_expired),
    ("relay_credential_refused", relays::credential_refused),
    ("relay_forbidden", relays::forbidden),
    ("relay_quota", relays::quota),
    ("relay_capacity", relays::capacity),
    ("relay_mismatch", relays::mismatch),
    ("relay_unreachable", relays::unreachable),
    ("udp_blocked", relays::udp_blocked),
    ("relay_over_tcp", relays::relay_over_tcp),
    ("policy_without_relay", relays::none_for_policy),
    ("peer_left", peers::left),
    ("peer_away", peers::away),
    ("glare", peers::glare),
    ("dtls_failed", paths::dtls_failed),
    ("path_lost", paths::lost),
    ("path_recovered", paths::recovered),
];

/// The rules for attempts that came to nothing for none of those reasons; the first that finds something is enough.
const OTHERWISE: &[Rule] = &[
    ("not_answered", peers::not_answered),
    ("no_candidates", paths::no_candidates),
    ("no_relay_configured", paths::no_relay_configured),
    ("no_path", paths::no_path),
];

/// Applies the rules to an attempt.
pub(super) fn of_attempt(case: &Case<'_>) -> Vec<Finding> {
    let mut found: Vec<Finding> = RULES.iter().filter_map(|rule| apply(rule, case)).collect();
    let is_explained = found.iter().any(|finding| finding.severity == Severity::Problem);
    if case.mine.came_to_nothing() && !is_explained {
        found.extend(OTHERWISE.iter().find_map(|rule| apply(rule, case)));
    }
    found
}

fn apply((rule, judge): &Rule, case: &Case<'_>) -> Option<Finding> {
    let Verdict { severity, at, text, todo } = judge(case)?;
    let (peer, about) = (case.mine.peer.clone(), Some(case.mine.about.clone()));
    let at = at.unwrap_or(case.mine.began);
    Some(Finding { rule, severity, at, peer, about, text, todo: todo.to_owned() })
}
