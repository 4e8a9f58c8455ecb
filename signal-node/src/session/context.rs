//! The state that all sessions of a node share, and the result of a handshake.

use std::sync::Arc;

use service_kit::tokens::Verifier;
use signal_protocol::Subject;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::handover::Handover;
use super::identity::{Identity, SessionRejection};
use super::machine::SessionSettings;
use super::session_timers::SessionTimers;
use crate::credentials::Credentials;
use crate::metrics::Metrics;
use crate::revoked::RevokedTokens;
use crate::room::Rooms;

/// The state that all sessions of a node share.
pub struct Context {
    /// Settings of every session.
    pub settings: Arc<SessionSettings>,
    /// The rooms of this node.
    pub rooms: Arc<Rooms>,
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// Tokens that are revoked.
    pub revoked: Arc<RevokedTokens>,
    /// The client of the credential service, if there is one.
    pub credentials: Option<Credentials>,
    /// The metrics of the node.
    pub metrics: Arc<Metrics>,
    /// What all sessions are told at once.
    pub events: NodeEvents,
    /// Wakes sessions at their deadlines.
    pub timers: Arc<SessionTimers>,
}

/// What all sessions are told at once. The timers wakes them for it.
#[derive(Clone)]
pub struct NodeEvents {
    /// True while the log has not answered for a lease.
    pub cut_off: watch::Receiver<bool>,
    /// Set when the node drains and asks its clients to move.
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
    /// [`SessionRejection`] says which close code and error code it is answered with.
    pub async fn verify(&self, token: &str) -> Result<Identity, SessionRejection> {
        let claims = self.verifier.verify_fresh(token, service_kit::clock::unix_now()).await?;
        let holder = Identity::holder(claims, service_kit::clock::unix_now(), Instant::now())?;
        self.still_valid(&holder)?;
        Ok(holder)
    }

    /// Checks that a token is not revoked.
    ///
    /// # Errors
    /// [`SessionRejection`] if it was.
    pub fn still_valid(&self, holder: &Identity) -> Result<(), SessionRejection> {
        let subject = holder.subject().map(Subject::as_str);
        if subject.is_some_and(|subject| self.revoked.covers(subject, holder.token_id())) {
            return Err(SessionRejection::revoked());
        }
        Ok(())
    }
}

/// The result of a handshake.
#[derive(Debug)]
pub enum Entrance {
    /// The handshake carried a valid token.
    Authenticated(Identity),
    /// The client has to send `hello`.
    AwaitingHello {
        /// Whether a `hello` without a token is enough.
        anonymous: bool,
    },
    /// Its token opens nothing, or its page may not connect; browsers learn that only after the upgrade.
    Rejected(SessionRejection),
}
