import assert from "node:assert/strict";
import { test } from "node:test";
import { BO, joined } from "./support/room.js";

/** Moving from one socket to the next while both are open, and everything that can go wrong on the way. */

const REPLACED = { type: "left", room: "demo", reason: "replaced" };
const UNAVAILABLE = { type: "error", code: "unavailable", retry: true, message: "no Redis" };
const heard = (seq, data) => ({ type: "signal", room: "demo", seq, from: "p_bo", data });
const told = (of) => of("signal").map(({ data }) => data);
const numbered = (frames) => frames.map(({ mid, data }) => [mid, data]);

/** A member whose node drains: it has asked to join on the next socket and is still joined on the old one. */
async function moving(fields = { peers: [BO] }) {
  const context = await joined(fields);
  const old = context.server.socket;
  context.server.say({ type: "goaway", reason: "drain", after: 0, within: 5000 });
  await context.server.clock.pass(0);
  return { ...context, old, next: await context.server.accept(2) };
}

/** A member that has lost its socket, has asked to join on the first one after it, and then on the next. */
async function onItsWay() {
  const context = await joined();
  const { server } = context;
  server.close(1006);
  await server.clock.pass(1_000);
  const first = await server.accept(2);
  server.tell(first, { type: "goaway", reason: "drain", after: 0, within: 5000 });
  await server.clock.pass(0);
  const next = await server.accept(3);
  return { ...context, first, next };
}

/** Refuses the last join on a socket. */
function refuse(server, socket, fields = UNAVAILABLE) {
  server.tell(socket, { ...fields, type: "error", id: server.sent("join", socket).at(-1).id });
}

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

test("what was not acknowledged when the sockets change is sent once on the new one, and not again on the old", async () => {
  const { server, room, old, next } = await moving();
  for (const text of ["a", "b", "c"]) room.signal(text);
  server.tell(old, { type: "ack", room: "demo", mid: 1, seq: 101 });
  server.joined({ recovery: "replay", seq: 105, mid: 2 }, next);
  assert.deepEqual(numbered(server.sent("signal", old)), [[1, "a"], [2, "b"], [3, "c"]]);
  assert.deepEqual(numbered(server.sent("signal", next)), [[3, "c"]]);
  server.tell(next, { type: "ack", room: "demo", mid: 3, seq: 106 });
  assert.equal(room.unsettled, 0);
});

test("entries of both sockets are told once, in the order of the log", async () => {
  const { server, of, old, next } = await moving();
  server.tell(old, heard(101, "a"));
  server.tell(next, heard(101, "a"));
  server.tell(next, heard(102, "b"));
  server.tell(old, heard(102, "b"));
  server.tell(old, heard(103, "c"));
  server.tell(next, heard(103, "c"));
  server.joined({ recovery: "replay", seq: 104, mid: 0 }, next);
  server.tell(next, heard(105, "d"));
  assert.deepEqual(told(of), ["a", "b", "c", "d"]);
});

test("a reset that both sockets tell of is taken once, so that nothing after it repeats", async () => {
  const { server, of, old, next } = await moving();
  const reset = { type: "reset", room: "demo", seq: 50, mid: 0, peers: [BO] };
  for (const socket of [old, next]) {
    server.tell(socket, reset);
    server.tell(socket, heard(51, "after"));
  }
  assert.equal(of("reset").length, 1);
  assert.deepEqual(told(of), ["after"]);
});

test("a reset that is replayed and older than what the current socket has told takes nobody back", async () => {
  const { server, of, old, next } = await moving();
  server.tell(old, heard(120, "now"));
  server.tell(next, { type: "reset", room: "demo", seq: 110, mid: 0, peers: [BO] });
  server.tell(next, heard(120, "now"));
  server.joined({ recovery: "replay", seq: 121, mid: 0 }, next);
  assert.equal(of("reset").length, 0);
  assert.deepEqual(told(of), ["now"]);
  server.tell(next, { type: "reset", room: "demo", seq: 50, mid: 0, peers: [BO] });
  server.tell(next, heard(51, "after"));
  assert.deepEqual(told(of), ["now", "after"], "once joined, a reset counts even backwards");
});

test("once the member has moved, the old socket is not listened to", async () => {
  const { server, room, of, old, next } = await moving({ peers: [BO], mid: 0 });
  server.joined({ recovery: "new", seq: 200, mid: 0 }, next);
  room.signal("first of the new member");
  server.tell(old, { type: "ack", room: "demo", mid: 31, seq: 999 });
  server.tell(old, heard(1000, "of before"));
  assert.equal(room.unsettled, 1);
  server.tell(next, heard(201, "of now"));
  assert.deepEqual(told(of), ["of now"]);
});

test("a next socket that dies after the member has moved there gives it back to the current one", async () => {
  const { server, room, of, old, next } = await moving();
  room.signal("kept");
  server.tell(old, REPLACED);
  server.close(1006, next);
  const again = server.sent("join", old).at(-1);
  assert.deepEqual([again.try, again.seq], [3, 100]);
  server.joined({ recovery: "replay", seq: 105, mid: 0 }, old);
  assert.deepEqual(numbered(server.sent("signal", old)), [[1, "kept"], [1, "kept"]]);
  assert.equal(room.state, "joined");
  assert.deepEqual(of("left"), []);
});

test("rooms that have moved come back when another room cannot follow them", async () => {
  const { server, client, room } = await joined();
  const joining = client.join("other");
  await server.clock.pass(0);
  server.joined();
  const other = await joining;
  server.say(UNAVAILABLE);
  await server.clock.pass(9_000);
  server.say({ type: "pong" });
  await server.clock.pass(1_000);
  const [first] = server.sockets;
  const next = await server.accept(2);
  const [demo, foreign] = server.sent("join", next);
  assert.deepEqual([demo.room, foreign.room], ["demo", "other"]);
  server.tell(next, { type: "joined", id: demo.id, room: "demo", seq: 200, recovery: "replay", mid: 0, self: room.self });
  server.tell(next, { ...UNAVAILABLE, id: foreign.id });
  assert.equal(next.closedWith, 1000);
  assert.equal(room.state, "away");
  assert.equal(server.sent("join", first).at(-1).room, "demo");
  refuse(server, first, { code: "already_joined", retry: false, message: "not yet" });
  await server.clock.pass(2_000);
  server.joined({ recovery: "replay", seq: 201 }, first);
  assert.deepEqual([room.state, other.state], ["joined", "joined"]);
});

test("a socket that says twice that the room is on it, and was not waited for, is replaced by a new one", async () => {
  const { server, of } = await joined();
  server.close(1006);
  await server.clock.pass(1_000);
  const socket = await server.accept(2);
  for (const wait of [2_999, 0]) {
    assert.equal(socket.closedWith, undefined);
    refuse(server, socket, { code: "already_joined", retry: false, message: "on it" });
    await server.clock.pass(wait);
  }
  assert.deepEqual([socket.closedWith, of("left")], [4001, []]);
});

test("a socket whose answer was not waited for tells nothing before it is replaced: its entries do not follow the position", async () => {
  const { server, of, first, next } = await onItsWay();
  server.joined({ recovery: "replay", seq: 120 }, first);
  server.tell(first, heard(121, "not heeded"));
  server.close(1006, next);
  server.tell(first, heard(122, "behind a gap"));
  assert.equal(server.sent("join", first).at(-1).seq, 100);
  refuse(server, first, { code: "already_joined", retry: false, message: "on it" });
  server.tell(first, heard(123, "behind a gap"));
  await server.clock.pass(2_999);
  refuse(server, first, { code: "already_joined", retry: false, message: "on it" });
  assert.deepEqual([told(of), first.closedWith], [[], 4001]);
});

test("a replay of which a part was not heeded is asked for again", async () => {
  const { server, of, first, next } = await onItsWay();
  server.tell(first, heard(101, "not heeded"));
  server.close(1006, next);
  server.tell(first, heard(102, "behind a gap"));
  server.joined({ recovery: "replay", seq: 103 }, first);
  assert.deepEqual([told(of), first.closedWith], [[], 4001]);
});

test("a snapshot from before what was told meanwhile is asked for again, once", async () => {
  const { server, of, first, next } = await onItsWay();
  server.joined({ recovery: "snapshot", seq: 90 }, next);
  assert.deepEqual([of("joined"), next.closedWith], [[], 4001]);
  server.close(4001, next);
  assert.equal(server.sent("join", first).at(-1).seq, 100);
  server.joined({ recovery: "snapshot", seq: 90 }, first);
  assert.deepEqual([of("joined").length, first.closedWith], [1, undefined]);
});

test("a socket that did not take the newest join speaks of an earlier one when it says that the member was replaced", async () => {
  const { server, room, of } = await joined();
  server.close(1006);
  await server.clock.pass(1_000);
  const socket = await server.accept(2);
  refuse(server, socket, { code: "already_joined", retry: false, message: "on it" });
  server.tell(socket, REPLACED);
  assert.deepEqual(of("left"), []);
  await server.clock.pass(2_999);
  server.joined({ recovery: "replay", seq: 105 }, socket);
  assert.equal(room.state, "joined");
});

test("a join that was refused and took effect all the same does not end the room", async () => {
  const { server, room, of, old, next } = await moving();
  refuse(server, next);
  assert.equal(next.closedWith, 1000);
  server.tell(old, REPLACED);
  assert.equal(server.sent("join", old).at(-1).try, 3);
  server.joined({ recovery: "replay", seq: 105 }, old);
  assert.equal(room.state, "joined");
  assert.deepEqual(of("left"), []);
});

test("a next socket on which the room does not arrive in time is given up, and another is tried", async () => {
  const { server, room, old, next } = await moving();
  await server.clock.pass(9_000);
  for (const socket of [old, next]) server.tell(socket, { type: "pong" });
  await server.clock.pass(999);
  assert.equal(next.closedWith, undefined);
  await server.clock.pass(1);
  assert.equal(next.closedWith, 1000);
  room.signal("still here");
  assert.equal(server.sent("signal", old).length, 1);
  await server.clock.pass(400);
  assert.equal(server.sockets.length, 3);
});

test("an old socket that closes before the room has arrived leaves it to the new one", async () => {
  const { server, room, of, old, next } = await moving();
  room.signal("a");
  server.close(4000, old);
  server.joined({ recovery: "replay", seq: 105, mid: 0 }, next);
  assert.deepEqual(numbered(server.sent("signal", next)), [[1, "a"]]);
  assert.equal(room.state, "joined");
  await server.clock.pass(5_000);
  assert.equal(server.sockets.length, 2);
  assert.deepEqual(of("left"), []);
});

test("an old socket that the server closes because its member has moved on is neither an absence nor an end", async () => {
  const { server, client, room, of, old, next } = await moving();
  server.tell(old, REPLACED);
  server.close(4202, old);
  server.joined({ recovery: "replay", seq: 105, mid: 0 }, next);
  assert.deepEqual([room.state, client.state.phase, of("state")], ["joined", "open", []]);
});

test("a socket closed as replaced by one of this page's own, which then died, is followed by another", async () => {
  const { server, client, room, of, old, next } = await moving();
  server.tell(old, REPLACED);
  server.close(1006, next);
  server.close(4202, old);
  assert.deepEqual([room.state, client.state.phase], ["away", "waiting"]);
  await server.clock.pass(client.state.retryIn);
  await server.accept(3);
  server.joined({ recovery: "replay", seq: 105, mid: 0 });
  assert.deepEqual([room.state, of("left")], ["joined", []]);
});

test("a room joined during the handover is joined on the socket that stays", async () => {
  const { server, client, old, next } = await moving();
  const joining = client.join("late");
  await server.clock.pass(0);
  assert.deepEqual(server.sent("join", old).map(({ room }) => room), ["demo"]);
  assert.deepEqual(server.sent("join", next).map(({ room }) => room), ["demo", "late"]);
  server.joined({ self: { id: "p_late", n: 1 } }, next);
  await joining;
  assert.equal(old.closedWith, undefined);
  const [demo] = server.sent("join", next);
  server.tell(next, { type: "joined", id: demo.id, room: "demo", seq: 105, recovery: "replay", mid: 0, self: { id: "p_me", n: 7 } });
  assert.equal(old.closedWith, 1000);
});

test("somebody who leaves while moving is not left behind on the new socket", async () => {
  const { server, room, old, next } = await moving();
  const leaving = room.leave();
  assert.equal(server.sent("leave", old).length, 1);
  server.joined({ recovery: "new", seq: 105 }, next);
  const [{ id }] = server.sent("leave", next);
  server.tell(next, { type: "ok", id });
  await leaving;
});

test("a node that drains before the member has arrived on it is left in turn", async () => {
  const { server, next } = await moving();
  server.tell(next, { type: "goaway", reason: "drain", after: 100, within: 5000 });
  await server.clock.pass(100);
  assert.equal(server.sockets.length, 2);
  server.joined({ recovery: "replay", seq: 105 }, next);
  await server.clock.pass(100);
  assert.equal(server.sockets.length, 3);
  assert.equal(next.closedWith, undefined);
});

test("a member that expired while it moved is whatever its newest join is answered", async () => {
  const { server, room, of, old, next } = await moving();
  server.tell(old, { type: "left", room: "demo", reason: "expired" });
  await server.clock.pass(0);
  assert.equal(server.sent("join", next).length, 1);
  server.joined({ recovery: "new", seq: 110, mid: 0, peers: [BO] }, next);
  room.signal("in again");
  assert.deepEqual(numbered(server.sent("signal", next)), [[1, "in again"]]);
  assert.deepEqual(of("left"), []);
});

test("a replay that begins before what the old socket has told takes nobody back", async () => {
  const { server, of, old, next } = await moving();
  server.tell(old, heard(130, "now"));
  server.joined({ recovery: "replay", seq: 120, mid: 0 }, next);
  server.tell(next, heard(130, "now"));
  server.tell(next, heard(131, "then"));
  assert.deepEqual(told(of), ["now", "then"]);
});

test("who comes back says which of its messages was the last that is settled", async () => {
  const { server, room, old } = await moving();
  room.signal("a");
  server.tell(old, { type: "ack", room: "demo", mid: 1, seq: 101 });
  const [{ mid: first }] = server.sent("join", old);
  server.tell(old, { type: "goaway", reason: "drain", after: 0, within: 5000 });
  server.close(1006);
  await server.clock.pass(1_000);
  const [{ mid: later }] = server.sent("join", await server.accept(3));
  assert.deepEqual([first, later], [undefined, 1]);
});
