//! What is said in a room: order, numbers, refusals, what is kept and for how long.

use super::stage::*;

pub(super) async fn one_call_is_one_batch_with_consecutive_numbers_and_its_predecessor(
    stage: Stage,
) {
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

pub(super) async fn numbers_only_grow_and_stay_exact_in_javascript(stage: Stage) {
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

pub(super) async fn a_member_s_messages_take_effect_once_and_in_order(stage: Stage) {
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

pub(super) async fn a_refusal_for_good_consumes_its_number(stage: Stage) {
    let ana = stage.enter("ana").await;
    let refuse = Op::Refuse { by: ana.clone(), mid: Mid(2), code: ErrorCode::TooLarge };
    let outcomes = stage.call(&[say(&ana, 1, Some("nobody")), refuse, say(&ana, 3, None)]).await;
    assert!(matches!(outcomes[0], Outcome::Refused(ErrorCode::PeerNotFound)));
    assert!(matches!(outcomes[1], Outcome::Refused(ErrorCode::TooLarge)));
    assert!(matches!(outcomes[2], Outcome::Appended(_)));
    assert_eq!(stage.all().await.last().unwrap().entries.len(), 1);
    let again = stage.call(&[say(&ana, 1, Some("nobody")), say(&ana, 3, None)]).await;
    assert!(matches!(again[0], Outcome::Refused(ErrorCode::PeerNotFound)), "said again, not lost");
    assert!(matches!(again[1], Outcome::Settled));
}

pub(super) async fn the_past_is_read_in_pages(stage: Stage) {
    let ana = stage.enter("ana").await;
    for mid in 1..=10 {
        stage.step(say(&ana, mid, None)).await;
    }
    let all = stage.all().await;
    let page = stage.two.read(&stage.room, all[2].last(), 4).await.unwrap();
    let seqs = |batches: &[Batch]| batches.iter().map(Batch::last).collect::<Vec<_>>();
    assert_eq!(seqs(&page), seqs(&all[3..7]));
}

pub(super) async fn only_the_newest_claim_acts_for_a_member(stage: Stage) {
    let old = stage.enter("ana").await;
    let again = Join { attempt: 2, ..wish("ana") };
    let new = claim("ana", &joined(stage.step(Op::Join(Box::new(again))).await));
    assert!(matches!(stage.step(say(&old, 1, None)).await, Outcome::Replaced(_)));
    assert!(matches!(stage.step(Op::Leave { by: old.clone() }).await, Outcome::Replaced(_)));
    assert!(matches!(stage.step(say(&new, 1, None)).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(Op::Leave { by: new.clone() }).await, Outcome::Appended(_)));
    assert!(matches!(stage.step(say(&new, 2, None)).await, Outcome::Gone(_)));
    assert!(matches!(stage.step(Op::Detach { by: new }).await, Outcome::Gone(_)));
}

pub(super) async fn an_update_replaces_meta_in_the_roster(stage: Stage) {
    let ana = stage.enter("ana").await;
    let update = Op::Update { by: ana, mid: Mid(1), meta: json(r#"{"muted":true}"#) };
    assert!(matches!(stage.step(update).await, Outcome::Appended(_)));
    assert_eq!(stage.join("bo").await.roster[0].meta.get(), r#"{"muted":true}"#);
}

pub(super) async fn what_is_told_once_reaches_who_listens_and_is_not_kept(stage: Stage) {
    let ana = stage.enter("ana").await;
    let count = stage.all().await.len();
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    let volatile = |data| Volatile { from: ana.peer.clone(), to: None, data: json(data) };
    stage
        .one
        .publish_volatile(&stage.room, &[volatile("[1,2]"), volatile("\"v p\\n\"")])
        .await
        .unwrap();
    match feed.next().await {
        Some(FeedEvent::Volatile(told)) => {
            let told: Vec<_> = told.iter().map(|told| (&told.from, told.data.get())).collect();
            assert_eq!(told, [(&ana.peer, "[1,2]"), (&ana.peer, "\"v p\\n\"")]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.all().await.len(), count);
}

pub(super) async fn payloads_are_carried_byte_for_byte(stage: Stage) {
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
        stage.step(Op::Signal { by: ana.clone(), mid: Mid(mid), to: None, data, span: None }).await;
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

pub(super) async fn the_log_is_trimmed_to_its_length(stage: Stage) {
    let ana = stage.enter("ana").await;
    let mut last = Seq(0);
    for mid in 1..=100 {
        if let Outcome::Appended(seq) = stage.step(say(&ana, mid, None)).await {
            last = seq;
        }
    }
    assert!(matches!(stage.step(Op::Maintain).await, Outcome::Head(head) if head == last));
    let kept = stage.all().await;
    assert_eq!(kept.len(), KEEP.length);
    assert!(kept[0].prev > Seq(0));
}

pub(super) async fn a_dropped_feed_ends_and_a_new_one_hears(stage: Stage) {
    let ana = stage.enter("ana").await;
    drop(stage.two.open(&stage.room).await.unwrap());
    let mut feed = stage.two.open(&stage.room).await.unwrap();
    stage.step(say(&ana, 1, None)).await;
    assert_eq!(next_heard(&mut feed).await.entries.len(), 1);
}

async fn next_heard(feed: &mut Feed) -> Arc<Batch> {
    loop {
        if let Some(FeedEvent::Batch(batch)) = feed.next().await {
            return batch;
        }
    }
}

pub(super) async fn an_announcement_is_made_once_for_each_key(stage: Stage) {
    let announce = |key: Option<&str>, to: Option<&str>| Op::Announce {
        key: key.map(str::to_owned),
        to: to.map(id),
        data: json("1"),
    };
    assert!(matches!(stage.step(announce(Some("k"), None)).await, Outcome::Gone(_)));
    stage.enter("ana").await;
    let nobody = stage.step(announce(Some("k"), Some("bo"))).await;
    assert!(matches!(nobody, Outcome::Refused(ErrorCode::PeerNotFound)));
    // What was refused has not used up its key.
    let Outcome::Appended(first) = stage.step(announce(Some("k"), Some("ana"))).await else {
        panic!("it takes effect")
    };
    let again = stage.step(announce(Some("k"), Some("ana"))).await;
    assert!(matches!(again, Outcome::Appended(seq) if seq == first));
    for key in [Some("l"), None, None] {
        let other = stage.step(announce(key, None)).await;
        assert!(matches!(other, Outcome::Appended(seq) if seq > first));
    }
    let told: Vec<Entry> = stage.all().await.into_iter().flat_map(|batch| batch.entries).collect();
    let said = told.iter().filter(|entry| matches!(entry, Entry::Announced { .. }));
    assert_eq!(said.count(), 4);
    assert!(matches!(&told[1], Entry::Announced { to: Some(to), .. } if *to == id("ana")));
}

pub(super) async fn who_comes_back_is_told_what_was_refused(stage: Stage) {
    let ana = stage.enter("ana").await;
    let too_large = Op::Refuse { by: ana.clone(), mid: Mid(2), code: ErrorCode::TooLarge };
    stage.call(&[say(&ana, 1, Some("bo")), too_large, say(&ana, 3, None)]).await;
    let again = Join { attempt: 2, ..wish("ana") };
    let back = joined(stage.step(Op::Join(Box::new(again.clone()))).await);
    let refused = vec![(Mid(1), ErrorCode::PeerNotFound), (Mid(2), ErrorCode::TooLarge)];
    assert_eq!((back.mid, &back.refused), (Mid(3), &refused));
    let repeated = joined(stage.step(Op::Join(Box::new(again))).await);
    assert_eq!(repeated.refused, refused);
    assert_eq!(stage.join("bo").await.refused, [], "a new member has said nothing");
}
