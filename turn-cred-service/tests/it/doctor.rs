//! The doctor, at healthy and at misconfigured relays.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;
use service_kit::clock;
use service_kit::findings::{CheckResult, OutputFormat};
use service_kit::secrets::Secrets;
use turn_cred_service::doctor::{self, CallSize, DoctorOptions, Report};
use turn_cred_service::pool::IceUri;
use turn_cred_service::relay::{ConnectOptions, TrustStore};

use crate::support::TURN_SECRET;
use crate::support::coturn::{Coturn, connect_options, has_ipv6};
use crate::support::nat::{Nat, Reuse};

/// The configuration shipped to operators.
const SHIPPED: &str = include_str!("../../../deploy/coturn/turnserver.conf");
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

/// The shipped configuration without lines that begin with `key`.
fn without(key: &str) -> String {
    let kept: Vec<_> = SHIPPED.lines().filter(|line| !line.starts_with(key)).collect();
    kept.join("\n") + "\n"
}

/// The same lines, with IPv6 relayed addresses where the machine has IPv6.
fn with_ipv6(lines: &str) -> String {
    format!("{lines}\n{}", if has_ipv6() { "relay-ip=::1\n" } else { "" })
}

/// The findings for one URL.
struct DoctorRun {
    worst: CheckResult,
    json: Value,
}

impl DoctorRun {
    /// Result and text of one check.
    fn of(&self, check: &str) -> (&str, &str) {
        let checks = self.json["relays"][0]["checks"].as_array().unwrap();
        let finding = checks.iter().find(|finding| finding["check"] == check).unwrap();
        (finding["verdict"].as_str().unwrap(), finding["found"].as_str().unwrap())
    }

    /// The checks with this result.
    fn with(&self, verdict: &str) -> Vec<&str> {
        let checks = self.json["relays"][0]["checks"].as_array().unwrap();
        let matching = checks.iter().filter(|finding| finding["verdict"] == verdict);
        matching.map(|finding| finding["check"].as_str().unwrap()).collect()
    }
}

/// The doctor's options unless a test changes them.
fn options(secrets: &Secrets, connect_options: ConnectOptions) -> DoctorOptions<'_> {
    let ttl = Duration::from_secs(600);
    let call_size = CallSize { members: 8, networks: 2 };
    DoctorOptions {
        secrets,
        ttl,
        connect_options,
        allow_loopback: false,
        call_size,
        now: clock::unix_seconds,
    }
}

async fn diagnose(uri: IceUri, options: &DoctorOptions<'_>) -> DoctorRun {
    let mut out = Vec::new();
    let relays = [("default".to_owned(), vec![uri])];
    let worst =
        doctor::examine_relays(&relays, options, Report::new(OutputFormat::Json, &mut out)).await;
    DoctorRun { worst, json: serde_json::from_slice(&out).unwrap() }
}

/// Runs the doctor over UDP on a coturn with these lines of turnserver.conf.
async fn examine(lines: &str, change: impl FnOnce(&mut DoctorOptions<'_>)) -> DoctorRun {
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, lines).await;
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    let mut options = options(&secrets, coturn.connect_options());
    change(&mut options);
    diagnose(coturn.udp(), &options).await
}

#[tokio::test]
async fn the_configuration_that_we_ship_is_well_over_udp_tcp_and_tls() {
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, &with_ipv6(SHIPPED)).await;
    let forbidden = if has_ipv6() { 22 } else { 14 };
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    for uri in [coturn.udp(), coturn.tcp(), coturn.tls()] {
        let found = diagnose(uri, &options(&secrets, coturn.connect_options())).await;
        let all: Vec<_> = ["ok", "warn", "fail", "skipped"].map(|v| found.with(v)).concat();
        assert_eq!((found.worst, found.with("ok")), (CheckResult::Ok, all), "{}", found.json);
        let quota = "one user gets 42 allocations; a relay-only room of 8 takes 14: (8 - 1) x 1 TURN \
                     URLs x 2 networks";
        assert_eq!(found.of("quota").1, quota);
        let refuses = format!("it refuses {forbidden} addresses that no call needs");
        assert_eq!(found.of("peers").1, refuses);
    }
}

#[tokio::test]
async fn a_relay_that_reaches_private_networks_fails_and_they_are_named() {
    let found = examine(&with_ipv6(&without("denied-peer-ip")), |_| {}).await;
    assert_eq!((found.worst, found.with("fail")), (CheckResult::Fail, vec!["peers"]));
    let (_, open) = found.of("peers");
    for ip in ["169.254.169.254 (metadata of a cloud)", "10.0.0.1", "192.168.1.1"] {
        assert!(open.contains(ip), "{ip} in {open}");
    }
    assert_eq!(open.contains("fc00::1"), has_ipv6(), "{open}");
    assert!(!open.contains("127.0.0.1"), "coturn denies that by itself: {open}");
}

#[tokio::test]
async fn a_relay_without_a_quota_is_warned_of() {
    let found = examine(&without("user-quota"), |_| {}).await;
    assert_eq!((found.worst, found.with("warn")), (CheckResult::Warn, vec!["quota"]));
    let (_, found) = found.of("quota");
    assert!(found.starts_with("no per-user quota: one user got 64 allocations"), "{found}");
}

#[tokio::test]
async fn a_quota_that_is_too_small_for_a_room_is_warned_of_with_the_numbers() {
    let found = examine(&(without("user-quota") + "user-quota=12\n"), |_| {}).await;
    assert_eq!((found.worst, found.with("warn")), (CheckResult::Warn, vec!["quota"]));
    let text = found.json.to_string();
    for part in [
        "one user gets 12 allocations",
        "takes 14: (8 - 1) x 1 TURN URLs x 2 networks",
        "user-quota=14",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let pairs =
        |options: &mut DoctorOptions<'_>| options.call_size = CallSize { members: 7, networks: 2 };
    let found = examine(&(without("user-quota") + "user-quota=12\n"), pairs).await;
    assert_eq!(found.of("quota").0, "ok", "{}", found.json);
}

#[tokio::test]
async fn every_url_of_a_relay_counts_towards_what_a_user_needs() {
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, SHIPPED).await;
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    let mut out = Vec::new();
    let relays = [("default".to_owned(), vec![coturn.udp(), coturn.tcp(), coturn.tls()])];
    let options = options(&secrets, coturn.connect_options());
    doctor::examine_relays(&relays, &options, Report::new(OutputFormat::Plain, &mut out)).await;
    let table = String::from_utf8(out).unwrap();
    let need =
        "one user gets 42 allocations; a relay-only room of 8 takes 42: (8 - 1) x 3 TURN URLs";
    assert_eq!(table.matches(need).count(), 3, "{table}");
}

#[tokio::test]
async fn a_relay_that_admits_the_empty_key_is_open_to_the_world() {
    let found = examine(&format!("{SHIPPED}\nstatic-auth-secret=\n"), |_| {}).await;
    assert_eq!((found.worst, found.with("fail")), (CheckResult::Fail, vec!["empty-secret"]));
    assert!(found.of("empty-secret").1.starts_with("open to the world"), "{}", found.json);
    assert!(found.json.to_string().contains("remove the blank secret"), "{}", found.json);
}

#[tokio::test]
async fn a_port_with_an_allocation_mismatch_is_no_finding() {
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, SHIPPED).await;
    let nat = Nat::start(&coturn, Reuse::EverySecond).await;
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    let found = diagnose(nat.udp(), &options(&secrets, coturn.connect_options())).await;
    assert_eq!((found.worst, found.with("skipped")), (CheckResult::Ok, vec![]), "{}", found.json);
    assert!(coturn.logged("error 437") > 0, "no port was refused");
}

#[tokio::test]
async fn a_relay_with_another_secret_fails() {
    let others = Secrets::parse("another-turn-secret-of-thirty-two-bytes").unwrap();
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, SHIPPED).await;
    let found = diagnose(coturn.udp(), &options(&others, coturn.connect_options())).await;
    assert_eq!(found.of("allocation"), ("fail", "the relay answered with error 401"));
    assert_eq!(found.with("skipped"), ["refresh", "clock", "peers", "quota"]);
    assert_eq!(found.with("fail"), ["allocation"]);
}

#[tokio::test]
async fn clocks_that_differ_are_measured_in_both_directions() {
    let lines = SHIPPED;
    let behind = examine(lines, |options| options.now = || clock::unix_seconds() + 300).await;
    let (verdict, found) = behind.of("clock");
    assert_eq!(verdict, "warn", "{found}");
    assert!((297..=303).any(|s| found.contains(&format!("{s} s behind us"))), "{found}");

    let ahead = examine(lines, |options| options.now = || clock::unix_seconds() - 900).await;
    let (_, found) = ahead.of("clock");
    assert!((897..=903).any(|s| found.contains(&format!("{s} s ahead of us"))), "{found}");
    assert_eq!(ahead.of("allocation").0, "fail", "the credential had ended for the relay");
}

#[tokio::test]
async fn a_relay_that_asks_for_no_credential_fails() {
    let lines = without("use-auth-secret");
    let open = Coturn::without_auth(LOOPBACK, &lines).await;
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    let found = diagnose(open.udp(), &options(&secrets, open.connect_options())).await;
    assert_eq!(found.of("allocation").1, "the relay requires no credential: anybody can use it");
    assert_eq!(found.of("wrong-secret"), ("fail", "it is accepted"));
}

#[tokio::test]
async fn loopback_is_reached_only_where_that_is_allowed() {
    let lines = without("denied-peer-ip=127") + "allow-loopback-peers\n";
    let found = examine(&lines, |_| {}).await;
    assert_eq!(found.of("peers").1, "it would relay to 127.0.0.1 (the relay's own machine)");
    let found = examine(&lines, |options| options.allow_loopback = true).await;
    let (verdict, said) = found.of("peers");
    assert_eq!(verdict, "ok");
    assert!(said.ends_with("and reaches 127.0.0.1, which was allowed"), "{said}");
}

#[tokio::test]
async fn a_relay_that_reaches_nobody_is_warned_of() {
    let lines = format!("{SHIPPED}\ndenied-peer-ip=0.0.0.0-255.255.255.255\n");
    let found = examine(&lines, |_| {}).await;
    let (verdict, said) = found.of("peers");
    assert_eq!(verdict, "warn");
    assert!(said.ends_with("and 9.9.9.9 too"), "{said}");
}

#[tokio::test]
async fn a_certificate_for_another_name_fails_and_skips_later_checks() {
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, SHIPPED).await;
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    let found =
        diagnose(coturn.tls_by_address(), &options(&secrets, coturn.connect_options())).await;
    assert_eq!(found.with("ok"), ["name", "port"]);
    let (verdict, said) = found.of("certificate");
    assert_eq!(verdict, "fail");
    assert!(said.contains("only valid for DnsName(\"localhost\")"), "{said}");
}

#[tokio::test]
async fn an_unreachable_relay_fails_at_the_first_step_it_lacks() {
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    let options = options(&secrets, connect_options(TrustStore::system()));
    let at = |url: String| diagnose(url.parse().unwrap(), &options);

    let nowhere = at("turn:relay.invalid".into()).await;
    assert_eq!((nowhere.with("fail"), nowhere.with("skipped").len()), (vec!["name"], 10));

    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for transport in ["udp", "tcp"] {
        let nobody = at(format!("turn:{closed}?transport={transport}")).await;
        assert_eq!(nobody.of("port"), ("fail", "127.0.0.1: nothing listens there"));
    }
    let datagrams = at(format!("turns:{closed}?transport=udp")).await;
    assert_eq!((datagrams.worst, datagrams.with("warn")), (CheckResult::Warn, vec!["port"]));
}

#[tokio::test]
async fn the_doctor_leaves_no_allocation_behind() {
    let coturn = Coturn::with_lines(LOOPBACK, TURN_SECRET, SHIPPED).await;
    let secrets = Secrets::parse(TURN_SECRET).unwrap();
    diagnose(coturn.udp(), &options(&secrets, coturn.connect_options())).await;
    let begun = coturn.logged(": new, realm=");
    assert!(begun > 12, "{begun}");
    coturn.logs(": delete: realm=", begun).await;
}
