//! Appends the signals of several rooms with one Redis command.
//!
//! A command costs both ends more than its content. [`collect`] therefore yields once before it sends, so that every
//! room task that is ready now adds its signals to the same command. No timer delays the first.

use std::sync::Arc;

use fred::error::{Error, ErrorKind};
use fred::types::Value;
use fred::types::scripts::Script;
use signal_protocol::Seq;
use tokio::sync::{mpsc, oneshot};

use super::messages::RoomSignals;
use super::publishing::Publishing;
use super::shards::Shards;
use super::words::garbled;
use crate::log::LogError;

/// Bounds of one command, in rooms and bytes: while Redis runs its script, it serves nobody else.
const ROOMS: usize = 64;
const BYTES: usize = 128 * 1024;

/// Rooms that may wait for the next command; each has at most one call in flight. More are told `unavailable`.
const WAITING: usize = 65_536;

/// Appends signals, which are nearly all traffic, and does nothing else.
const SCRIPT: &str = include_str!("messages.lua");

/// The number of the first entry appended for a room; `None` if the room needs the full script, `main.lua`.
type Answer = Result<Option<Seq>, LogError>;

/// The signals of one room, and the channel for their result.
struct PendingAppend {
    signals: RoomSignals,
    answer: oneshot::Sender<Answer>,
}

/// Collects the signals of all rooms and appends them in batches.
pub(super) struct AppendBatcher {
    sender: Arc<BatchSender>,
    queue: mpsc::Sender<PendingAppend>,
}

impl AppendBatcher {
    /// Starts the task that collects; it ends with this value.
    pub(super) fn start(shards: Arc<Shards>, publishing: Publishing) -> Self {
        let sender = Arc::new(BatchSender { shards, script: Script::from_lua(SCRIPT), publishing });
        let (queue, queued) = mpsc::channel(WAITING);
        tokio::spawn(collect(sender.clone(), queued));
        Self { sender, queue }
    }

    /// Appends the signals of one room, all or none.
    pub(super) async fn submit(&self, signals: RoomSignals) -> Answer {
        // A command of Redis Cluster names keys of one slot only.
        if self.sender.shards.is_cluster() {
            return self.sender.send(vec![signals]).await?.remove(0);
        }
        let (answer, answered) = oneshot::channel();
        let unavailable = |why: &str| LogError::Unavailable(why.to_owned());
        let append = PendingAppend { signals, answer };
        self.queue.try_send(append).map_err(|_| unavailable("too many rooms are waiting"))?;
        answered.await.unwrap_or_else(|_| Err(unavailable("the node ends")))
    }
}

/// Collects what the ready tasks of this node submit, and sends it as one command.
async fn collect(sender: Arc<BatchSender>, mut queued: mpsc::Receiver<PendingAppend>) {
    while let Some(first) = queued.recv().await {
        tokio::task::yield_now().await;
        let mut bytes = first.signals.bytes();
        let mut appends = vec![first];
        while appends.len() < ROOMS && bytes < BYTES {
            let Ok(next) = queued.try_recv() else { break };
            bytes += next.signals.bytes();
            appends.push(next);
        }
        tokio::spawn(sender.clone().flush(appends));
    }
}

/// Sends batches over one connection.
struct BatchSender {
    shards: Arc<Shards>,
    script: Script,
    publishing: Publishing,
}

impl BatchSender {
    async fn flush(self: Arc<Self>, appends: Vec<PendingAppend>) {
        let (signals, waiting): (Vec<_>, Vec<_>) =
            appends.into_iter().map(|one| (one.signals, one.answer)).unzip();
        let answers = self.send(signals).await;
        let answers = answers.unwrap_or_else(|error| vec![Err(error); waiting.len()]);
        for (waits, answer) in waiting.into_iter().zip(answers) {
            // The receiver is gone if the task of the room has ended.
            let _ = waits.send(answer);
        }
    }

    /// Sends one command, and returns one answer per room.
    async fn send(&self, rooms: Vec<RoomSignals>) -> Result<Vec<Answer>, LogError> {
        let count = rooms.len();
        let mut keys = Vec::with_capacity(3 * count);
        let mut args = Vec::with_capacity(1 + rooms.iter().map(RoomSignals::len).sum::<usize>());
        args.push(Value::from_static_str(self.publishing.command()));
        for room in rooms {
            room.load(&mut keys, &mut args);
        }
        let answers = self.shards.run(&self.script, keys, args).await?.into_array();
        if answers.len() != count {
            return Err(garbled(format!("{} answers for {count} rooms", answers.len())));
        }
        Ok(answers.into_iter().map(answer).collect())
    }
}

fn answer(value: Value) -> Answer {
    if value.is_null() {
        return Ok(None);
    }
    let text = value.into_string().ok_or_else(|| garbled("answer for a room"))?;
    // Anything but a number is the error that a command for this room alone would have got.
    text.parse()
        .map(|first| Some(Seq(first)))
        .map_err(|_| Error::new(ErrorKind::Unknown, text).into())
}
