//! What a client reports of its calls: counted, and recorded in the timeline of the room.

use std::num::NonZeroU32;
use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::PeerId;
use signal_protocol::report::Report;
use tokio::time::Instant;

use super::run::Session;
use super::socket::Socket;
use crate::metrics::TimelineDrop;
use crate::timeline::{self, Event};
use crate::token_bucket::TokenBucket;

/// Reports of one connection. A member that enters a room of 64 connects to 63 others at once, and reports each.
const RATE: Rate = Rate {
    count: NonZeroU32::new(2).expect("not zero"),
    interval: Duration::from_secs(1),
    burst: NonZeroU32::new(128).expect("not zero"),
};

impl<S: Socket> Session<'_, S> {
    /// Counts and records a report of the member `peer`. Above the rate it is dropped without an answer: an error that names
    /// no message would slow all rooms of the client down.
    pub(super) fn report(&mut self, peer: PeerId, report: Report) {
        let now = Instant::now();
        let bucket = self.reports.get_or_insert_with(|| Box::new(TokenBucket::new(now)));
        let metrics = &self.context.metrics.calls;
        if bucket.take(RATE, 1, now).is_err() {
            return metrics.dropped(TimelineDrop::Rate, 1);
        }
        let Report { room, peer: about, at, call, media } = report;
        if let Some(call) = &call {
            metrics.reported(call);
        }
        let skew = i64::try_from(at).unwrap_or(i64::MAX).saturating_sub_unsigned(timeline::now());
        self.context
            .rooms
            .timelines()
            .record(&room, Event::Report { peer, about, skew, call, media });
    }
}
