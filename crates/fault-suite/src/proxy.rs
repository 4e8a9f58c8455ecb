//! A TCP proxy that breaks connections when told to. It decides nothing by itself.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a proxy does with the connections it has and gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    /// Where new connections lead.
    target: SocketAddr,
    /// Forward nothing; what arrives waits in the buffers of the kernel.
    stalled: bool,
    refusing: bool,
    /// Connections made before this count was reached are reset.
    cuts: u64,
    /// The same for the direction from whom connects to the target, which is closed politely.
    half_forward: u64,
    /// And for the way back.
    half_back: u64,
    /// How often packets were lost: forward, back, and of subscribers. A connection made before loses them for ever.
    losses: [u64; 3],
    /// What is lost of new connections too.
    silence: Option<Silence>,
}

impl Order {
    fn to(target: SocketAddr) -> Self {
        let (half_forward, half_back) = (0, 0);
        let (stalled, refusing, cuts) = (false, false, 0);
        Self {
            target,
            stalled,
            refusing,
            cuts,
            half_forward,
            half_back,
            losses: [0; 3],
            silence: None,
        }
    }

    /// What a connection that is made now compares later orders with.
    fn at_connect(mut self) -> Self {
        for place in self.silence.into_iter().flat_map(Silence::places) {
            self.losses[*place] -= 1;
        }
        self
    }

    /// Whether a connection that was made under `first` loses what goes in this direction.
    fn loses(&self, first: &Self, direction: Direction, subscribes: bool) -> bool {
        let lost = |place: usize| self.losses[place] != first.losses[place];
        lost(direction as usize) || (subscribes && lost(SUBSCRIBER))
    }
}

/// The place of subscribers among [`Order::losses`]; those before it are of a [`Direction`].
const SUBSCRIBER: usize = 2;

/// Which packets are lost without a trace, as behind a firewall that has forgotten a connection.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    Both,
    /// Those of one direction.
    One(Direction),
    /// All of connections on which something was subscribed to.
    Subscriber,
}

impl Silence {
    fn places(self) -> &'static [usize] {
        match self {
            Self::Both => &[0, 1],
            Self::One(Direction::Forward) => &[0],
            Self::One(Direction::Back) => &[1],
            Self::Subscriber => &[SUBSCRIBER],
        }
    }
}

/// One direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From whom connects to the target.
    Forward,
    /// From the target to whom connected.
    Back,
}

/// A listening proxy; it and its connections end with this value.
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Order>,
}

impl Proxy {
    /// Listens on a free port of loopback for connections to `target`.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (orders, obeyed) = watch::channel(Order::to(target));
        tokio::spawn(accept(listener, obeyed));
        Ok(Self { address, orders })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resets all connections.
    pub fn cut(&self) {
        self.orders.send_modify(|order| order.cuts += 1);
    }

    /// Closes one direction of all connections, and reads no more from its source.
    pub fn half_close(&self, direction: Direction) {
        self.orders.send_modify(|order| match direction {
            Direction::Forward => order.half_forward += 1,
            Direction::Back => order.half_back += 1,
        });
    }

    /// Stops forwarding, or goes on.
    pub fn stall(&self, stalled: bool) {
        self.orders.send_modify(|order| order.stalled = stalled);
    }

    /// Loses packets: of the connections it has for ever, of new ones until [`Proxy::end_silence`].
    pub fn silence(&self, silence: Silence) {
        self.orders.send_modify(|order| {
            for place in silence.places() {
                order.losses[*place] += 1;
            }
            order.silence = Some(silence);
        });
    }

    /// Loses nothing of the connections that are made from now on.
    pub fn end_silence(&self) {
        self.orders.send_modify(|order| order.silence = None);
    }

    /// Leads new connections elsewhere, as a name that was moved; those it has go on.
    pub fn lead_to(&self, target: SocketAddr) {
        self.orders.send_modify(|order| order.target = target);
    }

    /// Resets new connections, or lets them in again.
    pub fn refuse(&self, refusing: bool) {
        self.orders.send_modify(|order| order.refusing = refusing);
    }
}

async fn accept(listener: TcpListener, mut orders: watch::Receiver<Order>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((source, _)) = accepted {
                let order = orders.borrow_and_update().at_connect();
                tokio::spawn(forward(source, order, orders.clone()));
            },
            // The proxy is gone, and its listener with this task.
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}

/// Forwards one connection until it ends or is reset.
async fn forward(mut source: TcpStream, first: Order, mut orders: watch::Receiver<Order>) {
    let connected = if first.refusing { None } else { TcpStream::connect(first.target).await.ok() };
    let Some(mut target) = connected else { return reset(&source) };
    let _ = (source.set_nodelay(true), target.set_nodelay(true));
    let cut = {
        let (from_source, to_source) = source.split();
        let (from_target, to_target) = target.split();
        let subscribes = AtomicBool::new(false);
        let way = |direction| Way { first, direction, subscribes: &subscribes };
        let forward = pump(from_source, to_target, orders.clone(), way(Direction::Forward));
        let back = pump(from_target, to_source, orders.clone(), way(Direction::Back));
        tokio::select! {
            _ = async { tokio::join!(forward, back) } => false,
            _ = orders.wait_for(|order| order.cuts != first.cuts) => true,
        }
    };
    if cut {
        reset(&source);
        reset(&target);
    }
}

/// Has a stream send a reset when it is dropped, rather than close politely.
fn reset(stream: &TcpStream) {
    // It fails on a socket that is closed already.
    let _ = stream.set_zero_linger();
}

/// One direction of one connection.
struct Way<'a> {
    /// The orders when it was made.
    first: Order,
    direction: Direction,
    subscribes: &'a AtomicBool,
}

impl Way<'_> {
    fn is_closed(&self, order: &Order) -> bool {
        match self.direction {
            Direction::Forward => order.half_forward != self.first.half_forward,
            Direction::Back => order.half_back != self.first.half_back,
        }
    }

    /// Notes whether Redis is asked for a subscription: `SSUBSCRIBE` or `SUBSCRIBE`, near the beginning of a write.
    fn note(&self, bytes: &[u8]) {
        const NEAR: usize = 256;
        const WORD: &[u8] = b"SUBSCRIBE";
        let near = &bytes[..bytes.len().min(NEAR)];
        if self.direction == Direction::Forward && near.windows(WORD.len()).any(|at| at == WORD) {
            self.subscribes.store(true, Ordering::Relaxed);
        }
    }

    fn loses(&self, order: &Order) -> bool {
        order.loses(&self.first, self.direction, self.subscribes.load(Ordering::Relaxed))
    }
}

/// Forwards one direction until its source ends or it is to be closed.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut orders: watch::Receiver<Order>,
    way: Way<'_>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = orders.wait_for(|order| way.is_closed(order)) => 0,
        };
        way.note(&buffer[..read]);
        let Ok(order) = orders.wait_for(|order| !order.stalled).await.map(|order| *order) else {
            return;
        };
        if way.loses(&order) {
            if read == 0 {
                // An end is lost like everything else: the other side goes on believing in the connection.
                std::future::pending::<()>().await;
            }
            continue;
        }
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, timeout};

    use super::*;

    /// Longer than loopback takes, for what must not arrive.
    const NOTHING_WITHIN: Duration = Duration::from_millis(200);

    /// A proxy before a server that sends back what it gets.
    async fn echo() -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        Proxy::start(target).await.unwrap()
    }

    /// Whether what is said comes back.
    async fn answers(stream: &mut TcpStream, text: &str) -> bool {
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut bytes = vec![0; text.len()];
        timeout(NOTHING_WITHIN, stream.read_exact(&mut bytes)).await.is_ok_and(|read| read.is_ok())
    }

    async fn connected(proxy: &Proxy) -> TcpStream {
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(answers(&mut stream, "first").await);
        stream
    }

    #[tokio::test]
    async fn a_connection_that_fell_silent_stays_so_and_a_new_one_works_after_the_silence() {
        for silence in
            [Silence::Both, Silence::One(Direction::Forward), Silence::One(Direction::Back)]
        {
            let proxy = echo().await;
            let mut old = connected(&proxy).await;
            proxy.silence(silence);
            let mut during = TcpStream::connect(proxy.address()).await.unwrap();
            assert!(!answers(&mut old, "lost").await && !answers(&mut during, "lost").await);
            proxy.end_silence();
            assert!(!answers(&mut old, "lost").await && !answers(&mut during, "lost").await);
            connected(&proxy).await;
        }
    }

    #[tokio::test]
    async fn only_the_connection_that_subscribed_falls_silent() {
        let proxy = echo().await;
        let (mut commands, mut subscriber) = (connected(&proxy).await, connected(&proxy).await);
        assert!(answers(&mut subscriber, "*2\r\n$10\r\nSSUBSCRIBE\r\n").await);
        proxy.silence(Silence::Subscriber);
        assert!(!answers(&mut subscriber, "lost").await);
        assert!(answers(&mut commands, "*3\r\n$8\r\nSPUBLISH\r\n").await);
    }

    #[tokio::test]
    async fn new_connections_lead_elsewhere_and_old_ones_go_on() {
        let (proxy, other) = (echo().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut old = connected(&proxy).await;
        proxy.lead_to(other.local_addr().unwrap());
        let new = TcpStream::connect(proxy.address()).await.unwrap();
        let (elsewhere, _) = other.accept().await.unwrap();
        assert!(answers(&mut old, "still").await);
        drop((new, elsewhere));
    }
}
