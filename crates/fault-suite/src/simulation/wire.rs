//! What lies between clients and one endpoint: bytes take their time, wait, or are lost with the
//! connection.

use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, split,
};
use tokio::sync::watch;
use tokio::time::sleep;

use super::dice::Dice;
use crate::proxy::Direction;

/// Bytes that are under way together at most.
const PACKET: usize = 1_400;

/// The network before one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Network {
    pub(super) stalled: bool,
    /// How often all connections were reset.
    pub(super) cuts: u64,
    /// How often one direction of all connections was closed, towards the node and back.
    pub(super) closed: [u64; 2],
}

/// Which of [`Network::closed`] counts a direction.
pub(super) fn index(direction: Direction) -> usize {
    match direction {
        Direction::Forward => 0,
        Direction::Back => 1,
    }
}

/// Forwards bytes between a client and a node until both directions have ended.
pub(super) async fn forward(
    client: DuplexStream,
    node: DuplexStream,
    network: watch::Receiver<Network>,
    dice: Dice,
) {
    let began = *network.borrow();
    let (from_client, to_client) = split(client);
    let (from_node, to_node) = split(node);
    let forward = Pump { network: network.clone(), began, side: 0, dice: dice.fork() };
    let back = Pump { network: network.clone(), began, side: 1, dice };
    let mut network = network;
    let cut = network.wait_for(|network| network.cuts != began.cuts);
    let both =
        async { tokio::join!(forward.run(from_client, to_node), back.run(from_node, to_client)) };
    tokio::select! {
        biased;
        _ = cut => {}
        _ = both => {}
    }
}

/// One direction of a connection.
struct Pump {
    network: watch::Receiver<Network>,
    began: Network,
    side: usize,
    dice: Dice,
}

impl Pump {
    async fn run(mut self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut packet = vec![0; PACKET];
        let mut network = self.network.clone();
        let (side, closed) = (self.side, self.began.closed[self.side]);
        loop {
            let read = tokio::select! {
                biased;
                _ = network.wait_for(|network| network.closed[side] != closed) => 0,
                read = from.read(&mut packet) => read.unwrap_or(0),
            };
            if read == 0 {
                break;
            }
            sleep(self.dice.delay()).await;
            // It ends with the simulation.
            let _ = self.network.wait_for(|network| !network.stalled).await;
            if to.write_all(&packet[..read]).await.is_err() {
                break;
            }
        }
        // Whoever is gone need not be told.
        let _ = to.shutdown().await;
    }
}
