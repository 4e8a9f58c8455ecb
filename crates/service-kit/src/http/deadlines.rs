//! Deadlines of one request: for its body to arrive, and for its answer to be taken.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Deadline for the whole body of a request: the largest has 64 KiB.
const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// Deadline for an answer to be taken: the largest has 100 KiB.
const ANSWER_DEADLINE: Duration = Duration::from_secs(20);

/// Bounds the arrival of a body.
pub(super) fn within_deadline(body: Incoming) -> Body {
    if body.is_end_stream() {
        return Body::empty();
    }
    Body::new(TimedBody { body, deadline: Box::pin(sleep(BODY_DEADLINE)) })
}

struct TimedBody {
    body: Incoming,
    deadline: Pin<Box<Sleep>>,
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.deadline.as_mut().poll(context));
        let late = io::Error::new(io::ErrorKind::TimedOut, "the body took too long to arrive");
        Poll::Ready(Some(Err(late.into())))
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Knows since when an answer waits to be taken by the client.
pub(super) struct AnswerWatch(watch::Sender<Option<Instant>>);

impl AnswerWatch {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Notes that a request is being handled, which has bounds of its own.
    pub(super) fn handling(&self) {
        self.0.send_replace(None);
    }

    /// Notes that its answer is being written.
    pub(super) fn answering(&self) {
        self.0.send_replace(Some(Instant::now() + ANSWER_DEADLINE));
    }

    /// Ends when an answer was not taken in time. After one that was, the next request comes before that, or the
    /// connection is closed as idle.
    pub(super) async fn overdue(&self) {
        let mut deadlines = self.0.subscribe();
        loop {
            let deadline = *deadlines.borrow_and_update();
            let news = deadlines.changed();
            match deadline {
                None => {
                    if news.await.is_err() {
                        return;
                    }
                }
                Some(at) => tokio::select! {
                    () = sleep_until(at) => return,
                    _ = news => {}
                },
            }
        }
    }
}
