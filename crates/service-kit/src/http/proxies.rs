//! What the trusted proxies in front of a service say about a client.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::client_ip::{client_ip, is_trusted};
use crate::settings::Reader;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The longest region or country that is read, in bytes.
const MAX_REGION: usize = 32;

/// The proxies whose headers are believed.
///
/// `peer` is the address of the connection, `None` over a socket file: the peer is then a proxy on this machine.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// Networks whose `X-Forwarded-For` is believed.
    pub trusted: Vec<IpNet>,
    /// The header in which a proxy names the region or country of the client.
    pub region_header: Option<String>,
}

impl Proxies {
    /// Reads the settings `trusted_proxies` and `region_header`.
    #[must_use]
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            trusted: reader.parse_list("trusted_proxies"),
            region_header: reader.optional_text("region_header"),
        }
    }

    /// Returns the address of the client, which its limits are counted against.
    #[must_use]
    pub fn client_address(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> IpAddr {
        let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let hops = headers.get_all(FORWARDED_FOR).iter();
        client_ip(peer, hops.map(HeaderValue::as_bytes), &self.trusted)
    }

    /// Returns the region or country of the client, if a trusted proxy names one.
    #[must_use]
    pub fn client_region(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<String> {
        let name = self.region_header.as_ref().filter(|_| is_trusted(peer, &self.trusted))?;
        let region = headers.get(name)?.to_str().ok()?;
        (region.len() <= MAX_REGION).then(|| region.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        Proxies { trusted, region_header: Some("CF-IPCountry".to_owned()) }
    }

    fn headers(region: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("cf-ipcountry", region.parse().unwrap());
        headers.insert(FORWARDED_FOR, "192.0.2.1".parse().unwrap());
        headers
    }

    #[test]
    fn a_trusted_proxy_names_address_and_region_and_nobody_else_does() {
        let proxy = Some("10.0.0.1".parse().unwrap());
        assert_eq!(proxies().client_region(proxy, &headers("DE")).as_deref(), Some("DE"));
        assert_eq!(proxies().client_address(proxy, &headers("DE")).to_string(), "192.0.2.1");
        let client = Some("198.51.100.9".parse().unwrap());
        assert_eq!(proxies().client_region(client, &headers("DE")), None);
        assert_eq!(proxies().client_address(client, &headers("DE")).to_string(), "198.51.100.9");
    }

    #[test]
    fn a_proxy_behind_a_socket_file_is_trusted_with_the_region() {
        assert_eq!(proxies().client_region(None, &headers("DE")).as_deref(), Some("DE"));
        assert_eq!(proxies().client_address(None, &headers("DE")).to_string(), "127.0.0.1");
    }

    #[test]
    fn a_region_that_is_longer_than_any_is_not_read() {
        assert_eq!(proxies().client_region(None, &headers(&"x".repeat(33))), None);
    }
}
