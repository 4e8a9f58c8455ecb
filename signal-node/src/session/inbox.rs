//! Where a connection stands as a device of its user.

use signal_protocol::{PeerId, RoomId};

use crate::room::FrameEvent;

/// Whether the device of this connection is online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum InboxState {
    #[default]
    Offline,
    /// An `online` is not answered yet.
    Joining {
        /// Whether the device is online over this socket meanwhile, as of before.
        is_online: bool,
    },
    Online,
    /// An `offline` is not answered yet.
    Leaving,
}

/// The inbox that a connection is in, once it has said `online`.
#[derive(Debug)]
struct Device {
    inbox: RoomId,
    peer: PeerId,
    state: InboxState,
}

/// The connection as a device. It takes no place of a room.
#[derive(Debug, Default)]
pub(super) struct InboxMembership(Option<Box<Device>>);

impl InboxMembership {
    /// Tells whether a request waits for its answer.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.0.as_ref().map(|device| device.state);
        matches!(state, Some(InboxState::Joining { .. } | InboxState::Leaving))
    }

    /// Tells whether the device is online over this socket.
    pub(super) fn is_online(&self) -> bool {
        let state = self.0.as_ref().map(|device| device.state);
        matches!(state, Some(InboxState::Online | InboxState::Joining { is_online: true }))
    }

    /// Returns the device, unless this is another one.
    pub(super) fn other_device(&self, peer: &PeerId) -> Option<&PeerId> {
        self.held().map(|(_, held)| held).filter(|held| *held != peer)
    }

    /// Notes an `online` on its way.
    pub(super) fn join(&mut self, inbox: RoomId, peer: PeerId) {
        let state = InboxState::Joining { is_online: self.is_online() };
        self.0 = Some(Box::new(Device { inbox, peer, state }));
    }

    /// Notes an `offline` on its way, and returns what leaves; `None` if the device is not online.
    pub(super) fn leave(&mut self) -> Option<(RoomId, PeerId)> {
        let device = self.0.as_mut().filter(|device| device.state == InboxState::Online)?;
        device.state = InboxState::Leaving;
        Some((device.inbox.clone(), device.peer.clone()))
    }

    /// Applies what a frame means. The last `online` is what counts: one that is on its way outlasts the end of an earlier one.
    pub(super) fn on_frame_sent(&mut self, event: &FrameEvent) {
        let Some(device) = &mut self.0 else { return };
        let joining = matches!(device.state, InboxState::Joining { .. });
        device.state = match event {
            FrameEvent::Joined(_) => InboxState::Online,
            FrameEvent::Refused(_) if device.state == InboxState::Joining { is_online: true } => {
                InboxState::Online
            }
            FrameEvent::Ended(..) if joining => InboxState::Joining { is_online: false },
            FrameEvent::Refused(_) | FrameEvent::Left(_) | FrameEvent::Ended(..) => {
                InboxState::Offline
            }
            FrameEvent::Lost(_)
            | FrameEvent::Unwatched(_)
            | FrameEvent::Rings(_)
            | FrameEvent::CallOver(_)
            | FrameEvent::ForClient
            | FrameEvent::Traced(_) => device.state,
        };
    }

    /// Returns the membership to detach once the connection has ended.
    pub(super) fn held(&self) -> Option<(&RoomId, &PeerId)> {
        let device = self.0.as_ref().filter(|device| device.state != InboxState::Offline)?;
        Some((&device.inbox, &device.peer))
    }
}

#[cfg(test)]
mod tests {
    use signal_protocol::{LeftReason, Subject};

    use super::*;

    fn inbox() -> RoomId {
        RoomId::inbox(&Subject::new("bo").unwrap())
    }

    fn joining() -> InboxMembership {
        let mut membership = InboxMembership::default();
        membership.join(inbox(), "p_a".parse().unwrap());
        membership
    }

    #[test]
    fn a_refused_change_leaves_the_device_online_and_a_refused_beginning_does_not() {
        let mut membership = joining();
        membership.on_frame_sent(&FrameEvent::Refused(inbox()));
        assert_eq!(membership.held(), None);
        membership.join(inbox(), "p_a".parse().unwrap());
        membership.on_frame_sent(&FrameEvent::Joined(inbox()));
        membership.join(inbox(), "p_a".parse().unwrap());
        assert!(membership.is_busy() && membership.is_online() && membership.leave().is_none());
        membership.on_frame_sent(&FrameEvent::Refused(inbox()));
        assert!(membership.is_online() && !membership.is_busy());
    }

    #[test]
    fn an_online_on_its_way_outlasts_the_takeover_of_the_one_before() {
        let mut membership = joining();
        membership.on_frame_sent(&FrameEvent::Joined(inbox()));
        membership.join(inbox(), "p_a".parse().unwrap());
        membership.on_frame_sent(&FrameEvent::Ended(inbox(), LeftReason::Replaced));
        assert!(membership.held().is_some() && !membership.is_online());
        membership.on_frame_sent(&FrameEvent::Joined(inbox()));
        assert!(membership.is_online());
    }
}
