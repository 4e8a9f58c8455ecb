import assert from "node:assert/strict";
import { test } from "node:test";
import { SignalClient } from "../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./support/server.js";
import { settle } from "./support/clock.js";

const BO = { id: "p_bo", n: 3, user: "bo", polite: true, away: false, meta: { name: "Bo" } };
const CY = { id: "p_cy", n: 8, user: "cy", polite: false, away: false, meta: {} };

/** A client that has asked to join `demo`, before the server answered. */
async function knocking({ storage = new FakeStorage(), ...options } = {}) {
  const server = new FakeServer();
  const identity = { storage, locks: new FakeLocks() };
  const client = new SignalClient(server.options({ identity, ...options }));
  const joining = client.join("demo", { meta: { name: "Ana" } });
  joining.catch(() => {});
  await server.accept(1);
  return { server, client, joining, storage };
}

/** A client that is in the room, with what its room emits from now on. */
async function joined(fields, options) {
  const context = await knocking(options);
  context.server.joined(fields);
  const room = await context.joining;
  const events = [];
  for (const name of ["joined", "peer", "peerLeft", "peerUpdated", "signal", "left", "reset", "error", "state"]) {
    room.on(name, (detail) => events.push([name, detail]));
  }
  events.length = 0;
  return { ...context, room, events, of: (name) => events.filter(([kind]) => kind === name).map(([, detail]) => detail) };
}

async function reconnect(server) {
  server.close(1006);
  await server.clock.pass(400);
  await server.accept();
}

test("a join carries the key and its first try, and no position", async () => {
  const { server } = await knocking();
  const [join] = server.sent("join");
  assert.match(join.key, /^[\w-]{22}$/);
  assert.deepEqual(join, { type: "join", id: join.id, room: "demo", key: join.key, try: 1, meta: { name: "Ana" } });
});

test("whoever is in the room already is told to a late listener", async () => {
  const { room } = await joined({ peers: [BO] });
  const seen = [];
  room.on("peer", (peer) => seen.push(peer.id));
  assert.deepEqual(seen, ["p_bo"]);
});

test("members come, change and go as the log says", async () => {
  const { server, room, of } = await joined({ peers: [BO] });
  server.say({ type: "peer_joined", room: "demo", seq: 101, peer: CY });
  server.say({ type: "peer_updated", room: "demo", seq: 102, peer: { id: "p_cy", meta: { name: "Cy" } } });
  server.say({ type: "peer_updated", room: "demo", seq: 103, peer: { id: "p_cy", away: true } });
  assert.equal(of("peer")[0].id, "p_cy");
  assert.deepEqual(room.peers.get("p_cy").meta, { name: "Cy" });
  assert.equal(room.peers.get("p_cy").away, true);
  server.say({ type: "peer_left", room: "demo", seq: 104, peer: "p_cy", reason: "left" });
  assert.deepEqual([...room.peers.keys()], ["p_bo"]);
  assert.equal(of("peerLeft")[0].reason, "left");
});

test("a frame at or below the position is dropped", async () => {
  const { server, of } = await joined();
  const say = (seq) => server.say({ type: "signal", room: "demo", seq, from: "p_bo", data: seq });
  for (const seq of [101, 101, 99, 102]) say(seq);
  assert.deepEqual(of("signal").map(({ data }) => data), [101, 102]);
});

test("volatile signals have no place in the order and pass", async () => {
  const { server, of, room } = await joined();
  server.say({ type: "signal", room: "demo", volatile: true, from: "p_bo", data: "cursor" });
  assert.equal(of("signal")[0].volatile, true);
  assert.equal(room.signal("x", { volatile: true }), undefined);
  assert.deepEqual(server.sent("signal"), [{ type: "signal", room: "demo", volatile: true, data: "x" }]);
});

test("the position moves with an ack, so that a resume asks for what is missing only", async () => {
  const { server } = await joined();
  server.say({ type: "ack", room: "demo", mid: 0, seq: 150 });
  await reconnect(server);
  const [join] = server.sent("join");
  assert.equal(join.seq, 150);
  assert.equal(join.try, 2);
});

test("signals sent while the socket is lost follow after the resume, once", async () => {
  const { server, room, of } = await joined({ peers: [BO] });
  room.signal("a");
  server.say({ type: "ack", room: "demo", mid: 1, seq: 101 });
  room.signal("b");
  server.close(1006);
  assert.deepEqual(of("state"), ["away"]);
  room.signal("c");
  await server.clock.pass(400);
  await server.accept(2);
  server.say({ type: "signal", room: "demo", seq: 105, from: "p_bo", data: "missed" });
  server.joined({ recovery: "replay", seq: 106, mid: 2 });
  assert.deepEqual(server.sent("signal").map(({ mid, data }) => [mid, data]), [[3, "c"]]);
  assert.deepEqual(of("signal").map(({ data }) => data), ["missed"]);
  assert.deepEqual(of("joined"), [{ recovery: "replay", dropped: 0 }]);
  assert.deepEqual(of("peerLeft"), []);
});

test("a snapshot replaces the roster", async () => {
  const { server, room, of } = await joined({ peers: [BO] });
  await reconnect(server);
  server.joined({ recovery: "snapshot", seq: 200, mid: 0, peers: [CY] });
  assert.deepEqual([...room.peers.keys()], ["p_cy"]);
  assert.deepEqual(of("peerLeft").map(({ peer }) => peer.id), ["p_bo"]);
});

test("a member that came back too late is new, and says how many messages were given up", async () => {
  const { server, room, of } = await joined();
  room.signal("a");
  await reconnect(server);
  server.joined({ recovery: "new", seq: 300, self: { id: "p_me", n: 9 } });
  assert.deepEqual(of("joined"), [{ recovery: "new", dropped: 1 }]);
  assert.equal(room.signal("b"), 1);
});

test("a refused message is reported and the stream goes on", async () => {
  const { server, room, of } = await joined();
  room.signal("a", { to: "p_gone" });
  room.signal("b");
  server.say({ type: "error", room: "demo", mid: 1, code: "peer_not_found", retry: false, message: "gone" });
  assert.deepEqual(of("error"), [{ code: "peer_not_found", message: "gone", mid: 1, to: "p_gone" }]);
  assert.equal(room.unsettled, 1);
});

test("a rate limit delays the stream and loses nothing", async () => {
  const { server, room } = await joined();
  room.signal("a");
  server.say({ type: "error", room: "demo", mid: 1, code: "rate_limited", retry: true, message: "slow down", after: 300 });
  await server.clock.pass(299);
  assert.equal(server.sent("signal").length, 1);
  await server.clock.pass(1);
  assert.deepEqual(server.sent("signal").map(({ mid }) => mid), [1, 1]);
});

test("after a reset a missing member counts as away, and as gone after grace", async () => {
  const { server, room, of } = await joined({ peers: [BO, CY] });
  server.say({ type: "reset", room: "demo", seq: 50, mid: 0, peers: [CY] });
  assert.equal(room.peers.get("p_bo").away, true);
  server.say({ type: "signal", room: "demo", seq: 51, from: "p_cy", data: "after" });
  assert.equal(of("signal").length, 1, "reset sets the position backwards");
  for (let at = 0; at < 30; at += 5) {
    await server.clock.pass(5_000);
    server.say({ type: "pong" });
  }
  assert.deepEqual([...room.peers.keys()], ["p_cy"]);
});

test("after a reset a member that appears again is not removed", async () => {
  const { server, room } = await joined({ peers: [BO] });
  server.say({ type: "reset", room: "demo", seq: 50, mid: 0, peers: [] });
  server.say({ type: "peer_joined", room: "demo", seq: 51, peer: BO });
  for (let at = 0; at < 40; at += 5) {
    await server.clock.pass(5_000);
    server.say({ type: "pong" });
  }
  assert.equal(room.peers.get("p_bo").away, false);
});

test("a full room refuses the join with its code and how long to wait", async () => {
  const { server, joining } = await knocking();
  const [{ id }] = server.sent("join");
  server.say({ type: "error", id, code: "room_full", retry: false, message: "2 of 2", after: 12_000 });
  await assert.rejects(joining, { code: "room_full", after: 12_000 });
});

test("a join that fails for a passing reason is repeated with the next try", async () => {
  const { server, joining } = await knocking();
  const [{ id }] = server.sent("join");
  server.say({ type: "error", id, code: "unavailable", retry: true, message: "no Redis" });
  await server.clock.pass(2_000);
  assert.deepEqual(server.sent("join").map((join) => join.try), [1, 2]);
  server.joined();
  assert.equal((await joining).state, "joined");
});

test("a stored key that belongs to somebody else is given up for a new one", async () => {
  const storage = new FakeStorage();
  storage.setItem("signal-cluster:demo", '{"key":"q83vEjRWeJCrze8SNFZ4kA","tries":3}');
  const { server, joining } = await knocking({ storage });
  const [{ id, key }] = server.sent("join");
  assert.equal(key, "q83vEjRWeJCrze8SNFZ4kA");
  server.say({ type: "error", id, code: "forbidden", retry: false, message: "another sub" });
  await settle();
  assert.notEqual(server.sent("join")[1].key, key);
  server.joined();
  assert.equal((await joining).state, "joined");
});

test("another window with the same key ends the membership", async () => {
  const { server, room, of } = await joined();
  server.say({ type: "left", room: "demo", reason: "replaced" });
  assert.deepEqual(of("left"), [{ reason: "replaced" }]);
  assert.equal(room.state, "left");
});

test("a member that expired while its socket lived joins anew under another key", async () => {
  const { server, room, of } = await joined({ peers: [BO] });
  const [{ key }] = server.sent("join");
  server.say({ type: "left", room: "demo", reason: "expired" });
  await settle();
  const again = server.sent("join")[1];
  assert.notEqual(again.key, key);
  assert.equal(again.try, 1);
  assert.equal(again.seq, undefined);
  server.joined({ seq: 400, self: { id: "p_me2", n: 9 }, peers: [BO] });
  assert.equal(room.self.id, "p_me2");
  assert.deepEqual(of("left"), []);
});

test("leaving asks the server, forgets the key and ends the room", async () => {
  const { server, room, storage } = await joined();
  const leaving = room.leave();
  const [{ id }] = server.sent("leave");
  server.say({ type: "ok", id });
  await leaving;
  assert.equal(room.state, "left");
  assert.equal(storage.items.size, 0);
});

test("a kick is answered or refused", async () => {
  const { server, room } = await joined({ peers: [BO] });
  const kick = room.kick("p_bo", { ban: 60 });
  const [frame] = server.sent("kick");
  assert.deepEqual(frame, { type: "kick", id: frame.id, room: "demo", peer: "p_bo", ban: 60 });
  server.say({ type: "error", id: frame.id, code: "forbidden", retry: false, message: "no" });
  await assert.rejects(kick, { code: "forbidden" });
});

test("a drained node is left without a gap: joined on the next socket, then the old one is closed", async () => {
  const { server, room, of } = await joined({ peers: [BO] });
  const old = server.socket;
  server.say({ type: "goaway", reason: "drain", after: 0, within: 5000 });
  await server.clock.pass(0);
  await server.accept(2);
  room.signal("during");
  assert.equal(server.sent("signal", old).length, 1);
  server.tell(old, { type: "signal", room: "demo", seq: 101, from: "p_bo", data: "x" });
  server.say({ type: "signal", room: "demo", seq: 101, from: "p_bo", data: "x" });
  server.tell(old, { type: "left", room: "demo", reason: "replaced" });
  room.signal("between");
  server.tell(old, { type: "error", room: "demo", mid: 1, code: "not_joined", retry: false, message: "" });
  server.joined({ recovery: "replay", seq: 103, mid: 0 });
  assert.deepEqual(server.sent("signal").map(({ mid, data }) => [mid, data]), [[1, "during"], [2, "between"]]);
  assert.equal(old.closedWith, 1000);
  assert.deepEqual(of("signal").map(({ data }) => data), ["x"]);
  assert.deepEqual([...of("state"), ...of("left"), ...of("error")], []);
});

test("a next node that cannot help either is left alone and the room stays where it is", async () => {
  const { server, room } = await joined();
  const old = server.socket;
  server.say({ type: "error", code: "unavailable", retry: true, message: "no Redis" });
  await server.clock.pass(10_000);
  old.onmessage({ data: '{"type":"pong"}' });
  await server.accept(2);
  const [{ id }] = server.sent("join");
  server.say({ type: "error", id, code: "unavailable", retry: true, message: "no Redis" });
  assert.equal(server.socket.closedWith, 1000);
  assert.equal(old.closedWith, undefined);
  room.signal("still here");
  assert.equal(server.sent("signal", old).length, 1);
});

test("a connection that stops for good ends the room and says why", async () => {
  const { server, of, client } = await joined();
  server.close(4203);
  assert.deepEqual(of("left"), [{ reason: "kicked" }]);
  assert.match(client.state.reason, /moderator/);
});
