//! Who is in a room, as its events tell.

use std::collections::BTreeMap;

use signal_protocol::PeerId;

use super::event::{Member, RoomEvent};

/// The other members of a room, after the events that were applied.
#[derive(Clone, Debug, Default)]
pub struct Roster(BTreeMap<PeerId, Member>);

impl Roster {
    /// Finds a member.
    #[must_use]
    pub fn get(&self, id: &PeerId) -> Option<&Member> {
        self.0.get(id)
    }

    /// Iterates over the members by their ids.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.0.values()
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether this client is alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Follows an event.
    pub fn apply(&mut self, event: &RoomEvent) {
        match event {
            RoomEvent::Joined { members: Some(members), .. } | RoomEvent::Reset { members, .. } => {
                let by_id = members.iter().map(|member| (member.id.clone(), member.clone()));
                self.0 = by_id.collect();
            }
            RoomEvent::PeerJoined { member, .. } => {
                self.0.insert(member.id.clone(), member.clone());
            }
            RoomEvent::PeerUpdated { peer, away, meta, .. } => {
                if let Some(member) = self.0.get_mut(peer) {
                    member.away = away.unwrap_or(member.away);
                    if let Some(meta) = meta {
                        member.meta = meta.clone();
                    }
                }
            }
            RoomEvent::PeerLeft { peer, .. } => {
                self.0.remove(peer);
            }
            RoomEvent::Expired | RoomEvent::Left(_) => self.0.clear(),
            RoomEvent::Joined { members: None, .. }
            | RoomEvent::Away
            | RoomEvent::Signal { .. }
            | RoomEvent::Volatile { .. }
            | RoomEvent::Delayed(_) => {}
        }
    }
}
