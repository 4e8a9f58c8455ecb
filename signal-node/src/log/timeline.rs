//! Lines about the past of a room, or of a subject: kept beside the rooms and read by people only.
//!
//! No decision depends on them, so they are appended without being ordered with the entries of the room, at least once.

use std::time::Duration;

use futures_util::future::BoxFuture;
use signal_protocol::{RoomId, Subject};

use super::LogError;

/// Whose timeline it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TimelineKey {
    /// What happened in a room.
    Room(RoomId),
    /// The rooms that a subject entered.
    Subject(Subject),
}

impl TimelineKey {
    /// Returns how many of the last lines are kept. A member of a room with two leaves about ten, of a few hundred bytes each.
    #[must_use]
    pub fn length(&self) -> usize {
        match self {
            Self::Room(_) => 1_000,
            Self::Subject(_) => 200,
        }
    }
}

/// Where timelines are kept.
pub trait TimelineStore: Send + Sync + 'static {
    /// Appends lines, and keeps what is younger than `age`. After an error the outcome is unknown; a repeated call may append
    /// the lines twice.
    fn append<'a>(
        &'a self,
        key: &'a TimelineKey,
        lines: &'a [String],
        age: Duration,
    ) -> BoxFuture<'a, Result<(), LogError>>;

    /// Reads the lines, oldest first.
    fn lines<'a>(&'a self, key: &'a TimelineKey) -> BoxFuture<'a, Result<Vec<String>, LogError>>;
}
