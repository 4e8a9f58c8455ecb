import { readFacts } from "./facts.js";
import { systemClock } from "./clock.js";

/**
 * How well a call goes, and who speaks, from what the browser measures.
 *
 * @typedef {import("./peer.js").Peer} Peer
 * @typedef {import("./room.js").Room} Room
 * @typedef {0 | 1 | 2 | 3 | 4 | 5} Quality 0: nothing flows; 5: nobody notices the network
 * @typedef {{received: number, lost: number}} Sample packets since the connection began
 */

/** What each quality allows at most: lost packets as a share, the round trip in milliseconds. @type {readonly (readonly [Quality, number, number])[]} */
const LEVELS = Object.freeze([
  [5, 0.01, 150],
  [4, 0.03, 300],
  [3, 0.08, 500],
  [2, 0.15, 1000],
]);

/** Sound below this level is none; 1 is the loudest (RFC 6464 §3 maps it to decibels). */
const SPEAKS_ABOVE = 0.02;

/** A member that falls silent counts as speaking for this long, since speech has pauses (ms). */
const PAUSE = 800;

/** @type {WeakMap<Peer, Sample>} */
const BEFORE = new WeakMap();

/**
 * Returns the quality of what comes from `peer` since the last call.
 * @param {Peer} peer
 * @returns {Promise<Quality>}
 */
export async function quality(peer) {
  if (!peer.connected || !peer.pc) return 0;
  const report = /** @type {ReadonlyMap<string, any>} */ (await peer.pc.getStats());
  const { roundTripTime } = readFacts(report, null).facts;
  const streams = [...report.values()].filter(({ type }) => type === "inbound-rtp");
  const total = (/** @type {string} */ field) => streams.reduce((sum, stream) => sum + Math.max(0, stream[field] ?? 0), 0);
  const before = BEFORE.get(peer) ?? { received: 0, lost: 0 };
  const sample = { received: total("packetsReceived"), lost: total("packetsLost") };
  BEFORE.set(peer, sample);
  return grade(Math.max(0, sample.lost - before.lost), Math.max(0, sample.received - before.received), roundTripTime ?? 0);
}

/**
 * @param {number} lost
 * @param {number} received
 * @param {number} roundTripTime milliseconds
 * @returns {Quality}
 */
export function grade(lost, received, roundTripTime) {
  const share = lost + received > 0 ? lost / (lost + received) : 0;
  return LEVELS.find(([, mostLost, longest]) => share <= mostLost && roundTripTime <= longest)?.[0] ?? 1;
}

/** How loud `peer` is right now, from 0 to 1. @param {Peer} peer */
export function loudness(peer) {
  const receivers = (peer.pc?.getReceivers() ?? []).filter(({ track }) => track.kind === "audio");
  return Math.max(0, ...receivers.flatMap((receiver) => receiver.getSynchronizationSources().map(({ audioLevel = 0 }) => audioLevel)));
}

/**
 * Calls `changed` with the members that speak, whenever they are others than before.
 * @param {Room} room
 * @param {(peers: Peer[]) => void} changed
 * @param {{every?: number, clock?: import("./clock.js").Clock}} [options] `every` in milliseconds
 * @returns {() => void} stops that
 */
export function speaking(room, changed, { every = 200, clock = systemClock } = {}) {
  /** When each was heard last. @type {Map<Peer, number>} */
  const heard = new Map();
  let spoke = "";
  let cancel = () => {};
  const measure = () => {
    const now = clock.now();
    for (const peer of room.peers.values()) if (loudness(peer) > SPEAKS_ABOVE) heard.set(peer, now);
    for (const [peer, at] of heard) if (now - at > PAUSE || !room.peers.has(peer.id)) heard.delete(peer);
    const speak = [...heard.keys()].map(({ id }) => id).sort().join();
    if (speak !== spoke) changed([...heard.keys()]);
    spoke = speak;
    cancel = clock.after(every, measure);
  };
  measure();
  return () => cancel();
}
