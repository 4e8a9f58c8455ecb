//! Whether a relay can be reached: name, port, certificate, and our own address as it sees it.

use std::fmt::Display;
use std::io::ErrorKind;
use std::net::SocketAddr;

use service_kit::clock;

use super::certificate::not_after;
use super::report::{Check, Finding};
use super::visit::Visit;
use crate::relay::{Protocol, RelayError, TurnClient};

/// How many days before its end a certificate should have been renewed: half of the thirty days
/// that are usual for beginning to try.
const RENEWED_BEFORE: u64 = 15;
const DAY: u64 = 86_400;

pub(super) async fn name(visit: &mut Visit<'_>) -> Finding {
    match visit.endpoint.resolve(visit.terms.dialing.patience).await {
        Ok(addresses) => {
            let found = list(addresses.iter().map(SocketAddr::ip));
            visit.addresses = addresses;
            Finding::ok(Check::Name, found)
        }
        Err(error) => {
            visit.blocked = Some("the name leads to no address");
            let host = &visit.endpoint.host;
            let advice = format!("publish an A or AAAA record for {host}, or correct the URL");
            Finding::fail(Check::Name, error.to_string(), advice)
        }
    }
}

/// Knocks at every address, since clients may be given any of them.
pub(super) async fn port(visit: &mut Visit<'_>) -> Finding {
    let (protocol, port) = (visit.endpoint.protocol, visit.endpoint.port);
    if protocol == Protocol::Dtls {
        visit.blocked = Some("TLS for datagrams is not looked at");
        let advice = "write ?transport=tcp: browsers speak TLS over TCP only";
        return Finding::warn(Check::Port, "TLS for datagrams is not looked at", advice);
    }
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for address in &visit.addresses {
        match knock(visit, *address).await {
            Ok(()) => open.push(*address),
            Err(error) => closed.push(format!("{}: {}", address.ip(), describe(&error))),
        }
    }
    visit.address = open.first().copied();
    let advice = format!(
        "open port {port} for {} in the firewall, and let the relay listen there",
        if protocol == Protocol::Udp { "UDP" } else { "TCP" }
    );
    match (&open[..], &closed[..]) {
        (_, []) => Finding::ok(Check::Port, format!("{protocol} {port} answers")),
        ([], _) => {
            visit.blocked = Some("nothing answers at the port");
            Finding::fail(Check::Port, list(&closed), advice)
        }
        (_, _) => Finding::warn(Check::Port, list(&closed), advice),
    }
}

/// Tells whether somebody answers; that TLS fails is a matter of the next check.
async fn knock(visit: &Visit<'_>, address: SocketAddr) -> Result<(), RelayError> {
    match TurnClient::knock(&visit.endpoint, address, &visit.terms.dialing).await {
        Ok(_) | Err(RelayError::Tls(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) async fn certificate(visit: &mut Visit<'_>) -> Finding {
    let host = visit.endpoint.host.clone();
    let client = match visit.open().await {
        Ok(client) => client,
        Err(error) => {
            visit.blocked = Some("TLS fails");
            let advice = format!(
                "give the relay a certificate for {host} with its chain (cert and pkey of \
                 coturn), or name its authority with TURN_CRED_RELAY_CA_FILE"
            );
            return Finding::fail(Check::Certificate, error.to_string(), advice);
        }
    };
    let Some(end) = client.certificate().and_then(not_after) else {
        let advice = "look at it with openssl s_client";
        return Finding::warn(Check::Certificate, "the end of it cannot be read", advice);
    };
    judge_end(&host, end, clock::unix_seconds())
}

fn judge_end(host: &str, end: u64, now: u64) -> Finding {
    let days = end.saturating_sub(now) / DAY;
    let found = format!("is for {host} and ends in {days} days, {}", clock::rfc3339(end));
    if days >= RENEWED_BEFORE {
        return Finding::ok(Check::Certificate, found);
    }
    let advice = "renew it, and let the relay read it again (SIGUSR2 for coturn)";
    Finding::warn(Check::Certificate, found, advice)
}

pub(super) async fn binding(visit: &mut Visit<'_>) -> Finding {
    let asked = async { visit.open().await?.bind().await };
    match asked.await {
        Ok(seen) => Finding::ok(Check::Binding, format!("it sees us as {}", seen.ip())),
        Err(error) => {
            let advice = "let the relay answer STUN Binding (no secure-stun, no no-stun in coturn)";
            Finding::warn(Check::Binding, error.to_string(), advice)
        }
    }
}

/// Says what the operating system means in the words of this page.
fn describe(error: &RelayError) -> String {
    match error {
        RelayError::Socket(socket) if socket.kind() == ErrorKind::ConnectionRefused => {
            "nothing listens there".to_owned()
        }
        other => other.to_string(),
    }
}

pub(super) fn list(items: impl IntoIterator<Item: Display>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_certificate_is_renewed_two_weeks_before_its_end() {
        let now = 1_700_000_000;
        let verdict = |end| judge_end("a.example", end, now).verdict;
        assert_eq!(verdict(now + 15 * DAY), Verdict::Ok);
        assert_eq!(verdict(now + 15 * DAY - 1), Verdict::Warn);
        let found = judge_end("a.example", now + DAY, now).found;
        assert_eq!(found, "is for a.example and ends in 1 days, 2023-11-15T22:13:20Z");
    }
}
