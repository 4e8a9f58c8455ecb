//! Many clients at once: joining, and coming back after their node has died.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::open;
use crate::client::{Client, PlannedConnection};
use crate::problem::Problem;
use crate::servers::{Fleet, Programs, Redis, Store, Subject};
use crate::stats::percentile;

/// How long each rate of joins is held.
const HOLD: Duration = Duration::from_secs(3);
/// A rate is sustained if its joins take no longer than this (p99), and all arrive.
const SUSTAINED: f64 = 1_000.0;
/// How long clients of a dead node may take to be back.
const PATIENCE: Duration = Duration::from_secs(60);
/// Clients come back at a moment of their own within this, as the SDK's do.
const JITTER: Duration = Duration::from_secs(1);

/// What a rate of joins did.
pub(crate) struct Joins {
    pub(crate) rate: f64,
    /// The 99th percentile of connect, upgrade and join, in ms from when it was due.
    pub(crate) p99: f64,
    /// CPU of nodes and Redis for each, in µs.
    pub(crate) cpu: f64,
    pub(crate) sustained: bool,
}

/// Has so many clients a second connect and join, in calls of two, on two nodes.
pub(crate) async fn joins(programs: &Programs, rate: u32) -> Result<Joins, Problem> {
    let fleet = Fleet::start(Subject::Signal, 2, programs).await?;
    let (before, began) = (fleet.cost()?, Instant::now());
    let count = rate * u32::try_from(HOLD.as_secs()).unwrap_or(1);
    let arrivals = Rc::<RefCell<Arrivals>>::default();
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let due = began + HOLD * number / count;
        let ticket = PlannedConnection {
            door: fleet.address_of(number as usize),
            room: format!("call-{}", number / 2),
            number,
            back: None,
        };
        tasks.spawn_local(arrive(ticket, due, arrivals.clone()));
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    timeout(PATIENCE, all).await.map_err(|_| Problem::TooLong("a storm of joins"))?;
    let (after, mut arrivals) = (fleet.cost()?, arrivals.take());
    let joined = f64::from(u32::try_from(arrivals.clients.len()).unwrap_or(u32::MAX));
    let p99 = arrivals.p99();
    let cpu = (after.nodes - before.nodes + after.redis - before.redis) / joined * 1e6;
    let sustained = p99 <= SUSTAINED && arrivals.failed == 0;
    Ok(Joins { rate: f64::from(rate), p99, cpu, sustained })
}

/// Who has come, and how long it took.
#[derive(Default)]
struct Arrivals {
    clients: Vec<Client>,
    milliseconds: Vec<f64>,
    failed: u32,
}

impl Arrivals {
    fn p99(&mut self) -> f64 {
        self.milliseconds.sort_by(f64::total_cmp);
        percentile(&self.milliseconds, 0.99)
    }
}

async fn arrive(ticket: PlannedConnection, due: Instant, arrivals: Rc<RefCell<Arrivals>>) {
    sleep_until(due).await;
    let opened = Client::open(Subject::Signal.dialect(), &ticket).await;
    let mut arrivals = arrivals.borrow_mut();
    match opened {
        Ok(client) => {
            arrivals.milliseconds.push(due.elapsed().as_secs_f64() * 1e3);
            arrivals.clients.push(client);
        }
        Err(_) => arrivals.failed += 1,
    }
}

/// How clients of a dead node came back.
pub(crate) struct Returns {
    pub(crate) clients: u32,
    /// The 99th percentile from the death of the node to `joined`, in ms.
    pub(crate) p99: f64,
    /// Until the last one was back, in ms.
    pub(crate) last: f64,
    /// CPU of the other node and of Redis for each, in µs.
    pub(crate) cpu: f64,
}

/// Kills the node that so many clients are on; all come back on another one.
pub(crate) async fn returns(programs: &Programs, count: u32) -> Result<Returns, Problem> {
    let wide = [("MAX_CONNECTIONS", "100000")];
    let store = Store::Redis(Box::new(Redis::start().await?));
    let mut fleet = Fleet::signal(2, store, programs, &wide).await?;
    let (dying, refuge) = (fleet.address_of(0), fleet.address_of(1));
    let ticket = |number: u32| PlannedConnection {
        door: dying,
        room: format!("call-{}", number / 2),
        number,
        back: None,
    };
    let clients = open(&fleet, (0..count).map(ticket).collect()).await?;
    let before = fleet.nodes[1].cost()?.cpu + fleet.store.cpu()?;
    fleet.nodes[0].kill().await?;
    let died = Instant::now();
    let arrivals = Rc::<RefCell<Arrivals>>::default();
    let mut tasks = JoinSet::new();
    for (number, client) in (0..).zip(clients) {
        let ticket = PlannedConnection { door: refuge, back: Some(client.seq), ..ticket(number) };
        tasks.spawn_local(come_back(
            client,
            ticket,
            died,
            JITTER * number / count,
            arrivals.clone(),
        ));
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    timeout(PATIENCE, all).await.map_err(|_| Problem::TooLong("the return of all clients"))?;
    let cpu = fleet.nodes[1].cost()?.cpu + fleet.store.cpu()? - before;
    let mut arrivals = arrivals.take();
    if arrivals.failed > 0 {
        return Err(Problem::Refused(
            "signal-node",
            format!("{} could not come back", arrivals.failed),
        ));
    }
    let (p99, last) = (arrivals.p99(), arrivals.milliseconds.last().copied().unwrap_or_default());
    Ok(Returns { clients: count, p99, last, cpu: cpu / f64::from(count) * 1e6 })
}

/// Comes back once its connection is seen to be gone, and its moment has come.
async fn come_back(
    mut client: Client,
    ticket: PlannedConnection,
    died: Instant,
    jitter: Duration,
    arrivals: Rc<RefCell<Arrivals>>,
) {
    while client.receive().await.is_ok() {}
    sleep(jitter).await;
    arrive(ticket, died, arrivals).await;
}
