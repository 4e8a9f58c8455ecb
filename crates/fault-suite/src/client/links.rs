//! The socket in use, and the one that is to replace it.

use std::net::SocketAddr;

use fastrand::Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::link::{Heard, Inbox, Link, token};

/// Which of the two a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Current,
    Next,
}

/// At most two links.
pub(super) struct Links {
    current: Option<Link>,
    next: Option<Link>,
    inbox: Inbox,
    token: String,
    doors: Vec<SocketAddr>,
    first_door: Option<usize>,
    last_door: Option<usize>,
    opened: u64,
}

impl Links {
    pub(super) fn new(
        client: u32,
        doors: Vec<SocketAddr>,
        first_door: Option<usize>,
    ) -> (Self, mpsc::Receiver<(u64, Heard)>) {
        let (inbox, heard) = mpsc::channel(256);
        let token = token(&format!("c{client}"));
        let (current, next, last_door, opened) = (None, None, None, 0);
        (Self { current, next, inbox, token, doors, first_door, last_door, opened }, heard)
    }

    /// Opens a link to another node than the last one, as a balancer that knows of the loss would.
    fn open(&mut self, rng: &mut Rng) -> Link {
        let count = self.doors.len();
        let door = match (self.first_door.take(), self.last_door) {
            (Some(door), _) => door,
            (None, Some(last)) if count > 1 => (last + rng.usize(1..count)) % count,
            (None, _) => rng.usize(0..count),
        };
        self.last_door = Some(door);
        self.opened += 1;
        let target = (door, self.doors[door]);
        Link::open(self.opened, target, self.token.clone(), self.inbox.clone())
    }

    /// Opens a first link, if there is none.
    pub(super) fn connect(&mut self, rng: &mut Rng) {
        if self.current.is_none() {
            self.current = Some(self.open(rng));
        }
    }

    /// Opens the link that is to replace the current one, if there is none.
    pub(super) fn prepare(&mut self, rng: &mut Rng) {
        if self.next.is_none() {
            self.next = Some(self.open(rng));
        }
    }

    /// The next link is the current one from now on; what it replaces is closed.
    pub(super) fn promote(&mut self) {
        if let Some(old) = std::mem::replace(&mut self.current, self.next.take()) {
            old.close();
        }
    }

    /// Which of the two a link is, if it still is one.
    pub(super) fn place(&self, number: u64) -> Option<Place> {
        let is = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.number == number);
        match (is(&self.current), is(&self.next)) {
            (true, _) => Some(Place::Current),
            (false, true) => Some(Place::Next),
            (false, false) => None,
        }
    }

    pub(super) fn get(&mut self, number: u64) -> Option<&mut Link> {
        let links = [&mut self.current, &mut self.next].into_iter().flatten();
        links.into_iter().find(|link| link.number == number)
    }

    /// Drops a link that is gone or of no use.
    pub(super) fn remove(&mut self, place: Place) {
        match place {
            Place::Current => self.current = self.next.take(),
            Place::Next => self.next = None,
        }
    }

    /// Whether there is a link in use or to be used.
    pub(super) fn any(&self) -> bool {
        self.current.is_some()
    }

    /// The number of the current link, if it was welcomed.
    pub(super) fn welcome(&self) -> Option<u64> {
        self.current.as_ref().filter(|link| link.is_welcome()).map(|link| link.number)
    }

    /// Gives both up, and hands out the current one.
    pub(super) fn take(&mut self) -> Option<Link> {
        self.next = None;
        self.current.take()
    }

    /// When silence needs attention next.
    pub(super) fn watch_at(&self) -> Option<Instant> {
        [&self.current, &self.next].into_iter().flatten().map(Link::watch_at).min()
    }

    /// Breaks silences that are due; returns a link that has been silent for too long.
    pub(super) fn watch(&mut self, now: Instant) -> Option<u64> {
        let links = [&mut self.current, &mut self.next].into_iter().flatten();
        links.into_iter().find_map(|link| (!link.watch(now)).then_some(link.number))
    }
}
