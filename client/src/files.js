import { Emitter } from "./events.js";
import { SignalError } from "./protocol.js";
import { channel } from "./channels.js";

/**
 * Files of any size to one peer, over the data channel `files`, with progress. A transfer goes on where it was when the
 * connection is replaced, and never holds more than a window of bytes that the receiver has not taken.
 *
 * ```js
 * await sendFile(peer, input.files[0], { progress: ({ sent, size }) => (bar.value = sent / size) });
 * onFile(peer, async (file) => save(file.name, await file.accept()));
 * ```
 *
 * The receiver says how far it has come, and from where it wants to go on: `{accept, from}`, `{have, bytes}`. Each
 * chunk carries the number of its transfer and its offset, so that a gap is seen.
 *
 * @typedef {import("./peer.js").Peer} Peer
 * @typedef {{sent: number, size: number}} Progress bytes that the receiver has
 */

const LABEL = "files";

/** Bytes of a message: what every browser takes. */
const MESSAGE = 64 * 1024;

/** Number of the transfer (4 bytes) and offset (8 bytes) before the bytes of a chunk. */
const HEADER = 12;

/** How many bytes may be under way. */
const WINDOW = 8 * 1024 * 1024;

/** After how many bytes the receiver says how far it has come. */
const REPORT_EVERY = 1024 * 1024;

let lastId = 0;

/** One file on its way out. */
class Upload {
  #peer;
  #file;
  #name;
  #progress;
  #id = ++lastId;
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
    const { size, type } = this.#file;
    const ended = [channel(this.#peer, LABEL).on("message", (message) => this.#receive(message)), this.#peer.on("state", (state) => state === "closed" && this.#reject(gone()))];
    const abort = () => this.#cancel(signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      await new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
        this.#say({ offer: this.#id, name: this.#name, size, type });
      });
    } finally {
      this.#run += 1;
      this.#wake();
      signal?.removeEventListener("abort", abort);
      for (const end of ended) end();
    }
  }

  /** @param {any} message */
  #receive(message) {
    if (message?.refuse === this.#id) this.#reject(new SignalError({ code: "refused", message: "the member does not take the file" }));
    if (message?.done === this.#id) this.#resolve();
    if (message?.have === this.#id) this.#reached(message.bytes);
    if (message?.accept === this.#id) this.#from(message.from);
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
      for (let at = offset; at < this.#file.size; at += MESSAGE - HEADER) {
        while (at - this.#have > WINDOW && run === this.#run) await new Promise((wake) => (this.#wake = () => wake(undefined)));
        if (run !== this.#run) return;
        await channel(this.#peer, LABEL).send(await this.#chunk(at));
      }
    } catch (error) {
      this.#reject(error);
    }
  }

  /** @param {number} at */
  async #chunk(at) {
    const bytes = new Uint8Array(await this.#file.slice(at, at + MESSAGE - HEADER).arrayBuffer());
    const chunk = new Uint8Array(HEADER + bytes.length);
    const header = new DataView(chunk.buffer);
    header.setUint32(0, this.#id);
    header.setFloat64(4, at);
    chunk.set(bytes, HEADER);
    return chunk;
  }

  /** @param {unknown} reason */
  #cancel(reason) {
    this.#say({ cancel: this.#id });
    this.#reject(reason);
  }

  /** @param {object} message */
  #say(message) {
    channel(this.#peer, LABEL).send(message).catch(this.#reject);
  }
}

/**
 * Offers a file to `peer`; resolves when it has all of it. Rejects with a SignalError of code `refused` or `closed`, with the
 * reason of `signal`, or with the error of a file that cannot be read.
 * @param {Peer} peer
 * @param {Blob & {name?: string}} file
 * @param {{name?: string, progress?: (progress: Progress) => void, signal?: AbortSignal}} [options]
 */
export function sendFile(peer, file, { name = file.name ?? "file", progress, signal } = {}) {
  return new Upload(peer, file, name, progress).send(signal);
}

/**
 * A file that the other side offers.
 * @extends {Emitter<{progress: {received: number, size: number}}>}
 */
export class IncomingFile extends Emitter {
  #peer;
  #id;
  #have = 0;
  #reported = 0;
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
   */
  constructor(peer, { offer, name, size, type }) {
    super();
    this.#peer = peer;
    this.#id = offer;
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
    const whole = new Promise((/** @type {(value: Blob | undefined) => void} */ resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const ended = [
      channel(this.#peer, LABEL).on("message", (message) => this.#receive(message)),
      this.#peer.on("connection", (pc) => pc && this.#ask()),
      this.#peer.on("state", (state) => state === "closed" && this.#reject(gone())),
    ];
    if (!this.#peer.pc) this.#ask();
    if (this.size === 0) this.#finish();
    try {
      return await whole;
    } catch (error) {
      await this.#writer?.abort(error).catch(() => {});
      throw error;
    } finally {
      for (const end of ended) end();
    }
  }

  /** Does not take the file. */
  refuse() {
    this.#say({ refuse: this.#id });
  }

  /** Asks for what is missing. */
  #ask() {
    this.#say({ accept: this.#id, from: this.#have });
  }

  /** @param {any} message */
  #receive(message) {
    if (message?.cancel === this.#id) return this.#reject(new SignalError({ code: "cancelled", message: "the sender has given the file up" }));
    if (!(message instanceof ArrayBuffer) || message.byteLength < HEADER) return;
    const header = new DataView(message);
    if (header.getUint32(0) === this.#id) this.#take(header.getFloat64(4), new Uint8Array(message, HEADER));
  }

  /**
   * @param {number} at
   * @param {Uint8Array<ArrayBuffer>} bytes
   */
  #take(at, bytes) {
    if (at !== this.#have) return; // what it asked for again is under way
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
    await this.#writer?.close().catch(this.#reject);
    this.#say({ done: this.#id });
    this.#resolve(this.#writer ? undefined : new Blob(this.#parts, { type: this.type }));
  }

  /** @param {object} message */
  #say(message) {
    channel(this.#peer, LABEL).send(message).catch(this.#reject);
  }
}

/**
 * Calls `offered` with each file that `peer` offers; one that is neither accepted nor refused stays with the sender.
 * @param {Peer} peer
 * @param {(file: IncomingFile) => void} offered
 * @returns {() => void} stops that
 */
export function onFile(peer, offered) {
  return channel(peer, LABEL).on("message", (message) => {
    if (Number.isSafeInteger(message?.offer) && Number.isSafeInteger(message.size) && message.size >= 0) {
      offered(new IncomingFile(peer, { ...message, name: String(message.name), type: String(message.type ?? "") }));
    }
  });
}

function gone() {
  return new SignalError({ code: "closed", message: "the member left before the file was through" });
}
