//! The public listener: whoever holds a token gets a credential, from a browser too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderName, Method};
use axum::response::Response;
use axum::routing::post;
use ipnet::IpNet;
use serde::Deserialize;
use service_kit::client_ip::client_ip;
use service_kit::clock;
use service_kit::rate::{Limiter, ip_key};
use service_kit::tokens::Verifier;
use tokio::time::Instant;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::refusal::Refusal;
use super::{bearer, bounded, conclude, read_body, uncached};
use crate::config::Origin;
use crate::issuer::{Ask, Issuer};
use crate::metrics::{Metrics, Side};
use crate::render::native::Answer;

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What answering on the public listener takes.
#[derive(Debug)]
pub(crate) struct PublicDesk {
    pub(crate) issuer: Issuer,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) by_subject: Limiter<String>,
    pub(crate) by_address: Limiter<IpAddr>,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) region_header: Option<String>,
    pub(crate) metrics: Metrics,
}

/// The body of a request; fields not listed are ignored.
#[derive(Deserialize)]
struct Body {
    /// Seconds.
    ttl: Option<u64>,
    region: Option<String>,
}

/// Routes `POST /v1/ice-servers`.
pub(crate) fn public_router(desk: PublicDesk, origins: &[Origin]) -> Router {
    let router = Router::new().route("/v1/ice-servers", post(ice_servers));
    let router = bounded(router.with_state(Arc::new(desk)));
    uncached(router.layer(cors(origins)), "Origin, Authorization")
}

async fn ice_servers(State(desk): State<Arc<PublicDesk>>, request: Request) -> Response {
    let began = Instant::now();
    let outcome = desk.answer(request).await;
    conclude(&desk.metrics, Side::Public, began, outcome)
}

impl PublicDesk {
    async fn answer(&self, request: Request) -> Result<Answer, Refusal> {
        let address = ip_key(self.address(&request));
        self.by_address.check(&address).map_err(|wait| Refusal::AddressTooOften { wait })?;
        let token = bearer(&request).ok_or(Refusal::NoToken)?;
        let now = clock::unix_now();
        let claims = self.verifier.verify_fresh(token, now).await?;
        self.by_subject.check(&claims.sub).map_err(|wait| Refusal::SubjectTooOften { wait })?;
        let hint = self.hint(&request);
        let body: Body = read_body(request).await?;
        let ask = Ask {
            subject: claims.sub.parse()?,
            room: None,
            region: self.issuer.pools().region(body.region.as_deref(), hint.as_deref())?,
            ttl: self.issuer.settle(body.ttl.map(Duration::from_secs)),
        };
        Ok(Answer::new(&self.issuer.issue(&ask, now)?, now.as_secs()))
    }

    /// Reads where a trusted proxy says the caller is.
    fn hint(&self, request: &Request) -> Option<String> {
        let header = self.region_header.as_ref()?;
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        // Over a socket file it is the proxy on this machine.
        let is_trusted = peer.is_none_or(|ConnectInfo(peer)| {
            self.trusted_proxies.iter().any(|network| network.contains(&peer.ip()))
        });
        let value = request.headers().get(header).filter(|_| is_trusted)?;
        value.to_str().ok().map(str::to_owned)
    }

    /// Finds whom a request counts for; over a socket file it is the proxy on this machine.
    fn address(&self, request: &Request) -> IpAddr {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |ConnectInfo(peer)| peer.ip());
        let hops = request.headers().get_all(FORWARDED_FOR).iter();
        client_ip(peer, hops.filter_map(|value| value.to_str().ok()), &self.trusted_proxies)
    }
}

/// Lets the listed origins call, exactly; without any, browsers of other origins cannot.
fn cors(origins: &[Origin]) -> CorsLayer {
    let allowed = if origins.iter().any(Origin::is_any) {
        AllowOrigin::any()
    } else {
        let exact = origins.iter().filter_map(|o| HeaderValue::from_str(o.as_str()).ok());
        AllowOrigin::list(exact)
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::POST])
        .allow_headers([AUTHORIZATION, CONTENT_TYPE])
        .expose_headers([RETRY_AFTER])
        .max_age(PREFLIGHT_AGE)
}
