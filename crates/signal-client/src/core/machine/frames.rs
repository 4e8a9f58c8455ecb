//! What a node says, frame by frame.

use std::time::Duration;

use signal_protocol::{ErrorCode, IceServers, PeerId, RoomId, Seq};
use tokio::time::Instant;

use super::Machine;
use crate::core::context::{Context, Purpose};
use crate::core::effect::{Effect, LinkId, MemberId};
use crate::core::event::{Payload, RoomEvent, Sender};
use crate::core::frame::{
    Ack, ErrorFrame, Frame, Joined, Left, PeerEntry, PeerFrame, PeerLeft, Request, Reset, Signal,
    Welcome,
};
use crate::core::membership::Membership;
use crate::core::outgoing::Failure;

impl Machine {
    pub(super) fn frame(&mut self, link: LinkId, frame: Frame<'_>, now: Instant) {
        match frame {
            Frame::Welcome(welcome) => self.welcomed(link, welcome, now),
            Frame::Joined(joined) => self.joined(link, joined, now),
            Frame::Left(left) => self.left(link, &left),
            Frame::PeerJoined(entry) => self.peer_joined(link, &entry),
            Frame::PeerUpdated(entry) => self.peer_updated(link, &entry),
            Frame::PeerLeft(entry) => self.peer_left(link, entry),
            Frame::Signal(signal) => self.signalled(link, &signal),
            Frame::Ack(ack) => self.acknowledged(link, &ack),
            Frame::Reset(reset) => self.reset(link, &reset),
            Frame::Error(error) => self.failed(link, &error, now),
            Frame::Ok(reply) => {
                if let Some(Purpose::Answer(ticket)) = self.context.answered(reply.id, link) {
                    self.context.settle(ticket, Ok(()));
                }
            }
            Frame::Ice(reply) => {
                self.context.answered(reply.id, link);
                self.ice(reply.ice);
            }
            Frame::Goaway(goaway) => {
                let after = Duration::from_millis(goaway.after);
                self.connection.go_away(link, after, now, &mut self.context);
            }
            Frame::Pong | Frame::Unknown => {}
        }
    }

    fn welcomed(&mut self, link: LinkId, welcome: Welcome, now: Instant) {
        let window = usize::try_from(welcome.limits.unacked).unwrap_or(usize::MAX);
        let hands_over = self.connection.welcomed(link, welcome, now, &mut self.context);
        for member in &mut self.members {
            member.outgoing.limit(window);
            if hands_over {
                member.join(link, &mut self.context);
            } else {
                member.settle(&self.connection, &mut self.context);
            }
        }
    }

    fn ice(&mut self, ice: Option<IceServers>) {
        // `null` means none now: those of before may still be good.
        if let Some(ice) = ice {
            self.context.emit(Effect::Ice(ice));
        }
    }

    fn find(&mut self, room: &RoomId) -> Option<&mut Membership> {
        self.members.iter_mut().find(|member| member.room == *room)
    }

    /// The membership that an entry is for, with what it needs to tell of it.
    fn listener(&mut self, room: &RoomId, link: LinkId) -> Option<(&mut Membership, &mut Context)> {
        let member = self.members.iter_mut().find(|member| member.room == *room)?;
        member.listens_to(link).then_some((member, &mut self.context))
    }

    fn entry(&mut self, room: &RoomId, link: LinkId, seq: Seq, event: RoomEvent) {
        if let Some((member, context)) = self.listener(room, link)
            && member.is_news(seq)
        {
            member.emit(event, context);
        }
    }

    fn joined(&mut self, link: LinkId, mut joined: Joined<'_>, now: Instant) {
        let purpose = self.context.answered(joined.id, link);
        self.ice(joined.ice.take());
        let room = joined.room.clone();
        let is_answered = |member: &Membership| match purpose {
            Some(Purpose::Join(id)) => member.id == id,
            Some(Purpose::Answer(_) | Purpose::Nothing) | None => true,
        };
        let mut members = self.members.iter_mut();
        match members.find(|member| member.room == room && is_answered(member)) {
            Some(member) => {
                let useless = member.joined(joined, link, &mut self.context);
                self.abandon(useless, now);
            }
            // The room was left while it was being joined, and may be being joined again.
            None => {
                self.context
                    .request(link, Purpose::Nothing, |id| Request::Leave { id, room: &room });
            }
        }
    }

    /// Closes a link that is of no use to a member, which goes on elsewhere.
    fn abandon(&mut self, useless: Option<LinkId>, now: Instant) {
        if let Some(link) = useless
            && self.connection.abandon(link, &mut self.context)
        {
            self.given_up(link, now);
        }
    }

    fn left(&mut self, link: LinkId, left: &Left) {
        let Self { members, connection, context, keys } = self;
        let Some(member) = members.iter_mut().find(|member| member.room == left.room) else {
            return;
        };
        member.ended_on(link);
        if member.is_on(link) && member.left(left.reason, link, connection, context) {
            member.start_over(keys(member.id), connection, context);
        }
    }

    fn peer_joined(&mut self, link: LinkId, entry: &PeerEntry<'_>) {
        let event = RoomEvent::PeerJoined { seq: entry.seq, member: entry.peer.member() };
        self.entry(&entry.room, link, entry.seq, event);
    }

    fn peer_updated(&mut self, link: LinkId, entry: &PeerEntry<'_>) {
        let PeerEntry { seq, peer, .. } = entry;
        let (away, meta) = (peer.away, peer.meta.map(Payload::new));
        let event = RoomEvent::PeerUpdated { seq: *seq, peer: peer.id.clone(), away, meta };
        self.entry(&entry.room, link, *seq, event);
    }

    fn peer_left(&mut self, link: LinkId, entry: PeerLeft) {
        let PeerLeft { room, seq, peer, reason } = entry;
        self.entry(&room, link, seq, RoomEvent::PeerLeft { seq, peer, reason });
    }

    fn signalled(&mut self, link: LinkId, signal: &Signal<'_>) {
        let from = match signal.from.parse::<PeerId>() {
            Ok(peer) => Sender::Peer(peer),
            Err(_) => Sender::Server,
        };
        let (addressed, data) = (signal.to.is_some(), Payload::new(signal.data));
        match signal.seq {
            Some(seq) => {
                let event = RoomEvent::Signal { seq, from, addressed, data };
                self.entry(&signal.room, link, seq, event);
            }
            None => {
                if let Some((member, context)) = self.listener(&signal.room, link) {
                    member.emit(RoomEvent::Volatile { from, addressed, data }, context);
                }
            }
        }
    }

    fn acknowledged(&mut self, link: LinkId, ack: &Ack) {
        let Some((member, context)) = self.listener(&ack.room, link) else { return };
        if member.is_news(ack.seq) {
            context.emit(Effect::Position { member: member.id, seq: ack.seq });
        }
        let settled = member.outgoing.ack(ack.mid.0);
        context.settle_all(settled, &Ok(()));
    }

    fn reset(&mut self, link: LinkId, reset: &Reset<'_>) {
        let Some((member, context)) = self.listener(&reset.room, link) else { return };
        if member.rewinds(reset.seq, link) {
            if member.link.is_some() {
                member.resume(reset.mid.0, context);
            }
            let members = reset.peers.iter().map(PeerFrame::member).collect();
            member.emit(RoomEvent::Reset { seq: reset.seq, members }, context);
        }
    }

    fn failed(&mut self, link: LinkId, error: &ErrorFrame<'_>, now: Instant) {
        match self.context.answered(error.id, link) {
            Some(Purpose::Join(member)) => self.join_refused(member, link, error, now),
            Some(Purpose::Answer(ticket)) => {
                self.context.settle(ticket, Err(error.refusal().into()));
            }
            Some(Purpose::Nothing) => {}
            None => self.failed_unasked(link, error, now),
        }
    }

    fn join_refused(
        &mut self,
        member: MemberId,
        link: LinkId,
        error: &ErrorFrame<'_>,
        now: Instant,
    ) {
        let Self { members, connection, context, .. } = self;
        let Some(member) = members.iter_mut().find(|it| it.id == member) else { return };
        let (refusal, retry) = (error.refusal(), error.retry);
        let useless = member.refused(refusal, retry, link, now, connection, context);
        self.abandon(useless, now);
    }

    fn failed_unasked(&mut self, link: LinkId, error: &ErrorFrame<'_>, now: Instant) {
        let slow_down = error.code == ErrorCode::RateLimited.name();
        match (&error.room, error.mid) {
            (Some(room), Some(mid)) => {
                let (retry, expected, after) = (error.retry, error.expected, error.after());
                let failure = Failure { mid, retry, expected, after };
                if let Some((member, context)) = self.listener(room, link) {
                    member.failed(failure, error.refusal(), link, now, context);
                }
            }
            (Some(room), None) if slow_down => {
                if let Some(member) = self.find(room) {
                    member.slow_down(now, error.after());
                }
            }
            (None, None) if error.is_about_connection() => {
                self.connection.on_connection_error(link, error, now, &mut self.context);
                for member in self.members.iter_mut().filter(|_| slow_down) {
                    member.slow_down(now, error.after());
                }
            }
            _ => {}
        }
    }
}
