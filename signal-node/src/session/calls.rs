//! `call`, `accept`, `decline` and `cancel`, and rooms that are entered by a call.

use std::time::Duration;

use signal_protocol::calls::{Call, CallAnswer, CallGrant, Cancel, survives_glare};
use signal_protocol::client::{Meta, RequestId};
use signal_protocol::server::ErrorFrame;
use signal_protocol::{CallEnd, CallId, ErrorCode, RoomId, Subject, limits};
use tokio::time::Instant;

use super::effect::{CallJoin, Effect, OutgoingCall};
use super::identity::Identity;
use super::machine::Machine;
use super::requests::Refusal;
use super::run::Session;
use super::socket::Socket;
use crate::log::{CallState, CallStep, CallsView, Op, Outcome, Ring};
use crate::room::{CallCommand, Command, FrameEvent, Reply, RingCommand};

/// Calls that one connection may have begun at once.
const OUTGOING: usize = 16;

impl Machine {
    /// Rings the devices of another user.
    pub(super) fn call(&mut self, identity: &Identity, call: &Call<'_>) {
        match outgoing(identity, call) {
            Ok(outgoing) => self.effects.push_back(Effect::Call(Box::new(outgoing))),
            Err(refusal) => self.answer(call.id, refusal),
        }
    }

    /// Has the device of this connection take a call.
    pub(super) fn accept_call(&mut self, CallAnswer { id, call }: CallAnswer) {
        let step = self.device().map(|(inbox, peer)| (inbox, CallStep::Accept(peer)));
        self.step_call(step, call, id);
    }

    /// Has the device of this connection decline a call, or hang up.
    pub(super) fn decline_call(&mut self, CallAnswer { id, call }: CallAnswer) {
        let step = |(inbox, peer)| (inbox, CallStep::Decline(peer, CallEnd::Declined));
        let step = self.device().map(step);
        self.step_call(step, call, id);
    }

    /// Has the caller give up, or hang up.
    pub(super) fn cancel_call(&mut self, identity: &Identity, Cancel { id, to, call }: Cancel) {
        let from = identity.subject().cloned();
        let step = |from| (RoomId::inbox(&to), CallStep::Cancel(from, CallEnd::Cancelled));
        self.step_call(from.map(step), call, id);
    }

    fn device(&self) -> Option<(RoomId, signal_protocol::PeerId)> {
        let held = self.inbox.held().filter(|_| self.inbox.is_online());
        held.map(|(inbox, peer)| (inbox.clone(), peer.clone()))
    }

    fn step_call(&mut self, step: Option<(RoomId, CallStep)>, call: CallId, id: Option<RequestId>) {
        let Some((inbox, step)) = step else {
            let text = "this connection is not online, so that it has no calls".to_owned();
            return self.answer(id, (ErrorCode::NotJoined, text));
        };
        self.effects.push_back(Effect::StepCall { inbox, call, step, id });
    }

    /// Applies what the inbox says of the right by which a room is entered.
    pub(super) fn call_checked(&mut self, join: CallJoin, is_granted: bool, now: Instant) {
        let CallJoin { room, wish, id, .. } = join;
        if is_granted {
            return self.enter(room, wish, id, now);
        }
        self.memberships.free(&room);
        self.answer(id, (ErrorCode::Forbidden, format!("no call of yours opens room '{room}'")));
    }
}

/// Reads what is to ring, if the token allows it.
fn outgoing(identity: &Identity, call: &Call<'_>) -> Result<OutgoingCall, Refusal> {
    let Call { id, to, call: name, room, timeout, data } = call;
    let from = identity.subject().filter(|_| identity.may_call(to));
    let Some(from) = from else {
        let text = "the token does not allow to call this user".to_owned();
        return Err((ErrorCode::Forbidden, text));
    };
    if from == to {
        return Err((ErrorCode::BadRequest, "nobody calls oneself".to_owned()));
    }
    if !(1..=limits::RING_SECONDS).contains(timeout) {
        let text = format!("timeout must be 1 to {} s", limits::RING_SECONDS);
        return Err((ErrorCode::BadRequest, text));
    }
    if let Some(room) = room.as_ref().filter(|room| !identity.may_enter(room)) {
        return Err((ErrorCode::Forbidden, format!("the token does not open room '{room}'")));
    }
    let room = room.clone().unwrap_or_else(|| RoomId::of_call(from, to, name));
    let data = data.map(|data| Meta::raw(data).to_owned().into());
    let (call, from, timeout) = (name.clone(), from.clone(), Duration::from_secs(*timeout));
    let ring = Ring { call, from, to: to.clone(), room, timeout, data };
    Ok(OutgoingCall { to: to.clone(), ring, id: *id })
}

impl<S: Socket> Session<'_, S> {
    /// Has the inbox of the callee ring.
    pub(super) fn call(&mut self, OutgoingCall { to, ring, id }: OutgoingCall) {
        let outgoing = self.calls.as_ref().map_or(0, |calls| calls.others(&ring.call));
        if outgoing >= OUTGOING {
            let text = "a connection may have 16 calls at once";
            return self.refuse(id, ErrorFrame::new(ErrorCode::LimitExceeded, text));
        }
        self.share_budget();
        if self.context.rooms.charge_watch(&self.outbox, limits::DEVICES as usize).is_err() {
            let text = "too many users are called at once";
            return self.refuse(id, ErrorFrame::new(ErrorCode::RateLimited, text));
        }
        let (socket, reply) = (self.machine.socket(), self.reply(id));
        let command = Command::Ring(Box::new(RingCommand { ring: ring.clone(), socket, reply }));
        match self.context.rooms.enter(&RoomId::inbox(&to), command) {
            Ok(handle) => {
                self.calls.get_or_insert_default().insert(ring.call, to, handle);
            }
            Err(_) => self.refuse(id, self.too_busy()),
        }
    }

    fn refuse(&self, id: Option<RequestId>, error: ErrorFrame<'_>) {
        self.context.metrics.refused(error.code);
        self.reply(id).refuse(error, None);
    }

    /// Has an inbox take a step of a call.
    pub(super) fn step_call(&self, inbox: &RoomId, command: CallCommand) {
        let reply = command.reply.clone();
        if self.context.rooms.enter(inbox, Command::StepCall(Box::new(command))).is_err() {
            reply.refuse(self.too_busy(), None);
        }
    }

    /// Notes what a frame means for the calls of this connection. When the user who calls is one that is called, one of both
    /// calls goes on.
    pub(super) fn on_call_frame(&mut self, event: &FrameEvent) {
        match event {
            FrameEvent::CallOver(call) => {
                if let Some(calls) = &mut self.calls {
                    calls.remove(call);
                }
            }
            FrameEvent::Rings(ring) => self.on_ring(&ring.0, &ring.1),
            FrameEvent::Joined(_)
            | FrameEvent::Refused(_)
            | FrameEvent::Left(_)
            | FrameEvent::Ended(..)
            | FrameEvent::Lost(_)
            | FrameEvent::Unwatched(_)
            | FrameEvent::ForClient
            | FrameEvent::Traced(_) => {}
        }
    }

    fn on_ring(&self, call: &CallId, from: &Subject) {
        let own = self.calls.as_ref().and_then(|calls| calls.to(from));
        let Some(device) = self.machine.inbox.held() else { return };
        let Some((own, caller)) = own.zip(self.machine.identity().and_then(Identity::subject))
        else {
            return;
        };
        let (inbox, peer) = (device.0.clone(), device.1.clone());
        let command = |call: &CallId, step| {
            let reply = Reply { outbox: self.outbox.clone(), id: None };
            CallCommand { call: call.clone(), step, reply }
        };
        if survives_glare(own, call) {
            let step = CallStep::Decline(peer, CallEnd::Glare);
            return self.step_call(&inbox, command(call, step));
        }
        self.step_call(&inbox, command(call, CallStep::Accept(peer)));
        let step = CallStep::Cancel(caller.clone(), CallEnd::Glare);
        self.step_call(&RoomId::inbox(from), command(own, step));
    }

    /// Asks the inbox of a callee whether a call gives the right to a room.
    pub(super) async fn check_call(&mut self, join: CallJoin) {
        let Some(user) = self.machine.identity().and_then(Identity::subject).cloned() else {
            return;
        };
        let CallGrant { to, call } = &join.grant;
        let to = to.as_ref().unwrap_or(&user);
        let decided = self.context.rooms.decide(&RoomId::inbox(to), Op::Calls).await;
        if let Ok(Outcome::Calls(view)) = decided {
            let is_granted = is_granted(&view, (to, call), &user, &join.room);
            return self.machine.call_checked(join, is_granted, Instant::now());
        }
        self.machine.memberships.free(&join.room);
        self.refuse(join.id, self.too_busy());
    }

    /// Follows no call any more: the connection is over. The calls go on.
    pub(super) async fn end_calls(&mut self) {
        let socket = self.machine.socket();
        for handle in self.calls.take().iter().flat_map(|calls| calls.handles()) {
            handle.insist(Command::EndCalls(socket)).await;
        }
    }
}

/// Tells whether a call opens its room to a user: to its caller from the ring on, to its callee once a device has accepted.
fn is_granted(
    view: &CallsView,
    (to, call): (&Subject, &CallId),
    user: &Subject,
    room: &RoomId,
) -> bool {
    view.calls.iter().filter(|view| view.call == *call && view.room == *room).any(|view| match view
        .state
    {
        CallState::Ringing => view.from == *user,
        CallState::Accepted(_) => view.from == *user || to == user,
        CallState::Ended(_) => false,
    })
}
