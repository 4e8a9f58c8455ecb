import { SignalError, build } from "./protocol.js";
import { between } from "./backoff.js";

/**
 * This page as a device of its user: says `online` on every new link, so that watchers of the user see it.
 *
 * One wish at a time: what was said last is what counts, and it is said again until the server has answered it. A device whose
 * answered state is still the wish comes back with `resume`, so that it keeps the time since when it is so.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {{state?: string, meta?: Record<string, any>}} DeviceStatus `state`: `online`, `away` or a text of 140 bytes at most;
 *   `meta`: an object of 4 KiB at most that watchers see
 *
 * @typedef {object} DeviceContext
 * @property {import("./connection.js").Connection} connection
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random uniform in [0, 1)
 * @property {() => import("./identity.js").Identity} identity makes the key of the device, anew after each `offline`
 * @property {(reason: string) => void} ended the device is not online any more, and does not come back by itself
 * @property {() => void} settled an `online` was answered
 */

/** Wait before a wish is said again that failed for a passing reason (ms), unless the server names one. */
const AGAIN_AFTER = /** @type {const} */ ([1000, 3000]);

export class Device {
  #context;
  /** @type {DeviceStatus | null} */
  #wish = null;
  /** The wish that the server has answered. @type {DeviceStatus | null} */
  #told = null;
  /** The link that the device is online on. @type {Link | null} */
  #link = null;
  /** The link whose answer is waited for. @type {Link | null} */
  #asked = null;
  /** @type {import("./identity.js").Identity | null} */
  #identity = null;
  #cancelAgain = () => {};
  /** @type {{resolve: (id: string) => void, reject: (error: Error) => void}[]} */
  #waiting = [];
  /** The id of the device, once it is online. */
  id = "";

  /** @param {DeviceContext} context */
  constructor(context) {
    this.#context = context;
  }

  /** Whether the device shall be online. */
  get isWished() {
    return this.#wish !== null;
  }

  /**
   * Makes this page reachable, or changes how it is; resolves with the id of the device once the server has taken it.
   * @param {DeviceStatus} status
   * @returns {Promise<string>}
   */
  async online(status) {
    this.#wish = { ...status };
    const answered = new Promise((/** @type {(id: string) => void} */ resolve, reject) => this.#waiting.push({ resolve, reject }));
    answered.catch(() => {}); // whoever called has the same promise
    await this.#claim();
    this.#context.connection.start();
    this.settle();
    return answered;
  }

  /** Takes the key of the device, once. */
  async #claim() {
    if (this.#identity) return;
    this.#identity = this.#context.identity();
    await this.#identity.claim();
  }

  /** Is not reachable any more; resolves once the server has been told, or cannot be. @returns {Promise<void>} */
  async offline() {
    const link = this.#asked ?? this.#link;
    this.#identity?.forget();
    this.#end(new SignalError({ code: "closed", message: "offline() was called before online was answered" }));
    const { connection } = this.#context;
    if (link) await new Promise((/** @type {(value: void) => void} */ done) => this.#sayOffline(connection, link, done));
  }

  /** Says the wish where the connection is now, unless that is under way or done. */
  settle() {
    const { successor, link } = this.#context.connection;
    const newest = successor ?? link;
    const isDone = this.#link === newest && this.#told === this.#wish;
    if (newest && this.#wish && this.#identity?.key && !this.#asked?.open && !isDone) this.#say(newest);
  }

  /** Moves to a link that was just welcomed. @param {Link} link */
  moveTo(link) {
    if (this.#wish && this.#identity?.key) this.#say(link);
  }

  /** Whether nothing is waited for on `link`. @param {Link} link */
  settledOn(link) {
    return !this.#wish || this.#link === link;
  }

  /** The link is gone. @param {Link} link */
  lost(link) {
    if (link === this.#link) this.#link = null;
    if (link === this.#asked) this.#asked = null;
    this.settle();
  }

  /** The device is online elsewhere, or was ended. @param {import("./protocol.js").Offline} frame @param {Link} link */
  ended({ reason }, link) {
    if (link !== this.#link || this.#asked) return; // moved by this page
    this.#link = this.#told = null;
    if (reason === "expired") return this.settle();
    this.#end(new SignalError({ code: reason }));
    this.#context.ended(reason);
  }

  /** The connection has stopped for good. @param {{code: number | string | null, reason: string}} why */
  stopped({ code, reason }) {
    this.#identity?.release();
    this.#end(new SignalError({ code: code === null ? "closed" : String(code), message: reason }));
  }

  /** @param {Link} link */
  #say(link) {
    this.#cancelAgain();
    this.#asked = link;
    const { connection } = this.#context;
    const identity = this.#identity;
    if (!identity) return;
    const wish = this.#wish;
    const { state, meta } = wish ?? {};
    const resume = (this.#told === wish && this.#link !== link) || undefined;
    const online = { device: identity.key, try: identity.nextTry(), state, meta, resume };
    connection.requests.send(link, (id) => build.online({ id, ...online }), (reply) => {
      if (this.#asked !== link) return;
      this.#asked = null;
      if (reply?.type === "online") this.#took(wish, reply.device, link);
      else if (reply?.type === "error") this.#refused(new SignalError(reply), link);
    });
  }

  /**
   * @param {DeviceStatus | null} wish
   * @param {string} id
   * @param {Link} link
   */
  #took(wish, id, link) {
    this.#link = link;
    this.#told = wish;
    this.id = id;
    if (wish !== this.#wish) return this.settle();
    for (const { resolve } of this.#waiting.splice(0)) resolve(id);
    this.#context.settled();
  }

  /**
   * @param {SignalError} error
   * @param {Link} link
   */
  #refused(error, link) {
    const { clock, random } = this.#context;
    const again = error.retry || error.code === "already_joined";
    if (!again) {
      this.#end(error);
      return this.#context.ended(error.code);
    }
    this.#cancelAgain = clock.after(error.after ?? between(...AGAIN_AFTER, random), () => link.open && this.settle());
  }

  /**
   * @param {import("./connection.js").Connection} connection
   * @param {Link} link
   * @param {() => void} done
   */
  #sayOffline(connection, link, done) {
    connection.requests.send(link, (id) => build.offline({ id }), (reply) => {
      // An `online` is not answered yet: the server leaves in order.
      if (reply?.type === "error" && link.open) this.#context.clock.after(AGAIN_AFTER[0], () => this.#sayOffline(connection, link, done));
      else done();
    });
  }

  /** @param {SignalError} error */
  #end(error) {
    this.#wish = this.#told = this.#link = this.#asked = this.#identity = null;
    this.#cancelAgain();
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
