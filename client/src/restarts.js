/**
 * When ICE is restarted: a path that is interrupted often recovers by itself, and a browser whose restart finds no
 * candidate at all stays `failed` without another word, so a restart is repeated while it does not help.
 */

/** How long an interrupted path may take to recover by itself (ms). */
export const RESTART_AFTER = 3000;

/** A connection that has not come about after this long is helped along in the same way (ms). */
const CONNECT_WITHIN = 15_000;

/** The wait after an ICE restart that failed grows with each up to this (ms). */
const LONGEST_WAIT = 15_000;

export class Restarts {
  #clock;
  #restart;
  #cancel = () => {};
  /** How many were made since the connection last was up. */
  count = 0;

  /**
   * @param {import("./clock.js").Clock} clock
   * @param {() => void} restart
   */
  constructor(clock, restart) {
    this.#clock = clock;
    this.#restart = restart;
  }

  /** The connection is being made. */
  opened() {
    this.#after(CONNECT_WITHIN);
  }

  /** The connection is up. */
  connected() {
    this.count = 0;
    this.stop();
  }

  /** The path is interrupted. */
  interrupted() {
    this.#after(RESTART_AFTER);
  }

  /** The path is lost. */
  failed() {
    this.#after(this.#wait());
  }

  stop() {
    this.#cancel();
  }

  /** @param {number} ms */
  #after(ms) {
    this.#cancel();
    this.#cancel = this.#clock.after(ms, () => {
      this.count += 1;
      this.#restart();
      this.#after(Math.max(RESTART_AFTER, this.#wait()));
    });
  }

  #wait() {
    return Math.min(LONGEST_WAIT, 1000 * this.count ** 2);
  }
}
