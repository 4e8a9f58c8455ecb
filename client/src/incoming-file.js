import { LABEL, gone } from "./file-message.js";
import { Emitter } from "./events.js";
import { SignalError } from "./protocol.js";
import { channel } from "./channels.js";

/**
 * One file on its way in: asks over each new connection for what is missing.
 *
 * @typedef {import("./peer.js").Peer} Peer
 */

/** After how many bytes the receiver says how far it has come. */
const REPORT_EVERY = 1024 * 1024;

/**
 * A file that the other side offers.
 * @extends {Emitter<{progress: {received: number, size: number}}>}
 */
export class IncomingFile extends Emitter {
  #peer;
  #id;
  #ended;
  #have = 0;
  #reported = 0;
  /** Whether `accept` waits for bytes: nothing is held for a file that nobody takes. */
  #isAccepted = false;
  /** @type {WritableStreamDefaultWriter<Uint8Array> | null} */
  #writer = null;
  /** @type {Uint8Array<ArrayBuffer>[]} */
  #parts = [];
  /** Writes one after the other. */
  #written = Promise.resolve();
  /** @type {(value: Blob | undefined) => void} */
  #resolve = () => {};
  /** @type {(error: unknown) => void} */
  #reject = () => {};

  /**
   * @param {Peer} peer
   * @param {{offer: number, name: string, size: number, type: string}} offer
   * @param {(message: object) => void} ended tells the sender how the transfer has ended
   */
  constructor(peer, { offer, name, size, type }, ended) {
    super();
    this.#peer = peer;
    this.#id = offer;
    this.#ended = ended;
    /** What the sender calls it: a text, not a path to write to. */
    this.name = name;
    /** Bytes. */
    this.size = size;
    /** Media type, or an empty text. */
    this.type = type;
  }

  /**
   * Takes the file: into `sink`, or, without one, into a Blob. Rejects with a SignalError of code `closed` or `cancelled`,
   * or with the error of the sink.
   * @param {WritableStream<Uint8Array>} [sink]
   * @returns {Promise<Blob | undefined>} undefined where there is a sink
   */
  async accept(sink) {
    this.#writer = sink?.getWriter() ?? null;
    this.#isAccepted = true;
    const whole = new Promise((/** @type {(value: Blob | undefined) => void} */ resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const ended = [
      this.#peer.on("connection", (pc) => pc && this.#ask()),
      this.#peer.on("state", (state) => state === "closed" && this.#reject(gone())),
    ];
    if (!this.#peer.pc) this.#ask();
    if (this.size === 0) this.#finish();
    try {
      return await whole;
    } catch (error) {
      this.refuse();
      await this.#writer?.abort(error).catch(() => {});
      throw error;
    } finally {
      for (const end of ended) end();
    }
  }

  /** Does not take the file. */
  refuse() {
    this.#ended({ refuse: this.#id });
  }

  /** Asks for what is missing. */
  #ask() {
    this.#say({ accept: this.#id, from: this.#have });
  }

  /** The sender has given the file up. @internal */
  cancel() {
    this.#reject(new SignalError({ code: "cancelled", message: "the sender has given the file up" }));
  }

  /**
   * Takes bytes of the sender.
   * @param {number} at
   * @param {Uint8Array<ArrayBuffer>} bytes @internal
   */
  take(at, bytes) {
    if (!this.#isAccepted || at !== this.#have) return; // what it asked for again is under way
    this.#have += bytes.length;
    if (!this.#writer) this.#parts.push(bytes);
    const have = this.#have;
    this.#written = this.#written.then(() => this.#writer?.write(bytes)).then(() => this.#report(have)).catch(this.#reject);
  }

  /** @param {number} have */
  #report(have) {
    if (have < this.size && have - this.#reported < REPORT_EVERY) return;
    this.#reported = have;
    this.#say({ have: this.#id, bytes: have });
    this.emit("progress", { received: have, size: this.size });
    if (have >= this.size) this.#finish();
  }

  async #finish() {
    try {
      await this.#writer?.close();
    } catch (error) {
      return this.#reject(error);
    }
    this.#ended({ done: this.#id });
    this.#resolve(this.#writer ? undefined : new Blob(this.#parts, { type: this.type }));
    return undefined;
  }

  /** @param {object} message */
  #say(message) {
    channel(this.#peer, LABEL).send(message).catch(this.#reject);
  }
}
