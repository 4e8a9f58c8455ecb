//! A visit to one URL: what one check learns, the next one needs.

use std::net::SocketAddr;

use service_kit::random;

use super::report::{Check, Finding};
use super::{Terms, admission, peers, quota, reach};
use crate::credential::{Credential, Subject};
use crate::pool::IceUri;
use crate::relay::{Endpoint, Protocol, RelayError, TurnClient};

/// What is known of one URL so far.
pub(super) struct Visit<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) terms: &'a Terms<'a>,
    relays: bool,
    /// How many TURN URLs the relay has.
    pub(super) urls: usize,
    /// Where the name leads.
    pub(super) addresses: Vec<SocketAddr>,
    /// The first of them that answered.
    pub(super) address: Option<SocketAddr>,
    /// The allocation that a right credential got.
    pub(super) allocation: Option<TurnClient>,
    /// Why the checks that are left make no sense.
    pub(super) blocked: Option<&'static str>,
}

impl<'a> Visit<'a> {
    /// Prepares a visit to one of the URLs of a relay.
    pub(super) fn new(uri: &IceUri, of: &[IceUri], terms: &'a Terms<'a>) -> Self {
        Self {
            endpoint: Endpoint::from(uri),
            terms,
            relays: uri.relays(),
            urls: of.iter().filter(|uri| uri.relays()).count(),
            addresses: Vec::new(),
            address: None,
            allocation: None,
            blocked: None,
        }
    }

    /// The checks that this URL is for, in their order.
    pub(super) fn checks(&self) -> Vec<Check> {
        let has_certificate = matches!(self.endpoint.protocol, Protocol::Tls);
        let of_turn: &[Check] = if self.relays { &Check::OF_TURN } else { &[] };
        let all = Check::OF_STUN.iter().chain(of_turn).copied();
        all.filter(|check| has_certificate || *check != Check::Certificate).collect()
    }

    pub(super) async fn perform(&mut self, check: Check) -> Finding {
        if let Some(why) = self.blocked {
            return Finding::skipped(check, why);
        }
        match check {
            Check::Name => reach::name(self).await,
            Check::Port => reach::port(self).await,
            Check::Certificate => reach::certificate(self).await,
            Check::Binding => reach::binding(self).await,
            Check::Allocation => admission::allocation(self).await,
            Check::Refresh => admission::refresh(self).await,
            Check::WrongSecret => admission::wrong_secret(self).await,
            Check::EmptySecret => admission::empty_secret(self).await,
            Check::Expiry => admission::expiry(self).await,
            Check::Clock => admission::clock(self).await,
            Check::Peers => peers::peers(self).await,
            Check::Quota => quota::quota(self).await,
        }
    }

    /// Gives back what is still held.
    pub(super) async fn leave(mut self) {
        if let Some(client) = &mut self.allocation {
            admission::release(client).await;
        }
    }

    /// Opens a way of its own to the address that answered.
    pub(super) async fn open(&self) -> Result<TurnClient, RelayError> {
        let address = self.address.ok_or(RelayError::Silent)?;
        TurnClient::open(&self.endpoint, address, &self.terms.dialing).await
    }

    /// Issues a right credential that ends at `offset` seconds from now.
    pub(super) fn credential(&self, subject: &Subject, offset: i64) -> Credential {
        let end = (self.terms.now)().saturating_add_signed(offset);
        Credential::issue(self.terms.secrets.signing(), subject, end)
    }

    /// How long the credentials of clients live, in seconds.
    pub(super) fn ttl(&self) -> i64 {
        self.terms.ttl.as_secs().try_into().unwrap_or(i64::MAX)
    }
}

/// Names a user that nobody else is, so that quotas do not meet.
pub(super) fn nobody() -> Subject {
    random::token().parse().expect("a token has the letters of a subject")
}
