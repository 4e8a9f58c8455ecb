import assert from "node:assert/strict";
import { test } from "node:test";
import { Peer } from "../src/peer.js";
import { FakeClock, settle } from "./support/clock.js";
import { FakePeerConnection } from "./support/pc.js";

/** A peer whose messages are collected; `deliver` hands them to another one. */
function peer({ polite = false, iceServers = [] } = {}) {
  const clock = new FakeClock();
  const sent = [];
  const media = { RTCPeerConnection: FakePeerConnection, iceServers: () => iceServers, iceTransportPolicy: "all", publications: [] };
  const member = { id: "p_other", n: 1, polite, away: false, meta: {} };
  const made = new Peer({ member, media, clock, send: (data) => sent.push(JSON.parse(JSON.stringify(data))) });
  const errors = [];
  made.on("error", (error) => errors.push(error));
  return { peer: made, clock, sent, media, errors };
}

/** Passes messages both ways until there are none left; returns the types of descriptions in order. */
async function talk(a, b) {
  const types = [];
  for (let quiet = 0; quiet < 5; ) {
    await settle();
    const [fromA, fromB] = [a.sent.splice(0), b.sent.splice(0)];
    quiet = fromA.length + fromB.length === 0 ? quiet + 1 : 0;
    for (const data of [...fromA, ...fromB]) if (data.description) types.push(data.description.type);
    for (const data of fromA) b.peer.receive(data);
    for (const data of fromB) a.peer.receive(data);
  }
  assert.deepEqual([...a.errors, ...b.errors], []);
  return types;
}

const stable = (...sides) => sides.every(({ peer }) => peer.pc.signalingState === "stable" && peer.pc.remoteDescription);

test("the newcomer offers, the other side waits and answers", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  b.peer.start({ offers: false });
  await settle();
  assert.deepEqual(b.sent, []);
  a.peer.start({ offers: true });
  assert.deepEqual(await talk(a, b), ["offer", "answer"]);
  assert.ok(stable(a, b));
});

test("when both offer at once the polite side gives way and both end stable", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  b.peer.start({ offers: true });
  await talk(a, b);
  assert.ok(stable(a, b));
  assert.equal(a.peer.pc.remoteDescription.type, "offer");
});

test("the polite side rolls no first offer back: it answers over a new connection, and the other side keeps its own", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  b.peer.start({ offers: true });
  const before = [a.peer.pc, b.peer.pc];
  await talk(a, b);
  assert.deepEqual([a.peer.pc === before[0], b.peer.pc === before[1], before[0].signalingState], [false, true, "closed"]);
  assert.ok(stable(a, b));
});

test("members may end and make their connection any number of times a minute", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  for (let round = 0; round < 12; round += 1) {
    for (const act of [() => a.peer.disconnect(), () => b.peer.connect(), () => a.peer.connect()]) {
      act();
      await talk(a, b);
    }
    assert.ok(stable(a, b), `round ${round}`);
  }
});

test("a side that starts over makes the other one replace its connection", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  const before = b.peer.pc;
  a.peer.renew({ offers: true });
  await talk(a, b);
  assert.notEqual(b.peer.pc, before);
  assert.equal(before.signalingState, "closed");
  assert.ok(stable(a, b));
});

test("a side that starts over with every message opens no connection each time", async () => {
  const b = peer();
  b.peer.start({ offers: false });
  const opened = new Set();
  for (let number = 0; number < 100; number += 1) {
    b.peer.receive({ session: `s${number}`, description: { type: "offer", sdp: "v=0" } });
    opened.add(b.peer.pc);
    await settle();
  }
  assert.ok(opened.size <= 12, `${opened.size} connections`);
  assert.ok(b.errors.some((error) => error instanceof RangeError));
  await b.clock.pass(60_000);
  b.peer.receive({ session: "later", description: { type: "offer", sdp: "v=0" } });
  assert.ok(!opened.has(b.peer.pc), "a minute later it may again");
});

test("a message for a predecessor is dropped", async () => {
  const [a, b] = [peer(), peer()];
  a.peer.start({ offers: true });
  await settle();
  a.peer.receive({ session: "x", for: "someone else", description: { type: "answer", sdp: "" } });
  assert.equal(a.peer.pc.remoteDescription, null);
  await talk(a, b);
  assert.ok(stable(a, b));
});

test("an offer for a predecessor is answered by an offer of one's own", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  const reborn = peer();
  reborn.peer.start({ offers: false });
  a.peer.renegotiate();
  await talk(a, reborn);
  assert.ok(stable(a, reborn));
});

test("an offer that was lost is repeated, not replaced", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await settle();
  await settle();
  const [lost] = a.sent.splice(0);
  a.peer.renegotiate();
  assert.deepEqual(a.sent[0], lost);
  await talk(a, b);
  assert.ok(stable(a, b));
});

test("an answer that arrives twice is taken once", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await settle();
  await settle();
  const [offer] = a.sent;
  b.peer.receive(offer);
  await talk(a, b);
  assert.ok(stable(a, b));
});

test("fresh servers reach a connected peer without an ICE restart", async () => {
  const iceServers = [];
  const [a, b] = [peer({ polite: true, iceServers }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  a.peer.pc.becomes("connected");
  iceServers.push({ urls: "turn:new" });
  a.peer.refresh({ strict: false });
  assert.equal(a.peer.pc.restarts, 0);
  assert.deepEqual(a.peer.pc.configuration.iceServers, [{ urls: "turn:new" }]);
});

test("fresh servers restart a peer that is not connected, or whose relay is strict", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  a.peer.refresh({ strict: false });
  await talk(a, b);
  assert.equal(a.peer.pc.restarts, 1);
  a.peer.pc.becomes("connected");
  a.peer.refresh({ strict: true });
  assert.equal(a.peer.pc.restarts, 2);
});

test("a broken path is given three seconds before ICE is restarted", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  a.peer.pc.becomes("connected");
  a.peer.pc.becomes("disconnected");
  assert.equal(a.peer.state, "reconnecting");
  await a.clock.pass(2_999);
  assert.equal(a.peer.pc.restarts, 0);
  await a.clock.pass(1);
  assert.equal(a.peer.pc.restarts, 1);
});

test("a path that stays broken is tried again and again, with growing waits", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  a.peer.pc.becomes("connected");
  a.peer.pc.becomes("failed");
  const times = [];
  for (let second = 0, seen = 0; second < 60; second += 1) {
    await a.clock.pass(1_000);
    await talk(a, b);
    if (a.peer.pc.restarts > seen) times.push(a.clock.now() / 1000);
    seen = a.peer.pc.restarts;
  }
  assert.deepEqual(times, [1, 3, 7, 16, 31, 46]);
  a.peer.pc.becomes("connected");
  await a.clock.pass(60_000);
  assert.equal(a.peer.pc.restarts, times.length);
});

test("a connection that does not come about is helped along, unless the other side never spoke", async () => {
  const [a, b, mute] = [peer({ polite: true }), peer(), peer()];
  for (const side of [a, mute]) side.peer.start({ offers: true });
  await talk(a, b);
  for (const side of [a, mute]) await side.clock.pass(15_000);
  assert.equal(a.peer.pc.restarts, 1);
  assert.deepEqual(mute.sent.map(({ description }) => description.type), ["offer"]);
});

test("fresh servers that arrive while a path may recover by itself are used when ICE is restarted", async () => {
  const iceServers = [];
  const [a, b] = [peer({ polite: true, iceServers }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  a.peer.pc.becomes("connected");
  a.peer.pc.becomes("disconnected");
  iceServers.push({ urls: "turn:new" });
  a.peer.refresh({ strict: false });
  assert.equal(a.peer.pc.restarts, 0);
  assert.deepEqual(a.peer.pc.configuration.iceServers, [{ urls: "turn:new" }]);
  await a.clock.pass(3_000);
  assert.equal(a.peer.pc.restarts, 1);
});

test("a peer that is away is not offered to until it is back", async () => {
  const [a, b] = [peer({ polite: true }), peer()];
  a.peer.start({ offers: true });
  await talk(a, b);
  a.peer.describe({ away: true });
  a.peer.pc.becomes("failed");
  await a.clock.pass(60_000);
  assert.equal(a.peer.pc.restarts, 0);
});

test("a peer without WebRTC keeps its place in the roster and does nothing", () => {
  const { peer: silent, media } = peer();
  media.RTCPeerConnection = undefined;
  silent.start({ offers: true });
  silent.receive({ session: "s", description: { type: "offer", sdp: "" } });
  assert.equal(silent.pc, null);
  assert.equal(silent.send("x"), false);
});
