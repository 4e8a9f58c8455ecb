import assert from "node:assert/strict";
import { test } from "node:test";
import { grade, quality, speaking } from "../src/stats.js";
import { FakeClock } from "./support/clock.js";

test("quality falls with the share of lost packets and with the round trip, whichever is worse", () => {
  assert.deepEqual([grade(0, 100, 20), grade(2, 98, 20), grade(5, 95, 20), grade(12, 88, 20), grade(30, 70, 20)], [5, 4, 3, 2, 1]);
  assert.deepEqual([grade(0, 100, 151), grade(0, 100, 301), grade(0, 100, 501), grade(0, 100, 1001)], [4, 3, 2, 1]);
  assert.equal(grade(0, 0, 20), 5, "nothing was sent, so nothing was lost");
});

test("quality looks at what came since the last call, and is 0 while nothing flows", async () => {
  const report = new Map([["in", { type: "inbound-rtp", packetsReceived: 100, packetsLost: 50 }]]);
  const peer = { connected: true, pc: { getStats: async () => report }, facts: async () => ({ roundTripTime: 10 }) };
  assert.equal(await quality(peer), 1);
  report.set("in", { type: "inbound-rtp", packetsReceived: 300, packetsLost: 50 });
  assert.equal(await quality(peer), 5);
  assert.equal(await quality({ connected: false }), 0);
});

test("who pauses for a breath goes on speaking, who is silent for longer does not", async () => {
  const clock = new FakeClock();
  const levels = { ana: 0, bo: 0 };
  const receiver = (id) => ({ track: { kind: "audio" }, getSynchronizationSources: () => [{ audioLevel: levels[id] }] });
  const peer = (id) => ({ id, pc: { getReceivers: () => [receiver(id)] } });
  const room = { peers: new Map([["ana", peer("ana")], ["bo", peer("bo")]]) };
  const told = [];
  const stop = speaking(room, (peers) => told.push(peers.map(({ id }) => id)), { clock });
  levels.ana = 0.3;
  await clock.pass(200);
  levels.ana = 0;
  levels.bo = 0.1;
  await clock.pass(600);
  assert.deepEqual(told, [["ana"], ["ana", "bo"]]);
  await clock.pass(600);
  assert.deepEqual(told.at(-1), ["bo"]);
  stop();
  levels.ana = 0.3;
  await clock.pass(1000);
  assert.equal(told.length, 3);
});
