//! Small histories, told event by event. A second passes where nothing else is said.

use super::Violation;
use super::model::Model;
use crate::history::{
    Event, FaultKind, History, Joined, LeaveReason, LeftReason, Peer, Recovery, RunSettings, SUITE,
    Seen, What,
};

pub(crate) const ANA: Peer = Peer { client: 0, life: 0 };
pub(crate) const BO: Peer = Peer { client: 1, life: 0 };
pub(crate) const CY: Peer = Peer { client: 2, life: 0 };
pub(crate) const DI: Peer = Peer { client: 3, life: 0 };

pub(crate) fn seen(peer: Peer, n: u64, polite: bool) -> Seen {
    Seen { peer, n, polite, away: false }
}

/// Counts what a check finds in a story.
pub(crate) fn found(check: fn(&Model<'_>) -> Vec<Violation>, story: HistoryBuilder) -> usize {
    let history = story.end();
    check(&Model::new(&history)).len()
}

/// A history in the making.
pub(crate) struct HistoryBuilder {
    now: u64,
    numbers: [u32; 4],
    faults: u32,
    events: Vec<Event>,
}

impl HistoryBuilder {
    pub(crate) fn empty() -> Self {
        Self { now: 0, numbers: [0; 4], faults: 0, events: Vec::new() }
    }

    /// Ana, Bo and Cy in a room for three, joined at seq 1, 2 and 3.
    pub(crate) fn three() -> Self {
        Self::empty()
            .join(ANA, 1, 1, &[])
            .join(BO, 2, 2, &[seen(ANA, 1, true)])
            .event(ANA.client, What::PeerJoined { seq: 2, seen: seen(BO, 2, false) })
            .join(CY, 3, 3, &[seen(ANA, 1, true), seen(BO, 2, true)])
            .event(ANA.client, What::PeerJoined { seq: 3, seen: seen(CY, 3, false) })
            .event(BO.client, What::PeerJoined { seq: 3, seen: seen(CY, 3, false) })
    }

    fn event(mut self, who: u32, what: What) -> Self {
        self.now += 1_000_000;
        self.events.push(Event { at: self.now, who, what });
        self
    }

    pub(crate) fn wait(mut self, seconds: u64) -> Self {
        self.now += seconds * 1_000_000;
        self
    }

    fn joined(
        self,
        peer: Peer,
        seq: u64,
        n: u64,
        recovery: Recovery,
        roster: Option<&[Seen]>,
    ) -> Self {
        let roster = roster.map(Into::into);
        let joined = Joined { peer, room: 1, seq, recovery, n, roster };
        self.event(peer.client, What::Joined(Box::new(joined)))
    }

    pub(crate) fn join(self, peer: Peer, seq: u64, n: u64, roster: &[Seen]) -> Self {
        self.joined(peer, seq, n, Recovery::New, Some(roster))
    }

    pub(crate) fn replay(self, peer: Peer, seq: u64) -> Self {
        self.joined(peer, seq, u64::from(peer.client) + 1, Recovery::Replay, None)
    }

    pub(crate) fn snapshot(self, peer: Peer, seq: u64) -> Self {
        self.joined(peer, seq, u64::from(peer.client) + 1, Recovery::Snapshot, None)
    }

    pub(crate) fn reset(self, peer: Peer, seq: u64) -> Self {
        self.reset_with(peer, seq, &[])
    }

    pub(crate) fn reset_with(self, peer: Peer, seq: u64, roster: &[Seen]) -> Self {
        self.event(peer.client, What::Reset { seq, roster: roster.into() })
    }

    /// Sends a signal that is not acknowledged.
    pub(crate) fn unacknowledged_signal(mut self, from: Peer, to: Option<Peer>) -> Self {
        let number = &mut self.numbers[from.client as usize];
        *number += 1;
        let number = *number;
        self.event(from.client, What::Sent { number, to })
    }

    pub(crate) fn hear(self, by: Peer, from: Peer, number: u32, seq: u64) -> Self {
        self.event(by.client, What::Received { from, number, seq, to_me: false })
    }

    /// Sends a signal that these get at this place, and that is acknowledged.
    pub(crate) fn signal(self, from: Peer, to: Option<Peer>, seq: u64, heard: &[Peer]) -> Self {
        let mut story = self.unacknowledged_signal(from, to);
        let number = story.numbers[from.client as usize];
        for by in heard {
            story = story.hear(*by, from, number, seq);
        }
        story.event(from.client, What::Settled { number })
    }

    pub(crate) fn leave(self, peer: Peer) -> Self {
        self.event(peer.client, What::Leaving)
    }

    pub(crate) fn vanish(self, peer: Peer) -> Self {
        self.event(peer.client, What::Vanished)
    }

    pub(crate) fn closed(self, peer: Peer) -> Self {
        self.closed_with(peer, 1006)
    }

    pub(crate) fn closed_with(self, peer: Peer, code: u16) -> Self {
        self.event(peer.client, What::Closed { code })
    }

    pub(crate) fn settled(self, peer: Peer, number: u32) -> Self {
        self.event(peer.client, What::Settled { number })
    }

    pub(crate) fn health(self, node: u8, well: bool, trouble: &[&str]) -> Self {
        let trouble = trouble.iter().map(|name| (*name).into()).collect();
        self.event(SUITE, What::Health { node, up: well, ready: well, trouble })
    }

    pub(crate) fn endless(self, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|key| (*key).into()).collect();
        self.event(SUITE, What::EndlessKeys { keys })
    }

    pub(crate) fn ended(self, peer: Peer, reason: LeftReason) -> Self {
        self.event(peer.client, What::Ended { reason })
    }

    pub(crate) fn left(self, by: Peer, peer: Peer, seq: u64) -> Self {
        self.event(by.client, What::PeerLeft { seq, peer, reason: LeaveReason::Left })
    }

    pub(crate) fn timeout(self, by: Peer, peer: Peer, seq: u64) -> Self {
        self.event(by.client, What::PeerLeft { seq, peer, reason: LeaveReason::Timeout })
    }

    pub(crate) fn fault(mut self, kind: FaultKind) -> Self {
        self.faults += 1;
        let fault = self.faults;
        self.event(SUITE, What::Fault { fault, kind, node: None })
    }

    /// Ends the last fault.
    pub(crate) fn healed(self) -> Self {
        let fault = self.faults;
        self.event(SUITE, What::Healed { fault })
    }

    /// Announces to the room; these get it at this place.
    pub(crate) fn announce(self, number: u32, seq: u64, heard: &[Peer]) -> Self {
        let story = self.event(SUITE, What::Announcing { number });
        let story = story.event(SUITE, What::Announced { number, room: 1, seq });
        heard.iter().fold(story, |story, by| {
            story.event(by.client, What::AnnouncementReceived { number, seq })
        })
    }

    /// Removes a member and bans its subject for some seconds; these are told so at this place.
    pub(crate) fn kick(self, peer: Peer, seconds: u64, seq: u64, told: &[Peer]) -> Self {
        let story = self.event(SUITE, What::Kicking { peer, ban: seconds * 1_000_000 });
        let story = story.event(SUITE, What::Kicked { peer });
        told.iter().fold(story, |story, by| {
            story.event(by.client, What::PeerLeft { seq, peer, reason: LeaveReason::Kicked })
        })
    }

    /// Locks the room or bounds it, with this as its last place.
    pub(crate) fn configured(self, locked: bool, cap: u64, seq: u64) -> Self {
        let story = self.event(SUITE, What::Configuring { room: 1 });
        story.event(SUITE, What::Configured { room: 1, locked, cap, seq })
    }

    /// A good client was in, or not, after so many milliseconds.
    pub(crate) fn attempt(self, took: u64, is_in: bool) -> Self {
        self.event(SUITE, What::Attempt { took: took * 1_000, is_in })
    }

    /// An attack begins; a p99 of so many milliseconds is noise.
    pub(crate) fn attack(self, floor: u64) -> Self {
        self.event(SUITE, What::Attack { floor: floor * 1_000 })
    }

    pub(crate) fn attack_over(self) -> Self {
        self.event(SUITE, What::AttackOver)
    }

    pub(crate) fn memory(self, bytes: u64) -> Self {
        self.event(SUITE, What::Memory { process: "node-0".into(), bytes })
    }

    pub(crate) fn report(self, peer: Peer, peers: &[(Peer, bool)]) -> Self {
        self.event(peer.client, What::Roster { peers: peers.into() })
    }

    pub(crate) fn metas(self, peer: Peer, own: u32, peers: &[(Peer, u32)]) -> Self {
        self.event(peer.client, What::Metas { own: Some(own), peers: peers.into() })
    }

    /// Ends the run with the rosters that were reported.
    pub(crate) fn unreported(self) -> History {
        let settings = RunSettings {
            scenario: "test".to_owned(),
            seed: 0,
            capacity: 3,
            lease: 6_000_000,
            grace: 30_000_000,
            ping: 10_000_000,
        };
        History { settings, events: self.events }
    }

    /// Ends the run with everyone still there who did not go.
    pub(crate) fn end(self) -> History {
        let gone = |who: u32| {
            self.events.iter().filter(|event| event.who == who).fold(
                true,
                |gone, event| match event.what {
                    What::Joined(_) => false,
                    What::Leaving | What::Vanished | What::Closed { .. } | What::Ended { .. } => {
                        true
                    }
                    _ => gone,
                },
            )
        };
        let stay: Vec<_> = [ANA, BO, CY, DI].into_iter().filter(|p| !gone(p.client)).collect();
        stay.into_iter().fold(self, |story, peer| story.report(peer, &[])).unreported()
    }
}
