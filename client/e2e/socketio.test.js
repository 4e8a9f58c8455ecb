import assert from "node:assert/strict";
import io2 from "socket.io-client-2";
import { after, afterEach, before, test } from "node:test";
import { io as io3 } from "socket.io-client-3";
import { io as io4 } from "socket.io-client";
import { BINARIES } from "./binaries.js";
import { killNode, reviveNode } from "./nodes.js";
import { startCluster } from "../../deploy/local/cluster.js";

/** Published clients of Socket.IO 2, 3 and 4 in the rooms of the codelab, on two nodes behind a balancer that keeps nobody at one. */

const LIMITS = { timeout: 60_000 };

/** How long an event may take, on a busy machine and over the death of a node (ms). */
const WITHIN = 20_000;

const CLIENTS = { 2: io2, 3: io3, 4: io4 };

const EVENTS = ["created", "join", "joined", "ready", "full", "message", "bye"];

/** @type {import("../../deploy/local/cluster.js").Cluster} */
let cluster;

before(async () => {
  cluster = await startCluster({ binaries: BINARIES, nodeEnv: () => ({ SIGNAL_NODE_DIALECTS: "socketio", SIGNAL_NODE_ANONYMOUS: "always", SIGNAL_NODE_LEASE: "2s" }) });
}, LIMITS);

after(() => cluster?.stop());

/** The clients of a test, which would try for ever to come back after one that failed. @type {Set<Client>} */
const open = new Set();

afterEach(() => {
  for (const { socket } of open) socket.close();
  open.clear();
});

/** A client that keeps what it hears. */
class Client {
  heard = [];
  connects = [];
  #waiting = new Set();

  constructor(version, origin, options = {}) {
    open.add(this);
    this.marked = version > 2;
    this.socket = CLIENTS[version](origin, { transports: ["websocket"], forceNew: true, ...options });
    for (const name of EVENTS) this.socket.on(name, (...args) => this.#keep(name, args));
    for (const name of ["connect", "disconnect", "connect_error"]) this.socket.on(name, (what) => this.#note(name, what));
  }

  /** Keeps an event without the position, which clients of Socket.IO 3 and later get as one more argument. */
  #keep(name, args) {
    if (this.marked) assert.equal(typeof args.pop(), "string", `${name} carries a position`);
    this.heard.push([name, ...args]);
    for (const look of this.#waiting) look();
  }

  #note(name, what) {
    this.connects.push(name === "connect" ? `connect ${this.socket.recovered ?? false}` : `${name} ${what?.message ?? what}`);
    for (const look of this.#waiting) look();
  }

  /** Waits until a condition holds, which is looked at whenever something is heard. */
  async until(condition, what = String(condition)) {
    await new Promise((resolve, reject) => {
      const end = setTimeout(() => reject(new Error(`${what} did not come true: ${JSON.stringify([this.heard, this.connects])}`)), WITHIN);
      const look = () => {
        if (!condition(this)) return;
        clearTimeout(end);
        this.#waiting.delete(look);
        resolve(undefined);
      };
      this.#waiting.add(look);
      look();
    });
    return this;
  }

  /** Waits for so many events, and returns them. */
  async hears(count) {
    await this.until(({ heard }) => heard.length >= count, `${count} events`);
    return this.heard.splice(0);
  }

  /** Waits until a WebSocket carries the session. */
  async moved() {
    const { engine } = this.socket.io;
    if (engine.transport.name !== "websocket") await new Promise((resolve) => engine.once("upgrade", resolve));
  }

  enter(room) {
    this.socket.emit("create or join", room);
    return this;
  }

  say(data) {
    this.socket.emit("message", data);
  }
}

/** Connects a client to a node, or through the balancer. */
const client = (version, origin, options) => new Client(version, origin, options).until(({ socket }) => socket.connected);

const close = (...clients) => clients.forEach(({ socket }) => socket.close());

const messages = (count) => Array.from({ length: count }, (_, at) => ({ type: "candidate", label: at, text: "é😀" }));

for (const [first, second] of [[2, 4], [3, 2], [4, 3]]) {
  test(`a client of Socket.IO ${first} creates a room, one of ${second} on another node joins it, and a third finds it full`, LIMITS, async () => {
    const [one, other] = cluster.nodes.map(({ origin }) => origin);
    const room = `room of ${first} and ${second}`;
    const ana = (await client(first, one)).enter(room);
    const created = await ana.hears(1);
    assert.deepEqual(created, [["created", room, ana.socket.id]]);
    const bo = (await client(second, other)).enter(room);
    assert.deepEqual(await bo.hears(2), [["joined", room, bo.socket.id], ["ready", room]]);
    assert.deepEqual(await ana.hears(2), [["join", room], ["ready", room]]);
    const cy = (await client(4, one)).enter(room);
    assert.deepEqual(await cy.hears(1), [["full", room]]);
    const sent = messages(100);
    for (const message of sent) {
      ana.say(message);
      bo.say(message);
    }
    assert.deepEqual(await bo.hears(100), sent.map((data) => ["message", data]));
    assert.deepEqual(await ana.hears(100), sent.map((data) => ["message", data]));
    close(bo);
    assert.deepEqual(await ana.hears(1), [["bye", room]]);
    const dee = (await client(2, other)).enter(room);
    assert.deepEqual(await dee.hears(2), [["joined", room, dee.socket.id], ["ready", room]]);
    assert.deepEqual(cy.heard, []);
    close(ana, cy, dee);
  });
}

for (const version of [2, 3, 4]) {
  test(`a client of Socket.IO ${version} polls, and moves to a WebSocket without loss while messages come`, LIMITS, async () => {
    const [one, other] = cluster.nodes.map(({ origin }) => origin);
    const room = `polling of ${version}`;
    const ana = (await client(version, one, { transports: ["polling"] })).enter(room);
    assert.equal((await ana.hears(1))[0][0], "created");
    const bo = (await client(4, other)).enter(room);
    await Promise.all([ana.hears(2), bo.hears(2)]);
    const sent = messages(60);
    for (const message of sent) {
      ana.say(message);
      bo.say(message);
    }
    assert.deepEqual(await bo.hears(60), sent.map((data) => ["message", data]));
    assert.deepEqual(await ana.hears(60), sent.map((data) => ["message", data]));
    close(ana);
    assert.deepEqual(await bo.hears(1), [["bye", room]]);
    const cy = new Client(version, one, { transports: ["polling", "websocket"] }).enter(room);
    await bo.hears(2);
    for (const message of sent) bo.say(message);
    assert.deepEqual((await cy.hears(62)).slice(2), sent.map((data) => ["message", data]));
    await cy.moved();
    cy.say("over the WebSocket");
    assert.deepEqual(await bo.hears(1), [["message", "over the WebSocket"]]);
    close(bo, cy);
  });
}

for (const [version, options] of [[2, { transports: ["polling"] }], [2, undefined], [4, { transports: ["polling"] }], [4, undefined]]) {
  test(`clients of Socket.IO ${version} ${options ? "that only poll" : "with their defaults"} reach their sessions over any node`, LIMITS, async () => {
    const transports = options?.transports ?? ["polling", "websocket"];
    const room = `anywhere ${version} ${transports}`;
    const enter = async () => (await client(version, cluster.balancer.origin, { transports })).enter(room);
    const ana = await enter();
    assert.equal((await ana.hears(1))[0][0], "created");
    const bo = await enter();
    assert.deepEqual((await bo.hears(2)).map(([name]) => name), ["joined", "ready"]);
    assert.deepEqual((await ana.hears(2)).map(([name]) => name), ["join", "ready"]);
    const cy = await enter();
    assert.deepEqual(await cy.hears(1), [["full", room]]);
    for (const message of messages(40)) {
      ana.say(message);
      bo.say(message);
    }
    for (const each of [ana, bo]) assert.deepEqual(await each.hears(40), messages(40).map((data) => ["message", data]));
    close(bo);
    assert.deepEqual(await ana.hears(1), [["bye", room]]);
    for (const each of [ana, cy]) {
      if (transports.includes("websocket")) await each.moved();
      assert.deepEqual(each.connects, ["connect false"], "no session was lost");
    }
    const dee = await enter();
    await ana.hears(2);
    ana.say("after the move");
    assert.deepEqual((await dee.hears(3)).slice(2), [["message", "after the move"]]);
    dee.say("and back");
    assert.deepEqual(await ana.hears(1), [["message", "and back"]]);
    close(ana, cy);
  });
}

test("of two who come at the same instant on two nodes exactly one creates the room", LIMITS, async () => {
  const pairs = await Promise.all(Array.from({ length: 20 }, () => Promise.all(cluster.nodes.map(({ origin }) => client(4, origin)))));
  pairs.forEach((pair, at) => pair.forEach((each) => each.enter(`instant ${at}`)));
  for (const pair of pairs) {
    const firsts = (await Promise.all(pair.map((each) => each.until(({ heard }) => heard.length >= 2)))).map(({ heard }) => heard[0][0]);
    assert.deepEqual(firsts.sort(), ["created", "joined"]);
  }
  close(...pairs.flat());
});

test("after the death of its node a client is recovered over another one, without loss or doubling", LIMITS, async () => {
  const ana = (await client(4, cluster.balancer.origin, { reconnectionDelay: 100 })).enter("lasting");
  await ana.hears(1);
  const before = await Promise.all(cluster.nodes.map(connections));
  const holder = before[0] > before[1] ? 0 : 1;
  const bo = (await client(4, cluster.nodes[1 - holder].origin)).enter("lasting");
  await Promise.all([ana.hears(2), bo.hears(2)]);
  const { id } = ana.socket;
  const sent = Array.from({ length: 60 }, (_, at) => at);
  const say = (from, to) => sent.slice(from, to).forEach((number) => bo.say(number));
  say(0, 20);
  await ana.until(({ heard }) => heard.length >= 10, "the first messages");
  killNode(cluster.nodes[holder]);
  say(20, 40);
  await ana.until(({ socket }) => !socket.connected, "the loss of the socket");
  ana.say("said without a connection");
  say(40, 60);
  await ana.until(({ heard }) => heard.length >= sent.length, "all messages");
  assert.deepEqual(ana.heard.splice(0), sent.map((number) => ["message", number]));
  assert.equal(ana.socket.recovered, true, JSON.stringify(ana.connects));
  assert.equal(ana.socket.id, id);
  assert.deepEqual(await bo.hears(1), [["message", "said without a connection"]], "no bye, no join");
  close(ana, bo);
  await reviveNode(cluster, cluster.nodes[holder]);
});

test("a client whose connection breaks is recovered, and the other one hears nothing of it", LIMITS, async () => {
  const [one, other] = cluster.nodes.map(({ origin }) => origin);
  const ana = (await client(4, one, { reconnectionDelay: 100 })).enter("breaks");
  await ana.hears(1);
  const bo = (await client(4, other)).enter("breaks");
  await Promise.all([ana.hears(2), bo.hears(2)]);
  ana.socket.io.engine.transport.ws.terminate();
  await ana.until(({ socket }) => !socket.connected, "the loss of the socket");
  bo.say("meanwhile");
  assert.deepEqual(await ana.hears(1), [["message", "meanwhile"]]);
  await ana.until(({ socket }) => socket.connected, "the way back");
  assert.equal(ana.socket.recovered, true);
  ana.say("back");
  assert.deepEqual(await bo.hears(1), [["message", "back"]], "no bye, no join");
});

test("a client whose place was taken meanwhile is another one, and is told", LIMITS, async () => {
  const [one] = cluster.nodes.map(({ origin }) => origin);
  const ana = (await client(4, one, { reconnectionDelay: 50 })).enter("left");
  const [[, , sid]] = await ana.hears(1);
  // A page that is left says goodbye on the WebSocket; its place is free at once.
  ana.socket.io.engine.transport.ws.close();
  await ana.until(({ connects }) => connects.length >= 3, "the way back");
  assert.equal(ana.socket.recovered, false);
  assert.notEqual(ana.socket.id, sid);
  const bo = (await client(2, one)).enter("left");
  assert.deepEqual((await bo.hears(1))[0][0], "created");
  close(ana, bo);
});

test("a token opens the rooms that it names, and is shown as auth or in the query", LIMITS, async () => {
  const closed = await startCluster({ binaries: BINARIES, nodes: 1, nodeEnv: () => ({ SIGNAL_NODE_DIALECTS: "socketio" }) });
  try {
    const [{ origin }] = closed.nodes;
    const token = closed.token("ana", "foo");
    const ana = (await client(4, origin, { auth: { token } })).enter("foo");
    assert.equal((await ana.hears(1))[0][0], "created");
    const bo = (await client(2, origin, { query: { token } })).enter("foo");
    assert.equal((await bo.hears(1))[0][0], "joined");
    const elsewhere = await client(4, origin, { auth: { token } });
    const told = new Promise((resolve) => elsewhere.socket.on("log", ([, line]) => line.startsWith("The token") && resolve(line)));
    elsewhere.enter("bar");
    assert.equal(await told, "The token does not open this room");
    const [stranger, old] = [new Client(4, origin), new Client(2, origin)];
    await stranger.until(({ connects }) => connects.length > 0);
    assert.deepEqual(stranger.connects, ["connect_error unauthorized"]);
    const refused = new Promise((resolve) => old.socket.on("error", resolve));
    assert.equal(await refused, "unauthorized");
    close(ana, bo, elsewhere, stranger, old);
  } finally {
    await closed.stop();
  }
});

/** The clients of Socket.IO that a node has. @param {import("../../deploy/local/services.js").SignalNode} node */
async function connections({ admin }) {
  const text = await fetch(`${admin}/metrics`).then((answer) => answer.text());
  return Number(/^signal_dialect_connections\{dialect="socketio"\} (\d+)/m.exec(text)?.[1]);
}
