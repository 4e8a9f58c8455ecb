//! Host, port and transport of an ICE server URL.

use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::timeout;

use super::RelayError;
use crate::pool::IceUri;

/// The parts of an ICE server URL that a connection needs.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// Name or address; IPv6 without brackets.
    pub host: String,
    /// The port of the URL, or the default of its scheme.
    pub port: u16,
}

/// Transport between a client and a relay (RFC 8656 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `turn:…` and `turn:…?transport=udp`.
    Udp,
    /// `turn:…?transport=tcp`.
    Tcp,
    /// `turns:…` and `turns:…?transport=tcp`.
    Tls,
    /// `turns:…?transport=udp`: TLS for datagrams.
    Dtls,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Dtls => "DTLS",
        })
    }
}

impl Endpoint {
    /// Resolves the host; the addresses are in the order in which to try them.
    ///
    /// # Errors
    /// When there is none, or the resolver does not answer in time.
    pub async fn resolve(&self, step_timeout: Duration) -> Result<Vec<SocketAddr>, RelayError> {
        let asked = timeout(step_timeout, lookup_host((self.host.as_str(), self.port))).await;
        let found = asked.unwrap_or_else(|late| Err(late.into()));
        let addresses: Vec<_> = found.map_err(RelayError::Resolve)?.collect();
        if addresses.is_empty() {
            return Err(RelayError::Resolve(ErrorKind::NotFound.into()));
        }
        Ok(addresses)
    }
}

impl From<&IceUri> for Endpoint {
    /// Splits a URL (RFC 7064 §3.1, RFC 7065 §3.1).
    ///
    /// Without a transport, `turn:` is UDP and `turns:` is TLS over TCP, as in browsers.
    fn from(uri: &IceUri) -> Self {
        let (scheme, rest) = uri.as_str().split_once(':').expect("an IceUri has a scheme");
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (host, port) = split_authority(authority);
        let (protocol, default_port) = match (scheme, query) {
            ("stuns" | "turns", "transport=udp") => (Protocol::Dtls, 5349),
            ("stuns" | "turns", _) => (Protocol::Tls, 5349),
            (_, "transport=tcp") => (Protocol::Tcp, 3478),
            (_, _) => (Protocol::Udp, 3478),
        };
        let port =
            port.map_or(default_port, |port| port.parse().expect("an IceUri has a valid port"));
        Self { protocol, host: host.to_owned(), port }
    }
}

/// Splits a host, without the brackets of IPv6, from a port.
fn split_authority(authority: &str) -> (&str, Option<&str>) {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').expect("an IceUri has balanced brackets"),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    (host, rest.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_transport() {
        for (url, protocol, host, port) in [
            ("stun:a.example", Protocol::Udp, "a.example", 3478),
            ("stuns:a.example", Protocol::Tls, "a.example", 5349),
            ("turn:192.0.2.1", Protocol::Udp, "192.0.2.1", 3478),
            ("turn:192.0.2.1:80?transport=udp", Protocol::Udp, "192.0.2.1", 80),
            ("turn:[2001:db8::1]?transport=tcp", Protocol::Tcp, "2001:db8::1", 3478),
            ("turns:[::1]:443", Protocol::Tls, "::1", 443),
            ("turns:a.example?transport=tcp", Protocol::Tls, "a.example", 5349),
            ("turns:a.example:443?transport=udp", Protocol::Dtls, "a.example", 443),
        ] {
            let expected = Endpoint { protocol, host: host.to_owned(), port };
            assert_eq!(Endpoint::from(&url.parse::<IceUri>().unwrap()), expected, "{url}");
        }
    }
}
