import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../src/connection.js";
import { SignalClient } from "../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./support/server.js";
import { joined, asking, reconnect } from "./support/room.js";
import { settle } from "./support/clock.js";

/** A promise and what settles it. */
function deferred() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

/** A client that has begun to join `demo`; no turn of the event loop has passed since. */
function joining(options = {}) {
  const server = new FakeServer();
  const storage = new FakeStorage();
  const locks = new FakeLocks();
  const client = new SignalClient(server.options({ identity: { storage, locks }, ...options }));
  const join = client.join("demo");
  join.catch(() => {});
  return { server, client, join, storage, locks };
}

const open = ({ sockets }) => sockets.filter(({ readyState }) => readyState !== 3).length;

/** The join is rejected with the reason, no socket is open or opened later, and the key is free. */
async function isOver({ server, client, join, locks }) {
  await assert.rejects(join, { name: "SignalError", code: "closed", message: /demo .*close\(\)/ });
  await server.clock.pass(60_000);
  assert.equal(open(server), 0);
  assert.equal(client.state.phase, "stopped");
  assert.equal(locks?.held.size ?? 0, 0);
}

test("a client closed at once opens no socket", async () => {
  const context = joining();
  context.client.close();
  await isOver(context);
  assert.equal(context.server.sockets.length, 0);
});

test("a client closed while the key waits for its lock opens no socket and keeps no lock", async () => {
  const granted = deferred();
  class SlowLocks extends FakeLocks {
    request = async (name, _options, hold) => {
      await granted.promise;
      this.held.add(name);
      await hold();
      this.held.delete(name);
    };
  }
  const locks = new SlowLocks();
  const context = { ...joining({ identity: { storage: new FakeStorage(), locks } }), locks };
  await settle();
  context.client.close();
  granted.resolve();
  await settle();
  await isOver(context);
  assert.equal(context.server.sockets.length, 0);
});

test("a client closed during a token fetch opens no socket", async () => {
  const token = deferred();
  const context = joining({ token: () => token.promise });
  await settle();
  context.client.close();
  token.resolve("a.b.c");
  await isOver(context);
  assert.equal(context.server.sockets.length, 0);
});

// Each microtask between the token's arrival and the socket is a moment at which a page may close the client.
for (let ticks = 0; ticks < 12; ticks += 1) {
  test(`a client closed ${ticks} microtasks after the token arrived leaves no socket open`, async () => {
    const token = deferred();
    const context = joining({ token: () => token.promise });
    await settle();
    token.resolve("a.b.c");
    for (let tick = 0; tick < ticks; tick += 1) await null;
    context.client.close();
    await isOver(context);
  });
}

test("a client closed while its socket opens closes it", async () => {
  const context = joining();
  await settle();
  assert.equal(open(context.server), 1);
  context.client.close();
  await isOver(context);
});

test("a client closed before `welcome` closes the socket", async () => {
  const context = joining();
  await context.server.accept(1, { welcome: false });
  context.client.close();
  await isOver(context);
});

test("a client closed before `joined` closes the socket", async () => {
  const context = await asking();
  assert.equal(context.server.sent("join").length, 1);
  context.client.close();
  await isOver({ ...context, join: context.joining });
});

test("a client closed while it waits for the next attempt makes none", async () => {
  const context = joining();
  await context.server.accept(1, { welcome: false });
  context.server.close(1006);
  context.client.close();
  await isOver(context);
  assert.equal(context.server.sockets.length, 1);
});

for (let ticks = 0; ticks < 4; ticks += 1) {
  test(`a connection stopped ${ticks} microtasks after the socket of a handover was made leaves none open`, async () => {
    const server = new FakeServer();
    const { WebSocket, ...options } = server.options();
    const stopIn = (left) => (left === 0 ? connection.stop() : queueMicrotask(() => stopIn(left - 1)));
    class Watched extends WebSocket {
      constructor(...parameters) {
        super(...parameters);
        if (server.sockets.length === 2) stopIn(ticks + 1);
      }
    }
    const connection = new Connection({ ...options, WebSocket: Watched });
    connection.start();
    await server.accept(1);
    server.say({ type: "goaway", reason: "drain", after: 0, within: 10_000 });
    await server.clock.pass(60_000);
    assert.equal(server.sockets.length, 2);
    assert.equal(open(server), 0);
  });
}

test("a client that was closed while its token was renewed asks for none any more", async () => {
  const server = new FakeServer();
  const exp = (server.clock.date() + 120_000) / 1000;
  const jwt = `e30.${btoa(JSON.stringify({ exp })).replaceAll("=", "")}.x`;
  const renewal = deferred();
  let asked = 0;
  const connection = new Connection(server.options({ token: () => ((asked += 1) === 1 ? jwt : renewal.promise) }));
  connection.start();
  await server.accept(1);
  await server.clock.pass(60_000);
  assert.equal(asked, 2);
  connection.stop();
  renewal.resolve(jwt);
  await server.clock.pass(600_000);
  assert.equal(asked, 2);
});

test("a client that was closed joins again when asked to", async () => {
  const context = joining();
  context.client.close();
  await assert.rejects(context.join);
  const again = context.client.join("demo");
  await context.server.accept(1);
  context.server.joined();
  assert.equal((await again).state, "joined");
});

test("a member that leaves while it comes back leaves at the server as well", async () => {
  const { server, room, client, storage } = await joined();
  await reconnect(server);
  assert.equal(server.sent("join").length, 1);
  const leaving = room.leave();
  assert.equal(room.state, "left");
  server.joined({ recovery: "replay" });
  const [{ id }] = server.sent("leave");
  server.say({ type: "ok", id });
  await leaving;
  assert.equal(storage.items.size, 0);
  client.close();
  assert.equal(open(server), 0);
});

test("a member that leaves while it takes a new key is not joined again", async () => {
  const { server, room, storage } = await joined();
  server.say({ type: "left", room: "demo", reason: "expired" });
  await room.leave();
  await settle();
  assert.equal(server.sent("join").length, 1);
  assert.equal(storage.items.size, 0);
});
