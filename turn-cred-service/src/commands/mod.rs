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
    #[error("this needs TURN_CRED_REDIS_URL, where every credential service sees it")]
    NoRedis,
    /// No relay is configured.
    #[error("this needs the relays: TURN_CRED_URIS, or [[pools]] in the file")]
    NoRelays,
    /// No relay has that name.
    #[error("there is no relay {0}; names stand in [[pools.relays]], or are REGION-1, REGION-2, …")]
    UnknownRelay(Name),
    /// The tokio runtime could not be created.
    #[error(transparent)]
    Runtime(#[from] io::Error),
    /// The secret is in the settings, so the operator rotates it by editing the file.
    #[error(
        "the secret is in TURN_CRED_SECRET: put the new one on top of that file, add it to the \
         relays first, and take the old one out after TURN_CRED_MAX_TTL"
    )]
    NotManaged,
    /// A relay rejected the new secret, and the rotation was abandoned.
    #[error(
        "a relay refused the new secret, which was given up; its log and turn-cred-service doctor say why"
    )]
    SecretRejected,
}
