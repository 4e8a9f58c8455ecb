//! Taking back what was issued: nothing new, and no allocation that is still there.
//!
//! A credential that was issued cannot be taken back: a relay asks nobody. What helps is to issue no other
//! (effective within one TTL), and to end the allocations through the console of each relay that has one.

use service_kit::clock;

use crate::credential::Subject;
use crate::pool::{Name, Pools};
use crate::relay::{ConsoleError, end_allocations};
use crate::relay_db::{DbError, RelayDb};

/// What was taken back.
#[derive(Debug)]
pub struct Revocation {
    /// Until when nothing is issued, in Unix seconds.
    pub until: u64,
    /// What became of the allocations, by relay; relays without a console are not named.
    pub relays: Vec<(Name, Result<usize, ConsoleError>)>,
}

/// Denies a pseudonym credentials for so many seconds, and ends its allocations.
///
/// # Errors
/// When the relays' Redis is away; then nothing was done.
pub async fn revoke(
    db: &RelayDb,
    pools: &Pools,
    pseudonym: &Subject,
    seconds: u64,
) -> Result<Revocation, DbError> {
    let now = clock::unix_seconds();
    let until = now.saturating_add(seconds);
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
