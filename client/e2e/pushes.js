import { EventEmitter, once } from "node:events";
import { CALL_WITHIN } from "./page.js";

/**
 * The `ice` frames that reach a page, as they are on the wire.
 *
 * @typedef {{reason: string, servers: RTCIceServer[], at: number}} Push `at` in milliseconds since 1970
 */
export class Pushes {
  #events = new EventEmitter();
  /** @type {Push[]} */
  heard = [];

  /** Listens from now on: to be made before the page connects. @param {import("playwright-core").Page} page */
  constructor(page) {
    page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => this.#take(JSON.parse(String(payload)))));
  }

  /** The pushes with a reason. @param {string} reason */
  for(reason) {
    return this.heard.filter((push) => push.reason === reason);
  }

  /** Waits until there have been `count` pushes with a reason; returns the last of them. @param {string} reason @returns {Promise<Push>} */
  async nth(reason, count = 1) {
    const signal = AbortSignal.timeout(CALL_WITHIN);
    for (;;) {
      const found = this.for(reason)[count - 1];
      if (found) return found;
      await once(this.#events, "push", { signal });
    }
  }

  #take({ type, reason, ice }) {
    if (type !== "ice") return;
    this.heard.push({ reason, servers: ice?.iceServers ?? [], at: Date.now() });
    this.#events.emit("push");
  }
}

/** The relays of a list, the preferred one first. @param {RTCIceServer[]} servers @returns {string[]} */
export function relayUrls(servers) {
  return servers.flatMap(({ urls }) => urls).filter((url) => url.startsWith("turn"));
}

/** When a TURN credential is over, in milliseconds since 1970. @param {string} username */
export function expiry(username) {
  return Number(username.split(":")[0]) * 1000;
}
