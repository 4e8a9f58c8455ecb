//! Signals of several rooms that go to Redis in one command.
//!
//! A command costs both ends more than what is in it. So whatever can run on this node now is let run before
//! one departs, and the rooms that have something to append by then go together. Nobody waits for a timer.

use std::sync::Arc;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::Value;
use fred::types::scripts::Script;
use signal_protocol::Seq;
use tokio::sync::{mpsc, oneshot};

use super::Publishing;
use super::decode::garbled;
use super::messages::RoomSignals;
use crate::log::LogError;

/// Rooms that go in one command, and bytes, so that it does not hold Redis for long.
const ROOMS: usize = 64;
const BYTES: usize = 128 * 1024;

/// Rooms that may wait for the next one; each has one call under way at most. More try again in a moment.
const WAITING: usize = 65_536;

/// The signals that nearly all traffic consists of, in a script of their own that does nothing else.
const SCRIPT: &str = include_str!("messages.lua");

/// The number of the first entry; `None` where `main.lua` has to be asked.
type Answer = Result<Option<Seq>, LogError>;

/// What one room has to append, and who waits to hear of it.
struct PendingAppend {
    signals: RoomSignals,
    answer: oneshot::Sender<Answer>,
}

/// Carries signals to Redis.
pub(super) struct AppendBatcher {
    sender: Arc<BatchSender>,
    queue: mpsc::Sender<PendingAppend>,
}

impl AppendBatcher {
    /// Starts the task that gathers; it ends with this value.
    pub(super) fn start(client: Client, publishing: Publishing) -> Self {
        let sender = Arc::new(BatchSender { client, script: Script::from_lua(SCRIPT), publishing });
        let (queue, queued) = mpsc::channel(WAITING);
        tokio::spawn(collect(sender.clone(), queued));
        Self { sender, queue }
    }

    /// Appends the signals of one room, all or none.
    pub(super) async fn submit(&self, signals: RoomSignals) -> Answer {
        // A command of Redis Cluster names keys of one slot only.
        if self.sender.client.is_clustered() {
            return self.sender.send(vec![signals]).await?.remove(0);
        }
        let (answer, answered) = oneshot::channel();
        let unavailable = |why: &str| LogError::Unavailable(why.to_owned());
        let append = PendingAppend { signals, answer };
        self.queue.try_send(append).map_err(|_| unavailable("too many rooms are waiting"))?;
        answered.await.unwrap_or_else(|_| Err(unavailable("the node ends")))
    }
}

/// Lets those depart together that come while the others of this node run.
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

/// The way to Redis.
struct BatchSender {
    client: Client,
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
            // A room that does not wait any more has lost its worker.
            let _ = waits.send(answer);
        }
    }

    /// Sends one command; there is one answer for each room.
    async fn send(&self, rooms: Vec<RoomSignals>) -> Result<Vec<Answer>, LogError> {
        let count = rooms.len();
        let mut keys = Vec::with_capacity(3 * count);
        let mut args = Vec::with_capacity(1 + rooms.iter().map(RoomSignals::len).sum::<usize>());
        args.push(Value::from_static_str(self.publishing.command()));
        for room in rooms {
            room.load(&mut keys, &mut args);
        }
        let answers: Vec<Value> = self.script.evalsha_with_reload(&self.client, keys, args).await?;
        if answers.len() != count {
            return Err(garbled(format!("{} answers for {count} rooms", answers.len())));
        }
        Ok(answers.into_iter().map(answer).collect())
    }
}

fn answer(value: Value) -> Answer {
    match value {
        Value::Null => Ok(None),
        value => {
            let text = value.into_string().ok_or_else(|| garbled("answer for a room"))?;
            // What is not a number is what Redis would have said of a command for this room alone.
            text.parse()
                .map(|first| Some(Seq(first)))
                .map_err(|_| Error::new(ErrorKind::Unknown, text).into())
        }
    }
}
