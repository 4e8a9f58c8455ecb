import { channel } from "./channels.js";

/**
 * Calls between the members of a room, with answers, over the data channel `rpc`.
 *
 * ```js
 * const calls = rpc(room);
 * calls.on("add", ({ a, b }) => a + b);
 * await calls.call(peer, "add", { a: 1, b: 2 });
 * ```
 *
 * @typedef {import("./peer.js").Peer} Peer
 * @typedef {import("./room.js").Room} Room
 * @typedef {"no_method" | "failed" | "timeout" | "closed"} RpcCode
 * @typedef {(data: any, peer: Peer) => any} Handler what it returns, or resolves to, is the answer
 * @typedef {{peer: Peer, resolve: (result: any) => void, reject: (error: unknown) => void}} Pending
 */

const LABEL = "rpc";

/** How long an answer may take if the caller names no time (ms). */
const ANSWER_WITHIN = 10_000;

/** Why a call has no answer. */
export class RpcError extends Error {
  /**
   * @param {RpcCode} code
   * @param {string} message
   */
  constructor(code, message) {
    super(message);
    this.name = "RpcError";
    this.code = code;
  }
}

class Rpc {
  /** @type {Map<string, Handler>} */
  #handlers = new Map();
  /** @type {Map<number, Pending>} */
  #pending = new Map();
  #lastId = 0;

  /** @param {Room} room */
  constructor(room) {
    room.on("peer", (peer) => channel(peer, LABEL).on("message", (message) => this.#receive(peer, message)));
    room.on("peerLeft", ({ peer }) => this.#lost(peer));
  }

  /**
   * Answers calls of `method`, instead of the handler before. An error that the handler throws is the caller's.
   * @param {string} method
   * @param {Handler} handler
   */
  on(method, handler) {
    this.#handlers.set(method, handler);
  }

  /**
   * Calls a method of `peer`. Rejects with an RpcError, or with the reason of `signal`; whether the other side has
   * acted is then not known, except for `no_method`.
   * @param {Peer} peer
   * @param {string} method
   * @param {any} [data] what JSON can carry
   * @param {{timeout?: number, signal?: AbortSignal}} [options] `timeout` in milliseconds, 10,000 by default
   * @returns {Promise<any>}
   */
  async call(peer, method, data = null, { timeout = ANSWER_WITHIN, signal } = {}) {
    signal?.throwIfAborted();
    const id = ++this.#lastId;
    const answered = new Promise((resolve, reject) => this.#pending.set(id, { peer, resolve, reject }));
    const timer = setTimeout(() => this.#reject(id, new RpcError("timeout", `${method} was not answered within ${timeout} ms`)), timeout);
    const abort = () => this.#reject(id, signal?.reason);
    signal?.addEventListener("abort", abort);
    channel(peer, LABEL).send({ id, method, data }).catch((error) => this.#reject(id, notSent(error)));
    try {
      return await answered;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
      this.#pending.delete(id);
    }
  }

  /** @param {number} id @param {unknown} error */
  #reject(id, error) {
    this.#pending.get(id)?.reject(error);
  }

  /** @param {Peer} peer @param {any} message */
  #receive(peer, message) {
    if (typeof message?.method === "string") return void this.#answer(peer, message);
    const pending = this.#pending.get(message?.id);
    if (!pending || pending.peer !== peer) return undefined;
    if (message.error) pending.reject(new RpcError(message.error.code, String(message.error.message)));
    else pending.resolve(message.result);
    return undefined;
  }

  /** @param {Peer} peer @param {{id: number, method: string, data: any}} call */
  async #answer(peer, { id, method, data }) {
    const answer = await this.#run(peer, method, data);
    const say = (/** @type {object} */ text) => channel(peer, LABEL).send({ id, ...text });
    // What JSON cannot carry, or is too large for a message, fails here: the caller would wait for nothing.
    await say(answer).catch((error) => say(failure(error))).catch(() => {}); // the caller is gone
  }

  /** @param {Peer} peer @param {string} method @param {any} data */
  async #run(peer, method, data) {
    const handler = this.#handlers.get(method);
    if (!handler) return { error: { code: "no_method", message: `the member has no method ${method}` } };
    try {
      return { result: (await handler(data, peer)) ?? null };
    } catch (error) {
      return failure(error);
    }
  }

  /** @param {Peer} peer */
  #lost(peer) {
    for (const [id, pending] of this.#pending) {
      if (pending.peer === peer) this.#reject(id, new RpcError("closed", "the member left before it answered"));
    }
  }
}

/** @param {unknown} error */
function failure(error) {
  return { error: { code: "failed", message: error instanceof Error ? error.message : String(error) } };
}

/** Why a call could not be sent. @param {any} error */
function notSent(error) {
  return error?.code === "closed" ? new RpcError("closed", "the member left before it was called") : error;
}

/** @type {WeakMap<Room, Rpc>} */
const OF = new WeakMap();

/** Returns the calls of a room; the same ones each time. @param {Room} room */
export function rpc(room) {
  const calls = OF.get(room) ?? new Rpc(room);
  OF.set(room, calls);
  return calls;
}
