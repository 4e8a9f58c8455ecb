import { Emitter } from "./events.js";

/**
 * The newest ICE servers of a connection and the care they need: TURN credentials expire, so fresh
 * ones are asked for when the server did not push any in time.
 *
 * `servers` tells peers to take over a new list. Fresh credentials reach a live allocation never and
 * the next gathering always, so connected peers need no ICE restart, unless the relay is `strict`
 * and would cut an allocation whose credential is over.
 *
 * @typedef {import("./protocol.js").IceConfig} IceConfig
 * @typedef {{servers: {strict: boolean}, warning: IceWarning | null}} IceEvents
 * @typedef {{code: "no_relay", what: string, todo: string}} IceWarning
 */

/** Fresh servers are asked for when this much of their `ttl` is left (ms), or a fifth of a short one. */
export const ASK_BEFORE_EXPIRY = 30_000;

/** How long to wait after asking in vain, or when no relay is available, before asking again (ms). */
export const ASK_AGAIN_AFTER = 15_000;

/** @type {IceWarning} */
const NO_RELAY = Object.freeze({
  code: "no_relay",
  what: "No relay is available right now.",
  todo: "Calls work on the same network; across networks they may not connect.",
});

/**
 * Returns how long after their arrival fresh servers are asked for, in milliseconds.
 * @param {{ttl: number}} ice `ttl` in seconds
 */
export function askIn({ ttl }) {
  return Math.max(ttl * 1000 - ASK_BEFORE_EXPIRY, ttl * 1000 * 0.8);
}

/** @extends {Emitter<IceEvents>} */
export class IceServers extends Emitter {
  #clock;
  #ask;
  #cancel = () => {};
  #wantedAt = -Infinity;
  /** @type {IceConfig | null} */
  #newest = null;
  /** What a person should know about the relays, if anything. @type {IceWarning | null} */
  warning = null;

  /**
   * @param {object} options
   * @param {import("./clock.js").Clock} options.clock
   * @param {() => void} options.ask sends `{"type":"ice"}`
   */
  constructor({ clock, ask }) {
    super();
    this.#clock = clock;
    this.#ask = ask;
  }

  /** The list for an RTCPeerConnection; empty when no relay is available. @returns {RTCIceServer[]} */
  get list() {
    return this.#newest?.iceServers ?? [];
  }

  /**
   * Takes over what `joined` or an `ice` frame brought; null means that no relay is available now.
   * An older list is kept then: its credentials may still be good.
   * @param {IceConfig | null} ice
   */
  accept(ice) {
    this.#newest = ice ?? this.#newest;
    this.#warn(ice ? null : NO_RELAY);
    this.#askIn(ice ? askIn(ice) : ASK_AGAIN_AFTER);
    if (ice) this.emit("servers", { strict: ice.enforcement === "strict" });
  }

  /** A call has no path: fresh servers may know one. However many calls ask, the server is asked now and then. */
  want() {
    const now = this.#clock.now();
    if (now - this.#wantedAt < ASK_AGAIN_AFTER) return;
    this.#wantedAt = now;
    this.#ask();
  }

  /** Stops asking. */
  stop() {
    this.#cancel();
  }

  /** @param {number} ms */
  #askIn(ms) {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, () => {
      this.#ask();
      this.#askIn(ASK_AGAIN_AFTER);
    });
  }

  /** @param {IceWarning | null} warning */
  #warn(warning) {
    const changed = this.warning !== warning;
    this.warning = warning;
    if (changed) this.emit("warning", warning);
  }
}
