import assert from "node:assert/strict";
import { test } from "node:test";
import { readFacts } from "../src/facts.js";

const report = (at, bytes, more = {}) =>
  new Map(Object.entries({
    T: { type: "transport", selectedCandidatePairId: "P" },
    P: { id: "P", type: "candidate-pair", timestamp: at, bytesSent: bytes, bytesReceived: bytes * 2,
      currentRoundTripTime: 0.0123, localCandidateId: "L", remoteCandidateId: "R" },
    L: { type: "local-candidate", candidateType: "relay", protocol: "udp", relayProtocol: "tcp" },
    R: { type: "remote-candidate", candidateType: "host", protocol: "udp" },
    V: { type: "inbound-rtp", kind: "video", framesReceived: 31, framesDecoded: 30 },
    ...more,
  }));

test("the facts name the candidates in use, the protocol to the relay and the round trip in ms", () => {
  const { facts } = readFacts(report(1000, 0), null);
  assert.deepEqual(facts, {
    local: "relay", remote: "host", protocol: "tcp", roundTripTime: 12,
    sending: 0, receiving: 0, framesReceived: 31, framesDecoded: 30,
  });
});

test("bitrates are the difference of two samples in kbit/s", () => {
  const { sample } = readFacts(report(1000, 0), null);
  const { facts } = readFacts(report(3000, 25_000), sample);
  assert.equal(facts.sending, 100);
  assert.equal(facts.receiving, 200);
});

test("another candidate pair starts a new measurement", () => {
  const { sample } = readFacts(report(1000, 50_000), null);
  const { facts } = readFacts(report(2000, 100), { ...sample, pair: "old" });
  assert.equal(facts.sending, 0);
});

test("without a selected pair the facts are empty, not wrong", () => {
  const { facts, sample } = readFacts(new Map(), null);
  assert.equal(facts.local, null);
  assert.equal(facts.roundTripTime, null);
  assert.equal(sample, null);
});
