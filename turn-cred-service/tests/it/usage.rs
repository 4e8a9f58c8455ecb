//! Usage is counted, limited, and cut off, as a real coturn reports it.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};
use turn_cred_service::credential::Credential;
use turn_cred_service::relay::{TrustStore, TurnClient};

use crate::support::coturn::{Coturn, connect_options};
use crate::support::redis::Redis;
use crate::support::{ApiResponse, TestService, admin_token};

/// Bytes per datagram.
const PAYLOAD: usize = 1_000;

/// Two clients that may send to each other through a relay.
struct Call {
    clients: [TurnClient; 2],
    addresses: [std::net::SocketAddr; 2],
}

impl Call {
    async fn between(coturn: &Coturn, ana: &ApiResponse, bob: &ApiResponse) -> Self {
        let mut clients = Vec::new();
        for answer in [ana, bob] {
            let (username, password) = answer.credential();
            let credential =
                Credential { username: username.to_owned(), password: password.to_owned() };
            let connect_options = connect_options(TrustStore::system());
            let mut client = TurnClient::connect(&coturn.udp(), &connect_options).await.unwrap();
            let relayed = client.allocate(&credential).await.unwrap();
            clients.push((client, relayed));
        }
        let Ok([(mut ana, from), (mut bob, to)]) = <[_; 2]>::try_from(clients) else {
            unreachable!("two clients")
        };
        ana.create_permission(to.ip()).await.unwrap();
        bob.create_permission(from.ip()).await.unwrap();
        Self { clients: [ana, bob], addresses: [from, to] }
    }

    /// Sends datagrams from Ana to Bob, waiting for each, so that none is lost.
    async fn talk(&mut self, datagrams: usize) {
        let [ana, bob] = &mut self.clients;
        for _ in 0..datagrams {
            ana.send(self.addresses[1], &[7; PAYLOAD]).await.unwrap();
            bob.receive().await.unwrap();
        }
    }

    /// Ends both allocations, which makes coturn report the remaining traffic.
    async fn end(mut self) {
        for client in &mut self.clients {
            client.refresh(Duration::ZERO).await.unwrap();
        }
    }
}

/// Sends a request with the right `admin`.
async fn administer(service: &TestService, method: Method, path: &str, body: Value) -> ApiResponse {
    let request = Client::new().request(method, service.at(path)).bearer_auth(admin_token("op"));
    ApiResponse::of(request.json(&body)).await
}

async fn usage(service: &TestService, of: &str) -> u64 {
    let answer = administer(service, Method::GET, &format!("/v1/{of}/usage"), json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.json);
    answer.json["bytes"].as_u64().unwrap()
}

/// Requests a credential on the internal listener, as a node does for a member of a room.
async fn ask_as_node(service: &TestService, subject: &str, room: &str) -> ApiResponse {
    let url = format!(
        "http://{}/internal/v1/ice-servers",
        service.running.addresses.internal.clone().unwrap()
    );
    let request = Client::new().post(url).bearer_auth(crate::support::API_KEY);
    ApiResponse::of(request.json(&json!({"subject": subject, "room": room}))).await
}

#[tokio::test]
async fn relayed_bytes_count_for_subject_and_room_up_to_the_budget() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let settings = [
        ("TURN_CRED_BUDGET_PER_SUBJECT", "300KiB/24h"),
        ("TURN_CRED_INTERNAL_LISTEN", "127.0.0.1:0"),
        ("TURN_CRED_INTERNAL_TOKEN", crate::support::API_KEY),
    ];
    let service = TestService::with_redis(&redis, &coturn.udp().to_string(), &settings).await;
    service.wait_until_counting().await;
    let ana = ask_as_node(&service, "ana", "demo").await;
    let bob = ask_as_node(&service, "bob", "demo").await;
    let mut call = Call::between(&coturn, &ana, &bob).await;
    call.talk(400).await;
    call.end().await;
    // Ana sent 400 datagrams plus headers; Bob received them.
    let least = 400 * PAYLOAD as u64;
    let mut counted = 0;
    while counted < least {
        counted = usage(&service, "subjects/ana").await;
    }
    assert!(counted < least + 400 * 100, "{counted}");
    while usage(&service, "rooms/demo").await < 2 * least {}
    // Both are over budget now, on either listener.
    let mut refused = ask_as_node(&service, "ana", "demo").await;
    while refused.status == 200 {
        refused = ask_as_node(&service, "ana", "demo").await;
    }
    assert_eq!((refused.status.as_u16(), refused.code()), (429, "over_budget"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() <= 86_400);
    assert_eq!(ApiResponse::of(service.ice_servers("bob")).await.code(), "over_budget");
    assert_eq!(ApiResponse::of(service.ice_servers("cy")).await.status, 200);
}

#[tokio::test]
async fn a_denied_subject_gets_nothing_and_loses_its_allocations_and_comes_back_when_allowed() {
    let redis = Redis::start().await;
    let (coturn, console, password) = Coturn::with_console(&redis).await;
    let pools = format!(
        "[[pools]]\nregion = \"eu\"\n[[pools.relays]]\nuris = [\"{}\"]\nconsole = \"{console}\"\n\
         console_password_file = {:?}\n",
        coturn.udp(),
        password.to_str().unwrap()
    );
    let url = redis.url();
    let settings = [
        ("TURN_CRED_REDIS_URL", url.as_str()),
        ("TURN_CRED_REALM", "turn.test"),
        ("TURN_CRED_SECRET", ""),
        ("TURN_CRED_RATE_PER_SUBJECT", "100000/s"),
        ("TURN_CRED_RATE_PER_IP", "100000/s"),
    ];
    let service = TestService::with_file(&pools, settings).await;
    let (ana, bob) = (
        ApiResponse::of(service.ice_servers("ana")).await,
        ApiResponse::of(service.ice_servers("bob")).await,
    );
    let mut call = Call::between(&coturn, &ana, &bob).await;
    call.talk(1).await;

    let body = json!({"seconds": 60});
    let denial = administer(&service, Method::PUT, "/v1/subjects/ana/denial", body).await;
    assert_eq!(denial.status, 200, "{}", denial.json);
    assert_eq!(denial.json["relays"], json!([{"relay": "eu-1", "ended": 1}]));
    let [ana, bob] = &mut call.clients;
    assert_eq!(ana.refresh(Duration::from_secs(600)).await.unwrap_err().code(), Some(437));
    bob.refresh(Duration::from_secs(600)).await.unwrap();

    let mut refused = ApiResponse::of(service.ice_servers("ana")).await;
    while refused.status == 200 {
        refused = ApiResponse::of(service.ice_servers("ana")).await;
    }
    assert_eq!((refused.status.as_u16(), refused.code()), (403, "denied"));
    let lifted = administer(&service, Method::DELETE, "/v1/subjects/ana/denial", json!({})).await;
    assert_eq!(lifted.status, 204);
    while ApiResponse::of(service.ice_servers("ana")).await.status != 200 {}
}

#[tokio::test]
async fn operators_alone_deny_and_look_up() {
    let redis = Redis::start().await;
    let service = TestService::with_redis(&redis, "turn:127.0.0.1:3478", &[]).await;
    for path in ["/v1/subjects/ana/usage", "/v1/rooms/demo/usage", "/v1/relays"] {
        let plain = Client::new().get(service.at(path)).bearer_auth(crate::support::token("ana"));
        let refused = ApiResponse::of(plain).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "forbidden"), "{path}");
    }
    let alone = TestService::start([]).await;
    let answer = administer(&alone, Method::GET, "/v1/subjects/ana/usage", json!({})).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "unavailable"));
    let relays = administer(&alone, Method::GET, "/v1/relays", json!({})).await;
    assert_eq!(relays.json[0]["standing"], "healthy");
}

#[tokio::test]
async fn the_program_drains_a_relay_and_uses_it_again() {
    let redis = Redis::start().await;
    let pools = "[[pools]]\nregion = \"eu\"\n[[pools.relays]]\nuris = [\"turn:a.example\"]\n\
                 [[pools.relays]]\nuris = [\"turn:b.example\"]\n";
    let url = redis.url();
    let settings = [
        ("TURN_CRED_REDIS_URL", url.as_str()),
        ("TURN_CRED_REALM", "turn.test"),
        ("TURN_CRED_SECRET", ""),
        ("TURN_CRED_RATE_PER_SUBJECT", "100000/s"),
        ("TURN_CRED_RATE_PER_IP", "100000/s"),
    ];
    let service = TestService::with_file(pools, settings).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), pools).unwrap();
    let config = file.path().to_str().unwrap();
    let variables = [("TURN_CRED_REDIS_URL", url.as_str()), ("TURN_CRED_REALM", "turn.test")];
    let run = async |arguments: &[&str]| {
        let arguments = [&["--config", config], arguments].concat();
        let (output, stdout, stderr) = crate::program::run(&arguments, &variables).await;
        (output.status.code(), stdout + &stderr)
    };
    let (code, told) = run(&["drain", "eu-1"]).await;
    assert_eq!(told, "relay eu-1 gets no new clients; running calls continue\n");
    assert_eq!(code, Some(0));
    let hosts =
        async || ApiResponse::of(service.ice_servers("ana")).await.json["iceServers"].to_string();
    while hosts().await.contains("a.example") {}
    assert!(hosts().await.contains("b.example"));
    assert_eq!(
        run(&["undrain", "eu-1"]).await,
        (Some(0), "relay eu-1 gets new clients again\n".to_owned())
    );
    while !hosts().await.contains("a.example") {}
    let (code, told) = run(&["drain", "mars"]).await;
    assert_eq!(code, Some(1));
    assert!(told.contains("there is no relay mars"), "{told}");
}
