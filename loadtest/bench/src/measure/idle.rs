//! What a connection costs that is there and says nothing, after a call was set up over it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{offer, open};
use crate::client::{Client, PlannedConnection};
use crate::problem::Problem;
use crate::servers::{Cost, Fleet, slab};

/// Members of a room.
const MEMBERS: u32 = 4;
/// Connections that send their offer at a time, so that the queues of the server stay short.
const AT_A_TIME: u32 = 200;
/// How long allocators and collectors get to come to rest.
const REST: Duration = Duration::from_secs(3);
/// How soon memory has to be given back when all have gone.
const GIVEN_BACK: Duration = Duration::from_secs(10);
/// How long offers may take to reach everybody.
const PATIENCE: Duration = Duration::from_secs(60);

/// What idle connections cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// What the process had cost before the first connection.
    pub(crate) base: Cost,
    /// KiB of resident memory per connection when all have joined.
    pub(crate) fresh: f64,
    /// The same after each has sent an offer of 4 KiB that the three others received.
    pub(crate) after_offer: f64,
    /// KiB of kernel memory per connection, of both ends' sockets, halved.
    pub(crate) kernel: f64,
    /// CPU of the server to take one in, in µs: upgrade, token, join.
    pub(crate) entry: f64,
    /// Resident memory when all have gone, as a multiple of what it was before they came.
    pub(crate) left: f64,
}

/// Measures one node with so many connections.
pub(crate) async fn idle(fleet: &Fleet, connections: u32) -> Result<Idle, Problem> {
    let node = &fleet.nodes[0];
    let count = f64::from(connections);
    let (before, slab_before) = (node.cost()?, slab()?);
    let clients = open(fleet, planned_connections(fleet, connections)).await?;
    let entered = node.cost()?;
    sleep(REST).await;
    let (fresh, slab_after) = (node.cost()?.resident, slab()?);
    let clients = IdleClients::gather(clients);
    clients.exchange_offers().await?;
    sleep(REST).await;
    let after_offer = node.cost()?.resident;
    clients.leave().await;
    let left = settled(fleet, before.resident).await?;
    let per_connection = |bytes: f64| (bytes - before.resident) / count / 1024.0;
    Ok(Idle {
        base: before,
        fresh: per_connection(fresh),
        after_offer: per_connection(after_offer),
        kernel: (slab_after - slab_before) / count / 1024.0 / 2.0,
        entry: (entered.cpu - before.cpu) / count * 1e6,
        left: left / before.resident,
    })
}

fn planned_connections(fleet: &Fleet, connections: u32) -> Vec<PlannedConnection> {
    let ticket = |number: u32| PlannedConnection {
        door: fleet.address_of(0),
        room: format!("room-{}", number / MEMBERS),
        number,
        back: None,
    };
    (0..connections).map(ticket).collect()
}

/// Waits for memory to be given back; returns what is left of it at the end of that time.
async fn settled(fleet: &Fleet, base: f64) -> Result<f64, Problem> {
    let began = Instant::now();
    let mut left = fleet.nodes[0].cost()?.resident;
    while left > base && began.elapsed() < GIVEN_BACK {
        sleep(Duration::from_millis(500)).await;
        left = fleet.nodes[0].cost()?.resident;
    }
    Ok(left)
}

/// Clients that answer what they are asked, until they leave.
struct IdleClients {
    tasks: JoinSet<Result<(), Problem>>,
    /// Whoever has a smaller number sends its offer.
    may_send: watch::Sender<u32>,
    heard: Rc<Cell<u32>>,
    count: u32,
}

impl IdleClients {
    fn gather(clients: Vec<Client>) -> Self {
        let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
        let ids = Rc::new(ids);
        let (may_send, heard) = (watch::Sender::new(0), Rc::<Cell<u32>>::default());
        let mut tasks = JoinSet::new();
        let count = u32::try_from(clients.len()).unwrap_or(u32::MAX);
        for (number, client) in (0..).zip(clients) {
            let member = Member { client, number, ids: ids.clone(), heard: heard.clone() };
            tasks.spawn_local(member.stay(may_send.subscribe()));
        }
        Self { tasks, may_send, heard, count }
    }

    /// Has everyone send an offer, some at a time, and waits until all others have it.
    async fn exchange_offers(&self) -> Result<(), Problem> {
        let mut sending = 0;
        while sending < self.count {
            sending = (sending + AT_A_TIME).min(self.count);
            self.may_send.send_replace(sending);
            let expected = sending * (MEMBERS - 1);
            let delivered = async {
                while self.heard.get() < expected {
                    sleep(Duration::from_millis(1)).await;
                }
            };
            timeout(PATIENCE, delivered).await.map_err(|_| Problem::TooLong("an offer"))?;
        }
        Ok(())
    }

    async fn leave(mut self) {
        self.tasks.shutdown().await;
    }
}

struct Member {
    client: Client,
    number: u32,
    ids: Rc<Vec<String>>,
    heard: Rc<Cell<u32>>,
}

impl Member {
    async fn stay(mut self, mut may_send: watch::Receiver<u32>) -> Result<(), Problem> {
        let mut sent = false;
        loop {
            tokio::select! {
                heard = self.client.receive() => {
                    heard?;
                    self.heard.set(self.heard.get() + 1);
                }
                _ = may_send.changed(), if !sent => {
                    if self.number < *may_send.borrow_and_update() {
                        self.send_offer().await?;
                        sent = true;
                    }
                }
            }
        }
    }

    async fn send_offer(&mut self) -> Result<(), Problem> {
        let offer = offer();
        if self.client.broadcasts() {
            self.client.feed(None, &offer).await?;
        } else {
            let first = self.number / MEMBERS * MEMBERS;
            for other in (first..first + MEMBERS).filter(|other| *other != self.number) {
                let to = self.ids[other as usize].clone();
                self.client.feed(Some(&to), &offer).await?;
            }
        }
        self.client.flush().await
    }
}
