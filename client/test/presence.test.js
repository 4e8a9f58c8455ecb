import assert from "node:assert/strict";
import { test } from "node:test";
import { SignalClient } from "../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./support/server.js";
import { settle } from "./support/clock.js";

/** Being seen, and seeing others. */

function client(storage = new FakeStorage()) {
  const server = new FakeServer();
  const made = new SignalClient(server.options({ identity: { storage, locks: new FakeLocks() } }));
  return { server, client: made, storage };
}

/** Answers the newest `online` of a socket. */
function online(server, socket = server.socket) {
  server.tell(socket, { type: "online", id: server.sent("online", socket).at(-1).id, device: "p_me" });
}

/** The fields of the newest frame of a type, without its `id`. */
function last(server, type, socket = server.socket) {
  const { id, ...frame } = server.sent(type, socket).at(-1);
  return frame;
}

const presence = (user, state) => ({ type: "presence", user, state, devices: [] });

test("a page is online over each new link, and keeps what the server has taken", async () => {
  const { server, client: bo } = client();
  const done = bo.online({ state: "busy", meta: { name: "Bo" } });
  await server.accept(1);
  const { device, ...said } = last(server, "online");
  assert.deepEqual(said, { type: "online", try: 1, state: "busy", meta: { name: "Bo" } });
  online(server);
  assert.equal(await done, "p_me");
  server.close(1006);
  await server.clock.pass(1000);
  await server.accept(2);
  assert.deepEqual(last(server, "online"), { type: "online", device, try: 2, state: "busy", meta: { name: "Bo" }, resume: true });
});

test("a state that changes while the link is away is told anew", async () => {
  const { server, client: bo } = client();
  bo.online();
  await server.accept(1);
  online(server);
  server.close(1006);
  const changed = bo.online({ state: "away" });
  await server.clock.pass(1000);
  await server.accept(2);
  assert.equal(last(server, "online").resume, undefined);
  assert.equal(last(server, "online").state, "away");
  online(server);
  await changed;
});

test("two changes at once are said one after the other, and the last one is what stays", async () => {
  const { server, client: bo } = client();
  const first = bo.online({ state: "one" });
  await server.accept(1);
  const second = bo.online({ state: "two" });
  await settle();
  assert.equal(server.sent("online").length, 1, "the server takes one at a time");
  online(server);
  assert.equal(last(server, "online").state, "two");
  online(server);
  assert.deepEqual(await Promise.all([first, second]), ["p_me", "p_me"]);
});

test("a page that is loaded again is the same device", async () => {
  const storage = new FakeStorage();
  const { server, client: before } = client(storage);
  before.online();
  await server.accept(1);
  const { device } = last(server, "online");
  const { server: next, client: after } = client(storage);
  after.online();
  await next.accept(1);
  assert.deepEqual([last(next, "online").device, last(next, "online").try], [device, 2]);
});

test("a refusal for now is repeated after its pause, and one for good is told", async () => {
  const { server, client: bo } = client();
  const done = bo.online();
  await server.accept(1);
  const refuse = (fields) => server.say({ type: "error", id: server.sent("online").at(-1).id, message: "no", ...fields });
  refuse({ code: "unavailable", retry: true, after: 700 });
  await server.clock.pass(699);
  assert.equal(server.sent("online").length, 1);
  await server.clock.pass(1);
  assert.equal(server.sent("online").length, 2);
  refuse({ code: "limit_exceeded", retry: false });
  await assert.rejects(done, { name: "SignalError", code: "limit_exceeded" });
});

test("a device that another page has taken is told so and stays away", async () => {
  const { server, client: bo } = client();
  const reasons = [];
  bo.on("offline", ({ reason }) => reasons.push(reason));
  const done = bo.online();
  await server.accept(1);
  online(server);
  await done;
  server.say({ type: "offline", reason: "replaced" });
  assert.deepEqual(reasons, ["replaced"]);
  server.close(1006);
  await server.clock.pass(1000);
  await server.accept(2);
  assert.equal(server.sent("online").length, 0);
});

test("a draining node is left once the device has arrived on the next one", async () => {
  const { server, client: bo } = client();
  bo.online();
  await server.accept(1);
  online(server);
  const old = server.socket;
  server.say({ type: "goaway", reason: "drain", after: 100, within: 5000 });
  await server.clock.pass(100);
  await server.accept(2);
  assert.equal(old.readyState, 1, "not before the device has arrived");
  server.tell(old, { type: "offline", reason: "replaced" });
  online(server);
  assert.equal(old.readyState, 3);
  assert.equal(last(server, "online").resume, true);
});

test("offline forgets the device, and the next one is another", async () => {
  const { server, client: bo } = client();
  bo.online();
  await server.accept(1);
  online(server);
  const { device } = last(server, "online");
  const over = bo.offline();
  server.say({ type: "ok", id: server.sent("offline").at(-1).id });
  await over;
  bo.online();
  await settle();
  assert.notEqual(last(server, "online").device, device);
  assert.equal(last(server, "online").try, 1);
});

test("users are watched once, however many watches there are, and again over each new link", async () => {
  const { server, client: ana } = client();
  const one = ana.watch(["bo", "cy"]);
  const two = ana.watch(["bo"]);
  await server.accept(1);
  assert.deepEqual(last(server, "watch"), { type: "watch", users: ["bo", "cy"] });
  assert.equal(server.sent("watch").length, 1);
  const told = [];
  one.on("presence", ({ user, state }) => told.push(`one ${user} ${state}`));
  two.on("presence", ({ user, state }) => told.push(`two ${user} ${state}`));
  server.say(presence("bo", "online"), presence("cy", "away"));
  assert.deepEqual(told, ["one bo online", "two bo online", "one cy away"]);
  two.close();
  assert.equal(server.sent("unwatch").length, 0);
  one.close();
  assert.deepEqual(last(server, "unwatch").users, ["bo", "cy"]);
  const late = ana.watch(["bo"]);
  assert.deepEqual([...late.presence], [], "what was known is forgotten with the last watch");
  server.close(1006);
  await server.clock.pass(1000);
  await server.accept(2);
  assert.deepEqual(last(server, "watch").users, ["bo"]);
});

test("a new listener is called at once for everyone who is known", async () => {
  const { server, client: ana } = client();
  const watch = ana.watch(["bo"]);
  await server.accept(1);
  server.say(presence("bo", "online"));
  const states = [];
  watch.on("presence", ({ state }) => states.push(state));
  ana.watch(["bo"]).on("presence", ({ state }) => states.push(`again ${state}`));
  assert.deepEqual(states, ["online", "again online"]);
  assert.equal(watch.presence.get("bo").state, "online");
});

test("two hundred and fifty users are asked for in frames of a hundred", async () => {
  const { server, client: ana } = client();
  ana.watch(Array.from({ length: 250 }, (_, number) => `user${number}`));
  await server.accept(1);
  assert.deepEqual(server.sent("watch").map(({ users }) => users.length), [100, 100, 50]);
});

test("a watch that ended for now is asked for again, and a forbidden one is told", async () => {
  const { server, client: ana } = client();
  const watch = ana.watch(["bo", "cy"]);
  const errors = [];
  watch.on("error", ({ users, error }) => errors.push([users, error.code]));
  await server.accept(1);
  server.say({ type: "ok", id: server.sent("watch").at(-1).id });
  server.say({ type: "error", user: "bo", code: "unavailable", retry: true, message: "later", after: 500 });
  await server.clock.pass(500);
  assert.deepEqual(last(server, "watch").users, ["bo"]);
  assert.equal(server.sockets.length, 1, "it is nothing about the connection");
  server.say({ type: "ok", id: server.sent("watch").at(-1).id });
  server.say({ type: "error", user: "cy", code: "forbidden", retry: false, message: "no" });
  assert.deepEqual(errors, [[["cy"], "forbidden"]]);
  ana.close();
  assert.deepEqual(errors.at(-1), [["bo"], "closed"]);
});
