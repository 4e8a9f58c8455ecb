//! The entries that a returning member missed: read from the log at the pace of its socket, then live.
//!
//! While a replay runs, the room pushes no new entry to its member (`Member::is_live`): the replay sends those too,
//! once the log has given them, so each is sent once and in order. The replay ends when it has sent everything up to
//! the *room's* position, not the log's: what the log holds beyond that is delivered live.

use std::collections::VecDeque;
use std::sync::Arc;

use signal_protocol::{PeerId, RoomId, Seq};

use super::fanout;
use super::members::{Member, Members};
use super::outbox::{Delivery, Outbox};
use crate::log::Batch;

/// How far the replay for one member is.
pub struct Replay {
    peer: PeerId,
    outbox: Arc<Outbox>,
    /// The entry of its join.
    at: Seq,
    /// The last entry that the member was sent, or that is not for it.
    cursor: Seq,
    /// The member's `joined`, until it was sent: at the entry of its join.
    joined: Option<Delivery>,
    /// Batches that were read and not sent yet.
    page: VecDeque<Batch>,
}

/// How far a replay has come with its page.
pub(super) enum ReplayProgress {
    /// The member has everything that the room has delivered.
    CaughtUp,
    /// There is more to send, once the socket has room or more was read.
    More,
    /// The log does not reach back any more.
    Lost,
}

/// What is to be done after a page.
pub(super) enum AfterPage {
    /// Nothing: the member is live, or gone.
    Done,
    /// Read on.
    Read(Replay),
    /// The member cannot be sent what it missed.
    Lost(PeerId),
}

/// Sends the member of a replay what was read, as far as its socket keeps up and the room itself is.
pub(super) fn send_page(
    members: &mut Members,
    room: &RoomId,
    position: Seq,
    mut replay: Replay,
) -> AfterPage {
    let Some(member) = replay.member(members) else { return AfterPage::Done };
    match replay.send(member, room, position) {
        ReplayProgress::CaughtUp => {
            member.set_behind(None);
            AfterPage::Done
        }
        ReplayProgress::More => {
            member.set_behind(Some(replay.cursor));
            AfterPage::Read(replay)
        }
        ReplayProgress::Lost => AfterPage::Lost(replay.peer),
    }
}

impl Replay {
    /// Begins behind `position`; `joined` is sent at the entry of the member's join.
    pub(super) fn begin(member: &mut Member, position: Seq, joined: Delivery) -> Self {
        member.set_behind(Some(position));
        Self {
            peer: member.claim.peer.clone(),
            outbox: member.outbox.clone(),
            at: member.joined_at(),
            cursor: position,
            joined: Some(joined),
            page: VecDeque::new(),
        }
    }

    /// Returns the queue that must have room before there is more to send.
    #[must_use]
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.outbox
    }

    /// Returns the entry behind which to read; `None` while a page is only sent in part.
    #[must_use]
    pub fn read_after(&self) -> Option<Seq> {
        self.page.is_empty().then_some(self.cursor)
    }

    /// Takes in what was read.
    pub fn fill(&mut self, page: Vec<Batch>) {
        self.page = page.into();
    }

    /// Finds its member: the one of this very join.
    pub(super) fn member<'a>(&self, members: &'a mut Members) -> Option<&'a mut Member> {
        members.get_mut(&self.peer).filter(|member| member.joined_at() == self.at)
    }

    fn send(&mut self, member: &Member, room: &RoomId, position: Seq) -> ReplayProgress {
        if self.page.is_empty() && self.cursor < position {
            return ReplayProgress::Lost;
        }
        while self.page.front().is_some_and(|batch| batch.first <= position)
            && let Some(batch) = self.page.pop_front()
        {
            if batch.prev > self.cursor && !batch.is_reset() {
                return ReplayProgress::Lost;
            }
            if !self.send_batch(member, room, &batch, position) {
                self.page.push_front(batch);
                return ReplayProgress::More;
            }
        }
        match self.page.front() {
            None if self.cursor < position => ReplayProgress::More,
            Some(next) if self.cursor < position && next.prev > self.cursor && !next.is_reset() => {
                ReplayProgress::Lost
            }
            // Entries lost before `position` cannot be replayed; the live `reset` that follows `joined` reports the
            // loss. A node that asked again here once asked for ever, as fast as it could.
            Some(_) | None => {
                if let Some(joined) = self.joined.take() {
                    member.outbox.push(joined);
                }
                ReplayProgress::CaughtUp
            }
        }
    }

    /// Sends the due entries of a batch; `false` if the socket must be waited for first.
    fn send_batch(&mut self, member: &Member, room: &RoomId, batch: &Batch, position: Seq) -> bool {
        let from = self.cursor;
        let due = batch.numbered().filter(|(seq, _)| *seq > from && *seq <= position);
        for (seq, entry) in due {
            if !member.outbox.is_light() {
                return false;
            }
            self.cursor = seq;
            // At the entry of the join, which is not for the member itself; behind it, if the log has lost that entry.
            if let Some(joined) = self.joined.take_if(|_| self.at <= seq) {
                member.outbox.push(joined);
            }
            if let Some(frame) = fanout::frame_for(member, room, seq, entry) {
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
        let joined = Joined {
            seq,
            base: Seq(3),
            n: 1,
            origin: Seq(1),
            recovery,
            mid,
            refused: Vec::new(),
            meta: json(),
            roster: Vec::new(),
        };
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
        let Member { claim, outbox, .. } = member();
        Replay { peer: claim.peer, outbox, at: Seq(4), cursor: Seq(1), joined, page }
    }

    #[test]
    fn a_log_that_is_ahead_of_the_room_is_told_as_far_as_the_room_is() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let mut replay = replay((2..=9).map(said));
        assert!(matches!(replay.send(&member, &room, Seq(5)), ReplayProgress::CaughtUp));
        assert_eq!(replay.cursor, Seq(5));
    }

    #[test]
    fn a_reset_is_told_also_to_a_member_that_is_yet_to_be_put_back() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let told = |roster| {
            fanout::frame_for(&member, &room, Seq(9), &crate::log::Entry::Reset { roster })
        };
        assert!(told(Vec::new()).is_some_and(|frame| frame.contains(r#""type":"reset""#)));
        let line = crate::log::RosterMember {
            peer: member.claim.peer.clone(),
            node: "n_two".parse().unwrap(),
            n: 1,
            joined: Seq(1),
            user: None,
            away: None,
            meta: json(),
        };
        let other = crate::log::ResetMember { line, generation: Seq(8), mid: Mid(0) };
        assert_eq!(told(vec![other]), None);
    }

    #[test]
    fn a_join_whose_entry_is_lost_meanwhile_is_answered_before_the_reset_that_says_so() {
        let (member, room) = (member(), "demo".parse().unwrap());
        let entries = vec![crate::log::Entry::Reset { roster: Vec::new() }];
        let mut replay = replay([Batch { prev: Seq(0), first: Seq(9), entries }]);
        replay.joined = Some(Delivery::from("joined".to_owned()));
        assert!(matches!(replay.send(&member, &room, Seq(9)), ReplayProgress::CaughtUp));
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
        assert!(matches!(replay.send(&member, &room, Seq(5)), ReplayProgress::CaughtUp));
        assert_eq!(member.outbox.pop().unwrap().unwrap().frame, "joined");
    }

    #[test]
    fn a_log_that_does_not_reach_back_is_a_loss() {
        let (member, room) = (member(), "demo".parse().unwrap());
        assert!(matches!(
            replay((3..=9).map(said)).send(&member, &room, Seq(9)),
            ReplayProgress::Lost
        ));
        assert!(matches!(replay([]).send(&member, &room, Seq(9)), ReplayProgress::Lost));
    }
}
