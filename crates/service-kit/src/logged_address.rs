//! How much of a client's address goes into the log.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// How much of an address is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressDetail {
    /// The address.
    Full,
    /// Its network, by /24 and /48: a subscriber or a small site, and seldom one person.
    Network,
    /// Nothing.
    None,
}

impl FromStr for AddressDetail {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "full" => Ok(Self::Full),
            "network" => Ok(Self::Network),
            "none" => Ok(Self::None),
            _ => Err("write full, network or none"),
        }
    }
}

impl AddressDetail {
    /// Returns what is logged of an address.
    #[must_use]
    pub fn of(self, address: IpAddr) -> Option<LoggedAddress> {
        let length = match (self, address) {
            (Self::None, _) => return None,
            (Self::Full, IpAddr::V4(_)) => 32,
            (Self::Full, IpAddr::V6(_)) => 128,
            (Self::Network, IpAddr::V4(_)) => 24,
            (Self::Network, IpAddr::V6(_)) => 48,
        };
        let network = IpNet::new(address, length).expect("no length is longer than its address");
        Some(LoggedAddress(network.trunc()))
    }
}

/// An address or network as it is logged: `192.0.2.7` or `192.0.2.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedAddress(IpNet);

impl fmt::Display for LoggedAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.prefix_len() == self.0.max_prefix_len() {
            return self.0.addr().fmt(f);
        }
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_logged_in_full_as_its_network_or_not_at_all() {
        let logged = |detail: &str, address: &str| {
            let detail: AddressDetail = detail.parse().unwrap();
            detail.of(address.parse().unwrap()).map(|logged| logged.to_string())
        };
        assert_eq!(logged("full", "192.0.2.7").as_deref(), Some("192.0.2.7"));
        assert_eq!(logged("full", "2001:db8:1:2::3").as_deref(), Some("2001:db8:1:2::3"));
        assert_eq!(logged("network", "192.0.2.7").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(logged("network", "2001:db8:1:2::3").as_deref(), Some("2001:db8:1::/48"));
        assert_eq!(logged("none", "192.0.2.7"), None);
        assert_eq!("all".parse::<AddressDetail>(), Err("write full, network or none"));
    }
}
