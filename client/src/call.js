import { Emitter } from "./events.js";
import { SignalError } from "./protocol.js";

/**
 * One call by name, of either side.
 *
 * @typedef {"calling" | "ringing" | "accepted" | "ended"} CallState
 * @typedef {object} CallEvents
 * @property {CallState} state
 * @property {{reason: string}} ended `cancelled`, `declined`, `timeout`, `answered_elsewhere`, `hung_up` or an error code
 *
 * @typedef {object} CallActions
 * @property {(call: Call) => void} accept
 * @property {(call: Call) => void} end cancels, declines or hangs up
 * @property {(call: Call, options?: import("./room.js").JoinOptions) => Promise<import("./room.js").Room>} join
 */

/** @extends {Emitter<CallEvents>} */
export class Call extends Emitter {
  #actions;
  /** @type {(value: string) => void} */
  #resolve = () => {};
  /** @type {(error: Error) => void} */
  #reject = () => {};
  /** The name of the call. */
  id;
  /** The other user. */
  user;
  /** Whether the other user calls. */
  incoming;
  /** What the caller says with the call. @type {any} */
  data;
  /** The room in which both meet, once it is known. @type {string | null} */
  room = null;
  /** How many devices ring. */
  devices = 0;
  /** @type {CallState} */
  state = "calling";
  /** Why the call is over. @type {string | null} */
  reason = null;
  /** Resolves with the name of the room once a device has the call; rejects when it is over before. @type {Promise<string>} */
  accepted;

  /**
   * @param {{id: string, user: string, incoming: boolean, data?: any, room?: string | null}} about
   * @param {CallActions} actions
   */
  constructor({ id, user, incoming, data, room = null }, actions) {
    super();
    Object.assign(this, { id, user, incoming, data, room });
    this.id = id;
    this.user = user;
    this.incoming = incoming;
    this.#actions = actions;
    this.accepted = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.accepted.catch(() => {}); // whoever waits has the same promise
  }

  /** Takes the call, on the side that is called; resolves as `accepted` does. */
  accept() {
    if (this.incoming && this.state === "ringing") this.#actions.accept(this);
    return this.accepted;
  }

  /** Declines it, on the side that is called, or hangs up. */
  decline() {
    if (this.state !== "ended") this.#actions.end(this);
  }

  /** Gives it up, on the side that calls, or hangs up. */
  cancel() {
    this.decline();
  }

  /** Joins the room of the call. @param {import("./room.js").JoinOptions} [options] */
  join(options) {
    return this.#actions.join(this, options);
  }

  /** @param {{state: CallState, room?: string, devices?: number, reason?: string, id?: string, incoming?: boolean}} change */
  show({ state, reason, ...fields }) {
    if (this.state === "ended") return;
    Object.assign(this, fields);
    const isNew = this.state !== state;
    this.state = state;
    if (state === "accepted") this.#resolve(/** @type {string} */ (this.room));
    if (isNew) this.emit("state", state);
    if (state !== "ended") return;
    this.reason = reason ?? "closed";
    this.#reject(new SignalError({ code: this.reason }));
    this.emit("ended", { reason: this.reason });
  }
}
