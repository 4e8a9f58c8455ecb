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

use super::super::is_one_of;
use super::super::refusal::Refusal;
use crate::credential::Subject;
use crate::issuer::{Ask, Issued, Issuer};
use crate::metrics::Metrics;
use crate::relay_db::RelayDb;
use crate::usage::Budget;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What answering on the public listener takes.
#[derive(Debug)]
pub(crate) struct PublicDesk {
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
pub(super) struct Wish {
    pub(super) subject: Subject,
    /// Seconds.
    pub(super) ttl: Option<u64>,
    pub(super) region: Option<String>,
    /// The region or country that a proxy told.
    pub(super) hint: Option<String>,
}

impl PublicDesk {
    /// Finds the bearer token of a request, which counts for its address.
    pub(super) fn token<'a>(&self, request: &'a Request) -> Result<&'a str, Refusal> {
        self.count(self.address(request))?;
        bearer(request.headers()).ok_or(Refusal::NoToken)
    }

    /// Finds out for whom a token is.
    pub(super) async fn holder(&self, token: &str) -> Result<Subject, Refusal> {
        let claims = self.verifier.verify_fresh(token, clock::unix_now()).await?;
        Ok(claims.sub.parse()?)
    }

    /// Checks that a token gives a right.
    pub(super) async fn check_right(&self, token: &str, right: Right) -> Result<(), Refusal> {
        let claims = self.verifier.verify_fresh(token, clock::unix_now()).await?;
        if claims.can(right) { Ok(()) } else { Err(Refusal::NoRight) }
    }

    /// Checks that `shown` is one of the API keys.
    ///
    /// Servers hold them, so an address may show one as often as it likes; any other request counts.
    pub(super) fn check_api_key(
        &self,
        address: IpAddr,
        shown: Option<&str>,
    ) -> Result<(), Refusal> {
        let refusal = match (&self.api_keys, shown) {
            (Some(keys), Some(shown)) if is_one_of(keys, shown) => return Ok(()),
            (Some(_), Some(_)) => Refusal::WrongApiKey,
            (Some(_), None) => Refusal::NoApiKey,
            (None, _) => Refusal::ApiKeysUnset,
        };
        self.count(address)?;
        Err(refusal)
    }

    /// Issues at `now` what is wished for, unless its subject asks too often.
    pub(super) fn issue(&self, wish: Wish, now: Duration) -> Result<Issued, Refusal> {
        let Wish { subject, ttl, region, hint } = wish;
        self.by_subject.check(&subject).map_err(|wait| Refusal::SubjectTooOften { wait })?;
        let ask = Ask {
            subject,
            room: None,
            region: self.issuer.pools().region(region.as_deref(), hint.as_deref())?,
            ttl: self.issuer.settle(ttl.map(Duration::from_secs)),
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

    fn count(&self, address: IpAddr) -> Result<(), Refusal> {
        self.by_address.check(&ip_key(address)).map_err(|wait| Refusal::AddressTooOften { wait })
    }
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}
