//! `online`, `offline`, `watch` and `unwatch`.

use serde_json::value::RawValue;
use service_kit::clock;
use signal_protocol::client::{Meta, RequestId};
use signal_protocol::presence::{Online, Users};
use signal_protocol::server::{ErrorFrame, ServerMessage, milliseconds};
use signal_protocol::{ErrorCode, RoomId, Subject, limits};

use super::effect::{DeviceJoin, Effect};
use super::identity::Identity;
use super::machine::Machine;
use super::requests::Refusal;
use super::run::Session;
use super::socket::Socket;
use super::watches::Watches;
use crate::log::Join;
use crate::room::{Command, Delivery, DeviceStatus, FrameEvent, WatchCommand};
use crate::room_quota::Client;

impl Machine {
    /// Makes a device of the user reachable, or changes how it is.
    pub(super) fn online(&mut self, identity: &Identity, online: Online<'_>) {
        let user = match self.may_be_online(identity, &online) {
            Ok(user) => user,
            Err(refusal) => return self.answer(online.id, refusal),
        };
        let Online { id, device, attempt, state, meta, resume } = online;
        let inbox = RoomId::inbox(&user);
        let meta = identity.stamp(meta.map(Meta::raw));
        let join = Join {
            attempt: attempt.get(),
            keeps_meta: resume,
            capacity: limits::DEVICES,
            token_capacity: None,
            per_subject: limits::DEVICES,
            ..self.new_join(identity, &device, meta.clone())
        };
        self.inbox.join(inbox.clone(), join.peer.clone());
        let join = DeviceJoin { inbox, join, state, meta, id };
        self.effects.push_back(Effect::Online(Box::new(join)));
    }

    fn may_be_online(&self, identity: &Identity, online: &Online<'_>) -> Result<Subject, Refusal> {
        let Some(user) = identity.subject() else {
            let text = "an anonymous client is no user who could be reached: a token is needed";
            return Err((ErrorCode::Forbidden, text.to_owned()));
        };
        if self.inbox.is_busy() {
            let text = "the online or offline before is not answered yet".to_owned();
            return Err((ErrorCode::AlreadyJoined, text));
        }
        if let Some(peer) = self.inbox.other_device(online.device.peer()) {
            let text = format!("this connection has the device '{peer}' online already");
            return Err((ErrorCode::AlreadyJoined, text));
        }
        Ok(user.clone())
    }

    /// Takes the device off again.
    pub(super) fn offline(&mut self, id: Option<RequestId>) {
        if self.inbox.is_busy() {
            let text = "the online or offline before is not answered yet".to_owned();
            return self.answer(id, (ErrorCode::NotJoined, text));
        }
        match self.inbox.leave() {
            Some((inbox, peer)) => self.effects.push_back(Effect::Leave(inbox, peer, id)),
            None => self.send(&ServerMessage::Ok { id }),
        }
    }

    /// Has the connection told of the presence of users.
    pub(super) fn watch(&mut self, identity: &Identity, watch: Users) {
        if !watch.users.iter().all(|user| identity.may_watch(user)) {
            // No name: an answer that tells which ones there are would tell who exists.
            let text = "the token does not allow to watch all of these users".to_owned();
            return self.answer(watch.id, (ErrorCode::Forbidden, text));
        }
        self.effects.push_back(Effect::Watch(watch));
    }
}

impl<S: Socket> Session<'_, S> {
    /// Has the inbox take the device in.
    pub(super) fn go_online(&mut self, online: DeviceJoin) {
        let DeviceJoin { inbox, mut join, state, meta, id } = online;
        let Some(user) = join.user.clone() else { return };
        let meta = Some(&*meta).filter(|meta| !is_empty(meta));
        let since = milliseconds(clock::unix_now());
        join.meta = DeviceStatus { state: state.as_str().into(), since, meta }.to_payload();
        self.enter_room((inbox, Client::OfInbox(user), 1), join, id, None);
    }

    /// Has the inboxes of users tell this connection of them.
    pub(super) fn watch(&mut self, Users { id, users }: Users) {
        if let Err(error) = self.may_watch(&users) {
            self.context.metrics.refused(error.code);
            return self.reply(id).refuse(error, None);
        }
        self.reply(id).ok(None);
        for user in users {
            self.watch_one(user);
        }
    }

    fn may_watch(&self, users: &[Subject]) -> Result<(), ErrorFrame<'static>> {
        let most = self.context.settings.watches_per_connection;
        let is_watched = |user: &&Subject| {
            self.watches.as_ref().is_some_and(|watches| watches.get(user).is_some())
        };
        let known = self.watches.as_ref().map_or(0, |watches| watches.len());
        let new = users.iter().filter(|user| !is_watched(user)).count();
        if known + new > most {
            let text = "a connection watches as many users as welcome.limits.watches says";
            return Err(ErrorFrame::new(ErrorCode::LimitExceeded, text));
        }
        self.share_budget();
        self.context.rooms.charge_watch(&self.outbox, users.len()).map_err(|wait| {
            let text = "too many users are watched at once";
            let after = Some(milliseconds(wait).max(1));
            ErrorFrame { after, ..ErrorFrame::new(ErrorCode::RateLimited, text) }
        })
    }

    fn watch_one(&mut self, user: Subject) {
        let (socket, outbox) = (self.machine.socket(), self.outbox.clone());
        let command = Command::Watch(WatchCommand { user: user.clone(), socket, outbox });
        let entered = self.context.rooms.enter(&RoomId::inbox(&user), command);
        if let Ok(handle) = entered {
            let metrics = &self.context.metrics;
            let watches = self
                .watches
                .get_or_insert_with(|| Box::new(Watches::new(&metrics.presence.watches)));
            watches.insert(user, handle);
        } else {
            self.context.metrics.room_refusals.inc();
            self.end_watch(&user, ErrorFrame { after: Some(500), ..self.too_busy() });
        }
    }

    /// Tells the client that it watches a user no more.
    fn end_watch(&self, user: &Subject, error: ErrorFrame<'_>) {
        let frame = ServerMessage::Error(ErrorFrame { user: Some(user), ..error }).to_json();
        let event = FrameEvent::Unwatched(user.clone());
        self.outbox.push(Delivery::from(frame).with_event(event));
    }

    /// Ends watches.
    pub(super) async fn unwatch(&mut self, Users { id, users }: Users) {
        for user in users {
            self.unwatch_one(&user).await;
        }
        self.reply(id).ok(None);
    }

    async fn unwatch_one(&mut self, user: &Subject) {
        let handle = self.watches.as_mut().and_then(|watches| watches.remove(user));
        if let Some(handle) = handle {
            handle.insist(Command::Unwatch(self.machine.socket())).await;
        }
    }

    /// Ends the watches that a new token does not allow.
    pub(super) async fn review_watches(&mut self) {
        let Some(identity) = self.machine.identity().cloned() else { return };
        let watched = self.watches.iter().flat_map(|watches| watches.users());
        let over: Vec<_> = watched.filter(|user| !identity.may_watch(user)).cloned().collect();
        for user in over {
            self.unwatch_one(&user).await;
            self.context.metrics.refused(ErrorCode::Forbidden);
            let text = "the new token does not allow to watch the user";
            self.end_watch(&user, ErrorFrame::new(ErrorCode::Forbidden, text));
        }
    }

    /// Ends all watches: the connection is over.
    pub(super) async fn unwatch_all(&mut self) {
        let socket = self.machine.socket();
        for handle in self.watches.take().iter().flat_map(|watches| watches.handles()) {
            handle.insist(Command::Unwatch(socket)).await;
        }
    }
}

fn is_empty(meta: &RawValue) -> bool {
    meta.get() == "{}"
}
