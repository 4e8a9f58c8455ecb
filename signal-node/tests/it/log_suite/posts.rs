//! Posts of those who are not members, and joins of clients that do not count them.

use super::stage::*;
use super::takeover::{known, restore};

fn post(from: SocketId, count: u64, data: &str) -> Post {
    let judgement = Judgement::certain(Vec::new());
    Post { from, count, data: json(data), grace: HOUR, judgement }
}

impl Stage {
    async fn post(&self, post: Post) -> Outcome {
        self.step(Op::Post(Box::new(post))).await
    }

    /// What was posted, in the order of the log.
    async fn posted(&self) -> Vec<String> {
        let all = self.all().await;
        let data = all.iter().flat_map(|batch| &batch.entries).filter_map(|entry| match entry {
            Entry::Announced { to: None, data } => Some(data.get().to_owned()),
            _ => None,
        });
        data.collect()
    }
}

fn next(who: &str, socket: SocketId) -> Op {
    Op::Join(Box::new(Join { attempt: Join::NEXT, socket, ..wish(who) }))
}

pub(super) async fn a_post_reaches_the_room_once_however_often_it_is_repeated(stage: Stage) {
    stage.enter("ana").await;
    stage.enter("bo").await;
    let (one, other) = (SocketId::random(), SocketId::random());
    for _ in 0..2 {
        assert!(matches!(stage.post(post(one, 1, "1")).await, Outcome::Posted(2)));
    }
    assert!(matches!(stage.post(post(other, 1, "2")).await, Outcome::Posted(2)));
    assert!(matches!(stage.post(post(one, 5, "3")).await, Outcome::Posted(2)));
    stage.enter("cy").await;
    assert!(matches!(stage.post(post(one, 5, "3")).await, Outcome::Posted(2)), "as the first one");
    assert!(matches!(stage.post(post(one, 1, "1")).await, Outcome::Settled), "a late copy");
    stage.step(Op::Maintain).await;
    assert!(matches!(stage.post(post(one, 5, "3")).await, Outcome::Posted(2)), "still known");
    assert_eq!(stage.posted().await, ["1", "2", "3"]);
}

pub(super) async fn a_post_into_a_room_where_nobody_is_present_is_gone(stage: Stage) {
    let from = SocketId::random();
    assert!(matches!(stage.post(post(from, 1, "1")).await, Outcome::Gone(_)));
    if let Some(redis) = &stage.redis {
        assert_eq!(
            redis.run::<u64>(&["EXISTS", "{suite}:h", "{suite}:f"]).await,
            0,
            "nothing stays"
        );
    }
    let ana = stage.enter("ana").await;
    stage.step(Op::Detach { by: ana }).await;
    assert!(matches!(stage.post(post(from, 1, "1")).await, Outcome::Gone(_)), "she is away");
    stage.enter("bo").await;
    assert!(matches!(stage.post(post(from, 1, "1")).await, Outcome::Posted(2)), "no effect so far");
    assert_eq!(stage.posted().await, ["1"]);
}

pub(super) async fn a_post_whose_only_receiver_is_on_a_silent_node_is_gone(stage: Stage) {
    stage.enter("ana").await;
    let silent = vec![Silent { node: "n_one".parse().unwrap(), ago: Duration::ZERO }];
    let expired = Judgement { silent: silent.clone(), ..Judgement::default() };
    let from = SocketId::random();
    let unproven = Post { judgement: expired, ..post(from, 1, "1") };
    assert!(matches!(stage.post(unproven).await, Outcome::Posted(1)), "it proves nothing");
    let judged = Post { judgement: Judgement::certain(silent), ..post(from, 2, "2") };
    assert!(matches!(stage.post(judged).await, Outcome::Gone(_)));
    let last = stage.all().await.pop().unwrap();
    assert!(
        matches!(&last.entries[..], [Entry::Away { .. }]),
        "her node may reclaim her: {last:?}"
    );
    assert_eq!(stage.posted().await, ["1"]);
}

pub(super) async fn a_post_while_members_are_restored_is_to_be_repeated(stage: Stage) {
    stage.one.call(&stage.room, Seq(9_000_000_000_000_000), &[Op::Reset]).await.unwrap();
    let from = SocketId::random();
    assert!(matches!(stage.post(post(from, 1, "1")).await, Outcome::Recovering));
    stage.step(restore(known("ana", 500, 3))).await;
    assert!(matches!(stage.post(post(from, 1, "1")).await, Outcome::Posted(1)));
}

pub(super) async fn a_client_that_does_not_count_its_joins_takes_its_member_over(stage: Stage) {
    let (first, second) = (SocketId::random(), SocketId::random());
    let one = joined(stage.step(next("ana", first)).await);
    let again = joined(stage.step(next("ana", first)).await);
    assert_eq!(one.seq, again.seq, "a repeated call is answered as the first one was");
    let two = joined(stage.step(next("ana", second)).await);
    assert!(two.seq > one.seq);
    let of_first = claim("ana", &one);
    assert!(matches!(stage.step(Op::Leave { by: of_first }).await, Outcome::Replaced(_)));
    assert_eq!(stage.inspect().await.members.len(), 1);
}

pub(super) async fn a_late_copy_of_an_uncounted_join_does_not_bring_its_member_back(stage: Stage) {
    let socket = SocketId::random();
    let by = claim("ana", &joined(stage.step(next("ana", socket)).await));
    stage.step(Op::Leave { by }).await;
    let late = stage.step(next("ana", socket)).await;
    assert!(matches!(late, Outcome::Gone(_)), "{late:?}");
    joined(stage.step(next("ana", SocketId::random())).await);
}

pub(super) async fn an_uncounted_join_is_refused_where_another_key_fills_the_room(stage: Stage) {
    let alone = |who: &str| Join { attempt: Join::NEXT, capacity: 1, ..wish(who) };
    joined(stage.step(Op::Join(Box::new(alone("ana")))).await);
    let refusal = stage.try_join(alone("bo")).await;
    assert!(matches!(refusal, JoinRefusal::Full { capacity: 1, after: None }), "{refusal:?}");
    joined(stage.step(Op::Join(Box::new(alone("ana")))).await);
}

pub(super) async fn a_number_is_advanced_once_from_each_value(stage: Stage) {
    let mut told = Vec::new();
    for from in [0, 1, 1, 0, 3, 2] {
        let Outcome::Number(number) = stage.step(Op::Advance { from }).await else { panic!() };
        told.push(number);
    }
    assert_eq!(told, [1, 2, 2, 2, 2, 3]);
    // The room itself is as it was.
    assert!(stage.inspect().await.members.is_empty());
    stage.enter("ana").await;
    assert!(matches!(stage.step(Op::Advance { from: 3 }).await, Outcome::Number(4)));
}
