//! Topics: anybody subscribes, anybody publishes, and a subscriber gets what it publishes itself. y-webrtc speaks so, and
//! trystero with its strategy `ws-relay`.
//!
//! A topic is a room, a subscription a membership with a random key. A publication is a post, since the publisher need not
//! be subscribed. It waits while the subscription of its publisher is under way, so that the publisher gets it as well:
//! y-webrtc subscribes and publishes in one breath.

mod message;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use signal_protocol::{RoomId, RoomTag};

use self::message::{Message, Names};
use crate::dialect::{
    Dialect, DialectEffect, DialectName, DrainTime, Effects, IgnoredReason, PostOutcome,
    RETRY_AFTER, RoomJoin,
};
use crate::frame::Frame;
use crate::posts::{PostQueues, WhenGone};

/// Topics that one connection may be subscribed to.
const TOPICS: usize = 100;

/// The longest name of a topic, in bytes.
const NAME_BYTES: usize = 1_024;

/// How long a subscription to a full topic waits until it is tried again.
const FULL_RETRY: Duration = Duration::from_secs(5);

/// One connection of y-webrtc or trystero.
#[derive(Debug, Default)]
pub struct Topics {
    rooms: HashMap<RoomId, Topic>,
    posts: PostQueues,
    requests: u64,
    /// Whether the client names its topics one by one: trystero, which subscribes to nothing after a reconnect.
    subscribes_once: bool,
}

/// A topic that the client is subscribed to, or is about to leave.
#[derive(Debug)]
struct Topic {
    name: String,
    /// Whether the client is subscribed.
    wanted: bool,
    membership: Membership,
}

/// The membership behind a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Membership {
    /// There is none, and none is asked for before this moment.
    Absent(Option<Instant>),
    /// The join with this id is not answered.
    Joining(u64),
    Joined,
    /// The leave with this id is not answered.
    Leaving(u64),
}

impl Topics {
    fn subscribe(&mut self, names: &Names<'_>, effects: &mut Effects) {
        self.subscribes_once |= matches!(names, Names::One(_));
        for name in names.iter() {
            let room = RoomId::of_dialect(RoomTag::Topic, name);
            let is_new = !self.rooms.contains_key(&room);
            if name.len() > NAME_BYTES || (is_new && self.rooms.len() >= TOPICS) {
                effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
                continue;
            }
            let absent = Membership::Absent(None);
            let new = || Topic { name: name.to_owned(), wanted: true, membership: absent };
            self.rooms.entry(room.clone()).or_insert_with(new).wanted = true;
            self.reconcile(&room, effects);
        }
    }

    fn unsubscribe(&mut self, names: &Names<'_>, effects: &mut Effects) {
        for name in names.iter() {
            let room = RoomId::of_dialect(RoomTag::Topic, name);
            if let Some(topic) = self.rooms.get_mut(&room) {
                topic.wanted = false;
                self.reconcile(&room, effects);
            }
        }
    }

    /// Asks for the membership that the client wants, unless an answer is under way.
    fn reconcile(&mut self, room: &RoomId, effects: &mut Effects) {
        let Some(topic) = self.rooms.get_mut(room) else { return };
        let (id, room) = (self.requests + 1, room.clone());
        match (topic.wanted, topic.membership) {
            (true, Membership::Absent(None)) => {
                self.requests = id;
                topic.membership = Membership::Joining(id);
                let name = topic.name.clone();
                effects.push(DialectEffect::Join(RoomJoin::new(room, name, None, id)));
            }
            (false, Membership::Joined) => {
                self.requests = id;
                topic.membership = Membership::Leaving(id);
                effects.push(DialectEffect::Leave { room, id });
            }
            (false, Membership::Absent(_)) => {
                self.rooms.remove(&room);
            }
            (true, _) | (false, Membership::Joining(_) | Membership::Leaving(_)) => {}
        }
    }

    fn publish(
        &mut self,
        (topic, data): (&str, Box<serde_json::value::RawValue>),
        now: Instant,
        effects: &mut Effects,
    ) {
        if topic.len() > NAME_BYTES {
            return effects.push(DialectEffect::Ignore(IgnoredReason::Limit));
        }
        let room = RoomId::of_dialect(RoomTag::Topic, topic);
        if self.rooms.get(&room).is_some_and(Topic::is_joining) {
            return self.posts.push_held((&room, topic), data, effects);
        }
        self.posts.push((&room, topic), data, WhenGone::Drop, (now, effects));
    }

    /// Returns the room whose join or leave has this id.
    fn room_of(&self, id: Option<u64>) -> Option<RoomId> {
        let asked = |topic: &Topic| match topic.membership {
            Membership::Joining(of) | Membership::Leaving(of) => Some(of) == id,
            Membership::Absent(_) | Membership::Joined => false,
        };
        self.rooms.iter().find_map(|(room, topic)| asked(topic).then(|| room.clone()))
    }

    fn set(&mut self, room: &RoomId, membership: Membership, now: Instant, effects: &mut Effects) {
        let Some(topic) = self.rooms.get_mut(room) else { return };
        topic.membership = membership;
        self.reconcile(room, effects);
        if !self.rooms.get(room).is_some_and(Topic::is_joining) {
            self.posts.release(room, now, effects);
        }
    }

    /// Applies that a join was refused. It is tried again, but for a token that does not open the topic.
    fn refused(
        &mut self,
        room: &RoomId,
        (code, after): (&str, Option<u64>),
        now: Instant,
        effects: &mut Effects,
    ) {
        let reason = match code {
            "room_full" => IgnoredReason::Full,
            "forbidden" => IgnoredReason::Forbidden,
            "unavailable" | "internal" => IgnoredReason::Unavailable,
            _ => IgnoredReason::Limit,
        };
        effects.push(DialectEffect::Ignore(reason));
        if reason == IgnoredReason::Forbidden {
            self.rooms.remove(room);
            return self.posts.release(room, now, effects);
        }
        let after = after.map_or(RETRY_AFTER, Duration::from_millis);
        let after = if reason == IgnoredReason::Full { FULL_RETRY } else { after.max(RETRY_AFTER) };
        self.set(room, Membership::Absent(Some(now + after)), now, effects);
    }
}

impl Topic {
    /// Tells whether what the client publishes waits for its subscription.
    fn is_joining(&self) -> bool {
        self.wanted && matches!(self.membership, Membership::Joining(_) | Membership::Leaving(_))
    }
}

impl Dialect for Topics {
    fn name(&self) -> DialectName {
        DialectName::Topics
    }

    fn on_text(&mut self, text: &str, now: Instant, effects: &mut Effects) {
        match Message::read(text) {
            Some(Message::Subscribe(names)) => self.subscribe(&names, effects),
            Some(Message::Unsubscribe(names)) => self.unsubscribe(&names, effects),
            Some(Message::Publish { topic, data }) => self.publish((&topic, data), now, effects),
            Some(Message::Ping) => {
                effects.push(DialectEffect::Send(r#"{"type":"pong"}"#.to_owned()));
            }
            Some(Message::Unknown) => {
                effects.push(DialectEffect::Ignore(IgnoredReason::UnknownType));
            }
            None => effects.push(DialectEffect::Ignore(IgnoredReason::Malformed)),
        }
    }

    fn on_frame(&mut self, frame: &str, now: Instant, effects: &mut Effects) {
        match Frame::read(frame) {
            Frame::Joined { id, .. } => {
                if let Some(room) = self.room_of(id) {
                    self.set(&room, Membership::Joined, now, effects);
                }
            }
            Frame::Done { id } => {
                if let Some(room) = self.room_of(id) {
                    self.set(&room, Membership::Absent(None), now, effects);
                }
            }
            Frame::Refused { id, code, after } => {
                if let Some(room) = self.room_of(id) {
                    self.refused(&room, (&code, after), now, effects);
                }
            }
            Frame::Left { room } => self.lost(&room, now, effects),
            Frame::Posted { room, data, .. } => {
                if self.rooms.get(&*room).is_some_and(|topic| topic.wanted) {
                    effects.push(DialectEffect::Send(data.get().to_owned()));
                }
            }
            Frame::Welcome
            | Frame::Settled { .. }
            | Frame::SignalRefused { .. }
            | Frame::PeerUpdated { .. }
            | Frame::PeerJoined { .. }
            | Frame::PeerLeft { .. }
            | Frame::Reset { .. }
            | Frame::Other => {}
        }
    }

    fn on_posted(
        &mut self,
        room: &RoomId,
        outcome: PostOutcome,
        now: Instant,
        effects: &mut Effects,
    ) {
        // Nothing that is published waits for a subscriber.
        let _absent = self.posts.answered(room, outcome, now, effects);
    }

    fn on_lost(&mut self, room: &RoomId, now: Instant, effects: &mut Effects) {
        self.lost(room.as_str(), now, effects);
    }

    fn next_tick(&self) -> Option<Instant> {
        let retries = self.rooms.values().filter_map(|topic| match topic.membership {
            Membership::Absent(at) => at,
            Membership::Joining(_) | Membership::Joined | Membership::Leaving(_) => None,
        });
        retries.chain(self.posts.next_retry()).min()
    }

    fn tick(&mut self, now: Instant, effects: &mut Effects) {
        self.posts.tick(now, effects);
        let is_due =
            |topic: &Topic| matches!(topic.membership, Membership::Absent(Some(at)) if at <= now);
        let due = self.rooms.iter().filter(|(_, topic)| is_due(topic));
        let due: Vec<RoomId> = due.map(|(room, _)| room.clone()).collect();
        for room in due {
            self.set(&room, Membership::Absent(None), now, effects);
        }
    }

    /// y-webrtc subscribes again after a reconnect. trystero does not, so its connection is kept for as long as possible.
    fn drain_time(&self) -> DrainTime {
        if self.subscribes_once { DrainTime::Deadline } else { DrainTime::Early }
    }
}

impl Topics {
    /// Joins again: the room has ended the membership.
    fn lost(&mut self, room: &str, now: Instant, effects: &mut Effects) {
        if let Some((room, _)) = self.rooms.get_key_value(room) {
            let room = room.clone();
            self.set(&room, Membership::Absent(None), now, effects);
        }
    }
}
