/**
 * The states of a call in words: what a tile says about its peer, what the status line says.
 *
 * @typedef {import("./tile.js").Note} Note
 * @typedef {{name: string, state: string, away: boolean, connected: boolean}} PeerView
 * @typedef {{relayOnly: boolean, noRelay: boolean, refused: {what: string, todo: string} | null}} Relays `refused`: the newest refusal
 */

/**
 * Returns what covers the picture of a peer, or null while it is to be seen.
 * @param {PeerView} peer
 * @param {Relays} relays
 * @returns {Note | null}
 */
export function peerNote({ name, state, away, connected }, relays) {
  if (connected) return null;
  if (away) return { title: `${name} is away`, text: "The connection was lost and may come back any moment.", busy: true };
  if (state === "reconnecting") return { title: `Reconnecting to ${name}`, text: "The path between you broke. Looking for another.", busy: true };
  if (state === "failed") return { title: `No path to ${name}`, text: `${blame(relays)} It is tried again.`, busy: false };
  const stuck = relays.relayOnly && (relays.noRelay || relays.refused);
  return { title: `Connecting to ${name}`, text: stuck ? blame(relays) : "", busy: true };
}

/** Of RFC 8656, section 19: the user holds as many allocations as the relay gives to one. */
const QUOTA_REACHED = 486;

/**
 * What a person should know about a refusal of the relay. At 486 the advice is not to join again: the relay holds the
 * allocations of the connection that was left for up to ten minutes, and joining asks for as many again.
 * @param {{code: number, text: string}} error of ICE
 * @returns {{what: string, todo: string}}
 */
export function refusalNote({ code, text }) {
  if (code === QUOTA_REACHED) {
    return { what: "The relay gives you no more connections (486 Allocation Quota Reached).", todo: "Close other tabs with calls. Joining again does not help: it takes more of them. The operator of the relay can raise user-quota." };
  }
  return { what: `The relay refused a request (${code} ${text.replace(/\.$/, "")}).`, todo: "Leave and join again for fresh credentials." };
}

/** Why there may be no path, as far as can be told. @param {Relays} relays */
function blame({ relayOnly, noRelay, refused }) {
  if (relayOnly && noRelay) return "Relay only is on, but there is no relay. Switch it off to connect directly.";
  if (refused) return `${refused.what} ${refused.todo}`;
  if (relayOnly) return "Relay only is on, and the relay cannot be reached. Switch it off to connect directly.";
  if (noRelay) return "The networks between you block direct traffic, and there is no relay.";
  return "The networks between you block the traffic.";
}

/**
 * Returns the status line and its tone.
 * @param {import("/client/index.js").ConnectionState} connection
 * @param {{roomState: string, people: number, node: string | null}} call
 * @returns {{text: string, tone: "calm" | "busy" | "bad"}}
 */
export function statusLine(connection, { roomState, people, node }) {
  if (connection.phase === "waiting") {
    const seconds = Math.max(1, Math.round((connection.retryIn ?? 0) / 1000));
    return { text: `${connection.reason} Calls go on; trying again in ${seconds} s.`, tone: "busy" };
  }
  if (connection.phase !== "open") return { text: connection.reason, tone: "busy" };
  if (roomState !== "joined") return { text: "Coming back into the room.", tone: "busy" };
  const who = people === 1 ? "Only you" : `${people} people`;
  return { text: node ? `${who} · server ${node.slice(0, 12)}` : who, tone: "calm" };
}
