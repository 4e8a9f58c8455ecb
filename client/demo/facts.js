import { element } from "./dom.js";

/**
 * What is known about the path to a peer, as it stands in its tile.
 *
 * @typedef {Awaited<ReturnType<import("/client/peer.js").Peer["facts"]>> & {dataRoundTrip: number | null}} PeerFacts
 */

/** Candidate types in words people can look up. @type {Record<string, string>} */
const TYPES = { host: "direct", srflx: "public", prflx: "reflexive", relay: "relay" };

/**
 * Returns the parts of the line: path, round trip, and what fits beside them.
 * @param {PeerFacts} facts
 * @returns {HTMLElement[]}
 */
export function factLine({ local, remote, protocol, roundTripTime, receiving, sending, dataRoundTrip }) {
  if (!local || !remote) return [];
  const route = element("span", "route", `${TYPES[local] ?? local} → ${TYPES[remote] ?? remote}`);
  route.title = `Candidates in use: ${local} here, ${remote} there`;
  route.toggleAttribute("data-relay", local === "relay" || remote === "relay");
  return [
    route,
    element("span", "", roundTripTime === null ? "" : `${roundTripTime} ms`),
    rates(receiving, sending),
    element("span", "extra", protocol ?? ""),
    element("span", "extra", dataRoundTrip === null ? "" : `data ${dataRoundTrip} ms`),
  ].filter((part) => part.textContent);
}

/**
 * @param {number} receiving kbit/s
 * @param {number} sending kbit/s
 */
function rates(receiving, sending) {
  const part = element("span", "more", `↓${amount(receiving)} ↑${amount(sending)}`);
  part.title = `Receiving ${receiving} kbit/s, sending ${sending} kbit/s`;
  return part;
}

/** @param {number} kbits per second */
function amount(kbits) {
  return kbits < 1000 ? `${kbits}k` : `${(kbits / 1000).toFixed(1)}M`;
}
