//! Why a session is woken.

/// Why a session is woken, apart from frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// Its next deadline has come.
    Tick = 1,
    /// The log has not answered for a lease.
    CutOff = 2,
    /// The node hands its clients over.
    HandOver = 4,
    /// The credential service issues other ICE servers now.
    IceNews = 8,
    /// The node stops.
    Stop = 16,
    /// The list of revoked tokens has grown.
    Revoked = 32,
}

/// Wakeups that were not looked at yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wakeups(u8);

impl Wakeups {
    /// Every wakeup that a session may have missed before it was registered.
    pub const EARLIER: Self = Self(
        Wakeup::CutOff as u8 | Wakeup::HandOver as u8 | Wakeup::Stop as u8 | Wakeup::Revoked as u8,
    );

    /// Adds one.
    pub(super) fn add(&mut self, wakeup: Wakeup) {
        self.0 |= wakeup as u8;
    }

    /// Tells whether this one is among them.
    #[must_use]
    pub fn has(self, wakeup: Wakeup) -> bool {
        self.0 & wakeup as u8 != 0
    }
}
