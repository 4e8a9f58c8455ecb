import assert from "node:assert/strict";
import { test } from "node:test";
import { GO_BACK_ONCE, LONGEST_PAUSE, Outgoing, PROBE } from "../src/outgoing.js";

/** An open stream that has sent `count` messages of which none is settled. */
function sending(count, limits) {
  const outgoing = new Outgoing(limits);
  outgoing.restart();
  for (let i = 1; i <= count; i += 1) outgoing.push({ text: `m${i}` });
  outgoing.due(0);
  return outgoing;
}

const mids = (frames) => frames.map(({ mid }) => mid);

test("messages are numbered 1, 2, 3 and sent once", () => {
  const outgoing = sending(0);
  outgoing.push({ text: "a" });
  outgoing.push({ text: "b" });
  assert.deepEqual(outgoing.due(0), [{ text: "a", mid: 1 }, { text: "b", mid: 2 }]);
  assert.deepEqual(outgoing.due(0), []);
});

test("nothing is sent before the member is joined", () => {
  const outgoing = new Outgoing();
  outgoing.push({ text: "a" });
  assert.deepEqual(outgoing.due(0), []);
});

test("no more than the window is outstanding, and an ack opens it", () => {
  const outgoing = sending(5, { unacked: 2 });
  assert.deepEqual(outgoing.due(0), []);
  outgoing.ack(1);
  assert.deepEqual(mids(outgoing.due(0)), [3]);
});

test("an ack is cumulative, and an older one changes nothing", () => {
  const outgoing = sending(4);
  outgoing.ack(3);
  outgoing.ack(2);
  assert.equal(outgoing.length, 1);
  assert.equal(outgoing.last, 4);
});

test("out_of_order goes back to the expected message and sends everything from there", () => {
  const outgoing = sending(5);
  outgoing.ack(1);
  outgoing.fail({ mid: 4, retry: true, expected: 3 }, 10);
  assert.deepEqual(mids(outgoing.due(10)), [3, 4, 5]);
});

test("a burst of out_of_order goes back once only", () => {
  const outgoing = sending(5);
  for (const mid of [2, 3, 4]) outgoing.fail({ mid, retry: true, expected: 1 }, 10);
  assert.deepEqual(mids(outgoing.due(10)), [1, 2, 3, 4, 5]);
  outgoing.fail({ mid: 5, retry: true, expected: 1 }, 11);
  assert.deepEqual(outgoing.due(11), []);
});

test("after an ack has moved, out_of_order goes back again", () => {
  const outgoing = sending(3);
  outgoing.fail({ mid: 2, retry: true, expected: 1 }, 0);
  outgoing.due(0);
  outgoing.ack(1);
  outgoing.fail({ mid: 3, retry: true, expected: 2 }, 1);
  assert.deepEqual(mids(outgoing.due(1)), [2, 3]);
});

test("an out_of_order that was ignored is heeded after a second without an ack", () => {
  const outgoing = sending(2);
  outgoing.fail({ mid: 2, retry: true, expected: 1 }, 0);
  outgoing.due(0);
  outgoing.fail({ mid: 2, retry: true, expected: 1 }, 5);
  assert.equal(outgoing.wakeAt(5), GO_BACK_ONCE);
  assert.deepEqual(mids(outgoing.due(GO_BACK_ONCE)), [1, 2]);
});

test("a rate limit pauses the stream as long as it says and then resends from the refused message", () => {
  const outgoing = sending(3);
  outgoing.fail({ mid: 2, retry: true, after: 500 }, 0);
  outgoing.fail({ mid: 3, retry: true, expected: 2 }, 1);
  assert.deepEqual(outgoing.due(499), []);
  assert.equal(outgoing.wakeAt(499), 500);
  assert.deepEqual(mids(outgoing.due(500)), [2, 3]);
});

test("a server that cannot take anything is asked less and less often, until something is settled", () => {
  const outgoing = sending(3);
  const waits = [];
  for (let at = 0, round = 0; round < 7; round += 1) {
    for (const mid of [1, 2, 3]) outgoing.fail({ mid, retry: true }, at);
    waits.push(outgoing.wakeAt(at) - at);
    at = outgoing.wakeAt(at);
    assert.deepEqual(mids(outgoing.due(at)), [1, 2, 3]);
  }
  assert.deepEqual(waits, [200, 400, 800, 1600, 3200, LONGEST_PAUSE, LONGEST_PAUSE]);
  outgoing.ack(1);
  outgoing.fail({ mid: 2, retry: true }, 100_000);
  assert.equal(outgoing.wakeAt(100_000), 100_200);
});

test("only some of many messages are tried again until one of them is settled", () => {
  const outgoing = sending(PROBE + 4);
  outgoing.fail({ mid: 1, retry: true, after: 500 }, 0);
  assert.equal(outgoing.due(500).length, PROBE);
  outgoing.ack(PROBE);
  assert.deepEqual(mids(outgoing.due(501)), [1, 2, 3, 4].map((more) => PROBE + more));
});

test("a final refusal consumes its number and is reported once", () => {
  const outgoing = sending(3);
  outgoing.ack(1);
  assert.deepEqual(outgoing.fail({ mid: 2, retry: false }, 0), { text: "m2" });
  assert.equal(outgoing.fail({ mid: 2, retry: false }, 0), null);
  assert.equal(outgoing.length, 1);
  assert.equal(outgoing.push({ text: "m4" }), 4);
});

test("a refusal that overtakes older messages keeps them until they are settled", () => {
  const outgoing = sending(3);
  outgoing.fail({ mid: 3, retry: false }, 0);
  outgoing.suspend();
  outgoing.resume(0);
  assert.deepEqual(mids(outgoing.due(0)), [1, 2, 3]);
});

test("after a resume only what lies above the server's mid is sent again", () => {
  const outgoing = sending(4);
  outgoing.ack(1);
  outgoing.suspend();
  assert.equal(outgoing.push({ text: "m5" }), 5);
  assert.deepEqual(outgoing.due(0), []);
  outgoing.resume(3);
  assert.deepEqual(outgoing.due(0), [{ text: "m4", mid: 4 }, { text: "m5", mid: 5 }]);
});

test("a server that forgot acknowledged messages makes the rest go on from its mid", () => {
  const outgoing = sending(5);
  outgoing.ack(4);
  outgoing.resume(2);
  assert.deepEqual(outgoing.due(0), [{ text: "m5", mid: 3 }]);
  assert.equal(outgoing.push({ text: "m6" }), 4);
});

test("a page that was reloaded goes on from the server's mid", () => {
  const outgoing = new Outgoing();
  outgoing.resume(31);
  assert.equal(outgoing.push({ text: "a" }), 32);
});

test("a new member starts at 1 and its unsettled messages are given up", () => {
  const outgoing = sending(3);
  outgoing.ack(1);
  assert.deepEqual(outgoing.restart(), [{ text: "m2" }, { text: "m3" }]);
  assert.equal(outgoing.push({ text: "a" }), 1);
});
