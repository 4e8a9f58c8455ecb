//! Runs the effects of the machine.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use service_kit::rate::ip_key;
use service_kit::trace::{Kind, Span};
use signal_protocol::client::RequestId;
use signal_protocol::presence::Users;
use signal_protocol::server::{ErrorFrame, milliseconds};
use signal_protocol::{CloseCode, ErrorCode, IceServers, Mid, PeerId, RoomId, ServerMessage};

use tokio::time::Instant;

use super::effect::{CallJoin, Effect, IcePurpose, VerifyPurpose};
use super::identity::{Identity, SessionRejection};
use super::run::{CloseCause, HandshakeInfo, Session};
use super::socket::Socket;
use crate::credentials::IceOwner;
use crate::log::{Join, RoomProfile};
use crate::metrics::VolatileDrop;
use crate::room::{
    Busy, CallCommand, Command, FrameEvent, JoinCommand, MessageId, Ordered, Reply, describe,
};
use crate::room_quota::{Client, QuotaExceeded};

/// The result of an effect.
enum EffectResult {
    /// The effect is done.
    Done,
    /// The connection is to be closed; with what was wrong if that was said in an `error` frame.
    Close(CloseCode, Option<Box<str>>),
    /// The effect has to be awaited.
    Await(Box<AsyncEffect>),
}

impl EffectResult {
    /// Boxed, since it is rare and would make every idle session larger.
    fn rare(rare: AsyncEffect) -> Self {
        Self::Await(Box::new(rare))
    }
}

/// Effects that are rare and have to be awaited. They are boxed, so that idle sessions stay small.
enum AsyncEffect {
    Ping,
    Verify(String, VerifyPurpose),
    Leave(RoomId, PeerId, Option<RequestId>),
    Unwatch(Users),
    ReviewWatches,
    CheckCall(Box<CallJoin>),
}

impl<S: Socket> Session<'_, S> {
    pub(super) async fn apply(&mut self) -> Result<(), CloseCause> {
        while let Some(rare) = self.apply_now()? {
            Box::pin(self.rare(*rare)).await;
        }
        Ok(())
    }

    /// Runs effects up to the first that has to be awaited.
    fn apply_now(&mut self) -> Result<Option<Box<AsyncEffect>>, CloseCause> {
        while let Some(effect) = self.machine.next_effect() {
            match self.effect(effect) {
                EffectResult::Done => {}
                EffectResult::Close(code, detail) => return Err(CloseCause::Node(code, detail)),
                EffectResult::Await(rare) => return Ok(Some(rare)),
            }
        }
        Ok(None)
    }

    /// Runs an effect, unless it has to be awaited.
    fn effect(&mut self, effect: Effect) -> EffectResult {
        match effect {
            Effect::Welcome(frame) => {
                self.log_opened();
                self.outbox.push(frame);
            }
            Effect::Send(frame) => {
                self.outbox.push(frame);
            }
            Effect::Refuse(code, frame) => {
                self.context.metrics.refused(code);
                self.outbox.push(frame);
            }
            Effect::Close(code) => return EffectResult::Close(code, None),
            Effect::Reject(refused) => return self.reject(*refused),
            Effect::FetchIce(purpose) => self.fetch_ice(purpose),
            Effect::Join(room, join, id, ice) => self.join(room, *join, id, ice),
            Effect::Ordered(room, peer, mid, what) => {
                self.ordered(&room, peer, mid, self.traced(what));
            }
            Effect::Tell(room, volatile) => {
                // Best effort: dropped if the queue of the room is full.
                if self.ask(&room, Command::Volatile(volatile)).is_err() {
                    self.context.metrics.volatile_dropped(VolatileDrop::Busy, 1);
                }
            }
            Effect::Kick(room, peer, ban, id) => self.kick(&room, peer, ban, id),
            Effect::Report(peer, report) => self.report(peer, *report),
            Effect::Online(online) => self.go_online(*online),
            Effect::Watch(users) => self.watch(users),
            Effect::Call(call) => self.call(*call),
            Effect::StepCall { inbox, call, step, id } => {
                let reply = self.reply(id);
                self.step_call(&inbox, CallCommand { call, step, reply });
            }
            Effect::CheckCall(join) => return EffectResult::rare(AsyncEffect::CheckCall(join)),
            Effect::Unwatch(users) => return EffectResult::rare(AsyncEffect::Unwatch(users)),
            Effect::ReviewWatches => return EffectResult::rare(AsyncEffect::ReviewWatches),
            Effect::Ping => return EffectResult::rare(AsyncEffect::Ping),
            Effect::Verify(token, purpose) => {
                return EffectResult::rare(AsyncEffect::Verify(token, purpose));
            }
            Effect::Leave(room, peer, id) => {
                return EffectResult::rare(AsyncEffect::Leave(room, peer, id));
            }
        }
        EffectResult::Done
    }

    /// Says why the connection is rejected. One that was welcomed before, and whose token was revoked since, is no
    /// rejected upgrade.
    fn reject(&self, refused: SessionRejection) -> EffectResult {
        let metrics = &self.context.metrics;
        if self.machine.identity().is_none() {
            metrics.rejected.with_label_values(&[refused.reason()]).inc();
        }
        metrics.refused(refused.code);
        let error = ErrorFrame::new(refused.code, &refused.message);
        self.outbox.push(ServerMessage::Error(error).to_json());
        EffectResult::Close(refused.close, Some(refused.message.into()))
    }

    /// Awaits a rare effect.
    async fn rare(&mut self, rare: AsyncEffect) {
        match rare {
            AsyncEffect::Ping => {
                self.socket.queue_ping();
                // A broken socket is noticed by the next read.
                let _ = self.flush().await;
            }
            AsyncEffect::Verify(token, purpose) => {
                let verdict = self.context.verify(&token).await;
                self.machine.verified(purpose, verdict);
            }
            AsyncEffect::Unwatch(users) => self.unwatch(users).await,
            AsyncEffect::CheckCall(join) => self.check_call(*join).await,
            AsyncEffect::ReviewWatches => self.review_watches().await,
            AsyncEffect::Leave(room, peer, id) => {
                let (socket, reply) = (self.machine.socket(), self.reply(id));
                if let Some(handle) = self.handles.get(&room) {
                    handle.insist(Command::Leave { peer, socket, reply }).await;
                }
            }
        }
    }

    /// Starts the span of a signal on its way to the log, if its sender is traced.
    fn traced(&self, mut what: Ordered) -> Ordered {
        let trace = self.source.as_ref().and_then(|source| source.trace.as_ref());
        if let (Some(parent), Ordered::Signal { data, span, .. }) = (trace, &mut what) {
            let begun = Span::under(**parent, "publish room", Kind::Producer);
            describe(&begun, "publish", data.get().len());
            *span = Some(Box::new(begun));
        }
        what
    }

    pub(super) fn reply(&self, id: Option<RequestId>) -> Reply {
        Reply { outbox: self.outbox.clone(), id }
    }

    fn ask(&self, room: &RoomId, command: Command) -> Result<(), Busy> {
        self.handles.get(room).ok_or(Busy)?.ask(command)
    }

    fn fetch_ice(&mut self, purpose: IcePurpose) {
        let owner = self.machine.ice_owner(&purpose);
        let (context, owner) = (self.context, IceOwner { network: self.network(), ..owner });
        let HandshakeInfo { region, trace, .. } =
            self.source.as_deref().cloned().unwrap_or_default();
        self.ice.push(async move {
            let servers = match &context.credentials {
                Some(credentials) => credentials.fetch(&owner, region.as_deref(), trace).await,
                None => None,
            };
            (purpose, servers)
        });
    }

    /// Has the connection send within the budget of its subject, or of an anonymous one before it.
    pub(super) fn share_budget(&self) {
        let (budgets, now) = (&self.context.rooms.budgets, Instant::now());
        let subject = self.machine.identity().and_then(Identity::subject);
        self.outbox.share_budget(|| match subject {
            Some(subject) => budgets.of(subject, now),
            None => budgets.of_anonymous(self.address, now),
        });
    }

    /// Keeps what an anonymous connection has left of its budget.
    pub(super) fn keep_budget(&self) {
        if let (Some(_), Some(budget)) = (self.network(), self.outbox.used_budget()) {
            self.context.rooms.budgets.keep_anonymous(self.address, budget, Instant::now());
        }
    }

    /// Returns the network of an anonymous client.
    fn network(&self) -> Option<IpAddr> {
        let subject = self.machine.identity().and_then(Identity::subject);
        subject.is_none().then(|| ip_key(self.address))
    }

    fn join(
        &mut self,
        room: RoomId,
        join: Join,
        id: Option<RequestId>,
        ice: Option<Arc<IceServers>>,
    ) {
        let client = Client::new(join.user.as_ref(), self.address);
        let (client, most) = match RoomProfile::of(&room) {
            None => (client, self.context.settings.rooms_per_client),
            Some(profile) => (client.of_dialects(), profile.rooms_per_client),
        };
        self.enter_room((room, client, most), join, id, ice);
    }

    /// Has a room take a member in, where its client may be in `most` rooms of this kind.
    pub(super) fn enter_room(
        &mut self,
        (room, client, most): (RoomId, Client, usize),
        join: Join,
        id: Option<RequestId>,
        ice: Option<Arc<IceServers>>,
    ) {
        self.share_budget();
        let permit = match self.context.rooms.permit(client, &room, most) {
            Ok(permit) => permit,
            Err(exceeded) => {
                let error = self.too_many_rooms(exceeded);
                return self.reply(id).refuse(error, Some(FrameEvent::Refused(room)));
            }
        };
        let command = JoinCommand { join, ice, reply: self.reply(id) };
        if let Ok(handle) = self.context.rooms.enter(&room, Command::Join(Box::new(command))) {
            self.handles.insert(room, handle, permit);
        } else {
            self.reply(id).refuse(self.too_busy(), Some(FrameEvent::Refused(room)));
        }
    }

    /// The error for a client that is in as many rooms as it may be.
    fn too_many_rooms(&self, exceeded: QuotaExceeded) -> ErrorFrame<'static> {
        self.context.metrics.refused(ErrorCode::LimitExceeded);
        let text = "too many rooms of one subject or address, those left a short time ago included";
        let error = ErrorFrame::new(ErrorCode::LimitExceeded, text);
        ErrorFrame { after: exceeded.after.map(milliseconds), ..error }
    }

    /// The error for a room whose command queue is full.
    pub(super) fn too_busy(&self) -> ErrorFrame<'static> {
        self.context.metrics.room_refusals.inc();
        self.context.metrics.refused(ErrorCode::Unavailable);
        ErrorFrame::new(ErrorCode::Unavailable, "the room is too busy")
    }

    fn ordered(&self, room: &RoomId, peer: PeerId, mid: Mid, what: Ordered) {
        let id = MessageId { peer, socket: self.machine.socket(), mid };
        if self.ask(room, Command::Ordered { id, what }).is_err() {
            let error = ErrorFrame { mid: Some(mid), room: Some(room), ..self.too_busy() };
            self.outbox.push(ServerMessage::Error(error).to_json());
        }
    }

    fn kick(&self, room: &RoomId, peer: PeerId, ban: Duration, id: Option<RequestId>) {
        let reply = self.reply(id);
        if self.ask(room, Command::Kick { peer, ban, reply: reply.clone() }).is_err() {
            reply.refuse(self.too_busy(), None);
        }
    }
}
