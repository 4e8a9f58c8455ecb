//! `rotate`: another secret for the relays, now.

use service_kit::clock;

use super::CommandError;
use crate::config::{Ground, PROBE_WITHIN};
use crate::opened::Opened;
use crate::rotation::keeper::Hands;
use crate::rotation::{Fingerprint, Ledger, Request};

/// Asks for a rotation and sees it through, whoever takes its steps; tells each as it happens.
///
/// Returns once the new secret signs; in an emergency, once the old ones are out.
///
/// # Errors
/// [`CommandError`] says what is in the way; the secret before signs on then.
pub async fn rotate(
    ground: Ground,
    request: Request,
    mut tell: impl FnMut(String),
) -> Result<(), CommandError> {
    let opened = Opened::open(&ground).await?;
    let dialing = ground.dialing(PROBE_WITHIN);
    let (Some(mut keeper), Some(pools)) = (opened.keeper, ground.pools) else {
        return Err(CommandError::NotManaged);
    };
    let hands = Hands { who: service_kit::random::token(), pools, dialing };
    let asked = keeper.ask(request).await?;
    let mut known = asked.clone();
    tell(format!("secret {} signs; asked for another", known.signing));
    loop {
        let rest = keeper.turn(&hands).await?;
        let ledger = keeper.ledger().borrow().clone();
        story(&known, &ledger).into_iter().for_each(&mut tell);
        if ledger.failed.is_some() {
            return Err(CommandError::Refused);
        }
        if is_done(&asked, &ledger) {
            return Ok(());
        }
        known = ledger;
        tokio::time::sleep(rest).await;
    }
}

/// Tells whether what `asked` asks for has happened. Later rotations are nobody's business here.
fn is_done(asked: &Ledger, now: &Ledger) -> bool {
    let retires = |secret: &Fingerprint| asked.retiring.iter().any(|r| r.secret == *secret);
    let is_old = |secret: &Fingerprint| *secret == asked.signing || retires(secret);
    match asked.request {
        Some(Request::Emergency) => !now.secrets().any(is_old),
        Some(Request::Rotation) | None => now.request.is_none(),
    }
}

/// Tells what happened between two states of a ledger.
fn story(before: &Ledger, now: &Ledger) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(staged) = now.staged.as_ref().filter(|_| before.staged != now.staged) {
        told.push(format!("secret {staged} is in the set of the relays; every relay is tried"));
    }
    if before.signing != now.signing {
        told.push(format!("every relay that answers accepts secret {}: it signs now", now.signing));
        for retiring in &now.retiring {
            let until = clock::rfc3339(retiring.until);
            told.push(format!("secret {} is accepted until {until}", retiring.secret));
        }
    }
    let is_out = |secret| now.retiring.iter().all(|retiring| retiring.secret != secret);
    for old in before.retiring.iter().filter(|old| is_out(old.secret.clone())) {
        told.push(format!("secret {} is out", old.secret));
    }
    told
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rotation::Policy;

    #[test]
    fn an_emergency_is_over_once_the_secrets_before_it_are_out() {
        let secret = |text: &str| Fingerprint::of(text);
        let life = Duration::from_secs(10);
        let policy = Policy { every: Some(life), max_ttl: life, skew: Duration::ZERO };
        let before = Ledger::adopt(secret("a"), 0).staged(secret("b")).flipped(&policy, 10);
        let asked = before.asked(Request::Emergency);
        let flipped = asked.staged(secret("c")).flipped(&policy, 12);
        let next = flipped.staged(secret("d")).flipped(&policy, 22);
        let one_out = next.retired(&secret("a"));
        let out = one_out.retired(&secret("b"));
        let done = [&asked, &flipped, &next, &one_out, &out].map(|now| is_done(&asked, now));
        assert_eq!(done, [false, false, false, false, true]);
        assert!(!out.retiring.is_empty());
    }
}
