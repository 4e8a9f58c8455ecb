//! Silent nodes, members taken away and back, and rooms put back after a loss.

use super::stage::*;

fn silent(node: &str, ago: Duration) -> Vec<Silent> {
    vec![Silent { node: node.parse().unwrap(), ago }]
}

fn suspect(node: &str) -> Op {
    let silent = silent(node, Duration::from_secs(2));
    Op::Suspect { grace: HOUR, judgement: Judgement::certain(silent) }
}

/// The generation that the last entry, by which `who` went away, has given.
async fn suspected(stage: &Stage, who: &str) -> Claim {
    let last = stage.all().await.pop().unwrap();
    let mine =
        last.numbered().find(|(_, e)| matches!(e, Entry::Away { peer, .. } if *peer == id(who)));
    Claim { peer: id(who), generation: mine.expect("it went away").0 }
}

pub(super) async fn a_suspicion_takes_the_claim_and_the_owner_takes_the_member_back(stage: Stage) {
    let old = stage.enter("ana").await;
    stage.step(suspect("n_one")).await;
    let last = stage.all().await.pop().unwrap();
    assert!(
        matches!(&last.entries[0], Entry::Away { ago, .. } if *ago == Duration::from_secs(2)),
        "{last:?}"
    );
    let new = suspected(&stage, "ana").await;
    let outcome = stage.step(say(&old, 1, None)).await;
    assert!(matches!(outcome, Outcome::Suspected(g) if g == new.generation), "{outcome:?}");
    assert!(matches!(stage.step(Op::Detach { by: old.clone() }).await, Outcome::Suspected(_)));
    assert!(matches!(stage.step(say(&new, 1, None)).await, Outcome::Appended(_)));
    let reclaim = Op::Reclaim { by: new.clone() };
    assert!(matches!(stage.step(reclaim.clone()).await, Outcome::Appended(_)));
    let last = stage.all().await.pop().unwrap();
    assert!(matches!(&last.entries[0], Entry::Back { peer } if *peer == id("ana")));
    assert!(matches!(stage.step(reclaim).await, Outcome::Settled), "a repeated call adds nothing");
    assert_eq!(stage.join("bo").await.roster[0].away, None);
}

pub(super) async fn only_living_members_of_silent_nodes_are_suspected(stage: Stage) {
    let ana = stage.enter("ana").await;
    let bo = Join { node: "n_two".parse().unwrap(), ..wish("bo") };
    stage.step(Op::Join(Box::new(bo))).await;
    stage.step(suspect("n_three")).await;
    stage.step(Op::Detach { by: ana }).await;
    let count = stage.all().await.len();
    stage.step(suspect("n_one")).await;
    assert_eq!(stage.all().await.len(), count, "she was away already");
    stage.step(suspect("n_two")).await;
    let last = stage.all().await.pop().unwrap();
    assert_eq!(last.entries.len(), 1);
    assert!(matches!(&last.entries[0], Entry::Away { peer, .. } if *peer == id("bo")));
    let cy = stage.join("cy").await;
    let node = |who: &str| cy.roster.iter().find(|line| line.peer == id(who)).unwrap().node.clone();
    assert_eq!((node("ana").as_str(), node("bo").as_str()), ("n_one", "n_two"));
}

pub(super) async fn a_resume_ends_the_claims_before_and_after_a_suspicion(stage: Stage) {
    let old = stage.enter("ana").await;
    stage.step(suspect("n_one")).await;
    let raised = suspected(&stage, "ana").await;
    let again = Join { attempt: 2, node: "n_two".parse().unwrap(), ..wish("ana") };
    let new = claim("ana", &joined(stage.step(Op::Join(Box::new(again))).await));
    for claim in [old, raised] {
        assert!(matches!(stage.step(say(&claim, 1, None)).await, Outcome::Replaced(_)));
        assert!(matches!(stage.step(Op::Reclaim { by: claim }).await, Outcome::Replaced(_)));
    }
    assert!(matches!(stage.step(say(&new, 1, None)).await, Outcome::Appended(_)));
}

pub(super) async fn a_suspected_member_is_removed_when_the_grace_is_over_since_the_silence(
    stage: Stage,
) {
    let ana = stage.enter("ana").await;
    let lurker = Join { node: "n_two".parse().unwrap(), ..wish("bo") };
    stage.step(Op::Join(Box::new(lurker))).await;
    let grace = Duration::from_secs(30);
    let silent = silent("n_one", Duration::from_secs(31));
    let judgement = Judgement::certain(silent);
    let node = "n_two".parse().unwrap();
    let cy = Join { grace, judgement: judgement.clone(), node, ..wish("cy") };
    let cy = joined(stage.step(Op::Join(Box::new(cy))).await);
    assert_eq!(cy.roster.len(), 2, "her node may reclaim her yet: {:?}", cy.roster);
    stage.step(Op::Expire { grace, judgement: judgement.clone() }).await;
    assert_eq!(stage.inspect().await.members.len(), 3, "it has two seconds for that");
    let grace = Duration::from_secs(28);
    stage.step(Op::Expire { grace, judgement }).await;
    assert_eq!(stage.inspect().await.members.len(), 2, "ana is gone, bo is not");
    assert!(matches!(stage.step(Op::Reclaim { by: ana }).await, Outcome::Gone(_)));
}

pub(super) async fn who_may_not_judge_removes_nobody(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Detach { by: ana }).await;
    let bo = Join { grace: Duration::ZERO, expires: false, ..wish("bo") };
    let bo = joined(stage.step(Op::Join(Box::new(bo))).await);
    assert!(bo.roster[0].away.is_some());
    let cy = Join { capacity: 2, grace: Duration::ZERO, expires: false, ..wish("cy") };
    let refusal = stage.try_join(cy).await;
    let full = JoinRefusal::Full { capacity: 2, after: Some(Duration::ZERO) };
    assert_eq!(refusal, full, "the seat is due, and not in the past");
}

pub(super) async fn a_caller_who_has_seen_more_is_told_and_nothing_happens(stage: Stage) {
    let ana = stage.join("ana").await;
    let seen = Seq(ana.seq.0 + 1);
    let by = claim("ana", &ana);
    let count = stage.all().await.len();
    let refused = stage.one.call(&stage.room, seen, &[say(&by, 1, None)]).await;
    assert!(matches!(refused, Err(LogError::RolledBack { head }) if head == ana.seq));
    assert_eq!(stage.all().await.len(), count);
    stage.one.call(&stage.room, ana.seq, &[say(&by, 1, None)]).await.unwrap();
}

/// What a node knows of a member of its own.
pub(super) fn known(who: &str, generation: u64, mid: u64) -> Restored {
    let wish = wish(who);
    let record = Record {
        key_hash: wish.key_hash.into(),
        attempt: wish.attempt,
        node: wish.node,
        user: wish.user,
        meta: wish.meta,
        joined: Seq(generation),
        origin: Seq(generation),
        base: Seq(generation - 1),
        recovery: Recovery::New,
    };
    let by = Claim { peer: id(who), generation: Seq(generation) };
    Restored { by, socket: wish.socket, n: 7, mid: Mid(mid), record }
}

pub(super) fn restore(restored: Restored) -> Op {
    Op::Restore(Box::new(restored))
}

pub(super) async fn a_lost_room_is_restored_and_everyone_is_told(stage: Stage) {
    let seen = Seq(9_000_000_000_000_000);
    let ops = [restore(known("ana", 500, 3)), Op::Reset];
    let outcomes = stage.one.call(&stage.room, seen, &ops).await.unwrap();
    let Outcome::Appended(at) = outcomes[1] else { panic!("{outcomes:?}") };
    assert!(at > seen, "it is behind what was seen");
    let last = stage.all().await.pop().unwrap();
    assert!(last.is_reset());
    let Entry::Reset { roster } = &last.entries[0] else { panic!("{last:?}") };
    let [ana] = &roster[..] else { panic!("{roster:?}") };
    assert_eq!((&ana.line.peer, ana.line.n, ana.line.away), (&id("ana"), 7, None));
    assert_eq!((ana.generation, ana.mid), (Seq(500), Mid(3)));
    assert_eq!(ana.line.meta.get(), r#"{"name":"ana"}"#);
    assert_eq!(ana.line.user.as_ref().unwrap().as_str(), "urn:\"ana\" é");
    let back = Join { attempt: 2, position: Some(seen), waits: true, ..wish("ana") };
    let outcome = stage.step(Op::Join(Box::new(back.clone()))).await;
    assert!(matches!(outcome, Outcome::Recovering), "others may be put back yet: {outcome:?}");
    let outcome = stage.step(Op::Join(Box::new(wish("cy")))).await;
    assert!(matches!(outcome, Outcome::Recovering), "their seats are no one else's: {outcome:?}");
    let by = Claim { peer: id("ana"), generation: Seq(500) };
    let early = stage.call(&[say(&by, 4, Some("bo")), say(&by, 5, None)]).await;
    assert!(matches!(early[0], Outcome::Recovering), "bo may be put back yet: {early:?}");
    assert!(matches!(early[1], Outcome::OutOfOrder { expected: Mid(4) }), "nothing was consumed");
    assert!(matches!(stage.step(say(&by, 4, None)).await, Outcome::Appended(_)));
    let again = Join { attempt: 2, ..wish("ana") };
    let back = joined(stage.step(Op::Join(Box::new(again))).await);
    assert_eq!((back.n, back.mid), (7, Mid(4)), "she is the same member");
}

pub(super) async fn who_has_seen_more_than_there_is_waits_to_be_put_back(stage: Stage) {
    let back = Join { attempt: 2, position: Some(Seq(500)), waits: true, ..wish("ana") };
    let outcome = stage.step(Op::Join(Box::new(back.clone()))).await;
    assert!(matches!(outcome, Outcome::Recovering), "{outcome:?}");
    let patient = Join { waits: false, ..back };
    assert_eq!(joined(stage.step(Op::Join(Box::new(patient))).await).recovery, Recovery::New);
}

pub(super) async fn who_comes_back_having_seen_more_than_there_is_has_the_others_told(
    stage: Stage,
) {
    let [ana, bo] = [stage.enter("ana").await, stage.enter("bo").await];
    let ahead = Some(Seq(bo.generation.0 + 500));
    let back = |attempt, waits| {
        let join = Join { attempt, position: ahead, waits, ..wish("ana") };
        Op::Join(Box::new(join))
    };
    let outcome = stage.step(back(2, true)).await;
    assert_eq!(joined(outcome).recovery, Recovery::Snapshot);
    let last = stage.all().await.pop().unwrap();
    let [Entry::Reset { roster }, Entry::Joined { .. }] = &*last.entries else {
        panic!("the loss is told before anything else: {last:?}")
    };
    assert_eq!(roster.len(), 2);
    assert!(roster.iter().any(|member| member.generation == ana.generation));
    let count = stage.all().await.len();
    stage.step(back(3, false)).await;
    let all = stage.all().await;
    assert_eq!(all.len(), count + 1);
    assert!(!all[count].is_reset(), "in an old contact a position proves nothing");
}

pub(super) async fn who_comes_back_with_more_settled_than_there_is_has_the_others_told(
    stage: Stage,
) {
    let ana = stage.enter("ana").await;
    stage.enter("bo").await;
    let Outcome::Appended(last) = stage.step(say(&ana, 1, None)).await else { panic!() };
    let back = |attempt, settled, waits| {
        let (position, settled) = (Some(last), Some(Mid(settled)));
        Op::Join(Box::new(Join { attempt, position, settled, waits, ..wish("ana") }))
    };
    stage.step(back(2, 1, true)).await;
    assert!(!stage.all().await.pop().unwrap().is_reset(), "nothing is lost");
    let resumed = joined(stage.step(back(3, 2, true)).await);
    assert_eq!(resumed.mid, Mid(1));
    assert!(stage.all().await.pop().unwrap().is_reset(), "nobody has heard the second message");
    stage.step(back(4, 2, false)).await;
    assert!(!stage.all().await.pop().unwrap().is_reset(), "in an old contact that proves nothing");
}

pub(super) async fn of_two_restorations_the_greater_claim_and_count_win(stage: Stage) {
    let seen = Seq(1_000);
    let both = [restore(known("ana", 700, 3)), restore(known("ana", 600, 9)), Op::Reset];
    stage.one.call(&stage.room, seen, &both).await.unwrap();
    stage.call(&[restore(known("ana", 700, 2)), Op::Reset]).await;
    let last = stage.all().await.pop().unwrap();
    let Entry::Reset { roster } = &last.entries[0] else { panic!("{last:?}") };
    assert_eq!((roster[0].generation, roster[0].mid), (Seq(700), Mid(3)));
}
