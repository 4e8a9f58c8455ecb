//! Clocks that step, and judgements and calls that come late: nobody is removed, and everything can be read.

use super::stage::*;

macro_rules! clocked {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            use super::Stage;
            $(#[tokio::test] async fn $test() { super::$test(Stage::memory_with_a_clock()).await; })+
        }
        mod redis {
            use super::Stage;
            $(#[tokio::test] async fn $test() { super::$test(Stage::redis_with_a_clock().await).await; })+
        }
    };
}

clocked! {
    a_clock_that_is_set_back_makes_no_absence_unreadable,
    a_clock_that_is_set_forward_removes_nobody_on_an_older_judgement,
    a_judgement_from_after_a_clock_was_set_back_is_stale,
    a_wait_for_restores_ends_although_the_clock_was_set_back,
    who_is_not_confirmed_after_a_reset_is_away_once_the_wait_is_over,
    who_was_confirmed_after_a_reset_stays,
    a_message_of_a_member_that_is_not_confirmed_after_a_reset_waits,
    a_late_copy_of_a_join_does_not_bring_back_who_has_left,
    a_join_that_arrives_too_late_enters_nobody,
    a_late_copy_of_a_join_that_took_effect_is_answered_as_the_first_one_was,
    a_restore_does_not_bring_back_who_has_left,
    a_late_copy_of_a_restore_undoes_no_update,
    a_late_copy_of_a_reclaim_does_not_bring_back_who_was_detached,
    the_same_join_may_enter_again_from_where_its_leave_is_known,
    a_step_suspects_and_removes_so_many_members_and_is_due_again,
}

const GRACE: Duration = Duration::from_secs(30);

fn judgement(as_of: Duration, silent: &[&str]) -> Judgement {
    let ago = Duration::from_secs(7);
    let silent = silent.iter().map(|node| Silent { node: node.parse().unwrap(), ago }).collect();
    Judgement { silent, as_of, valid_for: Duration::from_secs(6) }
}

fn expire(as_of: Duration) -> Op {
    Op::Expire { grace: GRACE, judgement: judgement(as_of, &[]) }
}

async fn away(stage: &Stage, who: &str) -> Option<Duration> {
    let room = stage.inspect().await;
    room.members.iter().find(|line| line.peer == id(who)).expect("a member").away
}

async fn a_clock_that_is_set_back_makes_no_absence_unreadable(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Detach { by: ana }).await;
    stage.step_clock(-3_600).await;
    assert_eq!(away(&stage, "ana").await, Some(Duration::ZERO));
    assert_eq!(stage.join("bo").await.roster[0].away, Some(Duration::ZERO));
    let cy = Join { capacity: 1, grace: GRACE, ..wish("cy") };
    let JoinRefusal::Full { after, .. } = stage.try_join(cy).await else { panic!() };
    assert!(after.is_some_and(|after| after <= GRACE), "{after:?}");
    stage.step(Op::Reset).await;
    let last = stage.all().await.pop().unwrap();
    assert!(matches!(&last.entries[0], Entry::Reset { roster } if roster.len() == 2), "{last:?}");
    stage.step(expire(stage.now().await)).await;
    assert_eq!(stage.inspect().await.members.len(), 2);
}

async fn a_clock_that_is_set_forward_removes_nobody_on_an_older_judgement(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Detach { by: ana }).await;
    let before = stage.now().await;
    // Longer than the grace, and shorter than the life of the keys, which would end with it.
    stage.step_clock(200).await;
    assert!(matches!(stage.step(expire(before)).await, Outcome::Stale));
    let silent = judgement(before, &["n_one"]);
    let suspect = Op::Suspect { grace: GRACE, judgement: silent.clone() };
    assert!(matches!(stage.step(suspect).await, Outcome::Stale));
    let bo = Join { grace: GRACE, judgement: silent, ..wish("bo") };
    assert_eq!(joined(stage.step(Op::Join(Box::new(bo))).await).roster.len(), 1);
    assert!(matches!(stage.step(expire(stage.now().await)).await, Outcome::Settled));
    assert_eq!(stage.inspect().await.members.len(), 1, "its node has judged anew");
}

async fn a_judgement_from_after_a_clock_was_set_back_is_stale(stage: Stage) {
    stage.enter("ana").await;
    let before = stage.now().await;
    stage.step_clock(-60).await;
    let judgement = judgement(before, &["n_one"]);
    assert!(matches!(stage.step(Op::Suspect { grace: GRACE, judgement }).await, Outcome::Stale));
    assert_eq!(away(&stage, "ana").await, None);
}

async fn a_wait_for_restores_ends_although_the_clock_was_set_back(stage: Stage) {
    let ana = stage.join("ana").await;
    stage.step(Op::Reset).await;
    stage.step_clock(-3_600).await;
    let back = Join { attempt: 2, position: Some(ana.seq), waits: true, ..wish("ana") };
    let join = || Op::Join(Box::new(back.clone()));
    assert!(matches!(stage.step(join()).await, Outcome::Recovering));
    stage.step_clock(-3_600 + 6).await;
    assert!(matches!(stage.step(join()).await, Outcome::Joined(_)));
}

async fn who_is_not_confirmed_after_a_reset_is_away_once_the_wait_is_over(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Reset).await;
    stage.step(Op::Maintain).await;
    assert_eq!(away(&stage, "ana").await, None, "its node may confirm it yet");
    stage.step_clock(6).await;
    stage.step(Op::Maintain).await;
    let since = away(&stage, "ana").await.expect("she is away");
    assert!(since < Duration::from_secs(6), "as of now, and not of the reset: {since:?}");
    let outcome = stage.step(say(&ana, 1, None)).await;
    assert!(matches!(outcome, Outcome::Suspected(_)), "its node reclaims it: {outcome:?}");
    stage.step_clock(60).await;
    stage.step(expire(stage.now().await)).await;
    assert_eq!(stage.inspect().await.members.len(), 0);
}

async fn who_was_confirmed_after_a_reset_stays(stage: Stage) {
    let [ana, bo] = [stage.enter("ana").await, stage.enter("bo").await];
    stage.step(Op::Reset).await;
    assert!(matches!(stage.step(Op::Reclaim { by: ana }).await, Outcome::Settled));
    stage.step(Op::Detach { by: bo }).await;
    let back = Join { attempt: 2, ..wish("bo") };
    stage.step(Op::Join(Box::new(back))).await;
    stage.step_clock(6).await;
    let count = stage.all().await.len();
    stage.step(expire(stage.now().await)).await;
    assert_eq!(stage.all().await.len(), count);
    assert_eq!((away(&stage, "ana").await, away(&stage, "bo").await), (None, None));
}

/// A snapshot knew less of the member than its node did, and a late copy of its last message was told twice.
async fn a_message_of_a_member_that_is_not_confirmed_after_a_reset_waits(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Reset).await;
    assert!(matches!(stage.step(say(&ana, 1, None)).await, Outcome::Recovering));
    let both = stage.call(&[Op::Reclaim { by: ana.clone() }, say(&ana, 1, None)]).await;
    assert!(matches!(both[..], [Outcome::Settled, Outcome::Appended(_)]), "{both:?}");
}

async fn a_late_copy_of_a_join_does_not_bring_back_who_has_left(stage: Stage) {
    let join = wish("ana");
    let entered = joined(stage.step(Op::Join(Box::new(join.clone()))).await);
    stage.step(Op::Leave { by: claim("ana", &entered) }).await;
    let late = stage.step(Op::Join(Box::new(join))).await;
    assert!(matches!(late, Outcome::Gone(_)), "{late:?}");
    assert_eq!(stage.inspect().await.members.len(), 0);
    let again = Join { attempt: 2, ..wish("ana") };
    joined(stage.step(Op::Join(Box::new(again))).await);
}

async fn a_late_copy_of_a_reclaim_does_not_bring_back_who_was_detached(stage: Stage) {
    let old = stage.enter("ana").await;
    let silent = judgement(stage.now().await, &["n_one"]);
    stage.step(Op::Suspect { grace: GRACE, judgement: silent }).await;
    let Outcome::Suspected(generation) = stage.step(say(&old, 1, None)).await else { panic!() };
    let by = Claim { generation, ..old };
    let reclaim = Op::Reclaim { by: by.clone() };
    assert!(matches!(stage.step(reclaim.clone()).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(Op::Detach { by }).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(reclaim).await, Outcome::Settled));
    assert!(away(&stage, "ana").await.is_some(), "no node would ever detach her again");
}

async fn the_same_join_may_enter_again_from_where_its_leave_is_known(stage: Stage) {
    let join = wish("ana");
    let entered = joined(stage.step(Op::Join(Box::new(join.clone()))).await);
    let left = stage.step(Op::Leave { by: claim("ana", &entered) }).await;
    let Outcome::Appended(left) = left else { panic!("{left:?}") };
    let again = [Op::Join(Box::new(join))];
    let outcomes = stage.one.call(&stage.room, left, &again).await.unwrap();
    let Outcome::Joined(entered) = &outcomes[0] else { panic!("{outcomes:?}") };
    let both = [Op::Leave { by: claim("ana", entered) }, again[0].clone()];
    let outcomes = stage.one.call(&stage.room, left, &both).await.unwrap();
    assert!(matches!(outcomes[1], Outcome::Joined(_)), "{outcomes:?}");
}

async fn a_restore_does_not_bring_back_who_has_left(stage: Stage) {
    let join = wish("ana");
    let entered = joined(stage.step(Op::Join(Box::new(join.clone()))).await);
    let by = claim("ana", &entered);
    let left = stage.step(Op::Leave { by: by.clone() }).await;
    let Outcome::Appended(left) = left else { panic!("{left:?}") };
    let record = Record::new(join.clone(), &entered);
    let restored = Restored { by, socket: join.socket, n: 1, mid: Mid(0), record };
    let outcome = stage.step(Op::Restore(Box::new(restored))).await;
    assert!(matches!(outcome, Outcome::Gone(seq) if seq == left), "{outcome:?}");
    assert_eq!(stage.inspect().await.members.len(), 0);
}

/// It did, for everyone, and for good.
async fn a_late_copy_of_a_restore_undoes_no_update(stage: Stage) {
    let join = wish("ana");
    let entered = joined(stage.step(Op::Join(Box::new(join.clone()))).await);
    let by = claim("ana", &entered);
    let record = Record::new(join.clone(), &entered);
    let restored = Restored { by: by.clone(), socket: join.socket, n: 1, mid: Mid(0), record };
    let update = Op::Update { by, mid: Mid(1), meta: json("[2]") };
    assert!(matches!(stage.step(update).await, Outcome::Appended(_)));
    stage.call(&[Op::Restore(Box::new(restored)), Op::Reset]).await;
    assert_eq!(stage.inspect().await.members[0].meta.get(), "[2]");
}

async fn a_step_suspects_and_removes_so_many_members_and_is_due_again(stage: Stage) {
    let join = |number: usize| {
        let who = format!("m{number}");
        Op::Join(Box::new(Join { user: None, capacity: 1_000, ..wish(&who) }))
    };
    for first in (0..1_000).step_by(100) {
        let outcomes = stage.call(&(first..first + 100).map(join).collect::<Vec<_>>()).await;
        let is_joined = |outcome: &Outcome| matches!(outcome, Outcome::Joined(_));
        assert!(outcomes.iter().all(is_joined), "{:?}", outcomes.last());
    }
    let full = JoinRefusal::Full { capacity: 1_000, after: None };
    assert_eq!(stage.try_join(Join { capacity: 5_000, ..wish("ana") }).await, full);
    let now = stage.now().await;
    let suspect = Op::Suspect { grace: GRACE, judgement: judgement(now, &["n_one"]) };
    assert_eq!(steps(&stage, suspect).await, 4);
    assert!(stage.inspect().await.members.iter().all(|line| line.away.is_some()));
    stage.step_clock(60).await;
    let outcomes = stage.call(&[expire(stage.now().await), Op::Reset]).await;
    assert!(matches!(outcomes[..], [Outcome::More, Outcome::Appended(_)]), "{outcomes:?}");
    assert_eq!(steps(&stage, expire(stage.now().await)).await, 3);
    assert_eq!(stage.inspect().await.members.len(), 0);
}

/// Takes a step until there are no more members for it, and returns how often that was.
async fn steps(stage: &Stage, op: Op) -> usize {
    for count in 1.. {
        match stage.step(op.clone()).await {
            Outcome::More => {}
            Outcome::Settled => return count,
            other => panic!("{other:?}"),
        }
    }
    unreachable!()
}

/// It came in as the member of a client that had been told `unavailable` long before.
async fn a_join_that_arrives_too_late_enters_nobody(stage: Stage) {
    let ana = wish("ana");
    stage.enter("bo").await;
    let asked_at = Some(stage.now().await);
    stage.step_clock(9).await;
    let late = Join { asked_at, ..ana.clone() };
    assert!(matches!(stage.step(Op::Join(Box::new(late))).await, Outcome::Stale));
    assert_eq!(stage.inspect().await.members.len(), 1);
    // Nor does it take a member over.
    stage.step(Op::Join(Box::new(ana.clone()))).await;
    let late = Join { asked_at, attempt: 2, socket: SocketId::random(), ..ana.clone() };
    assert!(matches!(stage.step(Op::Join(Box::new(late))).await, Outcome::Stale));
    let fresh = Join { asked_at: Some(stage.now().await), attempt: 2, ..ana };
    assert_eq!(joined(stage.step(Op::Join(Box::new(fresh))).await).recovery, Recovery::Snapshot);
}

async fn a_late_copy_of_a_join_that_took_effect_is_answered_as_the_first_one_was(stage: Stage) {
    let ana = Join { asked_at: Some(stage.now().await), ..wish("ana") };
    let first = joined(stage.step(Op::Join(Box::new(ana.clone()))).await);
    stage.step_clock(60).await;
    let again = joined(stage.step(Op::Join(Box::new(ana))).await);
    assert_eq!((again.seq, again.recovery), (first.seq, Recovery::New));
}

#[tokio::test]
async fn a_snapshot_gives_no_number_again_although_the_clock_was_set_back() {
    let mut stage = Stage::redis_with_a_clock().await;
    let ana = stage.enter("ana").await;
    stage.step_clock(-3_600).await;
    stage.step(say(&ana, 1, None)).await;
    let lost = lose_messages(&mut stage, &ana, 2).await;
    // A node that has seen nothing of the room, as after the end of the only one that had.
    let Outcome::Joined(bo) = until_answered(&stage, &Op::Join(Box::new(wish("bo")))).await else {
        panic!()
    };
    assert!(bo.seq > lost, "{:?} was given again, up to {lost:?}", bo.seq);
    stage.step(say(&ana, 2, None)).await;
    let second = stage.all().await.pop().unwrap().last();
    assert_eq!(second.0, bo.seq.0 + 1, "a server passes over numbers once");
}

/// The script for signals alone knew nothing of it: what another member says fits the snapshot.
#[tokio::test]
async fn a_message_after_a_snapshot_gets_no_number_again_although_the_clock_was_set_back() {
    let mut stage = Stage::redis_with_a_clock().await;
    let (ana, bo) = (stage.enter("ana").await, stage.enter("bo").await);
    stage.step_clock(-3_600).await;
    stage.step(say(&bo, 1, None)).await;
    let lost = lose_messages(&mut stage, &ana, 1).await;
    let Outcome::Appended(seq) = until_answered(&stage, &say(&bo, 2, None)).await else { panic!() };
    assert!(seq > lost, "{seq:?} was given again, up to {lost:?}");
}

/// Two servers, one after the other, passed over as many numbers.
#[tokio::test]
async fn two_servers_that_begin_with_one_snapshot_give_no_number_twice() {
    let mut stage = Stage::redis_with_a_clock().await;
    let ana = stage.enter("ana").await;
    stage.step_clock(-3_600).await;
    stage.step(say(&ana, 1, None)).await;
    let snapshot = stage.redis.as_ref().unwrap().dump(stage.room.as_str()).await;
    let mut given = Vec::new();
    for _ in 0..2 {
        start_from(&mut stage, &snapshot).await;
        let outcome = until_answered(&stage, &say(&ana, 2, None)).await;
        let Outcome::Appended(seq) = outcome else { panic!("{outcome:?}") };
        given.push(seq);
    }
    assert_ne!(given[0], given[1]);
}

/// Its node was cut off for as long as members may be restored, and it was removed although it was there.
#[tokio::test]
async fn a_member_whose_claim_nobody_restores_brings_what_is_settled() {
    let stage = Stage::redis_with_a_clock().await;
    let (ana, bo) = (stage.enter("ana").await, stage.join("bo").await);
    for mid in 1..4 {
        stage.step(say(&ana, mid, None)).await;
    }
    stage.redis.as_ref().unwrap().run::<u64>(&["DEL", "{suite}:h"]).await;
    let back = |who, settled| {
        let join = Join { attempt: 2, position: Some(bo.seq), settled, ..wish(who) };
        Op::Join(Box::new(join))
    };
    let waits = stage.step(back("ana", Some(Mid(2)))).await;
    assert!(matches!(waits, Outcome::Recovering), "{waits:?}");
    stage.step_clock(6).await;
    let resumed = joined(stage.step(back("ana", Some(Mid(2)))).await);
    assert_eq!((resumed.n, resumed.mid), (1, Mid(3)), "the stream has the third message");
    let anew = joined(stage.step(back("bo", None)).await);
    assert_eq!((anew.n, anew.recovery), (3, Recovery::New), "nobody knows what bo has said");
    let all = stage.all().await;
    let left = all.iter().flat_map(|batch| &batch.entries).filter_map(|entry| match entry {
        Entry::Left { peer, .. } => Some(peer.clone()),
        _ => None,
    });
    assert_eq!(left.collect::<Vec<_>>(), [id("bo")]);
}

/// Has a member say three messages from this one on, which Redis then loses. Returns the number of the last one.
async fn lose_messages(stage: &mut Stage, by: &Claim, first: u64) -> Seq {
    let room = stage.room.to_string();
    let snapshot = stage.redis.as_ref().unwrap().dump(&room).await;
    for mid in first..first + 3 {
        stage.step(say(by, mid, None)).await;
    }
    let lost = stage.all().await.pop().unwrap().last();
    start_from(stage, &snapshot).await;
    lost
}

/// Kills Redis, and starts another one with what was kept of it.
async fn start_from(stage: &mut Stage, snapshot: &[(String, Vec<u8>)]) {
    let redis = stage.redis.as_mut().unwrap();
    redis.kill().await;
    redis.restart().await;
    redis.put_back(snapshot).await;
}

/// Repeats a step until the connection to Redis is back.
async fn until_answered(stage: &Stage, op: &Op) -> Outcome {
    loop {
        if let Ok(mut outcomes) =
            stage.one.call(&stage.room, Seq(0), std::slice::from_ref(op)).await
        {
            return outcomes.remove(0);
        }
    }
}
