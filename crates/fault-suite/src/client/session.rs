//! When sockets are opened, left and replaced: the model of `client/src/connection.js`.

mod ending;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::alarms::{Alarms, take_due};
use super::backoff::between;
use super::context::{Context, Phase, Tally};
use super::frame::{Failure, Frame};
use super::link::Heard;
use super::links::{Links, Place};
use super::load::{Conduct, KNOCKS_AFTER, Profile, Rhythm, STAYS_FOR};
use super::member::Member;
use super::outgoing::Refusal;
use crate::history::{LeftReason, Log, What};

/// A membership that held this long proves that all is well: the next wait is the shortest again.
const STABLE_AFTER: Duration = Duration::from_secs(5);
/// Told that a node lost Redis, a client tries another after so many milliseconds.
const LEAVE_NODE_AFTER: (u64, u64) = (5_000, 15_000);
/// A join that failed for a passing reason is repeated after so many milliseconds.
const JOIN_AGAIN_AFTER: (u64, u64) = (1_000, 3_000);
/// So many unsettled signals, and no new ones are made: an application would stop as well.
const MOST_UNSETTLED: usize = 5_000;

/// A client.
pub(super) struct Session {
    context: Arc<Context>,
    log: Log,
    profile: Profile,
    rng: Rng,
    member: Member,
    rhythm: Option<Rhythm>,
    heard: mpsc::Receiver<(u64, Heard)>,
    phase: watch::Receiver<Phase>,
    links: Links,
    /// The link that holds the membership.
    joined_on: Option<u64>,
    joined_at: Instant,
    /// The newest link on which a join was sent that may still be answered.
    joining_on: Option<u64>,
    /// The link of the newest join; one that was answered `unavailable` may take effect yet.
    tried_on: Option<u64>,
    /// The link that lost the membership to a newer one of our own.
    superseded: Option<u64>,
    /// The id of the newest request.
    request: u64,
    draining: bool,
    alarms: Alarms,
    /// How many sockets were lost in a row.
    attempt: u32,
    /// Out of the room, by its own will or for good.
    out: bool,
    over: bool,
}

impl Session {
    pub(super) fn new(context: Arc<Context>, number: u32, profile: Profile) -> Self {
        let log = context.recorder.client(number);
        let mut rng = Rng::with_seed(context.seed ^ (u64::from(number) << 32));
        let (links, heard) = Links::new(number, context.doors.clone(), profile.door);
        let now = Instant::now();
        let churns = profile.conduct == Conduct::Churns;
        let change = churns.then(|| now + between(STAYS_FOR.0, STAYS_FOR.1, &mut rng));
        Self {
            member: Member::new(Arc::clone(&context), log.clone(), number, profile.room),
            rhythm: None,
            phase: context.phase.subscribe(),
            context,
            log,
            profile,
            rng,
            heard,
            links,
            joined_on: None,
            joined_at: now,
            joining_on: None,
            tried_on: None,
            superseded: None,
            request: 0,
            draining: false,
            alarms: Alarms { connect: Some(now), change, ..Alarms::default() },
            attempt: 0,
            out: false,
            over: false,
        }
    }

    pub(super) async fn run(mut self) {
        while !self.over {
            let wake = self.wake_at(Instant::now());
            tokio::select! {
                Some((link, heard)) = self.heard.recv() => self.hear(link, heard),
                changed = self.phase.changed() => match changed {
                    Ok(()) => self.turn(),
                    Err(_) => return,
                },
                () = sleep_until(wake) => self.tick(Instant::now()),
            }
            while let Ok((link, heard)) = self.heard.try_recv() {
                self.hear(link, heard);
            }
            self.flush();
        }
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let rhythm = self.rhythm.as_ref().map(Rhythm::next);
        let waits = [rhythm, self.member.wake_at(now), self.links.watch_at(), self.alarms.next()];
        let next = waits.into_iter().flatten().min();
        next.unwrap_or(now + Duration::from_secs(3600))
    }

    fn turn(&mut self) {
        let phase = *self.phase.borrow_and_update();
        self.rhythm = match (phase, self.profile.pace) {
            (Phase::Load, Some(pace)) => Some(Rhythm::begin(pace, &mut self.rng)),
            _ => None,
        };
        if phase >= Phase::Settle {
            self.alarms.change = None;
        }
        if phase == Phase::Report && self.joined_on.is_some() {
            self.member.note_roster();
            Tally::add(&self.context.tally.reported, 1);
        }
        self.over |= phase == Phase::End;
    }

    fn tick(&mut self, now: Instant) {
        if take_due(&mut self.alarms.connect, now) {
            self.links.connect(&mut self.rng);
        }
        if take_due(&mut self.alarms.handover, now) {
            self.links.prepare(&mut self.rng);
        }
        if take_due(&mut self.alarms.rejoin, now) {
            self.rejoin();
        }
        if take_due(&mut self.alarms.change, now) {
            self.change(now);
        }
        self.speak(now);
        if let Some(silent) = self.links.watch(now) {
            self.lost(silent, 4001);
        }
    }

    /// Makes the signals that are due, as long as there is a membership to make them for.
    fn speak(&mut self, now: Instant) {
        let due = self.rhythm.as_mut().map_or(0, |rhythm| rhythm.due(now));
        if self.out || !self.member.is_known() || self.member.unsettled() > MOST_UNSETTLED {
            return;
        }
        for _ in 0..due {
            self.member.say(&mut self.rng, self.profile.ballast);
        }
    }

    fn flush(&mut self) {
        let Some(number) = self.joined_on else { return };
        let Some(link) = self.links.get(number) else { return };
        if !self.member.due(Instant::now()).all(|frame| link.send(frame)) {
            self.lost(number, 1006);
        }
    }

    fn hear(&mut self, number: u64, heard: Heard) {
        let text = match heard {
            Heard::Closed(code) => return self.lost(number, code),
            Heard::Text(text) => text,
        };
        let now = Instant::now();
        if let Some(link) = self.links.get(number) {
            link.alive(now);
            match serde_json::from_str(&text) {
                Ok(frame) => self.frame(number, frame, now),
                Err(error) => {
                    panic!("a node said something that is not specified: {error}: {text}")
                }
            }
        }
    }

    fn frame(&mut self, number: u64, frame: Frame<'_>, now: Instant) {
        match frame {
            Frame::Welcome { ping, limits } => {
                self.member.limit(limits.unacked);
                self.welcomed(number, Duration::from_secs(ping));
            }
            Frame::Joined { id, .. } => {
                if self.joining_on == Some(number) && id == Some(self.request) {
                    self.joined(number, frame, now);
                }
            }
            Frame::Left { reason } => self.ended(number, reason),
            Frame::Error(failure) => self.failed(number, &failure, now),
            Frame::Goaway { after } => self.go_away(number, Duration::from_millis(after), now),
            Frame::Ok | Frame::Pong | Frame::Other => {}
            Frame::PeerJoined { .. }
            | Frame::PeerUpdated { .. }
            | Frame::PeerLeft { .. }
            | Frame::Signal { .. }
            | Frame::Ack { .. }
            | Frame::Reset { .. } => self.entry(number, frame),
        }
    }

    /// Something about the room; what a link says that holds no membership is over.
    fn entry(&mut self, number: u64, frame: Frame<'_>) {
        let ours = self.joined_on == Some(number) || self.joining_on == Some(number);
        if ours && !self.out {
            self.member.hear(frame, self.joined_on != Some(number));
        }
    }

    fn welcomed(&mut self, number: u64, ping: Duration) {
        if let Some(link) = self.links.get(number) {
            link.welcomed(ping);
            let node = u8::try_from(link.door).unwrap_or(u8::MAX);
            self.log.note(What::Opened { node });
            self.join_on(number);
        }
    }

    fn join_on(&mut self, number: u64) {
        self.alarms.rejoin = None;
        self.request += 1;
        self.joining_on = Some(number);
        self.tried_on = Some(number);
        let join = self.member.join(self.request);
        if let Some(link) = self.links.get(number) {
            link.send(join);
        }
    }

    fn rejoin(&mut self) {
        // On the newest link: a join on an older one may still be on its way.
        let newest = self.joining_on.filter(|number| self.links.place(*number).is_some());
        if let Some(number) = newest.or_else(|| self.links.welcome()) {
            self.join_on(number);
        }
    }

    fn joined(&mut self, number: u64, frame: Frame<'_>, now: Instant) {
        if self.joined_on.replace(number).is_none() {
            Tally::add(&self.context.tally.joined, 1);
        }
        self.joined_at = now;
        self.member.hear(frame, false);
        if self.links.place(number) == Some(Place::Next) {
            self.links.promote();
            self.alarms.handover = None;
            self.draining = false;
        }
    }

    fn go_away(&mut self, number: u64, after: Duration, now: Instant) {
        if self.links.place(number) == Some(Place::Current) {
            self.log.note(What::GoAway);
            self.draining = true;
            self.alarms.handover = Some(now + after);
        }
    }

    fn failed(&mut self, number: u64, failure: &Failure<'_>, now: Instant) {
        match (failure.id, failure.mid) {
            (None, None) if failure.code == "unavailable" => self.unavailable(number, now),
            (Some(id), _) if id == self.request && self.joining_on == Some(number) => {
                self.refused(number, failure, now);
            }
            (None, Some(mid)) => {
                let elsewhere = failure.retry && self.joined_on != Some(number);
                if failure.code != "not_joined" && !elsewhere {
                    let after = failure.after.map(Duration::from_millis);
                    let (retry, expected) = (failure.retry, failure.expected);
                    self.member.fail(Refusal { mid, retry, expected, after }, now);
                }
            }
            _ => {}
        }
    }

    fn unavailable(&mut self, number: u64, now: Instant) {
        if self.links.place(number) == Some(Place::Current) {
            self.log.note(What::Unavailable);
            let (least, most) = LEAVE_NODE_AFTER;
            let wait = between(least, most, &mut self.rng);
            self.alarms.handover.get_or_insert(now + wait);
        }
    }

    /// The join was refused: again later, or not on this link.
    fn refused(&mut self, number: u64, failure: &Failure<'_>, now: Instant) {
        self.log.note(What::Turned { code: failure.code.as_ref().into() });
        if self.joined_on.is_some() && self.links.place(number) == Some(Place::Next) {
            // The link in use still works.
            self.links.remove(Place::Next);
            self.joining_on = self.joined_on;
            return;
        }
        let full = failure.code == "room_full";
        let (least, most) = if full { KNOCKS_AFTER } else { JOIN_AGAIN_AFTER };
        let drawn = between(least, most, &mut self.rng);
        let wait = failure.after.filter(|_| !full).map_or(drawn, Duration::from_millis);
        self.alarms.rejoin = Some(now + wait);
    }

    /// The cluster ended this socket's membership.
    fn ended(&mut self, number: u64, reason: LeftReason) {
        if reason == LeftReason::Replaced && self.tried_on != Some(number) {
            // By our own newer link, which may be lost again.
            self.superseded = Some(number);
            if self.joined_on == Some(number) {
                self.unlink();
            }
            return;
        }
        self.log.note(What::Ended { reason });
        self.unlink();
        if reason == LeftReason::Expired {
            self.member.renew();
            self.rejoin();
        } else {
            self.out = true;
        }
    }

    fn unlink(&mut self) {
        if self.joined_on.take().is_some() {
            Tally::subtract(&self.context.tally.joined, 1);
        }
        self.member.suspend();
    }
}
