//! A NAT in front of a relay that maps several clients to the same port.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use service_kit::clock;
use tokio::net::UdpSocket;
use turn_cred_service::credential::Credential;
use turn_cred_service::pool::IceUri;
use turn_cred_service::relay::TurnClient;

use super::TURN_SECRET;
use super::coturn::Coturn;

/// Position of the transaction id in a STUN message.
const TRANSACTION: Range<usize> = 8..20;

/// The clients that share the first client's port.
#[derive(Clone, Copy)]
pub(crate) enum Reuse {
    /// Every second client; the others get their own port.
    EverySecond,
    /// Every client.
    Always,
}

/// Forwards datagrams between clients and one relay; stopped on drop.
pub(crate) struct Nat {
    address: SocketAddr,
    clients: Arc<AtomicUsize>,
}

impl Nat {
    /// Starts a NAT whose first client has left an allocation behind.
    pub(crate) async fn start(coturn: &Coturn, reuse: Reuse) -> Self {
        let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let (address, clients) = (inside.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        tokio::spawn(forward(inside, coturn.address, reuse, Arc::clone(&clients)));
        let nat = Self { address, clients };
        let mut gone = TurnClient::connect(&nat.udp(), &coturn.connect_options()).await.unwrap();
        let (subject, expiry) = ("gone".parse().unwrap(), clock::unix_seconds() + 60);
        let credential = Credential::issue(TURN_SECRET.as_bytes(), &subject, expiry);
        gone.allocate(&credential).await.unwrap();
        nat
    }

    /// URL of the relay behind the NAT.
    pub(crate) fn udp(&self) -> IceUri {
        format!("turn:{}?transport=udp", self.address).parse().unwrap()
    }

    /// Number of client addresses seen.
    pub(crate) fn clients(&self) -> usize {
        self.clients.load(Ordering::Relaxed)
    }
}

/// A port towards the relay. Responses are routed by transaction id (RFC 8489 §5).
#[derive(Clone)]
struct Outside {
    socket: Arc<UdpSocket>,
    asked: Arc<Mutex<HashMap<Vec<u8>, SocketAddr>>>,
}

impl Outside {
    async fn open(relay: SocketAddr, inside: Arc<UdpSocket>) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        socket.connect(relay).await.unwrap();
        let outside = Self { socket, asked: Arc::default() };
        tokio::spawn(outside.clone().answer(inside));
        outside
    }

    async fn ask(&self, message: &[u8], from: SocketAddr) {
        self.asked.lock().unwrap().insert(message[TRANSACTION].to_vec(), from);
        let _ = self.socket.send(message).await;
    }

    async fn answer(self, inside: Arc<UdpSocket>) {
        let mut buffer = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut buffer).await {
            let client = self.asked.lock().unwrap().get(&buffer[TRANSACTION]).copied();
            if let Some(client) = client {
                let _ = inside.send_to(&buffer[..length], client).await;
            }
        }
    }
}

async fn forward(
    inside: Arc<UdpSocket>,
    relay: SocketAddr,
    reuse: Reuse,
    clients: Arc<AtomicUsize>,
) {
    let shared = Outside::open(relay, Arc::clone(&inside)).await;
    let mut known: HashMap<SocketAddr, Outside> = HashMap::new();
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = inside.recv_from(&mut buffer).await {
        if let Entry::Vacant(unknown) = known.entry(from) {
            let number = clients.fetch_add(1, Ordering::Relaxed);
            unknown.insert(match reuse {
                Reuse::EverySecond if !number.is_multiple_of(2) => {
                    Outside::open(relay, Arc::clone(&inside)).await
                }
                Reuse::EverySecond | Reuse::Always => shared.clone(),
            });
        }
        known[&from].ask(&buffer[..length], from).await;
    }
}
