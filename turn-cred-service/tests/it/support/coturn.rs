//! A real coturn on loopback, for as long as a test needs it.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::turn::TurnClient;

/// How many free ports are tried: one may be taken between finding it and using it.
const ATTEMPTS: usize = 3;

/// A running coturn; it ends with the test.
pub(crate) struct Coturn {
    pub(crate) address: SocketAddr,
    process: Child,
    _files: TempDir,
}

impl Coturn {
    /// Starts coturn with a shared secret and waits until it answers.
    pub(crate) async fn start(secret: &str) -> Self {
        for _ in 0..ATTEMPTS {
            let coturn = Self::spawn(secret);
            let mut client = TurnClient::open(coturn.address).await.unwrap();
            if client.bind().await.is_ok() {
                return coturn;
            }
        }
        panic!("coturn did not answer a STUN Binding request");
    }

    fn spawn(secret: &str) -> Self {
        let files = TempDir::new().unwrap();
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        // The secret goes into a file: a command line shows in process lists.
        let config = files.path().join("turnserver.conf");
        std::fs::write(&config, format!("use-auth-secret\nstatic-auth-secret={secret}\n")).unwrap();
        let process = Command::new("turnserver")
            .args(["-c", config.to_str().unwrap()])
            .args(["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "-m", "1"])
            .arg(format!("--listening-port={}", address.port()))
            .args(["--realm=turn.test", "--allow-loopback-peers", "--no-cli"])
            .args(["--no-tls", "--no-dtls", "--no-tcp", "--log-file=stdout"])
            .arg(format!("--pidfile={}", files.path().join("pid").display()))
            .arg(format!("--userdb={}", files.path().join("db").display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("turnserver cannot be started: install coturn (apt-get install coturn)");
        Self { address, process, _files: files }
    }
}

impl Drop for Coturn {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
