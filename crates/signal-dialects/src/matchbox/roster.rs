//! Who is in the room of a client, as far as the client is told.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::frame::Line;

/// How long somebody may be missing after a loss of data before the client is told that it is gone: its node puts it back.
const GRACE: Duration = Duration::from_secs(10);

/// What the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Somebody has come.
    Came(Uuid),
    /// Somebody is gone.
    Left(Uuid),
}

/// The others in the room.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// The number of the client among the joins of the room.
    n: u64,
    present: BTreeSet<Uuid>,
    /// Who is missing since a loss, and until when that is not told.
    missing: Option<(BTreeSet<Uuid>, Instant)>,
    has_joined: bool,
}

impl Roster {
    /// Tells whether the client is in the room, or was.
    pub(super) fn has_joined(&self) -> bool {
        self.has_joined
    }

    /// Applies the answer to the first join. The client is told of nobody: the others offer.
    pub(super) fn begin(&mut self, n: u64, lines: &[Line<'_>]) {
        (self.n, self.has_joined) = (n, true);
        self.present = lines.iter().filter_map(|line| uuid_of(&line.id)).collect();
    }

    /// Applies the answer to a later join.
    pub(super) fn compare_again(
        &mut self,
        n: u64,
        lines: &[Line<'_>],
        now: Instant,
    ) -> Vec<Change> {
        self.n = n;
        self.compare(lines, now)
    }

    /// Applies that a member has joined.
    pub(super) fn came(&mut self, peer: &str) -> Option<Change> {
        let id = uuid_of(peer)?;
        if let Some((missing, _)) = &mut self.missing {
            missing.remove(&id);
        }
        self.present.insert(id).then_some(Change::Came(id))
    }

    /// Applies that a member is gone.
    pub(super) fn left(&mut self, peer: &str) -> Option<Change> {
        let id = uuid_of(peer)?;
        self.present.remove(&id).then_some(Change::Left(id))
    }

    /// Compares with a roster after a loss. Those who came in between are told at once, and those who are missing after a while.
    pub(super) fn compare(&mut self, lines: &[Line<'_>], now: Instant) -> Vec<Change> {
        let listed = lines.iter().filter_map(|line| Some((uuid_of(&line.id)?, line.n)));
        let listed: Vec<(Uuid, u64)> = listed.collect();
        let is_listed = |id: &Uuid| listed.iter().any(|(listed, _)| listed == id);
        let missing: BTreeSet<Uuid> =
            self.present.iter().filter(|id| !is_listed(id)).copied().collect();
        self.missing = (!missing.is_empty()).then_some((missing, now + GRACE));
        let is_new = |(id, n): &(Uuid, u64)| self.present.insert(*id) && *n > self.n;
        listed.into_iter().filter(is_new).map(|(id, _)| Change::Came(id)).collect()
    }

    /// Returns when those who are missing count as gone.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.missing.as_ref().map(|(_, at)| *at)
    }

    /// Ends the wait for those who are missing.
    pub(super) fn end_missing(&mut self, now: Instant) -> Vec<Change> {
        let is_due = |missing: &mut (BTreeSet<Uuid>, Instant)| missing.1 <= now;
        let Some((missing, _)) = self.missing.take_if(is_due) else { return Vec::new() };
        let gone = missing.into_iter().filter(|id| self.present.remove(id));
        gone.map(Change::Left).collect()
    }
}

/// Writes the 128 bits of a peer id as a UUID.
pub(super) fn uuid_of(peer: &str) -> Option<Uuid> {
    let bits = URL_SAFE_NO_PAD.decode(peer.strip_prefix("p_")?).ok()?;
    Some(Uuid::from_bytes(bits.try_into().ok()?))
}
