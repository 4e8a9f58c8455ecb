//! Sessions, one input after the other, with what has to come of each.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use engine_io::{Effect, Effects, End, RequestError, Revision, Session};

/// A session under test, and its clock.
struct Case {
    session: Session,
    now: Instant,
}

impl Case {
    fn polling(revision: Revision) -> Self {
        Self { session: Session::polling(revision), now: Instant::now() }
    }

    fn websocket(revision: Revision) -> Self {
        Self { session: Session::websocket(revision), now: Instant::now() }
    }

    fn on(&mut self, input: impl FnOnce(&mut Session, Instant, &mut Effects)) -> Effects {
        let mut effects = Effects::new();
        input(&mut self.session, self.now, &mut effects);
        effects
    }

    fn poll(&mut self) -> Result<Effects, RequestError> {
        let mut effects = Effects::new();
        self.session.poll(self.now, &mut effects).map(|()| effects)
    }

    fn post(&mut self, body: &str) -> Result<Effects, RequestError> {
        let mut effects = Effects::new();
        self.session.post(body, &mut effects).map(|()| effects)
    }

    fn message(&mut self, data: &str) -> Effects {
        self.on(|session, _, effects| session.message(data, effects))
    }

    fn text(&mut self, text: &str) -> Effects {
        self.on(|session, now, effects| session.websocket_text(text, now, effects))
    }

    fn after(&mut self, milliseconds: u64) -> Effects {
        self.now += Duration::from_millis(milliseconds);
        self.on(|session, now, effects| {
            if session.next_tick().is_some_and(|at| at <= now) {
                session.tick(now, effects);
            }
        })
    }

    /// Has a WebSocket come and probe.
    fn probe(&mut self) {
        assert!(self.session.probe(self.now));
        assert_eq!(self.text("2probe"), [send("3probe")]);
    }
}

fn send(text: &str) -> Effect {
    Effect::Send(text.to_owned())
}

fn answer(body: &str) -> Effect {
    Effect::AnswerPoll(body.to_owned())
}

fn said(data: &str) -> Effect {
    Effect::Message(data.to_owned())
}

#[test]
fn a_poll_waits_for_a_message_and_takes_all_that_wait() {
    let mut case = Case::polling(Revision::V4);
    assert_eq!(case.poll(), Ok(vec![]));
    assert_eq!(case.message("a"), [answer("4a")]);
    assert_eq!(case.message("b"), []);
    assert_eq!(case.message("😀"), []);
    assert_eq!(case.session.queued_bytes(), 7);
    assert_eq!(case.poll(), Ok(vec![answer("4b\u{1e}4😀")]));
    assert_eq!(case.session.queued_bytes(), 0);
    let mut old = Case::polling(Revision::V3);
    old.message("b");
    old.message("😀");
    assert_eq!(old.poll(), Ok(vec![answer("2:4b3:4😀")]));
}

#[test]
fn what_a_poll_did_not_take_is_answered_to_the_next_one_first() {
    let mut case = Case::polling(Revision::V3);
    case.message("a");
    case.message("b");
    assert_eq!(case.poll(), Ok(vec![answer("2:4a2:4b")]));
    case.session.answer_lost("2:4a2:4b");
    case.message("c");
    assert_eq!(case.poll(), Ok(vec![answer("2:4a2:4b2:4c")]));
}

#[test]
fn a_body_brings_packets_in_order_and_a_wrong_one_ends_the_session() {
    let mut case = Case::polling(Revision::V4);
    assert_eq!(case.post("4a\u{1e}3\u{1e}4b"), Ok(vec![said("a"), Effect::Alive, said("b")]));
    case.poll().unwrap();
    assert_eq!(case.post("bAQID"), Ok(vec![answer("1"), Effect::Ended(End::Broken)]));
    assert_eq!(case.post("4c"), Err(RequestError::UnknownSession));
    assert_eq!(case.poll(), Err(RequestError::UnknownSession));
    let mut old = Case::polling(Revision::V3);
    assert_eq!(old.post("3:4é€2:4b"), Ok(vec![said("é€"), said("b")]));
    assert_eq!(old.post("4:4é€"), Err(RequestError::BadRequest));
    assert!(old.session.has_ended());
}

#[test]
fn a_heartbeat_has_one_direction_in_each_revision() {
    let mut new = Case::polling(Revision::V4);
    new.poll().unwrap();
    assert_eq!(new.on(|session, _, effects| session.ping(effects)), [answer("2")]);
    assert_eq!(new.post("3"), Ok(vec![Effect::Alive]));
    assert_eq!(new.post("2"), Ok(vec![Effect::Ended(End::Broken)]));
    let mut old = Case::websocket(Revision::V3);
    assert_eq!(old.on(|session, _, effects| session.ping(effects)), []);
    assert_eq!(old.text("2probe"), [Effect::Alive, send("3probe")]);
    assert_eq!(old.text("3"), [Effect::Ended(End::Broken)]);
}

#[test]
fn a_goodbye_ends_the_session_and_answers_the_poll_with_nothing() {
    let mut case = Case::polling(Revision::V4);
    case.poll().unwrap();
    assert_eq!(case.post("1"), Ok(vec![answer("6"), Effect::Ended(End::Goodbye)]));
    let mut socket = Case::websocket(Revision::V4);
    assert_eq!(socket.text("1"), [Effect::Ended(End::Goodbye)]);
    assert_eq!(socket.text("4late"), []);
    let mut owner = Case::polling(Revision::V4);
    owner.poll().unwrap();
    assert_eq!(owner.on(|session, _, effects| session.close(effects)), [answer("1")]);
}

#[test]
fn a_second_poll_ends_the_session() {
    let mut case = Case::polling(Revision::V4);
    case.poll().unwrap();
    let mut effects = Effects::new();
    assert_eq!(case.session.poll(case.now, &mut effects), Err(RequestError::Overlap));
    assert_eq!(effects, [answer("1"), Effect::Ended(End::Broken)]);
}

#[test]
fn an_aborted_poll_is_the_end_in_the_third_revision_only() {
    for (revision, ends) in [(Revision::V3, true), (Revision::V4, false)] {
        let mut case = Case::polling(revision);
        case.poll().unwrap();
        let effects = case.on(|session, _, effects| session.poll_aborted(effects));
        assert_eq!(effects.contains(&Effect::Ended(End::Goodbye)), ends, "{revision:?}");
        assert_eq!(case.poll().is_ok(), !ends);
    }
}

#[test]
fn a_session_moves_to_a_websocket_without_loss_and_a_poll_after_it_is_bad() {
    let mut case = Case::polling(Revision::V4);
    case.poll().unwrap();
    case.probe();
    // A poll that waits is answered after a while, and what is said meanwhile goes out by the next one.
    assert_eq!(case.after(99), []);
    assert_eq!(case.after(1), [answer("6")]);
    assert_eq!(case.message("a"), []);
    assert_eq!(case.poll(), Ok(vec![answer("4a")]));
    assert_eq!(case.message("b"), []);
    assert_eq!(case.text("5"), [send("4b")]);
    assert_eq!(case.message("c"), [send("4c")]);
    assert_eq!(case.text("4d"), [said("d")]);
    assert_eq!(case.poll(), Err(RequestError::BadRequest));
    assert_eq!(case.post("4e"), Err(RequestError::BadRequest));
    assert!(!case.session.probe(case.now), "it is on a WebSocket already");
    assert_eq!(
        case.on(|session, _, effects| session.websocket_gone(effects)),
        [Effect::Ended(End::Lost)]
    );
}

#[test]
fn a_poll_that_waits_when_the_client_moves_is_answered_with_nothing() {
    let mut case = Case::polling(Revision::V3);
    case.probe();
    case.poll().unwrap();
    assert_eq!(case.text("5"), [answer("1:6")]);
    assert!(!case.session.is_polling());
}

#[test]
fn a_session_that_moves_elsewhere_ends_polls_and_gives_what_was_not_sent() {
    let mut case = Case::polling(Revision::V4);
    assert_eq!(case.session.release(&mut Effects::new()), None, "it is not on its way");
    case.poll().unwrap();
    assert!(case.session.probe_elsewhere(case.now));
    assert!(!case.session.probe_elsewhere(case.now), "one at a time");
    assert_eq!(case.after(100), [answer("6")]);
    case.message("a");
    case.message("b");
    let mut effects = Effects::new();
    let packets = ["4a", "4b"].map(str::to_owned).to_vec();
    assert_eq!(case.session.release(&mut effects), Some(packets));
    assert_eq!(effects, []);
    assert_eq!(case.poll(), Err(RequestError::UnknownSession));
    let mut given_up = Case::polling(Revision::V4);
    assert!(given_up.session.probe_elsewhere(given_up.now));
    given_up.after(10_000);
    assert_eq!(given_up.message("a"), []);
    assert_eq!(given_up.poll(), Ok(vec![answer("4a")]), "polling goes on");
}

#[test]
fn a_websocket_that_does_not_probe_or_takes_too_long_is_closed_and_polling_goes_on() {
    for wrong in ["2", "5", "4a", "x"] {
        let mut case = Case::polling(Revision::V4);
        assert!(case.session.probe(case.now));
        assert!(!case.session.probe(case.now), "one at a time");
        assert_eq!(case.text(wrong), [Effect::CloseProbe], "{wrong}");
        assert_eq!(case.poll(), Ok(vec![]));
        case.probe();
        assert_eq!(case.message("a"), [answer("4a")]);
        assert_eq!(case.after(9_999), []);
        assert_eq!(case.after(1), [Effect::CloseProbe]);
        case.probe();
        assert_eq!(case.on(|session, _, effects| session.websocket_gone(effects)), []);
        assert!(case.session.is_polling());
    }
}
