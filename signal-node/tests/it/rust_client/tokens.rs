//! Tokens that end or are refused while a client lives; TLS, over which they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use service_kit::clock;
use service_kit::tokens::{Right, mint};
use signal_client::{Client, JoinOptions, Loss, RoomEvent, State, Stop};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{departed, holder, join, newcomer, until, within};
use crate::support::node::{SECRET, TestNode, claims, token};
use crate::support::polling::becomes_true;

/// How soon a token of ten seconds is renewed, with time to spare.
const RENEWED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_token_is_renewed_before_it_expires_without_a_new_connection() {
    let node = TestNode::closed().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = Arc::clone(&asked);
        move || {
            let mut claims = claims("ana");
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                claims.exp = clock::unix_seconds() + 10;
            } else {
                claims.can.push(Right::Moderate);
            }
            std::future::ready(Ok::<_, std::io::Error>(mint(&claims, SECRET.as_bytes())))
        }
    };
    let client = Client::builder(format!("ws://{}", node.address())).token(provider).connect();
    let client = client.unwrap();
    let mut room = join(&client, "demo").await;
    let mut state = client.state();
    state.mark_unchanged();
    let bo = join(&holder(node.address(), "bo"), "demo").await;
    let peer = until(&mut room, newcomer).await;
    // Only the second token may remove a member.
    becomes_true("the right to kick", RENEWED_WITHIN, async || {
        room.kick(&peer, None).await.is_ok()
    })
    .await;
    let removed = until(&mut room, |event| {
        assert_ne!(*event, RoomEvent::Away, "the connection was lost");
        departed(event)
    });
    removed.await;
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    assert!(!state.has_changed().unwrap());
    drop(bo);
}

#[tokio::test]
async fn a_refused_token_is_replaced_by_a_fresh_one() {
    let node = TestNode::closed().await;
    let asked = Arc::new(AtomicUsize::new(0));
    let provider = {
        let asked = Arc::clone(&asked);
        move || {
            std::future::ready(match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err("the server of tokens is starting"),
                1 => Ok("no.token.here".to_owned()),
                _ => Ok(token("ana")),
            })
        }
    };
    let client = Client::builder(format!("ws://{}", node.address())).token(provider).connect();
    let client = client.unwrap();
    let mut state = client.state();
    let lost = |expected: fn(&Loss) -> bool| move |state: &State| matches!(state, State::Waiting { because, .. } if expected(because));
    let no_token = lost(|because| *because == Loss::NoToken);
    within("a loss", state.wait_for(no_token)).await.unwrap();
    let refused = lost(|because| matches!(because, Loss::Closed { code: 401, .. }));
    within("a refusal", state.wait_for(refused)).await.unwrap();
    join(&client, "demo").await;
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_fixed_token_that_is_refused_stops_the_client_and_says_why() {
    let node = TestNode::closed().await;
    let url = format!("ws://{}", node.address());
    let client = Client::builder(url).fixed_token("no.token.here").connect().unwrap();
    let refused = within("an answer", client.join("demo", JoinOptions::default())).await;
    assert!(refused.is_err());
    let state = client.state().borrow().clone();
    assert!(matches!(state, State::Stopped(Stop::Code { code: 401, .. })), "{state:?}");
}

#[tokio::test]
async fn a_client_speaks_tls_with_an_authority_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let names = ["localhost".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    std::fs::write(path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let files = [("TLS_CERT_FILE", path("cert.pem")), ("TLS_KEY_FILE", path("key.pem"))];
    let [cert_file, key_file] = files.each_ref().map(|(name, path)| (*name, path.as_str()));
    let settings = [cert_file, key_file, ("ANONYMOUS", "always")];
    let node = TestNode::start(&settings).await;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let url = format!("wss://{}", node.address().replace("127.0.0.1", "localhost"));
    let distrustful = Client::builder(&url).connect().unwrap();
    let mut state = distrustful.state();
    let untrusted = state.wait_for(|state| matches!(state, State::Waiting { .. }));
    let untrusted = format!("{:?}", *within("a loss", untrusted).await.unwrap());
    assert!(untrusted.contains("TLS"), "{untrusted}");
    let trusting = Client::builder(&url).tls(Arc::new(config)).connect().unwrap();
    join(&trusting, "demo").await;
}
