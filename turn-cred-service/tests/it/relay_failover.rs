//! Several relays: selection, and the time until a dead relay is left out.

use std::time::Duration;

use signal_protocol::IceReason;
use tokio::time::Instant;

use crate::support::coturn::Coturn;
use crate::support::nat::{Nat, Reuse};
use crate::support::{ApiResponse, TURN_SECRET, TestService};

/// A service with the regions `eu` and `us`, one relay each.
async fn two_regions(eu: &Coturn, us: &Coturn) -> TestService {
    let pool = |region: &str, country: &str, coturn: &Coturn| {
        format!(
            "[[pools]]\nregion = \"{region}\"\ncountries = [\"{country}\"]\n[[pools.relays]]\nuris = [\"{}\", \"{}\"]\n",
            coturn.udp(),
            coturn.tcp()
        )
    };
    let text = pool("eu", "DE", eu) + &pool("us", "US", us);
    let settings = [
        ("TURN_CRED_PROBE_EVERY", "500ms"),
        ("TURN_CRED_REGION_HEADER", "cf-ipcountry"),
        ("TURN_CRED_TRUSTED_PROXIES", "127.0.0.0/8"),
    ];
    TestService::with_file(&text, settings).await
}

/// The first relay of a response.
fn first(answer: &ApiResponse) -> String {
    let servers = answer.json["iceServers"].as_array().unwrap();
    let url = servers[0]["urls"][0].as_str().unwrap();
    url.split('?').next().unwrap().to_owned()
}

fn of(coturn: &Coturn) -> String {
    coturn.udp().to_string().split('?').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_caller_gets_the_region_it_names_or_its_country_and_one_of_the_other_to_fall_back_on() {
    let (eu, us) = (Coturn::start(TURN_SECRET).await, Coturn::start(TURN_SECRET).await);
    let service = two_regions(&eu, &us).await;
    let answer =
        ApiResponse::of(service.ice_servers("ana").json(&serde_json::json!({"region": "us"})))
            .await;
    assert_eq!((first(&answer), &answer.json["region"]), (of(&us), &"us".into()));
    let urls = |index: usize| answer.json["iceServers"][index]["urls"].as_array().unwrap().len();
    assert_eq!((urls(0), urls(1)), (2, 1));
    let told = |country: &str| service.ice_servers("ana").header("cf-ipcountry", country);
    assert_eq!(first(&ApiResponse::of(told("US")).await), of(&us));
    assert_eq!(first(&ApiResponse::of(told("DE")).await), of(&eu));
    assert_eq!(first(&ApiResponse::of(told("ZZ")).await), of(&eu));
}

#[tokio::test]
async fn a_dead_relay_gets_no_new_calls_after_five_seconds_and_is_announced() {
    let (mut eu, us) = (Coturn::start(TURN_SECRET).await, Coturn::start(TURN_SECRET).await);
    let service = two_regions(&eu, &us).await;
    let mut changes = service.running.issuer.changes().subscribe();
    assert_eq!(first(&ApiResponse::of(service.ice_servers("ana")).await), of(&eu));
    eu.kill().await;
    let killed = Instant::now();
    // Each URL of the relay fails by itself, and each failure announces a change.
    let answer = loop {
        changes.changed().await.unwrap();
        assert_eq!(changes.borrow().reason, IceReason::Drain);
        let answer = ApiResponse::of(service.ice_servers("ben")).await;
        if first(&answer) == of(&us) {
            break answer;
        }
    };
    let took = killed.elapsed();
    println!("a new call went elsewhere {took:?} after the kill");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let text = answer.json.to_string();
    assert!(!text.contains(&of(&eu)), "{text}");
    let metrics = reqwest::get(service.admin("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("turncred_relay_up{relay=\"eu-1\""), "{metrics}");
}

#[tokio::test]
async fn with_every_relay_dead_the_answer_says_that_it_is_degraded() {
    let mut only = Coturn::start(TURN_SECRET).await;
    let uri = only.udp().to_string();
    let settings = [("TURN_CRED_URIS", uri.as_str()), ("TURN_CRED_PROBE_EVERY", "200ms")];
    let service = TestService::start(settings).await;
    let mut changes = service.running.issuer.changes().subscribe();
    changes.mark_unchanged();
    only.kill().await;
    changes.changed().await.unwrap();
    let answer = ApiResponse::of(service.ice_servers("ana")).await;
    assert_eq!((first(&answer), &answer.json["degraded"]), (of(&only), &true.into()));
    let metrics = reqwest::get(service.admin("/metrics")).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("turncred_degraded 1"), "{metrics}");
}

#[tokio::test]
async fn an_allocation_mismatch_leaves_a_relay_healthy() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let nat = Nat::start(&coturn, Reuse::EverySecond).await;
    let uri = nat.udp().to_string();
    let settings = [("TURN_CRED_URIS", uri.as_str()), ("TURN_CRED_PROBE_EVERY", "100ms")];
    let service = TestService::start(settings).await;
    coturn.logs("error 437", 4).await;
    let metrics = reqwest::get(service.admin("/metrics")).await.unwrap().text().await.unwrap();
    let failed = metrics.lines().filter(|line| {
        line.starts_with("turncred_probes_total") && !line.contains("ok") && !line.ends_with(" 0")
    });
    assert_eq!(failed.collect::<Vec<_>>(), Vec::<&str>::new());
    assert!(metrics.contains("turncred_degraded 0"), "{metrics}");
}
