//! What members who mean harm do, each until a moment that is the same for all.

use std::net::SocketAddr;
use std::ops::{Add, AddAssign};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::protocol::Message;

use super::super::Rig;
use super::super::under_attack::{RawMember, attacker};
use crate::client::{Context, UNRECORDED, moderator_token, token};
use crate::cluster::Node;

/// Signals of a flood at once, and how often: 100 × 60 kB a second.
const BURST: u64 = 5;
const EVERY: Duration = Duration::from_millis(50);
/// As many come first, so that a short run on a busy machine passes what a subject may send at once.
const FIRST_BURST: u64 = 40;
/// How large they are.
const LARGE: usize = 60_000;
/// How often who is banned tries again.
const RETRY: Duration = Duration::from_millis(100);
/// However short the run, it tries that often.
const LEAST_ATTEMPTS: usize = 5;
/// However short the run, a subject tries to open so many rooms.
const LEAST_ROOMS: usize = 24;
/// As many as a node lets a connection be in.
const ROOMS_OF_A_CONNECTION: usize = 8;
/// The ban outlasts the run (seconds).
const BAN: u64 = 3_600;

/// What came of attacks.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Damage {
    /// Signals of floods that were refused.
    pub(super) refused: usize,
    /// How often a member that had left joined again.
    pub(super) joins: usize,
    /// Sockets that were closed for wrong frames.
    pub(super) closed: usize,
    /// Attempts to get in in spite of a ban.
    pub(super) attempts: usize,
    /// Those that succeeded.
    pub(super) escapes: usize,
    /// Rooms that one subject opened beside its own.
    pub(super) rooms: usize,
    /// Further rooms that it was refused.
    pub(super) refused_rooms: usize,
}

impl Add for Damage {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            refused: self.refused + more.refused,
            joins: self.joins + more.joins,
            closed: self.closed + more.closed,
            attempts: self.attempts + more.attempts,
            escapes: self.escapes + more.escapes,
            rooms: self.rooms + more.rooms,
            refused_rooms: self.refused_rooms + more.refused_rooms,
        }
    }
}

impl AddAssign for Damage {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

/// Who attacks which room, over which nodes, and until when.
pub(super) struct Attack {
    context: Arc<Context>,
    nodes: Vec<SocketAddr>,
    room: u32,
    subject: String,
    client: u32,
    until: Instant,
    rng: Rng,
}

impl Attack {
    pub(super) fn new(rig: &Rig, room: u32, kind: &str, until: Instant, rng: &mut Rng) -> Self {
        Self {
            context: Arc::clone(&rig.context),
            nodes: rig.cluster.nodes.iter().map(Node::address).collect(),
            room,
            subject: format!("{kind}{room}"),
            // Above all clients that note what they see, apart from each other.
            client: UNRECORDED + rng.u32(..UNRECORDED),
            until,
            rng: rng.fork(),
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    fn node(&mut self) -> SocketAddr {
        self.nodes[self.rng.usize(..self.nodes.len())]
    }

    async fn connect_as(&mut self, token: &str) -> Option<RawMember> {
        let way = (attacker(1), self.node());
        self.client += 1;
        RawMember::connect(&self.context, way, token, (self.room, self.client)).await
    }

    async fn connect(&mut self) -> Option<RawMember> {
        let token = token(&self.subject);
        self.connect_as(&token).await
    }

    /// Returns a good member of a roster.
    fn victim(&self, joined: &Value) -> Option<String> {
        let mut ids = joined["peers"].as_array()?.iter().filter_map(|peer| peer["id"].as_str());
        let is_good =
            |id: &&str| self.context.directory.find(id).is_some_and(|it| it.client < UNRECORDED);
        ids.find(is_good).map(ToOwned::to_owned)
    }
}

/// Sends 100 × 60 kB a second to a good member.
pub(super) async fn flood(mut attack: Attack) -> Damage {
    let mut damage = Damage::default();
    while !attack.is_over() {
        // A socket that was closed for the flood is opened again.
        if let Some(member) = attack.connect().await {
            let _ = flood_over(&attack, member, &mut damage).await;
        }
    }
    damage
}

async fn flood_over(attack: &Attack, mut member: RawMember, damage: &mut Damage) -> Option<()> {
    let joined = member.join(None).await?;
    let victim = attack.victim(&joined)?;
    let (mut mid, filler) = (0, "x".repeat(LARGE));
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut burst = FIRST_BURST;
    while !attack.is_over() {
        tokio::select! {
            _ = ticks.tick() => for _ in 0..std::mem::replace(&mut burst, BURST) {
                mid += 1;
                member.signal(mid, &victim, &filler).await?;
            },
            frame = member.next() => {
                let frame = frame?;
                damage.refused += usize::from(frame["code"] == "rate_limited");
                // What is refused for now has used nothing up.
                if let Some(refused) = frame["mid"].as_u64().filter(|_| frame["retry"] == true) {
                    mid = frame["expected"].as_u64().unwrap_or(refused) - 1;
                }
            }
        }
    }
    member.leave().await.map(drop)
}

/// Leaves and joins without a break, each time as another member with large `meta`.
pub(super) async fn come_and_go(mut attack: Attack) -> Damage {
    let mut damage = Damage::default();
    let meta = json!({"filler": "x".repeat(4_000)});
    while !attack.is_over() {
        let Some(mut member) = attack.connect().await else { continue };
        while !attack.is_over() {
            let Some(answer) = member.join(Some(&meta)).await else { break };
            if answer["type"] == "joined" {
                damage.joins += 1;
                if member.leave().await.is_none() {
                    break;
                }
            }
        }
    }
    damage
}

/// Opens rooms without an end as one subject, over one connection after the other, and leaves none of them.
pub(super) async fn open_rooms(mut attack: Attack) -> Damage {
    let mut damage = Damage::default();
    // The node counts its rooms by itself.
    attack.nodes.truncate(1);
    while !attack.is_over() || damage.rooms + damage.refused_rooms < LEAST_ROOMS {
        let Some(mut member) = attack.connect().await else { continue };
        for _ in 0..ROOMS_OF_A_CONNECTION {
            let opened = damage.rooms + damage.refused_rooms;
            member.turn_to(format!("{}-{opened}", attack.subject));
            let Some(answer) = member.join(None).await else { break };
            damage.rooms += usize::from(answer["type"] == "joined");
            damage.refused_rooms += usize::from(answer["code"] == "limit_exceeded");
        }
    }
    damage
}

/// Sends what no client may: each closes the socket.
pub(super) async fn send_wrong_frames(mut attack: Attack) -> Damage {
    let mut damage = Damage::default();
    while !attack.is_over() {
        let Some(mut member) = attack.connect().await else { continue };
        let sent = match attack.rng.u8(..4) {
            0 => member.send(Message::binary(vec![0; 10])).await,
            1 => member.send(Message::text("x".repeat(70_000))).await,
            // A frame without a mask (RFC 6455 §5.1), and an opcode that is reserved.
            2 => member.write(&[0x81, 0x01, b'x']).await,
            _ => member.write(&[0x83, 0x80, 0, 0, 0, 0]).await,
        };
        if sent.is_some() {
            member.ended().await;
            damage.closed += 1;
        }
    }
    damage
}

/// A member with two seats is removed and banned by a moderator, and tries to get in again: as a new member and by a
/// resume of both of its seats, over every node.
pub(super) async fn ban_and_escape(mut attack: Attack, bans: bool) -> Damage {
    let mut damage = Damage::default();
    let Some(keys) = banned(&mut attack, bans).await else { return damage };
    let mut ticks = interval(RETRY);
    while !attack.is_over() || damage.attempts < LEAST_ATTEMPTS {
        ticks.tick().await;
        let Some(mut member) = attack.connect().await else { continue };
        let choice = attack.rng.usize(..=keys.len());
        let answer = match keys.get(choice) {
            Some((key, used)) => member.join_with((key.clone(), used + 1), None).await,
            None => member.join(None).await,
        };
        damage.attempts += 1;
        if answer.is_some_and(|answer| answer["type"] == "joined") {
            damage.escapes += 1;
            let _ = member.leave().await;
        }
    }
    damage
}

/// Takes two seats, and has a moderator remove one of them; returns the keys of both.
async fn banned(attack: &mut Attack, bans: bool) -> Option<Vec<(String, u64)>> {
    let (mut first, mut second) = (attack.connect().await?, attack.connect().await?);
    let joined = first.join(None).await?;
    second.join(None).await?;
    let mut moderator = attack.connect_as(&moderator_token("moderator")).await?;
    moderator.join(None).await?;
    let id = joined["self"]["id"].as_str()?;
    moderator.kick(id, if bans { BAN } else { 0 }).await?;
    moderator.leave().await?;
    let keys = vec![first.key(), second.key()];
    first.ended().await;
    if bans {
        second.ended().await;
    } else {
        second.leave().await?;
    }
    Some(keys)
}
