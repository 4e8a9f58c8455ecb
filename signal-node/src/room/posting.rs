//! Posts into a room by those who need not be members: one call of the log each, without the room's task.

use std::sync::Arc;

use signal_dialects::PostOutcome;
use signal_protocol::RoomId;
use tokio::time::Instant;

use super::outbox::Outbox;
use super::registry::Rooms;
use crate::log::{Op, Outcome, Payload, Post, SocketId};

/// A post, and the socket that it is charged to.
pub struct PostRequest {
    /// The socket.
    pub from: SocketId,
    /// Tells a repeated post from the next one.
    pub count: u64,
    /// What the members get.
    pub data: Payload,
    /// Whose budget pays for it.
    pub sender: Arc<Outbox>,
}

impl Rooms {
    /// Makes one post. What its receivers cost beyond the first is charged once their number is known.
    pub async fn post(&self, room: &RoomId, request: PostRequest) -> PostOutcome {
        let PostRequest { from, count, data, sender } = request;
        let (bytes, now, rates) = (data.get().len(), Instant::now(), self.send_rates());
        if sender.budget(now).take(rates, bytes, 1, now).is_err() {
            return PostOutcome::Limited;
        }
        let (grace, judgement) = self.judgement_for(room);
        let post = Op::Post(Box::new(Post { from, count, data, grace, judgement }));
        let Ok(outcome) = self.decide(room, post).await else { return PostOutcome::Unavailable };
        if let Outcome::Posted(receivers) = outcome {
            let others = bytes.saturating_mul(receivers.saturating_sub(1));
            sender.budget(now).charge(rates, others, now);
        }
        outcome_of(&outcome)
    }

    /// Advances the number that a room holds, unless it is past `from`; `None`: the log did not answer.
    pub async fn advance(&self, room: &RoomId, from: u64) -> Option<u64> {
        match self.decide(room, Op::Advance { from }).await {
            Ok(Outcome::Number(number)) => Some(number),
            Ok(_) | Err(_) => None,
        }
    }
}

fn outcome_of(outcome: &Outcome) -> PostOutcome {
    if let Outcome::Posted(_) | Outcome::Settled = outcome {
        PostOutcome::Posted
    } else if let Outcome::Gone(_) = outcome {
        PostOutcome::Gone
    } else {
        PostOutcome::Unavailable
    }
}
