import assert from "node:assert/strict";
import { test } from "node:test";
import { SignalClient } from "../src/index.js";
import { FakeLocks, FakeServer, FakeStorage } from "./support/server.js";
import { settle } from "./support/clock.js";

/** Calling a user, and being called. */

async function client() {
  const server = new FakeServer();
  const made = new SignalClient(server.options({ identity: { storage: new FakeStorage(), locks: new FakeLocks() } }));
  const online = made.online();
  await server.accept(1);
  server.say({ type: "online", id: server.sent("online").at(-1).id, device: "p_me" });
  await online;
  return { server, client: made };
}

const last = (server, type) => server.sent(type).at(-1);

/** The server rings. */
const ring = (server, call, from = "bo") => server.say({ type: "ring", call, from, room: "meet", within: 30_000, data: { video: true } });

test("a call rings, is accepted, and its room is joined by it", async () => {
  const { server, client: ana } = await client();
  const states = [];
  const call = ana.call("bo", { timeout: 30, data: { video: true } });
  call.on("state", (state) => states.push(state));
  const { id, ...said } = last(server, "call");
  assert.deepEqual(said, { type: "call", to: "bo", call: call.id, timeout: 30, data: { video: true } });
  server.say({ type: "ringing", id, call: call.id, room: "meet", devices: 2 });
  server.say({ type: "call_accepted", call: call.id, room: "meet", device: "p_bo" });
  assert.equal(await call.accepted, "meet");
  assert.deepEqual([states, call.devices], [["ringing", "accepted"], 2]);
  const room = call.join({ RTCPeerConnection: null });
  await settle();
  assert.deepEqual(last(server, "join").call, { to: "bo", call: call.id });
  server.joined();
  assert.equal((await room).name, "meet");
  call.cancel();
  assert.deepEqual([last(server, "cancel").to, call.reason], ["bo", "hung_up"]);
});

test("an incoming call is told once, accepted, and joined without the name of the callee", async () => {
  const { server, client: ana } = await client();
  const calls = [];
  ana.on("call", (call) => calls.push(call));
  ring(server, "c1");
  ring(server, "c1");
  assert.deepEqual(calls.map(({ user, data, state }) => [user, data, state]), [["bo", { video: true }, "ringing"]]);
  const accepted = calls[0].accept();
  server.say({ type: "call_accepted", id: last(server, "accept").id, call: "c1", room: "meet", device: "p_me" });
  assert.equal(await accepted, "meet");
  calls[0].join({ RTCPeerConnection: null }).catch(() => {});
  await settle();
  assert.deepEqual(last(server, "join").call, { call: "c1" });
  server.say({ type: "call_ended", call: "c1", reason: "hung_up" });
  assert.equal(calls[0].state, "ended");
  ring(server, "c1");
  assert.equal(calls.length, 1, "a late ring of a call that is over is no new one");
});

test("a call that another device has taken is over here", async () => {
  const { server, client: ana } = await client();
  const calls = [];
  ana.on("call", (call) => calls.push(call));
  ring(server, "c1");
  const accepted = calls[0].accept();
  server.say({ type: "call_ended", id: last(server, "accept").id, call: "c1", reason: "answered_elsewhere" });
  await assert.rejects(accepted, { code: "answered_elsewhere" });
});

test("over a new link a call is said again, and so is what was accepted and not answered", async () => {
  const { server, client: ana } = await client();
  const calls = [];
  ana.on("call", (call) => calls.push(call));
  const call = ana.call("cy");
  ring(server, "c1");
  calls[0].accept();
  server.close(1006);
  await server.clock.pass(1000);
  await server.accept(2);
  assert.equal(last(server, "call").call, call.id);
  assert.equal(last(server, "accept").call, "c1");
  server.say({ type: "error", id: last(server, "accept").id, code: "not_joined", retry: false, message: "not online" });
  await server.clock.pass(1000);
  assert.equal(server.sent("accept").length, 2, "the page is not online again yet");
  server.say({ type: "call_ended", id: last(server, "call").id, call: call.id, reason: "timeout" });
  assert.deepEqual([call.state, call.reason], ["ended", "timeout"]);
});

test("of two users who call each other each is in the one call, and no event tells of a second", async () => {
  for (const [theirs, survives] of [["!", false], ["~", true]]) {
    const { server, client: ana } = await client();
    const calls = [];
    ana.on("call", (call) => calls.push(call));
    const call = ana.call("bo");
    const own = call.id;
    ring(server, theirs);
    if (survives) {
      server.say({ type: "call_accepted", call: own, room: "mine", device: "p_bo" });
    } else {
      server.say({ type: "call_accepted", call: theirs, room: "meet", device: "p_me" });
      server.say({ type: "call_ended", call: own, reason: "glare" });
    }
    assert.deepEqual([calls.length, call.state, call.room, call.id], [0, "accepted", survives ? "mine" : "meet", survives ? own : theirs]);
    assert.equal(await call.accepted, call.room);
  }
});

test("a refusal for good ends the call with its code", async () => {
  const { server, client: ana } = await client();
  const call = ana.call("bo");
  server.say({ type: "error", id: last(server, "call").id, code: "forbidden", retry: false, message: "no" });
  await assert.rejects(call.accepted, { code: "forbidden" });
});
