import assert from "node:assert/strict";
import { test } from "node:test";
import { RemoteStreams } from "../src/remote-streams.js";
import { isNegotiation } from "../src/negotiation-message.js";

/** What the other side says about its streams is its own word. */

class Stream {
  tracks = [];
  getTracks = () => this.tracks;
  addTrack = (track) => void this.tracks.push(track);
}

function remote() {
  const told = [];
  const streams = new RemoteStreams((event, { label }) => told.push(`${event} ${label}`));
  const arrives = (mid, kind = "video") => streams.add({ track: { kind }, streams: [new Stream()], transceiver: { mid } });
  return { streams, told, arrives };
}

test("without labels there is one stream, and it is over when it has no track", () => {
  const { streams, told, arrives } = remote();
  streams.describe(undefined);
  const { stream } = arrives("0");
  streams.settle();
  stream.tracks.length = 0;
  streams.describe(undefined);
  streams.settle();
  assert.deepEqual(told, ["added main", "removed main"]);
});

test("labels that are none are taken for absent", () => {
  for (const label of ["", "x".repeat(65), 7, null, {}]) {
    const { streams, arrives } = remote();
    streams.describe({ 0: label });
    assert.equal(arrives("0").label, "main");
  }
  const { streams, arrives } = remote();
  streams.describe(JSON.parse('{"__proto__": {"0": "polluted"}}'));
  assert.equal(arrives("0").label, "main");
});

test("a message whose labels are no object is no negotiation", () => {
  const message = { session: "s", description: { type: "offer", sdp: "v=0" } };
  assert.ok(isNegotiation({ ...message, labels: { 0: "screen" } }));
  for (const labels of ["screen", 7, null]) assert.ok(!isNegotiation({ ...message, labels }));
});

test("what came over a connection is over with it", () => {
  const { streams, told, arrives } = remote();
  streams.describe({ 0: "main", 1: "screen" });
  arrives("0");
  arrives("1");
  streams.settle();
  streams.clear();
  assert.deepEqual(told, ["added main", "added screen", "removed main", "removed screen"]);
  assert.equal(streams.streams.size, 0);
});
