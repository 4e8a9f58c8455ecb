//! Credential checks: a valid one works; wrong, empty and expired ones are rejected.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use service_kit::random;

use super::findings::{Check, Finding, SEE_RELAY_LOG};
use super::url_context::{UrlContext, random_user};
use crate::credential::Credential;
use crate::relay::{ClockSkew, RelayError, SkewSearch, SkewStep, TurnClient};

/// Expiry of the credential that must be rejected, relative to now: further back than clocks
/// differ.
const EXPIRED_OFFSET: i64 = -3600;
/// Error codes (RFC 8489 §14.8, RFC 8656 §19).
const UNAUTHORIZED: u16 = 401;
pub(super) const QUOTA_REACHED: u16 = 486;
const NO_CAPACITY: u16 = 508;

/// Allocates over a new connection.
pub(super) async fn open_allocation(
    url: &UrlContext<'_>,
    credential: &Credential,
) -> Result<(TurnClient, SocketAddr), RelayError> {
    let mut client = url.open().await?;
    let relayed = client.allocate(credential).await?;
    Ok((client, relayed))
}

/// Releases an allocation. A failure is ignored: the relay ends the allocation within ten minutes.
pub(super) async fn release(client: &mut TurnClient) {
    let _ = client.refresh(Duration::ZERO).await;
}

/// Returns whether a credential is accepted; releases the allocation it got.
async fn accepts(url: &UrlContext<'_>, credential: &Credential) -> Result<bool, RelayError> {
    match open_allocation(url, credential).await {
        Ok((mut client, _)) => {
            release(&mut client).await;
            Ok(true)
        }
        Err(RelayError::ErrorResponse(UNAUTHORIZED)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn allocation(url: &mut UrlContext<'_>) -> Finding {
    let credential = url.credential(&random_user(), url.ttl());
    match open_allocation(url, &credential).await {
        Ok((client, relayed)) => {
            url.allocation = Some(client);
            assess_relayed_address(relayed.ip(), url.address.map(|address| address.ip()))
        }
        Err(error) => Finding::fail(Check::Allocation, error.to_string(), remedy(&error)),
    }
}

/// Compares the relayed address with the relay's own: behind a NAT, coturn without `external-ip`
/// hands out a private address that no peer can reach.
fn assess_relayed_address(relayed: IpAddr, relay: Option<IpAddr>) -> Finding {
    let found = format!("a valid credential gets {relayed}");
    let is_hidden = is_private(relayed) && relay.is_some_and(|relay| !is_private(relay));
    if relayed.is_unspecified() || is_hidden {
        let advice = "set external-ip: peers outside cannot send to this address";
        return Finding::warn(Check::Allocation, found, advice);
    }
    Finding::ok(Check::Allocation, found)
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_loopback() || ip.is_unicast_link_local(),
    }
}

pub(super) fn remedy(error: &RelayError) -> &'static str {
    match error {
        RelayError::ErrorResponse(UNAUTHORIZED) => {
            "configure the same secret on both sides (static-auth-secret of coturn, the first key of \
             TURN_CRED_SECRET), and compare their clocks"
        }
        RelayError::ErrorResponse(QUOTA_REACHED) => {
            "raise total-quota, or wait until others have left"
        }
        RelayError::ErrorResponse(NO_CAPACITY) => {
            "widen min-port to max-port, or raise bps-capacity"
        }
        RelayError::NoAuthentication => "set use-auth-secret: this relay relays anybody's traffic",
        RelayError::ErrorResponse(_)
        | RelayError::Resolve(_)
        | RelayError::DtlsUnsupported
        | RelayError::Tls(_)
        | RelayError::TimedOut
        | RelayError::Malformed
        | RelayError::Socket(_) => SEE_RELAY_LOG,
    }
}

pub(super) async fn refresh(url: &mut UrlContext<'_>) -> Finding {
    let Some(client) = &mut url.allocation else {
        return Finding::skipped(Check::Refresh, "there is no allocation");
    };
    match client.refresh(Duration::from_secs(600)).await {
        Ok(()) => Finding::ok(Check::Refresh, "an allocation can be refreshed"),
        Err(error) => Finding::fail(Check::Refresh, error.to_string(), remedy(&error)),
    }
}

pub(super) async fn wrong_secret(url: &mut UrlContext<'_>) -> Finding {
    let end = (url.options.now)().saturating_add_signed(url.ttl());
    let credential = Credential::issue(&random::bytes::<32>(), &random_user(), end);
    let advice = "set use-auth-secret, and remove no-auth and user, which admit others";
    assess_rejection(Check::WrongSecret, accepts(url, &credential).await, advice)
}

/// Signs with the empty key, which anybody can: coturn accepts a line `static-auth-secret=`, or an
/// empty member of its set in Redis, as a secret.
pub(super) async fn empty_secret(url: &mut UrlContext<'_>) -> Finding {
    let end = (url.options.now)().saturating_add_signed(url.ttl());
    let credential = Credential::issue(&[], &random_user(), end);
    let admitted = accepts(url, &credential).await;
    if matches!(admitted, Ok(true)) {
        let found = "open to the world: a credential signed with the empty key is accepted";
        let advice = "remove the blank secret, then restart the relay: a line static-auth-secret= of \
                      turnserver.conf, or the member \"\" of turn/realm/REALM/secret in its Redis";
        return Finding::fail(Check::EmptySecret, found, advice);
    }
    assess_rejection(Check::EmptySecret, admitted, "set use-auth-secret, and no blank secret")
}

pub(super) async fn expiry(url: &mut UrlContext<'_>) -> Finding {
    let credential = url.credential(&random_user(), EXPIRED_OFFSET);
    let advice = "set the clock of the relay; if it is right, the relay does not check the expiry";
    assess_rejection(Check::Expiry, accepts(url, &credential).await, advice)
}

fn assess_rejection(
    check: Check,
    admitted: Result<bool, RelayError>,
    advice: &'static str,
) -> Finding {
    match admitted {
        Ok(false) => Finding::ok(check, "rejected with 401"),
        Ok(true) | Err(RelayError::NoAuthentication) => {
            Finding::fail(check, "it is accepted", advice)
        }
        Err(RelayError::ErrorResponse(code)) => {
            let found = format!("rejected with {code} instead of 401");
            Finding::warn(check, found, SEE_RELAY_LOG)
        }
        Err(error) => Finding::fail(check, error.to_string(), SEE_RELAY_LOG),
    }
}

pub(super) async fn clock(url: &mut UrlContext<'_>) -> Finding {
    let mut search = SkewSearch::default();
    loop {
        match search.next() {
            SkewStep::Found(skew) => return assess_skew(skew, url.ttl()),
            SkewStep::Try(offset) => {
                let credential = url.credential(&random_user(), offset);
                match accepts(url, &credential).await {
                    Ok(admitted) => search.record(offset, admitted),
                    Err(error) => return Finding::skipped(Check::Clock, error.to_string()),
                }
            }
        }
    }
}

/// Warns from a quarter of the TTL on: a client refreshes at half of it, and this leaves half of
/// the rest as a margin.
fn assess_skew(skew: ClockSkew, ttl: i64) -> Finding {
    let seconds = match skew {
        ClockSkew::Ahead(seconds) => seconds,
        ClockSkew::Unknown => return Finding::skipped(Check::Clock, "it accepts no credential"),
        ClockSkew::Unbounded => {
            let advice = "use a relay that checks the expiry of a credential";
            return Finding::fail(
                Check::Clock,
                "it accepts a credential that expired a day ago",
                advice,
            );
        }
    };
    let found = match seconds {
        -1..=1 => "it agrees with this machine's to a second".to_owned(),
        2.. => format!("the relay is {seconds} s ahead of us (±1 s)"),
        ..-1 => format!("the relay is {} s behind us (±1 s)", -seconds),
    };
    if seconds.abs() > 1 && seconds.abs() > ttl / 4 {
        let advice = "run NTP on both machines: credentials contain an absolute expiry";
        return Finding::warn(Check::Clock, found, advice);
    }
    Finding::ok(Check::Clock, found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use service_kit::findings::CheckResult;

    #[test]
    fn a_skew_matters_from_a_quarter_of_the_ttl_on() {
        for (skew, ttl, verdict, part) in [
            (ClockSkew::Ahead(0), 600, CheckResult::Ok, "agrees"),
            (ClockSkew::Ahead(150), 600, CheckResult::Ok, "150 s ahead"),
            (ClockSkew::Ahead(151), 600, CheckResult::Warn, "151 s ahead"),
            (ClockSkew::Ahead(-151), 600, CheckResult::Warn, "151 s behind"),
            (ClockSkew::Ahead(1), 1, CheckResult::Ok, "agrees"),
            (ClockSkew::Unbounded, 600, CheckResult::Fail, "a day ago"),
            (ClockSkew::Unknown, 600, CheckResult::Skipped, "no credential"),
        ] {
            let finding = assess_skew(skew, ttl);
            assert_eq!(finding.verdict, verdict, "{skew:?}");
            assert!(finding.found.contains(part), "{}", finding.found);
        }
    }

    #[test]
    fn a_private_address_from_a_public_relay_is_a_warning() {
        let [public, private, other] = ["192.0.2.1", "10.0.0.5", "10.0.0.1"].map(parse);
        let verdict = |relayed, relay| assess_relayed_address(relayed, Some(relay)).verdict;
        assert_eq!(verdict(private, public), CheckResult::Warn);
        assert_eq!(verdict(private, other), CheckResult::Ok);
        assert_eq!(verdict(public, private), CheckResult::Ok);
        assert_eq!(verdict(parse("0.0.0.0"), other), CheckResult::Warn);
    }

    fn parse(ip: &str) -> IpAddr {
        ip.parse().unwrap()
    }

    #[test]
    fn only_401_refuses_a_credential_as_it_shall() {
        let verdict = |admitted| assess_rejection(Check::Expiry, admitted, "").verdict;
        assert_eq!(verdict(Ok(false)), CheckResult::Ok);
        assert_eq!(verdict(Ok(true)), CheckResult::Fail);
        assert_eq!(verdict(Err(RelayError::NoAuthentication)), CheckResult::Fail);
        assert_eq!(verdict(Err(RelayError::ErrorResponse(400))), CheckResult::Warn);
        assert_eq!(verdict(Err(RelayError::TimedOut)), CheckResult::Fail);
    }
}
