import { SignalError } from "./protocol.js";

/** What both ends of a transfer of `files.js` send: the data channel, the chunks, and the error of a member that left. */

export const LABEL = "files";

/** Bytes of a message: what every browser takes. */
const MESSAGE = 64 * 1024;

/** Number of the transfer (4 bytes) and offset (8 bytes) before the bytes of a chunk. */
export const HEADER = 12;

/** Bytes of a file in one chunk. */
export const CHUNK = MESSAGE - HEADER;

/**
 * @param {number} id
 * @param {number} at
 * @param {ArrayBuffer} bytes
 */
export function writeChunk(id, at, bytes) {
  const chunk = new Uint8Array(HEADER + bytes.byteLength);
  const header = new DataView(chunk.buffer);
  header.setUint32(0, id);
  header.setFloat64(4, at);
  chunk.set(new Uint8Array(bytes), HEADER);
  return chunk;
}

/** @param {ArrayBuffer} message of at least {@link HEADER} bytes */
export function readChunk(message) {
  const header = new DataView(message);
  return { id: header.getUint32(0), at: header.getFloat64(4), bytes: new Uint8Array(message, HEADER) };
}

export function gone() {
  return new SignalError({ code: "closed", message: "the member left before the file was through" });
}
