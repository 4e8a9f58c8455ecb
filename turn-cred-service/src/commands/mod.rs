//! What the program does beside serving.

mod mint;
mod operator;
mod rotate;

use std::io;

use crate::pool::Name;
use crate::relay_db::DbError;

pub use mint::mint;
pub use operator::{allow, deny, drain, usage};
pub use rotate::rotate;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The relays' Redis is not there.
    #[error("{0} (TURN_CRED_REDIS_URL)")]
    Db(#[from] DbError),
    /// Decisions have to be kept where every credential service sees them.
    #[error("this needs TURN_CRED_REDIS_URL, where every credential service sees it")]
    NoRedis,
    /// No relay is known.
    #[error("this needs the relays: TURN_CRED_URIS, or [[pools]] in the file")]
    NoRelays,
    /// No relay has that name.
    #[error("there is no relay {0}; names stand in [[pools.relays]], or are REGION-1, REGION-2, …")]
    UnknownRelay(Name),
    /// There is no runtime.
    #[error(transparent)]
    Runtime(#[from] io::Error),
    /// The secret is not one that can be rotated here.
    #[error(
        "the secret is in TURN_CRED_SECRET: put the new one on top of that file, add it to the \
         relays first, and take the old one out after TURN_CRED_MAX_TTL"
    )]
    NotManaged,
    /// A relay does not accept the new secret.
    #[error(
        "a relay refused the new secret, which was given up; its log and turn-cred-service doctor say why"
    )]
    SecretRejected,
}
