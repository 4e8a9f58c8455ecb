//! Parses ICE server URLs as strictly as browsers do.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An ICE server URL that every browser accepts (RFC 7064 §3.1, RFC 7065 §3.1, "validate an ICE
/// server URL" of webrtc-pc). A browser throws on an invalid one, and the call fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IceUri {
    text: String,
    is_turn: bool,
}

/// Reasons to reject a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UriError {
    /// The scheme is none of the four.
    #[error("begins with none of stun:, stuns:, turn: and turns:")]
    Scheme,
    /// A character that a STUN or TURN URL cannot contain.
    #[error("may not have '/', '@', '#' or white space")]
    Forbidden,
    /// `stun:` and `stuns:` take no query.
    #[error("may not have a query: stun and stuns take none")]
    Query,
    /// `turn:` and `turns:` take one query.
    #[error("may have the query ?transport=udp or ?transport=tcp and no other")]
    Transport,
    /// The host is missing or not one.
    #[error("has no host: write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    /// The port is not one.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
}

impl IceUri {
    /// Returns whether this is a `turn:` or `turns:` URL, which needs a credential.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        self.is_turn
    }

    /// Position in the order that clients should try: UDP is fastest, TCP passes more firewalls,
    /// TLS nearly all.
    #[must_use]
    pub(super) fn transport_rank(&self) -> u8 {
        match (self.text.starts_with("turns:"), self.text.ends_with("?transport=tcp")) {
            (false, false) => 0,
            (false, true) => 1,
            (true, _) => 2,
        }
    }

    /// The URL as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for IceUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for IceUri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once(':').ok_or(UriError::Scheme)?;
        let is_turn = match scheme {
            "stun" | "stuns" => false,
            "turn" | "turns" => true,
            _ => return Err(UriError::Scheme),
        };
        let forbidden = |c: char| "/@#\\".contains(c) || c.is_whitespace() || c.is_control();
        if rest.contains(forbidden) {
            return Err(UriError::Forbidden);
        }
        let (authority, query) = match rest.split_once('?') {
            Some((authority, query)) => (authority, Some(query)),
            None => (rest, None),
        };
        match (is_turn, query) {
            (_, None) | (true, Some("transport=udp" | "transport=tcp")) => {}
            (true, Some(_)) => return Err(UriError::Transport),
            (false, Some(_)) => return Err(UriError::Query),
        }
        check_authority(authority)?;
        Ok(Self { text: text.to_owned(), is_turn })
    }
}

fn check_authority(authority: &str) -> Result<(), UriError> {
    let (host_is_good, rest) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(UriError::Host)?;
        (host.parse::<Ipv6Addr>().is_ok(), rest)
    } else {
        let (host, rest) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
        (is_host(host), rest)
    };
    let port_is_good = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    match (host_is_good, port_is_good) {
        (false, _) => Err(UriError::Host),
        (true, false) => Err(UriError::Port),
        (true, true) => Ok(()),
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Returns whether a text is an IPv4 address or a host name (RFC 1123 §2.1). Underscores are allowed:
/// names in container networks contain them.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let looks_numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_numeric {
        return text.parse::<Ipv4Addr>().is_ok();
    }
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_a_browser_accepts_are_accepted() {
        for text in [
            "stun:stun.example.org",
            "stuns:stun.example.org:5349",
            "turn:127.0.0.1:3478",
            "turn:relay.example.org:3478?transport=udp",
            "turns:relay_1.example.org:443?transport=tcp",
            "turn:[2001:db8::1]:3478?transport=tcp",
            "turn:[::1]",
        ] {
            assert_eq!(text.parse::<IceUri>().map(|uri| uri.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn urls_a_browser_throws_at_are_refused_by_name() {
        for (text, error) in [
            ("", UriError::Scheme),
            ("relay.example.org:3478", UriError::Scheme),
            ("https://relay.example.org", UriError::Scheme),
            ("TURN:relay.example.org", UriError::Scheme),
            ("turn://relay.example.org", UriError::Forbidden),
            ("turn:user@relay.example.org", UriError::Forbidden),
            ("turn:relay.example.org#x", UriError::Forbidden),
            ("turn:relay.example.org ", UriError::Forbidden),
            ("stun:relay.example.org?transport=udp", UriError::Query),
            ("turn:relay.example.org?", UriError::Transport),
            ("turn:relay.example.org?transport=sctp", UriError::Transport),
            ("turn:relay.example.org?transport=udp&x=1", UriError::Transport),
            ("turn:", UriError::Host),
            ("turn::3478", UriError::Host),
            ("turn:[2001:db8::1", UriError::Host),
            ("turn:[zz]:3478", UriError::Host),
            ("turn:999.0.0.1", UriError::Host),
            ("turn:-relay.example.org", UriError::Host),
            ("turn:relay..org", UriError::Host),
            ("turn:relay.example.org:", UriError::Port),
            ("turn:relay.example.org:0", UriError::Port),
            ("turn:relay.example.org:65536", UriError::Port),
            ("turn:relay.example.org:+80", UriError::Port),
            ("turn:2001:db8::1", UriError::Host),
            ("turn:[::1]3478", UriError::Port),
        ] {
            assert_eq!(text.parse::<IceUri>(), Err(error), "{text}");
        }
    }
}
