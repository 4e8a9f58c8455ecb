//! One mint behind every shape: finds out who calls, limits how often, issues.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderName;
use ipnet::IpNet;
use service_kit::client_ip::{client_ip, is_trusted};
use service_kit::clock;
use service_kit::http::bearer;
use service_kit::rate::{Limiter, ip_key};
use service_kit::secrets::SecretSource;
use service_kit::tokens::{Right, Verifier};

use super::super::matches_any_key;
use super::super::request_error::RequestError;
use crate::credential::Subject;
use crate::issuer::{CredentialRequest, IssuedCredential, Issuer};
use crate::metrics::Metrics;
use crate::relay_db::RelayDb;
use crate::usage::Budget;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What answering on the public listener takes.
#[derive(Debug)]
pub(crate) struct PublicState {
    pub(crate) issuer: Issuer,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) api_keys: Option<SecretSource>,
    pub(crate) by_subject: Limiter<Subject>,
    pub(crate) by_address: Limiter<IpAddr>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) region_header: Option<String>,
    /// Where usage and denials are kept, if anywhere.
    pub(crate) db: Option<RelayDb>,
    pub(crate) budget: Option<Budget>,
    pub(crate) metrics: Metrics,
}

/// What a caller wants, whatever the shape.
#[derive(Debug)]
pub(super) struct UnresolvedRequest {
    pub(super) subject: Subject,
    /// Seconds.
    pub(super) ttl: Option<u64>,
    pub(super) region: Option<String>,
    /// The region or country that a proxy told.
    pub(super) hint: Option<String>,
}

impl PublicState {
    /// Finds the bearer token of a request, which counts for its address.
    pub(super) fn token<'a>(&self, request: &'a Request) -> Result<&'a str, RequestError> {
        self.count_request(self.address(request))?;
        bearer(request.headers()).ok_or(RequestError::MissingToken)
    }

    /// Finds out for whom a token is.
    pub(super) async fn subject_of(&self, token: &str) -> Result<Subject, RequestError> {
        let claims = self.verifier.verify_fresh(token, clock::unix_now()).await?;
        Ok(claims.sub.parse()?)
    }

    /// Checks that a token gives a right.
    pub(super) async fn check_right(&self, token: &str, right: Right) -> Result<(), RequestError> {
        let claims = self.verifier.verify_fresh(token, clock::unix_now()).await?;
        if claims.can(right) { Ok(()) } else { Err(RequestError::MissingRight) }
    }

    /// Checks that `shown` is one of the API keys.
    ///
    /// Servers hold them, so an address may show one as often as it likes; any other request counts.
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

    /// Issues at `now` what is wished for, unless its subject asks too often.
    pub(super) fn issue(
        &self,
        request: UnresolvedRequest,
        now: Duration,
    ) -> Result<IssuedCredential, RequestError> {
        let UnresolvedRequest { subject, ttl, region, hint } = request;
        self.by_subject
            .check(&subject)
            .map_err(|wait| RequestError::SubjectRateLimited { wait })?;
        let ask = CredentialRequest {
            subject,
            room: None,
            region: self.issuer.pools().region(region.as_deref(), hint.as_deref())?,
            ttl: self.issuer.clamp_ttl(ttl.map(Duration::from_secs)),
        };
        Ok(self.issuer.issue(&ask, now)?)
    }

    /// Reads where a trusted proxy says the caller is.
    pub(super) fn hint(&self, request: &Request) -> Option<String> {
        let header = self.region_header.as_ref()?;
        let trusted = is_trusted(peer(request), &self.trusted_proxies);
        let value = request.headers().get(header).filter(|_| trusted)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// Finds whom a request counts for; over a socket file it is the proxy on this machine.
    pub(super) fn address(&self, request: &Request) -> IpAddr {
        let peer = peer(request).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let hops = request.headers().get_all(FORWARDED_FOR).iter();
        client_ip(peer, hops.filter_map(|value| value.to_str().ok()), &self.trusted_proxies)
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
