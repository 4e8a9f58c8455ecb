/**
 * The states of a call in words: what a tile says about its peer, what the status line says.
 *
 * @typedef {import("./tile.js").Note} Note
 * @typedef {{name: string, state: string, away: boolean, connected: boolean}} PeerView
 * @typedef {{relayOnly: boolean, noRelay: boolean, refused: boolean}} Relays
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

/** Why there may be no path, as far as can be told. @param {Relays} relays */
function blame({ relayOnly, noRelay, refused }) {
  if (relayOnly && noRelay) return "Relay only is on, but there is no relay. Switch it off to connect directly.";
  if (refused) return "The relay refused the request. Leave and join again for fresh credentials.";
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
