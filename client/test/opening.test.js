import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../src/connection.js";
import { FakeServer } from "./support/server.js";
import { settle } from "./support/clock.js";

/** A second socket beside one that does not open. */

const URLS = ["http://one.test", "http://two.test"];

/** A connection whose first socket has not opened for a second. */
async function late(options = {}) {
  const server = new FakeServer();
  const connection = new Connection(server.options({ url: URLS, random: () => 0.4, ...options }));
  connection.start();
  await server.clock.pass(999);
  assert.equal(server.sockets.length, 1);
  await server.clock.pass(1);
  assert.equal(server.sockets.length, 2);
  return { server, connection, first: server.sockets[0], second: server.sockets[1] };
}

/** Opens a socket; the server greets it. */
function opens(server, socket) {
  socket.readyState = 1;
  socket.onopen();
  server.tell(socket, { type: "welcome", node: "n_1", ping: 10, grace: 30, features: [], limits: {} });
}

test("a socket that does not open within a second gets a second one beside it, at the next address", async () => {
  const { server, connection, first, second } = await late();
  assert.deepEqual(server.sockets.map(({ url }) => new URL(url).host), ["one.test", "two.test"]);
  opens(server, second);
  assert.equal(connection.state.phase, "open");
  assert.equal(first.closedWith, 1000);
  assert.deepEqual([first.sent, second.sent.map(({ type }) => type)], [[], ["hello"]]);
});

test("the first socket is used if it opens first, and nothing is said on the second", async () => {
  const { server, connection, first, second } = await late();
  opens(server, first);
  assert.equal(connection.state.phase, "open");
  assert.equal(second.closedWith, 1000);
  assert.deepEqual([second.sent, first.sent.map(({ type }) => type)], [[], ["hello"]]);
  await server.clock.pass(60_000);
  assert.equal(second.onopen, null, "it may not take over later");
});

test("another socket is opened each second while those before hang, and five at once are enough", async () => {
  const { server, connection } = await late();
  await server.clock.pass(2_000);
  assert.deepEqual(server.sockets.map(({ url }) => new URL(url).host), ["one.test", "two.test", "one.test", "two.test"]);
  await server.clock.pass(3_000);
  assert.equal(server.sockets.length, 5);
  opens(server, server.sockets[3]);
  assert.equal(connection.state.phase, "open");
  assert.deepEqual(server.sockets.map(({ closedWith }) => closedWith), [1000, 1000, 1000, undefined, 1000]);
});

test("one address is tried twice: a balancer may choose another node", async () => {
  const { server } = await late({ url: "http://balancer.test" });
  assert.equal(server.sockets[0].url, server.sockets[1].url);
});

test("a token travels on both", async () => {
  const { first, second } = await late({ token: "a.b.c" });
  assert.deepEqual([first.protocols, second.protocols], Array(2).fill(["signal.v1", "bearer.a.b.c"]));
});

test("a first socket that is refused is no slow one: the next attempt comes after its wait", async () => {
  const server = new FakeServer();
  const connection = new Connection(server.options());
  connection.start();
  await server.clock.pass(500);
  server.close(1006);
  assert.equal(connection.state.phase, "waiting");
  await server.clock.pass(399);
  assert.equal(server.sockets.length, 1);
});

for (const [lost, other] of [["first", "second"], ["second", "first"]]) {
  test(`the ${other} socket is waited for when the ${lost} one fails`, async () => {
    const context = await late();
    context.server.close(1006, context[lost]);
    assert.equal(context.connection.state.phase, "connecting");
    opens(context.server, context[other]);
    assert.equal(context.connection.state.phase, "open");
  });
}

test("when both fail the attempt has failed once", async () => {
  const { server, connection, first, second } = await late();
  server.close(1006, second);
  server.close(1006, first);
  assert.equal(connection.state.phase, "waiting");
  await server.clock.pass(connection.state.retryIn);
  assert.equal(server.sockets.length, 3);
});

test("a connection that is stopped closes both, and one that gets no answer gives both up", async () => {
  const stopped = await late();
  stopped.connection.stop();
  const silent = await late();
  await silent.server.clock.pass(7000);
  for (const { first, second } of [stopped, silent]) assert.ok(first.closedWith && second.closedWith);
  assert.equal(silent.connection.state.phase, "waiting");
});

test("a second address that the browser takes for unfit leaves the first to open", async () => {
  const server = new FakeServer();
  const options = server.options({ url: URLS, random: () => 0.4 });
  class Picky extends options.WebSocket {
    constructor(url, protocols) {
      if (url.includes("two.test")) throw new DOMException("mixed content", "SecurityError");
      super(url, protocols);
    }
  }
  const connection = new Connection({ ...options, WebSocket: Picky });
  connection.start();
  await server.clock.pass(1000);
  opens(server, server.socket);
  await settle();
  assert.equal(connection.state.phase, "open");
});
