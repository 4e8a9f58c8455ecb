import { ABNORMAL, WebSocket, codeInError } from "./ws.js";
import * as metrics from "./metrics.js";

/**
 * One connection that speaks `signal.v1`: docs/PROTOCOL.md, section 2. It hands every frame on, notices when the
 * other side has gone silent, and says with which code it ended.
 */

/** How long a node may take to answer a `ping` (ms). */
const PONG_WITHIN = 4_000;

/** How long after the upgrade a socket asks whether a `welcome` was lost (ms). */
const ASK_AFTER = 500;

export class Socket {
  #address;
  #heard;
  #ended;
  #ws;
  #code = null;
  #asked = false;
  #heardAt = Date.now();
  #doubt = null;
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
   * @param {string} [options.origin] what a page of that origin sends as `Origin`
   * @param {(frame: any) => void} options.heard
   * @param {(code: number, asked: boolean) => void} options.ended
   */
  constructor({ url, token, origin, heard, ended }) {
    this.#address = [url, token === undefined ? ["signal.v1"] : ["signal.v1", `bearer.${token}`], origin ? { headers: { Origin: origin } } : {}];
    this.#heard = heard;
    this.#ended = ended;
    this.welcome = new Promise((resolve, reject) => this.#open({ resolve, reject }));
    // Whoever does not wait for it hears of the end through `ended`.
    this.welcome.catch(() => {});
  }

  /** @param {{resolve: (frame: any) => void, reject: (error: Error) => void}} welcome */
  #open(welcome) {
    const began = Date.now();
    const ws = new WebSocket(...this.#address);
    this.#ws = ws;
    ws.onopen = () => this.#ask(ws);
    ws.onmessage = ({ data }) => this.#ws === ws && this.#hear(JSON.parse(data), began, welcome);
    ws.onerror = (event) => this.#ws === ws && (this.#code ??= codeInError(event));
    ws.onclose = (event) => this.#ws === ws && this.#end(this.#code ?? event.code ?? ABNORMAL, welcome);
  }

  /**
   * k6 reads from a socket before it calls it open, and drops what it has read until then (`queueMessage`, 1.1.0 to
   * 2.0): one `welcome` in some thousands. With a token, a node says it first of all, so a `pong` without one tells.
   */
  #ask(ws) {
    const [, protocols] = this.#address;
    const isGreeted = protocols.length > 1;
    if (!isGreeted || this.opened || this.#asked) return;
    this.#doubt = setTimeout(() => ws.send('{"type":"ping"}'), ASK_AFTER);
  }

  #hear(frame, began, welcome) {
    this.#heardAt = Date.now();
    if (!this.opened && frame.type === "pong") return this.#openAgain(welcome);
    if (frame.type === "welcome") this.#begin(frame, began, welcome);
    if (frame.type === "pong") this.#pongs.shift()?.();
    this.#heard(frame);
  }

  #begin(frame, began, { resolve }) {
    clearTimeout(this.#doubt);
    this.opened = true;
    metrics.connect.add(this.#heardAt - began);
    metrics.unheard.add(false);
    this.#watchFor(frame.ping * 1000);
    resolve(frame);
  }

  #openAgain(welcome) {
    metrics.unheard.add(true);
    const deaf = this.#ws;
    this.#open(welcome);
    deaf.close();
  }

  #end(code, { reject }) {
    clearTimeout(this.#doubt);
    clearInterval(this.#watch);
    reject(new Error(`the socket was closed ${code} before welcome`));
    this.#ended(code, this.#asked);
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
    clearTimeout(this.#doubt);
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
