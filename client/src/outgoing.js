/**
 * The member's own stream of kept signals and updates: numbering, resend buffer, go-back-N.
 *
 * The room's log accepts `mid` = last + 1 only, acknowledges cumulatively and refuses what comes
 * out of order. This module holds what is not settled yet and says what to send now. It is pure:
 * no socket, no timer; `now` is passed in, in milliseconds.
 *
 * @typedef {Record<string, any>} Body a `signal` or `update` frame without its `mid`
 * @typedef {{mid: number, body: Body, refused: boolean}} Entry
 * @typedef {{mid: number, retry: boolean, expected?: number, after?: number}} Failure
 */

/** After going back once, further `out_of_order` is ignored for this long unless an `ack` moves (ms). */
export const GO_BACK_ONCE = 1000;

/** Pause before a retry when the server asked for one without saying how long (ms); it doubles until something is settled. */
export const FIRST_PAUSE = 200;

/** The longest of these pauses (ms): what waits is small, what a thousand clients repeat during an outage is not. */
export const LONGEST_PAUSE = 5000;

/** Messages that are tried again at once while nothing is settled: repeating all of them would pass the rate limit. */
export const PROBE = 16;

export class Outgoing {
  /** @type {Entry[]} what is not settled, in order of `mid` */
  #held = [];
  /** How many entries of `#held` were sent on this socket. */
  #sent = 0;
  /** The highest settled `mid`. */
  #settled = 0;
  /** Nothing is sent before `joined` arrived on the socket. */
  #open = false;
  /** Nothing is sent before this time. */
  #pausedUntil = -Infinity;
  /** When the stream last went back without an `ack` having moved since. */
  #wentBackAt = -Infinity;
  /** How often in a row the stream was refused without anything having been settled. */
  #failures = 0;
  /** When to go back on account of an `out_of_order` that was ignored. */
  #goBackAt = Infinity;
  /** @type {number} */
  #window;

  /** @param {{unacked?: number}} [limits] the `limits` of `welcome` */
  constructor({ unacked = 256 } = {}) {
    this.#window = unacked;
  }

  /** The highest settled `mid`. */
  get settled() {
    return this.#settled;
  }

  /** The highest `mid` handed out. */
  get last() {
    return this.#settled + this.#held.length;
  }

  /** How many messages are not settled. */
  get length() {
    return this.#held.length;
  }

  /** Takes over the limits of the node now connected to. @param {{unacked?: number}} limits */
  limit({ unacked = 256 }) {
    this.#window = unacked;
  }

  /**
   * Appends a message and returns its `mid`.
   * @param {Body} body
   */
  push(body) {
    const mid = this.last + 1;
    this.#held.push({ mid, body, refused: false });
    return mid;
  }

  /**
   * Returns the frames to send now and counts them as sent.
   * @param {number} now
   * @returns {Body[]}
   */
  due(now) {
    if (now >= this.#goBackAt) this.#goBack(0, now);
    if (!this.#open || now < this.#pausedUntil) return [];
    const window = this.#failures > 0 ? Math.min(PROBE, this.#window) : this.#window;
    const frames = this.#held.slice(this.#sent, window);
    this.#sent = Math.max(this.#sent, Math.min(this.#held.length, window));
    return frames.map(({ mid, body }) => ({ ...body, mid }));
  }

  /**
   * Returns when `due` will have something to send by the passing of time alone, if ever.
   * @param {number} now
   * @returns {number | null}
   */
  wakeAt(now) {
    if (!this.#open || this.#held.length === 0) return null;
    const waits = [this.#pausedUntil, this.#goBackAt].filter((at) => at > now && at < Infinity);
    return waits.length > 0 ? Math.min(...waits) : null;
  }

  /** Stops sending until `resume` or `restart`: the socket is gone. */
  suspend() {
    this.#open = false;
  }

  /**
   * Settles everything up to `mid`; returns the messages that were not refused.
   * @param {number} mid
   * @returns {Body[]}
   */
  ack(mid) {
    const moved = Math.min(mid - this.#settled, this.#held.length);
    if (moved <= 0) return [];
    this.#wentBackAt = -Infinity;
    this.#goBackAt = Infinity;
    this.#failures = 0;
    return this.#drop(moved);
  }

  /**
   * Takes an `error` that names one of these messages. A final refusal consumes its `mid`; a
   * retryable error consumes nothing, so the stream goes back to it, once.
   * @param {Failure} failure
   * @param {number} now
   * @returns {Body | null} the message, if it is refused for good
   */
  fail({ mid, retry, expected, after }, now) {
    if (!retry) return this.#refuse(mid);
    const index = Math.max(0, (expected ?? mid) - this.#settled - 1);
    if (expected === undefined) this.#pause(index, now, after);
    else if (now - this.#wentBackAt >= GO_BACK_ONCE) this.#goBack(index, now);
    else this.#goBackAt = this.#wentBackAt + GO_BACK_ONCE;
    return null;
  }

  /**
   * Goes on from the server's `mid` after `joined` (`replay`, `snapshot`) or `reset`: drops what it
   * has, resends the rest. A lower `mid` than the last settled one means the server forgot: what is
   * still held is renumbered from `mid` + 1. Returns the messages that it settled and that were not refused.
   * @param {number} mid
   * @returns {Body[]}
   */
  resume(mid) {
    if (mid < this.#settled) this.#renumber(mid);
    const settled = this.#drop(Math.min(mid - this.#settled, this.#held.length));
    if (this.#held.length === 0) this.#settled = mid;
    this.#fresh();
    return settled;
  }

  /**
   * Starts over as a new member and returns the messages that are given up.
   * @returns {Body[]}
   */
  restart() {
    const lost = this.#held.map(({ body }) => body);
    this.#held = [];
    this.#settled = 0;
    this.#fresh();
    return lost;
  }

  #fresh() {
    this.#sent = 0;
    this.#open = true;
    this.#pausedUntil = this.#wentBackAt = -Infinity;
    this.#goBackAt = Infinity;
    this.#failures = 0;
  }

  /** @param {number} count @returns {Body[]} */
  #drop(count) {
    const dropped = this.#held.splice(0, count).filter(({ refused }) => !refused);
    this.#settled += count;
    this.#sent = Math.max(0, this.#sent - count);
    return dropped.map(({ body }) => body);
  }

  /** @param {number} settled */
  #renumber(settled) {
    this.#settled = settled;
    this.#held = this.#held.map((entry, index) => ({ ...entry, mid: settled + 1 + index }));
  }

  /**
   * @param {number} index
   * @param {number} now
   */
  #goBack(index, now) {
    this.#sent = Math.min(this.#sent, index);
    this.#wentBackAt = now;
    this.#goBackAt = Infinity;
  }

  /**
   * What lies at or beyond `#sent` was not sent since the last going back: its error is old news,
   * except for a wait that it names.
   * @param {number} index
   * @param {number} now
   * @param {number} [after]
   */
  #pause(index, now, after) {
    const wait = after ?? Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#failures);
    if (after !== undefined || index < this.#sent) this.#pausedUntil = Math.max(this.#pausedUntil, now + wait);
    if (index < this.#sent) {
      this.#failures = Math.min(this.#failures + 1, 16);
      this.#goBack(index, now);
    }
    this.#wentBackAt = Math.max(this.#wentBackAt, this.#pausedUntil);
  }

  /**
   * Keeps the slot of a refused message until everything before it is settled.
   * @param {number} mid
   */
  #refuse(mid) {
    const entry = this.#held[mid - this.#settled - 1];
    if (!entry || entry.refused) return null;
    entry.refused = true;
    while (this.#held[0]?.refused) this.#drop(1);
    return entry.body;
  }
}
