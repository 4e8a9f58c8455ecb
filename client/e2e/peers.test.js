import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPairs } from "./pairs.js";

let pairs;

before(async () => {
  pairs = await openPairs();
});

after(() => pairs?.close());

const withPair = (scenario, options) => pairs.run(scenario, options);

test("two peers that offer at the same moment connect, see each other and talk", { timeout: 60_000 }, async () => {
  const result = await withPair(async (pair) => {
    pair.a.start({ offers: true });
    pair.b.start({ offers: true });
    return { connected: await pair.connected(), frames: await pair.frames(15), echo: await pair.echo(pair.a, "hello"), facts: await pair.b.facts() };
  });
  assert.deepEqual(result.descriptions.slice(0, 2).sort(), ["a offer", "b offer"]);
  assert.ok(result.connected);
  assert.ok(result.frames);
  assert.equal(result.echo, "echo hello");
  assert.equal(result.facts.local, "host");
  assert.equal(typeof result.facts.roundTripTime, "number");
});

test("one offer and one answer are enough when only the newcomer offers", { timeout: 60_000 }, async () => {
  const result = await withPair(async (pair) => {
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    return { connected: await pair.connected(), frames: await pair.frames(15) };
  });
  assert.ok(result.connected);
  assert.ok(result.frames);
  assert.deepEqual(result.descriptions, ["a offer", "b answer"]);
});

test("tracks that both sides add at the same moment in a running call arrive", { timeout: 60_000 }, async () => {
  const result = await withPair(async (pair) => {
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const streams = [await navigator.mediaDevices.getUserMedia({ video: true }), await navigator.mediaDevices.getUserMedia({ video: true })];
    [pair.a, pair.b].forEach((peer, index) => peer.share(streams[index]));
    return { frames: await pair.frames(15) };
  }, { stream: false });
  assert.ok(result.frames);
});

test("a side that starts over in a running call is followed by the other", { timeout: 60_000 }, async () => {
  const result = await withPair(async (pair) => {
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const before = pair.b.pc;
    pair.a.renew({ offers: true });
    return { again: await pair.until(() => pair.a.connected && pair.b.connected && pair.b.pc !== before), frames: await pair.frames(15) };
  });
  assert.ok(result.again);
  assert.ok(result.frames);
});

test("an ICE restart keeps the call and takes over fresh servers", { timeout: 60_000 }, async () => {
  const result = await withPair(async (pair) => {
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    const before = pair.b.pc;
    const fragment = () => /a=ice-ufrag:(\S+)/.exec(pair.a.pc.localDescription.sdp)[1];
    const old = fragment();
    pair.a.refresh({ strict: true });
    const restarted = await pair.until(() => fragment() !== old && pair.a.pc.signalingState === "stable" && pair.a.connected && pair.b.connected);
    return { restarted, kept: pair.b.pc === before, echo: await pair.echo(pair.b, "still there") };
  });
  assert.ok(result.restarted);
  assert.ok(result.kept);
  assert.equal(result.echo, "echo still there");
});

test("relay only without a relay does not connect by another way", { timeout: 60_000 }, async () => {
  const result = await withPair(async (pair) => {
    pair.b.start({ offers: false });
    pair.a.start({ offers: true });
    await pair.connected();
    pair.a.shared.iceTransportPolicy = "relay";
    pair.a.reroute();
    await pair.until(() => pair.a.pc.iceGatheringState === "complete" && pair.a.pc.remoteDescription);
    return { candidates: /a=candidate/.test(pair.a.pc.localDescription.sdp), connected: pair.a.connected };
  });
  assert.equal(result.candidates, false);
  assert.equal(result.connected, false);
});
