//! Who else is in the room of a client, as far as the client is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::frame::Line;

/// How long somebody may be missing after a loss of data before the client is told that it is gone: its node puts it back.
const GRACE: Duration = Duration::from_secs(10);

/// What the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Somebody has come.
    Came(String),
    /// Somebody is gone.
    Left(String),
}

/// The others in the room.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// The number of the client among the joins of the room.
    n: u64,
    present: BTreeSet<String>,
    /// Who is missing since a loss, and until when that is not told.
    missing: Option<(BTreeSet<String>, Instant)>,
    has_joined: bool,
    /// Whether the roster is unknown: the answer to a resumed join lists no peers.
    is_unknown: bool,
}

impl Roster {
    /// Tells whether the client is in the room, or was.
    pub(crate) fn has_joined(&self) -> bool {
        self.has_joined
    }

    /// Applies the answer to the first join. The client is told of nobody: the others offer.
    pub(crate) fn begin(&mut self, n: u64, lines: &[Line<'_>]) {
        (self.n, self.has_joined) = (n, true);
        self.present = lines.iter().map(|line| line.id.to_string()).collect();
    }

    /// Applies the answer to a join that resumes: what the client missed is told by entries.
    pub(crate) fn resume(&mut self, n: u64) {
        (self.n, self.has_joined, self.is_unknown) = (n, true, true);
    }

    /// Applies the answer to a later join.
    pub(crate) fn compare_again(
        &mut self,
        n: u64,
        lines: &[Line<'_>],
        now: Instant,
    ) -> Vec<Change> {
        self.n = n;
        self.compare(lines, now)
    }

    /// Applies that a member has joined.
    pub(crate) fn came(&mut self, peer: &str) -> Option<Change> {
        if let Some((missing, _)) = &mut self.missing {
            missing.remove(peer);
        }
        self.present.insert(peer.to_owned()).then(|| Change::Came(peer.to_owned()))
    }

    /// Applies that a member is gone.
    pub(crate) fn left(&mut self, peer: &str) -> Option<Change> {
        let was_present = self.present.remove(peer) || self.is_unknown;
        was_present.then(|| Change::Left(peer.to_owned()))
    }

    /// Compares with a roster after a loss. Those who came in between are told at once, and those who are missing after a while.
    pub(crate) fn compare(&mut self, lines: &[Line<'_>], now: Instant) -> Vec<Change> {
        if std::mem::take(&mut self.is_unknown) {
            self.present.extend(lines.iter().map(|line| line.id.to_string()));
        }
        let is_listed = |id: &String| lines.iter().any(|line| line.id == **id);
        let missing: BTreeSet<String> =
            self.present.iter().filter(|id| !is_listed(id)).cloned().collect();
        self.missing = (!missing.is_empty()).then_some((missing, now + GRACE));
        let is_new = |line: &&Line<'_>| self.present.insert(line.id.to_string()) && line.n > self.n;
        lines.iter().filter(is_new).map(|line| Change::Came(line.id.to_string())).collect()
    }

    /// Returns when those who are missing count as gone.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.missing.as_ref().map(|(_, at)| *at)
    }

    /// Ends the wait for those who are missing.
    pub(crate) fn end_missing(&mut self, now: Instant) -> Vec<Change> {
        let is_due = |missing: &mut (BTreeSet<String>, Instant)| missing.1 <= now;
        let Some((missing, _)) = self.missing.take_if(is_due) else { return Vec::new() };
        let gone = missing.into_iter().filter(|id| self.present.remove(id));
        gone.map(Change::Left).collect()
    }
}
