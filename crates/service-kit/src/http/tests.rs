use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use axum::routing::get;
use prometheus::{IntCounter, Registry};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

const LOOPBACK: ListenAddr = ListenAddr::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));

async fn start(router: Router) -> (ListenAddr, CancellationToken, JoinHandle<()>) {
    let listener = Listener::bind(&LOOPBACK).await.unwrap();
    let (address, stop) = (listener.address().clone(), CancellationToken::new());
    let serving = tokio::spawn(serve(listener, router, stop.clone()));
    (address, stop, serving)
}

async fn exchange(address: &ListenAddr, request: &str) -> String {
    let mut answer = String::new();
    match address {
        ListenAddr::Tcp(address) => {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
        }
        ListenAddr::Unix(path) => {
            let mut stream = UnixStream::connect(path).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.read_to_string(&mut answer).await.unwrap();
        }
    }
    answer
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

#[test]
fn a_listen_address_prints_as_it_is_read() {
    for text in ["127.0.0.1:8080", "[::]:0", "unix:/run/x.sock"] {
        assert_eq!(text.parse::<ListenAddr>().unwrap().to_string(), text);
    }
    assert_eq!("localhost:1".parse::<ListenAddr>().unwrap().to_string(), "127.0.0.1:1");
    for text in ["", "8080", "unix:", "example.org:80", ":80"] {
        assert!(text.parse::<ListenAddr>().is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_request_by_tcp_knows_its_peer() {
    let peer = get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.ip().to_string());
    let (address, _stop, _serving) = start(Router::new().route("/", peer)).await;
    assert!(exchange(&address, &request("/")).await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn a_socket_file_is_private_and_gone_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toy.sock");
    let address = ListenAddr::Unix(path.clone());
    let listener = Listener::bind(&address).await.unwrap();
    let stop = CancellationToken::new();
    let router = Router::new().route("/", get(async || "hello"));
    let serving = tokio::spawn(serve(listener, router, stop.clone()));

    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(exchange(&address, &request("/")).await.ends_with("hello"));
    assert!(Listener::bind(&address).await.is_err(), "a living socket is not taken over");
    stop.cancel();
    serving.await.unwrap();
    assert!(!path.exists());
}

#[tokio::test]
async fn a_stale_socket_file_is_replaced_and_any_other_file_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let stale = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    assert!(Listener::bind(&ListenAddr::Unix(stale)).await.is_ok());

    let other = dir.path().join("precious");
    std::fs::write(&other, "data").unwrap();
    let refused = Listener::bind(&ListenAddr::Unix(other.clone())).await.unwrap_err();
    assert!(refused.to_string().contains("precious"), "{refused}");
    assert_eq!(std::fs::read_to_string(other).unwrap(), "data");
}

#[tokio::test]
async fn a_request_under_way_ends_before_serving_does() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (inside, release) = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = get(async move || {
        inside.notify_one();
        release.notified().await;
        "done"
    });
    let (address, stop, serving) = start(Router::new().route("/", slow)).await;
    let asked = request("/");
    let answer = tokio::spawn(async move { exchange(&address, &asked).await });
    entered.notified().await;
    stop.cancel();
    leave.notify_one();
    assert!(answer.await.unwrap().ends_with("done"));
    serving.await.unwrap();
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let (address, _stop, _serving) = start(Router::new()).await;
    let headers = "X-Many: 1\r\n".repeat(MAX_HEADERS + 1);
    let answer = exchange(&address, &format!("GET / HTTP/1.1\r\n{headers}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_finishes_its_headers_is_closed() {
    let (address, _stop, _serving) = start(Router::new()).await;
    let began = tokio::time::Instant::now();
    exchange(&address, "GET / HTTP/1.1\r\nHost:").await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_given_up() {
    let echo = axum::routing::post(async |body: String| body);
    let (address, _stop, _serving) = start(Router::new().route("/", echo)).await;
    let began = tokio::time::Instant::now();
    let head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    let answer = exchange(&address, &format!("{head}half")).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(10) && took < Duration::from_secs(11), "{took:?}");
    assert!(exchange(&address, &format!("{head}123456789")).await.ends_with("123456789"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_taken_is_given_up() {
    let large = get(async || vec![b'x'; 64 << 20]);
    let (address, _stop, _serving) = start(Router::new().route("/", large)).await;
    let ListenAddr::Tcp(address) = address else { panic!("{address}") };
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = tokio::time::Instant::now();
    stream.write_all(request("/").as_bytes()).await.unwrap();
    tokio::time::sleep_until(began + Duration::from_secs(21)).await;
    let mut taken = Vec::new();
    // Bytes that the system had taken arrive, and then the end of the connection.
    let _ = stream.read_to_end(&mut taken).await;
    assert!((1..64 << 20).contains(&taken.len()), "{} bytes", taken.len());
}

#[tokio::test]
async fn connections_of_one_address_are_bounded_and_a_proxy_is_not() {
    let bounded = async |proxies: &[&str]| {
        let networks = proxies.iter().map(|network| network.parse().unwrap()).collect();
        let bounds = ConnectionBounds { most: 100, most_per_address: Some(2), proxies: networks };
        let listener = Listener::bind(&LOOPBACK).await.unwrap().with_bounds(bounds);
        let address = listener.address().clone();
        let router = Router::new().route("/", get(async || "hello"));
        tokio::spawn(serve(listener, router, CancellationToken::new()));
        let ListenAddr::Tcp(tcp) = address else { panic!("{address}") };
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(tcp).await.unwrap();
            // One that is answered is counted.
            let keep = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
            stream.write_all(keep.as_bytes()).await.unwrap();
            assert!(stream.read(&mut [0; 1_000]).await.unwrap() > 0);
            held.push(stream);
        }
        let mut third = TcpStream::connect(tcp).await.unwrap();
        let mut answer = String::new();
        if proxies.is_empty() {
            // It is refused before it has said anything.
            third.read_to_string(&mut answer).await.unwrap();
        } else {
            third.write_all(request("/").as_bytes()).await.unwrap();
            third.read_to_string(&mut answer).await.unwrap();
        }
        drop(held);
        (tcp, answer)
    };
    let (address, third) = bounded(&[]).await;
    assert!(third.starts_with("HTTP/1.1 429") && third.contains("Retry-After"), "{third}");
    // Once the others have gone there is room for it.
    loop {
        let mut next = TcpStream::connect(address).await.unwrap();
        let mut answer = String::new();
        // A refusal may arrive as a reset, since what was said is not read.
        let said = next.write_all(request("/").as_bytes()).await;
        if said.is_ok()
            && next.read_to_string(&mut answer).await.is_ok()
            && answer.contains("200 OK")
        {
            break;
        }
    }
    let (_, third) = bounded(&["127.0.0.0/8"]).await;
    assert!(third.starts_with("HTTP/1.1 200"), "{third}");
}

#[tokio::test]
async fn a_socket_file_has_the_mode_that_lets_a_proxy_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.sock");
    let listener = Listener::bind(&ListenAddr::Unix(path.clone())).await.unwrap();
    let mode = || path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    let _listener = listener.with_mode("660".parse().unwrap()).unwrap();
    assert_eq!(mode(), 0o660);
    for wrong in ["", "8", "rw", "060", "7777", "-660"] {
        assert!(wrong.parse::<SocketMode>().is_err(), "{wrong}");
    }
    assert_eq!("0660".parse::<SocketMode>(), "660".parse());
}

#[tokio::test]
async fn two_hosts_are_refused() {
    let (address, _stop, _serving) = start(Router::new().route("/", get(async || "hello"))).await;
    let asked = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n";
    assert!(exchange(&address, asked).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_problem_says_what_and_when_to_try_again() {
    let response = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited")
        .detail("slow down")
        .retry_after(Duration::from_millis(1001))
        .into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "2");
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "type": "urn:signal-cluster:problem:rate_limited",
            "title": "Too Many Requests",
            "status": 429,
            "code": "rate_limited",
            "detail": "slow down",
        })
    );
    let unauthorized = Problem::new(StatusCode::UNAUTHORIZED, "unauthorized").into_response();
    assert_eq!(unauthorized.headers()["www-authenticate"], "Bearer");
}

#[test]
fn a_problem_carries_members_that_other_clients_look_for() {
    let problem = Problem::new(StatusCode::NOT_FOUND, "not_found").member("retry_after_ms", 20);
    assert_eq!(
        problem.to_json(),
        serde_json::json!({
            "type": "urn:signal-cluster:problem:not_found",
            "title": "Not Found",
            "status": 404,
            "code": "not_found",
            "retry_after_ms": 20,
        })
    );
}

#[tokio::test]
async fn probes_follow_the_life_of_the_service_and_liveness_does_not() {
    let health = Health::new();
    let (address, _stop, _serving) = start(admin_router(Registry::new(), health.clone())).await;
    let status = async |path: &str| exchange(&address, &request(path)).await[9..12].to_owned();
    let all = async || [status("/livez").await, status("/startupz").await, status("/readyz").await];

    assert_eq!(all().await, ["200", "503", "503"]);
    health.ready();
    assert_eq!(all().await, ["200", "200", "200"]);
    health.not_ready("draining");
    assert_eq!(all().await, ["200", "200", "503"]);
    assert!(exchange(&address, &request("/readyz")).await.contains("draining"));
}

#[tokio::test]
async fn metrics_are_in_text_format() {
    let registry = Registry::new();
    let counter = IntCounter::new("toy_turns_total", "Turns taken.").unwrap();
    registry.register(Box::new(counter.clone())).unwrap();
    counter.inc();
    let (address, _stop, _serving) = start(admin_router(registry, Health::new())).await;
    let answer = exchange(&address, &request("/metrics")).await;
    assert!(answer.contains("text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains("\ntoy_turns_total 1\n"), "{answer}");
}
