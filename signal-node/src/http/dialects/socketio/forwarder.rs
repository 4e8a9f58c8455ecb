//! Requests for a session of another node. Each node has a channel of the log, on which the others send it what came to them, and
//! on which they get the answers: no balancer has to keep a client at one node.
//!
//! A message may be lost with a connection to the log. The request is refused then, and its client begins another session, in which
//! it is recovered: what an answer carried that was lost is never skipped over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use engine_io::RequestError;
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use signal_protocol::{NodeId, PeerId, RoomId};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::sessions::{Answer, Ask, EngineSessions};
use crate::liveness::Liveness;
use crate::log::{Feed, FeedEvent, LogError, RoomLog, Volatile};

/// How long a node may take to say that it has a request, or to answer one that waits for nothing. A client would wait for twice as
/// long.
const TAKEN_WITHIN: Duration = Duration::from_secs(10);

/// How often a request that waits checks that its node is still alive.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What nodes send to each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// A request for a session of the receiver.
    Request {
        id: u64,
        from: NodeId,
        sid: String,
        ask: Ask,
    },
    /// The client has given its poll up.
    GivenUp {
        id: u64,
        from: NodeId,
    },
    /// The session has the poll, and answers later.
    Taken {
        id: u64,
    },
    Answer {
        id: u64,
        answer: Answer,
    },
}

/// What comes back of a request.
enum Progress {
    Taken,
    Answered(Answer),
}

/// Sends requests to the nodes of their sessions, and serves those that come from others.
pub(super) struct Forwarder {
    own: NodeId,
    log: Arc<dyn RoomLog>,
    liveness: Arc<Liveness>,
    sessions: Arc<EngineSessions>,
    /// Requests of clients here, by their ids.
    waiting: Mutex<HashMap<u64, mpsc::Sender<Progress>>>,
    /// Polls of clients of other nodes that wait here.
    polls: Mutex<HashMap<(NodeId, u64), AbortHandle>>,
    last_id: AtomicU64,
    listens: OnceCell<()>,
    /// Ends the subscription with the forwarder.
    end: CancellationToken,
    _end: DropGuard,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the node in the name of a session.
fn node_of(sid: &str) -> Option<NodeId> {
    sid.split_once('~')?.0.parse().ok()
}

impl Forwarder {
    pub(super) fn new(
        own: NodeId,
        (log, liveness): (Arc<dyn RoomLog>, Arc<Liveness>),
        sessions: Arc<EngineSessions>,
    ) -> Arc<Self> {
        let end = CancellationToken::new();
        Arc::new(Self {
            own,
            log,
            liveness,
            sessions,
            waiting: Mutex::default(),
            polls: Mutex::default(),
            last_id: AtomicU64::default(),
            listens: OnceCell::new(),
            _end: end.clone().drop_guard(),
            end,
        })
    }

    /// Returns the node of a session if it is another one.
    pub(super) fn other_node(&self, sid: &str) -> Option<NodeId> {
        node_of(sid).filter(|node| *node != self.own)
    }

    /// Subscribes to the channel of this node, once.
    ///
    /// # Errors
    /// When the log does not answer.
    pub(super) async fn listen(self: &Arc<Self>) -> Result<(), LogError> {
        let subscribe = async || {
            let feed = self.log.open(&RoomId::of_node(&self.own)).await?;
            tokio::spawn(serve(Arc::downgrade(self), feed, self.end.clone()));
            Ok(())
        };
        self.listens.get_or_try_init(subscribe).await.copied()
    }

    /// Has the node of a session answer a request.
    pub(super) async fn request(self: &Arc<Self>, node: &NodeId, sid: String, ask: Ask) -> Answer {
        self.listen().await.map_err(|_| RequestError::BadRequest)?;
        let mut waiting = Waiting::new(self, node, matches!(ask, Ask::Poll));
        let (id, from) = (waiting.id, self.own.clone());
        self.send(node, &Message::Request { id, from, sid, ask }).await;
        let answer = waiting.answer().await;
        waiting.is_poll = false;
        answer
    }

    /// Sends a message; one that is lost is missed by whoever waits for it.
    async fn send(&self, node: &NodeId, message: &Message) {
        let data = to_raw_value(message).expect("a message is JSON").into();
        let volatile = Volatile { from: sender(), to: None, data };
        let sent = self.log.publish_volatile(&RoomId::of_node(node), &[volatile]).await;
        if let Err(error) = sent {
            debug!(%error, "a message for node {node} was not sent");
        }
    }

    fn on_message(self: &Arc<Self>, message: Message) {
        match message {
            Message::Request { id, from, sid, ask } => self.serve_request((from, id), sid, ask),
            Message::GivenUp { id, from } => {
                if let Some(poll) = locked(&self.polls).remove(&(from, id)) {
                    poll.abort();
                }
            }
            Message::Taken { id } => self.progress(id, Progress::Taken),
            Message::Answer { id, answer } => self.progress(id, Progress::Answered(answer)),
        }
    }

    fn progress(&self, id: u64, progress: Progress) {
        if let Some(waiting) = locked(&self.waiting).get(&id) {
            // There is room for both messages of an answer.
            let _ = waiting.try_send(progress);
        }
    }

    /// Answers a request that came to another node.
    fn serve_request(self: &Arc<Self>, key: (NodeId, u64), sid: String, ask: Ask) {
        let (forwarder, (from, id)) = (self.clone(), key.clone());
        let is_poll = matches!(ask, Ask::Poll);
        let served = async move {
            if is_poll && forwarder.sessions.has(&sid) {
                forwarder.send(&from, &Message::Taken { id }).await;
            }
            let answer = forwarder.sessions.request(&sid, ask).await;
            locked(&forwarder.polls).remove(&(from.clone(), id));
            forwarder.send(&from, &Message::Answer { id, answer }).await;
        };
        let mut polls = locked(&self.polls);
        let task = tokio::spawn(served);
        if is_poll {
            polls.insert(key, task.abort_handle());
        }
    }

    /// Refuses what waits: answers may have been lost.
    fn missed(&self) {
        locked(&self.waiting).clear();
    }
}

/// Serves the channel of a node until its forwarder ends.
async fn serve(forwarder: Weak<Forwarder>, mut feed: Feed, end: CancellationToken) {
    while let Some(Some(event)) = end.run_until_cancelled(feed.next()).await {
        let Some(forwarder) = forwarder.upgrade() else { return };
        match event {
            FeedEvent::Volatile(messages) => {
                for volatile in messages.iter() {
                    // What is not read is of a node of another version.
                    if let Ok(message) = serde_json::from_str(volatile.data.get()) {
                        forwarder.on_message(message);
                    }
                }
            }
            FeedEvent::Gap => forwarder.missed(),
            FeedEvent::Batch(_) => {}
        }
    }
}

/// Nodes are no members, and what they send needs a sender.
fn sender() -> PeerId {
    "p_node".parse().expect("it is a peer id")
}

/// A request of a client here that waits for another node.
struct Waiting<'a> {
    forwarder: &'a Arc<Forwarder>,
    node: NodeId,
    id: u64,
    progress: mpsc::Receiver<Progress>,
    /// Whether the other node is told when the client gives the request up.
    is_poll: bool,
}

impl<'a> Waiting<'a> {
    fn new(forwarder: &'a Arc<Forwarder>, node: &NodeId, is_poll: bool) -> Self {
        let id = forwarder.last_id.fetch_add(1, Ordering::Relaxed);
        let (sender, progress) = mpsc::channel(2);
        locked(&forwarder.waiting).insert(id, sender);
        Self { forwarder, node: node.clone(), id, progress, is_poll }
    }

    /// Waits for the answer, for as long as its node is there.
    async fn answer(&mut self) -> Answer {
        let mut look = interval(LOOK_EVERY);
        let taken_until = Instant::now() + TAKEN_WITHIN;
        let mut is_taken = false;
        loop {
            tokio::select! {
                progress = self.progress.recv() => match progress {
                    Some(Progress::Answered(answer)) => return answer,
                    Some(Progress::Taken) => is_taken = true,
                    None => return Err(RequestError::BadRequest),
                },
                _ = look.tick() => if self.is_silent() {
                    return Err(RequestError::UnknownSession);
                },
                () = sleep_until(taken_until), if !is_taken => {
                    return Err(RequestError::UnknownSession);
                }
            }
        }
    }

    /// Tells whether the node of the session is known to be gone.
    fn is_silent(&self) -> bool {
        self.forwarder.liveness.silent().iter().any(|silent| silent.node == self.node)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        locked(&self.forwarder.waiting).remove(&self.id);
        if self.is_poll {
            let (forwarder, node, id) = (self.forwarder.clone(), self.node.clone(), self.id);
            let from = forwarder.own.clone();
            tokio::spawn(async move {
                forwarder.send(&node, &Message::GivenUp { id, from }).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_names_its_node() {
        assert_eq!(node_of("n_1.a~AAAA"), Some("n_1.a".parse().unwrap()));
        for other in ["", "AAAA", "~AAAA", "n_1", "x~AAAA", "n_/~A"] {
            assert_eq!(node_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let from: NodeId = "n_1".parse().unwrap();
        let ask = Ask::Post("4é\u{1e}4\"".to_owned());
        for message in [
            Message::Request { id: 1, from: from.clone(), sid: "n_2~s".to_owned(), ask },
            Message::Request { id: 1, from: from.clone(), sid: String::new(), ask: Ask::Poll },
            Message::GivenUp { id: 2, from },
            Message::Taken { id: 3 },
            Message::Answer { id: 4, answer: Ok("ok".to_owned()) },
            Message::Answer { id: 5, answer: Err(RequestError::Overlap) },
        ] {
            let text = to_raw_value(&message).unwrap();
            let read: Message = serde_json::from_str(text.get()).unwrap();
            assert_eq!(format!("{read:?}"), format!("{message:?}"));
        }
    }
}
