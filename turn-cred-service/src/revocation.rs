//! Revokes a subject: issues it no further credential and ends its running allocations.
//!
//! An issued credential cannot be recalled, because a relay verifies it offline. So revocation
//! denies the next one (effective within one TTL) and closes the allocations through the admin
//! console of each relay that has one configured.

use service_kit::clock;

use crate::credential::Pseudonym;
use crate::pool::{Name, Pools};
use crate::relay::{ConsoleError, end_allocations};
use crate::relay_db::{DbError, RelayDb};

/// The longest denial in seconds: a leap year, as with revocations at the nodes.
pub const LONGEST_DENIAL: u64 = 366 * 86_400;

/// The outcome of a revocation.
#[derive(Debug)]
pub struct Revocation {
    /// No credential is issued before this time, in Unix seconds.
    pub until: u64,
    /// Allocations closed per relay, or the console's error; relays without a console are not
    /// listed.
    pub relays: Vec<(Name, Result<usize, ConsoleError>)>,
}

/// Denies a pseudonym credentials for `seconds`, and ends its allocations.
///
/// # Errors
/// When the relays' Redis is unreachable; nothing was changed then.
pub async fn revoke(
    db: &RelayDb,
    pools: &Pools,
    pseudonym: &Pseudonym,
    seconds: u64,
) -> Result<Revocation, DbError> {
    let now = clock::unix_seconds();
    let until = now + seconds.min(LONGEST_DENIAL);
    db.deny(pseudonym, until, now).await?;
    let mut relays = Vec::new();
    for relay in pools.relays() {
        if let Some(console) = &relay.console {
            let ended = end_allocations(console, pseudonym.as_str()).await;
            relays.push((relay.name.clone(), ended));
        }
    }
    Ok(Revocation { until, relays })
}
