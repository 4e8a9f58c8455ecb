//! How far a client has come, as the last argument of each event: `POSITION:ROOM`.
//!
//! A client of Socket.IO 4.6 remembers the last text of every event that it gets, and shows it when it connects again. So each
//! event carries such a text, or an application's own last text would stand for one. The room is written as the client calls
//! it: any node resumes by it, and compares it with what the token opens.

use std::fmt;

/// The position of a client in its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// It has got so many events of its own join, and whether that took effect it does not know.
    Joining(usize),
    /// It has got the entry `seq`, and so many events of the next one that has some.
    Entry { seq: u64, events: usize },
}

/// A position, and the room as the client calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) position: Position,
    pub(super) room: String,
}

/// The mark of a client that is in no room.
pub(super) const NO_ROOM: &str = "-";

impl Mark {
    /// Reads a mark; `None`: it is none of ours, or of a client in no room.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (position, room) = text.split_once(':')?;
        let (seq, events) = position.split_once('.').unwrap_or((position, "0"));
        let events = events.parse().ok()?;
        let position = match seq {
            "j" => Position::Joining(events),
            seq => Position::Entry { seq: seq.parse().ok()?, events },
        };
        Some(Self { position, room: room.to_owned() })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Joining(events) => write!(f, "j.{events}:{}", self.room),
            Position::Entry { seq, events: 0 } => write!(f, "{seq}:{}", self.room),
            Position::Entry { seq, events } => write!(f, "{seq}.{events}:{}", self.room),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written_whatever_the_room_is_called() {
        for text in ["j.0:foo", "j.2:a:b", "1790000000000000:", "17.1:fo.o:9"] {
            assert_eq!(Mark::parse(text).unwrap().to_string(), text);
        }
        let mark = Mark::parse("17.1:a:b").unwrap();
        assert_eq!(mark.position, Position::Entry { seq: 17, events: 1 });
        assert_eq!(mark.room, "a:b");
        for text in [NO_ROOM, "", "foo", "x:foo", "-1:foo", "1.x:foo", "1.-1:foo"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
