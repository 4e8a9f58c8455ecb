//! The names of keys and channels in Redis.

use std::sync::Arc;

use signal_protocol::RoomId;

use super::prefix::RedisPrefix;
use crate::log::{EventQueue, Op, TimelineKey};

/// What stands before all names of one deployment.
#[derive(Clone, Debug)]
pub(super) struct KeySpace {
    keys: Arc<str>,
    channels: Arc<str>,
}

/// The keys of one room; the braces put them into one slot of a cluster.
pub(super) struct Keys {
    pub(super) hash: String,
    pub(super) members: String,
    pub(super) stream: String,
    pub(super) configuration: String,
    pub(super) events: String,
    pub(super) channel: String,
}

impl KeySpace {
    /// Channels know no databases, so the number of one other than 0 is part of their names.
    pub(super) fn new(prefix: &RedisPrefix, database: u8) -> Self {
        let keys = prefix.as_str();
        let channels = if database == 0 { keys.to_owned() } else { format!("{keys}db{database}:") };
        Self { keys: keys.into(), channels: channels.into() }
    }

    pub(super) fn room(&self, room: &RoomId) -> Keys {
        let key = |kind: char| format!("{}{{{room}}}:{kind}", self.keys);
        Keys {
            hash: key('h'),
            members: key('m'),
            stream: key('l'),
            configuration: key('f'),
            events: key('w'),
            channel: self.channel(room),
        }
    }

    pub(super) fn channel(&self, room: &RoomId) -> String {
        format!("{}{{{room}}}:c", self.channels)
    }

    /// Returns the key of an announcement with an idempotency key; it holds the number of the entry.
    pub(super) fn announcement(&self, room: &RoomId, op: &Op) -> Option<String> {
        let Op::Announce { key: Some(key), .. } = op else { return None };
        Some(format!("{}{{{room}}}:i:{key}", self.keys))
    }

    /// Returns the key of a timeline. That of a room lies in the slot of the room; that of a subject has a slot of its own,
    /// which no room has, since `:` is not of their alphabet.
    pub(super) fn timeline(&self, key: &TimelineKey) -> String {
        match key {
            TimelineKey::Room(room) => format!("{}{{{room}}}:t", self.keys),
            TimelineKey::Subject(subject) => format!("{}{{sub:{subject}}}:t", self.keys),
        }
    }

    /// Returns the stream of a queue of events, and the hash of its deliveries.
    pub(super) fn events(&self, queue: &EventQueue) -> [String; 2] {
        let tag = match queue {
            EventQueue::Room(room) => room.as_str(),
            EventQueue::Replays => "webhooks:replays",
        };
        ['w', 'd'].map(|kind| format!("{}{{{tag}}}:{kind}", self.keys))
    }

    /// Returns the room of a channel.
    pub(super) fn room_of_channel(&self, channel: &str) -> Option<RoomId> {
        let name = channel.strip_prefix(&*self.channels)?.strip_prefix('{')?;
        RoomId::stored(name.strip_suffix("}:c")?)
    }

    /// Returns the name of a key that all rooms share.
    pub(super) fn shared(&self, name: &str) -> String {
        format!("{}{name}", self.keys)
    }
}

#[cfg(test)]
mod tests {
    use signal_protocol::Subject;

    use super::*;

    #[test]
    fn a_timeline_lies_beside_its_room_and_that_of_a_subject_is_no_room_s() {
        let space = KeySpace::new(&"eu:".parse().unwrap(), 0);
        let room = space.timeline(&TimelineKey::Room("demo".parse().unwrap()));
        let subject = space.timeline(&TimelineKey::Subject(Subject::new("a}b").unwrap()));
        assert_eq!((room.as_str(), subject.as_str()), ("eu:{demo}:t", "eu:{sub:a%7Db}:t"));
    }

    #[test]
    fn a_queue_of_events_lies_beside_its_room_and_a_channel_tells_its_room() {
        let space = KeySpace::new(&"eu:".parse().unwrap(), 1);
        let inbox = RoomId::inbox(&Subject::new("bo").unwrap());
        for room in ["demo".parse().unwrap(), inbox] {
            assert_eq!(space.room_of_channel(&space.channel(&room)), Some(room));
        }
        let replays = space.events(&EventQueue::Replays);
        assert_eq!(replays, ["eu:{webhooks:replays}:w", "eu:{webhooks:replays}:d"]);
        assert_eq!(space.room_of_channel("eu:{demo}:c"), None, "of another database");
    }

    #[test]
    fn a_prefix_stands_before_the_braces_and_a_database_in_channels_only() {
        let room = "demo".parse().unwrap();
        let named = |prefix: &str, database| {
            let space = KeySpace::new(&prefix.parse().unwrap(), database);
            [space.room(&room).hash, space.channel(&room), space.shared("nodes")]
        };
        assert_eq!(named("", 0), ["{demo}:h", "{demo}:c", "nodes"]);
        assert_eq!(named("", 1), ["{demo}:h", "db1:{demo}:c", "nodes"]);
        assert_eq!(named("eu:", 1), ["eu:{demo}:h", "eu:db1:{demo}:c", "eu:nodes"]);
    }
}
