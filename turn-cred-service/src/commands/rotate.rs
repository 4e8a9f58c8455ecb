//! `rotate`: replaces the secret that the relays share, now.

use service_kit::clock;

use super::CommandError;
use crate::config::{CredentialSettings, PROBE_TIMEOUT};
use crate::key_store::KeyStore;
use crate::rotation::rotator::RotationContext;
use crate::rotation::{Fingerprint, Ledger, RotationRequest};

/// Requests a rotation and follows it to the end, reporting each step. Any instance of the service
/// may take the steps.
///
/// Returns once the new secret signs; in an emergency, once the old ones are out of the set.
///
/// # Errors
/// [`CommandError`]; the previous secret keeps signing.
pub async fn rotate(
    settings: CredentialSettings,
    request: RotationRequest,
    mut report: impl FnMut(String),
) -> Result<(), CommandError> {
    let key_store = KeyStore::open(&settings).await?;
    let connect_options = settings.connect_options(PROBE_TIMEOUT);
    let (Some(mut rotator), Some(pools)) = (key_store.rotator, settings.pools) else {
        return Err(CommandError::NotManaged);
    };
    let context =
        RotationContext { leader_id: service_kit::random::token(), pools, connect_options };
    let requested = rotator.request(request).await?;
    let mut known = requested.clone();
    report(format!("secret {} signs; requested a rotation", known.signing));
    loop {
        let wait = rotator.advance_once(&context).await?;
        let ledger = rotator.ledger().borrow().clone();
        describe_changes(&known, &ledger).into_iter().for_each(&mut report);
        if ledger.failed.is_some() {
            return Err(CommandError::SecretRejected);
        }
        if is_complete(&requested, &ledger) {
            return Ok(());
        }
        known = ledger;
        tokio::time::sleep(wait).await;
    }
}

/// Returns whether the rotation requested in `requested` is complete. A later rotation does not
/// matter: in an emergency only the secrets known at the time of the request must be gone, since a
/// scheduled rotation may retire others meanwhile.
fn is_complete(requested: &Ledger, now: &Ledger) -> bool {
    let retires = |secret: &Fingerprint| requested.retiring.iter().any(|r| r.secret == *secret);
    let is_old = |secret: &Fingerprint| *secret == requested.signing || retires(secret);
    match requested.request {
        Some(RotationRequest::Emergency) => !now.secrets().any(is_old),
        Some(RotationRequest::Rotation) | None => now.request.is_none(),
    }
}

/// Describes the transitions between two states of the ledger, one line each.
fn describe_changes(before: &Ledger, now: &Ledger) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(staged) = now.staged.as_ref().filter(|_| before.staged != now.staged) {
        lines.push(format!(
            "secret {staged} is in the set of the relays; testing it on every relay"
        ));
    }
    if before.signing != now.signing {
        lines.push(format!("every answering relay accepts secret {}: it signs now", now.signing));
        for retiring in &now.retiring {
            let until = clock::rfc3339(retiring.until);
            lines.push(format!("secret {} is accepted until {until}", retiring.secret));
        }
    }
    let is_out = |secret| now.retiring.iter().all(|retiring| retiring.secret != secret);
    for old in before.retiring.iter().filter(|old| is_out(old.secret.clone())) {
        lines.push(format!("secret {} is removed", old.secret));
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rotation::RotationPolicy;

    #[test]
    fn an_emergency_is_over_once_the_secrets_before_it_are_out() {
        let secret = |text: &str| Fingerprint::of(text);
        let life = Duration::from_secs(10);
        let policy = RotationPolicy { every: Some(life), max_ttl: life, skew: Duration::ZERO };
        let before = Ledger::starting_with(secret("a"), 0)
            .with_staged(secret("b"))
            .promote_staged(&policy, 10);
        let requested = before.with_request(RotationRequest::Emergency);
        let flipped = requested.with_staged(secret("c")).promote_staged(&policy, 12);
        let next = flipped.with_staged(secret("d")).promote_staged(&policy, 22);
        let one_out = next.without_retired(&secret("a"));
        let out = one_out.without_retired(&secret("b"));
        let done =
            [&requested, &flipped, &next, &one_out, &out].map(|now| is_complete(&requested, now));
        assert_eq!(done, [false, false, false, false, true]);
        assert!(!out.retiring.is_empty());
    }
}
