//! How many bytes one sender may make this node send.
//!
//! A budget belongs to a subject, over all of its connections here, or to an anonymous connection. So it is the same one
//! after a `leave` and `join`, in every room, and over a second socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::settings::Rate;
use signal_protocol::Subject;
use tokio::time::Instant;

use crate::token_bucket::TokenBucket;

/// Budgets that are kept before those that are full and unused are looked for.
const KEPT: usize = 1_024;

/// The rates of every budget.
#[derive(Clone, Copy, Debug)]
pub struct SendRates {
    /// Bytes times the members that they go to.
    pub fanout: Rate,
    /// Bytes that any one member may be sent, whether they are addressed to it or to all. Without this rate a sender
    /// closes a chosen neighbour as a slow reader.
    pub receiver: Rate,
}

/// The budget of one sender.
#[derive(Debug)]
pub struct SendBudget(Mutex<Buckets>);

#[derive(Debug)]
struct Buckets {
    fanout: TokenBucket,
    receiver: TokenBucket,
}

impl SendBudget {
    /// Starts full.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let (fanout, receiver) = (TokenBucket::new(now), TokenBucket::new(now));
        Self(Mutex::new(Buckets { fanout, receiver }))
    }

    /// Takes `bytes` for each of `receivers`, or returns how long to wait.
    ///
    /// # Errors
    /// The time until both rates allow it.
    pub fn take(
        &self,
        rates: SendRates,
        bytes: usize,
        receivers: usize,
        now: Instant,
    ) -> Result<(), Duration> {
        if receivers == 0 {
            return Ok(());
        }
        let mut buckets = self.buckets();
        let total = bytes.saturating_mul(receivers);
        buckets.fanout.check(rates.fanout, total, now)?;
        buckets.receiver.take(rates.receiver, bytes, now)?;
        buckets.fanout.charge(rates.fanout, total, now);
        Ok(())
    }

    /// Charges bytes that were sent already, such as those of a roster: what comes next waits for them.
    pub fn charge(&self, rates: SendRates, bytes: usize, now: Instant) {
        self.buckets().fanout.charge(rates.fanout, bytes, now);
    }

    fn is_full(&self, now: Instant) -> bool {
        let buckets = self.buckets();
        buckets.fanout.is_full(now) && buckets.receiver.is_full(now)
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The budgets of the subjects with connections here, and of those that left before theirs was full again.
#[derive(Debug, Default)]
pub struct SendBudgets(Mutex<BySubject>);

#[derive(Debug, Default)]
struct BySubject {
    map: HashMap<Subject, Arc<SendBudget>>,
    sweep_at: usize,
}

impl SendBudgets {
    /// Returns the budget of a subject. Each doubling first forgets those that nobody would miss.
    pub fn of(&self, subject: &Subject, now: Instant) -> Arc<SendBudget> {
        let mut budgets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = budgets.map.get(subject) {
            return budget.clone();
        }
        if budgets.map.len() >= budgets.sweep_at {
            budgets.map.retain(|_, budget| Arc::strong_count(budget) > 1 || !budget.is_full(now));
            budgets.sweep_at = (budgets.map.len() * 2).max(KEPT);
        }
        let budget = Arc::new(SendBudget::new(now));
        budgets.map.insert(subject.clone(), budget.clone());
        budget
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> SendRates {
        let rate = |text: &str| text.parse().unwrap();
        SendRates { fanout: rate("1000/s,burst=1000"), receiver: rate("100/s,burst=200") }
    }

    #[test]
    fn what_one_member_is_sent_is_bounded_beside_what_all_are() {
        let now = Instant::now();
        let budget = SendBudget::new(now);
        assert_eq!(budget.take(rates(), 200, 1, now), Ok(()));
        assert_eq!(budget.take(rates(), 100, 1, now), Err(Duration::from_secs(1)));
        assert_eq!(budget.take(rates(), 100, 0, now), Ok(()), "nobody is sent anything");
        let later = now + Duration::from_secs(2);
        assert_eq!(budget.take(rates(), 100, 10, later), Ok(()));
        assert!(budget.take(rates(), 50, 10, later).is_err(), "all of them together");
    }

    #[test]
    fn what_was_sent_already_is_owed() {
        let now = Instant::now();
        let budget = SendBudget::new(now);
        budget.charge(rates(), 3_000, now);
        assert_eq!(budget.take(rates(), 0, 1, now), Err(Duration::from_secs(2)));
    }

    #[test]
    fn a_subject_that_comes_back_has_the_budget_it_left() {
        let (now, budgets) = (Instant::now(), SendBudgets::default());
        let ana = Subject::new("ana").unwrap();
        budgets.of(&ana, now).charge(rates(), 3_000, now);
        for number in 0..5_000 {
            budgets.of(&Subject::new(&number.to_string()).unwrap(), now);
        }
        assert!(budgets.of(&ana, now).take(rates(), 1, 1, now).is_err());
        assert!(budgets.0.lock().unwrap().map.len() < 2_000, "full ones are forgotten");
    }
}
