//! Rooms that lost their last node.

use signal_protocol::{CallId, PeerKey, Subject};

use super::*;
use crate::log::memory::MemoryLog;
use crate::log::{Claim, EndpointId, EventContent, Join, Retention, Ring, RoomEvent, Taken};
use crate::send_budget::SendRates;

const SECOND: Duration = Duration::from_secs(1);

fn attendance() -> (Arc<Attendance>, Arc<MemoryLog>) {
    let retention = Retention { age: SECOND, length: 64, bytes: 1 << 20, room: 60 * SECOND };
    let log = Arc::new(MemoryLog::new(retention).with_events(60 * SECOND, Duration::ZERO));
    let rate = "1000000/s,burst=1000000";
    let send_rates = SendRates { fanout: rate.parse().unwrap(), receiver: rate.parse().unwrap() };
    let (node, grace) = ("n_one".parse().unwrap(), Duration::ZERO);
    let settings = RoomSettings { node, grace, retention, send_rates };
    let (store, liveness) = (log.clone(), Liveness::alone());
    let time = Duration::ZERO;
    (Arc::new(Attendance { store, log: log.clone(), liveness, settings, time }), log)
}

async fn look(attendance: &Arc<Attendance>, orphans: Orphans, pending: &[EventQueue]) -> Found {
    let pending = pending.iter().cloned().collect();
    let attended = Attended { open: Vec::new(), pending, orphans, renews: true };
    attendance.clone().look(attended).await
}

/// Takes what is queued for an endpoint.
async fn told(log: &MemoryLog, queue: &EventQueue) -> Vec<RoomEvent> {
    let (endpoint, node) = (EndpointId("one".into()), "n_one".parse().unwrap());
    let claimant = crate::log::Claimant { queue, endpoint: &endpoint, node: &node };
    let Taken::Events { events, .. } = log.take(claimant, SECOND, 99).await.unwrap() else {
        return Vec::new();
    };
    let told = events.into_iter().filter_map(|event| match event.content {
        EventContent::Event(told) => Some(told),
        _ => None,
    });
    told.collect()
}

#[tokio::test]
async fn the_member_of_a_room_without_nodes_leaves_and_the_room_ends_and_is_forgotten() {
    let (attendance, log) = attendance();
    let room: RoomId = "demo".parse().unwrap();
    let queue = EventQueue::Room(room.clone());
    drop(log.open(&room).await.unwrap());
    let key: PeerKey = "AAAAAAAAAAAAAAAAAAAAAA".parse().unwrap();
    let join = Op::Join(Box::new(Join::simple(&key, 1, "n_one".parse().unwrap())));
    let outcomes = log.call(&room, Seq(0), &[join]).await.unwrap();
    let Outcome::Joined(joined) = &outcomes[0] else { panic!("a join") };
    let Found { orphans, taken_over } = look(&attendance, Orphans::new(), &[]).await;
    assert_eq!(taken_over, std::slice::from_ref(&queue));
    let Found { orphans, .. } = look(&attendance, orphans, &[]).await;
    assert_eq!((told(&log, &queue).await.len(), orphans.len()), (2, 1), "its member is there");
    let by = Claim { peer: key.peer().clone(), generation: joined.seq };
    log.call(&room, Seq(0), &[Op::Detach { by }]).await.unwrap();
    let Found { orphans, .. } = look(&attendance, orphans, &[]).await;
    let events = told(&log, &queue).await;
    assert!(
        matches!(events[2..], [RoomEvent::PeerLeft { .. }, RoomEvent::RoomEnded]),
        "{events:?}"
    );
    let pending = std::slice::from_ref(&queue);
    let Found { orphans, .. } = look(&attendance, orphans, pending).await;
    assert_eq!(orphans.len(), 1, "its events have yet to be sent");
    let Found { orphans, .. } = look(&attendance, orphans, &[]).await;
    assert!(orphans.is_empty());
    assert_eq!(look(&attendance, orphans, &[]).await.taken_over, [], "it is forgotten");
}

#[tokio::test]
async fn a_call_that_nobody_follows_is_missed_in_time() {
    let (attendance, log) = attendance();
    let [from, to] = ["ana", "bo"].map(|name| Subject::new(name).unwrap());
    let inbox = RoomId::inbox(&to);
    let queue = EventQueue::Room(inbox.clone());
    drop(log.open(&inbox).await.unwrap());
    let (call, room): (CallId, _) = ("c1".parse().unwrap(), "meet".parse().unwrap());
    let ring = Ring { call, from, to, room, timeout: Duration::from_millis(50), data: None };
    log.call(&inbox, Seq(0), &[Op::Ring(Box::new(ring))]).await.unwrap();
    let mut orphans = look(&attendance, Orphans::new(), &[]).await.orphans;
    while !orphans.is_empty() {
        orphans = look(&attendance, orphans, &[]).await.orphans;
    }
    assert_eq!(told(&log, &queue).await.len(), 3, "ringing, missed since offline, missed in time");
}
