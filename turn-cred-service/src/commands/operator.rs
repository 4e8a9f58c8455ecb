//! `deny`, `allow`, `drain`, `undrain` and `usage`: decisions of operators, and what they look up
//! first.

use std::time::Duration;

use service_kit::clock;

use super::CommandError;
use crate::config::CredentialSettings;
use crate::credential::Subject;
use crate::key_store::KeyStore;
use crate::pool::{Name, Pools};
use crate::revocation::revoke;
use crate::usage::UsageDb;

/// Opens Redis, where decisions are stored, and the key that pseudonyms are computed with.
async fn open(settings: &CredentialSettings) -> Result<(UsageDb, KeyStore), CommandError> {
    let key_store = KeyStore::open(settings).await?;
    let usage = key_store.usage.clone().ok_or(CommandError::NoRedis)?;
    Ok((usage, key_store))
}

/// Denies a subject credentials for `time`, and ends its allocations at relays with a console.
///
/// # Errors
/// Without a Redis to store the denial in.
pub async fn deny(
    settings: CredentialSettings,
    subject: &Subject,
    time: Duration,
) -> Result<String, CommandError> {
    let (UsageDb { db, .. }, key_store) = open(&settings).await?;
    let pools = settings.pools.clone().ok_or(CommandError::NoRelays)?;
    let revoked =
        revoke(&db, &pools, &key_store.keys.pseudonym_of(subject), time.as_secs()).await?;
    let until = format!("denied until {}\n", clock::rfc3339(revoked.until));
    let ended = revoked.relays.into_iter().map(|(relay, ended)| match ended {
        Ok(count) => format!("relay {relay}: closed {count} allocations\n"),
        Err(error) => format!("relay {relay}: {error}\n"),
    });
    Ok([until].into_iter().chain(ended).collect())
}

/// Removes a denial.
///
/// # Errors
/// As [`deny`].
pub async fn allow(
    settings: CredentialSettings,
    subject: &Subject,
) -> Result<String, CommandError> {
    let (UsageDb { db, .. }, key_store) = open(&settings).await?;
    db.allow(&key_store.keys.pseudonym_of(subject)).await?;
    Ok("allowed\n".to_owned())
}

/// Stops or resumes sending new clients to a relay.
///
/// # Errors
/// As [`deny`], and when there is no such relay.
pub async fn drain(
    settings: CredentialSettings,
    relay: &Name,
    drains: bool,
) -> Result<String, CommandError> {
    let (UsageDb { db, .. }, _) = open(&settings).await?;
    let mut relays = settings.pools.iter().flat_map(Pools::relays);
    if !relays.any(|known| known.name == *relay) {
        return Err(CommandError::UnknownRelay(relay.clone()));
    }
    db.drain(relay.as_str(), drains).await?;
    let what = if drains {
        "gets no new clients; running calls continue"
    } else {
        "gets new clients again"
    };
    Ok(format!("relay {relay} {what}\n"))
}

/// Returns the bytes that a subject has relayed in the current window.
///
/// # Errors
/// As [`deny`].
pub async fn usage(
    settings: CredentialSettings,
    subject: &Subject,
) -> Result<String, CommandError> {
    let (usage, key_store) = open(&settings).await?;
    let window = usage.window(clock::unix_seconds());
    let bytes = usage.db.usage(window, key_store.keys.pseudonym_of(subject).as_str()).await?;
    let end = clock::rfc3339(window.end);
    let of = usage.budget.map(|budget| format!(" of {}", budget.bytes)).unwrap_or_default();
    Ok(format!("{bytes}{of} bytes in the {} s that end at {end}\n", window.length))
}
