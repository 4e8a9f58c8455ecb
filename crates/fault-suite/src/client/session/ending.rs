//! How links end: lost, given up, or left behind by a client that goes.

use std::time::Duration;

use tokio::time::Instant;

use super::{STABLE_AFTER, Session};
use crate::client::alarms::Alarms;
use crate::client::backoff::{backoff, between};
use crate::client::link::ABNORMAL;
use crate::client::links::Place;
use crate::client::load::{Conduct, STAYS_FOR};
use crate::history::What;

impl Session {
    /// A link is gone.
    pub(super) fn lost(&mut self, number: u64, code: u16) {
        let now = Instant::now();
        if self.joined_on == Some(number) {
            self.unlink();
            self.log.note(What::Closed { code });
        }
        let code = if self.superseded == Some(number) { ABNORMAL } else { code };
        let Some(place) = self.links.place(number) else { return };
        self.links.remove(place);
        match place {
            Place::Next if self.draining => self.alarms.handover = Some(now + self.backoff()),
            Place::Next => {}
            Place::Current => self.follow_up(code, now),
        }
        if place == Place::Next && self.joined_on.is_none() {
            // Its join went with it, and the one on the link that is left, if it took effect, is older.
            self.links.take();
            self.alarms.connect = Some(now + self.backoff());
        }
    }

    fn follow_up(&mut self, code: u16, now: Instant) {
        if now.duration_since(self.joined_at) > STABLE_AFTER {
            self.attempt = 0;
        }
        self.alarms.handover = None;
        self.draining = false;
        if self.profile.conduct == Conduct::Vanishes {
            self.member.abandon();
            self.log.note(What::Vanished);
            self.over = true;
        } else if self.links.any() {
            // The next link takes over, whatever became of this one: `replaced` by it, perhaps.
        } else if matches!(code, 1002 | 1003 | 1007 | 1009 | 4200..=4299) {
            self.log.note(What::Stopped { code });
            self.out = true;
        } else if !self.out {
            self.alarms.connect = Some(now + self.backoff());
        }
    }

    pub(super) fn backoff(&mut self) -> Duration {
        let wait = backoff(self.attempt, &mut self.rng);
        self.attempt += 1;
        wait
    }

    /// A churning client goes, one way or the other, or comes as somebody new.
    pub(super) fn change(&mut self, now: Instant) {
        let next = now + between(STAYS_FOR.0, STAYS_FOR.1, &mut self.rng);
        self.out = !self.out;
        let connect = (!self.out).then_some(now);
        self.alarms = Alarms { change: Some(next), connect, ..Alarms::default() };
        if !self.out {
            return self.member.renew();
        }
        self.unlink();
        self.member.abandon();
        self.joining_on = None;
        self.request += 1;
        match self.links.take() {
            Some(link) if self.rng.bool() => {
                link.send(self.member.leave(self.request));
                link.close();
            }
            Some(_) | None => self.log.note(What::Vanished),
        }
    }
}
