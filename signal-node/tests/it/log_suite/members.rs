//! Who is in a room: capacity, roles, claims, coming back, going away.

use super::stage::*;

pub(super) async fn the_newcomer_is_told_who_was_there_and_n_counts_the_joins(stage: Stage) {
    let ana = stage.join("ana").await;
    assert_eq!((ana.n, ana.recovery, ana.mid, ana.roster.len()), (1, Recovery::New, Mid(0), 0));
    let bo = stage.join("bo").await;
    assert_eq!((bo.n, bo.base), (2, ana.seq));
    let [line] = &bo.roster[..] else { panic!("{:?}", bo.roster) };
    assert_eq!((&line.peer, line.n, line.away), (&id("ana"), 1, None));
    assert_eq!(line.meta.get(), r#"{"name":"ana"}"#);
    assert_eq!(line.user.as_ref().unwrap().as_str(), "urn:\"ana\" é");
}

pub(super) async fn a_room_never_holds_more_than_its_cap_however_many_join_at_once(stage: Stage) {
    let join = |number: usize| {
        let (log, room) = if number.is_multiple_of(2) {
            (&stage.one, &stage.room)
        } else {
            (&stage.two, &stage.room)
        };
        let wish = Join { capacity: 5, ..wish(&format!("m{number}")) };
        async move { log.call(room, Seq(0), &[Op::Join(Box::new(wish))]).await.unwrap().remove(0) }
    };
    let outcomes = futures_util::future::join_all((0..24).map(join)).await;
    let entered: Vec<_> = outcomes.iter().filter(|o| matches!(o, Outcome::Joined(_))).collect();
    assert_eq!(entered.len(), 5);
    let full = |o: &&Outcome| {
        matches!(o, Outcome::JoinRefused(JoinRefusal::Full { capacity: 5, after: None }))
    };
    assert_eq!(outcomes.iter().filter(full).count(), 19);
}

pub(super) async fn of_any_two_members_exactly_one_was_told_the_other(stage: Stage) {
    let join = |number: usize| {
        let log = if number.is_multiple_of(2) { &stage.one } else { &stage.two };
        let (who, room) = (format!("m{number}"), &stage.room);
        async move {
            let op = Op::Join(Box::new(wish(&who)));
            (id(&who), joined(log.call(room, Seq(0), &[op]).await.unwrap().remove(0)))
        }
    };
    let all = futures_util::future::join_all((0..12).map(join)).await;
    let knows = |a: &Joined, b: &PeerId| a.roster.iter().any(|line| line.peer == *b);
    for (number, (a, a_joined)) in all.iter().enumerate() {
        for (b, b_joined) in &all[number + 1..] {
            assert!(knows(a_joined, b) != knows(b_joined, a), "{a} and {b}");
            assert_eq!(knows(a_joined, b), a_joined.n > b_joined.n);
        }
    }
}

pub(super) async fn a_repeated_join_is_answered_as_the_first_and_adds_nothing(stage: Stage) {
    stage.enter("ana").await;
    let wish = wish("bo");
    let first = joined(stage.step(Op::Join(Box::new(wish.clone()))).await);
    stage.enter("cy").await;
    let count = stage.all().await.len();
    let again = joined(stage.step(Op::Join(Box::new(wish))).await);
    assert_eq!((again.seq, again.base, again.n), (first.seq, first.base, first.n));
    assert_eq!(again.recovery, Recovery::New);
    assert_eq!(again.roster.len(), 1, "only members of smaller n: {:?}", again.roster);
    assert_eq!(stage.all().await.len(), count);
}

pub(super) async fn a_member_comes_back_as_itself_with_its_count(stage: Stage) {
    let first = stage.join("ana").await;
    let ana = claim("ana", &first);
    stage.enter("bo").await;
    stage.call(&[say(&ana, 1, None), say(&ana, 2, None), Op::Detach { by: ana.clone() }]).await;
    let again = Join { attempt: 2, keeps_meta: true, meta: json("{}"), ..wish("ana") };
    let back = joined(stage.step(Op::Join(Box::new(again))).await);
    assert_eq!((back.n, back.mid, back.recovery), (first.n, Mid(2), Recovery::Snapshot));
    assert_eq!(
        back.meta.get(),
        wish("ana").meta.get(),
        "its node restores it with what it told before"
    );
    assert!(back.seq > first.seq);
    let last = stage.all().await.pop().unwrap();
    assert!(
        matches!(&last.entries[0], Entry::Joined { resumed: true, n, meta: None, .. } if *n == first.n)
    );
    let same = Join { attempt: 3, ..wish("ana") };
    stage.step(Op::Join(Box::new(same))).await;
    let other = Join { attempt: 4, meta: json("{}"), ..wish("ana") };
    stage.step(Op::Join(Box::new(other))).await;
    let told: Vec<_> = stage.all().await.into_iter().rev().take(2).collect();
    assert!(matches!(&told[1].entries[0], Entry::Joined { meta: None, .. }), "it is unchanged");
    assert!(matches!(&told[0].entries[0], Entry::Joined { meta: Some(m), .. } if m.get() == "{}"));
    let cy = stage.join("cy").await;
    let line = cy.roster.iter().find(|line| line.peer == id("ana")).unwrap();
    assert_eq!((line.away, line.meta.get()), (None, "{}"));
}

pub(super) async fn a_position_is_good_for_a_replay_only_where_the_log_is_whole(stage: Stage) {
    let first = stage.join("ana").await;
    let bo = stage.enter("bo").await;
    let two = [say(&bo, 1, None), say(&bo, 2, None)];
    let Outcome::Appended(inside) = stage.call(&two).await.remove(0) else { panic!() };
    let mut attempt = 1;
    let cases = [
        (Some(first.seq), Recovery::Replay),
        // It was in the room before, and was never told that it is a member again.
        (Some(first.base), Recovery::New),
        (Some(inside), Recovery::Replay),
        (Some(Seq(first.seq.0 + 1)), Recovery::Snapshot),
        (Some(Seq(inside.0 + 1_000_000_000)), Recovery::Snapshot),
        (None, Recovery::Snapshot),
    ];
    for (position, expected) in cases {
        attempt += 1;
        let again = Join { attempt, position, ..wish("ana") };
        let back = joined(stage.step(Op::Join(Box::new(again))).await);
        assert_eq!((back.recovery, back.roster.len()), (expected, 1), "{position:?}");
        let head = Join { attempt: attempt + 1, position: Some(back.seq), ..wish("ana") };
        attempt += 1;
        let back = joined(stage.step(Op::Join(Box::new(head))).await);
        assert_eq!(back.recovery, Recovery::Replay, "the head itself");
    }
}

pub(super) async fn a_stale_or_foreign_join_has_no_effect(stage: Stage) {
    let newer = Join { attempt: 3, ..wish("ana") };
    stage.step(Op::Join(Box::new(newer))).await;
    let count = stage.all().await.len();
    let older = Join { attempt: 2, ..wish("ana") };
    assert_eq!(stage.try_join(older).await, JoinRefusal::Replaced);
    let rival = Join { attempt: 3, ..wish("ana") };
    assert_eq!(stage.try_join(rival).await, JoinRefusal::Replaced);
    let thief = Join { attempt: 4, user: Some("eve".parse().unwrap()), ..wish("ana") };
    assert_eq!(stage.try_join(thief).await, JoinRefusal::Forbidden);
    let forger = Join { attempt: 4, key_hash: "x".repeat(43), ..wish("ana") };
    assert_eq!(stage.try_join(forger).await, JoinRefusal::Forbidden);
    assert_eq!(stage.all().await.len(), count);
}

pub(super) async fn an_absent_member_keeps_its_seat_until_the_grace_is_over(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Detach { by: ana.clone() }).await;
    assert!(matches!(stage.step(Op::Detach { by: ana }).await, Outcome::Settled));
    stage.step(Op::Expire { grace: HOUR, judgement: Judgement::certain(Vec::new()) }).await;
    let bo = Join { capacity: 1, ..wish("bo") };
    match stage.try_join(bo).await {
        JoinRefusal::Full { after: Some(after), .. } => assert!(after <= HOUR && after > HOUR / 2),
        other => panic!("{other:?}"),
    }
    let bo = Join { capacity: 1, grace: Duration::ZERO, ..wish("bo") };
    assert_eq!(joined(stage.step(Op::Join(Box::new(bo))).await).roster.len(), 0);
    let last = stage.all().await.pop().unwrap();
    assert!(matches!(&last.entries[0], Entry::Left { peer, .. } if *peer == id("ana")));
    assert!(matches!(&last.entries[1], Entry::Joined { resumed: false, .. }));
}

pub(super) async fn a_kicked_and_banned_subject_stays_out(stage: Stage) {
    let ana = stage.enter("ana").await;
    let kick = |who: &str| Op::Kick { peer: id(who), ban: HOUR };
    assert!(matches!(stage.step(kick("ana")).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(kick("ana")).await, Outcome::Refused(ErrorCode::PeerNotFound)));
    assert!(matches!(stage.step(say(&ana, 1, None)).await, Outcome::Gone(_)));
    assert_eq!(stage.try_join(wish("ana")).await, JoinRefusal::Forbidden);
    stage.enter("bo").await;
}

pub(super) async fn a_ban_removes_every_member_of_its_subject_and_stands_at_a_resume(stage: Stage) {
    let mut feed = stage.one.open(&stage.room).await.unwrap();
    let of_ana = |who: &str| Join { user: Some("ana".parse().unwrap()), ..wish(who) };
    for who in ["one", "two"] {
        joined(stage.step(Op::Join(Box::new(of_ana(who)))).await);
        next_batch(&mut feed).await;
    }
    stage.enter("bo").await;
    next_batch(&mut feed).await;
    let kick = |ban: Duration| Op::Kick { peer: id("one"), ban };
    let Outcome::Appended(last) = stage.step(kick(HOUR)).await else { panic!("nobody was kicked") };
    let batch = next_batch(&mut feed).await;
    let gone: Vec<_> = batch
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Left { peer, reason } => (peer.clone(), format!("{reason:?}")),
            other => panic!("{other:?}"),
        })
        .collect();
    let mut seats = [(id("one"), "Kicked".to_owned()), (id("two"), "Kicked".to_owned())];
    seats.sort();
    assert_eq!((gone, batch.last()), (seats.to_vec(), last));
    for who in ["one", "two", "three"] {
        let back = Join { attempt: 2, position: Some(last), ..of_ana(who) };
        assert_eq!(stage.try_join(back).await, JoinRefusal::Forbidden);
    }
    assert_eq!(stage.inspect().await.members.len(), 1, "bo is still there");
}

pub(super) async fn a_locked_room_takes_no_new_member_but_its_own_back(stage: Stage) {
    stage.enter("ana").await;
    stage.step(Op::Configure { capacity: Some(2), locked: Some(true) }).await;
    assert_eq!(stage.try_join(wish("bo")).await, JoinRefusal::Locked);
    let again = Join { attempt: 2, ..wish("ana") };
    joined(stage.step(Op::Join(Box::new(again))).await);
    stage.step(Op::Configure { capacity: None, locked: Some(false) }).await;
    stage.enter("bo").await;
    let refusal = stage.try_join(wish("cy")).await;
    assert_eq!(refusal, JoinRefusal::Full { capacity: 2, after: None });
}

pub(super) async fn what_was_configured_is_seen_and_outlives_the_members(stage: Stage) {
    assert_eq!(stage.inspect().await.members.len(), 0);
    stage.step(Op::Configure { capacity: Some(2), locked: Some(true) }).await;
    let empty = stage.inspect().await;
    assert_eq!((empty.head, empty.capacity, empty.locked), (Seq(0), Some(2), true));
    stage.step(Op::Configure { capacity: None, locked: Some(false) }).await;
    let ana = stage.join("ana").await;
    let seen = stage.inspect().await;
    assert_eq!((seen.head, seen.capacity, seen.locked), (ana.seq, Some(2), false));
    assert_eq!(seen.members[0].peer, id("ana"));
    assert!(seen.members[0].away.is_none());
}

pub(super) async fn a_token_s_own_cap_bounds_its_join_only(stage: Stage) {
    stage.enter("ana").await;
    let bo = Join { token_capacity: Some(1), ..wish("bo") };
    assert_eq!(stage.try_join(bo).await, JoinRefusal::Full { capacity: 1, after: None });
    stage.enter("cy").await;
}

pub(super) async fn one_subject_has_only_so_many_members(stage: Stage) {
    let of_ana =
        |who: &str| Join { user: Some("ana".parse().unwrap()), per_subject: 2, ..wish(who) };
    joined(stage.step(Op::Join(Box::new(of_ana("one")))).await);
    joined(stage.step(Op::Join(Box::new(of_ana("two")))).await);
    assert_eq!(stage.try_join(of_ana("three")).await, JoinRefusal::TooManyOfSubject);
    for who in ["four", "five", "six"] {
        let anonymous = Join { user: None, per_subject: 2, ..wish(who) };
        joined(stage.step(Op::Join(Box::new(anonymous))).await);
    }
}

pub(super) async fn the_last_seat_of_a_room_that_seals_locks_it_for_good(stage: Stage) {
    let seat = |who: &str| Join { capacity: 2, seals_at: Some(2), ..wish(who) };
    let ana = joined(stage.step(Op::Join(Box::new(seat("ana")))).await);
    assert!(!stage.inspect().await.locked);
    let bo = joined(stage.step(Op::Join(Box::new(seat("bo")))).await);
    assert!(stage.inspect().await.locked);
    stage.call(&[Op::Leave { by: claim("bo", &bo) }]).await;
    assert_eq!(stage.try_join(seat("cy")).await, JoinRefusal::Locked);
    stage.call(&[Op::Leave { by: claim("ana", &ana) }]).await;
    assert_eq!(stage.try_join(seat("dee")).await, JoinRefusal::Locked, "nobody is left");
}
