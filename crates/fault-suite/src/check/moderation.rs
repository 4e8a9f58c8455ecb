//! What a back end was told to hold holds: a removed member does not come back as the one it was, its subject stays out for as long as it
//! is banned, a locked room takes nobody new, and a bounded one not more than its cap.
//!
//! A ban ends by the clock of Redis, so one that is set may end it early. A `new` join lies after what was asked if its place in the log does, and before the end of that if it was told before the
//! end was asked for. Whatever was asked before data was lost may be lost with it.

use std::collections::HashMap;

use super::Violation;
use super::faults::{FaultPeriod, faults};
use super::model::Model;
use crate::history::{Event, FaultKind, Joined, LeaveReason, Peer, Recovery, What};

/// A removal that was answered.
struct Removal {
    asked_at: u64,
    banned_until: u64,
    /// Its place in the log, once somebody was told.
    seq: Option<u64>,
}

/// What a room is set to.
struct Setting {
    asked_at: u64,
    locked: bool,
    cap: u64,
    seq: u64,
}

#[derive(Default)]
struct State {
    asked: HashMap<Peer, (u64, u64)>,
    removals: HashMap<Peer, Removal>,
    settings: HashMap<u32, Setting>,
    configuring: HashMap<u32, u64>,
    violations: Vec<Violation>,
}

pub(super) fn check(model: &Model<'_>) -> Vec<Violation> {
    let excuses = |kind: FaultKind| kind.loses_data() || kind.sets_clock();
    let losses: Vec<_> = faults(model).into_iter().filter(|it| excuses(it.kind)).collect();
    let mut state = State::default();
    for event in model.events {
        state.follow(event, &losses);
    }
    state.violations
}

impl State {
    fn follow(&mut self, event: &Event, losses: &[FaultPeriod]) {
        match &event.what {
            What::Kicking { peer, ban } => {
                self.asked.insert(*peer, (event.at, event.at + ban));
            }
            What::Kicked { peer } => {
                if let Some((asked_at, banned_until)) = self.asked.remove(peer) {
                    let removal = Removal { asked_at, banned_until, seq: None };
                    self.removals.insert(*peer, removal);
                }
            }
            What::PeerLeft { seq, peer, reason: LeaveReason::Kicked } => {
                if let Some(removal) = self.removals.get_mut(peer) {
                    removal.seq.get_or_insert(*seq);
                }
            }
            What::Configuring { room } => {
                self.settings.remove(room);
                self.configuring.insert(*room, event.at);
            }
            What::Configured { room, locked, cap, seq } => {
                let asked_at = self.configuring.get(room).copied().unwrap_or_default();
                let setting = Setting { asked_at, locked: *locked, cap: *cap, seq: *seq };
                self.settings.insert(*room, setting);
            }
            What::Joined(joined) => self.joined(joined, event.at, losses),
            _ => {}
        }
    }

    fn joined(&mut self, joined: &Joined, at: u64, losses: &[FaultPeriod]) {
        let is_lost = |asked_at| losses.iter().any(|it| it.from <= at && it.to >= asked_at);
        let mut found = Vec::new();
        for (peer, removal) in &self.removals {
            let is_after = removal.seq.is_some_and(|seq| seq < joined.seq);
            let is_same = *peer == joined.peer && joined.recovery != Recovery::New;
            let is_banned = peer.client == joined.peer.client && at < removal.banned_until;
            if is_after && (is_same || is_banned) && !is_lost(removal.asked_at) {
                found.push(format!("{} joined, although {peer} was removed", joined.peer));
            }
        }
        let setting = self.settings.get(&joined.room);
        let setting = setting.filter(|it| joined.recovery == Recovery::New && it.seq < joined.seq);
        if let Some(it) = setting.filter(|it| !is_lost(it.asked_at)) {
            let members = joined.roster.as_ref().map_or(1, |roster| roster.len() as u64 + 1);
            if it.locked {
                found.push(format!("{} joined room {}, which is locked", joined.peer, joined.room));
            }
            if members > it.cap {
                let what = format!("{} is member {members} of {}", joined.peer, it.cap);
                found.push(what);
            }
        }
        self.violations.extend(found.into_iter().map(|what| Violation::new(at, what)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::testing::{ANA, BO, CY, DI, HistoryBuilder, found, seen};

    const AGAIN: Peer = Peer { client: 2, life: 1 };

    fn kicked() -> HistoryBuilder {
        HistoryBuilder::three().kick(CY, 60, 4, &[ANA, BO])
    }

    #[test]
    fn twin_a_banned_subject_that_joins_is_found() {
        assert_eq!(found(check, kicked().join(AGAIN, 5, 4, &[])), 1);
        assert_eq!(found(check, kicked().wait(60).join(AGAIN, 5, 4, &[])), 0);
    }

    #[test]
    fn twin_a_removed_member_that_comes_back_is_found() {
        assert_eq!(found(check, kicked().wait(60).replay(CY, 5)), 1);
        assert_eq!(found(check, kicked().wait(60).replay(BO, 5)), 0);
    }

    #[test]
    fn a_ban_may_be_lost_with_data() {
        let story = kicked().fault(FaultKind::LoseKeys).healed();
        assert_eq!(found(check, story.join(AGAIN, 5, 4, &[])), 0);
    }

    #[test]
    fn twin_a_new_member_of_a_locked_room_is_found() {
        let locked = || HistoryBuilder::three().configured(true, 9, 3);
        assert_eq!(found(check, locked().join(DI, 4, 4, &[])), 1);
        assert_eq!(found(check, locked().replay(BO, 4)), 0);
        assert_eq!(found(check, locked().configured(false, 9, 3).join(DI, 4, 4, &[])), 0);
    }

    #[test]
    fn twin_one_member_too_many_is_found() {
        let bounded = || HistoryBuilder::three().configured(false, 1, 3);
        assert_eq!(found(check, bounded().join(DI, 4, 4, &[seen(ANA, 1, true)])), 1);
        assert_eq!(found(check, bounded().join(DI, 4, 4, &[])), 0);
    }
}
