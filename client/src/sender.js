import { Outgoing } from "./outgoing.js";

/**
 * Sends a member's own messages: what `Outgoing` says is due, on the link of the moment, again when
 * time alone allows more.
 *
 * @typedef {import("./link.js").Link} Link
 */
export class Sender {
  #outgoing = new Outgoing();
  #clock;
  /** @type {Link | null} */
  #link = null;
  #cancelWake = () => {};

  /** @param {import("./clock.js").Clock} clock */
  constructor(clock) {
    this.#clock = clock;
  }

  /** How many messages are not settled. */
  get length() {
    return this.#outgoing.length;
  }

  /** Queues a message, sends it if possible, and returns its `mid`. @param {import("./outgoing.js").Body} body */
  push(body) {
    const mid = this.#outgoing.push(body);
    this.#flush();
    return mid;
  }

  /** Settles everything up to `mid`. @param {number} mid */
  ack(mid) {
    this.#outgoing.ack(mid);
    this.#flush();
  }

  /** Takes an error about a message; returns the message if it is refused for good. @param {import("./outgoing.js").Failure} failure */
  fail(failure) {
    const body = this.#outgoing.fail(failure, this.#clock.now());
    this.#flush();
    return body;
  }

  /**
   * Goes on from the server's `mid` on `link`.
   * @param {Link} link
   * @param {number} mid
   */
  resume(link, mid) {
    this.#use(link);
    this.#outgoing.resume(mid);
    this.#flush();
  }

  /** Starts over as a new member on `link`; returns how many messages are given up. @param {Link | null} link */
  restart(link) {
    const { length } = this.#outgoing.restart();
    if (link) this.#use(link);
    else this.suspend();
    return length;
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
    if (link.welcome) this.#outgoing.limit(link.welcome.limits);
  }

  #flush() {
    const { now } = this.#clock;
    if (this.#link) for (const frame of this.#outgoing.due(now())) this.#link.send(frame);
    this.#cancelWake();
    const at = this.#link && this.#outgoing.wakeAt(now());
    if (at !== null) this.#cancelWake = this.#clock.after(at - now(), () => this.#flush());
  }
}
