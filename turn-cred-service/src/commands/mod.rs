//! What the program does beside serving.

mod mint;
mod rotate;

use std::io;

use crate::relay_db::DbError;

pub use mint::mint;
pub use rotate::rotate;

/// Why a command could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The relays' Redis is not there.
    #[error("{0} (TURN_CRED_REDIS_URL)")]
    Db(#[from] DbError),
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
    Refused,
}
