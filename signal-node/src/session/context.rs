//! The state that all sessions of a node share.

use std::sync::Arc;

use service_kit::logged_address::AddressDetail;
use service_kit::tokens::Verifier;
use signal_protocol::Subject;
use tokio::time::Instant;

use super::identity::{Identity, SessionRejection};
use super::node_events::NodeEvents;
use super::session_timers::SessionTimers;
use super::settings::SessionSettings;
use super::startup_token::StartupToken;
use crate::credentials::Credentials;
use crate::metrics::Metrics;
use crate::revoked::RevokedTokens;
use crate::room::Rooms;

/// The state that all sessions of a node share.
#[expect(missing_docs, reason = "the names say it all")]
pub struct Context {
    /// Settings of every session.
    pub settings: Arc<SessionSettings>,
    /// The rooms of this node.
    pub rooms: Arc<Rooms>,
    pub verifier: Arc<Verifier>,
    /// What opens every room to anonymous clients, if there are no keys.
    pub startup_token: Option<Arc<StartupToken>>,
    /// What the log says of the addresses of clients.
    pub log_addresses: AddressDetail,
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

impl Context {
    /// Verifies a token.
    ///
    /// # Errors
    /// [`SessionRejection`] says which close code and error code it is answered with.
    pub async fn verify(&self, token: &str) -> Result<Identity, SessionRejection> {
        if let Some(startup_token) = &self.startup_token {
            let matches = startup_token.matches(token);
            return matches
                .then_some(Identity::Anonymous)
                .ok_or_else(SessionRejection::startup_token);
        }
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
