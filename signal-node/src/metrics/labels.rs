//! The labels whose sets are closed by an enum of their own.

/// Why a room compares with its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapCause {
    /// The connection was made again, or more arrived than may wait.
    Feed,
    /// More arrived behind a hole than may wait for it to be filled.
    Held,
    /// Entries that this node appended did not come back to it.
    Deaf,
}

impl GapCause {
    pub(super) const ALL: [Self; 3] = [Self::Feed, Self::Held, Self::Deaf];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Feed => "feed",
            Self::Held => "held",
            Self::Deaf => "deaf",
        }
    }
}

/// Which bound a slow reader passed.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowBound {
    Bytes,
    Frames,
    /// Time without a write.
    Time,
}

impl SlowBound {
    pub(super) const ALL: [Self; 3] = [Self::Bytes, Self::Frames, Self::Time];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Frames => "frames",
            Self::Time => "time",
        }
    }
}

/// A kind of call to the room log.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogCall {
    /// Subscribes to a room.
    Subscribe,
    /// Appends signals and nothing else.
    Signals,
    /// Anything that may change who is in a room, or looks at it.
    Steps,
    /// Reads what was appended.
    Read,
    Publish,
}

impl LogCall {
    pub(super) const ALL: [Self; 5] =
        [Self::Subscribe, Self::Signals, Self::Steps, Self::Read, Self::Publish];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Signals => "signals",
            Self::Steps => "steps",
            Self::Read => "read",
            Self::Publish => "publish",
        }
    }
}

/// Why a volatile signal was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolatileDrop {
    /// The queue of its room was full of commands.
    Busy,
    /// A newer one took its place while others were published.
    Replaced,
    /// Its sender was over its budget.
    Rate,
    /// The log did not publish it.
    Log,
}

impl VolatileDrop {
    pub(super) const ALL: [Self; 4] = [Self::Busy, Self::Replaced, Self::Rate, Self::Log];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Replaced => "replaced",
            Self::Rate => "rate",
            Self::Log => "log",
        }
    }
}
