//! A back end that moderates rooms over the REST interface while everything breaks: it announces, removes members and bans
//! their subjects, locks rooms and bounds them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::Rig;
use crate::client::{Announcement, Context, admin_token};
use crate::cluster::Node;
use crate::history::{Peer, What, micros};

/// How often something is asked for.
const EVERY: Duration = Duration::from_millis(250);
/// How long an answer is waited for, before another node is asked.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// So many nodes are asked in turn.
const ATTEMPTS: usize = 4;
/// How long a subject stays banned.
const BAN: Duration = Duration::from_secs(3);
/// How long a room stays locked or bounded.
const SET_FOR: Duration = Duration::from_secs(2);
/// The bound of a room that is bounded.
const SMALL_CAP: u64 = 3;

/// Rooms with members who come and go, and the first client of these.
pub(super) struct Moderated {
    pub(super) rooms: u32,
    /// Every how many rooms one is crowded.
    pub(super) crowded_every: u32,
    /// Clients from this number on come and go; only they are removed.
    pub(super) churning_from: u32,
    /// The cap of a room that is not bounded.
    pub(super) capacity: u64,
}

pub(super) struct Moderator {
    context: Arc<Context>,
    nodes: Vec<SocketAddr>,
    http: Client,
    token: String,
    moderated: Moderated,
    announced: u32,
    rng: Rng,
}

impl Moderator {
    pub(super) fn new(rig: &Rig, moderated: Moderated, seed: u64) -> Self {
        let http = Client::builder().no_proxy().timeout(ANSWER_WITHIN).build();
        Self {
            context: Arc::clone(&rig.context),
            nodes: rig.cluster.nodes.iter().map(Node::address).collect(),
            http: http.expect("a client without proxies and certificates can be made"),
            token: admin_token("back-end"),
            moderated,
            announced: 0,
            rng: Rng::with_seed(seed),
        }
    }

    /// Goes on until `until` is over, with every room as it was.
    pub(super) async fn run(mut self, until: impl Future<Output = ()>) {
        let mut until = std::pin::pin!(until);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = &mut until => return,
                _ = ticks.tick() => {}
            }
            match self.rng.u32(0..10) {
                0..=5 => self.announce().await,
                6..=8 => self.kick().await,
                _ => self.configure().await,
            }
        }
    }

    async fn announce(&mut self) {
        self.announced += 1;
        let (number, room) = (self.announced, self.rng.u32(0..self.moderated.rooms));
        self.note(What::Announcing { number });
        let body = json!({ "data": Announcement { k: number } });
        let path = format!("/v1/rooms/r{room}/signals");
        let answer = self.ask(&Method::POST, &path, Some(&body), number).await;
        if let Some(seq) = answer.and_then(|(_, answer)| answer["seq"].as_u64()) {
            self.note(What::Announced { number, room, seq });
        }
    }

    /// Removes one who comes and goes.
    async fn kick(&mut self) {
        let room = self.crowded_room();
        let path = format!("/v1/rooms/r{room}");
        let Some((_, view)) = self.ask(&Method::GET, &path, None, 0).await else { return };
        let ids = view["peers"].as_array().into_iter().flatten();
        let ids: Vec<_> = ids.filter_map(|peer| peer["id"].as_str()).collect();
        let Some((id, peer)) = ids.iter().find_map(|id| Some((id, self.churning(id)?))) else {
            return;
        };
        self.note(What::Kicking { peer, ban: micros(BAN) });
        let path = format!("{path}/peers/{id}?ban={}", BAN.as_secs());
        let answer = self.ask(&Method::DELETE, &path, None, 0).await;
        if answer.is_some_and(|(status, _)| status == StatusCode::NO_CONTENT) {
            self.note(What::Kicked { peer });
        }
    }

    fn churning(&self, id: &str) -> Option<Peer> {
        let peer = self.context.directory.find(id)?;
        (peer.client >= self.moderated.churning_from).then_some(peer)
    }

    fn crowded_room(&mut self) -> u32 {
        let every = self.moderated.crowded_every;
        self.rng.u32(0..self.moderated.rooms.div_ceil(every)) * every
    }

    /// Locks a room or bounds it, and undoes that after a while.
    async fn configure(&mut self) {
        let (room, open) = (self.crowded_room(), self.moderated.capacity);
        let (locked, cap) = if self.rng.bool() { (true, open) } else { (false, SMALL_CAP) };
        self.set(room, locked, cap).await;
        sleep_until(Instant::now() + SET_FOR).await;
        while !self.set(room, false, open).await {}
    }

    /// Tells whether the cluster has answered.
    async fn set(&mut self, room: u32, locked: bool, cap: u64) -> bool {
        self.note(What::Configuring { room });
        let body = json!({ "locked": locked, "cap": cap });
        let path = format!("/v1/rooms/r{room}");
        let answer = self.ask(&Method::PUT, &path, Some(&body), 0).await;
        let seq = answer.and_then(|(_, answer)| answer["seq"].as_u64());
        if let Some(seq) = seq {
            self.note(What::Configured { room, locked, cap, seq });
        }
        seq.is_some()
    }

    /// Asks one node after the other until one answers for certain. The number makes a repeated `POST` the same one.
    async fn ask(
        &mut self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        number: u32,
    ) -> Option<(StatusCode, Value)> {
        for _ in 0..ATTEMPTS {
            let node = self.nodes[self.rng.usize(..self.nodes.len())];
            let request = self.http.request(method.clone(), format!("http://{node}{path}"));
            let request = request.bearer_auth(&self.token);
            let keyed = request.header("idempotency-key", format!("k{number}"));
            let sent = match body {
                Some(body) => keyed.json(body).send().await,
                None => keyed.send().await,
            };
            let Ok(answer) = sent else { continue };
            let status = answer.status();
            if !status.is_server_error() {
                return Some((status, answer.json().await.unwrap_or_default()));
            }
        }
        None
    }

    fn note(&self, what: What) {
        self.context.recorder.suite().note(what);
    }
}
