//! One task per node that wakes sessions: each when its own next step is due, all when something concerns all.
//!
//! A session waits for its socket and its outbox only; a tokio timer of its own would cost each idle connection more
//! memory than everything else it owns. Deadlines are kept in slots of [`SLOT`], so a session wakes up to that much late.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use signal_protocol::IceReason;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::node_events::NodeEvents;
use crate::room::{Outbox, Wakeup};

/// Deadlines within the same slot are one wake-up.
const SLOT: Duration = Duration::from_millis(100);

/// The deadlines of all sessions.
pub struct SessionTimers {
    slots: Mutex<BTreeMap<u128, Vec<Weak<Outbox>>>>,
    began: Instant,
}

impl SessionTimers {
    /// Starts the task; it ends with the last reference to this value.
    #[must_use]
    pub fn start(events: &NodeEvents, news: Option<watch::Receiver<IceReason>>) -> Arc<Self> {
        let timers = Arc::new(Self { slots: Mutex::default(), began: Instant::now() });
        tokio::spawn(sweep(Arc::downgrade(&timers)));
        tokio::spawn(pass_on(Arc::downgrade(&timers), events.clone(), news));
        timers
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<u128, Vec<Weak<Outbox>>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes a session at this time.
    pub(super) fn wake_at(&self, outbox: &Arc<Outbox>, at: Instant) {
        let slot = at.saturating_duration_since(self.began).as_millis() / SLOT.as_millis() + 1;
        self.slots().entry(slot).or_default().push(Arc::downgrade(outbox));
    }

    /// Wakes the sessions that are due.
    fn wake_due(&self, now: Instant) {
        let slot = now.saturating_duration_since(self.began).as_millis() / SLOT.as_millis();
        let due = {
            let mut slots = self.slots();
            let later = slots.split_off(&(slot + 1));
            std::mem::replace(&mut *slots, later)
        };
        for outbox in due.into_values().flatten().filter_map(|outbox| outbox.upgrade()) {
            outbox.wake(Wakeup::Tick);
        }
    }

    /// Wakes every session: each one has a deadline here at any time.
    fn wake_all(&self, wakeup: Wakeup) {
        for outbox in self.slots().values().flatten().filter_map(Weak::upgrade) {
            outbox.wake(wakeup);
        }
    }
}

async fn sweep(timers: Weak<SessionTimers>) {
    let mut pace = interval(SLOT);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let now = pace.tick().await;
        let Some(timers) = timers.upgrade() else { return };
        timers.wake_due(now);
    }
}

/// Passes on what concerns all sessions, until the node has stopped them.
async fn pass_on(
    timers: Weak<SessionTimers>,
    mut events: NodeEvents,
    mut news: Option<watch::Receiver<IceReason>>,
) {
    loop {
        let wakeup = tokio::select! {
            Ok(()) = events.cut_off.changed() => Wakeup::CutOff,
            Ok(()) = events.handover.changed() => Wakeup::HandOver,
            Ok(()) = events.revoked.changed() => Wakeup::Revoked,
            Some(()) = changed(&mut news) => Wakeup::IceNews,
            () = events.stop.cancelled() => Wakeup::Stop,
        };
        let Some(timers) = timers.upgrade() else { return };
        timers.wake_all(wakeup);
        if wakeup == Wakeup::Stop {
            return;
        }
    }
}

/// Waits for news about ICE servers; `None` where there is no credential service.
async fn changed(news: &mut Option<watch::Receiver<IceReason>>) -> Option<()> {
    news.as_mut()?.changed().await.ok()
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;

    fn events() -> (watch::Sender<bool>, NodeEvents) {
        let (cut_off, handover) = (watch::Sender::new(false), watch::Sender::new(None));
        let events = NodeEvents {
            cut_off: cut_off.subscribe(),
            handover: handover.subscribe(),
            revoked: watch::channel(0).1,
            stop: CancellationToken::new(),
        };
        (cut_off, events)
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_woken_when_its_moment_has_come_and_not_before() {
        let (_cut_off, events) = events();
        let (timers, outbox) = (SessionTimers::start(&events, None), Arc::new(Outbox::new(1)));
        let at = Instant::now() + Duration::from_millis(250);
        timers.wake_at(&outbox, at);
        outbox.filled().await;
        assert!(outbox.take_wakeups().has(Wakeup::Tick));
        assert!(at <= Instant::now() && Instant::now() <= at + SLOT);
    }

    #[tokio::test(start_paused = true)]
    async fn what_concerns_all_is_passed_on_to_each() {
        let (cut_off, events) = events();
        let timers = SessionTimers::start(&events, None);
        let outboxes = [(); 3].map(|()| Arc::new(Outbox::new(1)));
        let at = Instant::now() + Duration::from_secs(10);
        for outbox in &outboxes {
            timers.wake_at(outbox, at);
        }
        cut_off.send_replace(true);
        for outbox in outboxes {
            outbox.filled().await;
            assert!(outbox.take_wakeups().has(Wakeup::CutOff));
        }
    }
}
