import assert from "node:assert/strict";
import { test } from "node:test";
import { CallAttempt } from "../src/call-attempt.js";
import { FakeClock, settle } from "./support/clock.js";
import { FakePeerConnection } from "./support/pc.js";
import { BO, asking } from "./support/room.js";
import { WELCOME } from "./support/server.js";

/** What the SDK reports of its calls, and what it keeps to itself. */

const RELAYS = { iceServers: [{ urls: ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:443?transport=tcp"], username: "1795366962:k3J9", credential: "x" }], ttl: 600, refreshAfter: 300 };

/** A client in a room with Bo, over a node that takes reports, and the connection to Bo. */
async function calling({ features = [...WELCOME.features, "report"], ice = RELAYS, ...options } = {}) {
  const join = { RTCPeerConnection: FakePeerConnection, ...options.join };
  const context = await asking({ ...options, join, welcome: false });
  const { server, joining } = context;
  await server.welcome({ features });
  server.joined({ peers: [BO], ice });
  const room = await joining;
  await settle();
  const peer = room.peers.get(BO.id);
  return { ...context, room, peer, pc: peer.pc, reports: () => server.sent("report") };
}

test("a call that comes about is reported once, with its path and without addresses", async () => {
  const { server, peer, pc, reports } = await calling();
  pc.getStats = async () => new Map(Object.entries({
    t: { type: "transport", selectedCandidatePairId: "p" },
    p: { id: "p", localCandidateId: "l", remoteCandidateId: "r", currentRoundTripTime: 0.021 },
    l: { candidateType: "relay", relayProtocol: "tls", address: "192.0.2.7" },
    r: { candidateType: "host", address: "192.0.2.8" },
  }));
  pc.onicecandidate({ candidate: { toJSON: () => ({ candidate: "candidate:1 1 udp 1 192.0.2.7 9 typ relay raddr 192.0.2.9" }) } });
  await server.clock.pass(300);
  pc.becomes("connected");
  await settle();
  const [report, ...others] = reports();
  assert.deepEqual(others, []);
  assert.deepEqual([report.room, report.peer, report.at], ["demo", peer.id, server.clock.date()]);
  const { attempt, state, connected, now, local, remote, protocol, rtt, relays, expires, gathered, sent } = report.call;
  assert.deepEqual({ attempt, state, connected, now, local, remote, protocol, rtt }, { attempt: 1, state: "connected", connected: 300, now: 300, local: "relay", remote: "host", protocol: "tls", rtt: 21 });
  assert.deepEqual({ relays, expires, gathered, sent }, { relays: { udp: 1, tcp: 0, tls: 1 }, expires: 1795366962, gathered: { host: 0, srflx: 0, relay: 1 }, sent: { offers: 1, answers: 0, candidates: 1 } });
  assert.doesNotMatch(JSON.stringify(report), /192\.0\.2|k3J9|candidate:/);
});

test("a node that takes no reports is sent none, and the option switches them off", async () => {
  const nodes = [{ features: WELCOME.features }, { reports: false }];
  for (const options of nodes) {
    const { room, pc, reports } = await calling(options);
    pc.becomes("failed");
    room.mediaFailed(new DOMException("", "NotAllowedError"));
    await settle();
    assert.deepEqual(reports(), [], JSON.stringify(options));
  }
});

test("an attempt that is lost and found again says so, and the end says that this side left before it leaves", async () => {
  const { server, room, pc, reports } = await calling();
  for (const state of ["connected", "disconnected", "failed", "connecting", "connected"]) {
    pc.becomes(state);
    await settle();
  }
  room.leave();
  await settle();
  assert.deepEqual(reports().map(({ call }) => [call.state, call.reason]), [["connected", undefined], ["failed", undefined], ["recovered", undefined], ["ended", "left"]]);
  const types = server.socket.sent.map(({ type }) => type);
  assert.ok(types.indexOf("leave") > types.lastIndexOf("report"), types.join());
});

test("an attempt ends as restarted, disconnected or left by the other side", async () => {
  const { server, peer, reports } = await calling();
  peer.renew({ offers: true });
  await settle();
  peer.disconnect();
  await settle();
  peer.connect();
  await settle();
  server.say({ type: "peer_left", room: "demo", seq: 101, peer: BO.id, reason: "left" });
  await settle();
  assert.deepEqual(reports().map(({ call }) => [call.attempt, call.reason]), [[1, "restarted"], [2, "disconnected"], [3, "peer_left"]]);
});

test("an attempt that is undecided is reported after a quarter of a minute, or when the browser has found no candidate", async () => {
  const { server, reports } = await calling();
  await server.clock.pass(9_000);
  server.say({ type: "pong" });
  assert.deepEqual(reports(), []);
  await server.clock.pass(6_000);
  assert.deepEqual(reports().map(({ call }) => call.state), ["pending"]);
  const empty = await calling();
  empty.pc.onicecandidate({ candidate: null });
  assert.deepEqual(empty.reports().map(({ call }) => call.state), ["pending"]);
  empty.pc.onicecandidate({ candidate: null }); // after a restart of ICE
  await empty.server.clock.pass(9_000);
  empty.server.say({ type: "pong" });
  await empty.server.clock.pass(6_000);
  assert.equal(empty.reports().length, 1, "once is enough");
});

test("what happens while no socket is there is reported when there is one, with the time that has passed", async () => {
  const { server, pc, reports } = await calling();
  server.close(1006);
  pc.becomes("failed");
  await server.clock.pass(400);
  await server.accept(2, { features: ["report"] });
  server.joined({ recovery: "replay" });
  await settle();
  const [{ call }] = reports();
  assert.equal(call.state, "failed");
  assert.ok(call.now >= call.failed + 400, JSON.stringify(call));
});

test("offers that cross are counted, on the connection that takes over", async () => {
  const { server, peer, reports } = await calling();
  await settle();
  assert.equal(peer.pc.signalingState, "have-local-offer");
  const data = { "signal-cluster:rtc": 1, session: "s", description: { type: "offer", sdp: "v=0" } };
  server.say({ type: "signal", room: "demo", seq: 101, from: BO.id, to: "p_me", data });
  await settle();
  peer.pc.becomes("connected");
  await settle();
  const { call } = reports().at(-1);
  assert.deepEqual([call.attempt, call.glare, call.polite, call.received.offers], [2, 1, true, 1]);
});

test("a flood of reports is cut off and goes on later", async () => {
  const { server, room, reports } = await calling();
  for (let count = 0; count < 150; count += 1) room.mediaFailed({ name: "NotFoundError" });
  assert.equal(reports().length, 100);
  assert.deepEqual(reports()[0], { type: "report", room: "demo", at: server.clock.date(), media: "not_found" });
  await server.clock.pass(2_000);
  for (let count = 0; count < 5; count += 1) room.mediaFailed({ name: "Surprise" });
  assert.equal(reports().length, 102);
  assert.equal(reports().at(-1).media, "other");
});

test("errors of relays are counted by relay, transport and code, eight at most, without what a URL has besides", () => {
  const pc = new FakePeerConnection({});
  const attempt = new CallAttempt(1, /** @type {any} */ (pc), new FakeClock());
  for (const url of ["turn:a:1?transport=udp", "turn:a:1?transport=udp", "turns:a:2?transport=tcp", "http://a:3", ""]) attempt.error({ code: 401, text: "", url });
  const { errors } = attempt.report("failed", { polite: false });
  assert.deepEqual(errors.map(({ relay, transport, code, count }) => [relay, transport, code, count]), [["a:1", "udp", 401, 2], ["a:2", "tls", 401, 1]]);
  for (let port = 10; port < 30; port += 1) attempt.error({ code: 701, text: "", url: `stun:a:${port}` });
  assert.equal(attempt.report("failed", { polite: false }).errors.length, 8);
});

test("a relay that has given neither a candidate nor an error in ten seconds is named as silent", async () => {
  const clock = new FakeClock();
  const pc = new FakePeerConnection({ iceServers: [{ urls: ["turn:a:1?transport=udp", "turn:a:1?transport=tcp", "stun:a:1"] }] });
  const attempt = new CallAttempt(1, /** @type {any} */ (pc), clock);
  attempt.error({ code: 401, text: "", url: "turn:a:1?transport=tcp" });
  const errors = () => attempt.report("pending", { polite: false }).errors.map(({ transport, code, count }) => [transport, code, count]);
  await clock.pass(9_000);
  assert.deepEqual(errors(), [["tcp", 401, 1]]);
  await clock.pass(1_000);
  assert.deepEqual(errors(), [["tcp", 401, 1], ["udp", 701, 0]]);
  attempt.sent({ session: "s", candidate: { candidate: "candidate:1 1 udp 1 192.0.2.7 9 typ relay" } });
  assert.deepEqual(errors(), [["tcp", 401, 1]]);
  const direct = new CallAttempt(1, /** @type {any} */ (pc), clock);
  await direct.connected();
  await clock.pass(60_000);
  assert.deepEqual(direct.report("ended", { polite: false }).errors, [], "a browser that is connected gathers no more");
});

test("a restart of ICE is seen by the fragment of the descriptions", () => {
  const attempt = new CallAttempt(1, /** @type {any} */ (new FakePeerConnection({})), new FakeClock());
  const offer = (/** @type {string} */ fragment) => attempt.sent({ session: "s", description: { type: "offer", sdp: `v=0\r\na=ice-ufrag:${fragment}\r\n` } });
  for (const fragment of ["one", "one", "two", "three"]) offer(fragment);
  assert.equal(attempt.report("failed", { polite: false }).restarts, 2);
});
