//! A client that lives through a run: the machine of `signal-client`, driven over the endpoints of a cluster.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use signal_client::core::{
    Effect, Input, LeftBecause, LinkId, Machine, MemberId, MoveReason, RoomEvent, State, Ticket,
    TokenSource,
};
use signal_client::socket::SocketEvent;
use signal_client::{RoomId, Stop};
use signal_protocol::{CloseCode, ErrorCode};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::context::{Context, Counters, Phase};
use super::dial::token;
use super::load::{Behaviour, BurstSchedule, KNOCKS_AFTER, Profile, STAYS_FOR};
use super::observer::Observer;
use super::sockets::Sockets;
use crate::history::What;

/// A join that was refused for good is made anew after so many milliseconds.
const JOIN_AGAIN_AFTER: (u64, u64) = (1_000, 3_000);
/// So many unsettled signals, and no new ones are made: an application would stop as well.
const MOST_UNSETTLED: usize = 4_000;
/// One in so many things that a client says is an update of its `meta`, and as many are volatile signals.
const ONE_UPDATE_IN: u32 = 16;
/// A lost socket without a closing handshake.
const ABNORMAL: u16 = 1006;
/// The request to leave; signals have numbers of 32 bits.
const LEAVE: Ticket = Ticket(u64::MAX);
/// The machine has a generator of its own, so that it takes no draws from that of the client.
const OF_THE_MACHINE: u64 = 0x6D61_6368;

pub(super) struct Session {
    context: Arc<Context>,
    profile: Profile,
    rng: Rng,
    room: RoomId,
    token: String,
    machine: Machine,
    /// The membership of now; each join is another one.
    member: MemberId,
    observer: Observer,
    sockets: Sockets,
    /// The link that holds the membership.
    joined_on: Option<LinkId>,
    rhythm: Option<BurstSchedule>,
    phase: watch::Receiver<Phase>,
    /// When to leave, drop the socket, or come back as somebody new.
    change_at: Option<Instant>,
    /// When to join anew.
    join_at: Option<Instant>,
    /// Out of the room, by its own will or for good.
    out: bool,
    over: bool,
}

impl Session {
    pub(super) fn new(context: Arc<Context>, number: u32, profile: Profile) -> Self {
        let mut rng = Rng::with_seed(context.seed ^ (u64::from(number) << 32));
        let now = Instant::now();
        let churns = profile.behaviour == Behaviour::Churns;
        let change_at = churns.then(|| now + drawn(STAYS_FOR, &mut rng));
        let observer = Observer::new(Arc::clone(&context), number, profile.room);
        let token = token(&format!("c{number}"));
        Self {
            room: format!("r{}", profile.room).parse().expect("a letter and digits are a name"),
            machine: machine(&token, &observer, &mut rng, now),
            token,
            member: MemberId(0),
            observer,
            sockets: Sockets::new(context.endpoints.clone(), profile.endpoint),
            joined_on: None,
            rhythm: None,
            phase: context.phase.subscribe(),
            context,
            profile,
            rng,
            change_at,
            join_at: Some(now),
            out: false,
            over: false,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.over {
            let wake = self.wake_at(Instant::now());
            tokio::select! {
                Some((link, heard)) = self.sockets.receive() => self.on_socket_event(link, heard),
                changed = self.phase.changed() => match changed {
                    Ok(()) => self.turn(),
                    Err(_) => return,
                },
                () = sleep_until(wake) => self.tick(Instant::now()),
            }
            while let Some((link, heard)) = self.sockets.try_receive() {
                self.on_socket_event(link, heard);
            }
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let rhythm = self.rhythm.as_ref().map(BurstSchedule::next);
        let machine = self.machine.wake_at(now).filter(|_| !self.out);
        let waits = [rhythm, machine, self.change_at, self.join_at];
        waits.into_iter().flatten().min().unwrap_or(now + Duration::from_secs(3600))
    }

    fn turn(&mut self) {
        let phase = *self.phase.borrow_and_update();
        self.rhythm = match (phase, self.profile.pace) {
            (Phase::Load, Some(pace)) => Some(BurstSchedule::begin(pace, &mut self.rng)),
            _ => None,
        };
        if phase >= Phase::Settle {
            self.change_at = None;
        }
        if phase == Phase::Report && self.joined_on.is_some() {
            self.observer.note_roster();
            Counters::add(&self.context.counters.reported, 1);
        }
        self.over |= phase == Phase::End;
    }

    fn tick(&mut self, now: Instant) {
        if self.change_at.is_some_and(|at| now >= at) {
            self.change(now);
        }
        if self.join_at.is_some_and(|at| now >= at) {
            self.join();
        }
        self.send_due(now);
        if !self.out {
            self.on(Input::Tick);
        }
    }

    fn join(&mut self) {
        self.join_at = None;
        self.member.0 += 1;
        self.observer.begin();
        let (member, room) = (self.member, self.room.clone());
        self.on(Input::Join { member, room, meta: None });
    }

    /// Makes the signals that are due, as long as there is a membership to make them for.
    fn send_due(&mut self, now: Instant) {
        let due = self.rhythm.as_mut().map_or(0, |rhythm| rhythm.due(now));
        for _ in 0..due {
            if !self.observer.is_member || self.machine.unsettled(self.member) > MOST_UNSETTLED {
                return;
            }
            let input = self.next_input();
            self.on(input);
        }
    }

    /// Draws what to say: mostly a signal.
    fn next_input(&mut self) -> Input<'static> {
        match self.rng.u32(0..ONE_UPDATE_IN) {
            0 => self.observer.update(self.member),
            1 => self.observer.volatile(self.member),
            _ => self.observer.signal(self.member, &mut self.rng, self.profile.ballast),
        }
    }

    fn on_socket_event(&mut self, link: LinkId, heard: SocketEvent) {
        if self.sockets.endpoint(link).is_none() {
            return;
        }
        match heard {
            SocketEvent::Text(text) => self.on(Input::Text { link, text: &text }),
            SocketEvent::Alive => self.on(Input::Alive { link }),
            SocketEvent::Closed(ended) => self.lost(link, ended.code),
        }
    }

    /// A socket is gone.
    fn lost(&mut self, link: LinkId, code: u16) {
        self.sockets.remove(link);
        self.note_loss(link, code);
        self.on(Input::Closed { link, code, message: "", retry_after: None });
    }

    fn note_loss(&mut self, link: LinkId, code: u16) {
        if self.joined_on != Some(link) {
            return;
        }
        self.observer.note(What::Closed { code });
        if self.profile.behaviour == Behaviour::Vanishes {
            self.observer.note(What::Vanished);
            self.drop_membership();
            self.over = true;
        }
    }

    /// Hands an input to the machine, and does what that says.
    fn on(&mut self, input: Input<'_>) {
        self.machine.on(input, Instant::now());
        while let Some(effect) = self.machine.next_effect() {
            self.perform(effect);
        }
        self.observer.note_settled();
        self.count();
    }

    /// Keeps count of the clients that are in their rooms.
    fn count(&mut self) {
        let joined_on = if self.out { None } else { self.machine.link_of(self.member) };
        match (std::mem::replace(&mut self.joined_on, joined_on), joined_on) {
            (None, Some(_)) => Counters::add(&self.context.counters.joined, 1),
            (Some(_), None) => Counters::subtract(&self.context.counters.joined, 1),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Open { link, .. } => {
                self.sockets.open(link, self.token.clone(), &mut self.rng);
            }
            Effect::Send { link, text } => {
                if !self.sockets.send(link, text) {
                    self.lost(link, ABNORMAL);
                }
            }
            Effect::Close { link, code } => {
                self.sockets.close(link, code);
                if code == CloseCode::PingTimeout.number() {
                    self.note_loss(link, code);
                }
            }
            Effect::Welcomed { link } => self.welcomed(link),
            Effect::Moving(MoveReason::Drain) => self.observer.note(What::GoAway),
            Effect::Moving(MoveReason::Outage) => self.observer.note(What::Unavailable),
            Effect::State(State::Stopped(Stop::Code { code, .. })) => {
                self.observer.note(What::Stopped { code });
                self.out = true;
            }
            Effect::Room { event, .. } => self.see(&event),
            Effect::Position { seq, .. } => self.observer.note(What::Position { seq: seq.0 }),
            Effect::Settled { ticket, result } => self.observer.settled(ticket, &result),
            Effect::Unreadable { error } => {
                panic!("a node said something that is not specified: {error}")
            }
            Effect::State(_) | Effect::Ice(_) | Effect::FetchToken => {}
        }
    }

    fn welcomed(&mut self, link: LinkId) {
        let endpoint = self.sockets.endpoint(link).and_then(|endpoint| u8::try_from(endpoint).ok());
        self.observer.note(What::Opened { node: endpoint.unwrap_or(u8::MAX) });
    }

    fn see(&mut self, event: &RoomEvent) {
        self.observer.see(event);
        match event {
            // A person would try again.
            RoomEvent::Left(LeftBecause::Refused(refusal)) => {
                let is_full = refusal.code == ErrorCode::RoomFull.name();
                let wait = if is_full { KNOCKS_AFTER } else { JOIN_AGAIN_AFTER };
                self.join_at = Some(Instant::now() + drawn(wait, &mut self.rng));
            }
            RoomEvent::Left(LeftBecause::Replaced | LeftBecause::Kicked) => self.out = true,
            _ => {}
        }
    }

    /// A churning client goes, one way or the other, or comes as somebody new.
    fn change(&mut self, now: Instant) {
        self.change_at = Some(now + drawn(STAYS_FOR, &mut self.rng));
        if !self.out {
            return self.go();
        }
        self.out = false;
        self.observer.renew();
        self.machine = machine(&self.token, &self.observer, &mut self.rng, now);
        self.join_at = Some(now);
    }

    fn go(&mut self) {
        if self.joined_on.is_some() && self.rng.bool() {
            self.observer.note(What::Leaving);
            self.on(Input::Leave { member: self.member, ticket: LEAVE });
        } else {
            self.observer.note(What::Vanished);
            self.sockets.drop_all();
        }
        self.drop_membership();
    }

    /// Is out of the room; what was not settled is given up.
    fn drop_membership(&mut self) {
        (self.out, self.join_at, self.observer.is_member) = (true, None, false);
        self.on(Input::Stop);
        self.sockets.drop_all();
    }
}

/// A machine that begins to connect now.
fn machine(token: &str, observer: &Observer, rng: &mut Rng, now: Instant) -> Machine {
    let rng = Rng::with_seed(rng.u64(..) ^ OF_THE_MACHINE);
    Machine::new(TokenSource::Fixed(token.into()), observer.keys(), rng, now)
}

fn drawn((least, most): (u64, u64), rng: &mut Rng) -> Duration {
    Duration::from_millis(rng.u64(least..=most))
}
