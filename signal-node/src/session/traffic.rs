//! What passed over one connection, for the line in the log that tells of its end.

/// Frames of a connection in both directions.
#[derive(Default)]
pub(super) struct Traffic {
    pub(super) received: Frames,
    pub(super) sent: Frames,
}

/// Text frames in one direction, and the bytes of their payloads.
#[derive(Default)]
pub(super) struct Frames {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl Frames {
    pub(super) fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
    }
}
