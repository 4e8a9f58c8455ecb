//! Checks which peers a relay permits.
//!
//! A relay is inside a network and sends to any address that a client names. One that relays to
//! private addresses opens the network behind it, including the metadata service of a cloud, which
//! hands out the machine's credentials. So this check requests permissions for an address of every
//! range that no call needs, and for one public address that every call may need.

use std::net::IpAddr;

use super::connectivity::list;
use super::credential_checks::release;
use super::findings::{Check, Finding, SEE_RELAY_LOG};
use super::url_context::{UrlContext, random_user};
use crate::relay::{Family, RelayError, TurnClient};

/// An address that no client needs, and its meaning (RFC 6890).
struct Forbidden {
    ip: &'static str,
    what: &'static str,
}

const fn forbidden(ip: &'static str, what: &'static str) -> Forbidden {
    Forbidden { ip, what }
}

const LOOPBACK: &str = "the relay's own machine";

const FORBIDDEN_V4: [Forbidden; 14] = [
    forbidden("169.254.169.254", "metadata of a cloud"),
    forbidden("168.63.129.16", "WireServer of Azure"),
    forbidden("127.0.0.1", LOOPBACK),
    forbidden("0.0.0.0", "this host"),
    forbidden("10.0.0.1", "private"),
    forbidden("172.16.0.1", "private"),
    forbidden("192.168.1.1", "private"),
    forbidden("100.64.0.1", "behind a carrier"),
    forbidden("192.0.0.1", "protocol assignments"),
    forbidden("198.18.0.1", "benchmarks"),
    forbidden("192.88.99.1", "6to4 relays"),
    forbidden("224.0.0.1", "multicast"),
    forbidden("240.0.0.1", "reserved"),
    forbidden("255.255.255.255", "broadcast"),
];

const FORBIDDEN_V6: [Forbidden; 8] = [
    forbidden("::1", LOOPBACK),
    forbidden("::", "this host"),
    forbidden("fc00::1", "private"),
    forbidden("fe80::1", "the link"),
    forbidden("ff02::1", "multicast"),
    forbidden("64:ff9b::a9fe:a9fe", "metadata of a cloud, through NAT64"),
    forbidden("2002:a9fe:a9fe::1", "metadata of a cloud, through 6to4"),
    forbidden("::ffff:a9fe:a9fe", "metadata of a cloud, mapped"),
];

/// A public resolver, standing for any peer on the internet.
const PUBLIC_V4: &str = "9.9.9.9";

/// Results of the permission requests.
#[derive(Default)]
struct PermissionResults {
    refused: usize,
    permitted: Vec<&'static Forbidden>,
}

pub(super) async fn peers(url: &mut UrlContext<'_>) -> Finding {
    let Some(mut client) = url.allocation.take() else {
        return Finding::skipped(Check::Peers, "there is no allocation");
    };
    let results = try_all_peers(url, &mut client).await;
    let reaches_public = permits(&mut client, PUBLIC_V4).await;
    url.allocation = Some(client);
    match (results, reaches_public) {
        (Ok(results), Ok(reaches_public)) => {
            assess(&results, reaches_public, url.options.allow_loopback)
        }
        (Err(error), _) | (_, Err(error)) => {
            Finding::fail(Check::Peers, error.to_string(), SEE_RELAY_LOG)
        }
    }
}

/// Requests permissions with the existing allocation, and with one of IPv6 if the relay supports
/// it.
async fn try_all_peers(
    url: &UrlContext<'_>,
    client: &mut TurnClient,
) -> Result<PermissionResults, RelayError> {
    let mut results = PermissionResults::default();
    try_peers(client, &FORBIDDEN_V4, &mut results).await?;
    let mut client = url.open().await?;
    let credential = url.credential(&random_user(), url.ttl());
    match client.allocate_in(Family::V6, &credential).await {
        Ok(relayed) => {
            let list = if relayed.is_ipv6() { &FORBIDDEN_V6[..] } else { &[] };
            let answered = try_peers(&mut client, list, &mut results).await;
            release(&mut client).await;
            answered.map(|()| results)
        }
        // 440: family not supported (RFC 8656 §19). 400 and 420: the relay does not know the
        // attribute.
        Err(RelayError::ErrorResponse(400 | 420 | 440)) => Ok(results),
        Err(error) => Err(error),
    }
}

async fn try_peers(
    client: &mut TurnClient,
    list: &'static [Forbidden],
    results: &mut PermissionResults,
) -> Result<(), RelayError> {
    for peer in list {
        if permits(client, peer.ip).await? {
            results.permitted.push(peer);
        } else {
            results.refused += 1;
        }
    }
    Ok(())
}

/// Requests a permission. 403 denies the peer; 400 and 443 reject the address (RFC 8656 §9.2). Any
/// other error is not about the peer.
async fn permits(client: &mut TurnClient, ip: &str) -> Result<bool, RelayError> {
    let ip: IpAddr = ip.parse().expect("the lists hold addresses");
    match client.create_permission(ip).await {
        Ok(()) => Ok(true),
        Err(RelayError::ErrorResponse(400 | 403 | 443)) => Ok(false),
        Err(error) => Err(error),
    }
}

fn assess(results: &PermissionResults, reaches_public: bool, allow_loopback: bool) -> Finding {
    let (allowed, open): (Vec<&Forbidden>, Vec<_>) =
        results.permitted.iter().partition(|peer| allow_loopback && peer.what == LOOPBACK);
    if !open.is_empty() {
        let open = list(open.iter().map(|peer| format!("{} ({})", peer.ip, peer.what)));
        let advice = "deny them with denied-peer-ip: deploy/coturn/turnserver.conf has the list";
        return Finding::fail(Check::Peers, format!("it would relay to {open}"), advice);
    }
    let refused = results.refused;
    if !reaches_public {
        let found = format!("it refuses {refused} private addresses, and {PUBLIC_V4} too");
        let advice = "deny less, unless all of its clients are in one network";
        return Finding::warn(Check::Peers, found, advice);
    }
    let found = format!("it refuses {refused} addresses that no call needs");
    if allowed.is_empty() {
        return Finding::ok(Check::Peers, found);
    }
    let allowed = list(allowed.iter().map(|peer| peer.ip));
    Finding::ok(Check::Peers, format!("{found}, and reaches {allowed}, which was allowed"))
}
