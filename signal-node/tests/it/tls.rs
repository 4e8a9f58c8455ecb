//! TLS at the node's own listener, and towards Redis.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::client_async;

use crate::program::{run, text};
use crate::support::node::{SECRET, TestNode};
use crate::support::peer::{TestPeer, request};
use crate::support::process::{NodeProcess, PROGRAM};
use crate::support::redis::TestRedis;

/// The node looks at its files once a second at most, when somebody shakes hands.
const LOOKED_AT_WITHIN: Duration = Duration::from_millis(1_500);

/// Certificate and key of a host, as files.
struct Pair {
    folder: TempDir,
}

impl Pair {
    fn of(host: &str) -> Self {
        let pair = Self { folder: tempfile::tempdir().unwrap() };
        pair.renew(host);
        pair
    }

    fn cert(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    fn key(&self) -> String {
        self.folder.path().join("key.pem").display().to_string()
    }

    fn renew(&self, host: &str) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([host.to_owned()]).unwrap();
        fs::write(self.cert(), cert.pem()).unwrap();
        fs::write(self.key(), signing_key.serialize_pem()).unwrap();
    }

    async fn node(&self) -> TestNode {
        TestNode::start(&[("TLS_CERT_FILE", &self.cert()), ("TLS_KEY_FILE", &self.key())]).await
    }
}

/// Shakes hands with a node as a client that believes only the certificate in this file.
async fn shake_hands(
    node: &TestNode,
    believed: &str,
    host: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(believed).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let stream = TcpStream::connect(node.address()).await.unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn a_room_is_entered_over_tls() {
    let pair = Pair::of("localhost");
    let node = pair.node().await;
    let stream = shake_hands(&node, &pair.cert(), "localhost").await.unwrap();
    let (socket, _) = client_async(request(&node), stream).await.unwrap();
    let mut ana = TestPeer::over(socket);
    ana.say(node.hello()).await;
    ana.expect("welcome").await;
    ana.join("demo", "ana").await;
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart_and_a_half_written_one_is_not() {
    let pair = Pair::of("before.test");
    let node = pair.node().await;
    shake_hands(&node, &pair.cert(), "before.test").await.unwrap();
    let before = pair.folder.path().join("before.pem").display().to_string();
    fs::copy(pair.cert(), &before).unwrap();

    let other = Pair::of("after.test");
    fs::copy(other.cert(), pair.cert()).unwrap();
    // The key is not there yet: whoever comes, also after the node has looked, is shown what goes together.
    let until = Instant::now() + LOOKED_AT_WITHIN;
    while Instant::now() < until {
        shake_hands(&node, &before, "before.test").await.unwrap();
    }
    fs::copy(other.key(), pair.key()).unwrap();
    let renewed = async { while shake_hands(&node, &other.cert(), "after.test").await.is_err() {} };
    timeout(Duration::from_secs(10), renewed).await.expect("the new one is shown");
}

#[tokio::test]
async fn who_speaks_no_tls_or_nothing_is_let_go_within_seconds() {
    let pair = Pair::of("localhost");
    let node = pair.node().await;
    let mut silent = TcpStream::connect(node.address()).await.unwrap();
    let mut left = Vec::new();
    timeout(Duration::from_secs(8), silent.read_to_end(&mut left))
        .await
        .expect("it is closed")
        .unwrap();
    assert!(left.is_empty());
}

#[test]
fn a_certificate_without_its_key_is_a_fault() {
    let (pair, other) = (Pair::of("a.test"), Pair::of("b.test"));
    let (cert, key) = (pair.cert(), other.key());
    let cases = [
        (vec![("SIGNAL_NODE_TLS_CERT_FILE", cert.as_str())], "SIGNAL_NODE_TLS_KEY_FILE is needed"),
        (vec![("SIGNAL_NODE_TLS_KEY_FILE", key.as_str())], "SIGNAL_NODE_TLS_CERT_FILE is needed"),
        (
            vec![
                ("SIGNAL_NODE_TLS_CERT_FILE", cert.as_str()),
                ("SIGNAL_NODE_TLS_KEY_FILE", key.as_str()),
            ],
            "does not match its key",
        ),
        (
            vec![
                ("SIGNAL_NODE_TLS_CERT_FILE", "/nowhere"),
                ("SIGNAL_NODE_TLS_KEY_FILE", key.as_str()),
            ],
            "is not usable",
        ),
    ];
    for (variables, sentence) in cases {
        let output = run(&["check-config"], &variables);
        assert_eq!(output.status.code(), Some(64), "{sentence}");
        assert!(text(&output.stderr).contains(sentence), "{}", text(&output.stderr));
    }
}

/// Starts a node that must refuse to serve.
async fn exit_code(settings: Vec<(&str, &str)>) -> Option<i32> {
    let mut command = tokio::process::Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    command.env_clear().envs(settings).kill_on_drop(true);
    timeout(Duration::from_secs(20), command.output()).await.unwrap().unwrap().status.code()
}

#[tokio::test]
async fn rooms_are_kept_in_a_redis_behind_tls() {
    let pair = Pair::of("localhost");
    let (cert, key) = (pair.cert(), pair.key());
    let (redis, url) = TestRedis::behind_tls(Path::new(&cert), Path::new(&key)).await;
    // Only who shows a certificate of its own is let in, in each database and by whatever client.
    redis.run::<String>(&["CONFIG", "SET", "tls-auth-clients", "yes"]).await;
    let settings = [
        ("SIGNAL_NODE_BACKEND", "redis"),
        ("SIGNAL_NODE_REDIS_URL", url.as_str()),
        ("SIGNAL_NODE_REDIS_CA_FILE", cert.as_str()),
        ("SIGNAL_NODE_REDIS_CERT_FILE", cert.as_str()),
        ("SIGNAL_NODE_REDIS_KEY_FILE", key.as_str()),
        ("SIGNAL_NODE_JWT_SECRET", SECRET),
    ];
    let without_certificate =
        settings.iter().filter(|(name, _)| !name.contains("CERT") && !name.contains("KEY_FILE"));
    let code = exit_code(without_certificate.copied().collect()).await;
    assert_eq!(code, Some(1), "without a certificate");
    let other = Pair::of("localhost");
    let cert = other.cert();
    let with_other_authority = settings.map(|(name, value)| match name {
        "SIGNAL_NODE_REDIS_CA_FILE" => (name, cert.as_str()),
        _ => (name, value),
    });
    let code = exit_code(with_other_authority.to_vec()).await;
    assert_eq!(code, Some(1), "with an authority that Redis is not of");
    let node = NodeProcess::start(&settings).await;
    let mut ana = TestPeer::at(node.address(), &crate::support::node::token("ana")).await;
    ana.join("demo", "ana").await;
    assert_eq!(node.terminate().await, Some(0));
}

#[test]
fn certificates_for_a_redis_without_tls_or_of_no_use_are_a_fault() {
    let pair = Pair::of("a.test");
    let cert = pair.cert();
    let url = ("SIGNAL_NODE_REDIS_URL", "redis://localhost");
    let cases = [
        (vec![url, ("SIGNAL_NODE_REDIS_CA_FILE", cert.as_str())], "without TLS"),
        (vec![url, ("SIGNAL_NODE_REDIS_CA_FILE", "/nowhere")], "cannot be read"),
        (vec![url, ("SIGNAL_NODE_REDIS_CERT_FILE", cert.as_str())], "REDIS_KEY_FILE is needed"),
        (vec![url, ("SIGNAL_NODE_REDIS_KEY_FILE", cert.as_str())], "holds no key"),
        (vec![url, ("SIGNAL_NODE_REDIS_SENTINEL_NAME", "main")], "names no Sentinels"),
        (vec![("SIGNAL_NODE_REDIS_URL", "redis-sentinel://localhost")], "SENTINEL_NAME is needed"),
    ];
    for (variables, sentence) in cases {
        let output = run(&["check-config"], &variables);
        assert_eq!(output.status.code(), Some(64), "{sentence}");
        assert!(text(&output.stderr).contains(sentence), "{}", text(&output.stderr));
    }
}
