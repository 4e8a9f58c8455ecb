//! The users that a connection watches.

use prometheus::IntGauge;
use signal_protocol::Subject;

use crate::metrics::GaugeShare;
use crate::room::RoomHandle;

/// The users that one connection watches, with their inboxes.
pub(super) struct Watches {
    /// In the order of the users, who are found by it.
    sorted: Vec<(Subject, RoomHandle)>,
    share: GaugeShare,
}

impl Watches {
    pub(super) fn new(gauge: &IntGauge) -> Self {
        Self { sorted: Vec::new(), share: GaugeShare::new(gauge) }
    }

    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    fn find(&self, user: &Subject) -> Result<usize, usize> {
        self.sorted.binary_search_by(|(watched, _)| watched.cmp(user))
    }

    pub(super) fn get(&self, user: &Subject) -> Option<&RoomHandle> {
        self.find(user).ok().map(|at| &self.sorted[at].1)
    }

    pub(super) fn insert(&mut self, user: Subject, handle: RoomHandle) {
        match self.find(&user) {
            Ok(at) => self.sorted[at].1 = handle,
            Err(at) => self.sorted.insert(at, (user, handle)),
        }
        self.share.set(self.sorted.len());
    }

    pub(super) fn remove(&mut self, user: &Subject) -> Option<RoomHandle> {
        let at = self.find(user).ok()?;
        let (_, handle) = self.sorted.remove(at);
        self.share.set(self.sorted.len());
        Some(handle)
    }

    pub(super) fn users(&self) -> impl Iterator<Item = &Subject> {
        self.sorted.iter().map(|(user, _)| user)
    }

    pub(super) fn handles(&self) -> impl Iterator<Item = &RoomHandle> {
        self.sorted.iter().map(|(_, handle)| handle)
    }
}
