//! Doing what the machine says.

use std::sync::Arc;
use std::time::Duration;

use service_kit::trace::{Kind, Span};
use signal_protocol::client::RequestId;
use signal_protocol::server::ErrorFrame;
use signal_protocol::{CloseCode, ErrorCode, IceServers, Mid, PeerId, RoomId, ServerMessage};

use super::effect::{Effect, IcePurpose, VerifyPurpose};
use super::identity::Refused;
use super::run::{HandshakeInfo, Reason, Session};
use super::socket::Socket;
use crate::log::Join;
use crate::room::{Busy, Command, FrameEvent, JoinCommand, MessageId, Ordered, Reply, describe};

/// What became of an effect.
enum Step {
    /// It is done.
    Done,
    /// The connection is to be closed; with what was wrong if that was said in an `error` frame.
    Close(CloseCode, Option<Box<str>>),
    /// It has to be waited for.
    Rare(Box<Rare>),
}

impl Step {
    /// What is rare is boxed: it would make every idle session larger.
    fn rare(rare: Rare) -> Self {
        Self::Rare(Box::new(rare))
    }
}

/// What is seldom, and has to be waited for.
enum Rare {
    Ping,
    Verify(String, VerifyPurpose),
    Leave(RoomId, PeerId, Option<RequestId>),
}

impl<S: Socket> Session<'_, S> {
    /// Does what the machine says.
    pub(super) async fn apply(&mut self) -> Result<(), Reason> {
        while let Some(rare) = self.apply_now()? {
            Box::pin(self.rare(*rare)).await;
        }
        Ok(())
    }

    /// Does what the machine says, up to what has to be waited for.
    fn apply_now(&mut self) -> Result<Option<Box<Rare>>, Reason> {
        while let Some(effect) = self.machine.next_effect() {
            match self.effect(effect) {
                Step::Done => {}
                Step::Close(code, detail) => return Err(Reason::Code(code, detail)),
                Step::Rare(rare) => return Ok(Some(rare)),
            }
        }
        Ok(None)
    }

    /// Does what can be done at once.
    fn effect(&mut self, effect: Effect) -> Step {
        match effect {
            Effect::Send(frame) => {
                self.outbox.push(frame);
            }
            Effect::Refuse(code, frame) => {
                self.context.metrics.refused(code);
                self.outbox.push(frame);
            }
            Effect::Close(code) => return Step::Close(code, None),
            Effect::Reject(refused) => return self.reject(*refused),
            Effect::FetchIce(purpose) => self.fetch_ice(purpose),
            Effect::Join(room, join, id, ice) => self.join(room, *join, id, ice),
            Effect::Ordered(room, peer, mid, what) => {
                self.ordered(&room, peer, mid, self.traced(what));
            }
            Effect::Tell(room, volatile) => {
                // Volatile signals may be lost; a busy room is one way.
                let _ = self.ask(&room, Command::Volatile(volatile));
            }
            Effect::Kick(room, peer, ban, id) => self.kick(&room, peer, ban, id),
            Effect::Ping => return Step::rare(Rare::Ping),
            Effect::Verify(token, purpose) => return Step::rare(Rare::Verify(token, purpose)),
            Effect::Leave(room, peer, id) => return Step::rare(Rare::Leave(room, peer, id)),
        }
        Step::Done
    }

    /// Says why the connection is rejected. One that was welcomed before, and whose token was revoked since, is no
    /// rejected upgrade.
    fn reject(&self, refused: Refused) -> Step {
        let metrics = &self.context.metrics;
        if self.machine.identity().is_none() {
            metrics.rejected.with_label_values(&[refused.reason()]).inc();
        }
        metrics.refused(refused.code);
        let error = ErrorFrame::new(refused.code, &refused.message);
        self.outbox.push(ServerMessage::Error(error).to_json());
        Step::Close(refused.close, Some(refused.message.into()))
    }

    /// Does what has to be waited for.
    async fn rare(&mut self, rare: Rare) {
        match rare {
            Rare::Ping => {
                self.socket.queue_ping();
                // A socket that is gone is noticed where it is read.
                let _ = self.flush().await;
            }
            Rare::Verify(token, purpose) => {
                let verdict = self.context.verify(&token).await;
                self.machine.verified(purpose, verdict);
            }
            Rare::Leave(room, peer, id) => {
                let (socket, reply) = (self.machine.socket(), self.reply(id));
                if let Some(handle) = self.handles.get(&room) {
                    handle.insist(Command::Leave { peer, socket, reply }).await;
                }
            }
        }
    }

    /// Begins to trace a signal's way to the log, where its sender is traced.
    fn traced(&self, mut what: Ordered) -> Ordered {
        let trace = self.source.as_ref().and_then(|source| source.trace.as_ref());
        if let (Some(parent), Ordered::Signal { data, span, .. }) = (trace, &mut what) {
            let begun = Span::under(**parent, "publish room", Kind::Producer);
            describe(&begun, "publish", data.get().len());
            *span = Some(Box::new(begun));
        }
        what
    }

    fn reply(&self, id: Option<RequestId>) -> Reply {
        Reply { outbox: self.outbox.clone(), id }
    }

    fn ask(&self, room: &RoomId, command: Command) -> Result<(), Busy> {
        self.handles.get(room).ok_or(Busy)?.ask(command)
    }

    fn fetch_ice(&mut self, purpose: IcePurpose) {
        let (context, owner) = (self.context, self.machine.ice_owner(&purpose));
        let HandshakeInfo { region, trace } = self.source.as_deref().cloned().unwrap_or_default();
        self.ice.push(async move {
            let servers = match &context.credentials {
                Some(credentials) => credentials.fetch(&owner, region.as_deref(), trace).await,
                None => None,
            };
            (purpose, servers)
        });
    }

    fn join(
        &mut self,
        room: RoomId,
        join: Join,
        id: Option<RequestId>,
        ice: Option<Arc<IceServers>>,
    ) {
        let command = JoinCommand { join, ice, reply: self.reply(id) };
        if let Ok(handle) = self.context.rooms.enter(&room, Command::Join(Box::new(command))) {
            self.handles.insert(room, handle);
        } else {
            self.reply(id).refuse(self.too_busy(), Some(FrameEvent::Refused(room)));
        }
    }

    /// More is waiting for a room's worker than may.
    fn too_busy(&self) -> ErrorFrame<'static> {
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
