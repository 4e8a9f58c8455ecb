//! What a panic of a room, or of the client of its log, means for the members of the room.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use signal_protocol::{RoomId, Seq};

use super::harness::{key, room, room_settings};
use super::*;
use crate::liveness::Liveness;
use crate::log::memory::MemoryLog;
use crate::log::{
    Batch, Feed, FeedEvent, FeedSender, Join, LogError, Op, Outcome, RoomLog, Volatile, feed,
};
use crate::metrics::Metrics;

/// A log in memory that can be made to break its promises.
struct FaultyLog {
    log: MemoryLog,
    feed: Mutex<Option<FeedSender>>,
    panics: AtomicBool,
}

impl FaultyLog {
    fn new() -> Arc<Self> {
        let log = MemoryLog::new(room_settings().retention);
        Arc::new(Self { log, feed: Mutex::default(), panics: AtomicBool::new(false) })
    }

    fn publish(&self, batch: Batch) {
        self.feed.lock().unwrap().as_ref().unwrap().push(FeedEvent::Batch(Arc::new(batch)));
    }
}

impl RoomLog for FaultyLog {
    fn open(&self, _: &RoomId) -> BoxFuture<'_, Result<Feed, LogError>> {
        let (sender, receiver) = feed();
        *self.feed.lock().unwrap() = Some(sender);
        Box::pin(async { Ok(receiver) })
    }

    fn call<'a>(
        &'a self,
        room: &'a RoomId,
        seen: Seq,
        ops: &'a [Op],
    ) -> BoxFuture<'a, Result<Vec<Outcome>, LogError>> {
        Box::pin(async move {
            assert!(!self.panics.swap(false, Ordering::Relaxed), "the client of the log is broken");
            let head = self.read(room, Seq(0), 1_000).await?.last().map_or(Seq(0), Batch::last);
            let outcomes = self.log.call(room, seen, ops).await?;
            for batch in self.read(room, head, 1_000).await? {
                self.publish(batch);
            }
            Ok(outcomes)
        })
    }

    fn read<'a>(
        &'a self,
        room: &'a RoomId,
        after: Seq,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Batch>, LogError>> {
        self.log.read(room, after, limit)
    }

    fn publish_volatile<'a>(
        &'a self,
        _: &'a RoomId,
        _: &'a [Volatile],
    ) -> BoxFuture<'a, Result<(), LogError>> {
        async { Ok(()) }.boxed()
    }
}

fn rooms(log: &Arc<FaultyLog>) -> (Arc<Rooms>, Arc<Metrics>) {
    let (liveness, metrics) = (Liveness::alone(), Arc::new(Metrics::new()));
    let settings = room_settings();
    let (timelines, metrics_of_rooms) = (Arc::default(), metrics.clone());
    let context =
        RoomContext { log: log.clone(), liveness, settings, metrics: metrics_of_rooms, timelines };
    (Rooms::new(context), metrics)
}

fn join(rooms: &Arc<Rooms>, letter: char, attempt: u64, position: Option<Seq>) -> Arc<Outbox> {
    let outbox = Arc::new(Outbox::new(1 << 20));
    let reply = Reply { outbox: outbox.clone(), id: None };
    let RoomSettings { node, grace, .. } = room_settings();
    let join = Join { position, grace, ..Join::simple(&key(letter), attempt, node) };
    let command = Command::Join(Box::new(JoinCommand { join, ice: None, reply }));
    rooms.enter(&room(), command).unwrap();
    outbox
}

/// Waits for the next frame.
async fn frame(outbox: &Outbox) -> (String, Option<FrameEvent>) {
    outbox.filled().await;
    let Delivery { frame, event } = outbox.pop().unwrap().unwrap();
    (String::from_utf8(frame.to_vec()).unwrap(), event)
}

async fn frames_until_joined(outbox: &Outbox) -> Vec<String> {
    let mut frames = Vec::new();
    while !frames.iter().any(|frame: &String| frame.contains(r#""type":"joined""#)) {
        frames.push(frame(outbox).await.0);
    }
    frames
}

#[tokio::test]
async fn a_panic_closes_the_members_of_one_room_which_resume_with_what_they_missed() {
    let log = FaultyLog::new();
    let (rooms, metrics) = rooms(&log);
    let (first, other) = (join(&rooms, 'A', 1, None), join(&rooms, 'B', 1, None));
    let joined: serde_json::Value = serde_json::from_str(&frame(&first).await.0).unwrap();
    assert!(frame(&first).await.0.contains("peer_joined"));
    assert!(frame(&other).await.0.contains(r#""recovery":"new""#));

    // No log publishes a batch without entries: it has no last number.
    log.publish(Batch { prev: Seq(0), first: Seq(0), entries: Vec::new() });
    assert_eq!(frame(&first).await.1, Some(FrameEvent::Lost(room())));
    assert_eq!(frame(&other).await.1, Some(FrameEvent::Lost(room())));
    assert_eq!(metrics.room_panics.get(), 1);

    let again = join(&rooms, 'A', 2, joined["seq"].as_u64().map(Seq));
    let frames = frames_until_joined(&again).await;
    assert!(frames[0].contains(r#""type":"peer_joined""#), "B joined at 2: {frames:?}");
    assert!(frames[1].contains(r#""away":true"#), "B was detached: {frames:?}");
    assert!(frames[2].contains(r#""recovery":"replay""#), "{frames:?}");
    assert_eq!(metrics.rooms.get(), 1);
}

#[tokio::test]
async fn a_client_of_the_log_that_panics_costs_one_call_and_not_the_room() {
    let log = FaultyLog::new();
    let (rooms, metrics) = rooms(&log);
    log.panics.store(true, Ordering::Relaxed);
    let refused = join(&rooms, 'A', 1, None);
    let (error, event) = frame(&refused).await;
    assert!(error.contains(r#""code":"internal""#), "{error}");
    assert_eq!((event, metrics.room_panics.get()), (Some(FrameEvent::Refused(room())), 1));
    assert!(frame(&join(&rooms, 'A', 2, None)).await.0.contains(r#""type":"joined""#));
}
