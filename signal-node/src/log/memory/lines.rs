//! The lines of one timeline, in memory.

use std::collections::VecDeque;
use std::time::Duration;

/// Lines with the time of each, oldest first.
#[derive(Default)]
pub(super) struct Timeline {
    lines: VecDeque<(Duration, String)>,
    age: Duration,
}

impl Timeline {
    pub(super) fn append(
        &mut self,
        lines: &[String],
        now: Duration,
        (length, age): (usize, Duration),
    ) {
        self.lines.extend(lines.iter().map(|line| (now, line.clone())));
        let excess = self.lines.len().saturating_sub(length);
        self.lines.drain(..excess);
        self.age = age;
        self.trim(now);
    }

    /// Returns the lines, oldest first.
    pub(super) fn read(&self) -> Vec<String> {
        self.lines.iter().map(|(_, line)| line.clone()).collect()
    }

    /// Drops what is too old; tells whether anything is left.
    pub(super) fn trim(&mut self, now: Duration) -> bool {
        while self.lines.front().is_some_and(|(at, _)| *at + self.age < now) {
            self.lines.pop_front();
        }
        !self.lines.is_empty()
    }
}
