//! VolatileQueue a member that came back what it missed: read from the log at the pace of its socket, then live.

use std::collections::VecDeque;
use std::sync::Arc;

use signal_protocol::{PeerId, RoomId, Seq};

use super::fanout;
use super::members::Member;
use super::outbox::{Delivery, Outbox};
use super::worker::Worker;
use crate::log::{Batch, LogError};

/// Batches that are read at once for one member.
const PAGE: usize = 32;

/// A page of what a member missed.
pub(super) struct Page {
    replay: Replay,
    /// Whether it was read now; otherwise it is the rest of one that was.
    read: Result<(), LogError>,
}

/// How far a replay is.
struct Replay {
    peer: PeerId,
    /// The entry of its join.
    at: Seq,
    /// The last entry that the member was told of, or need not be.
    cursor: Seq,
    /// What it is told at the entry of its join, until it was.
    joined: Option<Delivery>,
    /// What was read and not told yet.
    page: VecDeque<Batch>,
}

/// How a page ended.
enum ReplayProgress {
    /// As far as the room is.
    Even,
    /// There is more to tell.
    More,
    /// The log does not reach back any more.
    Lost,
}

impl Worker {
    /// Begins behind `position`; `joined` is told at the entry of the member's join.
    pub(super) fn begin_replay(&mut self, member: &mut Member, position: Seq, joined: Delivery) {
        member.catch_up(Some(position));
        let (peer, at) = (member.claim.peer.clone(), member.joined_at());
        let (joined, page) = (Some(joined), VecDeque::new());
        let replay = Replay { peer, at, cursor: position, joined, page };
        self.read_on(replay, member.outbox.clone());
    }

    fn read_on(&mut self, mut replay: Replay, outbox: Arc<Outbox>) {
        let (log, room) = (self.context.log.clone(), self.room.clone());
        self.replays.push(async move {
            outbox.emptied().await;
            if !replay.page.is_empty() {
                return Page { replay, read: Ok(()) };
            }
            let read = log.read(&room, replay.cursor, PAGE).await;
            let read = read.map(|batches| replay.page = batches.into());
            Page { replay, read }
        });
    }

    /// Tells the member what was read, as far as its socket keeps up and the room itself is.
    pub(super) fn replay(&mut self, page: Page) {
        let Page { mut replay, read } = page;
        let position = self.cursor.position();
        let member = self.members.get_mut(&replay.peer);
        let Some(member) = member.filter(|member| member.joined_at() == replay.at) else { return };
        let outbox = member.outbox.clone();
        if read.is_err() {
            return self.read_on(replay, outbox);
        }
        match replay.tell(member, &self.room, position) {
            ReplayProgress::Even => member.catch_up(None),
            ReplayProgress::More => {
                member.catch_up(Some(replay.cursor));
                self.read_on(replay, outbox);
            }
            ReplayProgress::Lost => {
                let peer = replay.peer;
                self.disconnect_member(&peer);
            }
        }
    }
}

impl Replay {
    fn tell(&mut self, member: &Member, room: &RoomId, position: Seq) -> ReplayProgress {
        if self.page.is_empty() && self.cursor < position {
            return ReplayProgress::Lost;
        }
        // The log may be ahead of the room; what lies beyond comes live.
        while self.page.front().is_some_and(|batch| batch.first <= position)
            && let Some(batch) = self.page.pop_front()
        {
            if batch.prev > self.cursor && !batch.is_reset() {
                return ReplayProgress::Lost;
            }
            if !self.batch(member, room, &batch, position) {
                self.page.push_front(batch);
                return ReplayProgress::More;
            }
        }
        match self.page.front() {
            None if self.cursor < position => ReplayProgress::More,
            Some(next) if self.cursor < position && next.prev > self.cursor && !next.is_reset() => {
                ReplayProgress::Lost
            }
            // What the log has lost up to the room's position nobody can tell any more; the reset that says so
            // comes live, behind the answer to the join.
            Some(_) | None => {
                if let Some(joined) = self.joined.take() {
                    member.outbox.push(joined);
                }
                ReplayProgress::Even
            }
        }
    }

    /// Tells what is due of a batch; `false` if the socket has to be waited for first.
    fn batch(&mut self, member: &Member, room: &RoomId, batch: &Batch, position: Seq) -> bool {
        let from = self.cursor;
        let due = batch.numbered().filter(|(seq, _)| *seq > from && *seq <= position);
        for (seq, entry) in due {
            if !member.outbox.is_light() {
                return false;
            }
            self.cursor = seq;
            // At the entry of the join, which the member is not told; behind it, if the log has lost that.
            if let Some(joined) = self.joined.take_if(|_| self.at <= seq) {
                member.outbox.push(joined);
            }
            if let Some(frame) = fanout::told(member, room, seq, entry) {
                member.outbox.push(frame);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use signal_protocol::{Mid, PeerKey, Recovery};

    use super::*;
    use crate::log::{Join, Joined, Payload};

    fn json() -> Payload {
        serde_json::value::RawValue::from_string("1".to_owned()).unwrap().into()
    }

    fn member() -> Member {
        let key: PeerKey = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
        let join =
            Join { position: Some(Seq(1)), ..Join::simple(&key, 2, "n_one".parse().unwrap()) };
        let (seq, recovery, mid) = (Seq(4), Recovery::Replay, Mid(0));
        let joined =
            Joined { seq, base: Seq(3), n: 1, origin: Seq(1), recovery, mid, roster: Vec::new() };
        Member::new(join, &joined, Arc::new(Outbox::new(1_000_000)))
    }

    fn said(number: u64) -> Batch {
        let from = "p_someone_else".parse().unwrap();
        let entry = crate::log::Entry::Signal {
            from,
            to: None,
            mid: Mid(number),
            data: json(),
            trace: None,
        };
        Batch { prev: Seq(number - 1), first: Seq(number), entries: vec![entry] }
    }

    fn replay(page: impl IntoIterator<Item = Batch>) -> Replay {
        let (joined, page) = (None, page.into_iter().collect());
        Replay { peer: member().claim.peer, at: Seq(4), cursor: Seq(1), joined, page }
    }

    #[test]
    fn a_log_that_is_ahead_of_the_room_is_told_as_far_as_the_room_is() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let mut replay = replay((2..=9).map(said));
        assert!(matches!(replay.tell(&member, &room, Seq(5)), ReplayProgress::Even));
        assert_eq!(replay.cursor, Seq(5));
    }

    #[test]
    fn a_reset_is_told_also_to_a_member_that_is_yet_to_be_put_back() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let told =
            |roster| fanout::told(&member, &room, Seq(9), &crate::log::Entry::Reset { roster });
        assert!(told(Vec::new()).is_some_and(|frame| frame.contains(r#""type":"reset""#)));
        let line = crate::log::RosterMember {
            peer: member.claim.peer.clone(),
            node: "n_two".parse().unwrap(),
            n: 1,
            user: None,
            away: None,
            meta: json(),
        };
        let other = crate::log::Survivor { line, generation: Seq(8), mid: Mid(0) };
        assert_eq!(told(vec![other]), None);
    }

    #[test]
    fn a_join_whose_entry_is_lost_meanwhile_is_answered_before_the_reset_that_says_so() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let entries = vec![crate::log::Entry::Reset { roster: Vec::new() }];
        let mut replay = replay([Batch { prev: Seq(0), first: Seq(9), entries }]);
        replay.joined = Some(Delivery::from("joined".to_owned()));
        assert!(matches!(replay.tell(&member, &room, Seq(9)), ReplayProgress::Even));
        let told = || member.outbox.pop().unwrap().map(|delivery| delivery.frame);
        assert_eq!(told().unwrap(), "joined");
        assert!(told().unwrap().starts_with(br#"{"type":"reset""#));
    }

    /// A node waited for ever, as fast as it could, for what the log had lost.
    #[test]
    fn a_log_that_goes_on_behind_the_room_does_not_keep_a_member_waiting() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let later = Batch { prev: Seq(1), ..said(9) };
        let mut replay = replay([later]);
        replay.joined = Some(Delivery::from("joined".to_owned()));
        assert!(matches!(replay.tell(&member, &room, Seq(5)), ReplayProgress::Even));
        assert_eq!(member.outbox.pop().unwrap().unwrap().frame, "joined");
    }

    #[test]
    fn a_log_that_does_not_reach_back_is_a_loss() {
        let (member, room) = (member(), "demo".parse().unwrap());
        assert!(matches!(
            replay((3..=9).map(said)).tell(&member, &room, Seq(9)),
            ReplayProgress::Lost
        ));
        assert!(matches!(replay([]).tell(&member, &room, Seq(9)), ReplayProgress::Lost));
    }
}
