//! Issued credentials at a real coturn.

use std::io::ErrorKind;
use std::net::{Ipv6Addr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use service_kit::clock;
use tokio::time::interval;
use turn_cred_service::credential::Credential;
use turn_cred_service::pool::IceUri;
use turn_cred_service::relay::{ConnectOptions, Family, RelayError, TrustStore, TurnClient};

use crate::support::coturn::{Coturn, connect_options, has_ipv6};
use crate::support::nat::{Nat, Reuse};
use crate::support::{API_KEY, ApiResponse, TURN_SECRET, TestService};

/// Timeout of a client that gets no response.
const SHORT: Duration = Duration::from_millis(200);

/// Issues a credential with this expiry.
fn issue(secret: &str, expiry: u64) -> Credential {
    Credential::issue(secret.as_bytes(), &"ana".parse().unwrap(), expiry)
}

/// Issues a credential that is valid for a minute.
fn good() -> Credential {
    issue(TURN_SECRET, clock::unix_seconds() + 60)
}

async fn connect(coturn: &Coturn, uri: &IceUri) -> TurnClient {
    TurnClient::connect(uri, &coturn.connect_options()).await.unwrap()
}

async fn allocate(coturn: &Coturn, credential: &Credential) -> Result<(), Option<u16>> {
    let mut client = connect(coturn, &coturn.udp()).await;
    client.allocate(credential).await.map(drop).map_err(|error| error.code())
}

#[tokio::test]
async fn an_issued_credential_gets_an_allocation_and_data_through() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let service = TestService::start([]).await;
    let (ana, bob) = (
        ApiResponse::of(service.ice_servers("ana")).await,
        ApiResponse::of(service.ice_servers("bob")).await,
    );

    let mut clients = Vec::new();
    for answer in [&ana, &bob] {
        let mut client = connect(&coturn, &coturn.udp()).await;
        let (username, password) = answer.credential();
        let credential = Credential { username: username.into(), password: password.into() };
        let relayed = client.allocate(&credential).await.unwrap();
        clients.push((client, relayed));
    }
    let [(ana, from), (bob, to)] = &mut clients[..] else { unreachable!("two clients") };
    ana.create_permission(to.ip()).await.unwrap();
    bob.create_permission(from.ip()).await.unwrap();
    ana.send(*to, b"hello").await.unwrap();
    assert_eq!(bob.receive().await.unwrap(), (*from, b"hello".to_vec()));
}

#[tokio::test]
async fn a_wrong_or_expired_credential_gets_401() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let now = clock::unix_seconds();
    let good = issue(TURN_SECRET, now + 60);
    assert_eq!(allocate(&coturn, &good).await, Ok(()));

    let wrong = issue("another secret", now + 60);
    assert_eq!(allocate(&coturn, &wrong).await, Err(Some(401)));
    let expired = issue(TURN_SECRET, now - 1);
    assert_eq!(allocate(&coturn, &expired).await, Err(Some(401)));
    let prolonged = Credential { username: format!("{}:ana", now + 3600), ..good };
    assert_eq!(allocate(&coturn, &prolonged).await, Err(Some(401)));
}

#[tokio::test]
async fn an_allocation_lives_and_ends_the_same_over_udp_tcp_and_tls() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let mut clients = Vec::new();
    for uri in [coturn.udp(), coturn.tcp(), coturn.tls()] {
        let mut client = connect(&coturn, &uri).await;
        let seen = client.binding().await.unwrap();
        assert!(seen.ip().is_loopback(), "{uri}: {seen}");
        let relayed = client.allocate(&good()).await.unwrap();
        assert!(relayed.ip().is_loopback(), "{uri}: {relayed}");
        client.create_permission(relayed.ip()).await.unwrap();
        client.refresh(Duration::from_secs(600)).await.unwrap();
        client.refresh(Duration::ZERO).await.unwrap();
        clients.push(client); // closing a connection would end its allocation too
    }
    coturn.logs(": delete: realm=", clients.len()).await;
}

#[tokio::test]
async fn data_comes_out_of_a_stream_in_the_pieces_it_went_in() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let mut client = connect(&coturn, &coturn.tls()).await;
    let relayed = client.allocate(&good()).await.unwrap();
    client.create_permission(relayed.ip()).await.unwrap();
    let pieces = [vec![1; 1], vec![2; 1000], vec![3; 3], vec![4; 1200]];
    for piece in &pieces {
        client.send(relayed, piece).await.unwrap();
    }
    for piece in pieces {
        assert_eq!(client.receive().await.unwrap(), (relayed, piece));
    }
}

#[tokio::test]
async fn a_relay_on_ipv6_passes_data_between_ipv6_addresses() {
    if !has_ipv6() {
        return eprintln!("not tested: this machine has no IPv6");
    }
    let coturn =
        Coturn::with_lines(Ipv6Addr::LOCALHOST, TURN_SECRET, "allow-loopback-peers\n").await;
    let mut client = connect(&coturn, &coturn.udp()).await;
    let relayed = client.allocate_in(Family::V6, &good()).await.unwrap();
    assert_eq!(relayed.ip(), Ipv6Addr::LOCALHOST);
    client.create_permission(relayed.ip()).await.unwrap();
    client.send(relayed, b"hello").await.unwrap();
    assert_eq!(client.receive().await.unwrap(), (relayed, b"hello".to_vec()));
}

#[tokio::test]
async fn a_family_that_the_relay_lacks_is_refused() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let mut client = connect(&coturn, &coturn.udp()).await;
    let error = client.allocate_in(Family::V6, &good()).await.unwrap_err();
    assert_eq!(error.code(), Some(440), "{error}");
}

#[tokio::test]
async fn an_allocation_mismatch_is_retried_from_another_port() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let nat = Nat::start(&coturn, Reuse::EverySecond).await;
    for _ in 0..4 {
        let mut client = connect(&coturn, &nat.udp()).await;
        let relayed = client.allocate(&good()).await.unwrap();
        client.create_permission(relayed.ip()).await.unwrap();
        client.refresh(Duration::ZERO).await.unwrap();
    }
    assert!(coturn.logged("error 437") > 0, "no port was refused");
}

#[tokio::test]
async fn four_ports_are_tried_and_no_more() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let nat = Nat::start(&coturn, Reuse::Always).await;
    let mut client = connect(&coturn, &nat.udp()).await;
    assert_eq!(client.allocate(&good()).await.unwrap_err().code(), Some(437));
    assert_eq!(nat.clients(), 1 + 4);
}

#[tokio::test]
async fn a_second_allocation_on_one_port_is_refused_and_the_first_one_stays() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let mut client = connect(&coturn, &coturn.udp()).await;
    let seen = client.binding().await.unwrap();
    client.allocate(&good()).await.unwrap();
    assert_eq!(client.allocate(&good()).await.unwrap_err().code(), Some(437));
    assert_eq!(client.binding().await.unwrap(), seen);
    client.refresh(Duration::from_secs(600)).await.unwrap();
}

#[tokio::test]
async fn a_nonce_that_has_become_stale_is_replaced() {
    let coturn = Coturn::with_lines([127, 0, 0, 1], TURN_SECRET, "stale-nonce=1\n").await;
    let mut client = connect(&coturn, &coturn.udp()).await;
    client.allocate(&good()).await.unwrap();
    let refreshing = async {
        let mut pace = interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            client.refresh(Duration::from_secs(600)).await.unwrap();
        }
    };
    tokio::select! {
        () = coturn.logs("error 438", 1) => {}
        () = refreshing => {}
    }
}

#[tokio::test]
async fn a_relay_that_does_not_prove_its_name_is_refused() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let by_address = TurnClient::connect(&coturn.tls_by_address(), &coturn.connect_options()).await;
    let Err(RelayError::Tls(error)) = by_address else { panic!("it was believed") };
    assert!(error.to_string().contains("only valid for"), "{error}");
    let unknown = TurnClient::connect(&coturn.tls(), &connect_options(TrustStore::system())).await;
    let Err(RelayError::Tls(error)) = unknown else { panic!("it was believed") };
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[tokio::test]
async fn a_silent_relay_fails_after_the_step_timeout() {
    let connect_options = ConnectOptions { step_timeout: SHORT, trust: TrustStore::system() };
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    for url in [
        format!("turn:{}?transport=udp", udp.local_addr().unwrap()),
        format!("turn:{}?transport=tcp", tcp.local_addr().unwrap()),
    ] {
        let began = Instant::now();
        let mut client =
            TurnClient::connect(&url.parse().unwrap(), &connect_options).await.unwrap();
        assert!(matches!(client.allocate(&good()).await, Err(RelayError::TimedOut)), "{url}");
        assert!(began.elapsed() >= SHORT, "{url}");
    }
    let url = format!("turns:{}", tcp.local_addr().unwrap());
    let tls = TurnClient::connect(&url.parse().unwrap(), &connect_options).await;
    assert!(matches!(tls, Err(RelayError::TimedOut)));
}

#[tokio::test]
async fn a_closed_port_is_noticed_without_waiting() {
    let patient =
        ConnectOptions { step_timeout: Duration::from_secs(3600), trust: TrustStore::system() };
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("turn:{closed}"), format!("turn:{closed}?transport=tcp")] {
        let found = match TurnClient::connect(&url.parse().unwrap(), &patient).await {
            Ok(mut client) => client.allocate(&good()).await.map(drop),
            Err(error) => Err(error),
        };
        let Err(RelayError::Socket(error)) = found else { panic!("{url}: {found:?}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{url}");
    }
}

#[tokio::test]
async fn an_unusable_url_and_a_dead_relay_give_different_errors() {
    let connect = async |url: &str| {
        TurnClient::connect(&url.parse().unwrap(), &connect_options(TrustStore::system()))
            .await
            .map(drop)
    };
    let datagrams = connect("turns:127.0.0.1:5349?transport=udp").await;
    assert!(matches!(datagrams, Err(RelayError::DtlsUnsupported)), "{datagrams:?}");
    // RFC 6761 §6.4: this name never resolves.
    let nowhere = connect("turn:relay.invalid").await;
    assert!(matches!(nowhere, Err(RelayError::Resolve(_))), "{nowhere:?}");
}

/// Subjects of every form that a token or an API key may contain, edge cases first.
fn subjects() -> Vec<String> {
    let odd = [
        "a",
        "0",
        "1700000000",
        "union",
        "select",
        "union.select",
        "UNION-SELECT",
        "..",
        "-",
        "~",
        "_",
    ];
    let long = ["x".repeat(128), "9".repeat(128), "~._-".repeat(32)];
    let mut rng = fastrand::Rng::with_seed(7);
    let letters: Vec<char> =
        ('a'..='z').chain('A'..='Z').chain('0'..='9').chain("._~-".chars()).collect();
    let drawn = std::iter::repeat_with(|| {
        let length = rng.usize(1..=128);
        (0..length).map(|_| *rng.choice(&letters).unwrap()).collect::<String>()
    });
    odd.map(str::to_owned).into_iter().chain(long).chain(drawn.take(186)).collect()
}

#[tokio::test]
async fn the_relay_accepts_every_issued_subject_and_ttl() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let settings = [("TURN_CRED_API_KEYS", API_KEY), ("TURN_CRED_RATE_PER_SUBJECT", "1000/s")];
    let service = TestService::start(settings).await;
    let subjects = subjects();
    assert_eq!(subjects.len(), 200);
    let mut clients = Vec::new();
    for (number, subject) in subjects.iter().enumerate() {
        let ttl = ["", "&ttl=0", "&ttl=60", "&ttl=86400", "&ttl=18446744073709551615"][number % 5];
        let path = format!("/turn?service=turn&key={API_KEY}&username={subject}{ttl}");
        let answer = ApiResponse::of(reqwest::Client::new().get(service.at(&path))).await;
        assert_eq!(answer.status, 200, "{subject}: {}", answer.json);
        let text = |name: &str| answer.json[name].as_str().unwrap().to_owned();
        let credential = Credential { username: text("username"), password: text("password") };
        let mut client = connect(&coturn, &coturn.udp()).await;
        let allocated = client.allocate(&credential).await.map_err(|error| error.code());
        assert!(allocated.is_ok(), "{subject}: {allocated:?}");
        // Keep the client: while the relay remembers its port, the next one must not get it.
        clients.push(client);
    }
    assert_eq!(coturn.logged("error 400"), 0, "none was taken for an attack");
}

#[tokio::test]
async fn subjects_that_would_break_a_username_reach_the_relay_as_pseudonyms() {
    let service = TestService::start([("TURN_CRED_API_KEYS", API_KEY)]).await;
    let ask = async |subject: &str| {
        let path = format!("/turn?service=turn&key={API_KEY}&username={subject}");
        ApiResponse::of(reqwest::Client::new().get(service.at(&path))).await
    };
    for subject in ["a%20b", "a%3Ab", "a%27b", "%22", "%5C", "a%0Ab", "%C3%A4", &"x".repeat(129)] {
        let answer = ask(subject).await;
        assert_eq!(answer.status.as_u16(), 200, "{subject}");
        let username = answer.json["username"].as_str().unwrap();
        let plain = |b: u8| b.is_ascii_hexdigit() || b == b':';
        assert!(username.bytes().all(plain), "{username}");
    }
    let long = ask(&"x".repeat(1021)).await;
    assert_eq!((long.status.as_u16(), long.code()), (400, "bad_request"));
}
