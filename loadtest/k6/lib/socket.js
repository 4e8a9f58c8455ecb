import { ABNORMAL, WebSocket, codeInError } from "./ws.js";
import * as metrics from "./metrics.js";

/**
 * One connection that speaks `signal.v1`: docs/PROTOCOL.md, section 2. It hands every frame on, notices when the
 * other side has gone silent, and says with which code it ended.
 */

/** How long a node may take to answer a `ping` (ms). */
const PONG_WITHIN = 4_000;

export class Socket {
  #ws;
  #code = null;
  #asked = false;
  #heardAt = Date.now();
  #watch = null;
  #pongs = [];
  /** Whether the node has said `welcome`. */
  opened = false;
  /** The frame `welcome`. @type {Promise<any>} */
  welcome;

  /**
   * @param {object} options
   * @param {string} options.url
   * @param {string} [options.token]
   * @param {(frame: any) => void} options.heard
   * @param {(code: number, asked: boolean) => void} options.ended
   */
  constructor({ url, token, heard, ended }) {
    const began = Date.now();
    const protocols = token === undefined ? ["signal.v1"] : ["signal.v1", `bearer.${token}`];
    this.#ws = new WebSocket(url, protocols);
    this.welcome = new Promise((resolve, reject) => {
      this.#ws.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        this.#heardAt = Date.now();
        if (frame.type === "welcome") {
          this.opened = true;
          metrics.connect.add(this.#heardAt - began);
          this.#watchFor(frame.ping * 1000);
          resolve(frame);
        }
        if (frame.type === "pong") this.#pongs.shift()?.();
        heard(frame);
      };
      this.#ws.onerror = (event) => (this.#code ??= codeInError(event));
      this.#ws.onclose = (event) => {
        const code = this.#code ?? event.code ?? ABNORMAL;
        clearInterval(this.#watch);
        reject(new Error(`the socket was closed ${code} before welcome`));
        ended(code, this.#asked);
      };
    });
    // Whoever does not wait for it hears of the end through `ended`.
    this.welcome.catch(() => {});
  }

  /** @param {object} frame */
  send(frame) {
    this.sendText(JSON.stringify(frame));
  }

  /** @param {string} text */
  sendText(text) {
    if (this.#ws.readyState === 1) this.#ws.send(text);
  }

  /** Asks and waits for the answer. @returns {Promise<void>} */
  ping() {
    const began = Date.now();
    this.send({ type: "ping" });
    return new Promise((resolve) => this.#pongs.push(resolve)).then(() => metrics.pong.add(Date.now() - began));
  }

  /** Ends it; the node sees a socket that is gone, and the member as away unless it has left. */
  close() {
    this.#asked = true;
    clearInterval(this.#watch);
    this.#ws.close();
  }

  /** Pings after a silence, gives up after a longer one. @param {number} every in milliseconds */
  #watchFor(every) {
    this.#watch = setInterval(() => {
      const silent = Date.now() - this.#heardAt;
      if (silent > every + PONG_WITHIN) this.#ws.close();
      else if (silent > every) this.send({ type: "ping" });
    }, PONG_WITHIN);
  }
}
