//! Each rule on the reports that call for it; the same failures are made in Chromium in `client/e2e/timeline*.test.js`.

use serde_json::{Value, json};
use signal_protocol::PeerId;

use crate::timeline::{Event, Finding, Line, Severity, findings};

/// When the attempts of these tests begin, in milliseconds since 1970.
const BEGIN: u64 = 1_795_366_362_000;

fn peer(name: &str) -> PeerId {
    format!("p_{name}").parse().unwrap()
}

fn line(after: u64, event: Value) -> Line {
    let event: Event = serde_json::from_value(event).unwrap();
    Line { at: BEGIN + after, event }
}

fn joined(name: &str) -> Line {
    line(0, json!({"type": "joined", "seq": 1, "peer": peer(name), "user": name, "node": "n_1"}))
}

/// What one member reports of another after so many milliseconds.
fn report(from: &str, about: &str, after: u64, call: Value) -> Line {
    let mut call = call;
    call["now"] = json!(after);
    call["attempt"] = json!(1);
    let event = json!({"type": "report", "peer": peer(from), "about": peer(about), "skew": 0, "call": call});
    line(after, event)
}

/// What is found among these lines, of members that are called ana and ben.
fn found(lines: Vec<Line>) -> Vec<Finding> {
    findings(&[vec![joined("ana"), joined("ben")], lines].concat())
}

/// The only thing that is found.
fn only(lines: Vec<Line>, rule: &str, severity: Severity) -> Finding {
    let found = found(lines);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((finding.rule, finding.severity), (rule, severity), "{finding:?}");
    assert!(finding.text.ends_with('.') && finding.todo.ends_with('.'), "{finding:?}");
    finding.clone()
}

/// The report of an attempt that failed, and of which both sides know everything but `changes`.
fn failed(changes: Value) -> Value {
    let mut call = json!({
        "state": "failed", "offer": 5, "answer": 80, "candidate": 9, "failed": 15_000,
        "relays": {"udp": 1}, "gathered": {"host": 2}, "sent": {"offers": 1, "candidates": 2},
        "received": {"answers": 1, "candidates": 2},
    });
    merge(&mut call, changes);
    call
}

/// The report of an attempt that connected.
fn connected(changes: Value) -> Value {
    let mut call =
        failed(json!({"state": "connected", "connected": 300, "local": "host", "remote": "host"}));
    call.as_object_mut().unwrap().remove("failed");
    merge(&mut call, changes);
    call
}

fn merge(call: &mut Value, changes: Value) {
    let Value::Object(changes) = changes else { panic!("no object") };
    for (name, value) in changes {
        call[name] = value;
    }
}

fn error(code: u16, transport: &str) -> Value {
    json!({"relay": "turn.example.org:3478", "transport": transport, "code": code, "count": 1, "at": 40})
}

fn one_failed(changes: Value) -> Vec<Line> {
    vec![report("ana", "ben", 15_000, failed(changes))]
}

#[test]
fn a_401_says_whether_the_credential_had_expired() {
    let at = |expires: u64| json!({"expires": expires, "errors": [error(401, "udp")]});
    let expired =
        only(one_failed(at(BEGIN / 1_000 - 12)), "relay_credential_expired", Severity::Problem);
    assert!(
        expired.text.contains("relay turn.example.org:3478")
            && expired.text.contains("expired 12 s before"),
        "{expired:?}"
    );
    assert_eq!(expired.at, BEGIN + 40);
    let refused =
        only(one_failed(at(BEGIN / 1_000 + 600)), "relay_credential_refused", Severity::Problem);
    assert!(refused.text.starts_with("ana got no relay candidate"), "{refused:?}");
}

#[test]
fn an_expired_credential_of_a_device_whose_clock_is_off_says_both() {
    let mut lines =
        one_failed(json!({"expires": BEGIN / 1_000 - 12, "errors": [error(401, "udp")]}));
    let Event::Report { skew, .. } = &mut lines[0].event else { panic!("no report") };
    *skew = 40_300;
    let found = found(lines);
    let expired = found.iter().find(|finding| finding.rule == "relay_credential_expired").unwrap();
    assert!(expired.text.ends_with("The clock of this device is 40 s ahead."), "{expired:?}");
    assert!(found.iter().any(|finding| finding.rule == "clock_skew"), "{found:?}");
}

#[test]
fn a_relay_that_refuses_is_a_note_where_the_call_came_about_without_it() {
    let errors = json!({"errors": [error(401, "udp")], "expires": BEGIN / 1_000 + 600});
    let lines = vec![report("ana", "ben", 300, connected(errors))];
    only(lines, "relay_credential_refused", Severity::Note);
}

#[test]
fn every_refusal_of_a_relay_has_a_rule() {
    for (code, rule) in [
        (403, "relay_forbidden"),
        (486, "relay_quota"),
        (508, "relay_capacity"),
        (437, "relay_mismatch"),
    ] {
        let finding =
            only(one_failed(json!({"errors": [error(code, "udp")]})), rule, Severity::Problem);
        assert!(finding.text.contains(&code.to_string()), "{finding:?}");
    }
}

#[test]
fn an_error_of_one_interface_is_nothing_where_another_one_got_a_relay_candidate() {
    let call = json!({"errors": [error(701, "udp")], "gathered": {"host": 1, "relay": 1}});
    only(one_failed(call), "no_path", Severity::Problem);
}

#[test]
fn relays_that_do_not_answer_are_told_apart_by_what_was_tried() {
    let only_udp = json!({"errors": [error(701, "udp")]});
    only(one_failed(only_udp), "udp_blocked", Severity::Problem);
    let both =
        json!({"errors": [error(701, "udp"), error(701, "tcp")], "relays": {"udp": 1, "tcp": 1}});
    only(one_failed(both), "relay_unreachable", Severity::Problem);
    let path = json!({"relays": {"udp": 1, "tls": 1}, "local": "relay", "protocol": "tls", "gathered": {"relay": 1}});
    let lines = vec![report("ana", "ben", 300, connected(path))];
    let finding = only(lines, "relay_over_tcp", Severity::Note);
    assert!(finding.text.contains("over TLS"), "{finding:?}");
}

#[test]
fn a_relay_policy_without_relays_is_named_before_anything_has_failed() {
    let call = json!({"state": "pending", "relay_only": true, "relays": {}, "gathered": {}});
    only(one_failed(call), "policy_without_relay", Severity::Problem);
}

#[test]
fn without_relays_symmetric_nats_are_the_cause() {
    only(one_failed(json!({"relays": {}})), "no_relay_configured", Severity::Problem);
}

#[test]
fn a_browser_that_finds_no_candidate_is_named() {
    only(
        one_failed(json!({"gathered": {}, "sent": {"offers": 1}})),
        "no_candidates",
        Severity::Problem,
    );
}

#[test]
fn an_offer_that_nobody_answered_says_what_the_other_side_saw() {
    let alone = failed(json!({"state": "pending", "answer": null, "failed": null, "received": {}}));
    let finding =
        only(vec![report("ana", "ben", 15_000, alone.clone())], "not_answered", Severity::Problem);
    assert!(finding.text.ends_with("It has reported no attempt of its own."), "{finding:?}");
    let theirs = json!({"state": "pending", "received": {"offers": 1}, "gathered": {"host": 1}});
    let lines = vec![report("ana", "ben", 15_000, alone), report("ben", "ana", 15_000, theirs)];
    let all = found(lines);
    assert!(all[0].text.ends_with("It has received the offer."), "{all:?}");
}

#[test]
fn a_departure_while_connecting_is_the_cause_of_what_came_to_nothing() {
    for (reason, words) in
        [("left", "ben left while"), ("kicked", "was removed"), ("timeout", "did not come back")]
    {
        let ended = failed(
            json!({"state": "ended", "reason": "peer_left", "answer": null, "failed": null}),
        );
        let lines = vec![
            line(4_000, json!({"type": "left", "seq": 9, "peer": peer("ben"), "reason": reason})),
            report("ana", "ben", 4_010, ended),
        ];
        let finding = only(lines, "peer_left", Severity::Problem);
        assert!(finding.text.contains(words) && finding.text.contains("4 s after"), "{finding:?}");
    }
}

#[test]
fn a_member_that_was_away_could_not_answer() {
    let lines = vec![
        line(1_000, json!({"type": "away", "seq": 8, "peer": peer("ben"), "ago": 0})),
        report(
            "ana",
            "ben",
            15_000,
            failed(json!({"state": "pending", "answer": null, "failed": null})),
        ),
    ];
    let finding = only(lines, "peer_away", Severity::Problem);
    assert!(finding.text.starts_with("ben was away and did not come back"), "{finding:?}");
}

#[test]
fn an_absence_that_ended_before_the_attempt_is_nothing() {
    let back =
        json!({"type": "joined", "seq": 9, "peer": peer("ben"), "node": "n_1", "resumed": true});
    let lines = vec![
        line(0, json!({"type": "away", "seq": 8, "peer": peer("ben"), "ago": 3_000})),
        line(1_000, back),
        report("ana", "ben", 20_000, failed(json!({"now": 15_000}))),
    ];
    let mut lines = lines;
    let Event::Report { call: Some(call), .. } = &mut lines[2].event else { panic!("no report") };
    call.now = 15_000;
    only(lines, "no_path", Severity::Problem);
}

#[test]
fn crossed_offers_are_a_note_on_either_side() {
    let glare = |polite| connected(json!({"glare": 1, "polite": polite}));
    let dropped = only(vec![report("ana", "ben", 300, glare(true))], "glare", Severity::Note);
    assert!(dropped.text.contains("ana dropped its own"), "{dropped:?}");
    let kept = only(vec![report("ana", "ben", 300, glare(false))], "glare", Severity::Note);
    assert!(kept.text.contains("ignored that of ben"), "{kept:?}");
}

#[test]
fn an_attempt_that_another_one_replaced_says_nothing() {
    let replaced =
        failed(json!({"state": "ended", "reason": "restarted", "answer": null, "failed": null}));
    assert_eq!(found(vec![report("ana", "ben", 200, replaced)]), []);
}

#[test]
fn a_dtls_handshake_that_failed_is_named() {
    only(one_failed(json!({"dtls_failed": true})), "dtls_failed", Severity::Problem);
}

#[test]
fn a_path_that_was_lost_says_whether_another_one_was_found() {
    let lost = |state: &str| connected(json!({"state": state, "failed": 9_300, "restarts": 2}));
    let mut lines = vec![
        report("ana", "ben", 300, connected(json!({}))),
        report("ana", "ben", 9_400, lost("failed")),
    ];
    let finding = only(lines.clone(), "path_lost", Severity::Problem);
    assert!(finding.text.contains("after 9 s, and 2 ICE restarts"), "{finding:?}");
    lines.push(report("ana", "ben", 12_000, lost("recovered")));
    only(lines, "path_recovered", Severity::Note);
}

#[test]
fn a_clock_that_is_off_is_said_once_for_each_device() {
    let mut lines = vec![
        report("ana", "ben", 300, connected(json!({}))),
        report("ana", "ben", 900, connected(json!({}))),
    ];
    for line in &mut lines {
        let Event::Report { skew, .. } = &mut line.event else { panic!("no report") };
        *skew = -45_000;
    }
    let finding = only(lines, "clock_skew", Severity::Note);
    assert!(finding.text.contains("45 s behind"), "{finding:?}");
}

#[test]
fn a_camera_that_was_refused_is_named() {
    for (media, words) in [
        ("not_allowed", "refused"),
        ("not_found", "none"),
        ("not_readable", "another program"),
        ("new", "could not"),
    ] {
        let event = json!({"type": "report", "peer": peer("ana"), "skew": 0, "media": media});
        let finding = only(vec![line(5, event)], "media_refused", Severity::Problem);
        assert!(finding.text.contains(words), "{finding:?}");
    }
}

#[test]
fn a_call_that_came_about_has_nothing_to_explain() {
    let both = vec![
        report("ana", "ben", 300, connected(json!({}))),
        report("ben", "ana", 310, connected(json!({}))),
    ];
    assert_eq!(found(both), []);
}
