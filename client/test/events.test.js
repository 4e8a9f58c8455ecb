import assert from "node:assert/strict";
import { test } from "node:test";
import { Emitter } from "../src/events.js";
import { BO, CY, joined } from "./support/room.js";
import { FakePeerConnection } from "./support/pc.js";
import { settle } from "./support/clock.js";

/** Every event an application can listen to. */
const EVENTS = {
  client: ["state", "warning"],
  room: ["joined", "peer", "peerLeft", "peerUpdated", "signal", "left", "reset", "error", "state"],
  peer: ["state", "stream", "open", "message", "iceError", "error"],
};

/** A client in a room with Bo, and each of the three that emit. */
async function emitters() {
  const { client, room, server } = await joined({ peers: [BO] }, { join: { RTCPeerConnection: FakePeerConnection } });
  return { client, room, server, peer: room.peers.get("p_bo") };
}

/** What `run` and its microtasks throw at the host instead of at whoever emitted. */
function uncaught(context) {
  const thrown = [];
  context.mock.method(globalThis, "queueMicrotask", (run) => {
    try {
      run();
    } catch (error) {
      thrown.push(error.message);
    }
  });
  return thrown;
}

for (const [owner, names] of Object.entries(EVENTS)) {
  for (const name of names) {
    test(`once and off hold for ${owner}.${name}`, async () => {
      const emitter = (await emitters())[owner];
      const seen = [];
      const [first, removed, gone] = ["first", "removed", "gone"].map((label) => (detail) => seen.push([label, detail]));
      const before = name === "peer" ? ["p_bo"] : []; // who is there already counts as the next one
      emitter.once(name, first);
      emitter.on(name, removed);
      emitter.off(name, removed);
      if (before.length === 0) emitter.once(name, gone);
      emitter.off(name, gone);
      for (const detail of ["one", "two"]) emitter.emit(name, detail);
      const labels = seen.filter(([label]) => label === "first");
      assert.equal(labels.length, 1);
      assert.ok(!seen.some(([label]) => label === "gone"));
      assert.equal(seen.filter(([label]) => label === "removed").length, before.length);
    });
  }
}

test("once for a peer is called for the one who is there, and not for the next", async () => {
  const { room, server } = await emitters();
  const seen = [];
  room.once("peer", ({ id }) => seen.push(id));
  server.say({ type: "peer_joined", room: "demo", seq: 101, peer: CY });
  assert.deepEqual(seen, ["p_bo"]);
});

test("once for a peer waits in an empty room", async () => {
  const { room, server } = await joined();
  const seen = [];
  room.once("peer", ({ id }) => seen.push(id));
  server.say({ type: "peer_joined", room: "demo", seq: 101, peer: BO }, { type: "peer_joined", room: "demo", seq: 102, peer: CY });
  assert.deepEqual(seen, ["p_bo"]);
});

test("once for a stream is called with the one that is there, and not for its end", async () => {
  const { peer } = await emitters();
  const stream = { getTracks: () => [] };
  peer.stream = stream;
  const seen = [];
  peer.once("stream", (detail) => seen.push(detail));
  peer.close();
  assert.deepEqual(seen, [stream]);
});

test("a listener that throws at once is reported as one that throws later, and nobody else notices", async (context) => {
  const { room, server } = await emitters();
  const thrown = uncaught(context);
  const seen = [];
  room.on("peer", ({ id }) => {
    throw new Error(`fault at ${id}`);
  });
  room.on("peer", ({ id }) => seen.push(id));
  server.say({ type: "peer_joined", room: "demo", seq: 101, peer: CY });
  server.say({ type: "peer_updated", room: "demo", seq: 102, peer: { id: "p_cy", meta: { name: "Cy" } } });
  await settle();
  assert.deepEqual(thrown, ["fault at p_bo", "fault at p_cy"]);
  assert.deepEqual(seen, ["p_bo", "p_cy"]);
  assert.deepEqual(room.peers.get("p_cy").meta, { name: "Cy" });
});

test("a listener that throws in `once` is not called again", (context) => {
  const emitter = new Emitter();
  const thrown = uncaught(context);
  emitter.once("it", () => {
    throw new Error("once");
  });
  emitter.emit("it", 1);
  emitter.emit("it", 2);
  assert.deepEqual(thrown, ["once"]);
});

test("a listener that another one removes is not called any more", () => {
  const emitter = new Emitter();
  const seen = [];
  const late = (detail) => seen.push(detail);
  emitter.on("it", () => emitter.off("it", late));
  emitter.on("it", late);
  emitter.emit("it", 1);
  assert.deepEqual(seen, []);
});
