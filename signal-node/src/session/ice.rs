//! Which ICE servers a session holds, and when it needs fresh ones.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{IceReason, IceServers, RoomId, ServerMessage};
use tokio::time::Instant;

use super::effect::{Effect, IcePurpose};
use super::identity::Identity;
use super::machine::Machine;

/// Pause before a credential service that did not answer is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The ICE servers of one session.
#[derive(Debug, Default)]
pub(super) struct IceState {
    current: Option<Arc<IceServers>>,
    due: Option<(Instant, IceReason)>,
    /// Questions without an answer yet.
    asked: u32,
    /// What changed while there was one: its answer may be older than that.
    missed: Option<Box<(Instant, IceReason)>>,
    /// The room they were first asked for: its members meet on one relay.
    room: Option<RoomId>,
}

impl IceState {
    /// Returns what can be handed out without asking anyone.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<IceServers>> {
        self.current.clone().filter(|_| self.due.is_some_and(|(due, _)| now < due))
    }

    /// Takes an answer in; `None`: the service is away. Sets when to ask next.
    fn answered(&mut self, servers: Option<Arc<IceServers>>, now: Instant) {
        let wait = match &servers {
            // However short the validity, the service is not asked more than once a second.
            Some(servers) => Duration::from_secs(servers.refresh_after.max(1)),
            None => ASK_AGAIN_AFTER,
        };
        self.due = Some((now + wait, IceReason::Refresh));
        self.current = servers.or(self.current.take());
        self.asked = self.asked.saturating_sub(1);
        if let Some((at, reason)) = self.missed.take().map(|missed| *missed) {
            self.hurry(reason, at);
        }
    }

    /// Returns when to ask next; `None` before the first answer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|(due, _)| due)
    }

    /// Brings the appointment forward.
    fn hurry(&mut self, reason: IceReason, at: Instant) {
        if self.asked > 0 {
            self.missed = Some(Box::new((at, reason)));
        }
        if let Some(due) = &mut self.due {
            *due = (at.min(due.0), reason);
        }
    }

    /// Takes the appointment out if its time has come.
    fn take_due(&mut self, now: Instant) -> Option<IceReason> {
        self.due.take_if(|(due, _)| *due <= now).map(|(_, reason)| reason)
    }
}

/// Whom ICE servers are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceOwner {
    /// The subject, or this very connection where there is none.
    pub subject: String,
    /// The room whose members should meet on one relay.
    pub room: Option<RoomId>,
}

impl Machine {
    /// Names whom ICE servers are asked for, now that they are.
    #[must_use]
    pub fn ice_owner(&mut self, purpose: &IcePurpose) -> IceOwner {
        self.ice.asked += 1;
        if let IcePurpose::Join(room, ..) = purpose {
            self.ice.room = Some(room.clone());
        }
        let subject = self.identity().and_then(Identity::subject);
        let subject = subject.map_or_else(|| self.socket.to_string(), ToString::to_string);
        IceOwner { subject, room: self.ice.room.clone() }
    }

    /// Takes in ICE servers; `None`: the credential service is away.
    pub fn ice_answered(
        &mut self,
        purpose: IcePurpose,
        servers: Option<Arc<IceServers>>,
        now: Instant,
    ) {
        let former = self.ice.current.clone();
        self.ice.answered(servers.clone(), now);
        let ice = servers.as_deref();
        match purpose {
            IcePurpose::Join(room, join, id) => {
                self.effects.push_back(Effect::Join(room, join, id, servers));
            }
            IcePurpose::Request(id) => {
                self.send(&ServerMessage::Ice { id, ice, reason: IceReason::Request });
            }
            IcePurpose::Push(reason) if is_news(ice, former.as_deref()) => {
                self.send(&ServerMessage::Ice { id: None, ice, reason });
            }
            IcePurpose::Push(_) => {}
        }
    }

    /// What the credential service hands out is another now: asks again at `at`.
    pub fn ice_changed(&mut self, reason: IceReason, at: Instant) {
        self.ice.hurry(reason, at);
    }

    pub(super) fn tick_ice(&mut self, now: Instant) {
        if self.memberships.is_empty() {
            return;
        }
        if let Some(reason) = self.ice.take_due(now) {
            self.effects.push_back(Effect::FetchIce(IcePurpose::Push(reason)));
        }
    }
}

/// Tells whether a client gains by the answer. What it has may still be good while the service is away.
fn is_news(ice: Option<&IceServers>, former: Option<&IceServers>) -> bool {
    ice.is_some_and(|ice| former.is_none_or(|former| former.ice_servers != ice.ice_servers))
}
