//! The embedded TURN relay.

use std::net::SocketAddr;
use std::time::Duration;

use all_in_one::relay::{EmbeddedRelay, EmbeddedRelayError};
use service_kit::clock;
use service_kit::secrets::{SecretSource, Secrets};
use tokio::net::UdpSocket;
use turn_cred_service::credential::Credential;
use turn_cred_service::relay::{ConnectOptions, TrustStore, TurnClient};

const SECRET: &str = "embedded-relay-secret-of-thirty-two-bytes";
const OLD_SECRET: &str = "embedded-relay-old-secret-of-thirty-two-bytes";

/// Allocations of one user.
const USER_QUOTA: usize = 3;

async fn start() -> EmbeddedRelay {
    let secrets = Secrets::parse(&format!("{SECRET}\n{OLD_SECRET}")).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    EmbeddedRelay::start(listen, SecretSource::fixed(secrets), USER_QUOTA).await.unwrap()
}

fn credential(secret: &str, expiry: u64) -> Credential {
    Credential::issue(secret.as_bytes(), &"ana".parse().unwrap(), expiry)
}

async fn connect(relay: &EmbeddedRelay) -> TurnClient {
    let uri = format!("turn:{}", relay.address()).parse().unwrap();
    let connect_options =
        ConnectOptions { step_timeout: Duration::from_secs(5), trust: TrustStore::system() };
    TurnClient::connect(&uri, &connect_options).await.unwrap()
}

async fn allocate(
    relay: &EmbeddedRelay,
    credential: &Credential,
) -> Result<Allocated, Option<u16>> {
    let mut client = connect(relay).await;
    let allocated = client.allocate(credential).await;
    allocated.map(|address| (client, address)).map_err(|error| error.code())
}

/// A client and its relayed address.
type Allocated = (TurnClient, SocketAddr);

async fn two_clients(relay: &EmbeddedRelay) -> (Allocated, Allocated) {
    let good = credential(SECRET, clock::unix_seconds() + 60);
    (allocate(relay, &good).await.unwrap(), allocate(relay, &good).await.unwrap())
}

#[tokio::test]
async fn data_passes_between_two_relayed_addresses() {
    let relay = start().await;
    let ((mut ana, at_ana), (mut bob, at_bob)) = two_clients(&relay).await;
    ana.create_permission(at_bob.ip()).await.unwrap();
    bob.create_permission(at_ana.ip()).await.unwrap();
    ana.send(at_bob, b"offer").await.unwrap();
    assert_eq!(bob.receive().await.unwrap(), (at_ana, b"offer".to_vec()));
    bob.send(at_ana, b"answer").await.unwrap();
    assert_eq!(ana.receive().await.unwrap(), (at_bob, b"answer".to_vec()));
}

#[tokio::test]
async fn nothing_outside_the_relay_is_reached_or_heard() {
    let relay = start().await;
    let ((mut ana, at_ana), (mut bob, at_bob)) = two_clients(&relay).await;
    let outside = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at_outside = outside.local_addr().unwrap();
    ana.create_permission(at_outside.ip()).await.unwrap(); // permissions are per address, not per port
    bob.create_permission(at_ana.ip()).await.unwrap();

    // Datagrams arrive in order: once the second one is here, the first one would have been.
    ana.send(at_outside, b"escape").await.unwrap();
    ana.send(at_bob, b"inside").await.unwrap();
    assert_eq!(bob.receive().await.unwrap(), (at_ana, b"inside".to_vec()));
    let mut buffer = [0; 100];
    assert!(outside.try_recv_from(&mut buffer).is_err(), "the relay let a datagram out");

    outside.send_to(b"intrusion", at_ana).await.unwrap();
    bob.send(at_ana, b"inside").await.unwrap();
    assert_eq!(ana.receive().await.unwrap(), (at_bob, b"inside".to_vec()));
}

#[tokio::test]
async fn an_address_given_back_is_a_peer_no_longer() {
    let relay = start().await;
    let ((mut ana, at_ana), (mut bob, at_bob)) = two_clients(&relay).await;
    let good = credential(SECRET, clock::unix_seconds() + 60);
    let (mut eve, at_eve) = allocate(&relay, &good).await.unwrap();
    ana.create_permission(at_bob.ip()).await.unwrap();
    eve.create_permission(at_ana.ip()).await.unwrap();
    bob.refresh(Duration::ZERO).await.unwrap();

    // Another process on this machine takes the released port.
    let taken = rebind(at_bob).await;
    ana.send(at_bob, b"escape").await.unwrap();
    ana.send(at_eve, b"inside").await.unwrap();
    assert_eq!(eve.receive().await.unwrap(), (at_ana, b"inside".to_vec()));
    let mut buffer = [0; 100];
    assert!(taken.try_recv_from(&mut buffer).is_err(), "the relay let a datagram out");
}

/// Binds an address as soon as the relay has released it.
async fn rebind(address: SocketAddr) -> UdpSocket {
    loop {
        match UdpSocket::bind(address).await {
            Ok(socket) => return socket,
            Err(_) => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_wrong_or_expired_credential_gets_401() {
    let relay = start().await;
    let now = clock::unix_seconds();
    let mut forged = credential(SECRET, now - 1);
    forged.username = format!("{}:ana", now + 60);
    let nameless = Credential { username: "ana".into(), ..credential(SECRET, now) };
    for (what, refused) in [
        ("wrong secret", credential("another secret", now + 60)),
        ("expired", credential(SECRET, now - 1)),
        ("prolonged", forged),
        ("without an end", nameless),
    ] {
        let code = allocate(&relay, &refused).await.err().unwrap();
        assert_eq!(code, Some(401), "{what}");
    }
    for secret in [SECRET, OLD_SECRET] {
        assert!(allocate(&relay, &credential(secret, now + 60)).await.is_ok());
    }
}

#[tokio::test]
async fn a_user_gets_as_many_allocations_as_its_quota_over_all_its_credentials() {
    let relay = start().await;
    let now = clock::unix_seconds();
    let mut held = Vec::new();
    for number in 0..3 {
        held.push(allocate(&relay, &credential(SECRET, now + 60 + number)).await.unwrap());
    }
    let one_more = credential(SECRET, now + 90);
    assert_eq!(allocate(&relay, &one_more).await.err().unwrap(), Some(486));
    let bo = Credential::issue(SECRET.as_bytes(), &"bo".parse().unwrap(), now + 60);
    assert!(allocate(&relay, &bo).await.is_ok(), "another user");
    held[0].0.refresh(Duration::ZERO).await.unwrap();
    // The relay lets go of an allocation after it has answered.
    while let Err(code) = allocate(&relay, &one_more).await {
        assert_eq!(code, Some(486));
    }
}

#[tokio::test]
async fn a_live_allocation_outlasts_its_credential() {
    let relay = start().await;
    let ends = clock::unix_seconds() + 1;
    let brief = credential(SECRET, ends);
    let (mut client, relayed) = allocate(&relay, &brief).await.unwrap();
    while clock::unix_seconds() <= ends {
        client.refresh(Duration::from_secs(600)).await.unwrap(); // the relay's clock is the event
    }
    client.refresh(Duration::from_secs(600)).await.unwrap();
    client.create_permission(relayed.ip()).await.unwrap();
    assert_eq!(
        allocate(&relay, &brief).await.err().unwrap(),
        Some(401),
        "a new one does not begin"
    );
}

#[tokio::test]
async fn nonsense_is_survived() {
    let relay = start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let magic = [0x21, 0x12, 0xA4, 0x42];
    let lying = [&[0, 3, 0, 200][..], &magic, &[0; 12], &[0, 6, 255, 255]].concat();
    for bytes in [&b""[..], b"x", &[0; 20], &[0x40, 0, 255, 255], &[255; 1500], &lying] {
        socket.send_to(bytes, relay.address()).await.unwrap();
    }
    let mut client = connect(&relay).await;
    assert!(client.binding().await.is_ok());
}

#[tokio::test]
async fn a_taken_port_is_an_error_and_a_stopped_relay_frees_it() {
    let relay = start().await;
    let address = relay.address();
    let secrets = || SecretSource::fixed(Secrets::parse(SECRET).unwrap());
    let taken = EmbeddedRelay::start(address, secrets(), USER_QUOTA).await.err().unwrap();
    assert!(
        matches!(taken, EmbeddedRelayError::Bind { .. }) && taken.to_string().contains("listen on")
    );

    relay.stop().await.unwrap();
    rebind(address).await;
}
