import { SignalError } from "./protocol.js";

/**
 * The calls of `join` that wait for a room. Each may give up; when all that wait for a room have, the room is left.
 *
 * @typedef {import("./room.js").Room} Room
 */

/**
 * Throws where a join need not begin.
 * @param {{signal?: AbortSignal, timeout?: number}} options
 */
export function mayBegin({ signal, timeout }) {
  signal?.throwIfAborted();
  if (timeout !== undefined && !(timeout >= 0)) throw new TypeError(`timeout is a number of milliseconds, not ${timeout}`);
}

export class Waiting {
  #clock;
  #state;
  /** How many calls have not given up a room. @type {WeakMap<Room, number>} */
  #calls = new WeakMap();

  /**
   * @param {import("./clock.js").Clock} clock
   * @param {() => import("./connection.js").ConnectionState} state of the connection: it says what a join waits for
   */
  constructor(clock, state) {
    this.#clock = clock;
    this.#state = state;
  }

  /**
   * Resolves when `room` is joined; rejects when it cannot be, or when this call gives up.
   * @param {Room} room
   * @param {{signal?: AbortSignal, timeout?: number}} options
   * @returns {Promise<Room>}
   */
  joined(room, { signal, timeout }) {
    this.#count(room, 1);
    return new Promise((resolve, reject) => {
      const giveUp = (/** @type {unknown} */ why) => {
        finish();
        reject(why);
        if (this.#count(room, -1) === 0) room.leave();
      };
      const aborted = () => giveUp(signal?.reason);
      const cancel = timeout === undefined ? () => {} : this.#clock.after(timeout, () => giveUp(this.#late(room.name, timeout)));
      const finish = () => {
        cancel();
        signal?.removeEventListener("abort", aborted);
      };
      signal?.addEventListener("abort", aborted);
      room.ready.finally(finish).then(resolve, reject);
    });
  }

  /**
   * @param {Room} room
   * @param {number} change
   */
  #count(room, change) {
    const calls = (this.#calls.get(room) ?? 0) + change;
    this.#calls.set(room, calls);
    return calls;
  }

  /**
   * @param {string} name
   * @param {number} timeout
   */
  #late(name, timeout) {
    const { reason, todo } = this.#state();
    const message = `room ${name} was not joined within ${timeout} ms. ${reason} ${todo}`.trimEnd();
    return new SignalError({ code: "timeout", message, retry: true });
  }
}
