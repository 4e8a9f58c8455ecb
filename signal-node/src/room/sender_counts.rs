//! The last message of each sender that was delivered here.
//!
//! The log takes each message once, by a count that it keeps for each member. One that came back without its last writes has
//! an older count: a call that is repeated, since its answer was lost with the connection, is taken a second time, and its
//! messages get numbers of their own. Whoever was told them before the loss must not be told again.

use std::collections::BTreeMap;

use signal_protocol::{Mid, PeerId};

use crate::log::Entry;

/// What was delivered, by sender.
#[derive(Default)]
pub(super) struct SenderCounts(BTreeMap<PeerId, Mid>);

impl SenderCounts {
    /// Notes an entry that is to be delivered; `false` if its message was delivered before.
    ///
    /// A join begins anew: where every node has lost the count of a member, it numbers its messages from the start. So does a
    /// reset, from the count that is left: who is told of it numbers anew what waits.
    pub(super) fn note(&mut self, entry: &Entry) -> bool {
        match entry {
            Entry::Signal { from, mid, .. } | Entry::Updated { peer: from, mid, .. } => {
                let Some(last) = self.0.get_mut(from) else {
                    self.0.insert(from.clone(), *mid);
                    return true;
                };
                let is_new = *mid > *last;
                *last = (*last).max(*mid);
                is_new
            }
            Entry::Joined { peer, .. } | Entry::Left { peer, .. } => {
                self.0.remove(peer);
                true
            }
            Entry::Reset { roster } => {
                for member in roster {
                    if let Some(last) = self.0.get_mut(&member.line.peer) {
                        *last = (*last).min(member.mid);
                    }
                }
                true
            }
            Entry::Away { .. }
            | Entry::Back { .. }
            | Entry::Announced { .. }
            | Entry::Call(_)
            | Entry::Unknown
            | Entry::Unreadable => true,
        }
    }
}
