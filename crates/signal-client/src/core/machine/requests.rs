//! What the application asks for.

use signal_protocol::{ErrorCode, PeerId, RoomId};
use tokio::time::Instant;

use super::Machine;
use crate::core::connection::Connection;
use crate::core::context::{Context, Purpose};
use crate::core::effect::{Effect, MemberId, Ticket};
use crate::core::event::{LeftBecause, Payload, Refusal, SendError};
use crate::core::frame::{Request, signal_rest, update_rest};
use crate::core::membership::Membership;
use crate::core::outgoing::Body;

impl Machine {
    pub(super) fn ask_for_ice(&mut self) {
        if let Some(link) = self.connection.links.open() {
            self.context.request(link, Purpose::Nothing, |id| Request::Ice { id });
        }
    }

    pub(super) fn join(&mut self, id: MemberId, room: RoomId, meta: Option<Payload>) {
        let known = self.members.iter().any(|member| member.room == room);
        let mut member = Membership::new(id, room, meta, (self.keys)(id));
        if known {
            let code = ErrorCode::AlreadyJoined.name().to_owned();
            let message = format!("this client is in room {} already", member.room);
            let refusal = Refusal { code, message, after: None };
            return member.end(LeftBecause::Refused(refusal), &mut self.context);
        }
        member.settle(&self.connection, &mut self.context);
        self.members.push(member);
    }

    fn by_id(
        &mut self,
        id: MemberId,
        ticket: Option<Ticket>,
    ) -> Option<(&mut Membership, &Connection, &mut Context)> {
        let member = self.members.iter_mut().find(|member| member.id == id);
        if let (None, Some(ticket)) = (&member, ticket) {
            self.context.settle(ticket, Err(SendError::Ended));
        }
        Some((member?, &self.connection, &mut self.context))
    }

    pub(super) fn signal(
        &mut self,
        id: MemberId,
        ticket: Ticket,
        to: Option<&PeerId>,
        data: &Payload,
    ) {
        let Some((member, connection, context)) = self.by_id(id, Some(ticket)) else { return };
        let rest = signal_rest(&member.room, to, data);
        member.push(ticket, Body { kind: "signal", rest }, connection, context);
    }

    pub(super) fn update(&mut self, id: MemberId, ticket: Ticket, meta: Payload) {
        let Some((member, connection, context)) = self.by_id(id, Some(ticket)) else { return };
        let rest = update_rest(&member.room, &meta);
        member.set_meta(meta);
        member.push(ticket, Body { kind: "update", rest }, connection, context);
    }

    pub(super) fn volatile(
        &mut self,
        id: MemberId,
        to: Option<&PeerId>,
        data: &Payload,
        now: Instant,
    ) {
        let Some((member, connection, context)) = self.by_id(id, None) else { return };
        let rest = signal_rest(&member.room, to, data);
        let text = format!(r#"{{"type":"signal","volatile":true,{rest}"#);
        if let Some(link) = member.link
            && !member.outgoing.is_paused(now)
            && text.len() <= connection.links.largest_frame(Some(link))
        {
            context.emit(Effect::Send { link, text });
        }
    }

    pub(super) fn kick(&mut self, id: MemberId, ticket: Ticket, peer: &PeerId, ban: Option<u64>) {
        let Some((member, _, context)) = self.by_id(id, Some(ticket)) else { return };
        let Some(link) = member.link else {
            return context.settle(ticket, Err(SendError::NotConnected));
        };
        let room = &member.room;
        context.request(link, Purpose::Answer(ticket), |id| Request::Kick { id, room, peer, ban });
    }

    pub(super) fn leave(&mut self, id: MemberId, ticket: Ticket) {
        let Some((member, _, context)) = self.by_id(id, Some(ticket)) else { return };
        match member.leaves_over() {
            Some(link) => {
                let room = &member.room;
                let answer = Purpose::Answer(ticket);
                context.request(link, answer, |id| Request::Leave { id, room });
            }
            // The others see it leave when its grace ends.
            None => context.settle(ticket, Ok(())),
        }
        member.end(LeftBecause::Left, context);
    }
}
