/**
 * The data channels that the other side has opened on a connection, each with what came over it before anybody read it: a
 * browser announces a channel once and drops a message that nobody listens to, while a page may ask for a channel at any time.
 *
 * @typedef {string | ArrayBuffer} Payload
 */

/** How many messages of a channel are held. */
const MOST_HELD = 256;

export class HeldChannel {
  #channel;
  /** @type {Payload[]} */
  #held = [];

  /** @param {RTCDataChannel} channel */
  constructor(channel) {
    this.#channel = channel;
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => this.#held.length < MOST_HELD && this.#held.push(data);
  }

  get label() {
    return this.#channel.label;
  }

  /** Hands what came to `listener`, and from now on what comes. @param {(data: Payload) => void} listener */
  read(listener) {
    this.#channel.onmessage = ({ data }) => listener(data);
    this.#held.splice(0).forEach(listener);
  }
}

/**
 * Holds each channel that the other side opens on `pc`.
 * @param {RTCPeerConnection} pc
 * @param {(channel: HeldChannel) => void} opened
 */
export function holdChannels(pc, opened) {
  pc.addEventListener("datachannel", ({ channel }) => opened(new HeldChannel(channel)));
}
