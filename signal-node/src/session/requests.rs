//! Requests of an authenticated client, and those that are refused before they reach a room.

use std::sync::Arc;
use std::time::Duration;

use signal_protocol::client;
use signal_protocol::client::{Meta, RequestId, Token};
use signal_protocol::report::Report;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{
    ClientMessage, ErrorCode, IceReason, IceServers, Mid, PeerKey, RoomId, ServerMessage, limits,
};
use tokio::time::Instant;

use super::effect::{CallJoin, Effect, IcePurpose, VerifyPurpose};
use super::identity::Identity;
use super::machine::Machine;
use super::memberships::MembershipState;
use crate::credentials::IceOwner;
use crate::log::{Join, Judgement, Payload, Volatile};
use crate::room::Ordered;

/// A refusal of a request.
pub(super) type Refusal = (ErrorCode, String);

impl Machine {
    /// Returns whom a request for ICE servers is for, and counts it.
    #[must_use]
    pub fn ice_owner(&mut self, purpose: &IcePurpose) -> IceOwner {
        let until = self.identity().and_then(Identity::ends);
        let subject = self.identity().and_then(Identity::subject);
        let subject =
            subject.map_or_else(|| self.socket.to_string(), |subject| subject.as_str().to_owned());
        self.ice.request(purpose, subject, until)
    }

    /// Applies an answer of the credential service; `None`: it is unavailable.
    pub fn ice_answered(
        &mut self,
        purpose: IcePurpose,
        servers: Option<Arc<IceServers>>,
        now: Instant,
    ) {
        self.effects.extend(self.ice.answered(purpose, servers, now));
    }

    /// Schedules another request at `at`: the credential service issues other ICE servers now.
    pub fn ice_changed(&mut self, reason: IceReason, at: Instant) {
        self.ice.hurry(reason, at);
    }

    pub(super) fn request(
        &mut self,
        identity: &Identity,
        message: ClientMessage<'_>,
        now: Instant,
    ) {
        match message {
            ClientMessage::Signal(signal) => self.signal(signal),
            ClientMessage::Update(update) => self.update(identity, &update),
            ClientMessage::Volatile(volatile) => self.volatile(volatile),
            ClientMessage::Join(join) => self.join(identity, join, now),
            ClientMessage::Leave(leave) => self.leave(&leave),
            ClientMessage::Kick(kick) => self.kick(identity, kick),
            ClientMessage::Online(online) => self.online(identity, online),
            ClientMessage::Call(call) => self.call(identity, &call),
            ClientMessage::Accept(answer) => self.accept_call(answer),
            ClientMessage::Decline(answer) => self.decline_call(answer),
            ClientMessage::Cancel(cancel) => self.cancel_call(identity, cancel),
            ClientMessage::Offline(client::Request { id }) => self.offline(id),
            ClientMessage::Watch(watch) => self.watch(identity, watch),
            ClientMessage::Unwatch(users) => self.effects.push_back(Effect::Unwatch(users)),
            ClientMessage::Ice(client::Request { id }) if !self.settings.relays => {
                self.send(&ServerMessage::Ice { id, ice: None, reason: IceReason::Request });
            }
            ClientMessage::Ice(request) => {
                self.effects.push_back(Effect::FetchIce(IcePurpose::Request(request.id)));
            }
            ClientMessage::Auth(client::Auth { id, token: Token(token) }) => {
                let purpose = VerifyPurpose::Renew(id);
                self.effects.push_back(Effect::Verify(token.into_owned(), purpose));
            }
            ClientMessage::Hello(_) => {
                self.refuse(ErrorFrame::new(ErrorCode::BadRequest, "hello was said already"));
            }
            ClientMessage::Report(report) => self.report(report),
            ClientMessage::Ping => {}
        }
    }

    fn report(&mut self, report: Box<Report>) {
        if !self.settings.reports {
            let text = "this node takes no reports: send them only where `features` has `report`";
            return self.refuse(ErrorFrame::new(ErrorCode::Unsupported, text));
        }
        let Some(peer) = self.memberships.speaker(&report.room).cloned() else {
            return self.not_joined(&report.room, None, None);
        };
        self.effects.push_back(Effect::Report(peer, report));
    }

    pub(super) fn answer(&mut self, id: Option<RequestId>, (code, message): Refusal) {
        self.refuse(ErrorFrame { id, ..ErrorFrame::new(code, &message) });
    }

    fn join(&mut self, identity: &Identity, join: client::Join<'_>, now: Instant) {
        if let Err(refusal) = self.may_join(identity, &join) {
            return self.answer(join.id, refusal);
        }
        let meta = identity.stamp(join.meta.map(Meta::raw));
        let wish = Box::new(Join {
            attempt: join.attempt.get(),
            // A member that lives has told its updates by `update`, in their order; this may be from before the last of them.
            keeps_meta: join.meta.is_none() || join.seq.is_some(),
            position: join.seq,
            settled: join.mid.filter(|_| join.seq.is_some()),
            ..self.new_join(identity, &join.key, meta)
        });
        self.memberships.join(join.room.clone(), wish.peer.clone());
        let client::Join { room, id, call, .. } = join;
        match call.filter(|_| !identity.may_enter(&room)) {
            Some(grant) => {
                let join = CallJoin { room, wish, grant, id };
                self.effects.push_back(Effect::CheckCall(Box::new(join)));
            }
            None => self.enter(room, wish, id, now),
        }
    }

    /// Has the room take the member in, with ICE servers if some are to be had.
    pub(super) fn enter(
        &mut self,
        room: RoomId,
        wish: Box<Join>,
        id: Option<RequestId>,
        now: Instant,
    ) {
        self.effects.push_back(match self.ice.fresh(now) {
            Some(servers) => Effect::Join(room, wish, id, Some(servers)),
            None if !self.settings.relays => Effect::Join(room, wish, id, None),
            None => Effect::FetchIce(IcePurpose::Join(room, wish, id)),
        });
    }

    /// Returns the join of a new member.
    pub(super) fn new_join(&self, identity: &Identity, key: &PeerKey, meta: Payload) -> Join {
        Join {
            peer: key.peer().clone(),
            key_hash: key.hash().to_owned(),
            attempt: Join::NEXT,
            socket: self.socket,
            node: self.settings.node.clone(),
            user: identity.subject().cloned(),
            meta,
            keeps_meta: true,
            capacity: self.settings.room_capacity,
            token_capacity: identity.capacity(),
            seals_at: None,
            per_subject: self.settings.members_per_sub,
            position: None,
            settled: None,
            grace: self.settings.grace,
            // How the others are, and the log, is the room's to know.
            expires: false,
            judgement: Judgement::certain(Vec::new()),
            waits: false,
            asked_at: None,
        }
    }

    fn may_join(&self, identity: &Identity, join: &client::Join<'_>) -> Result<(), Refusal> {
        let room = &join.room;
        if self.memberships.is_taken(room) {
            let text = format!("this connection is in room '{room}' already");
            return Err((ErrorCode::AlreadyJoined, text));
        }
        let by_call = join.call.is_some() && identity.subject().is_some();
        if !identity.may_enter(room) && !by_call {
            return Err((ErrorCode::Forbidden, format!("the token does not open room '{room}'")));
        }
        if self.memberships.len() >= self.settings.rooms_per_connection {
            let most = self.settings.rooms_per_connection;
            let text = format!("a connection may be in {most} rooms at once");
            return Err((ErrorCode::LimitExceeded, text));
        }
        Ok(())
    }

    pub(super) fn signal(&mut self, signal: client::Signal<'_>) {
        let client::Signal { mid, room, to, data } = signal;
        let Some(peer) = self.memberships.speaker(&room).cloned() else {
            return self.not_joined(&room, Some(mid), None);
        };
        let what = if to.as_ref() == Some(&peer) {
            Ordered::Refuse(ErrorCode::BadRequest, "a signal goes to another member".to_owned())
        } else {
            Ordered::Signal { to, data: data.to_owned().into(), span: None }
        };
        self.effects.push_back(Effect::Ordered(room, peer, mid, what));
    }

    fn update(&mut self, identity: &Identity, update: &client::Update<'_>) {
        let client::Update { mid, room, meta } = update;
        let Some(peer) = self.memberships.speaker(room).cloned() else {
            return self.not_joined(room, Some(*mid), None);
        };
        let what = Ordered::Update(identity.stamp(Some(meta.raw())));
        self.effects.push_back(Effect::Ordered(room.clone(), peer, *mid, what));
    }

    fn volatile(&mut self, volatile: client::Volatile<'_>) {
        let client::Volatile { room, to, data } = volatile;
        let Some(from) = self.memberships.speaker(&room).cloned() else {
            return self.not_joined(&room, None, None);
        };
        let volatile = Volatile { from, to, data: data.to_owned().into() };
        self.effects.push_back(Effect::Tell(room, volatile));
    }

    pub(super) fn leave(&mut self, leave: &client::Leave) {
        let Some(peer) = self.memberships.speaker(&leave.room).cloned() else {
            return self.not_joined(&leave.room, None, leave.id);
        };
        self.memberships.set(&leave.room, MembershipState::Leaving);
        self.effects.push_back(Effect::Leave(leave.room.clone(), peer, leave.id));
    }

    fn kick(&mut self, identity: &Identity, kick: client::Kick) {
        let client::Kick { id, room, peer, ban } = kick;
        if self.memberships.speaker(&room).is_none() {
            return self.not_joined(&room, None, id);
        }
        if !identity.may_moderate() {
            let text = "the token does not allow to moderate".to_owned();
            return self.answer(id, (ErrorCode::Forbidden, text));
        }
        if ban > limits::BAN_SECONDS {
            let text = format!("a ban may last {} s", limits::BAN_SECONDS);
            return self.answer(id, (ErrorCode::BadRequest, text));
        }
        self.effects.push_back(Effect::Kick(room, peer, Duration::from_secs(ban), id));
    }

    fn not_joined(&mut self, room: &RoomId, mid: Option<Mid>, id: Option<RequestId>) {
        let text = format!("this connection is not in room '{room}'");
        let error = ErrorFrame::new(ErrorCode::NotJoined, &text);
        self.refuse(ErrorFrame { id, mid, room: mid.map(|_| room), ..error });
    }
}
