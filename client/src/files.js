import { Emitter } from "./events.js";
import { HEADER, LABEL, readChunk } from "./file-message.js";
import { IncomingFile } from "./incoming-file.js";
import { Upload } from "./file-upload.js";
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
 * chunk carries the number of its transfer and its offset, so that a gap is seen. A replaced connection may have lost any
 * message, so that the sender repeats its offer over each new one, and the receiver repeats how an ended transfer ended.
 * Numbers are random: a page that was loaded again is the same member, and must not take up a number of its predecessor.
 *
 * @typedef {import("./peer.js").Peer} Peer
 * @typedef {import("./file-upload.js").Progress} Progress
 */

/** How many offers wait for a listener of `onFile`, and of how many ended transfers the end is known. */
const MOST_KEPT = 256;

/**
 * All transfers between this side and one peer.
 * @extends {Emitter<{file: IncomingFile}>}
 */
class Transfers extends Emitter {
  #peer;
  /** @type {Map<number, Upload>} */
  #uploads = new Map();
  /** @type {Map<number, IncomingFile>} */
  #files = new Map();
  /** How each transfer from the other side has ended, oldest first. @type {Map<number, object>} */
  #ends = new Map();
  /** Files that were offered while nobody listened. @type {IncomingFile[]} */
  #unheard = [];
  #listeners = 0;

  /** @param {Peer} peer */
  constructor(peer) {
    super();
    this.#peer = peer;
    channel(peer, LABEL).on("message", (message) => this.#receive(message));
  }

  /**
   * @protected
   * @override
   */
  current() {
    return this.#unheard.splice(0);
  }

  /** @param {(file: IncomingFile) => void} offered */
  listen(offered) {
    this.#listeners += 1;
    const stop = this.on("file", offered);
    let isStopped = false;
    return () => {
      if (!isStopped) this.#listeners -= 1;
      isStopped = true;
      stop();
    };
  }

  /**
   * @param {Upload} upload
   * @param {AbortSignal} [signal]
   */
  async send(upload, signal) {
    this.#uploads.set(upload.id, upload);
    try {
      await upload.send(signal);
    } finally {
      this.#uploads.delete(upload.id);
    }
  }

  /** @param {any} message */
  #receive(message) {
    if (message instanceof ArrayBuffer) return this.#take(message);
    if (Number.isSafeInteger(message?.offer)) return this.#offered(message);
    if (message?.cancel !== undefined) return this.#files.get(message.cancel)?.cancel();
    const upload = this.#uploads.get(message?.accept ?? message?.have ?? message?.done ?? message?.refuse);
    if (upload) upload.receive(message);
    else if (message?.accept !== undefined) this.#say({ cancel: message.accept }); // a page before this one has offered it
  }

  /** @param {ArrayBuffer} message */
  #take(message) {
    if (message.byteLength < HEADER) return;
    const { id, at, bytes } = readChunk(message);
    this.#files.get(id)?.take(at, bytes);
  }

  /** @param {{offer: number, name: any, size: any, type: any}} message */
  #offered({ offer, name, size, type }) {
    const end = this.#ends.get(offer);
    if (end) return this.#say(end);
    if (this.#files.has(offer) || !Number.isSafeInteger(size) || size < 0) return;
    const file = new IncomingFile(this.#peer, { offer, name: String(name), size, type: String(type ?? "") }, (message) => this.#end(offer, message));
    this.#files.set(offer, file);
    if (this.#listeners > 0) this.emit("file", file);
    else if (this.#unheard.push(file) > MOST_KEPT) this.#unheard.shift()?.refuse();
  }

  /**
   * @param {number} id
   * @param {object} message
   */
  #end(id, message) {
    if (!this.#files.delete(id)) return;
    this.#ends.set(id, message);
    const [oldest] = this.#ends.keys();
    if (this.#ends.size > MOST_KEPT) this.#ends.delete(oldest);
    this.#say(message);
  }

  /** @param {object} message */
  #say(message) {
    channel(this.#peer, LABEL).send(message).catch(() => {}); // the peer is gone, which ends each transfer
  }
}

/** @type {WeakMap<Peer, Transfers>} */
const TRANSFERS = new WeakMap();

/** @param {Peer} peer */
function transfersOf(peer) {
  const transfers = TRANSFERS.get(peer) ?? new Transfers(peer);
  TRANSFERS.set(peer, transfers);
  return transfers;
}

/**
 * Offers a file to `peer`; resolves when it has all of it. Rejects with a SignalError of code `refused` or `closed`, with the
 * reason of `signal`, or with the error of a file that cannot be read.
 * @param {Peer} peer
 * @param {Blob & {name?: string}} file
 * @param {{name?: string, progress?: (progress: Progress) => void, signal?: AbortSignal}} [options]
 */
export async function sendFile(peer, file, { name = file.name ?? "file", progress, signal } = {}) {
  return transfersOf(peer).send(new Upload(peer, file, name, progress), signal);
}

/**
 * Calls `offered` with each file that `peer` offers, and at once with those that came while nobody listened; one that is
 * neither accepted nor refused stays with the sender.
 * @param {Peer} peer
 * @param {(file: IncomingFile) => void} offered
 * @returns {() => void} stops that
 */
export function onFile(peer, offered) {
  return transfersOf(peer).listen(offered);
}

export { IncomingFile };
