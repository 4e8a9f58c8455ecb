/**
 * Whether both sides want a connection. The room's option `connect` decides for this side until the application says
 * otherwise; what the other side offers meanwhile is kept, so that it is answered once this side wants it.
 *
 * @typedef {import("./peer.js").PeerMessage} PeerMessage
 */

/** How many messages are kept: an offer and its candidates. */
const MOST_KEPT = 64;

export class Consent {
  #chosen;
  /** @type {boolean | undefined} */
  #own = undefined;
  /** @type {PeerMessage[]} */
  #kept = [];
  /** Whether the other side has ended the connection and offered none since. */
  isRefused = false;

  /** @param {() => boolean} chosen what the room's option says */
  constructor(chosen) {
    this.#chosen = chosen;
  }

  /** Whether this side wants the connection. */
  get isGiven() {
    return this.#own ?? this.#chosen();
  }

  /** This side wants it from now on; returns what the other side has said of it. */
  give() {
    this.#own = true;
    return this.#kept.splice(0);
  }

  /** This side wants it no more. */
  withdraw() {
    this.#own = false;
  }

  /** @param {PeerMessage} data what came while this side did not want the connection */
  keep(data) {
    if (data.description?.type === "offer") this.#kept = [data];
    else if (data.session === this.#kept[0]?.session && this.#kept.length < MOST_KEPT) this.#kept.push(data);
  }

  /** The other side wants it no more. */
  refused() {
    this.isRefused = true;
    this.#kept = [];
  }
}
