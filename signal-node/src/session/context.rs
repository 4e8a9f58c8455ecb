//! What all sessions of a node share, and how a connection comes in.

use std::sync::Arc;

use service_kit::tokens::Verifier;
use signal_protocol::Subject;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handover::Handover;
use super::identity::{Identity, Refused};
use super::machine::SessionSettings;
use super::session_timers::SessionTimers;
use crate::credentials::Credentials;
use crate::metrics::Metrics;
use crate::revoked::RevokedTokens;
use crate::room::Rooms;

/// What every session of a node shares.
pub struct Context {
    /// What holds for every session.
    pub settings: Arc<SessionSettings>,
    /// The rooms of this node.
    pub rooms: Arc<Rooms>,
    /// Who verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Which of them are void before their end.
    pub revoked: Arc<RevokedTokens>,
    /// Where ICE servers come from.
    pub credentials: Option<Credentials>,
    /// What the node counts.
    pub metrics: Arc<Metrics>,
    /// What all sessions are told at once.
    pub events: NodeEvents,
    /// Who wakes the sessions.
    pub timers: Arc<SessionTimers>,
}

/// What all sessions are told at once. The timers wakes them for it.
#[derive(Clone)]
pub struct NodeEvents {
    /// Whether the log has not answered for a lease.
    pub cut_off: watch::Receiver<bool>,
    /// Set when the node asks its clients to go on elsewhere.
    pub handover: watch::Receiver<Option<Handover>>,
    /// Changes when more tokens are revoked.
    pub revoked: watch::Receiver<u64>,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
}

impl Context {
    /// Verifies a token.
    ///
    /// # Errors
    /// [`Refused`] says which close code and error code it is answered with.
    pub async fn verify(&self, token: &str) -> Result<Identity, Refused> {
        let claims = self.verifier.verify_fresh(token, service_kit::clock::unix_now()).await?;
        let holder = Identity::holder(claims, service_kit::clock::unix_now(), Instant::now())?;
        self.still_valid(&holder)?;
        Ok(holder)
    }

    /// Looks whether a token was revoked.
    ///
    /// # Errors
    /// [`Refused`] if it was.
    pub fn still_valid(&self, holder: &Identity) -> Result<(), Refused> {
        let subject = holder.subject().map(Subject::as_str);
        if subject.is_some_and(|subject| self.revoked.covers(subject, holder.token_id())) {
            return Err(Refused::revoked());
        }
        Ok(())
    }
}

/// How a connection comes in.
#[derive(Debug)]
pub enum Entrance {
    /// It showed a valid token.
    Authenticated(Identity),
    /// It has to say `hello`; whether that may be anonymous.
    AwaitingHello {
        /// It may.
        anonymous: bool,
    },
    /// Its token opens nothing, or its page may not connect; browsers learn that only after the upgrade.
    Rejected(Refused),
}
