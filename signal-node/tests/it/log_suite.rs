//! What every room log promises; asked of the one in memory and of the one in a real Redis.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use signal_node::log::memory::MemoryLog;
use signal_node::log::redis::{Publishing, RedisLog};
use signal_node::log::{
    Batch, Claim, Entry, Feed, FeedEvent, Join, JoinRefusal, Joined, Op, Outcome, Payload,
    Retention, RoomLog, SocketId, Volatile,
};
use signal_protocol::{ErrorCode, Mid, PeerId, PeerKey, Recovery, RoomId, Seq};

use crate::support::redis::TestRedis;

const HOUR: Duration = Duration::from_secs(3_600);
const KEEP: Retention = Retention {
    age: Duration::from_secs(120),
    length: 64,
    bytes: 1 << 20,
    room: Duration::from_secs(300),
};

/// Two nodes' views of one log, and one room in it.
struct Stage {
    one: Arc<dyn RoomLog>,
    two: Arc<dyn RoomLog>,
    room: RoomId,
    _redis: Option<TestRedis>,
}

impl Stage {
    fn memory() -> Self {
        let log: Arc<dyn RoomLog> = Arc::new(MemoryLog::new(KEEP));
        Self { one: log.clone(), two: log, room: "suite".parse().unwrap(), _redis: None }
    }

    async fn redis(publishing: Publishing) -> Self {
        let redis = TestRedis::start().await;
        let url = redis.url();
        let connect = || RedisLog::connect(&url, publishing, KEEP);
        let (one, two) = tokio::try_join!(connect(), connect()).unwrap();
        let room = "suite".parse().unwrap();
        Self { one: Arc::new(one), two: Arc::new(two), room, _redis: Some(redis) }
    }

    async fn call(&self, ops: &[Op]) -> Vec<Outcome> {
        self.one.call(&self.room, ops).await.unwrap()
    }

    async fn step(&self, op: Op) -> Outcome {
        self.call(&[op]).await.remove(0)
    }

    async fn join(&self, who: &str) -> Joined {
        joined(self.step(Op::Join(Box::new(wish(who)))).await)
    }

    async fn enter(&self, who: &str) -> Claim {
        claim(who, &self.join(who).await)
    }

    async fn try_join(&self, join: Join) -> JoinRefusal {
        match self.step(Op::Join(Box::new(join))).await {
            Outcome::JoinRefused(refusal) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    async fn all(&self) -> Vec<Batch> {
        self.two.read(&self.room, Seq(0)).await.unwrap()
    }
}

fn key(who: &str) -> PeerKey {
    format!("{who:A<22}").parse().unwrap()
}

fn id(who: &str) -> PeerId {
    key(who).peer().clone()
}

fn json(text: &str) -> Payload {
    RawValue::from_string(text.to_owned()).unwrap().into()
}

fn wish(who: &str) -> Join {
    Join {
        peer: id(who),
        key_hash: key(who).hash().to_owned(),
        attempt: 1,
        socket: SocketId::random(),
        node: "n_one".parse().unwrap(),
        user: Some(who.parse().unwrap()),
        meta: Some(json(&format!(r#"{{"name":"{who}"}}"#))),
        capacity: 64,
        token_capacity: None,
        per_subject: 4,
        position: None,
        grace: HOUR,
    }
}

fn joined(outcome: Outcome) -> Joined {
    match outcome {
        Outcome::Joined(joined) => *joined,
        other => panic!("expected a join, got {other:?}"),
    }
}

fn claim(who: &str, joined: &Joined) -> Claim {
    Claim { peer: id(who), generation: joined.seq }
}

fn say(by: &Claim, mid: u64, to: Option<&str>) -> Op {
    Op::Signal { by: by.clone(), mid: Mid(mid), to: to.map(id), data: json(&format!("[{mid}]")) }
}

async fn next_batch(feed: &mut Feed) -> Arc<Batch> {
    match feed.next().await {
        Some(FeedEvent::Batch(batch)) => batch,
        other => panic!("expected a batch, got {other:?}"),
    }
}

async fn the_newcomer_is_told_who_was_there_and_n_counts_the_joins(stage: Stage) {
    let ana = stage.join("ana").await;
    assert_eq!((ana.n, ana.recovery, ana.mid, ana.roster.len()), (1, Recovery::New, Mid(0), 0));
    let bo = stage.join("bo").await;
    assert_eq!((bo.n, bo.base), (2, ana.seq));
    let [line] = &bo.roster[..] else { panic!("{:?}", bo.roster) };
    assert_eq!((&line.peer, line.n, line.away), (&id("ana"), 1, None));
    assert_eq!(line.meta.get(), r#"{"name":"ana"}"#);
    assert_eq!(line.user.as_ref().unwrap().as_str(), "ana");
}

async fn a_room_never_holds_more_than_its_cap_however_many_join_at_once(stage: Stage) {
    let join = |number: usize| {
        let (log, room) = if number.is_multiple_of(2) {
            (&stage.one, &stage.room)
        } else {
            (&stage.two, &stage.room)
        };
        let wish = Join { capacity: 5, ..wish(&format!("m{number}")) };
        async move { log.call(room, &[Op::Join(Box::new(wish))]).await.unwrap().remove(0) }
    };
    let outcomes = futures_util::future::join_all((0..24).map(join)).await;
    let entered: Vec<_> = outcomes.iter().filter(|o| matches!(o, Outcome::Joined(_))).collect();
    assert_eq!(entered.len(), 5);
    let full = |o: &&Outcome| {
        matches!(o, Outcome::JoinRefused(JoinRefusal::Full { capacity: 5, after: None }))
    };
    assert_eq!(outcomes.iter().filter(full).count(), 19);
}

async fn of_any_two_members_exactly_one_was_told_the_other(stage: Stage) {
    let join = |number: usize| {
        let log = if number.is_multiple_of(2) { &stage.one } else { &stage.two };
        let (who, room) = (format!("m{number}"), &stage.room);
        async move {
            let op = Op::Join(Box::new(wish(&who)));
            (id(&who), joined(log.call(room, &[op]).await.unwrap().remove(0)))
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

async fn one_call_is_one_batch_with_consecutive_numbers_and_its_predecessor(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.enter("bo").await;
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    let outcomes =
        stage.call(&[say(&ana, 1, Some("bo")), say(&ana, 2, None), say(&ana, 3, None)]).await;
    let batch = next_batch(&mut feed).await;
    let kept = stage.all().await;
    assert_eq!(batch.entries.len(), 3);
    assert_eq!(batch.prev, kept[kept.len() - 2].last());
    for ((seq, entry), outcome) in batch.numbered().zip(outcomes) {
        assert!(matches!(outcome, Outcome::Appended(at) if at == seq));
        assert!(matches!(entry, Entry::Signal { from, .. } if *from == ana.peer));
    }
    assert_eq!(format!("{:?}", kept.last().unwrap()), format!("{batch:?}"));
}

async fn numbers_only_grow_and_stay_exact_in_javascript(stage: Stage) {
    let ana = stage.enter("ana").await;
    for mid in 1..=20 {
        stage.step(say(&ana, mid, None)).await;
    }
    let kept = stage.all().await;
    assert_eq!(kept.len(), 21);
    assert!(
        kept.windows(2)
            .all(|pair| pair[1].prev == pair[0].last() && pair[0].last() < pair[1].first)
    );
    assert!(kept.last().unwrap().last().0 < 1 << 53);
}

async fn a_member_s_messages_take_effect_once_and_in_order(stage: Stage) {
    let ana = stage.enter("ana").await;
    let outcomes = stage
        .call(&[say(&ana, 1, None), say(&ana, 1, None), say(&ana, 3, None), say(&ana, 2, None)])
        .await;
    assert!(matches!(outcomes[0], Outcome::Appended(_)));
    assert!(matches!(outcomes[1], Outcome::Settled));
    assert!(matches!(outcomes[2], Outcome::OutOfOrder { expected: Mid(2) }));
    assert!(matches!(outcomes[3], Outcome::Appended(_)));
    assert!(matches!(stage.step(say(&ana, 2, None)).await, Outcome::Settled));
}

async fn a_refusal_for_good_consumes_its_number(stage: Stage) {
    let ana = stage.enter("ana").await;
    let refuse = Op::Refuse { by: ana.clone(), mid: Mid(2), code: ErrorCode::TooLarge };
    let outcomes = stage.call(&[say(&ana, 1, Some("nobody")), refuse, say(&ana, 3, None)]).await;
    assert!(matches!(outcomes[0], Outcome::Refused(ErrorCode::PeerNotFound)));
    assert!(matches!(outcomes[1], Outcome::Refused(ErrorCode::TooLarge)));
    assert!(matches!(outcomes[2], Outcome::Appended(_)));
    assert_eq!(stage.all().await.last().unwrap().entries.len(), 1);
}

async fn only_the_newest_claim_acts_for_a_member(stage: Stage) {
    let old = stage.enter("ana").await;
    let again = Join { attempt: 2, ..wish("ana") };
    let new = claim("ana", &joined(stage.step(Op::Join(Box::new(again))).await));
    assert!(matches!(stage.step(say(&old, 1, None)).await, Outcome::Replaced));
    assert!(matches!(stage.step(Op::Leave { by: old.clone() }).await, Outcome::Replaced));
    assert!(matches!(stage.step(say(&new, 1, None)).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(Op::Leave { by: new.clone() }).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(say(&new, 2, None)).await, Outcome::Gone));
    assert!(matches!(stage.step(Op::Detach { by: new }).await, Outcome::Gone));
}

async fn a_repeated_join_is_answered_as_the_first_and_adds_nothing(stage: Stage) {
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

async fn a_member_comes_back_as_itself_with_its_count(stage: Stage) {
    let first = stage.join("ana").await;
    let ana = claim("ana", &first);
    stage.enter("bo").await;
    stage.call(&[say(&ana, 1, None), say(&ana, 2, None), Op::Detach { by: ana.clone() }]).await;
    let again = Join { attempt: 2, meta: None, ..wish("ana") };
    let back = joined(stage.step(Op::Join(Box::new(again))).await);
    assert_eq!((back.n, back.mid, back.recovery), (first.n, Mid(2), Recovery::Snapshot));
    assert!(back.seq > first.seq);
    let last = stage.all().await.pop().unwrap();
    assert!(
        matches!(&last.entries[0], Entry::Joined { resumed: true, n, meta: None, .. } if *n == first.n)
    );
    let same = Join { attempt: 3, ..wish("ana") };
    stage.step(Op::Join(Box::new(same))).await;
    let other = Join { attempt: 4, meta: Some(json("{}")), ..wish("ana") };
    stage.step(Op::Join(Box::new(other))).await;
    let told: Vec<_> = stage.all().await.into_iter().rev().take(2).collect();
    assert!(matches!(&told[1].entries[0], Entry::Joined { meta: None, .. }), "it is unchanged");
    assert!(matches!(&told[0].entries[0], Entry::Joined { meta: Some(m), .. } if m.get() == "{}"));
    let cy = stage.join("cy").await;
    let line = cy.roster.iter().find(|line| line.peer == id("ana")).unwrap();
    assert_eq!((line.away, line.meta.get()), (None, "{}"));
}

async fn a_position_is_good_for_a_replay_only_where_the_log_is_whole(stage: Stage) {
    let first = stage.join("ana").await;
    let bo = stage.enter("bo").await;
    let two = [say(&bo, 1, None), say(&bo, 2, None)];
    let Outcome::Appended(inside) = stage.call(&two).await.remove(0) else { panic!() };
    let mut attempt = 1;
    let cases = [
        (Some(first.seq), Recovery::Replay),
        (Some(first.base), Recovery::Replay),
        (Some(inside), Recovery::Replay),
        (Some(Seq(first.seq.0 + 1)), Recovery::Snapshot),
        (Some(Seq(inside.0 + 1_000_000_000)), Recovery::Snapshot),
        (None, Recovery::Snapshot),
    ];
    for (position, expected) in cases {
        attempt += 1;
        let again = Join { attempt, position, ..wish("ana") };
        let back = joined(stage.step(Op::Join(Box::new(again))).await);
        assert_eq!(back.recovery, expected, "{position:?}");
        let head = Join { attempt: attempt + 1, position: Some(back.seq), ..wish("ana") };
        attempt += 1;
        let back = joined(stage.step(Op::Join(Box::new(head))).await);
        assert_eq!(back.recovery, Recovery::Replay, "the head itself");
    }
}

async fn a_stale_or_foreign_join_has_no_effect(stage: Stage) {
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

async fn an_absent_member_keeps_its_seat_until_the_grace_is_over(stage: Stage) {
    let ana = stage.enter("ana").await;
    stage.step(Op::Detach { by: ana.clone() }).await;
    assert!(matches!(stage.step(Op::Detach { by: ana }).await, Outcome::Settled));
    stage.step(Op::Expire { grace: HOUR }).await;
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

async fn a_kicked_and_banned_subject_stays_out(stage: Stage) {
    let ana = stage.enter("ana").await;
    let kick = |who: &str| Op::Kick { peer: id(who), ban: HOUR };
    assert!(matches!(stage.step(kick("ana")).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(kick("ana")).await, Outcome::Refused(ErrorCode::PeerNotFound)));
    assert!(matches!(stage.step(say(&ana, 1, None)).await, Outcome::Gone));
    assert_eq!(stage.try_join(wish("ana")).await, JoinRefusal::Forbidden);
    stage.enter("bo").await;
}

async fn a_locked_room_takes_no_new_member_but_its_own_back(stage: Stage) {
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

async fn a_token_s_own_cap_bounds_its_join_only(stage: Stage) {
    stage.enter("ana").await;
    let bo = Join { token_capacity: Some(1), ..wish("bo") };
    assert_eq!(stage.try_join(bo).await, JoinRefusal::Full { capacity: 1, after: None });
    stage.enter("cy").await;
}

async fn one_subject_has_only_so_many_members(stage: Stage) {
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

async fn an_update_replaces_meta_in_the_roster(stage: Stage) {
    let ana = stage.enter("ana").await;
    let update = Op::Update { by: ana, mid: Mid(1), meta: json(r#"{"muted":true}"#) };
    assert!(matches!(stage.step(update).await, Outcome::Appended(_)));
    assert_eq!(stage.join("bo").await.roster[0].meta.get(), r#"{"muted":true}"#);
}

async fn what_is_told_once_reaches_who_listens_and_is_not_kept(stage: Stage) {
    let ana = stage.enter("ana").await;
    let count = stage.all().await.len();
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    let volatile = Volatile { from: ana.peer.clone(), to: None, data: json("[1,2]") };
    stage.one.tell(&stage.room, volatile).await.unwrap();
    match feed.next().await {
        Some(FeedEvent::Volatile(told)) => {
            assert_eq!((&told.from, told.data.get()), (&ana.peer, "[1,2]"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.all().await.len(), count);
}

async fn payloads_are_carried_byte_for_byte(stage: Stage) {
    let ana = stage.enter("ana").await;
    let texts = [
        "[]",
        "{}",
        "12345678901234567890",
        "1.0",
        "\"\\u00e9 \u{1f600}\"",
        "{\n  \"a\" : [ ],\n \"b\": \"l 1 2\\n\" }",
        "\"s p_x * 1 3\"",
    ];
    for (text, mid) in texts.iter().zip(1..) {
        let data = json(text);
        stage.step(Op::Signal { by: ana.clone(), mid: Mid(mid), to: None, data }).await;
    }
    let kept = stage.all().await.into_iter().flat_map(|batch| batch.entries);
    let said: Vec<String> = kept
        .filter_map(|entry| match entry {
            Entry::Signal { data, .. } => Some(data.get().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(said, texts);
}

async fn the_log_is_trimmed_to_its_length(stage: Stage) {
    let ana = stage.enter("ana").await;
    for mid in 1..=100 {
        stage.step(say(&ana, mid, None)).await;
    }
    assert!(matches!(stage.step(Op::Tend).await, Outcome::Settled));
    let kept = stage.all().await;
    assert_eq!(kept.len(), KEEP.length);
    assert!(kept[0].prev > Seq(0));
}

async fn a_dropped_feed_ends_and_a_new_one_hears(stage: Stage) {
    let ana = stage.enter("ana").await;
    drop(stage.two.open(&stage.room).await.unwrap());
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    stage.step(say(&ana, 1, None)).await;
    assert_eq!(next_heard(&mut feed).await.entries.len(), 1);
}

/// Skips what only asks to compare.
async fn next_heard(feed: &mut Feed) -> Arc<Batch> {
    loop {
        if let Some(FeedEvent::Batch(batch)) = feed.next().await {
            return batch;
        }
    }
}

macro_rules! suite {
    ($($test:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test(super::Stage::memory()).await; })+
        }
        mod redis {
            use super::Publishing;
            $(#[tokio::test] async fn $test() {
                super::$test(super::Stage::redis(Publishing::Sharded).await).await;
            })+
        }
    };
}

suite! {
    the_newcomer_is_told_who_was_there_and_n_counts_the_joins,
    a_room_never_holds_more_than_its_cap_however_many_join_at_once,
    of_any_two_members_exactly_one_was_told_the_other,
    one_call_is_one_batch_with_consecutive_numbers_and_its_predecessor,
    numbers_only_grow_and_stay_exact_in_javascript,
    a_member_s_messages_take_effect_once_and_in_order,
    a_refusal_for_good_consumes_its_number,
    only_the_newest_claim_acts_for_a_member,
    a_repeated_join_is_answered_as_the_first_and_adds_nothing,
    a_member_comes_back_as_itself_with_its_count,
    a_position_is_good_for_a_replay_only_where_the_log_is_whole,
    a_stale_or_foreign_join_has_no_effect,
    an_absent_member_keeps_its_seat_until_the_grace_is_over,
    a_kicked_and_banned_subject_stays_out,
    a_locked_room_takes_no_new_member_but_its_own_back,
    a_token_s_own_cap_bounds_its_join_only,
    one_subject_has_only_so_many_members,
    an_update_replaces_meta_in_the_roster,
    what_is_told_once_reaches_who_listens_and_is_not_kept,
    payloads_are_carried_byte_for_byte,
    the_log_is_trimmed_to_its_length,
    a_dropped_feed_ends_and_a_new_one_hears,
}

#[tokio::test]
async fn plain_publishing_carries_entries_and_volatiles_too() {
    let stage = Stage::redis(Publishing::Plain).await;
    let ana = stage.enter("ana").await;
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    stage.step(say(&ana, 1, None)).await;
    assert_eq!(next_batch(&mut feed).await.entries.len(), 1);
}
