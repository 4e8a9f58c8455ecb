import assert from "node:assert/strict";
import { test } from "node:test";
import { NegotiationFilter, isMarked } from "../src/negotiation-message.js";
import { BO, joined } from "./support/room.js";
import { FakePeerConnection } from "./support/pc.js";
import { settle } from "./support/clock.js";

const OFFER = { type: "offer", sdp: "v=0" };

/** A room in which Bo's offer was answered, and what Bo says next, as a signal. */
async function calling(mark) {
  const context = await joined({ peers: [BO] }, { join: { RTCPeerConnection: FakePeerConnection } });
  let seq = 100;
  const say = async (data, more) => {
    context.server.say({ type: "signal", room: "demo", seq: (seq += 1), from: "p_bo", to: "p_me", data, ...more });
    await settle();
    await settle();
    await settle();
  };
  const peer = context.room.peers.get("p_bo");
  await settle();
  await say({ ...mark, session: "bo", description: { type: "offer", sdp: "v=0" } });
  assert.equal(peer.pc.remoteDescription?.type, "offer");
  assert.deepEqual(context.of("signal"), []);
  return { ...context, say, peer, pc: peer.pc };
}

const MARK = { "signal-cluster:rtc": 1 };

test("the SDK's own messages carry the reserved key, and the fields of SDK 0.1.0 where it reads them", async () => {
  const { server, pc } = await calling(MARK);
  pc.onicecandidate({ candidate: null });
  const sent = server.sent("signal").map(({ data }) => data);
  assert.ok(sent.length >= 2);
  assert.ok(sent.every((data) => isMarked(data)));
  // What SDK 0.1.0 takes for negotiation.
  assert.ok(sent.every((data) => typeof data.session === "string" && ("description" in data || "candidate" in data)));
});

for (const [who, mark] of [["this SDK", MARK], ["SDK 0.1.0", {}]]) {
  for (const data of [
    { session: "mine", description: "a talk about Rust" },
    { session: "mine", description: null },
    { session: "mine", candidate: "Ana" },
    { session: "mine", candidate: { name: "Ana" } },
    { session: "mine", description: { type: "offer", price: 3 } },
    { session: "mine", description: OFFER, title: "mine" },
  ]) {
    test(`an application's ${JSON.stringify(data)} from ${who} cuts no call`, async () => {
      const { say, of, peer, pc } = await calling(mark);
      await say(data);
      assert.deepEqual(of("signal").map((signal) => signal.data), [data]);
      assert.equal(peer.pc, pc);
      assert.equal(pc.signalingState, "stable");
    });
  }
}

test("what looks like negotiation in every field is the application's, from a member whose SDK marks its own", async () => {
  const { say, of, peer, pc } = await calling(MARK);
  await say({ session: "mine", description: OFFER });
  assert.equal(of("signal").length, 1);
  assert.equal(peer.pc, pc);
});

for (const more of [{ to: undefined }, { volatile: true, seq: undefined }]) {
  test(`a signal with ${Object.keys(more)[0]} is the application's even if it looks like negotiation`, async () => {
    const { say, of, peer, pc } = await calling({});
    await say({ session: "mine", description: OFFER }, more);
    assert.equal(of("signal").length, 1);
    assert.equal(peer.pc, pc);
  });
}

test("a page that comes back with SDK 0.1.0 is understood again", async () => {
  const { server, say, peer, pc } = await calling(MARK);
  server.say({ type: "peer_updated", room: "demo", seq: 150, peer: { id: "p_bo", away: false } });
  server.say({ type: "signal", room: "demo", seq: 151, from: "p_bo", to: "p_me", data: { session: "old", description: OFFER } });
  await say({});
  assert.notEqual(peer.pc, pc);
});

for (const volatile of [false, true]) {
  test(`an application cannot use the reserved key (volatile: ${volatile})`, async () => {
    const { server, room, of } = await joined({ peers: [BO] });
    await assert.rejects(room.signal({ ...MARK, session: "x" }, { to: "p_bo", volatile }).settled, { code: "bad_request" });
    assert.deepEqual(of("error").map(({ code, to }) => [code, to]), [["bad_request", "p_bo"]]);
    assert.match(of("error")[0].message, /"signal-cluster:rtc".*reserved/);
    assert.deepEqual(server.sent("signal"), []);
  });
}

test("without WebRTC every signal is the application's", async () => {
  const { server, of } = await joined({ peers: [BO] });
  server.say({ type: "signal", room: "demo", seq: 101, from: "p_bo", to: "p_me", data: { ...MARK, session: "bo", description: OFFER } });
  assert.equal(of("signal").length, 1);
});

test("the filter takes null, numbers and lists for the application's", () => {
  const filter = new NegotiationFilter();
  for (const data of [null, undefined, 1, "session", [], true]) assert.equal(filter.accepts({ from: "p", to: "q", data }), false);
});
