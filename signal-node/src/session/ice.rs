//! The ICE servers of a session, and when it requests fresh ones. Pure: time is an argument.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use signal_protocol::{IceReason, IceServers, RoomId, ServerMessage};
use tokio::time::Instant;

use super::effect::{Effect, IcePurpose};
use crate::credentials::IceOwner;

/// Pause before a credential service that did not answer is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The ICE servers of one session.
#[derive(Debug, Default)]
pub(super) struct IceState {
    current: Option<Arc<IceServers>>,
    due: Option<(Instant, IceReason)>,
    in_flight: Option<InFlight>,
    /// The room they were first asked for: its members meet on one relay.
    room: Option<RoomId>,
}

/// Requests without an answer yet.
#[derive(Debug)]
struct InFlight {
    count: NonZeroU32,
    /// The news that came meanwhile: the answer may be older than them.
    missed: Option<Box<(Instant, IceReason)>>,
}

impl IceState {
    /// Counts a request for ICE servers, and returns whom it is for.
    pub(super) fn request(
        &mut self,
        purpose: &IcePurpose,
        subject: String,
        until: Option<u64>,
    ) -> IceOwner {
        match &mut self.in_flight {
            Some(requests) => requests.count = requests.count.saturating_add(1),
            none => *none = Some(InFlight { count: NonZeroU32::MIN, missed: None }),
        }
        if let IcePurpose::Join(room, ..) = purpose {
            self.room = Some(room.clone());
        }
        IceOwner { subject, network: None, until, room: self.room.clone() }
    }

    /// Applies an answer of the credential service (`None`: it is unavailable), and returns what follows from it.
    pub(super) fn answered(
        &mut self,
        purpose: IcePurpose,
        servers: Option<Arc<IceServers>>,
        now: Instant,
    ) -> Option<Effect> {
        let former = self.current.clone();
        self.store(servers.clone(), now);
        let ice = servers.as_deref();
        let (id, reason) = match purpose {
            IcePurpose::Join(room, join, id) => return Some(Effect::Join(room, join, id, servers)),
            IcePurpose::Request(id) => (id, IceReason::Request),
            IcePurpose::Push(reason) if is_news(ice, former.as_deref()) => (None, reason),
            IcePurpose::Push(_) => return None,
        };
        Some(Effect::Send(ServerMessage::Ice { id, ice, reason }.to_json()))
    }

    /// Returns the ICE servers while they are fresh.
    pub(super) fn fresh(&self, now: Instant) -> Option<Arc<IceServers>> {
        self.current.clone().filter(|_| self.due.is_some_and(|(due, _)| now < due))
    }

    /// Keeps the servers, and sets when to ask next.
    fn store(&mut self, servers: Option<Arc<IceServers>>, now: Instant) {
        let wait = match &servers {
            // However short the validity, the service is not asked more than once a second.
            Some(servers) => Duration::from_secs(servers.refresh_after.max(1)),
            None => ASK_AGAIN_AFTER,
        };
        self.due = Some((now + wait, IceReason::Refresh));
        self.current = servers.or(self.current.take());
        let Some(InFlight { count, missed }) = self.in_flight.take() else { return };
        let others = NonZeroU32::new(count.get() - 1);
        self.in_flight = others.map(|count| InFlight { count, missed: None });
        if let Some((at, reason)) = missed.map(|missed| *missed) {
            self.hurry(reason, at);
        }
    }

    /// Returns when to ask next; `None` before the first answer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.map(|(due, _)| due)
    }

    /// Moves the next request forward to `at`.
    pub(super) fn hurry(&mut self, reason: IceReason, at: Instant) {
        if let Some(requests) = &mut self.in_flight {
            requests.missed = Some(Box::new((at, reason)));
        }
        if let Some(due) = &mut self.due {
            *due = (at.min(due.0), reason);
        }
    }

    /// Takes the next request if it is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<IceReason> {
        self.due.take_if(|(due, _)| *due <= now).map(|(_, reason)| reason)
    }
}

/// Tells whether a client gains by the answer. Its former servers may still be good while the service is unavailable.
fn is_news(ice: Option<&IceServers>, former: Option<&IceServers>) -> bool {
    ice.is_some_and(|ice| former.is_none_or(|former| former.ice_servers != ice.ice_servers))
}
