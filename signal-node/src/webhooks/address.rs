//! Where messages may go. An address is checked as it is connected to, so a name that resolves to another one later
//! (DNS rebinding) gains nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

/// Networks that are not the public internet (IANA special-purpose registries, RFC 6890), and those that lead into it by a
/// translation, which hides the address behind it.
const SPECIAL: [&str; 27] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:db8::/32",
    "2002::/16",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
];

static SPECIAL_NETWORKS: LazyLock<Vec<IpNet>> = LazyLock::new(|| {
    SPECIAL.iter().map(|text| text.parse().expect("the table holds networks")).collect()
});

/// An address that no message is sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is at {address}, {why}")]
pub(super) struct ForbiddenAddress {
    name: String,
    address: IpAddr,
    why: &'static str,
}

/// The addresses that one endpoint may have.
#[derive(Clone, Debug)]
pub(super) struct AllowedAddresses {
    /// Networks besides the public internet.
    pub(super) networks: Arc<[IpNet]>,
    /// Whether it is reached by TLS.
    pub(super) is_encrypted: bool,
}

impl AllowedAddresses {
    /// Checks one address.
    pub(super) fn check(&self, name: &str, address: IpAddr) -> Result<(), ForbiddenAddress> {
        let address = address.to_canonical();
        let is_in = |network: &IpNet| network.contains(&address);
        if self.networks.iter().any(is_in) {
            return Ok(());
        }
        let why = if SPECIAL_NETWORKS.iter().any(is_in) {
            "which is not public: allow its network with SIGNAL_NODE_WEBHOOK_NETWORKS"
        } else if self.is_encrypted {
            return Ok(());
        } else {
            "and http:// is for the networks of SIGNAL_NODE_WEBHOOK_NETWORKS only: write https://"
        };
        Err(ForbiddenAddress { name: name.to_owned(), address, why })
    }

    /// Resolves a name to the addresses that may be connected to.
    ///
    /// # Errors
    /// When it cannot be resolved, or none of its addresses is allowed.
    pub(super) async fn resolve(
        &self,
        name: &str,
    ) -> Result<Vec<SocketAddr>, Box<dyn std::error::Error + Send + Sync>> {
        let mut forbidden = None;
        let mut allowed = Vec::new();
        for address in lookup_host((name, 0)).await? {
            match self.check(name, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(error) => forbidden = Some(error),
            }
        }
        match forbidden {
            Some(error) if allowed.is_empty() => Err(error.into()),
            Some(_) | None => Ok(allowed),
        }
    }
}

impl Resolve for AllowedAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.clone();
        Box::pin(async move {
            let addresses = Self::resolve(&allowed, name.as_str()).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(networks: &[&str], is_encrypted: bool) -> AllowedAddresses {
        let networks = networks.iter().map(|text| text.parse().unwrap()).collect();
        AllowedAddresses { networks, is_encrypted }
    }

    #[test]
    fn addresses_of_the_inside_are_refused_however_they_are_written() {
        let none = allowed(&[], true);
        for inside in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "fd00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(none.check("name", inside.parse().unwrap()).is_err(), "{inside}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "2606:4700::1111"] {
            none.check("name", public.parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn a_network_that_is_allowed_is_all_that_http_may_go_to() {
        let own = allowed(&["10.0.0.0/8", "fd00::/8"], false);
        for inside in ["10.1.2.3", "::ffff:10.1.2.3", "fd00::1"] {
            own.check("name", inside.parse().unwrap()).unwrap();
        }
        let error = own.check("name", "8.8.8.8".parse().unwrap()).unwrap_err().to_string();
        assert!(error.starts_with("name is at 8.8.8.8, and http:// is for"), "{error}");
        assert!(own.check("name", "192.168.1.1".parse().unwrap()).is_err());
    }

    #[tokio::test]
    async fn a_name_is_refused_by_what_it_resolves_to() {
        let error = allowed(&[], true).resolve("localhost").await.unwrap_err();
        assert!(error.downcast_ref::<ForbiddenAddress>().is_some(), "{error}");
        assert!(
            !allowed(&["127.0.0.0/8", "::1/128"], false)
                .resolve("localhost")
                .await
                .unwrap()
                .is_empty()
        );
    }
}
