//! What is sent next.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn queue(name: &str) -> EventQueue {
    EventQueue::Room(name.parse().unwrap())
}

fn schedule(endpoints: usize) -> (Schedule, Instant) {
    (Schedule::new(endpoints, Backoff { first: SECOND }), Instant::now())
}

fn failed(pause: Duration, endpoint: EndpointFailure) -> Finished {
    Finished::Failed { pause, endpoint }
}

#[test]
fn a_queue_goes_to_every_endpoint_and_to_each_once_at_a_time() {
    let (mut schedule, now) = schedule(2);
    schedule.changed(&queue("a"), now, now);
    let jobs = [schedule.next(now).unwrap(), schedule.next(now).unwrap()];
    assert_eq!(jobs, [(0, queue("a")), (1, queue("a"))]);
    schedule.changed(&queue("a"), now, now);
    assert_eq!(schedule.next(now), None, "one batch is under way");
    schedule.finished(&jobs[0], Finished::Empty, now);
    assert_eq!(schedule.next(now), Some((0, queue("a"))), "it has changed meanwhile");
    schedule.finished(&(0, queue("a")), Finished::Empty, now);
    assert_eq!(schedule.next(now), None);
    assert_eq!(schedule.queues().count(), 1, "the other endpoint has yet to get it");
}

#[test]
fn after_a_failure_a_change_brings_nothing_forward_and_other_endpoints_go_on() {
    let (mut schedule, now) = schedule(2);
    schedule.changed(&queue("a"), now, now);
    let job = schedule.next(now).unwrap();
    schedule.finished(&job, failed(2 * SECOND, EndpointFailure::Message), now);
    schedule.changed(&queue("a"), now, now);
    assert_eq!(schedule.next(now), Some((1, queue("a"))));
    schedule.changed(&queue("b"), now, now);
    assert_eq!(schedule.next(now), Some((0, queue("b"))), "the endpoint takes other rooms");
    assert_eq!(schedule.next(now), Some((1, queue("b"))));
    assert_eq!(schedule.next_due(), Some(now + 2 * SECOND));
    assert_eq!(schedule.next(now + 2 * SECOND).unwrap().1, queue("a"));
}

#[test]
fn an_endpoint_that_is_down_is_tried_with_one_batch_after_growing_pauses() {
    let (mut schedule, mut now) = schedule(1);
    let names = ["a", "b", "c"];
    for name in names {
        schedule.changed(&queue(name), now, now);
    }
    for pause in [1, 2, 4] {
        let job = schedule.next(now).unwrap();
        schedule.finished(&job, failed(Duration::ZERO, EndpointFailure::Endpoint), now);
        assert_eq!(schedule.next(now), None);
        let due = now + pause * SECOND;
        assert_eq!(schedule.next(due.checked_sub(SECOND / 10).unwrap()), None);
        now = due;
    }
    let job = schedule.next(now).unwrap();
    assert_eq!(schedule.next(now), None, "one attempt shows how it is");
    schedule.finished(&job, Finished::Empty, now);
    assert_eq!([schedule.next(now), schedule.next(now)].map(|job| job.is_some()), [true, true]);
}

#[test]
fn what_another_node_sends_is_looked_at_later_and_an_own_change_at_once() {
    let (mut schedule, now) = schedule(1);
    schedule.changed(&queue("a"), now + 2 * SECOND, now);
    assert_eq!((schedule.next(now), schedule.next_due()), (None, Some(now + 2 * SECOND)));
    schedule.changed(&queue("a"), now, now);
    let job = schedule.next(now).unwrap();
    schedule.finished(&job, Finished::Later(SECOND), now);
    assert_eq!((schedule.next(now), schedule.oldest()), (None, Some(now)));
    assert_eq!(schedule.next(now + SECOND), Some(job));
    assert_eq!(schedule.next(now + 9 * SECOND), None, "no timer is left");
}

#[test]
fn an_endpoint_gets_eight_batches_at_once() {
    let (mut schedule, now) = schedule(1);
    for number in 0..20 {
        schedule.changed(&queue(&format!("r{number}")), now, now);
    }
    let begun = std::iter::from_fn(|| schedule.next(now)).count();
    assert_eq!(begun, AT_ONCE);
}
