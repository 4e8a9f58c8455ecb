import { SignalError, build } from "./protocol.js";
import { explainError } from "./explain.js";
import { RESERVED_KEY, isMarked, mark } from "./negotiation-message.js";
import { Sender } from "./sender.js";

/**
 * The messages of one member: which are taken, and what becomes of each. `sender.js` sends them in order.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {import("./outgoing.js").Body} Body
 *
 * @typedef {object} Sent
 * @property {number} [mid] the number of a kept message that was taken
 * @property {Promise<void>} settled resolves when the cluster has the message (a volatile one: at once), and rejects with a
 *   SignalError when it is refused or given up; it may be ignored, since the room emits `error` as well
 *
 * @typedef {{code: string, message: string, mid?: number, to?: string}} Refusal
 * @typedef {{resolve: () => void, reject: (error: SignalError) => void}} Waiting
 */
export class Messages {
  #room;
  #link;
  #refused;
  #sender;
  /** @type {Map<Body, Waiting>} */
  #waiting = new Map();
  #isOver = false;

  /**
   * @param {object} options
   * @param {string} options.room
   * @param {import("./clock.js").Clock} options.clock
   * @param {() => Link | null} options.link what volatile messages go over
   * @param {(refusal: Refusal) => void} options.refused
   */
  constructor({ room, clock, link, refused }) {
    this.#room = room;
    this.#link = link;
    this.#refused = refused;
    this.#sender = new Sender(clock);
  }

  /** How many are not settled. */
  get length() {
    return this.#sender.length;
  }

  /**
   * @param {any} data
   * @param {{to?: string | readonly string[], volatile?: boolean}} [options]
   * @returns {Sent}
   */
  signal(data, { to, volatile } = {}) {
    if (to && typeof to === "object") return all(to.map((one) => this.signal(data, { to: one, volatile })));
    if (isMarked(data)) return this.#refuse("bad_request", `the key "${RESERVED_KEY}" of a signal's data is reserved for the SDK: name yours otherwise`, to);
    const body = build.signal({ room: this.#room, to, volatile: volatile || undefined, data });
    return volatile ? this.#sendOnce(body) : this.#push(body);
  }

  /** Sends a message of the SDK's own. @param {string} to @param {import("./peer.js").PeerMessage} data */
  negotiate(to, data) {
    this.#push(build.signal({ room: this.#room, to, data: mark(data) }));
  }

  /** @param {any} meta */
  update(meta) {
    return this.#push(build.update({ room: this.#room, meta }));
  }

  /** Settles everything up to `mid`. @param {number} mid */
  ack(mid) {
    this.#resolve(this.#sender.ack(mid));
  }

  /**
   * Goes on from the server's `mid` on `link`. Returns the messages that were refused and whose error was lost with a
   * socket; without it they would count as delivered.
   * @param {Link} link
   * @param {{mid: number, refused?: readonly {code: string, message: string, mid: number}[]}} frame
   * @returns {Refusal[]}
   */
  resume(link, { mid, refused = [] }) {
    const found = refused.flatMap((refusal) => this.#fail({ ...refusal, retry: false }));
    this.#resolve(this.#sender.resume(link, mid));
    return found;
  }

  /** Starts over as a new member on `link`; returns how many messages are given up. @param {Link | null} link */
  restart(link) {
    const lost = this.#sender.restart(link);
    for (const body of lost) this.#take(body)?.reject(new SignalError({ code: "not_joined", message: "this member was removed before the message was taken" }));
    return lost.length;
  }

  /** Takes an error about a message. @param {import("./protocol.js").ErrorFrame & {mid: number}} frame */
  failed(frame) {
    this.#fail(frame).forEach(this.#refused);
  }

  /** The last own message that is settled. */
  get settled() {
    return this.#sender.settled;
  }

  /** Sends nothing until `resume` or `restart`. */
  suspend() {
    this.#sender.suspend();
  }

  /** Sends nothing for as long as the server asks. @param {number} ms */
  pause(ms) {
    this.#sender.pause(ms);
  }

  /** The membership is over, and so is all that waits. */
  end() {
    this.#isOver = true;
    this.#sender.suspend();
    for (const body of this.#waiting.keys()) this.#take(body)?.reject(notJoined());
  }

  /** @param {Body} body @returns {Sent} */
  #push(body) {
    if (this.#isOver) return { settled: rejected(notJoined()) };
    const code = this.#sender.refusal(body);
    if (code !== null) return this.#refuse(code, explainError(code).what, body.to);
    const settled = new Promise((/** @type {(value: void) => void} */ resolve, reject) => this.#waiting.set(body, { resolve, reject }));
    settled.catch(() => {});
    return { mid: this.#sender.push(body), settled };
  }

  /** @param {Body} body @returns {Sent} */
  #sendOnce(body) {
    const code = this.#sender.refusal(body);
    if (code !== null) return this.#refuse(code, explainError(code).what, body.to);
    if (!this.#sender.isPaused) this.#link()?.send(body);
    return { settled: Promise.resolve() };
  }

  /** @param {string} code @param {string} message @param {string} [to] @returns {Sent} */
  #refuse(code, message, to) {
    this.#refused({ code, message, to });
    return { settled: rejected(new SignalError({ code, message })) };
  }

  /**
   * @param {{code: string, message: string, mid: number} & import("./outgoing.js").Failure} failure
   * @returns {Refusal[]} none if the message is tried again
   */
  #fail({ code, message, mid, ...rest }) {
    const body = this.#sender.fail({ mid, ...rest });
    if (!body) return [];
    this.#take(body)?.reject(new SignalError({ code, message }));
    return [{ code, message, mid, to: body.to }];
  }

  /** @param {readonly Body[]} settled */
  #resolve(settled) {
    for (const body of settled) this.#take(body)?.resolve();
  }

  /** @param {Body} body */
  #take(body) {
    const waiting = this.#waiting.get(body);
    this.#waiting.delete(body);
    return waiting;
  }
}

/** @param {readonly Sent[]} sent @returns {Sent} */
function all(sent) {
  const settled = Promise.all(sent.map((one) => one.settled)).then(() => {});
  settled.catch(() => {});
  return { mid: sent.at(-1)?.mid, settled };
}

/** @param {SignalError} error */
function rejected(error) {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}

function notJoined() {
  return new SignalError({ code: "not_joined", message: "this member has left the room" });
}
