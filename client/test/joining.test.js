import assert from "node:assert/strict";
import { test } from "node:test";
import { SignalClient } from "../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./support/server.js";
import { settle } from "./support/clock.js";

/** Ways out of a join that is under way. */

function client() {
  const server = new FakeServer();
  const locks = new FakeLocks();
  const made = new SignalClient(server.options({ identity: { storage: new FakeStorage(), locks } }));
  return { server, locks, client: made };
}

/** The `id` of the newest frame of a type. */
const idOf = (server, type) => server.sent(type).at(-1).id;

test("a join that is aborted before it begins opens no socket", async () => {
  const { server, client: joining } = client();
  await assert.rejects(joining.join("demo", { signal: AbortSignal.abort("no") }), (error) => error === "no");
  await settle();
  assert.equal(server.sockets.length, 0);
});

test("a join that is aborted is rejected with the signal's reason, and left once it is answered", async () => {
  const { server, locks, client: joining } = client();
  const ended = new AbortController();
  const join = joining.join("demo", { signal: ended.signal });
  await server.accept(1);
  ended.abort();
  await assert.rejects(join, { name: "AbortError" });
  assert.equal(server.sent("leave").length, 0, "a node refuses to leave what is not joined");
  server.joined();
  assert.equal(server.sent("leave").length, 1);
  assert.equal(locks.held.size, 0);
});

test("a signal that is aborted after the join changes nothing", async () => {
  const { server, client: joining } = client();
  const ended = new AbortController();
  const join = joining.join("demo", { signal: ended.signal, timeout: 1000 });
  await server.accept(1);
  server.joined();
  const room = await join;
  ended.abort();
  await server.clock.pass(1000);
  assert.equal(room.state, "joined");
});

test("a join that takes longer than its timeout is rejected and says what it waited for", async () => {
  const { server, client: joining } = client();
  const join = joining.join("demo", { timeout: 3000 });
  join.catch(() => {});
  await settle();
  server.close(1006);
  await server.clock.pass(3000);
  await assert.rejects(join, { name: "SignalError", code: "timeout", retry: true, message: /demo was not joined within 3000 ms/ });
});

test("a timeout that is no number of milliseconds is refused at once", async () => {
  const { client: joining } = client();
  for (const timeout of ["soon", -1, NaN]) await assert.rejects(joining.join("demo", { timeout }), { name: "TypeError", message: /milliseconds/ });
});

test("a room that two calls join is given up when both are", async () => {
  const { server, client: joining } = client();
  const [one, other] = [new AbortController(), new AbortController()];
  const joins = [one, other].map(({ signal }) => joining.join("demo", { signal }));
  await server.accept(1);
  one.abort();
  await assert.rejects(joins[0], { name: "AbortError" });
  server.joined();
  const room = await joins[1];
  assert.equal(room.state, "joined");
  assert.equal(server.sent("leave").length, 0);
});

test("a join after one that was aborted waits for that to be undone, and takes no answer to it", async () => {
  const { server, client: joining } = client();
  const ended = new AbortController();
  joining.join("demo", { signal: ended.signal }).catch(() => {});
  await server.accept(1);
  ended.abort();
  const again = joining.join("demo");
  await settle();
  server.joined({ self: { id: "p_first", n: 1 } });
  await settle();
  assert.equal(server.sent("join").length, 1);
  server.say({ type: "ok", id: idOf(server, "leave") });
  await settle();
  assert.equal(server.sent("join").length, 2);
  server.joined({ self: { id: "p_again", n: 2 } });
  assert.equal((await again).self.id, "p_again");
});

test("a join while the room is being left is a new room, with a new key", async () => {
  const { server, client: joining } = client();
  const join = joining.join("demo");
  await server.accept(1);
  server.joined();
  const first = await join;
  const leaving = first.leave();
  const again = joining.join("demo");
  await settle();
  assert.equal(server.sent("join").length, 1);
  server.say({ type: "ok", id: idOf(server, "leave") });
  await leaving;
  await settle();
  server.joined();
  assert.notEqual(await again, first);
  const [before, after] = server.sent("join");
  assert.notEqual(before.key, after.key);
  assert.equal(after.try, 1);
});

test("a join waits no longer for a leave when its socket is lost", async () => {
  const { server, client: joining } = client();
  const join = joining.join("demo");
  await server.accept(1);
  server.joined();
  (await join).leave();
  const again = joining.join("demo");
  await settle();
  server.close(1006);
  await server.clock.pass(400);
  await server.accept(2);
  server.joined();
  assert.equal((await again).state, "joined");
});
