//! Calls of a user: whatever comes in whatever order, the first step wins, and all are told the same.

use signal_node::log::{CallState, CallStep, CallView, CallsView, Ring};
use signal_protocol::{CallEnd, CallId};

use super::stage::*;

fn name() -> CallId {
    "c1".parse().unwrap()
}

fn user(who: &str) -> Subject {
    Subject::new(&format!("urn:\"{who}\" é")).unwrap()
}

fn ring_for(timeout: Duration) -> Op {
    let (call, from, room) = (name(), user("ana"), "meet".parse().unwrap());
    Op::Ring(Box::new(Ring {
        call,
        from,
        to: user("bo"),
        room,
        timeout,
        data: Some(json(r#"{"a":"\n"}"#)),
    }))
}

fn step(step: CallStep) -> Op {
    Op::StepCall { call: name(), step }
}

fn view(outcome: Outcome) -> CallsView {
    match outcome {
        Outcome::Calls(view) => *view,
        other => panic!("expected calls, got {other:?}"),
    }
}

impl Stage {
    async fn call_after(&self, op: Op) -> CallView {
        view(self.step(op).await).calls.remove(0)
    }

    /// The states of the call, as the entries of the log tell them.
    async fn told(&self) -> Vec<CallState> {
        let all = self.all().await;
        let states = all.iter().flat_map(|batch| &batch.entries).filter_map(|entry| match entry {
            Entry::Call(view) => Some(view.state.clone()),
            _ => None,
        });
        states.collect()
    }
}

pub(super) async fn a_call_is_carried_as_it_was_said_and_is_the_same_one_when_said_again(
    stage: Stage,
) {
    stage.enter("bo").await;
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    let first = view(stage.step(ring_for(HOUR)).await);
    assert_eq!((first.devices, first.calls.len()), (1, 1));
    let call = &first.calls[0];
    assert_eq!((&call.from, call.room.as_str()), (&user("ana"), "meet"));
    assert_eq!(call.data.as_ref().unwrap().get(), r#"{"a":"\n"}"#);
    let rang = HOUR.checked_sub(call.left).unwrap();
    assert!(rang < Duration::from_secs(60), "{rang:?}");
    let batch = next_batch(&mut feed).await;
    assert!(
        matches!(&batch.entries[..], [Entry::Call(told)] if told.data.as_ref().unwrap().get() == r#"{"a":"\n"}"#)
    );
    let again = view(stage.step(ring_for(Duration::ZERO)).await);
    assert_eq!((again.head, &again.calls[0].state), (first.head, &CallState::Ringing));
}

pub(super) async fn only_devices_answer_and_only_the_caller_cancels(stage: Stage) {
    stage.enter("bo").await;
    stage.step(ring_for(HOUR)).await;
    for wrong in [
        step(CallStep::Accept(id("nobody"))),
        step(CallStep::Decline(id("nobody"), CallEnd::Declined)),
        step(CallStep::Cancel(user("bo"), CallEnd::Cancelled)),
        Op::StepCall { call: "c2".parse().unwrap(), step: CallStep::Accept(id("bo")) },
    ] {
        let outcome = stage.step(wrong).await;
        assert!(matches!(outcome, Outcome::Gone(_)), "{outcome:?}");
    }
    assert_eq!(stage.told().await, [CallState::Ringing]);
}

/// What may be said to a call, and time.
const STEPS: [&str; 6] = ["accept a", "accept b", "decline a", "decline b", "cancel", "glare"];

fn op_of(word: &str) -> CallStep {
    match word {
        "accept a" => CallStep::Accept(id("a")),
        "accept b" => CallStep::Accept(id("b")),
        "decline a" => CallStep::Decline(id("a"), CallEnd::Declined),
        "decline b" => CallStep::Decline(id("b"), CallEnd::Declined),
        "cancel" => CallStep::Cancel(user("ana"), CallEnd::Cancelled),
        _ => CallStep::Cancel(user("ana"), CallEnd::Glare),
    }
}

/// The rule of docs/PROTOCOL.md, in as few lines as it takes.
fn rule(state: &str, step: &str) -> String {
    let holder = state.strip_prefix("accepted ");
    let by = &step[step.len() - 1..];
    match (state, step) {
        ("ringing", "accept a" | "accept b") => format!("accepted {by}"),
        ("ringing", "decline a" | "decline b") => "declined".to_owned(),
        ("ringing", "cancel") => "cancelled".to_owned(),
        ("ringing", _) => "glare".to_owned(),
        (_, "cancel" | "glare") if holder.is_some() => "hung_up".to_owned(),
        (_, "decline a" | "decline b") if holder == Some(by) => "hung_up".to_owned(),
        _ => state.to_owned(),
    }
}

fn word_of(state: &CallState) -> String {
    match state {
        CallState::Ringing => "ringing".to_owned(),
        CallState::Accepted(device) if *device == id("a") => "accepted a".to_owned(),
        CallState::Accepted(_) => "accepted b".to_owned(),
        CallState::Ended(end) => end.name().to_owned(),
    }
}

pub(super) async fn whatever_is_said_in_whatever_order_the_rule_holds_and_all_are_told_it(
    stage: Stage,
) {
    stage.enter("a").await;
    stage.enter("b").await;
    let count = STEPS.len();
    for number in 0..count * count * count {
        let said = [number / count / count, number / count % count, number % count];
        let call: CallId = format!("c{number}").parse().unwrap();
        let Op::Ring(ring) = ring_for(HOUR) else { unreachable!() };
        let ring = Op::Ring(Box::new(Ring { call: call.clone(), ..*ring }));
        stage.step(ring.clone()).await;
        let (mut expected, mut changes) = ("ringing".to_owned(), vec!["ringing".to_owned()]);
        for at in said {
            let next = rule(&expected, STEPS[at]);
            if next != expected {
                changes.push(next.clone());
            }
            expected = next;
            // Each call is made twice, as one whose answer was lost.
            for _ in 0..2 {
                let op = Op::StepCall { call: call.clone(), step: op_of(STEPS[at]) };
                let answered = stage.call_after(op).await;
                assert_eq!(word_of(&answered.state), expected, "{said:?}");
            }
        }
        assert_eq!(word_of(&stage.call_after(ring).await.state), expected, "{said:?}");
        let told: Vec<_> = stage.told().await.iter().map(word_of).collect();
        assert!(told.ends_with(&changes), "{told:?} {changes:?}");
        if expected == "ringing" || expected.starts_with("accepted") {
            let op = Op::StepCall { call, step: op_of("cancel") };
            stage.call_after(op).await;
        }
    }
}

pub(super) async fn a_call_that_has_rung_for_long_enough_is_over_for_whoever_asks_next(
    stage: Stage,
) {
    stage.enter("bo").await;
    for ask in [Op::Calls, step(CallStep::Accept(id("bo"))), ring_for(HOUR)] {
        let call: CallId = format!("c{}", stage.told().await.len()).parse().unwrap();
        let Op::Ring(ring) = ring_for(Duration::ZERO) else { unreachable!() };
        stage.step(Op::Ring(Box::new(Ring { call: call.clone(), ..*ring }))).await;
        stage.step(ask).await;
        let told = stage.told().await;
        assert!(told.contains(&CallState::Ended(CallEnd::Timeout)), "{told:?}");
    }
    let over = view(stage.step(Op::Calls).await);
    assert!(
        over.calls
            .iter()
            .filter(|call| call.call != name())
            .all(|call| call.state == CallState::Ended(CallEnd::Timeout))
    );
}

pub(super) async fn sixteen_calls_ring_at_once_and_an_ended_one_makes_room(stage: Stage) {
    let ring = |number: u64| {
        let Op::Ring(ring) = ring_for(HOUR) else { unreachable!() };
        Op::Ring(Box::new(Ring { call: format!("c{number}").parse().unwrap(), ..*ring }))
    };
    for number in 0..16 {
        view(stage.step(ring(number)).await);
    }
    let refused = stage.step(ring(16)).await;
    assert!(matches!(refused, Outcome::Refused(ErrorCode::LimitExceeded)), "{refused:?}");
    assert_eq!(view(stage.step(ring(3)).await).calls.len(), 1, "one that is there is answered");
    stage.step(step(CallStep::Cancel(user("ana"), CallEnd::Cancelled))).await;
    view(stage.step(ring(16)).await);
    assert_eq!(view(stage.step(Op::Calls).await).calls.len(), 17);
}

pub(super) async fn a_call_is_kept_with_its_inbox_although_nobody_is_there(stage: Stage) {
    stage.step(ring_for(HOUR)).await;
    stage.step(Op::Maintain).await;
    assert_eq!(view(stage.step(Op::Calls).await).calls[0].state, CallState::Ringing);
    if let Some(redis) = &stage.redis {
        let left: i64 = redis.run(&["PTTL", "{suite}:h"]).await;
        assert!(left > 3_600_000, "{left} ms");
    }
}
