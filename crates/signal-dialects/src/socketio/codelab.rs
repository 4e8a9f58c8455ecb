//! The server program of the WebRTC codelab, "create or join": rooms for two, whose first member begins the call.
//!
//! The original counts the sockets of its process. Here the log decides who is first and who finds the room full, and a member
//! that has lost its socket comes back to its room over any node, without the other one hearing of it.
//!
//! Source: step 4 to 6 of `googlecodelabs/webrtc-web`, `index.js`.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use signal_protocol::CloseCode;

use super::client::ClientId;
use super::exported::ExportedRoom;
use super::mark::{Mark, NO_ROOM, Position};
use super::membership::{Event, Membership, State, own_join};
use super::packet::{event_text, text_of};
use crate::dialect::{DialectEffect, Effects, IgnoredReason, RETRY_AFTER, RoomJoin};
use crate::frame::{self, Frame, Line};

/// The longest name of a room, in bytes: each event carries it.
const NAME_BYTES: usize = 256;

/// How long a room is asked for while the log does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The event that tells a position only. No application listens to it.
const MARK_EVENT: &str = "position";

/// What came of a resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resumed {
    /// The client has everything that it missed.
    Everything,
    /// Nobody can say what it missed: it is another client from now on, and in no room.
    Nothing,
}

/// A client of the program.
#[derive(Debug)]
pub(super) struct Codelab {
    client: ClientId,
    membership: Option<Membership>,
    /// The leave that is not answered.
    leaving: Option<u64>,
    requests: u64,
}

impl Codelab {
    pub(super) fn new(client: ClientId) -> Self {
        Self { client, membership: None, leaving: None, requests: 0 }
    }

    pub(super) fn client(&self) -> &ClientId {
        &self.client
    }

    /// Goes on as another client, in no room.
    pub(super) fn become_client(&mut self, client: ClientId, effects: &mut Effects) {
        self.leave(effects);
        self.client = client;
    }

    /// Brings a client back to where it was; the result comes with [`Codelab::on_frame`].
    pub(super) fn resume(&mut self, mark: Mark, effects: &mut Effects) {
        self.membership = Some(Membership::new(mark, true));
        self.join(None, effects);
    }

    /// Takes over a client of another node, whose room is joined when the connection begins here.
    pub(super) fn import(&mut self, room: ExportedRoom) -> Option<()> {
        let mut membership = Membership::new(Mark::parse(&room.mark)?, false);
        membership.signals.import(room.settled, room.signals);
        self.membership = Some(membership);
        Some(())
    }

    /// Writes the room for another node.
    pub(super) fn export(&self) -> Option<ExportedRoom> {
        let membership = self.membership.as_ref()?;
        let (settled, signals) = membership.signals.export();
        let mark = membership.mark(membership.position);
        Some(ExportedRoom { mark, signals, settled })
    }

    pub(super) fn on_event(
        &mut self,
        name: &str,
        args: &[&RawValue],
        now: Instant,
        effects: &mut Effects,
    ) {
        match (name, args) {
            ("create or join", _) => match text_of(args.first()) {
                Some(room) if room.len() <= NAME_BYTES => self.create_or_join(room, effects),
                Some(_) => effects.push(DialectEffect::Ignore(IgnoredReason::Limit)),
                None => effects.push(DialectEffect::Ignore(IgnoredReason::Malformed)),
            },
            ("message", [data, ..]) => self.message((*data).to_owned(), now, effects),
            ("bye", _) => {
                self.leave(effects);
                let mark = self.client.resumes().then_some(NO_ROOM);
                effects.push(DialectEffect::Send(event_text(MARK_EVENT, &[], mark)));
            }
            // The original tells the addresses of its interfaces, which are nobody's business.
            ("ipaddr", _) => {}
            _ => effects.push(DialectEffect::Ignore(IgnoredReason::UnknownType)),
        }
    }

    fn create_or_join(&mut self, name: String, effects: &mut Effects) {
        if self.membership.as_ref().is_some_and(|membership| membership.name == name) {
            return;
        }
        self.leave(effects);
        let event = Event::log(&format!("Received request to create or join room {name}"));
        let membership =
            Membership::new(Mark { position: Position::Joining(0), room: name }, false);
        // The first event names the room: a client whose answer is lost asks for it by that.
        let mark = self.client.resumes().then(|| membership.mark(membership.position));
        effects.push(DialectEffect::Send(event_text(event.name, &event.args, mark.as_deref())));
        self.membership = Some(membership);
        self.join(None, effects);
    }

    pub(super) fn join(&mut self, until: Option<Instant>, effects: &mut Effects) {
        let Some(membership) = &mut self.membership else { return };
        if self.leaving.is_some() {
            membership.state = State::Queued;
            return;
        }
        self.requests += 1;
        let id = self.requests;
        membership.state = State::Joining(id, until);
        let (room, name) = (membership.room.clone(), membership.name.clone());
        let position = match membership.position {
            Position::Joining(_) => None,
            Position::Entry { seq, .. } => Some(seq),
        };
        let join = RoomJoin::new(room, name, Some(self.client.key().clone()), id);
        effects.push(DialectEffect::Join(RoomJoin { position, ..join }));
    }

    pub(super) fn leave(&mut self, effects: &mut Effects) {
        let Some(Membership { room, state, .. }) = self.membership.take() else { return };
        match state {
            State::Queued | State::Waiting(..) => {}
            State::Joining(..) | State::Joined => {
                self.requests += 1;
                self.leaving = Some(self.requests);
                effects.push(DialectEffect::Leave { room, id: self.requests });
            }
        }
    }

    fn message(&mut self, data: Box<RawValue>, now: Instant, effects: &mut Effects) {
        let Some(membership) = &mut self.membership else {
            return effects.push(DialectEffect::Ignore(IgnoredReason::NoReceiver));
        };
        if !membership.signals.push(data) {
            return effects.push(DialectEffect::Close(CloseCode::RateLimit));
        }
        membership.send_signals(now, effects);
    }

    /// Applies a frame; returns what came of a resume, once that is known.
    pub(super) fn on_frame(
        &mut self,
        frame: &Frame<'_>,
        now: Instant,
        effects: &mut Effects,
    ) -> Option<Resumed> {
        match frame {
            Frame::Done { id } | Frame::Refused { id, .. }
                if id.is_some() && *id == self.leaving =>
            {
                self.leaving = None;
                if self.membership.as_ref().is_some_and(|of| of.state == State::Queued) {
                    self.join(None, effects);
                }
            }
            Frame::Joined { id, n, at, peers } if self.is_joining(*id) => {
                return self.joined(*n, at, peers, now, effects);
            }
            Frame::Refused { id, code, .. } if self.is_joining(*id) => {
                return self.refused(code, now, effects);
            }
            Frame::Joined { .. }
            | Frame::Refused { .. }
            | Frame::Done { .. }
            | Frame::Welcome
            | Frame::Other => {}
            Frame::SignalRefused { mid, refusal } => {
                if let Some(membership) = &mut self.membership {
                    membership.signals.refuse(*mid, *refusal, now);
                }
            }
            Frame::Settled { room, .. }
            | Frame::Left { room }
            | Frame::PeerJoined { room, .. }
            | Frame::PeerLeft { room, .. }
            | Frame::PeerUpdated { room, .. }
            | Frame::Reset { room, .. }
            | Frame::Posted { room, .. } => {
                let client = &self.client;
                if let Some(membership) = &mut self.membership
                    && **room == *membership.room.as_str()
                {
                    membership.on_frame(frame, client, now, effects);
                }
            }
        }
        None
    }

    fn is_joining(&self, id: Option<u64>) -> bool {
        let asked = self.membership.as_ref().map(|membership| membership.state);
        matches!((asked, id), (Some(State::Joining(asked, _)), Some(id)) if asked == id)
    }

    fn joined(
        &mut self,
        n: u64,
        at: &frame::Position<'_>,
        peers: &[Line<'_>],
        now: Instant,
        effects: &mut Effects,
    ) -> Option<Resumed> {
        let membership = self.membership.as_mut()?;
        let resumed = membership.resumes.then_some(Resumed::Everything);
        match membership.position {
            Position::Entry { .. } if at.recovery == "replay" => {
                membership.roster.resume(n);
                membership.passed(at.seq, now);
            }
            Position::Entry { .. } => {
                self.leave_joined(effects);
                return self.lost(resumed, effects);
            }
            Position::Joining(_) => {
                membership.roster.begin(n, peers);
                let events = own_join(&membership.name, self.client.sid(), n, peers);
                membership.send(at.seq, &events, &self.client, effects);
            }
        }
        membership.state = State::Joined;
        membership.resumes = false;
        membership.signals.open(at.mid);
        membership.send_signals(now, effects);
        resumed
    }

    /// Ends a client that nobody can tell what it missed: one that comes back goes on as another one, and one that is connected is
    /// closed, so that it comes back.
    fn lost(&mut self, resumed: Option<Resumed>, effects: &mut Effects) -> Option<Resumed> {
        self.membership = None;
        if resumed.is_none() {
            effects.push(DialectEffect::Close(CloseCode::Unavailable));
        }
        resumed.map(|_| Resumed::Nothing)
    }

    /// Leaves a room that was joined by a client that comes back too late.
    fn leave_joined(&mut self, effects: &mut Effects) {
        if let Some(membership) = &mut self.membership {
            membership.state = State::Joined;
        }
        self.leave(effects);
    }

    fn refused(&mut self, code: &str, now: Instant, effects: &mut Effects) -> Option<Resumed> {
        let membership = self.membership.as_mut()?;
        let State::Joining(_, until) = membership.state else { return None };
        let until = until.unwrap_or(now + PATIENCE);
        match code {
            "unavailable" | "internal" if now < until => {
                membership.state = State::Waiting(now + RETRY_AFTER, until);
                return None;
            }
            // The client comes back, and asks for the room by its mark.
            "unavailable" | "internal" => {
                effects.push(DialectEffect::Close(CloseCode::Unavailable));
                return None;
            }
            _ => {}
        }
        let resumed = membership.resumes.then_some(Resumed::Everything);
        let is_new = matches!(membership.position, Position::Joining(_));
        if !is_new {
            return self.lost(resumed, effects);
        }
        let event = match code {
            "room_full" | "room_locked" => Event::new("full", &[&membership.name]),
            "forbidden" => Event::log("The token does not open this room"),
            _ => Event::log("Too many rooms: try again later"),
        };
        let mark = self.client.resumes().then_some(NO_ROOM);
        effects.push(DialectEffect::Send(event_text(event.name, &event.args, mark)));
        self.membership = None;
        resumed
    }

    pub(super) fn next_tick(&self) -> Option<Instant> {
        let membership = self.membership.as_ref()?;
        let retry = if let State::Waiting(at, _) = membership.state { Some(at) } else { None };
        let mark_at = membership.mark_at.filter(|_| self.client.resumes());
        let times = [retry, mark_at, membership.signals.next_retry(), membership.roster.next_end()];
        times.into_iter().flatten().min()
    }

    pub(super) fn tick(&mut self, now: Instant, effects: &mut Effects) {
        let Some(membership) = &mut self.membership else { return };
        let gone = membership.roster.end_missing(now);
        membership.tell(None, gone, &self.client, effects);
        membership.send_signals(now, effects);
        if membership.mark_at.take_if(|at| *at <= now).is_some() && self.client.resumes() {
            let mark = membership.mark(membership.position);
            effects.push(DialectEffect::Send(event_text(MARK_EVENT, &[], Some(&mark))));
        }
        if let State::Waiting(at, until) = membership.state
            && at <= now
        {
            self.join(Some(until), effects);
        }
    }
}
