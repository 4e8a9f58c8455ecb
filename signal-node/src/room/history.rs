//! What of the entries of a room goes into its timeline.

use signal_protocol::{NodeId, Seq, Subject};

use crate::log::Entry;
use crate::timeline::Event;

/// Returns what this node records of an entry. A join is recorded by the node that has the socket, the rest by every node
/// with members in the room, since the one that a member was on may have failed.
pub(super) fn event(Seq(seq): Seq, entry: &Entry, own: &NodeId) -> Option<Event> {
    match entry {
        Entry::Joined { peer, node, resumed, user, .. } if node == own => {
            let user = user.as_ref().map(Subject::as_str).map(str::to_owned);
            let (peer, node) = (peer.clone(), node.to_string());
            Some(Event::Joined { seq, peer, user, node, resumed: *resumed })
        }
        Entry::Away { peer, ago } => {
            let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
            Some(Event::Away { seq, peer: peer.clone(), ago })
        }
        Entry::Back { peer } => Some(Event::Back { seq, peer: peer.clone() }),
        Entry::Left { peer, reason } => {
            Some(Event::Left { seq, peer: peer.clone(), reason: *reason })
        }
        Entry::Reset { .. } => Some(Event::Reset { seq }),
        Entry::Joined { .. }
        | Entry::Signal { .. }
        | Entry::Announced { .. }
        | Entry::Updated { .. }
        | Entry::Call(_)
        | Entry::Unknown
        | Entry::Unreadable => None,
    }
}
