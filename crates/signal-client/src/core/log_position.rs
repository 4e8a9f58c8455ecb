//! How far a member has read in the log of its room, over all of its links.

use signal_protocol::{Recovery, Seq};

#[derive(Default)]
pub(super) struct LogPosition {
    seq: Option<Seq>,
    /// The newest reset: both links of a handover may tell of it.
    reset_at: Option<Seq>,
    /// Whether the last `joined` was not taken, since it lay behind.
    was_stale: bool,
}

impl LogPosition {
    /// Returns the number of the last entry, if there was one.
    pub(super) fn seq(&self) -> Option<Seq> {
        self.seq
    }

    /// Takes over where a membership begins. A replay goes on from the position: where the log has lost the join and gone on, another
    /// link may have told of that already.
    pub(super) fn joined(&mut self, recovery: Recovery, seq: Seq) {
        let begins_before = recovery == Recovery::Replay && self.seq > Some(seq);
        if !begins_before {
            self.seq = Some(seq);
        }
    }

    /// Whether an entry is above the position, which it moves.
    pub(super) fn is_news(&mut self, seq: Seq) -> bool {
        let is_news = self.seq.is_none_or(|position| seq > position);
        if is_news {
            self.seq = Some(seq);
        }
        is_news
    }

    /// Whether a reset is to be applied. It sets the position even backwards, so that applying it twice would repeat what
    /// followed it. One that is told before `joined` may be older than what the other link has told meanwhile.
    pub(super) fn rewinds(&mut self, seq: Seq, is_before_joined: bool) -> bool {
        let is_replayed = is_before_joined && self.seq.is_some_and(|position| seq <= position);
        if is_replayed || self.reset_at == Some(seq) {
            return false;
        }
        (self.seq, self.reset_at) = (Some(seq), Some(seq));
        true
    }

    /// Whether a `joined` is of an earlier time than what was told meanwhile: the join was answered late, before the log lost
    /// data and went on, and what follows it would be told again. It is asked for anew once; the next one counts.
    pub(super) fn is_stale(&mut self, recovery: Recovery, seq: Seq) -> bool {
        let is_old = recovery == Recovery::Snapshot && Some(seq) < self.seq;
        self.was_stale = is_old && !self.was_stale;
        self.was_stale
    }
}
