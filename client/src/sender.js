import { DEFAULTS } from "./protocol.js";
import { Outgoing } from "./outgoing.js";

/**
 * Sends a member's own messages: what `Outgoing` says is due, on the link of the moment, again when
 * time alone allows more.
 *
 * @typedef {import("./link.js").Link} Link
 */

/** How many messages may wait to be settled: many times what a call needs, far below what a page would feel. */
export const MOST_HELD = 4096;

/** Bytes of `"mid":…,` in a frame, at most. */
const ROOM_FOR_MID = 24;

const ENCODER = new TextEncoder();

export class Sender {
  #outgoing = new Outgoing();
  #clock;
  /** @type {Link | null} */
  #link = null;
  /** How many bytes a frame may have. @type {number} */
  #largest = DEFAULTS.limits.message;
  #cancelWake = () => {};
  /** Nothing is sent before this time. */
  #pausedUntil = -Infinity;

  /** @param {import("./clock.js").Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** The highest settled `mid`. */
  get settled() {
    return this.#outgoing.settled;
  }

  /** How many messages are not settled. */
  get length() {
    return this.#outgoing.length;
  }

  /**
   * Returns why a message cannot be taken, or null: the server would close the connection for good
   * because of one that is too large, and what waits for a lost connection must end somewhere.
   * @param {import("./outgoing.js").Body} body
   * @returns {"too_large" | "limit_exceeded" | null}
   */
  refusal(body) {
    if (this.length >= MOST_HELD) return "limit_exceeded";
    const bytes = ENCODER.encode(JSON.stringify(body)).length + ROOM_FOR_MID;
    return bytes > this.#largest ? "too_large" : null;
  }

  /** Queues a message, sends it if possible, and returns its `mid`. @param {import("./outgoing.js").Body} body */
  push(body) {
    const mid = this.#outgoing.push(body);
    this.#flush();
    return mid;
  }

  /** Settles everything up to `mid`; returns the messages that were not refused. @param {number} mid */
  ack(mid) {
    const settled = this.#outgoing.ack(mid);
    this.#flush();
    return settled;
  }

  /** Takes an error about a message; returns the message if it is refused for good. @param {import("./outgoing.js").Failure} failure */
  fail(failure) {
    const body = this.#outgoing.fail(failure, this.#clock.now());
    this.#flush();
    return body;
  }

  /**
   * Goes on from the server's `mid` on `link`; returns the messages that it settled and that were not refused.
   * @param {Link} link
   * @param {number} mid
   */
  resume(link, mid) {
    this.#use(link);
    const settled = this.#outgoing.resume(mid);
    this.#flush();
    return settled;
  }

  /** Starts over as a new member on `link`; returns the messages that are given up. @param {Link | null} link */
  restart(link) {
    const lost = this.#outgoing.restart();
    if (link) this.#use(link);
    else this.suspend();
    return lost;
  }

  /** Whether the server asked for silence that is not over. */
  get isPaused() {
    return this.#clock.now() < this.#pausedUntil;
  }

  /** Sends nothing for as long as the server asks. @param {number} ms */
  pause(ms) {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + ms);
    this.#flush();
  }

  /** Sends nothing until `resume` or `restart`. */
  suspend() {
    this.#link = null;
    this.#cancelWake();
    this.#outgoing.suspend();
  }

  /** @param {Link} link */
  #use(link) {
    this.#link = link;
    if (!link.welcome) return;
    this.#outgoing.limit(link.welcome.limits);
    this.#largest = link.welcome.limits.message ?? this.#largest;
  }

  #flush() {
    const { now } = this.#clock;
    if (this.#link && !this.isPaused) for (const frame of this.#outgoing.due(now())) this.#link.send(frame);
    this.#cancelWake();
    const at = this.#link && (this.isPaused ? this.#pausedUntil : this.#outgoing.wakeAt(now()));
    if (at !== null) this.#cancelWake = this.#clock.after(at - now(), () => this.#flush());
  }
}
