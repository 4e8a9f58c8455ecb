//! A good client that comes to a room over any node, leaves it, and comes again as somebody new.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::RawMember;
use crate::client::{Context, UNRECORDED, token};
use crate::cluster::Node;
use crate::history::{What, micros};
use crate::scenario::Rig;

/// Where good clients come from.
const FROM: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct Joiner {
    context: Arc<Context>,
    nodes: Vec<SocketAddr>,
    number: u32,
    rooms: u32,
    rng: Rng,
}

impl Joiner {
    pub(super) fn new(rig: &Rig, number: u32, rooms: u32) -> Self {
        Self {
            context: Arc::clone(&rig.context),
            nodes: rig.cluster.nodes.iter().map(Node::address).collect(),
            number,
            rooms,
            rng: Rng::with_seed(rig.context.seed ^ u64::from(number)),
        }
    }

    /// Comes and goes until it is over.
    pub(super) async fn live(mut self, mut over: watch::Receiver<bool>) {
        let token = token(&format!("joiner{}", self.number));
        // Each attempt is another client to those who see it; attackers are drawn from below.
        let mut client = 2 * UNRECORDED + self.number * UNRECORDED;
        while !*over.borrow() {
            let began = Instant::now();
            let member = self.join(&token, client).await;
            let (took, is_in) = (micros(began.elapsed()), member.is_some());
            self.context.recorder.suite().note(What::Attempt { took, is_in });
            if let Some(mut member) = member {
                let _ = member.leave().await;
            }
            client += 1;
            let _ = timeout(PAUSE, over.wait_for(|over| *over)).await;
        }
    }

    async fn join(&mut self, token: &str, client: u32) -> Option<RawMember> {
        let node = self.nodes[self.rng.usize(..self.nodes.len())];
        let room = self.rng.u32(..self.rooms);
        let way = (FROM, node);
        let mut member = RawMember::connect(&self.context, way, token, (room, client)).await?;
        let answer = member.join(None).await?;
        (answer["type"] == "joined").then_some(member)
    }
}
