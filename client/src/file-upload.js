import { CHUNK, LABEL, gone, writeChunk } from "./file-message.js";
import { SignalError } from "./protocol.js";
import { channel } from "./channels.js";

/**
 * One file on its way out: offered over each new connection, sent from where the receiver asks, never more than a window ahead of it.
 *
 * @typedef {import("./peer.js").Peer} Peer
 * @typedef {{sent: number, size: number}} Progress bytes that the receiver has
 */

/** How many bytes may be under way. */
const WINDOW = 8 * 1024 * 1024;

export class Upload {
  #peer;
  #file;
  #name;
  #progress;
  /** The number of the transfer. */
  id = crypto.getRandomValues(new Uint32Array(1))[0];
  #run = 0;
  #have = 0;
  #wake = () => {};
  /** @type {(value: void) => void} */
  #resolve = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};

  /**
   * @param {Peer} peer
   * @param {Blob} file
   * @param {string} name
   * @param {((progress: Progress) => void) | undefined} progress
   */
  constructor(peer, file, name, progress) {
    this.#peer = peer;
    this.#file = file;
    this.#name = name;
    this.#progress = progress;
  }

  /** Offers the file and resolves when the other side has all of it. @param {AbortSignal} [signal] */
  async send(signal) {
    signal?.throwIfAborted();
    if (this.#peer.state === "closed") throw gone();
    const whole = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const ended = [
      this.#peer.on("connection", (pc) => pc && this.#offer()),
      this.#peer.on("state", (state) => state === "closed" && this.#reject(gone())),
    ];
    const abort = () => this.#cancel(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      await whole;
    } finally {
      this.#run += 1;
      this.#wake();
      signal?.removeEventListener("abort", abort);
      for (const end of ended) end();
    }
  }

  /** Takes a message of the receiver about this transfer. @param {any} message */
  receive({ refuse, done, have, accept, bytes, from }) {
    if (refuse === this.id) this.#reject(new SignalError({ code: "refused", message: "the member does not take the file" }));
    if (done === this.id) this.#resolve();
    if (have === this.id && this.#isWithin(bytes)) this.#reached(bytes);
    if (accept === this.id && this.#isWithin(from)) this.#from(from);
  }

  #offer() {
    const { size, type } = this.#file;
    this.#say({ offer: this.id, name: this.#name, size, type });
  }

  /** @param {any} offset */
  #isWithin(offset) {
    return Number.isSafeInteger(offset) && offset >= 0 && offset <= this.#file.size;
  }

  /** @param {number} bytes */
  #reached(bytes) {
    this.#have = Math.max(this.#have, bytes);
    this.#progress?.({ sent: this.#have, size: this.#file.size });
    this.#wake();
  }

  /** Sends from an offset on, instead of what is being sent. @param {number} offset */
  async #from(offset) {
    const run = ++this.#run;
    this.#wake();
    this.#have = offset;
    try {
      for (let at = offset; at < this.#file.size; at += CHUNK) {
        while (at - this.#have > WINDOW && run === this.#run) await new Promise((wake) => (this.#wake = () => wake(undefined)));
        if (run !== this.#run) return;
        const bytes = await this.#file.slice(at, at + CHUNK).arrayBuffer();
        await channel(this.#peer, LABEL).send(writeChunk(this.id, at, bytes));
      }
    } catch (error) {
      this.#cancel(error);
    }
  }

  /** @param {unknown} reason */
  #cancel(reason) {
    this.#say({ cancel: this.id });
    this.#reject(reason);
  }

  /** @param {object} message */
  #say(message) {
    channel(this.#peer, LABEL).send(message).catch(this.#reject);
  }
}
