//! How many rooms one client may be in, over all of its connections to this node.
//!
//! A room that the client has left counts until the log forgets it. So `leave` and `join` in turn, or a new connection
//! for every eight rooms, fill neither the log in memory nor Redis with rooms of one client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::rate::ip_key;
use signal_protocol::{RoomId, Subject};
use tokio::time::Instant;

/// Clients that are kept before those without rooms are looked for.
const KEPT: usize = 1_024;

/// Whose rooms are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The holder of a token.
    Subject(Subject),
    /// All anonymous connections of one address, IPv6 by /64.
    Anonymous(IpAddr),
    /// The same, in rooms of dialects, of which there are many more: they take no place of its other rooms.
    OfDialects(Box<Client>),
    /// The devices of the holder of a token.
    OfInbox(Subject),
}

impl Client {
    /// Returns whose the rooms of a connection are.
    #[must_use]
    pub fn new(subject: Option<&Subject>, address: IpAddr) -> Self {
        subject.map_or_else(|| Self::Anonymous(ip_key(address)), |own| Self::Subject(own.clone()))
    }

    /// Returns whose the rooms of a connection are that does not speak `signal.v1`.
    #[must_use]
    pub fn of_dialects(self) -> Self {
        Self::OfDialects(Box::new(self))
    }
}

/// The bound on the rooms of one client.
#[derive(Clone, Copy, Debug)]
pub struct RoomQuota {
    /// Rooms that a client is in, or has left a short time ago.
    pub most: usize,
    /// How long a room counts that it has left.
    pub remembered: Duration,
}

/// The client is in as many rooms as it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaExceeded {
    /// When the first of those that it has left is forgotten; `None` if it is in all of them.
    pub after: Option<Duration>,
}

/// The rooms of one client.
#[derive(Debug, Default)]
pub struct ClientRooms(Mutex<Vec<RoomUse>>);

#[derive(Debug)]
struct RoomUse {
    room: RoomId,
    /// Connections that are in it.
    connections: u32,
    /// Once there are none: when it counts no longer.
    forgotten_at: Instant,
}

impl RoomUse {
    fn counts(&self, now: Instant) -> bool {
        self.connections > 0 || now < self.forgotten_at
    }
}

/// The right of one connection to be in one room. Once it is dropped, the room counts for a while longer.
#[derive(Debug)]
pub struct RoomPermit {
    rooms: Arc<ClientRooms>,
    room: RoomId,
    remembered: Duration,
}

impl ClientRooms {
    /// Counts one connection in a room; a room in which the client is already takes nothing from the quota.
    ///
    /// # Errors
    /// [`QuotaExceeded`] says when it may be in another room.
    pub fn enter(
        self: &Arc<Self>,
        room: &RoomId,
        quota: RoomQuota,
        now: Instant,
    ) -> Result<RoomPermit, QuotaExceeded> {
        let mut uses = self.uses();
        uses.retain(|known| known.counts(now));
        if let Some(known) = uses.iter_mut().find(|known| known.room == *room) {
            known.connections += 1;
        } else if uses.len() < quota.most {
            uses.push(RoomUse { room: room.clone(), connections: 1, forgotten_at: now });
        } else {
            return Err(QuotaExceeded { after: next_forgotten(&uses, now) });
        }
        drop(uses);
        Ok(RoomPermit { rooms: self.clone(), room: room.clone(), remembered: quota.remembered })
    }

    fn leave(&self, room: &RoomId, forgotten_at: Instant) {
        if let Some(known) = self.uses().iter_mut().find(|known| known.room == *room) {
            known.connections -= 1;
            known.forgotten_at = forgotten_at;
        }
    }

    fn is_empty(&self, now: Instant) -> bool {
        !self.uses().iter().any(|known| known.counts(now))
    }

    fn uses(&self) -> MutexGuard<'_, Vec<RoomUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn next_forgotten(uses: &[RoomUse], now: Instant) -> Option<Duration> {
    let left = uses.iter().filter(|known| known.connections == 0);
    left.map(|known| known.forgotten_at.saturating_duration_since(now)).min()
}

impl Drop for RoomPermit {
    fn drop(&mut self) {
        self.rooms.leave(&self.room, Instant::now() + self.remembered);
    }
}

/// The rooms of the clients with connections here, and of those that left a short time ago.
#[derive(Debug, Default)]
pub struct RoomQuotas(Mutex<ByClient>);

#[derive(Debug, Default)]
struct ByClient {
    map: HashMap<Client, Arc<ClientRooms>>,
    sweep_at: usize,
}

impl RoomQuotas {
    /// Returns the rooms of a client. Each doubling first forgets the clients that have none.
    pub fn of(&self, client: Client, now: Instant) -> Arc<ClientRooms> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rooms) = clients.map.get(&client) {
            return rooms.clone();
        }
        if clients.map.len() >= clients.sweep_at {
            clients.map.retain(|_, rooms| Arc::strong_count(rooms) > 1 || !rooms.is_empty(now));
            clients.sweep_at = (clients.map.len() * 2).max(KEPT);
        }
        clients.map.entry(client).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: RoomQuota = RoomQuota { most: 2, remembered: Duration::from_secs(100) };

    fn room(name: &str) -> RoomId {
        name.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_counts_once_and_until_it_is_forgotten() {
        let rooms = Arc::new(ClientRooms::default());
        let enter = |name| rooms.enter(&room(name), QUOTA, Instant::now());
        let (one, again, _two) =
            (enter("one").unwrap(), enter("one").unwrap(), enter("two").unwrap());
        assert_eq!(enter("three").unwrap_err(), QuotaExceeded { after: None });
        drop(one);
        assert_eq!(enter("three").unwrap_err().after, None, "another connection is in it");
        drop(again);
        tokio::time::advance(Duration::from_secs(40)).await;
        assert_eq!(enter("three").unwrap_err().after, Some(Duration::from_secs(60)));
        drop(enter("one").unwrap());
        tokio::time::advance(Duration::from_secs(100)).await;
        assert!(enter("three").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn clients_without_rooms_are_forgotten_and_addresses_are_counted_by_network() {
        let quotas = RoomQuotas::default();
        let of = |address: IpAddr| quotas.of(Client::new(None, address), Instant::now());
        let network = |text: &str| of(text.parse().unwrap());
        let held = network("2001:db8::1");
        let _permit = held.enter(&room("one"), QUOTA, Instant::now()).unwrap();
        for number in 0..5_000_u32 {
            of(number.to_be_bytes().into());
        }
        assert!(quotas.0.lock().unwrap().map.len() <= 2 * KEPT);
        assert!(Arc::ptr_eq(&held, &network("2001:db8::2")));
        assert!(!Arc::ptr_eq(&held, &network("2001:db8:0:1::1")));
    }
}
