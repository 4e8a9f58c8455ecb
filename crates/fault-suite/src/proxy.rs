//! A TCP proxy that breaks connections when told to. It decides nothing by itself.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a proxy does with the connections it has and gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Order {
    /// Forward nothing; what arrives waits in the buffers of the kernel.
    stalled: bool,
    /// Reset new connections.
    refusing: bool,
    /// Connections made before this count was reached are reset.
    cuts: u64,
    /// The same for the direction from whom connects to the target, which is closed politely.
    half_forward: u64,
    /// And for the way back.
    half_back: u64,
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
        let (orders, obeyed) = watch::channel(Order::default());
        tokio::spawn(accept(listener, target, obeyed));
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

    /// Resets new connections, or lets them in again.
    pub fn refuse(&self, refusing: bool) {
        self.orders.send_modify(|order| order.refusing = refusing);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, mut orders: watch::Receiver<Order>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((source, _)) = accepted {
                let order = *orders.borrow_and_update();
                tokio::spawn(carry(source, target, order, orders.clone()));
            },
            // The proxy is gone, and its listener with this task.
            changed = orders.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries one connection until it ends or is reset.
async fn carry(
    mut source: TcpStream,
    target: SocketAddr,
    first: Order,
    mut orders: watch::Receiver<Order>,
) {
    let connected = if first.refusing { None } else { TcpStream::connect(target).await.ok() };
    let Some(mut target) = connected else { return reset(&source) };
    let _ = (source.set_nodelay(true), target.set_nodelay(true));
    let cut = {
        let (from_source, to_source) = source.split();
        let (from_target, to_target) = target.split();
        let forward = pump(from_source, to_target, orders.clone(), move |order| {
            order.half_forward != first.half_forward
        });
        let back = pump(from_target, to_source, orders.clone(), move |order| {
            order.half_back != first.half_back
        });
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

/// Forwards one direction until its source ends or it is to be closed.
async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    mut orders: watch::Receiver<Order>,
    is_closed: impl Fn(&Order) -> bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.unwrap_or(0),
            _ = orders.wait_for(&is_closed) => 0,
        };
        let open = orders.wait_for(|order| !order.stalled).await.is_ok();
        if read == 0 || !open || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return;
        }
    }
}
