//! `rotate`: another secret for the relays, now.

use service_kit::clock;

use super::CommandError;
use crate::config::{Ground, PROBE_WITHIN};
use crate::opened::Opened;
use crate::rotation::keeper::Hands;
use crate::rotation::{Ledger, Request};

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
    let mut known = keeper.ask(request).await?;
    tell(format!("secret {} signs; asked for another", known.signing));
    loop {
        let rest = keeper.turn(&hands).await?;
        let ledger = keeper.ledger().borrow().clone();
        story(&known, &ledger).into_iter().for_each(&mut tell);
        if ledger.failed.is_some() {
            return Err(CommandError::Refused);
        }
        let waits = request == Request::Emergency && !ledger.retiring.is_empty();
        if ledger.request.is_none() && !waits {
            return Ok(());
        }
        known = ledger;
        tokio::time::sleep(rest).await;
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
