//! A TCP way to a server that can fall silent, or lead elsewhere from one moment on, without closing a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What happens to the bytes of the connections that are open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connections {
    Pass,
    Swallow,
}

/// A listener in front of a server; it ends with the runtime of the test.
pub(crate) struct Way {
    port: u16,
    target: Arc<AtomicU16>,
    /// Of the connections that are open now; later ones get a channel of their own.
    open: Arc<std::sync::Mutex<watch::Sender<Connections>>>,
}

impl Way {
    /// Starts to listen; leads to `target`.
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let target = Arc::new(AtomicU16::new(target));
        let open = Arc::new(std::sync::Mutex::new(watch::Sender::new(Connections::Pass)));
        tokio::spawn(accept(listener, target.clone(), open.clone()));
        Self { port, target, open }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Swallows what comes on the connections that are open, as after a power loss of the host. New ones work.
    pub(crate) fn silence(&self) {
        let mut open = self.open.lock().expect("nobody panicked");
        open.send_replace(Connections::Swallow);
        *open = watch::Sender::new(Connections::Pass);
    }

    /// Leads new connections to another server, as a name that was moved; old ones go on.
    pub(crate) fn lead_to(&self, target: u16) {
        self.target.store(target, Ordering::Relaxed);
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<AtomicU16>,
    open: Arc<std::sync::Mutex<watch::Sender<Connections>>>,
) {
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(("127.0.0.1", target.load(Ordering::Relaxed))).await
        else {
            continue;
        };
        let state = open.lock().expect("nobody panicked").subscribe();
        let ((from_client, to_client), (from_server, to_server)) =
            (client.into_split(), server.into_split());
        tokio::spawn(pass(from_client, to_server, state.clone()));
        tokio::spawn(pass(from_server, to_client, state));
    }
}

/// Passes bytes on until an end closes. A silent connection is kept open, since a reset would tell of it.
async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: watch::Receiver<Connections>,
) {
    let mut bytes = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let swallows = *state.borrow() == Connections::Swallow;
        if !swallows && to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    if *state.borrow() == Connections::Swallow {
        std::future::pending::<()>().await;
    }
}
