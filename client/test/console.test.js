import assert from "node:assert/strict";
import { test } from "node:test";
import { lanes, words } from "../console/lanes.js";
import { nodeFacts } from "../console/node-facts.js";

/** What the console makes of a timeline and of metrics. */

const EVENTS = [
  { at: 1000, type: "joined", peer: "p_ana", user: "ana" },
  { at: 2000, type: "joined", peer: "p_bo" },
  { at: 3000, type: "away", peer: "p_bo", ago: 0 },
  { at: 4000, type: "joined", peer: "p_bo", resumed: true },
  { at: 5000, type: "report", peer: "p_ana", about: "p_bo", call: { state: "failed" } },
  { at: 5500, type: "report", peer: "p_ana", about: "p_bo", call: { state: "connected", local: "relay", remote: "host", protocol: "tls", rtt: 20 } },
  { at: 6000, type: "left", peer: "p_bo", reason: "left" },
];

test("each member has a lane of the times in which it was there and away, and of its reports", () => {
  const { from, to, lanes: [ana, bo] } = lanes(EVENTS, 9000);
  assert.deepEqual([from, to], [1000, 9000]);
  assert.deepEqual([ana.name, ana.spans], ["ana", [{ from: 1000, to: 9000, state: "here" }]]);
  assert.deepEqual(bo.spans, [{ from: 2000, to: 3000, state: "here" }, { from: 3000, to: 4000, state: "away" }, { from: 4000, to: 6000, state: "here" }]);
  assert.deepEqual(ana.marks.map(({ kind, text }) => [kind, text]), [["bad", "ana to p_bo: failed"], ["good", "ana to p_bo: connected, relay to host over tls, 20 ms"]]);
  assert.deepEqual(bo.marks, []);
});

test("a timeline whose beginning is lost has lanes nevertheless", () => {
  assert.deepEqual(lanes(EVENTS.slice(4, 5), 9000).lanes.map(({ peer, spans }) => [peer, spans]), [["p_ana", []]]);
  assert.deepEqual(lanes([], 9000).lanes, []);
});

test("every kind of event has words, one of a newer node too", () => {
  const called = new Map([["p", "ana"]]);
  const told = [{ type: "away" }, { type: "back" }, { type: "reset" }, { type: "report", media: "not_allowed" }, { type: "rang" }].map((event) => words({ at: 1, peer: "p", ...event }, called));
  assert.deepEqual(told, ["ana is away", "ana was there all the time", "the log of the room lost entries", "ana: no camera or microphone (not_allowed)", "ana: rang"]);
});

test("the metrics of a node are told in words", () => {
  const text = `# HELP signal_log_up x
signal_log_up 1
signal_credentials_failing 1
signal_calls_total{outcome="connected",path="host"} 3
signal_calls_total{outcome="connected",path="relay_tls"} 2
signal_calls_total{outcome="failed",path="none"} 1
signal_relay_errors_total{relay="a:1",code="701"} 4
signal_call_setup_seconds_sum{path="host"} 6
signal_call_setup_seconds_count{path="host"} 4
`;
  assert.deepEqual(nodeFacts(text), [
    ["Room log", "answers"],
    ["Credential service", "gives no good answer"],
    ["Errors of relays", "4"],
    ["Sides of calls", "5 connected, 1 failed, 0 lost, 0 abandoned"],
    ["Connected over a relay", "2"],
    ["Mean time to connect", "1.50 s"],
  ]);
});
