//! State shared by the public routes: authentication, rate limits, issuing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use service_kit::clock;
use service_kit::http::{Proxies, bearer};
use service_kit::rate::{Limiter, ip_key};
use service_kit::secrets::SecretSource;
use service_kit::tokens::{Claims, Right, Verifier};

use super::super::matches_any_key;
use super::super::request_error::RequestError;
use crate::credential::{CredentialOwner, Subject};
use crate::issuer::{CredentialRequest, IssuedCredential, Issuer};
use crate::metrics::Metrics;
use crate::revoked_tokens::RevokedTokens;
use crate::usage::UsageDb;

/// Everything that a public route needs.
#[derive(Debug)]
pub(crate) struct PublicState {
    pub(crate) issuer: Issuer,
    pub(crate) verifier: Arc<Verifier>,
    /// The tokens that the nodes have revoked.
    pub(crate) revoked: Arc<RevokedTokens>,
    pub(crate) api_keys: Option<SecretSource>,
    pub(crate) by_subject: Limiter<Subject>,
    pub(crate) by_address: Limiter<IpAddr>,
    pub(crate) proxies: Proxies,
    /// Stores usage and denials; `None` without Redis.
    pub(crate) usage: Option<UsageDb>,
    pub(crate) metrics: Metrics,
}

/// A request before region and TTL are resolved, common to all APIs.
#[derive(Debug)]
pub(super) struct UnresolvedRequest {
    pub(super) subject: Subject,
    /// Seconds.
    pub(super) ttl: Option<u64>,
    /// When the token ends, in Unix seconds; `None` with an API key.
    pub(super) token_ends: Option<u64>,
    pub(super) region: Option<String>,
    /// Region or country reported by a proxy.
    pub(super) hint: Option<String>,
}

impl PublicState {
    /// Returns the bearer token; the request counts against the rate limit of its address, so that
    /// guessing tokens is limited too.
    pub(super) fn token<'a>(&self, request: &'a Request) -> Result<&'a str, RequestError> {
        self.count_request(self.address(request))?;
        bearer(request.headers()).ok_or(RequestError::MissingToken)
    }

    /// Verifies a token; returns its subject and its end in Unix seconds.
    pub(super) async fn subject_of(&self, token: &str) -> Result<(Subject, u64), RequestError> {
        let claims = self.claims_of(token).await?;
        Ok((Subject::new(&claims.sub)?, claims.exp))
    }

    /// Verifies a token, and that the nodes have not revoked it.
    async fn claims_of(&self, token: &str) -> Result<Claims, RequestError> {
        let claims = self.verifier.verify_fresh(token, clock::unix_now()).await?;
        let now = clock::unix_seconds();
        if self.revoked.covers(&claims.sub, claims.jti.as_deref(), now) {
            return Err(RequestError::TokenRevoked);
        }
        Ok(claims)
    }

    /// Verifies a token and checks that it grants a right.
    pub(super) async fn check_right(&self, token: &str, right: Right) -> Result<(), RequestError> {
        let claims = self.claims_of(token).await?;
        if claims.can(right) { Ok(()) } else { Err(RequestError::MissingRight) }
    }

    /// Checks that `presented` is one of the API keys.
    ///
    /// A request with a valid key does not count against its address: a server makes requests for
    /// all of its users. Any other request does, which limits guessing.
    pub(super) fn check_api_key(
        &self,
        address: IpAddr,
        presented: Option<&str>,
    ) -> Result<(), RequestError> {
        let error = match (&self.api_keys, presented) {
            (Some(keys), Some(presented)) if matches_any_key(keys, presented) => return Ok(()),
            (Some(_), Some(_)) => RequestError::UnknownApiKey,
            (Some(_), None) => RequestError::MissingApiKey,
            (None, _) => RequestError::ApiKeysNotConfigured,
        };
        self.count_request(address)?;
        Err(error)
    }

    /// Issues a credential at `now`, within the rate limit of the subject.
    pub(super) fn issue(
        &self,
        request: UnresolvedRequest,
        now: Duration,
    ) -> Result<IssuedCredential, RequestError> {
        let UnresolvedRequest { subject, ttl, token_ends, region, hint } = request;
        let ttl = ttl.map(Duration::from_secs);
        self.by_subject
            .check(&subject)
            .map_err(|wait| RequestError::SubjectRateLimited { wait })?;
        let ask = CredentialRequest {
            owner: CredentialOwner::Subject(subject),
            room: None,
            region: self.issuer.pools().region(region.as_deref(), hint.as_deref())?,
            ttl: self.issuer.clamp_ttl_to_token(ttl, token_ends, now),
        };
        Ok(self.issuer.issue(&ask, now)?)
    }

    /// Returns the region or country that a trusted proxy names.
    pub(super) fn hint(&self, request: &Request) -> Option<String> {
        self.proxies.client_region(peer(request), request.headers())
    }

    /// Returns the address that a request counts against.
    pub(super) fn address(&self, request: &Request) -> IpAddr {
        self.proxies.client_address(peer(request), request.headers())
    }

    fn count_request(&self, address: IpAddr) -> Result<(), RequestError> {
        self.by_address
            .check(&ip_key(address))
            .map_err(|wait| RequestError::AddressRateLimited { wait })
    }
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}
