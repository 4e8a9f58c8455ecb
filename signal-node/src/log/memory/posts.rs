//! Signals of those who are not members.

use std::time::Duration;

use signal_protocol::{ErrorCode, PeerId};

use super::room::RoomState;
use super::stream::Append;
use crate::log::{Entry, Outcome, POSTS_REMEMBERED, Payload, Post, REMEMBERED};

impl RoomState {
    pub(super) fn announce(
        &mut self,
        key: Option<&String>,
        to: Option<&PeerId>,
        data: &Payload,
        now: Duration,
        append: &mut Append,
    ) -> Result<Outcome, Outcome> {
        self.announced.retain(|_, (made, _)| now < *made + REMEMBERED);
        if let Some((_, seq)) = key.and_then(|key| self.announced.get(key)) {
            return Ok(Outcome::Appended(*seq));
        }
        if to.is_some_and(|to| !self.members.contains_key(to)) {
            return Err(Outcome::Refused(ErrorCode::PeerNotFound));
        }
        if self.members.is_empty() {
            return Err(Outcome::Gone(append.last()));
        }
        let seq = append.push(Entry::Announced { to: to.cloned(), data: data.clone() });
        if let Some(key) = key {
            self.announced.insert(key.clone(), (now, seq));
            self.remembered_until = now + REMEMBERED;
        }
        Ok(Outcome::Appended(seq))
    }

    pub(super) fn post(&mut self, post: &Post, now: Duration, append: &mut Append) -> Outcome {
        self.posted.retain(|_, (_, at, _)| now < *at + POSTS_REMEMBERED);
        match self.posted.get(&post.from) {
            Some((count, _, receivers)) if post.count == *count => {
                return Outcome::Posted(*receivers);
            }
            Some((count, ..)) if post.count < *count => return Outcome::Settled,
            Some(_) | None => {}
        }
        if !post.judgement.is_stale(now) {
            self.suspect(&post.judgement.silent, post.grace, now, append);
        }
        if self.members.values().all(|member| member.away_since.is_some()) {
            let recovering = self.is_recovering(now);
            return if recovering { Outcome::Recovering } else { Outcome::Gone(append.last()) };
        }
        append.push(Entry::Announced { to: None, data: post.data.clone() });
        let receivers = self.members.len();
        self.posted.insert(post.from, (post.count, now, receivers));
        Outcome::Posted(receivers)
    }
}
