//! How many bytes one sender may make this node send.
//!
//! A budget belongs to a subject, over all of its connections here, or to an anonymous connection. So it is the same one
//! after a `leave` and `join`, in every room, and over a second socket. What an anonymous connection has left of its own, the
//! next one of its address goes on with, so that a new connection is no new budget.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use service_kit::rate::ip_key;
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

/// The budgets of the subjects with connections here, and of everybody who left before theirs was full again.
#[derive(Debug, Default)]
pub struct SendBudgets {
    subjects: Mutex<SweptMap<Subject, Arc<SendBudget>>>,
    /// Of anonymous connections that ended, by their addresses, IPv6 by /64.
    left: Mutex<SweptMap<IpAddr, Vec<Arc<SendBudget>>>>,
}

/// A map that forgets what nobody would miss each time it has doubled.
#[derive(Debug)]
struct SweptMap<K, V> {
    map: HashMap<K, V>,
    sweep_at: usize,
}

impl<K, V> Default for SweptMap<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), sweep_at: KEPT }
    }
}

impl<K, V> SweptMap<K, V> {
    fn sweep(&mut self, keep: impl Fn(&V) -> bool) {
        if self.map.len() >= self.sweep_at {
            self.map.retain(|_, value| keep(value));
            self.sweep_at = (self.map.len() * 2).max(KEPT);
        }
    }
}

impl SendBudgets {
    /// Returns the budget of a subject.
    pub fn of(&self, subject: &Subject, now: Instant) -> Arc<SendBudget> {
        let mut kept = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(budget) = kept.map.get(subject) {
            return budget.clone();
        }
        kept.sweep(|budget| Arc::strong_count(budget) > 1 || !budget.is_full(now));
        let budget = Arc::new(SendBudget::new(now));
        kept.map.insert(subject.clone(), budget.clone());
        budget
    }

    /// Returns a budget for an anonymous connection: what an earlier one of its address has left, or a full one.
    pub fn of_anonymous(&self, address: IpAddr, now: Instant) -> Arc<SendBudget> {
        let mut kept = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = kept.map.get_mut(&ip_key(address)).and_then(Vec::pop);
        left.unwrap_or_else(|| Arc::new(SendBudget::new(now)))
    }

    /// Keeps the budget of an anonymous connection that has ended, unless it is full.
    pub fn keep_anonymous(&self, address: IpAddr, budget: Arc<SendBudget>, now: Instant) {
        if budget.is_full(now) {
            return;
        }
        let mut kept = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        kept.sweep(|budgets| budgets.iter().any(|budget| !budget.is_full(now)));
        let left = kept.map.entry(ip_key(address)).or_default();
        left.retain(|budget| !budget.is_full(now));
        left.push(budget);
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
        assert!(budgets.subjects.lock().unwrap().map.len() < 2_000, "full ones are forgotten");
    }

    #[test]
    fn an_anonymous_connection_goes_on_with_what_its_address_has_left() {
        let (now, budgets) = (Instant::now(), SendBudgets::default());
        let [here, there]: [IpAddr; 2] =
            ["2001:db8::1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()];
        let spent = budgets.of_anonymous(here, now);
        spent.charge(rates(), 3_000, now);
        let beside = budgets.of_anonymous(here, now);
        assert_eq!(beside.take(rates(), 1, 1, now), Ok(()), "a neighbour has a budget of its own");
        budgets.keep_anonymous(here, spent, now);
        let take = |address, at| budgets.of_anonymous(address, at).take(rates(), 1, 1, at);
        assert_eq!(take(there, now), Ok(()));
        let next_door = "2001:db8::2".parse().unwrap();
        assert!(take(next_door, now).is_err(), "one /64 is one client");
        let spent = budgets.of_anonymous(here, now);
        spent.charge(rates(), 3_000, now);
        budgets.keep_anonymous(here, spent, now);
        for number in 0..5_000_u32 {
            let at = now + Duration::from_millis(u64::from(number));
            let spent = Arc::new(SendBudget::new(at));
            spent.charge(rates(), 1, at);
            budgets.keep_anonymous(IpAddr::from(number.to_be_bytes()), spent, at);
        }
        let kept = budgets.left.lock().unwrap().map.len();
        assert!((1..2_000).contains(&kept), "full ones are forgotten: {kept}");
    }
}
