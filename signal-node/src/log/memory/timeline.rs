//! The timelines of one process.

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::MemoryLog;
use crate::log::{LogError, TimelineKey, TimelineStore};

impl TimelineStore for MemoryLog {
    fn append<'a>(
        &'a self,
        key: &'a TimelineKey,
        lines: &'a [String],
        age: Duration,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        let now = (self.clock)();
        let mut timelines = self.timelines();
        timelines.entry(key.clone()).or_default().append(lines, now, (key.length(), age));
        drop(timelines);
        Box::pin(async { Ok(()) })
    }

    fn lines<'a>(&'a self, key: &'a TimelineKey) -> BoxFuture<'a, Result<Vec<String>, LogError>> {
        let now = (self.clock)();
        let mut timelines = self.timelines();
        let kept = timelines.get_mut(key).map(|timeline| {
            timeline.trim(now);
            timeline.read()
        });
        drop(timelines);
        Box::pin(async { Ok(kept.unwrap_or_default()) })
    }
}
