//! Figures out of histories.

use std::collections::HashMap;

use crate::history::{FaultKind, History, SUITE, What};
use crate::report::count;

/// Some durations, in microseconds, sorted.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<u64>);

impl FromIterator<u64> for Times {
    fn from_iter<I: IntoIterator<Item = u64>>(times: I) -> Self {
        let mut times: Vec<_> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

impl Times {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that this many percent do not exceed, in microseconds; infinite if there is none.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        let time = self.0.get(rank.saturating_sub(1));
        time.map_or(f64::INFINITY, |micros| {
            if *micros == NEVER { f64::INFINITY } else { micros_f64(*micros) }
        })
    }

    /// The same in milliseconds.
    pub(super) fn ms(&self, percent: usize) -> f64 {
        self.percentile(percent) / 1e3
    }

    /// The same in seconds.
    pub(super) fn seconds(&self, percent: usize) -> f64 {
        self.percentile(percent) / 1e6
    }
}

/// What did not happen while the run lasted.
pub(super) const NEVER: u64 = u64::MAX;

#[expect(clippy::cast_precision_loss, reason = "runs last minutes")]
fn micros_f64(micros: u64) -> f64 {
    micros as f64
}

/// How many events are so.
pub(super) fn count_events(history: &History, wanted: impl Fn(&What) -> bool) -> f64 {
    count(history.events.iter().filter(|event| wanted(&event.what)).count())
}

/// The time from sending to arrival, of what was sent within a stretch of the run.
pub(super) fn latencies(history: &History, from: u64, to: u64) -> Times {
    let mut sent: HashMap<(u32, u32), u64> = HashMap::new();
    let mut times = Vec::new();
    for event in &history.events {
        match event.what {
            What::Sent { number, .. } if (from..to).contains(&event.at) => {
                sent.insert((event.who, number), event.at);
            }
            What::Received { from, number, .. } => {
                times.extend(sent.get(&(from.client, number)).map(|sent| event.at - sent));
            }
            _ => {}
        }
    }
    times.into_iter().collect()
}

/// A fault of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FaultPeriod {
    number: u32,
    pub(super) from: u64,
    /// When it was healed.
    pub(super) to: u64,
    /// The node it affects, if one.
    pub(super) node: Option<u8>,
}

/// The faults of a kind, in the order of time.
pub(super) fn faults(history: &History, wanted: FaultKind) -> Vec<FaultPeriod> {
    let mut found: Vec<FaultPeriod> = Vec::new();
    for event in history.events.iter().filter(|event| event.who == SUITE) {
        match event.what {
            What::Fault { fault: number, kind, node } if kind == wanted => {
                found.push(FaultPeriod { number, from: event.at, to: NEVER, node });
            }
            What::Healed { fault } => {
                if let Some(period) = found.iter_mut().find(|period| period.number == fault) {
                    period.to = event.at;
                }
            }
            _ => {}
        }
    }
    found
}

/// For each client that loses its membership's socket to a kill, how long until it is back.
pub(super) fn returns(history: &History) -> Times {
    let kills = faults(history, FaultKind::KillNode);
    let mut nodes: HashMap<u32, u8> = HashMap::new();
    let mut lost: HashMap<u32, u64> = HashMap::new();
    let mut times = Vec::new();
    for event in &history.events {
        match &event.what {
            What::Opened { node } => {
                nodes.insert(event.who, *node);
            }
            What::Closed { .. } => {
                let on = nodes.get(&event.who).copied();
                let kill = kills.iter().rfind(|kill| kill.from <= event.at && kill.node == on);
                lost.extend(kill.map(|kill| (event.who, kill.from)));
            }
            What::Joined(_) => times.extend(lost.remove(&event.who).map(|kill| event.at - kill)),
            _ => {}
        }
    }
    times.extend(lost.into_values().map(|_| NEVER));
    times.into_iter().collect()
}

/// For each client, how long after this time something arrived.
pub(super) fn first_arrivals(history: &History, after: u64, clients: usize) -> Times {
    let mut first: HashMap<u32, u64> = HashMap::new();
    for event in history.events.iter().filter(|event| event.at >= after) {
        if matches!(event.what, What::Received { .. }) {
            first.entry(event.who).or_insert(event.at - after);
        }
    }
    let never = std::iter::repeat_n(NEVER, clients.saturating_sub(first.len()));
    first.values().copied().chain(never).collect()
}

/// For each client, the longest time between two arrivals in a stretch of the run, whose ends count as arrivals.
pub(super) fn longest_silence(history: &History, from: u64, to: u64, clients: usize) -> Times {
    let mut last: HashMap<u32, (u64, u64)> = HashMap::new();
    for event in history.events.iter().filter(|event| (from..to).contains(&event.at)) {
        if matches!(event.what, What::Received { .. }) {
            let (before, longest) = last.entry(event.who).or_insert((from, 0));
            *longest = (*longest).max(event.at - *before);
            *before = event.at;
        }
    }
    let silent = std::iter::repeat_n(NEVER, clients.saturating_sub(last.len()));
    last.values().map(|(before, longest)| (*longest).max(to - before)).chain(silent).collect()
}
