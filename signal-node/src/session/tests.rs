use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use service_kit::tokens::{Claims, Right};
use signal_protocol::{CloseCode, IceReason, IceServers, LeftReason, RoomId};
use tokio::time::Instant;

use super::*;
use crate::room::FrameEvent;

impl Machine {
    /// Takes out all that has to be done.
    fn effects(&mut self) -> Vec<Effect> {
        std::iter::from_fn(|| self.next_effect()).collect()
    }
}

fn settings() -> Arc<SessionSettings> {
    Arc::new(SessionSettings {
        node: "n_test".parse().unwrap(),
        ping: Duration::from_secs(10),
        grace: Duration::from_secs(30),
        rate: "100/s,burst=2000".parse().unwrap(),
        max_message: 65_536,
        rooms_per_connection: 2,
        rooms_per_client: 2,
        watches_per_connection: 2,
        room_capacity: 64,
        members_per_sub: 4,
        outbox_bytes: 1 << 20,
        relays: true,
        reports: true,
    })
}

fn room() -> RoomId {
    "demo".parse().unwrap()
}

/// A welcomed machine, and the moment it began.
fn open() -> (Machine, Instant) {
    let now = Instant::now();
    let mut machine = Machine::new(settings(), Entrance::Authenticated(Identity::Anonymous), now);
    assert!(
        matches!(&machine.effects()[..], [Effect::Welcome(welcome)] if welcome.contains("welcome"))
    );
    (machine, now)
}

fn say(machine: &mut Machine, frame: &Value, now: Instant) -> Vec<Effect> {
    machine.frame(&frame.to_string(), now);
    machine.effects()
}

fn join(key: char) -> Value {
    json!({"type": "join", "id": 1, "room": "demo", "key": key.to_string().repeat(22), "try": 1})
}

fn seated() -> (Machine, Instant) {
    let (mut machine, now) = open();
    say(&mut machine, &join('a'), now);
    machine.on_frame_sent(&FrameEvent::Joined(room()));
    (machine, now)
}

fn sent(effects: &[Effect]) -> Vec<Value> {
    let frames = effects.iter().filter_map(|effect| match effect {
        Effect::Welcome(frame) | Effect::Send(frame) | Effect::Refuse(_, frame) => {
            Some(serde_json::from_str(frame).unwrap())
        }
        _ => None,
    });
    frames.collect()
}

#[test]
fn a_stranger_is_closed_after_five_seconds_and_not_before() {
    let now = Instant::now();
    let mut machine = Machine::new(settings(), Entrance::AwaitingHello { anonymous: true }, now);
    machine.tick(now + Duration::from_millis(4_999));
    assert!(machine.effects().is_empty());
    let late = machine.next_tick();
    assert_eq!(late, now + Duration::from_secs(5));
    machine.tick(late);
    assert!(matches!(machine.effects()[..], [Effect::Close(CloseCode::HelloTimeout)]));
}

#[test]
fn a_join_asks_for_ice_servers_first_and_a_second_one_within_their_time_does_not() {
    let (mut machine, now) = open();
    let mut effects = say(&mut machine, &join('a'), now);
    let Some(Effect::FetchIce(purpose)) = effects.pop() else { panic!("{effects:?}") };
    let servers = serde_json::from_value(
        json!({"iceServers": [], "ttl": 600, "refreshAfter": 300, "enforcement": "allocate"}),
    );
    machine.ice_answered(purpose, servers.unwrap(), now);
    assert!(matches!(machine.effects()[..], [Effect::Join(_, _, _, Some(_))]));
    let other = json!({"type": "join", "room": "other", "key": "b".repeat(22), "try": 1});
    assert!(matches!(say(&mut machine, &other, now)[..], [Effect::Join(_, _, None, Some(_))]));
    machine.tick(now + Duration::from_secs(300));
    let effects = machine.effects();
    assert!(
        effects.iter().any(|e| matches!(e, Effect::FetchIce(IcePurpose::Push(IceReason::Refresh)))),
        "{effects:?}"
    );
}

/// ICE servers of one relay, as the credential service writes them.
fn servers(url: &str) -> Option<Arc<IceServers>> {
    let server = json!({"urls": [url], "username": "1:ana", "credential": "c"});
    serde_json::from_value(
        json!({"iceServers": [server], "ttl": 600, "refreshAfter": 300, "enforcement": "allocate"}),
    )
    .unwrap()
}

#[test]
fn a_change_brings_the_next_question_forward_and_is_told_only_if_it_brings_other_servers() {
    let (mut machine, now) = open();
    let mut effects = say(&mut machine, &join('a'), now);
    let Some(Effect::FetchIce(purpose)) = effects.pop() else { panic!("{effects:?}") };
    assert_eq!(machine.ice_owner(&purpose).room, Some(room()));
    machine.ice_answered(purpose, servers("turn:a"), now);
    for (url, told) in [("turn:a", 0), ("turn:b", 1), ("turn:b", 0)] {
        let at = now + Duration::from_millis(700);
        machine.ice_changed(IceReason::Drain, at);
        drop(machine.effects());
        machine.tick(at);
        let Some(Effect::FetchIce(purpose)) = machine.effects().pop() else { panic!("{url}") };
        assert_eq!(machine.ice_owner(&purpose).room, Some(room()));
        machine.ice_answered(purpose, servers(url), now);
        let frames = sent(&machine.effects());
        assert_eq!(frames.len(), told, "{url}: {frames:?}");
        assert!(frames.iter().all(|frame| frame["reason"] == "drain"), "{frames:?}");
    }
}

#[test]
fn a_change_while_an_answer_is_under_way_leads_to_another_question() {
    let (mut machine, now) = open();
    let mut at = now;
    for wish in [join('a'), json!({"type": "ice", "id": 2})] {
        let mut effects = say(&mut machine, &wish, at);
        let Some(Effect::FetchIce(purpose)) = effects.pop() else { panic!("{effects:?}") };
        let _ = machine.ice_owner(&purpose);
        machine.ice_changed(IceReason::Rotate, at + Duration::from_millis(700));
        machine.ice_answered(purpose, servers("turn:old"), at);
        drop(machine.effects());
        at += Duration::from_millis(700);
        machine.tick(at);
        let Some(Effect::FetchIce(purpose)) = machine.effects().pop() else { panic!("{wish}") };
        let _ = machine.ice_owner(&purpose);
        machine.ice_answered(purpose, servers("turn:new"), at);
        assert_eq!(sent(&machine.effects())[0]["reason"], "rotate");
        machine.tick(at + Duration::from_millis(700));
        assert!(machine.effects().is_empty(), "once is enough");
    }
}

#[test]
fn a_member_speaks_only_between_joined_and_leave() {
    let (mut machine, now) = open();
    let signal = json!({"type": "signal", "mid": 1, "room": "demo", "data": 1});
    say(&mut machine, &join('a'), now);
    assert_eq!(sent(&say(&mut machine, &signal, now))[0]["code"], "not_joined");
    machine.on_frame_sent(&FrameEvent::Joined(room()));
    assert!(matches!(say(&mut machine, &signal, now)[..], [Effect::Ordered(..)]));
    let leave = json!({"type": "leave", "id": 2, "room": "demo"});
    assert!(matches!(say(&mut machine, &leave, now)[..], [Effect::Leave(..)]));
    assert_eq!(sent(&say(&mut machine, &signal, now))[0]["code"], "not_joined");
    assert_eq!(sent(&say(&mut machine, &join('a'), now))[0]["code"], "already_joined");
    machine.on_frame_sent(&FrameEvent::Left(room()));
    assert!(matches!(say(&mut machine, &join('a'), now)[..], [Effect::FetchIce(_)]));
}

#[test]
fn losing_the_last_room_to_a_newer_socket_closes_and_losing_it_to_time_does_not() {
    for (reason, close) in [
        (LeftReason::Replaced, Some(CloseCode::Replaced)),
        (LeftReason::Kicked, Some(CloseCode::Kicked)),
        (LeftReason::Expired, None),
    ] {
        let (mut machine, now) = seated();
        let other = json!({"type": "join", "room": "other", "key": "b".repeat(22), "try": 1});
        say(&mut machine, &other, now);
        machine.on_frame_sent(&FrameEvent::Ended("other".parse().unwrap(), reason));
        assert!(machine.effects().is_empty(), "one room is left");
        machine.on_frame_sent(&FrameEvent::Ended(room(), reason));
        let closed = machine.effects().into_iter().find_map(|effect| match effect {
            Effect::Close(code) => Some(code),
            _ => None,
        });
        assert_eq!(closed, close);
    }
}

#[test]
fn a_token_without_the_right_to_signal_opens_no_room() {
    let now = Instant::now();
    let mut claims = Claims::new("backend", 4_000_000_000);
    (claims.can, claims.rooms) = (vec![Right::Admin], vec!["*".to_owned()]);
    let identity = Identity::holder(claims, Duration::ZERO, now).unwrap();
    let mut machine = Machine::new(settings(), Entrance::Authenticated(identity), now);
    let effects = say(&mut machine, &join('a'), now);
    assert_eq!(sent(&effects)[1]["code"], "forbidden");
}

const KINDS: [&str; 10] =
    ["hello", "join", "signal", "update", "leave", "ice", "auth", "kick", "ping", "dance"];
const ROOMS: [&str; 4] = ["demo", "other", "no/such", ""];

fn any_frame() -> impl Strategy<Value = Value> {
    let (kind, room) = (0..KINDS.len(), 0..ROOMS.len());
    (kind, room, any::<Option<u8>>(), 0..4u64, any::<bool>()).prop_map(
        |(kind, room, id, mid, flag)| {
            let mut frame = json!({
                "type": KINDS[kind], "room": ROOMS[room], "mid": mid, "try": mid,
                "key": "k".repeat(22), "data": flag, "meta": {"a": mid}, "token": "t",
                "peer": "p_x", "volatile": flag,
            });
            if let Some(id) = id {
                frame["id"] = json!(id);
            }
            frame
        },
    )
}

proptest! {
    /// Under any frames of a client and any answers of the rooms nothing panics, and every frame is answered or
    /// handed on; a request is never answered twice at once.
    #[test]
    fn every_frame_has_exactly_one_effect(
        frames in proptest::collection::vec((any_frame(), 0..4u8), 1..60), welcomed in any::<bool>(),
    ) {
        let now = Instant::now();
        let entrance = if welcomed {
            Entrance::Authenticated(Identity::Anonymous)
        } else {
            Entrance::AwaitingHello { anonymous: true }
        };
        let mut machine = Machine::new(settings(), entrance, now);
        prop_assert_eq!(machine.effects().len(), usize::from(welcomed));
        for (frame, answer) in frames {
            prop_assert_eq!(say(&mut machine, &frame, now).len(), 1, "{}", frame);
            match answer {
                1 => machine.on_frame_sent(&FrameEvent::Joined(room())),
                2 => machine.on_frame_sent(&FrameEvent::Left(room())),
                3 => machine.on_frame_sent(&FrameEvent::Ended(room(), LeftReason::Expired)),
                _ => {}
            }
            prop_assert!(machine.effects().is_empty());
        }
    }
}

/// A join that was sent before an update may arrive after it: its `meta` undid the update for all others.
#[test]
fn a_resume_with_a_position_keeps_what_the_member_has_told_by_updates() {
    for (position, keeps) in [(Some(5), true), (None, false)] {
        let (mut machine, now) = open();
        let mut join = join('a');
        join["meta"] = json!({"name": "Ana"});
        if let Some(seq) = position {
            join["seq"] = seq.into();
        }
        let effects = say(&mut machine, &join, now);
        let joins = effects.iter().find_map(|effect| match effect {
            Effect::Join(_, join, ..) | Effect::FetchIce(IcePurpose::Join(_, join, _)) => {
                Some(join)
            }
            _ => None,
        });
        assert_eq!(joins.expect("a join").keeps_meta, keeps, "{position:?}");
    }
}
