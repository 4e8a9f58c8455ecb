import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_HELD } from "../src/sender.js";
import { Identity } from "../src/identity.js";
import { SignalClient } from "../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./support/server.js";
import { BO, CY, joined, asking, reconnect } from "./support/room.js";
import { settle } from "./support/clock.js";

test("a join carries the key and its first try, and no position", async () => {
  const { server } = await asking();
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
  assert.equal(room.signal("x", { volatile: true }).mid, undefined);
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
  assert.equal(room.signal("b").mid, 1);
});

test("a member whose room the server has lost keeps the calls that are still connected", async () => {
  const { server, room, of } = await joined({ peers: [BO, CY] });
  Object.defineProperty(room.peers.get("p_bo"), "connected", { value: true });
  await reconnect(server);
  server.joined({ recovery: "new", seq: 300, self: { id: "p_me", n: 1 } });
  assert.deepEqual([...room.peers.keys()], ["p_bo"]);
  assert.equal(room.peers.get("p_bo").away, true);
  server.say({ type: "peer_joined", room: "demo", seq: 301, peer: { ...BO, n: 2 } });
  for (let at = 0; at < 40; at += 5) {
    await server.clock.pass(5_000);
    server.say({ type: "pong" });
  }
  assert.equal(room.peers.get("p_bo").away, false);
  assert.deepEqual(of("peerLeft").map(({ peer }) => peer.id), ["p_cy"]);
});

test("a message that would cost the connection is refused here", async () => {
  const { server, room, of } = await joined();
  await assert.rejects(room.signal("ä".repeat(33_000)).settled, { code: "too_large" });
  await assert.rejects(room.signal("x".repeat(66_000), { volatile: true }).settled, { code: "too_large" });
  assert.deepEqual(of("error").map(({ code }) => code), ["too_large", "too_large"]);
  assert.equal(room.signal("small").mid, 1);
  assert.equal(server.sent("signal").length, 1);
});

test("what waits for a lost connection has an end", async () => {
  const { server, room, of } = await joined();
  server.close(1006);
  for (let sent = 0; sent < MOST_HELD; sent += 1) room.signal(sent);
  assert.deepEqual(of("error"), []);
  await assert.rejects(room.signal("one too many").settled, { code: "limit_exceeded" });
  assert.equal(of("error")[0].code, "limit_exceeded");
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

test("a snapshot does not cut short the time that a reset has left a member", async () => {
  const { server, room } = await joined({ peers: [BO] });
  server.say({ type: "reset", room: "demo", seq: 50, mid: 0, peers: [] });
  await reconnect(server);
  server.joined({ recovery: "snapshot", seq: 60, mid: 0, peers: [] });
  assert.deepEqual([...room.peers.keys()], ["p_bo"]);
  for (let at = 0; at < 30; at += 5) {
    await server.clock.pass(5_000);
    server.say({ type: "pong" });
  }
  assert.deepEqual([...room.peers.keys()], []);
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

test("a message whose refusal was lost with its socket is reported, and those that were settled are not", async () => {
  const { server, room, of } = await joined({ peers: [BO] });
  room.signal("arrived", { to: "p_bo" });
  room.signal("refused", { to: "p_gone" });
  room.signal("refused, and told before", { to: "p_gone" });
  server.say({ type: "error", room: "demo", mid: 3, code: "peer_not_found", message: "nobody", retry: false });
  assert.equal(of("error").length, 1);
  await reconnect(server);
  const refused = [2, 3].map((mid) => ({ mid, code: "peer_not_found", message: "nobody" }));
  server.joined({ recovery: "replay", seq: 200, mid: 3, refused });
  assert.deepEqual(of("error").slice(1), [{ code: "peer_not_found", message: "nobody", mid: 2, to: "p_gone" }]);
  await settle();
  assert.deepEqual(server.sent("signal"), [], "nothing is sent again");
});

test("a full room refuses the join with its code and how long to wait", async () => {
  const { server, joining } = await asking();
  const [{ id }] = server.sent("join");
  server.say({ type: "error", id, code: "room_full", retry: false, message: "2 of 2", after: 12_000 });
  await assert.rejects(joining, { code: "room_full", after: 12_000 });
});

test("a join that fails for a passing reason is repeated with the next try", async () => {
  const { server, joining } = await asking();
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
  const { server, joining } = await asking({ storage });
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

test("a connection that stops for good ends the room and says why", async () => {
  const { server, of, client } = await joined();
  server.close(4203);
  assert.deepEqual(of("left"), [{ reason: "kicked" }]);
  assert.match(client.state.reason, /moderator/);
});

test("a peer whose path broke while it was away is offered to when it is back", async () => {
  const { server, room } = await joined({ peers: [BO] });
  const bo = room.peers.get("p_bo");
  let offered = 0;
  Object.assign(bo, { state: "reconnecting", renegotiate: () => (offered += 1) });
  server.say({ type: "peer_updated", room: "demo", seq: 101, peer: { id: "p_bo", away: true } });
  server.say({ type: "peer_updated", room: "demo", seq: 102, peer: { id: "p_bo", away: false } });
  assert.equal(offered, 1);
});

test("a call whose path broke has fresh ICE servers asked for", async () => {
  const { server, room } = await joined({ peers: [BO] });
  room.peers.get("p_bo").emit("state", "connected");
  assert.equal(server.sent("ice").length, 0);
  room.peers.get("p_bo").emit("state", "reconnecting");
  assert.equal(server.sent("ice").length, 1);
});

test("a join that fails before it is sent can be tried again", async (t) => {
  t.mock.method(Identity.prototype, "claim", async () => {
    throw new Error("no randomness today");
  }, { times: 1 });
  const server = new FakeServer();
  const client = new SignalClient(server.options({ identity: { storage: new FakeStorage(), locks: new FakeLocks() } }));
  await assert.rejects(client.join("demo"), /no randomness today/);
  const again = client.join("demo");
  await server.accept(1);
  server.joined();
  assert.equal((await again).state, "joined");
});

test("a rate limit without a message stops volatile signals and what is kept waits", async () => {
  for (const room of ["demo", undefined]) {
    const { server, room: joinedRoom } = await joined({ peers: [BO] });
    server.say({ type: "error", room, code: "rate_limited", retry: true, after: 3_000, message: "slow down" });
    joinedRoom.signal("volatile", { volatile: true });
    joinedRoom.signal("kept");
    await server.clock.pass(2_900);
    assert.equal(server.sent("signal").length, 0);
    await server.clock.pass(200);
    assert.deepEqual(server.sent("signal").map(({ data }) => data), ["kept"]);
    joinedRoom.signal("volatile again", { volatile: true });
    assert.equal(server.sent("signal").length, 2);
  }
});
