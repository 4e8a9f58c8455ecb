//! A set of futures that is empty most of the time.

use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

/// The futures that a task has started; allocates nothing while there are none.
pub(crate) struct PendingFutures<'a, T>(Option<FuturesUnordered<BoxFuture<'a, T>>>);

impl<T> Default for PendingFutures<'_, T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'a, T> PendingFutures<'a, T> {
    pub(crate) fn push(&mut self, future: impl Future<Output = T> + Send + 'a) {
        self.0.get_or_insert_default().push(Box::pin(future));
    }

    /// Polls all futures for the output of one; pending while there are none.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<T> {
        let Some(all) = &mut self.0 else { return Poll::Pending };
        let polled = all.poll_next_unpin(context);
        if all.is_empty() {
            self.0 = None;
        }
        match polled {
            Poll::Ready(Some(done)) => Poll::Ready(done),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{poll_fn, ready};

    use super::*;

    #[tokio::test]
    async fn each_comes_to_its_end_and_nothing_is_left() {
        let mut pending_futures = PendingFutures::default();
        pending_futures.push(ready(1));
        pending_futures.push(ready(2));
        let first = poll_fn(|context| pending_futures.poll_next(context)).await;
        let second = poll_fn(|context| pending_futures.poll_next(context)).await;
        assert_eq!(first + second, 3);
        assert!(pending_futures.0.is_none());
    }
}
