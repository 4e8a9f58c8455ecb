//! Messages from one client to everyone else in a room, all on one node.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::meter::{Meter, WindowFigures, read};
use super::{candidate, open};
use crate::client::{Client, PlannedConnection};
use crate::problem::Problem;
use crate::servers::Fleet;

/// A load of rooms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fanout {
    pub(crate) rooms: u32,
    pub(crate) members: u32,
    /// Messages that are sent at a time.
    pub(crate) burst: u64,
    pub(crate) window: Duration,
}

impl Fanout {
    /// Runs the load over a fleet.
    pub(crate) async fn run(self, fleet: &Fleet) -> Result<WindowFigures, Problem> {
        let ticket = |number: u32| PlannedConnection {
            door: fleet.address_of(0),
            room: format!("crowd-{}", number / self.members),
            number,
            back: None,
        };
        let tickets = (0..self.rooms * self.members).map(ticket).collect();
        let mut clients = open(fleet, tickets).await?;
        let meter = Rc::<Meter>::default();
        let mut load = JoinSet::new();
        while !clients.is_empty() {
            let room = clients.split_off(clients.len() - self.members as usize);
            load.spawn_local(speak(room, self.burst, meter.clone()));
        }
        read(fleet, &meter, load, self.window).await
    }
}

async fn speak(mut room: Vec<Client>, burst: u64, meter: Rc<Meter>) -> Result<(), Problem> {
    let data = candidate();
    let Some((speaker, others)) = room.split_first_mut() else { return Ok(()) };
    while !meter.is_stopped() {
        for _ in 0..burst {
            speaker.feed(None, &data).await?;
        }
        speaker.flush().await?;
        for other in &mut *others {
            for _ in 0..burst {
                other.receive().await?;
            }
            meter.delivered(burst);
        }
    }
    Ok(())
}
