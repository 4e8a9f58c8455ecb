import assert from "node:assert/strict";
import { test } from "node:test";
import { BO, CY, joined, reconnect } from "./support/room.js";

/** Tells whether a promise is pending, resolved, or the code it was rejected with. */
async function stateOf(promise) {
  const pending = Symbol("pending");
  const turn = new Promise((resolve) => setImmediate(resolve, pending));
  const first = await Promise.race([promise.catch(({ code }) => code), turn]);
  return first === pending ? "pending" : first ?? "resolved";
}

test("a message is settled when the cluster has it, not when it was sent", async () => {
  const { server, room } = await joined();
  const [one, two] = [room.signal("a"), room.signal("b")];
  assert.equal(await stateOf(one.settled), "pending");
  server.say({ type: "ack", room: "demo", mid: 1, seq: 101 });
  await one.settled;
  assert.equal(await stateOf(two.settled), "pending");
});

test("a message that is refused rejects with the server's code, and those around it resolve", async () => {
  const { server, room } = await joined();
  const sent = [room.signal("a"), room.signal("b", { to: "p_gone" }), room.signal("c")];
  server.say({ type: "error", room: "demo", mid: 2, code: "peer_not_found", retry: false, message: "no such peer" });
  server.say({ type: "ack", room: "demo", mid: 3, seq: 101 });
  const outcomes = await Promise.all(sent.map(({ settled }) => stateOf(settled)));
  assert.deepEqual(outcomes, ["resolved", "peer_not_found", "resolved"]);
});

test("a message whose ack was lost with the socket is settled by the resume", async () => {
  const { server, room } = await joined();
  const [kept, refused, waits] = [room.signal("a"), room.signal("b"), room.signal("c")];
  await reconnect(server);
  server.joined({ recovery: "replay", seq: 106, mid: 2, refused: [{ mid: 2, code: "too_large", message: "m" }] });
  assert.deepEqual([await stateOf(kept.settled), await stateOf(refused.settled), await stateOf(waits.settled)], ["resolved", "too_large", "pending"]);
});

test("what is given up by the end of a membership rejects, and so does what comes after it", async () => {
  const { server, room } = await joined();
  const before = room.signal("a");
  server.say({ type: "left", room: "demo", reason: "kicked" });
  assert.equal(await stateOf(before.settled), "not_joined");
  assert.equal(await stateOf(room.signal("b").settled), "not_joined");
  assert.equal(room.signal("b", { volatile: true }).mid, undefined);
});

test("what a member that was removed had not sent rejects", async () => {
  const { server, room } = await joined();
  const { settled } = room.signal("a");
  await reconnect(server);
  server.joined({ recovery: "new", seq: 300, self: { id: "p_me", n: 9 } });
  assert.equal(await stateOf(settled), "not_joined");
});

test("one signal to several members is one message for each", async () => {
  const { server, room } = await joined({ peers: [BO, CY] });
  const sent = room.signal("x", { to: ["p_bo", "p_cy"] });
  assert.deepEqual(server.sent("signal").map(({ to, data }) => [to, data]), [["p_bo", "x"], ["p_cy", "x"]]);
  assert.equal(await stateOf(sent.settled), "pending");
  server.say({ type: "ack", room: "demo", mid: 2, seq: 101 });
  await sent.settled;
});

test("patch replaces some keys of meta and keeps the others", async () => {
  const { server, room } = await joined();
  room.patch({ hand: true });
  room.patch({ name: undefined, muted: 1 });
  assert.deepEqual(server.sent("update").map(({ meta }) => JSON.stringify(meta)), ['{"name":"Ana","hand":true}', '{"hand":true,"muted":1}']);
});
