//! State shared by the checks of one URL: later checks use what earlier ones found.

use std::net::SocketAddr;

use service_kit::random;

use super::findings::Check;
use super::options::DoctorOptions;
use crate::credential::{Credential, Pseudonym};
use crate::pool::IceUri;
use crate::relay::{Endpoint, Protocol, RelayError, TurnClient};

/// The results of the checks so far.
pub(super) struct UrlContext<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) options: &'a DoctorOptions<'a>,
    relays: bool,
    /// TURN URLs of the relay; each adds allocations per peer connection.
    pub(super) turn_urls: usize,
    pub(super) addresses: Vec<SocketAddr>,
    /// The first address that answered.
    pub(super) address: Option<SocketAddr>,
    /// The allocation of the valid credential.
    pub(super) allocation: Option<TurnClient>,
    /// Set when the remaining checks cannot succeed.
    pub(super) skip_reason: Option<&'static str>,
}

impl<'a> UrlContext<'a> {
    /// Creates the state for one of the URLs of a relay.
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

    /// The checks that apply to this URL, in order.
    pub(super) fn checks(&self) -> Vec<Check> {
        let has_certificate = matches!(self.endpoint.protocol, Protocol::Tls);
        let of_turn: &[Check] = if self.relays { &Check::OF_TURN } else { &[] };
        let all = Check::OF_STUN.iter().chain(of_turn).copied();
        all.filter(|check| has_certificate || *check != Check::Certificate).collect()
    }

    /// Connects to the address that answered.
    pub(super) async fn open(&self) -> Result<TurnClient, RelayError> {
        let address = self.address.ok_or(RelayError::TimedOut)?;
        TurnClient::open(&self.endpoint, address, &self.options.connect_options).await
    }

    /// Issues a valid credential that expires `offset` seconds from now.
    pub(super) fn credential(&self, user: &Pseudonym, offset: i64) -> Credential {
        let end = (self.options.now)().saturating_add_signed(offset);
        Credential::issue(self.options.secrets.signing(), user, end)
    }

    /// TTL of client credentials, in seconds.
    pub(super) fn ttl(&self) -> i64 {
        self.options.ttl.as_secs().try_into().unwrap_or(i64::MAX)
    }
}

/// Generates a username of its own for each check, so that their allocations do not share a quota.
pub(super) fn random_user() -> Pseudonym {
    random::token().parse().expect("a token has the letters of a pseudonym")
}
