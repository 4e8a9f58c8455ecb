//! Whom a relay admits, and for how long.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use service_kit::random;

use super::report::{Check, Finding, LOOK_INTO_LOG};
use super::visit::{Visit, nobody};
use crate::credential::Credential;
use crate::relay::{RelayError, Skew, SkewSearch, SkewStep, TurnClient};

/// How long ago the credential ended that must be refused, in seconds: more than clocks differ.
const LONG_AGO: i64 = -3600;
/// Codes of refusals (RFC 8489 §14.8, RFC 8656 §19).
const UNAUTHORIZED: u16 = 401;
pub(super) const QUOTA_REACHED: u16 = 486;
const NO_CAPACITY: u16 = 508;

/// Asks for an allocation over a way of its own.
pub(super) async fn admit(
    visit: &Visit<'_>,
    credential: &Credential,
) -> Result<(TurnClient, SocketAddr), RelayError> {
    let mut client = visit.open().await?;
    let relayed = client.allocate(credential).await?;
    Ok((client, relayed))
}

/// Gives an allocation back; a relay that does not take it ends it by itself in ten minutes.
pub(super) async fn release(client: &mut TurnClient) {
    let _ = client.refresh(Duration::ZERO).await;
}

/// Tells whether a credential is admitted, and gives back what it got.
async fn admits(visit: &Visit<'_>, credential: &Credential) -> Result<bool, RelayError> {
    match admit(visit, credential).await {
        Ok((mut client, _)) => {
            release(&mut client).await;
            Ok(true)
        }
        Err(RelayError::Refused(UNAUTHORIZED)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) async fn allocation(visit: &mut Visit<'_>) -> Finding {
    let credential = visit.credential(&nobody(), visit.ttl());
    match admit(visit, &credential).await {
        Ok((client, relayed)) => {
            visit.allocation = Some(client);
            judge_relayed(relayed.ip(), visit.address.map(|address| address.ip()))
        }
        Err(error) => Finding::fail(Check::Allocation, error.to_string(), remedy(&error)),
    }
}

/// A relay behind NAT must name its public address, or peers send into the void.
fn judge_relayed(relayed: IpAddr, relay: Option<IpAddr>) -> Finding {
    let found = format!("a right credential gets {relayed}");
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
        RelayError::Refused(UNAUTHORIZED) => {
            "give both sides the same secret (static-auth-secret of coturn, the first key of \
             TURN_CRED_SECRET), and compare their clocks"
        }
        RelayError::Refused(QUOTA_REACHED) => "raise total-quota, or wait until others have left",
        RelayError::Refused(NO_CAPACITY) => "widen min-port to max-port, or raise bps-capacity",
        RelayError::Unguarded => "set use-auth-secret: this relay carries anybody's traffic",
        RelayError::Refused(_)
        | RelayError::Unresolved(_)
        | RelayError::Unsupported
        | RelayError::Tls(_)
        | RelayError::Silent
        | RelayError::Malformed
        | RelayError::Socket(_) => LOOK_INTO_LOG,
    }
}

pub(super) async fn refresh(visit: &mut Visit<'_>) -> Finding {
    let Some(client) = &mut visit.allocation else {
        return Finding::skipped(Check::Refresh, "there is no allocation");
    };
    match client.refresh(Duration::from_secs(600)).await {
        Ok(()) => Finding::ok(Check::Refresh, "an allocation can be prolonged"),
        Err(error) => Finding::fail(Check::Refresh, error.to_string(), remedy(&error)),
    }
}

pub(super) async fn wrong_secret(visit: &mut Visit<'_>) -> Finding {
    let end = (visit.terms.now)().saturating_add_signed(visit.ttl());
    let credential = Credential::issue(&random::bytes::<32>(), &nobody(), end);
    let advice = "set use-auth-secret, and nothing that admits others (no-auth, user)";
    judge_refusal(Check::WrongSecret, admits(visit, &credential).await, advice)
}

/// Signs with the empty key, as anybody can: coturn takes a line `static-auth-secret=`, or an empty
/// member of its set in Redis, for a secret.
pub(super) async fn empty_secret(visit: &mut Visit<'_>) -> Finding {
    let end = (visit.terms.now)().saturating_add_signed(visit.ttl());
    let credential = Credential::issue(&[], &nobody(), end);
    let admitted = admits(visit, &credential).await;
    if matches!(admitted, Ok(true)) {
        let found = "open to the world: a credential signed with the empty key is admitted";
        let advice = "remove the blank secret, then restart the relay: a line static-auth-secret= of \
                      turnserver.conf, or the member \"\" of turn/realm/REALM/secret in its Redis";
        return Finding::fail(Check::EmptySecret, found, advice);
    }
    judge_refusal(Check::EmptySecret, admitted, "set use-auth-secret, and no blank secret")
}

pub(super) async fn expiry(visit: &mut Visit<'_>) -> Finding {
    let credential = visit.credential(&nobody(), LONG_AGO);
    let advice = "set the clock of the relay; if it is right, the relay does not look at the end";
    judge_refusal(Check::Expiry, admits(visit, &credential).await, advice)
}

fn judge_refusal(
    check: Check,
    admitted: Result<bool, RelayError>,
    advice: &'static str,
) -> Finding {
    match admitted {
        Ok(false) => Finding::ok(check, "refused with 401"),
        Ok(true) | Err(RelayError::Unguarded) => Finding::fail(check, "it is admitted", advice),
        Err(RelayError::Refused(code)) => {
            let found = format!("refused with {code} where 401 is right");
            Finding::warn(check, found, LOOK_INTO_LOG)
        }
        Err(error) => Finding::fail(check, error.to_string(), LOOK_INTO_LOG),
    }
}

pub(super) async fn clock(visit: &mut Visit<'_>) -> Finding {
    let mut search = SkewSearch::default();
    loop {
        match search.next() {
            SkewStep::Found(skew) => return judge_skew(skew, visit.ttl()),
            SkewStep::Try(offset) => {
                let credential = visit.credential(&nobody(), offset);
                match admits(visit, &credential).await {
                    Ok(admitted) => search.learn(offset, admitted),
                    Err(error) => return Finding::skipped(Check::Clock, error.to_string()),
                }
            }
        }
    }
}

/// A quarter of the TTL is what a refresh at half of it leaves to spare, and some.
fn judge_skew(skew: Skew, ttl: i64) -> Finding {
    let seconds = match skew {
        Skew::Ahead(seconds) => seconds,
        Skew::Unknown => return Finding::skipped(Check::Clock, "it admits no credential"),
        Skew::Unbounded => {
            let advice = "use a relay that looks at the end of a credential";
            return Finding::fail(Check::Clock, "it admits what ended a day ago", advice);
        }
    };
    let found = match seconds {
        -1..=1 => "it agrees with ours to a second".to_owned(),
        2.. => format!("the relay is {seconds} s ahead of us (±1 s)"),
        ..-1 => format!("the relay is {} s behind us (±1 s)", -seconds),
    };
    if seconds.abs() > 1 && seconds.abs() > ttl / 4 {
        let advice = "run NTP on both machines: credentials name their end in absolute time";
        return Finding::warn(Check::Clock, found, advice);
    }
    Finding::ok(Check::Clock, found)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_skew_matters_from_a_quarter_of_the_ttl_on() {
        for (skew, ttl, verdict, part) in [
            (Skew::Ahead(0), 600, Verdict::Ok, "agrees"),
            (Skew::Ahead(150), 600, Verdict::Ok, "150 s ahead"),
            (Skew::Ahead(151), 600, Verdict::Warn, "151 s ahead"),
            (Skew::Ahead(-151), 600, Verdict::Warn, "151 s behind"),
            (Skew::Ahead(1), 1, Verdict::Ok, "agrees"),
            (Skew::Unbounded, 600, Verdict::Fail, "a day ago"),
            (Skew::Unknown, 600, Verdict::Skipped, "no credential"),
        ] {
            let finding = judge_skew(skew, ttl);
            assert_eq!(finding.verdict, verdict, "{skew:?}");
            assert!(finding.found.contains(part), "{}", finding.found);
        }
    }

    #[test]
    fn a_private_address_from_a_public_relay_is_told() {
        let [public, private, other] = ["192.0.2.1", "10.0.0.5", "10.0.0.1"].map(parse);
        let verdict = |relayed, relay| judge_relayed(relayed, Some(relay)).verdict;
        assert_eq!(verdict(private, public), Verdict::Warn);
        assert_eq!(verdict(private, other), Verdict::Ok);
        assert_eq!(verdict(public, private), Verdict::Ok);
        assert_eq!(verdict(parse("0.0.0.0"), other), Verdict::Warn);
    }

    fn parse(ip: &str) -> IpAddr {
        ip.parse().unwrap()
    }

    #[test]
    fn only_401_refuses_a_credential_as_it_shall() {
        let verdict = |admitted| judge_refusal(Check::Expiry, admitted, "").verdict;
        assert_eq!(verdict(Ok(false)), Verdict::Ok);
        assert_eq!(verdict(Ok(true)), Verdict::Fail);
        assert_eq!(verdict(Err(RelayError::Unguarded)), Verdict::Fail);
        assert_eq!(verdict(Err(RelayError::Refused(400))), Verdict::Warn);
        assert_eq!(verdict(Err(RelayError::Silent)), Verdict::Fail);
    }
}
