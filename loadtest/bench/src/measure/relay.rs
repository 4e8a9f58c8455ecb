//! Messages from one client to one other, as in a call: on two nodes where the servers can.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::meter::{Meter, WindowFigures, read};
use super::{candidate, open};
use crate::client::{Client, PlannedConnection};
use crate::problem::Problem;
use crate::servers::Fleet;

/// Calls under way at once.
pub(crate) const PAIRS: u32 = 200;

/// How the clients of a pair take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pacing {
    /// One message is under way: it is answered when it has come.
    One,
    /// So many are sent at a time, as trickled candidates are; they are answered by as many.
    Bursts(u64),
    /// One side sends, all pairs together so many per second, whatever comes of it.
    Paced(f64),
}

/// A load of pairs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    pub(crate) turns: Pacing,
    /// Whether messages are kept in the log, where there is one.
    pub(crate) keeps: bool,
    pub(crate) pairs: u32,
    pub(crate) window: Duration,
}

impl Relay {
    /// Runs the load over a fleet.
    pub(crate) async fn run(self, fleet: &Fleet) -> Result<WindowFigures, Problem> {
        let mut clients = open(fleet, planned_connections(fleet, self.pairs)).await?;
        for client in &mut clients {
            client.keeps = self.keeps;
        }
        let meter = Rc::<Meter>::default();
        let mut load = JoinSet::new();
        let mut clients = clients.into_iter();
        let mut number = 0;
        while let (Some(a), Some(b)) = (clients.next(), clients.next()) {
            let pair = Pair { a, b, meter: meter.clone() };
            let every = self.every();
            match self.turns {
                Pacing::One => load.spawn_local(pair.take_turns(1)),
                Pacing::Bursts(count) => load.spawn_local(pair.take_turns(count)),
                Pacing::Paced(_) => {
                    load.spawn_local(pair.send_paced(every, every * number / self.pairs))
                }
            };
            number += 1;
        }
        read(fleet, &meter, load, self.window).await
    }

    /// The time between two messages of a pair.
    fn every(self) -> Duration {
        match self.turns {
            Pacing::Paced(rate) => Duration::from_secs_f64(f64::from(self.pairs) / rate),
            Pacing::One | Pacing::Bursts(_) => Duration::ZERO,
        }
    }
}

/// Both clients of a pair come one after the other, on neighbouring nodes.
fn planned_connections(fleet: &Fleet, pairs: u32) -> Vec<PlannedConnection> {
    let ticket = |number: u32| PlannedConnection {
        door: fleet.address_of((number / 2 + number % 2) as usize),
        room: format!("call-{}", number / 2),
        number,
        back: None,
    };
    (0..2 * pairs).map(ticket).collect()
}

struct Pair {
    a: Client,
    b: Client,
    meter: Rc<Meter>,
}

impl Pair {
    async fn take_turns(mut self, count: u64) -> Result<(), Problem> {
        let data = candidate();
        while !self.meter.is_stopped() {
            for _ in 0..count {
                self.a.feed(Some(&self.b.id), &data).await?;
            }
            self.a.flush().await?;
            for _ in 0..count {
                self.b.receive().await?;
            }
            self.meter.delivered(count);
            std::mem::swap(&mut self.a, &mut self.b);
        }
        Ok(())
    }

    /// Latency counts from when a message was due, so that a late sender hides nothing.
    async fn send_paced(mut self, every: Duration, first: Duration) -> Result<(), Problem> {
        let data = candidate();
        let mut pace = interval_at(Instant::now() + first, every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut under_way = VecDeque::new();
        while !self.meter.is_stopped() {
            tokio::select! {
                due = pace.tick() => {
                    under_way.push_back(due);
                    self.a.feed(Some(&self.b.id), &data).await?;
                    self.a.flush().await?;
                }
                heard = self.b.receive() => {
                    heard?;
                    if let Some(due) = under_way.pop_front() {
                        self.meter.delivered_since(due);
                    }
                }
                // Frames of the server to the sender have to be read too.
                heard = self.a.receive() => drop(heard?),
            }
        }
        Ok(())
    }
}
