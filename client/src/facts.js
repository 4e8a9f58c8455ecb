/**
 * What getStats says about one peer, in a few numbers a person can read.
 *
 * @typedef {object} Facts
 * @property {string | null} local type of the local candidate in use: host, srflx, prflx or relay
 * @property {string | null} remote type of the remote candidate in use
 * @property {string | null} protocol between this browser and its first hop: udp, tcp or tls
 * @property {number | null} roundTripTime of the selected candidate pair, in milliseconds
 * @property {number} sending bitrate out, in kbit/s
 * @property {number} receiving bitrate in, in kbit/s
 * @property {number} framesReceived video frames that arrived complete
 * @property {number} framesDecoded video frames that were decoded
 *
 * @typedef {{at: number, sent: number, received: number, pair: string}} Sample bytes so far, at a time in milliseconds
 */

/** @type {Readonly<Facts>} */
export const NO_FACTS = Object.freeze({
  local: null,
  remote: null,
  protocol: null,
  roundTripTime: null,
  sending: 0,
  receiving: 0,
  framesReceived: 0,
  framesDecoded: 0,
});

/**
 * Reads a stats report, and the bitrates from its difference to the sample before.
 * @param {ReadonlyMap<string, any>} report
 * @param {Sample | null} before
 * @returns {{facts: Facts, sample: Sample | null}}
 */
export function readFacts(report, before) {
  const frames = countFrames(report);
  const pair = selectedPair(report);
  if (!pair) return { facts: { ...NO_FACTS, ...frames }, sample: null };
  const sample = { at: pair.timestamp, sent: pair.bytesSent, received: pair.bytesReceived, pair: pair.id };
  const local = report.get(pair.localCandidateId);
  const facts = {
    local: local?.candidateType ?? null,
    remote: report.get(pair.remoteCandidateId)?.candidateType ?? null,
    protocol: local?.relayProtocol ?? local?.protocol ?? null,
    roundTripTime: pair.currentRoundTripTime === undefined ? null : Math.round(pair.currentRoundTripTime * 1000),
    sending: bitrate(before, sample, "sent"),
    receiving: bitrate(before, sample, "received"),
    ...frames,
  };
  return { facts, sample };
}

/** @param {ReadonlyMap<string, any>} report */
function selectedPair(report) {
  const entries = [...report.values()];
  const transport = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  if (transport) return report.get(transport.selectedCandidatePairId);
  return entries.find((entry) => entry.type === "candidate-pair" && entry.nominated && entry.state === "succeeded");
}

/** @param {ReadonlyMap<string, any>} report */
function countFrames(report) {
  const video = [...report.values()].filter((entry) => entry.type === "inbound-rtp" && entry.kind === "video");
  const sum = (/** @type {string} */ field) => video.reduce((total, entry) => total + (entry[field] ?? 0), 0);
  return { framesReceived: sum("framesReceived"), framesDecoded: sum("framesDecoded") };
}

/**
 * Bits per millisecond are kilobits per second.
 * @param {Sample | null} before
 * @param {Sample} now
 * @param {"sent" | "received"} field
 */
function bitrate(before, now, field) {
  if (before?.pair !== now.pair || now.at <= before.at) return 0;
  return Math.max(0, Math.round(((now[field] - before[field]) * 8) / (now.at - before.at)));
}
