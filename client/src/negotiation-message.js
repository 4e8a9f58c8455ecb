/**
 * How a room tells the SDK's own negotiation messages from the signals of an application: they carry a key
 * that is reserved for them. Their other fields stay where SDK 0.1.0 wrote them, since it reads them there.
 *
 * SDK 0.1.0 sends no such key. Its messages are recognised by their exact fields, from a peer that has sent
 * none with the key; this ends with the release after the next.
 *
 * @typedef {import("./protocol.js").Signal} Signal
 */

/** Reserved in `data`: no signal of an application may have it. */
export const RESERVED_KEY = "signal-cluster:rtc";

/** The version of the negotiation messages. */
const VERSION = 1;

const FIELDS = new Set(["session", "for", "description", "candidate"]);

/** Marks a message as the SDK's own. @param {import("./peer.js").PeerMessage} message */
export function mark(message) {
  return { [RESERVED_KEY]: VERSION, ...message };
}

/** Whether `data` has the reserved key. @param {any} data */
export function isMarked(data) {
  return typeof data === "object" && data !== null && Object.hasOwn(data, RESERVED_KEY);
}

/** Whether `data` has the fields of a negotiation message. @param {any} data @returns {data is import("./peer.js").PeerMessage} */
export function isNegotiation(data) {
  if (typeof data?.session !== "string" || !["string", "undefined"].includes(typeof data.for)) return false;
  const { description, candidate, labels = {} } = data;
  if (typeof labels !== "object" || labels === null) return false;
  if (description === undefined) return typeof candidate?.candidate === "string";
  return ["offer", "answer"].includes(description?.type) && typeof description.sdp === "string";
}

/** Sorts the signals of one room. */
export class NegotiationFilter {
  /** Ids of the members whose SDK marks its messages. @type {Set<string>} */
  #marking = new Set();

  /** Whether a signal is for the SDK and not for the application. @param {Signal} frame */
  accepts({ from, to, volatile, data }) {
    if (isMarked(data)) {
      this.#marking.add(from);
      return true;
    }
    const exact = isNegotiation(data) && Object.keys(data).every((name) => FIELDS.has(name));
    return exact && to !== undefined && !volatile && !this.#marking.has(from);
  }

  /** The member's page may be another one now, with an older SDK. @param {string} id */
  forget(id) {
    this.#marking.delete(id);
  }
}
