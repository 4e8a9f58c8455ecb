import assert from "node:assert/strict";
import { test } from "node:test";
import { Peer } from "../src/peer.js";
import { FakeClock, settle } from "./support/clock.js";
import { FakePeerConnection } from "./support/pc.js";

/** A peer whose browser does what `overrides` say; an unhandled rejection would fail the test by itself. */
function peer(overrides) {
  class Faulty extends FakePeerConnection {
    constructor(configuration) {
      super(configuration);
      Object.assign(this, overrides(this) ?? {});
    }
  }
  const media = { RTCPeerConnection: Faulty, iceServers: () => [], iceTransportPolicy: "all", publications: [] };
  const member = { id: "p_other", n: 1, polite: true, away: false, meta: {} };
  const sent = [];
  const made = new Peer({ member, media, clock: new FakeClock(), send: (data) => sent.push(data) });
  const errors = [];
  made.on("error", (error) => errors.push(error.message));
  return { peer: made, errors, sent, media };
}

const rejects = (name) => ({ [name]: async () => Promise.reject(new Error(`${name} rejected`)) });
const throws = (name) => ({
  [name]() {
    throw new Error(`${name} threw`);
  },
});

const OFFER = { session: "s", description: { type: "offer", sdp: "v=0" } };
const CANDIDATE = { session: "s", candidate: { candidate: "candidate:1" } };

test("a rejected offer is an error of the peer", async () => {
  const { peer: made, errors, sent } = peer(() => rejects("setLocalDescription"));
  made.start({ offers: true });
  await settle();
  assert.deepEqual(errors, ["setLocalDescription rejected"]);
  assert.deepEqual(sent, []);
});

test("what is thrown when negotiation is needed is an error of the peer", async () => {
  const { peer: made, errors } = peer(() => throws("setLocalDescription"));
  made.start({ offers: true });
  await settle();
  assert.deepEqual(errors, ["setLocalDescription threw"]);
});

test("a rejected offer of an ICE restart is an error of the peer", async () => {
  const { peer: made, errors } = peer(() => ({}));
  made.start({ offers: false });
  await settle();
  Object.assign(made.pc, rejects("setLocalDescription"));
  made.renegotiate();
  await settle();
  assert.deepEqual(errors, ["setLocalDescription rejected"]);
});

for (const name of ["setRemoteDescription", "setLocalDescription"]) {
  test(`an offer whose ${name} is rejected is an error of the peer`, async () => {
    const { peer: made, errors, sent } = peer(() => rejects(name));
    made.start({ offers: false });
    made.receive(OFFER);
    await settle();
    await settle();
    assert.deepEqual(errors, [`${name} rejected`]);
    assert.deepEqual(sent, []);
  });
}

test("a rejected candidate of a description in force is an error of the peer", async () => {
  const { peer: made, errors } = peer(() => rejects("addIceCandidate"));
  made.start({ offers: false });
  made.receive(CANDIDATE);
  await settle();
  assert.deepEqual(errors, []); // there was no description yet
  made.receive(OFFER);
  await settle();
  await settle();
  made.receive(CANDIDATE);
  await settle();
  assert.deepEqual(errors, ["addIceCandidate rejected"]);
});

test("what a connection rejects because it was closed is no error", async () => {
  const { peer: made, errors } = peer(() => rejects("setRemoteDescription"));
  made.start({ offers: false });
  made.receive(OFFER);
  made.close();
  await settle();
  assert.deepEqual(errors, []);
});

for (const name of ["constructor", "createDataChannel"]) {
  test(`a browser whose ${name} throws costs this peer its call and nobody else anything`, () => {
    const { peer: made, errors } = peer(() => {
      if (name === "constructor") throw new Error("constructor threw");
      return throws(name);
    });
    made.start({ offers: true });
    assert.deepEqual(errors, [`${name} threw`]);
    assert.equal(made.state, "failed");
    assert.equal(made.pc, null);
  });
}

for (const name of ["setConfiguration", "restartIce"]) {
  test(`${name} that throws at fresh ICE servers is an error of the peer`, async () => {
    const { peer: made, errors } = peer(() => ({}));
    made.start({ offers: false });
    made.receive(OFFER);
    await settle();
    await settle();
    Object.assign(made.pc, throws(name));
    made.refresh({ strict: true });
    assert.deepEqual(errors, [`${name} threw`]);
  });
}

for (const data of [{}, { session: "s" }, { session: 1, ...OFFER, for: 2 }, { ...OFFER, description: "offer" }, { session: "s", candidate: null }]) {
  test(`a message ${JSON.stringify(data)} is an error of the peer and changes no connection`, async () => {
    const { peer: made, errors } = peer(() => ({}));
    made.start({ offers: false });
    made.receive(OFFER);
    await settle();
    const { pc } = made;
    made.receive({ "signal-cluster:rtc": 1, ...data });
    await settle();
    assert.equal(errors.length, 1);
    assert.match(errors[0], /negotiation message/);
    assert.equal(made.pc, pc);
  });
}
