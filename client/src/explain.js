/**
 * Codes in words a person can act on: what happened, and what to do about it.
 * @typedef {{what: string, todo: string}} Explanation
 */

/** @type {Readonly<Record<number, Explanation>>} */
const CLOSES = Object.freeze({
  1002: { what: "The server could not read what was sent.", todo: "Reload the page to get the current version." },
  1003: { what: "The server does not accept this kind of data.", todo: "Reload the page to get the current version." },
  1006: { what: "The connection to the server was lost.", todo: "Check your network." },
  1007: { what: "The server received damaged text.", todo: "Reload the page." },
  1009: { what: "A message was too large for the server.", todo: "Send less at once." },
  4000: { what: "The server is being restarted.", todo: "Nothing: another one takes over." },
  4001: { what: "The server heard nothing for a while.", todo: "Check your network." },
  4002: { what: "This connection was too slow to keep up.", todo: "Check your network." },
  4003: { what: "The server is not available right now.", todo: "Nothing: it is tried again." },
  4004: { what: "Too many messages were sent.", todo: "Send less often." },
  4100: { what: "The server does not accept this token.", todo: "Ask for a new link or sign in again." },
  4101: { what: "The token has expired.", todo: "Ask for a new link or sign in again." },
  4200: { what: "The server could not follow the conversation.", todo: "Reload the page to get the current version." },
  4201: { what: "The server waited too long for a greeting.", todo: "Reload the page." },
  4202: { what: "This participant continued in another window.", todo: "Go on there, or join again here." },
  4203: { what: "A moderator removed this participant.", todo: "Ask the moderator before joining again." },
  4204: { what: "The server lets no page of this address in.", todo: "Open the page at its usual address, or ask the operator to allow this one." },
});

/** @type {Readonly<Record<string, Explanation>>} */
const ERRORS = Object.freeze({
  bad_request: { what: "The server did not accept the request.", todo: "Check the name of the room." },
  unsupported: { what: "The server does not know this request.", todo: "Reload the page to get the current version." },
  unauthorized: { what: "This room needs a valid token.", todo: "Ask for a new link or sign in again." },
  token_expired: { what: "The token has expired.", todo: "Ask for a new link or sign in again." },
  forbidden: { what: "You may not enter this room.", todo: "You may be banned for a while, or need another link." },
  not_joined: { what: "You are not in this room.", todo: "Join it first." },
  already_joined: { what: "You are in this room already.", todo: "Use the open window." },
  room_full: { what: "The room is full.", todo: "Wait until someone leaves, then join again." },
  room_locked: { what: "The room is locked.", todo: "Ask a moderator to open it." },
  peer_not_found: { what: "That participant is gone.", todo: "Nothing." },
  too_large: { what: "That was too much data.", todo: "Send less at once." },
  limit_exceeded: { what: "You are in too many rooms or windows.", todo: "Close one of them." },
  out_of_order: { what: "Messages arrived out of order.", todo: "Nothing: they are sent again." },
  rate_limited: { what: "Too many messages at once.", todo: "Nothing: they are sent again." },
  unavailable: { what: "The server cannot reach its memory right now.", todo: "Nothing: calls go on, it is tried again." },
  internal: { what: "The server made a mistake.", todo: "Nothing: it is tried again." },
  no_answer: { what: "Nothing answers at the server's address.", todo: "Check the address and the port, whether the server runs, and your network." },
  not_a_node: { what: "What answers at this address is not the signaling server.", todo: "Check the address and the port. Behind a proxy, check that a node runs." },
  wrong_path: { what: "The server has no signaling at this path.", todo: "Use the path /v1/ws, or none." },
  no_upgrade: { what: "The server answers, but lets no WebSocket through.", todo: "A proxy, firewall or extension in between has to pass the WebSocket upgrade on." },
  timeout: { what: "The room was not joined in time.", todo: "Check your network, then try again." },
  no_token: { what: "No token could be fetched.", todo: "Check your network or sign in again." },
});

/**
 * Explains why a WebSocket was closed.
 * @param {number} code
 * @returns {Explanation}
 */
export function explainClose(code) {
  return CLOSES[code] ?? CLOSES[1006];
}

/**
 * Explains an error code.
 * @param {string} code
 * @returns {Explanation}
 */
export function explainError(code) {
  return ERRORS[code] ?? { what: `Something went wrong (${code}).`, todo: "Try again." };
}
