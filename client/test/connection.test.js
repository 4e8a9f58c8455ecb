import assert from "node:assert/strict";
import { test } from "node:test";
import { Connection } from "../src/connection.js";
import { FakeServer } from "./support/server.js";
import { settle } from "./support/clock.js";

function connecting(options) {
  const server = new FakeServer();
  const connection = new Connection(server.options(options));
  connection.start();
  return { server, connection };
}

test("a token travels as the second subprotocol and no hello is needed", async () => {
  const { server, connection } = connecting({ token: "a.b.c" });
  await server.accept(1);
  assert.deepEqual(server.socket.protocols, ["signal.v1", "bearer.a.b.c"]);
  assert.deepEqual(server.socket.sent, []);
  assert.equal(connection.state.phase, "open");
});

test("without a token the client says hello", async () => {
  const { server } = connecting();
  await server.accept(1);
  assert.deepEqual(server.socket.protocols, ["signal.v1"]);
  assert.equal(server.sent("hello").length, 1);
});

test("a lost socket is replaced after full jitter", async () => {
  const { server, connection } = connecting();
  await server.accept(1);
  server.close(1006);
  assert.equal(connection.state.phase, "waiting");
  assert.equal(connection.state.retryIn, 400);
  await server.clock.pass(399);
  assert.equal(server.sockets.length, 1);
  await server.clock.pass(1);
  await server.accept(2);
  assert.equal(connection.state.phase, "open");
});

test("attempts that fail wait longer each time, up to ten seconds", async () => {
  const { server, connection } = connecting();
  const waits = [];
  for (let attempt = 1; attempt <= 7; attempt += 1) {
    await settle();
    server.close(1006);
    waits.push(connection.state.retryIn);
    await server.clock.pass(connection.state.retryIn);
  }
  assert.deepEqual(waits, [400, 800, 1600, 3200, 5000, 5000, 5000]);
});

test("a refused token is fetched anew, and the client gives up when that never helps", async () => {
  let fetched = 0;
  const { server, connection } = connecting({ token: async () => `t${(fetched += 1)}` });
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    await settle();
    assert.equal(server.socket.protocols[1], `bearer.t${attempt}`);
    server.close(4101);
    await server.clock.pass(connection.state.retryIn ?? 0);
  }
  assert.equal(connection.state.phase, "stopped");
  assert.equal(connection.state.code, 4101);
});

test("a token that works is not fetched again for the next socket", async () => {
  let fetched = 0;
  const { server } = connecting({ token: () => `t${(fetched += 1)}` });
  await server.accept(1);
  server.close(4000);
  await server.clock.pass(400);
  await server.accept(2);
  assert.equal(fetched, 1);
});

test("a fixed token that is refused stops the client with a reason", async () => {
  const { server, connection } = connecting({ token: "a.b.c" });
  await server.accept(1, { welcome: false });
  server.close(4100);
  assert.equal(connection.state.phase, "stopped");
  assert.match(connection.state.reason, /does not accept this token/);
});

test("a provider that fails is asked again later", async () => {
  let fetched = 0;
  const { server, connection } = connecting({
    token: async () => {
      if ((fetched += 1) === 1) throw new Error("offline");
      return "t";
    },
  });
  await settle();
  assert.equal(connection.state.code, "no_token");
  await server.clock.pass(400);
  await server.accept(1);
  assert.equal(connection.state.phase, "open");
});

test("what the server says of the connection before it closes is in the state", async () => {
  const { server, connection } = connecting({ token: "a.b.c" });
  await server.accept(1, { welcome: false });
  server.say({ type: "error", code: "unauthorized", retry: false, message: "claim iss: the token is from another issuer" });
  server.close(4100);
  assert.equal(connection.state.message, "claim iss: the token is from another issuer");
});

/** An answer of a node to a plain GET. */
const problem = (code) => Response.json({ type: `urn:signal-cluster:problem:${code}`, code });
const refuse = async () => Promise.reject(new TypeError("Failed to fetch"));
const CAUSES = {
  no_answer: refuse,
  not_a_node: async () => new Response("<html>", { status: 502 }),
  wrong_path: async () => problem("not_found"),
  no_upgrade: async () => problem("bad_request"),
};

for (const [code, fetch] of Object.entries(CAUSES)) {
  test(`a connection that does not come about is explained: ${code}`, async () => {
    const asked = [];
    const { server, connection } = connecting({ fetch: (url) => asked.push(url) && fetch() });
    await settle();
    server.close(1006);
    assert.equal(connection.state.code, 1006);
    await settle();
    assert.equal(asked[0], "http://node.test/v1/ws");
    assert.equal(connection.state.code, code);
    assert.equal(connection.state.phase, "waiting");
    assert.equal(connection.state.retryIn, 400);
    assert.notEqual(connection.state.todo, "");
  });
}

test("an answer that a page may not read is another server", async () => {
  const fetch = async (_url, { mode }) => (mode === "no-cors" ? new Response() : refuse());
  const { server, connection } = connecting({ fetch });
  await settle();
  server.close(1006);
  await settle();
  assert.equal(connection.state.code, "not_a_node");
});

test("the cause is asked for at every fifth failure, and not once a connection was open", async () => {
  let asked = 0;
  const fetch = () => refuse((asked += 1));
  const { server, connection } = connecting({ fetch });
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    await settle();
    server.close(1006);
    await settle();
    assert.equal(connection.state.code, "no_answer", `attempt ${attempt}`);
    await server.clock.pass(connection.state.retryIn);
  }
  assert.equal(asked, 2, "with and without CORS");
  await server.accept(6);
  server.close(1006);
  await settle();
  assert.equal(connection.state.code, 1006);
  assert.equal(asked, 2);
});

for (const code of [1002, 1003, 1007, 1009, 4200, 4202, 4203, 4204]) {
  test(`close code ${code} stops the client for good`, async () => {
    const { server, connection } = connecting();
    await server.accept(1);
    server.close(code);
    await server.clock.pass(60_000);
    assert.equal(connection.state.phase, "stopped");
    assert.equal(server.sockets.length, 1);
  });
}

test("ten seconds of silence are broken by a ping, and a pong keeps the link", async () => {
  const { server, connection } = connecting();
  await server.accept(1);
  await server.clock.pass(9_999);
  assert.equal(server.sent("ping").length, 0);
  await server.clock.pass(1);
  assert.equal(server.sent("ping").length, 1);
  server.say({ type: "pong" });
  await server.clock.pass(4_000);
  assert.equal(connection.state.phase, "open");
});

test("a link that does not answer for four seconds is given up without a close handshake", async () => {
  const { server, connection } = connecting();
  await server.accept(1);
  await server.clock.pass(14_000);
  assert.equal(connection.state.phase, "waiting");
  assert.equal(connection.state.code, 4001);
});

test("the heartbeat follows the interval in welcome", async () => {
  const { server } = connecting();
  await server.accept(1, { ping: 3 });
  await server.clock.pass(3_000);
  assert.equal(server.sent("ping").length, 1);
});

test("a server that never says welcome is given up", async () => {
  const { server, connection } = connecting();
  await server.accept(1, { welcome: false });
  await server.clock.pass(8_000);
  assert.equal(connection.state.phase, "waiting");
});

test("when the network comes back the client does not wait any longer", async () => {
  const network = new EventTarget();
  const { server } = connecting({ network });
  await server.accept(1);
  server.close(1006);
  network.dispatchEvent(new Event("online"));
  await server.accept(2);
  network.dispatchEvent(new Event("offline"));
  assert.equal(server.sent("ping").length, 1);
});

test("goaway opens the next socket beside the current one, after the time it names", async () => {
  const { server, connection } = connecting();
  const first = await server.accept(1);
  server.say({ type: "goaway", reason: "drain", after: 800, within: 5000 });
  await server.clock.pass(799);
  assert.equal(server.sockets.length, 1);
  await server.clock.pass(1);
  const handovers = [];
  connection.on("link", ({ link, handover }) => handovers.push({ link, handover }));
  await server.accept(2);
  assert.equal(handovers[0].handover, true);
  assert.equal(first.closedWith, undefined);
  connection.promote(handovers[0].link);
  assert.equal(first.closedWith, 1000);
  assert.equal(connection.link, handovers[0].link);
});

test("while a node drains, a next socket that fails is tried again and the current one stays", async () => {
  const { server, connection } = connecting();
  await server.accept(1);
  server.say({ type: "goaway", reason: "drain", after: 0, within: 5000 });
  await server.clock.pass(0);
  server.close(1006);
  assert.equal(connection.state.phase, "open");
  await server.clock.pass(400);
  assert.equal(server.sockets.length, 3);
});

test("a node without its memory is left after five to fifteen seconds", async () => {
  const { server, connection } = connecting();
  await server.accept(1);
  server.say({ type: "error", code: "unavailable", retry: true, message: "no Redis" });
  await server.clock.pass(9_999);
  assert.equal(server.sockets.length, 1);
  await server.clock.pass(1);
  assert.equal(server.sockets.length, 2);
  assert.equal(connection.state.phase, "open");
});

test("of several addresses each attempt takes the next, so that a lost node is not asked first", async () => {
  const { server } = connecting({ url: ["http://a.test", "http://b.test", "http://c.test"] });
  await server.accept(1);
  server.close(1006);
  await server.clock.pass(400);
  await server.accept(2);
  server.say({ type: "goaway", reason: "drain", after: 0, within: 5000 });
  await server.clock.pass(0);
  const hosts = server.sockets.map(({ url }) => new URL(url).host);
  assert.deepEqual(hosts, ["b.test", "c.test", "a.test"]);
});

test("an empty list of addresses is refused at once", () => {
  assert.throws(() => new Connection(new FakeServer().options({ url: [] })), /no address/);
});

test("after users have been well for a while, leaving a draining node starts from the shortest wait", async () => {
  const { server, connection } = connecting();
  for (let lost = 0; lost < 4; lost += 1) {
    await settle();
    server.close(1006);
    await server.clock.pass(connection.state.retryIn);
  }
  await server.accept(5);
  server.say({ type: "goaway", reason: "drain", after: 0, within: 5000 });
  await server.clock.pass(0);
  server.close(1006);
  await server.clock.pass(400);
  assert.equal(server.sockets.length, 7);
});

test("a node that says again and again that it has no memory does not put off the move", async () => {
  const { server } = connecting();
  await server.accept(1);
  for (let second = 0; second < 10; second += 2) {
    server.say({ type: "error", code: "unavailable", retry: true, message: "no Redis" });
    await server.clock.pass(2_000);
  }
  assert.equal(server.sockets.length, 2);
});

test("when the token is refused on the next socket, a draining node is left with a fresh one", async () => {
  let fetched = 0;
  const { server, connection } = connecting({ token: () => `t${(fetched += 1)}` });
  await server.accept(1);
  server.say({ type: "goaway", reason: "drain", after: 0, within: 5000 });
  await server.clock.pass(0);
  server.close(4101);
  await server.clock.pass(400);
  assert.deepEqual(server.sockets.map(({ protocols }) => protocols[1]), ["bearer.t1", "bearer.t1", "bearer.t2"]);
  assert.equal(connection.state.phase, "open");
});

test("a network that goes away is no reason for an attempt, one that comes back is", async () => {
  const network = new EventTarget();
  const { server } = connecting({ network });
  await server.accept(1);
  server.close(1006);
  network.dispatchEvent(new Event("offline"));
  await settle();
  assert.equal(server.sockets.length, 1);
  network.dispatchEvent(new Event("visibilitychange"));
  await settle();
  assert.equal(server.sockets.length, 2);
});

test("a dead socket gains no time from being asked again and again", async () => {
  const network = new EventTarget();
  const { server, connection } = connecting({ network });
  await server.accept(1);
  for (let second = 0; second < 4; second += 1) {
    network.dispatchEvent(new Event("visibilitychange"));
    await server.clock.pass(1_000);
  }
  assert.equal(server.sent("ping", server.sockets[0]).length, 1);
  assert.equal(connection.state.code, 4001);
});

test("a provider that never answers counts as failed after ten seconds", async () => {
  const { server, connection } = connecting({ token: () => new Promise(() => {}) });
  await server.clock.pass(10_000);
  assert.deepEqual([connection.state.phase, connection.state.code], ["waiting", "no_token"]);
});

/** Opens a socket with tokens that are good for ten minutes and lets nine of them pass. */
async function almostExpired(provide) {
  const server = new FakeServer();
  const expiring = () => {
    const payload = Buffer.from(JSON.stringify({ exp: Math.floor(server.clock.date() / 1000) + 600 }));
    return `h.${payload.toString("base64url")}.s`;
  };
  new Connection(server.options({ token: () => provide(expiring) })).start();
  await server.accept(1);
  for (let second = 0; second < 545; second += 5) {
    await server.clock.pass(5_000);
    server.say({ type: "pong" });
  }
  return server;
}

test("a renewal that fails is tried again while the old token is still good", async () => {
  let asked = 0;
  const server = await almostExpired((expiring) => {
    if ((asked += 1) === 2) throw new Error("offline");
    return expiring();
  });
  assert.equal(server.sent("auth").length, 0);
  for (let second = 0; second < 35; second += 5) {
    await server.clock.pass(5_000);
    server.say({ type: "pong" });
  }
  assert.equal(server.sent("auth").length, 1);
});

test("a token is renewed on the open socket before it expires", async () => {
  const server = await almostExpired((expiring) => expiring());
  assert.equal(server.sent("auth").length, 1);
  assert.equal(server.sockets.length, 1);
});

test("stop closes the socket and nothing is tried again", async () => {
  const { server, connection } = connecting();
  await server.accept(1);
  connection.stop();
  await server.clock.pass(60_000);
  assert.equal(server.socket.closedWith, 1000);
  assert.equal(server.sockets.length, 1);
  assert.equal(connection.state.phase, "stopped");
});
