//! Messages from one client to one other, as in a call: on two nodes where the servers can.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::meter::{Meter, Reading, read};
use super::{candidate, open};
use crate::client::{Client, Ticket};
use crate::problem::Problem;
use crate::servers::Fleet;

/// Calls under way at once.
pub(crate) const PAIRS: u32 = 200;

/// How the clients of a pair take turns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Turns {
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
    pub(crate) turns: Turns,
    /// Whether messages are kept in the log, where there is one.
    pub(crate) keeps: bool,
    pub(crate) pairs: u32,
    pub(crate) window: Duration,
}

impl Relay {
    /// Runs the load over a fleet.
    pub(crate) async fn run(self, fleet: &Fleet) -> Result<Reading, Problem> {
        let mut clients = open(fleet, tickets(fleet, self.pairs)).await?;
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
                Turns::One => load.spawn_local(pair.take_turns(1)),
                Turns::Bursts(count) => load.spawn_local(pair.take_turns(count)),
                Turns::Paced(_) => {
                    load.spawn_local(pair.keep_pace(every, every * number / self.pairs))
                }
            };
            number += 1;
        }
        read(fleet, &meter, load, self.window).await
    }

    /// The time between two messages of a pair.
    fn every(self) -> Duration {
        match self.turns {
            Turns::Paced(rate) => Duration::from_secs_f64(f64::from(self.pairs) / rate),
            Turns::One | Turns::Bursts(_) => Duration::ZERO,
        }
    }
}

/// Both clients of a pair come one after the other, on neighbouring nodes.
fn tickets(fleet: &Fleet, pairs: u32) -> Vec<Ticket> {
    let ticket = |number: u32| Ticket {
        door: fleet.door((number / 2 + number % 2) as usize),
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
                self.b.hear().await?;
            }
            self.meter.delivered(count);
            std::mem::swap(&mut self.a, &mut self.b);
        }
        Ok(())
    }

    /// Latency counts from when a message was due, so that a late sender hides nothing.
    async fn keep_pace(mut self, every: Duration, first: Duration) -> Result<(), Problem> {
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
                heard = self.b.hear() => {
                    heard?;
                    if let Some(due) = under_way.pop_front() {
                        self.meter.delivered_since(due);
                    }
                }
                // What the server says to the sender has to be read too.
                heard = self.a.hear() => drop(heard?),
            }
        }
        Ok(())
    }
}
