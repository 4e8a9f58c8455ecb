/**
 * What the demo says on the data channel: chat lines, and pings whose echo gives a round trip.
 *
 * @typedef {{kind: "chat", text: string} | {kind: "ping", at: number} | {kind: "pong", at: number}} Message
 * @typedef {import("/client/peer.js").Peer} Peer
 */
export class Channel {
  #peer;
  /** Milliseconds the last echo took, or null. @type {number | null} */
  roundTrip = null;

  /**
   * @param {Peer} peer
   * @param {(text: string) => void} chatted
   */
  constructor(peer, chatted) {
    this.#peer = peer;
    peer.on("message", (text) => this.#receive(parse(text), chatted));
    peer.on("state", () => peer.connected || (this.roundTrip = null));
  }

  /** Says something; false if the channel is not open. @param {string} text */
  say(text) {
    return this.#send({ kind: "chat", text });
  }

  /** Sends a ping. */
  ping() {
    this.#send({ kind: "ping", at: performance.now() });
  }

  /**
   * @param {Message | null} message
   * @param {(text: string) => void} chatted
   */
  #receive(message, chatted) {
    if (message?.kind === "ping") this.#send({ kind: "pong", at: message.at });
    if (message?.kind === "pong") this.roundTrip = Math.round(performance.now() - message.at);
    if (message?.kind === "chat") chatted(String(message.text));
  }

  /** @param {Message} message */
  #send(message) {
    return this.#peer.send(JSON.stringify(message));
  }
}

/** @param {any} text @returns {Message | null} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
