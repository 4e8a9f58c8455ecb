//! A visit to one URL: what one check learns, the next one needs.

use std::net::SocketAddr;

use service_kit::random;

use super::findings::{Check, Finding};
use super::{DoctorOptions, connectivity, credential_checks, peer_permissions, quota};
use crate::credential::{Credential, Subject};
use crate::pool::IceUri;
use crate::relay::{Endpoint, Protocol, RelayError, TurnClient};

/// What is known of one URL so far.
pub(super) struct UrlContext<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) options: &'a DoctorOptions<'a>,
    relays: bool,
    /// How many TURN URLs the relay has.
    pub(super) turn_urls: usize,
    /// Where the name leads.
    pub(super) addresses: Vec<SocketAddr>,
    /// The first of them that answered.
    pub(super) address: Option<SocketAddr>,
    /// The allocation that a right credential got.
    pub(super) allocation: Option<TurnClient>,
    /// Why the checks that are left make no sense.
    pub(super) skip_reason: Option<&'static str>,
}

impl<'a> UrlContext<'a> {
    /// Prepares a visit to one of the URLs of a relay.
    pub(super) fn new(uri: &IceUri, of: &[IceUri], options: &'a DoctorOptions<'a>) -> Self {
        Self {
            endpoint: Endpoint::from(uri),
            options,
            relays: uri.is_turn(),
            turn_urls: of.iter().filter(|uri| uri.is_turn()).count(),
            addresses: Vec::new(),
            address: None,
            allocation: None,
            skip_reason: None,
        }
    }

    /// The checks that this URL is for, in their order.
    pub(super) fn checks(&self) -> Vec<Check> {
        let has_certificate = matches!(self.endpoint.protocol, Protocol::Tls);
        let of_turn: &[Check] = if self.relays { &Check::OF_TURN } else { &[] };
        let all = Check::OF_STUN.iter().chain(of_turn).copied();
        all.filter(|check| has_certificate || *check != Check::Certificate).collect()
    }

    pub(super) async fn run_check(&mut self, check: Check) -> Finding {
        if let Some(why) = self.skip_reason {
            return Finding::skipped(check, why);
        }
        match check {
            Check::Name => connectivity::name(self).await,
            Check::Port => connectivity::port(self).await,
            Check::Certificate => connectivity::certificate(self).await,
            Check::Binding => connectivity::binding(self).await,
            Check::Allocation => credential_checks::allocation(self).await,
            Check::Refresh => credential_checks::refresh(self).await,
            Check::WrongSecret => credential_checks::wrong_secret(self).await,
            Check::EmptySecret => credential_checks::empty_secret(self).await,
            Check::Expiry => credential_checks::expiry(self).await,
            Check::Clock => credential_checks::clock(self).await,
            Check::Peers => peer_permissions::peers(self).await,
            Check::Quota => quota::quota(self).await,
        }
    }

    /// Gives back what is still held.
    pub(super) async fn release_allocation(mut self) {
        if let Some(client) = &mut self.allocation {
            credential_checks::release(client).await;
        }
    }

    /// Opens a way of its own to the address that answered.
    pub(super) async fn open(&self) -> Result<TurnClient, RelayError> {
        let address = self.address.ok_or(RelayError::TimedOut)?;
        TurnClient::open(&self.endpoint, address, &self.options.connect_options).await
    }

    /// Issues a right credential that ends at `offset` seconds from now.
    pub(super) fn credential(&self, subject: &Subject, offset: i64) -> Credential {
        let end = (self.options.now)().saturating_add_signed(offset);
        Credential::issue(self.options.secrets.signing(), subject, end)
    }

    /// How long the credentials of clients live, in seconds.
    pub(super) fn ttl(&self) -> i64 {
        self.options.ttl.as_secs().try_into().unwrap_or(i64::MAX)
    }
}

/// Names a user that nobody else is, so that quotas do not meet.
pub(super) fn random_subject() -> Subject {
    random::token().parse().expect("a token has the letters of a subject")
}
