//! Connectivity checks: name, port, certificate, and STUN Binding.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::SocketAddr;

use service_kit::clock;

use super::certificate::not_after;
use super::findings::{Check, Finding};
use super::url_context::UrlContext;
use crate::relay::{Protocol, RelayError, TurnClient};

/// Remaining validity below which a certificate should have been renewed: half of the thirty days
/// before expiry at which ACME clients usually start.
const RENEW_BEFORE_DAYS: u64 = 15;
const DAY: u64 = 86_400;

pub(super) async fn name(url: &mut UrlContext<'_>) -> Finding {
    match url.endpoint.resolve(url.options.connect_options.step_timeout).await {
        Ok(addresses) => {
            let found = list(addresses.iter().map(SocketAddr::ip));
            url.addresses = addresses;
            Finding::ok(Check::Name, found)
        }
        Err(error) => {
            url.skip_reason = Some("the name leads to no address");
            let host = &url.endpoint.host;
            let advice = format!("publish an A or AAAA record for {host}, or correct the URL");
            Finding::fail(Check::Name, error.to_string(), advice)
        }
    }
}

/// Connects to every address of the name, because a client may be given any of them.
pub(super) async fn port(url: &mut UrlContext<'_>) -> Finding {
    let (protocol, port) = (url.endpoint.protocol, url.endpoint.port);
    if protocol == Protocol::Dtls {
        url.skip_reason = Some("DTLS is not checked");
        let advice = "write ?transport=tcp: browsers speak TLS over TCP only";
        return Finding::warn(Check::Port, "DTLS is not checked", advice);
    }
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for address in &url.addresses {
        match check_port(url, *address).await {
            Ok(()) => open.push(*address),
            Err(error) => closed.push(format!("{}: {}", address.ip(), describe(&error))),
        }
    }
    url.address = open.first().copied();
    let advice = format!(
        "open port {port} for {} in the firewall, and let the relay listen there",
        if protocol == Protocol::Udp { "UDP" } else { "TCP" }
    );
    match (&open[..], &closed[..]) {
        (_, []) => Finding::ok(Check::Port, format!("{protocol} {port} answers")),
        ([], _) => {
            url.skip_reason = Some("nothing answers at the port");
            Finding::fail(Check::Port, list(&closed), advice)
        }
        (_, _) => Finding::warn(Check::Port, list(&closed), advice),
    }
}

/// Returns whether the port answers. A TLS failure counts as an answer: the certificate check reports
/// it.
async fn check_port(url: &UrlContext<'_>, address: SocketAddr) -> Result<(), RelayError> {
    match TurnClient::open_checked(&url.endpoint, address, &url.options.connect_options).await {
        Ok(_) | Err(RelayError::Tls(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) async fn certificate(url: &mut UrlContext<'_>) -> Finding {
    let host = url.endpoint.host.clone();
    let client = match url.open().await {
        Ok(client) => client,
        Err(error) => {
            url.skip_reason = Some("TLS fails");
            let advice = format!(
                "give the relay a certificate for {host} with its chain (cert and pkey of \
                 coturn), or name its authority with TURN_CRED_RELAY_CA_FILE"
            );
            return Finding::fail(Check::Certificate, error.to_string(), advice);
        }
    };
    let Some(end) = client.certificate().and_then(not_after) else {
        let advice = "inspect it with openssl s_client";
        return Finding::warn(Check::Certificate, "its expiry cannot be read", advice);
    };
    assess_expiry(&host, end, clock::unix_seconds())
}

fn assess_expiry(host: &str, end: u64, now: u64) -> Finding {
    let days = end.saturating_sub(now) / DAY;
    let found = format!("is for {host} and expires in {days} days, {}", clock::rfc3339(end));
    if days >= RENEW_BEFORE_DAYS {
        return Finding::ok(Check::Certificate, found);
    }
    let advice = "renew it, and make the relay reload it (SIGUSR2 for coturn)";
    Finding::warn(Check::Certificate, found, advice)
}

pub(super) async fn binding(url: &mut UrlContext<'_>) -> Finding {
    let result = async { url.open().await?.binding().await };
    match result.await {
        Ok(seen) => {
            Finding::ok(Check::Binding, format!("the relay sees this machine as {}", seen.ip()))
        }
        Err(error) => {
            let advice = "let the relay answer STUN Binding (no secure-stun, no no-stun in coturn)";
            Finding::warn(Check::Binding, error.to_string(), advice)
        }
    }
}

/// Words an error of the operating system for the report.
fn describe(error: &RelayError) -> String {
    if let RelayError::Socket(socket) = error
        && socket.kind() == ErrorKind::ConnectionRefused
    {
        return "nothing listens there".to_owned();
    }
    error.to_string()
}

pub(super) fn list(items: impl IntoIterator<Item: Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::findings::CheckResult;

    #[test]
    fn a_certificate_is_renewed_two_weeks_before_its_end() {
        let now = 1_700_000_000;
        let verdict = |end| assess_expiry("a.example", end, now).verdict;
        assert_eq!(verdict(now + 15 * DAY), CheckResult::Ok);
        assert_eq!(verdict(now + 15 * DAY - 1), CheckResult::Warn);
        let found = assess_expiry("a.example", now + DAY, now).found;
        assert_eq!(found, "is for a.example and expires in 1 days, 2023-11-15T22:13:20Z");
    }
}
