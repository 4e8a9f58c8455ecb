//! The subcommands besides `serve` and `doctor`.

mod mint;
mod operator;
mod rotate;

use std::io;

use crate::pool::Name;
use crate::relay_db::DbError;

pub use mint::mint;
pub use operator::{allow, deny, drain, usage};
pub use rotate::rotate;

/// Reasons why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The relays' Redis is unreachable.
    #[error("{0} (TURN_CRED_REDIS_URL)")]
    Db(#[from] DbError),
    /// Without Redis there is no place that every instance of the service reads decisions from.
    #[error("this command needs TURN_CRED_REDIS_URL, where all instances read decisions")]
    NoRedis,
    /// No relay is configured.
    #[error("this command needs the relays: set TURN_CRED_URIS, or [[pools]] in the file")]
    NoRelays,
    /// No relay has that name.
    #[error("there is no relay {0}: use its name in [[pools.relays]], or REGION-1, REGION-2, …")]
    UnknownRelay(Name),
    /// The tokio runtime could not be created.
    #[error(transparent)]
    Runtime(#[from] io::Error),
    /// The secret is in the settings, so the operator rotates it by editing the file.
    #[error(
        "the secret is in TURN_CRED_SECRET, not in Redis: add the new one to the relays, then put \
         it on top of that file, and remove the old one after TURN_CRED_MAX_TTL"
    )]
    NotManaged,
    /// A relay rejected the new secret, and the rotation was abandoned.
    #[error(
        "a relay rejected the new secret, and the rotation was abandoned: see the log of the \
         relay, or run turn-cred-service doctor"
    )]
    SecretRejected,
}
