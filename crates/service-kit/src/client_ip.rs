//! Determines the client address of a request behind proxies.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Returns the client's address.
///
/// `peer` is the address of the connection, `forwarded_for` the `X-Forwarded-For` headers in order
/// of arrival. Each proxy appends the address it saw, so only entries written by trusted proxies
/// count: read from the right, the first address that is not a trusted proxy is the client. Without
/// trusted networks the headers are ignored. If a trusted proxy wrote something unparsable, its own
/// address is the result.
#[must_use]
pub fn client_ip<'a>(
    peer: IpAddr,
    forwarded_for: impl IntoIterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut nearest = peer.to_canonical();
    // Bytes that are not UTF-8 spoil their own entry only: a client that sends some would otherwise hide the entry that
    // the proxy has added behind them.
    let headers: Vec<_> = forwarded_for.into_iter().map(String::from_utf8_lossy).collect();
    let hops: Vec<_> = headers.iter().flat_map(|header| header.split(',')).collect();
    for hop in hops.into_iter().rev() {
        if !is_trusted(nearest) {
            break;
        }
        let Some(address) = hop_address(hop.trim()) else { break };
        nearest = address;
    }
    nearest
}

/// Parses one entry; some proxies include the port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().ok().or_else(|| hop.parse().map(|s: SocketAddr| s.ip()).ok())?;
    Some(address.to_canonical())
}

/// Returns whether headers of `peer` about its client are trusted. Over a socket file there is no
/// address: the peer is a proxy on this machine.
#[must_use]
pub fn is_trusted(peer: Option<IpAddr>, trusted: &[IpNet]) -> bool {
    peer.is_none_or(|peer| trusted.iter().any(|network| network.contains(&peer.to_canonical())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(peer: &str, headers: &[&str], trusted: &[&str]) -> String {
        let trusted: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let headers = headers.iter().map(|header| header.as_bytes());
        client_ip(peer.parse().unwrap(), headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_trusted_by_default() {
        assert_eq!(find("127.0.0.1", &["192.0.2.1"], &[]), "127.0.0.1");
    }

    #[test]
    fn a_header_from_an_untrusted_peer_is_ignored() {
        assert_eq!(find("198.51.100.9", &["192.0.2.1"], &["10.0.0.0/8"]), "198.51.100.9");
    }

    #[test]
    fn the_rightmost_untrusted_hop_is_the_client() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        for (headers, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["6.6.6.6, 192.0.2.1"], "192.0.2.1"),
            (&["6.6.6.6", "192.0.2.1, 10.0.0.2"], "192.0.2.1"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db8::1]:4711"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1, fd00::1"], "2001:db8::1"),
            (&["::ffff:192.0.2.1"], "192.0.2.1"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(find("10.0.0.1", headers, &trusted), client, "{headers:?}");
            assert_eq!(find("::ffff:10.0.0.1", headers, &trusted), client, "{headers:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hide_what_the_proxy_has_added() {
        let header = b"\xff\xfe, 192.0.2.1".as_slice();
        let found =
            client_ip("10.0.0.1".parse().unwrap(), [header], &["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(found.to_string(), "192.0.2.1");
    }

    #[test]
    fn nonsense_from_a_proxy_counts_for_the_proxy() {
        for header in ["unknown", "192.0.2.1, _hidden", "", "a,,b"] {
            assert_eq!(find("10.0.0.1", &[header], &["10.0.0.0/8"]), "10.0.0.1", "{header}");
        }
    }
}
