import { SignalError, build } from "./protocol.js";
import { Call } from "./call.js";
import { randomName } from "./random.js";

/**
 * The calls of this client: says outgoing ones on every new link, until they are over, and tells of incoming ones once.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {object} CallsContext
 * @property {import("./connection.js").Connection} connection
 * @property {import("./clock.js").Clock} clock
 * @property {(call: Call) => void} rang a user calls
 * @property {(room: string, options: import("./room.js").JoinOptions) => Promise<import("./room.js").Room>} join
 *
 * @typedef {object} CallOptions
 * @property {string} [room] where to meet, if the token opens it; otherwise the call has a room of its own
 * @property {number} [timeout] seconds for which it rings
 * @property {Record<string, any>} [data] what the devices of the other user are told; 4 KiB at most
 *
 * @typedef {import("./protocol.js").Ring | import("./protocol.js").Ringing | import("./protocol.js").CallAccepted
 *   | import("./protocol.js").CallEnded} CallFrame
 */

/** Wait before a call is said again that failed for a passing reason (ms), unless the server names one. */
const AGAIN_AFTER = 1000;

/** How many ended calls are remembered, so that a late `ring` of one is no new call. */
const REMEMBERED = 64;

export class Calls {
  #context;
  /** @type {Map<string, Call>} */
  #calls = new Map();
  /** @type {Map<string, CallOptions>} */
  #options = new Map();
  /** Incoming calls that this page has accepted, until the server has answered. @type {Set<string>} */
  #accepting = new Set();
  /** @type {Set<string>} */
  #over = new Set();

  /** @param {CallsContext} context */
  constructor(context) {
    this.#context = context;
  }

  /**
   * Calls a user.
   * @param {string} user
   * @param {CallOptions} options
   */
  begin(user, options) {
    const call = this.#make({ id: randomName(), user, incoming: false });
    this.#options.set(call.id, options);
    this.#context.connection.start();
    const { successor, link } = this.#context.connection;
    const newest = successor ?? link;
    if (newest) this.#say(call, newest);
    return call;
  }

  /** Says what is not over on a link that was just welcomed. @param {Link} link */
  moveTo(link) {
    for (const call of [...this.#calls.values()]) {
      if (!call.incoming) this.#say(call, link);
      else if (this.#accepting.has(call.id)) this.#accept(call);
    }
  }

  /** @param {CallFrame} frame */
  take(frame) {
    if (frame.type === "ring") return this.#ring(frame);
    const call = this.#calls.get(frame.call);
    if (!call) return;
    if (frame.type === "ringing") call.show({ state: "ringing", room: frame.room, devices: frame.devices });
    else if (frame.type === "call_accepted") call.show({ state: "accepted", room: frame.room });
    else if (frame.reason !== "glare" || !this.#adopt(call)) this.#end(call, frame.reason);
  }

  /** The connection has stopped for good. */
  stopped() {
    for (const call of [...this.#calls.values()]) this.#end(call, "closed");
  }

  /** @param {import("./protocol.js").Ring} frame */
  #ring({ call: id, from: user, room, data }) {
    if (this.#calls.has(id) || this.#over.has(id)) return;
    const own = [...this.#calls.values()].find((call) => !call.incoming && call.user === user && call.state !== "accepted");
    // Both call each other: the call with the smaller name goes on, and the node ends the other one.
    if (own && own.id < id) return;
    const call = this.#make({ id, user, incoming: true, data, room });
    call.show({ state: "ringing" });
    if (!own) this.#context.rang(call);
  }

  /**
   * The other user's call goes on in place of ours, which becomes it.
   * @param {Call} own
   */
  #adopt(own) {
    const other = [...this.#calls.values()].find((call) => call.incoming && call.user === own.user);
    if (!other) return false;
    this.#calls.delete(own.id);
    this.#over.add(own.id);
    this.#calls.set(other.id, own);
    const { id, room, state } = other;
    own.show({ state, id, incoming: true, room: /** @type {string} */ (room) });
    return true;
  }

  /** @param {{id: string, user: string, incoming: boolean, data?: any, room?: string}} about */
  #make(about) {
    const call = new Call(about, {
      accept: (accepted) => this.#accept(accepted),
      end: (ended) => this.#sayEnd(ended),
      join: (joined, options) => this.#join(joined, options),
    });
    this.#calls.set(call.id, call);
    return call;
  }

  /**
   * @param {Call} call
   * @param {Link} link
   */
  #say(call, link) {
    const { room, timeout, data } = this.#options.get(call.id) ?? {};
    const { requests } = this.#context.connection;
    requests.send(link, (id) => build.call({ id, to: call.user, call: call.id, room, timeout, data }), (reply) => {
      if (reply?.type === "error") this.#refused(call, new SignalError(reply), () => this.#say(call, link), link);
    });
  }

  /** @param {Call} call */
  #accept(call) {
    this.#accepting.add(call.id);
    const { link, requests } = this.#context.connection;
    if (!link) return; // said on the next one
    requests.send(link, (id) => build.accept({ id, call: call.id }), (reply) => {
      if (reply?.type === "error") this.#refused(call, new SignalError(reply), () => this.#accept(call), link);
      else if (reply) this.#accepting.delete(call.id);
    });
  }

  /**
   * @param {Call} call
   * @param {SignalError} error
   * @param {() => void} again
   * @param {Link} link
   */
  #refused(call, error, again, link) {
    // A page that comes back says `online` first; until that is answered it has no calls.
    const retry = error.retry || error.code === "not_joined";
    if (!retry) return this.#end(call, error.code);
    this.#context.clock.after(error.after ?? AGAIN_AFTER, () => link.open && this.#calls.has(call.id) && again());
    return undefined;
  }

  /** @param {Call} call */
  #sayEnd(call) {
    const { link, requests } = this.#context.connection;
    const frame = call.incoming ? build.decline : build.cancel;
    const reason = call.state === "accepted" ? "hung_up" : call.incoming ? "declined" : "cancelled";
    if (link) requests.send(link, (id) => frame({ id, to: call.user, call: call.id }), () => {});
    this.#end(call, reason);
  }

  /**
   * @param {Call} call
   * @param {import("./room.js").JoinOptions} [options]
   */
  #join(call, options) {
    if (!call.room) return Promise.reject(new SignalError({ code: "not_joined", message: "the call has no room yet" }));
    const to = call.incoming ? undefined : call.user;
    return this.#context.join(call.room, { ...options, call: { to, call: call.id } });
  }

  /**
   * @param {Call} call
   * @param {string} reason
   */
  #end(call, reason) {
    this.#calls.delete(call.id);
    this.#options.delete(call.id);
    this.#accepting.delete(call.id);
    this.#over.add(call.id);
    if (this.#over.size > REMEMBERED) this.#over.delete([...this.#over][0]);
    call.show({ state: "ended", reason });
  }
}
