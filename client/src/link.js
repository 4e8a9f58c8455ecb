import { DEFAULTS, PONG_WITHIN, SUBPROTOCOL, build, parse } from "./protocol.js";
import { Emitter } from "./events.js";
import { Opening } from "./opening.js";

/**
 * One WebSocket from its opening to its end: greeting, heartbeat, frames as values.
 *
 * A link never reconnects; `connection.js` decides when the next one is opened. Browsers do not show
 * WebSocket pings, so silence is broken by an application `ping`, and a link that stays silent is
 * given up without waiting for a close handshake that a dead network would never finish.
 *
 * @typedef {{code: number, reason: string, welcomed: boolean, message: string | null}} Closed `message`: what the server
 *   said was wrong with the connection, for a developer
 * @typedef {{welcome: import("./protocol.js").Welcome, frame: import("./protocol.js").ServerFrame, closed: Closed}} LinkEvents
 */

/** How long a socket may take from its opening to `welcome` (ms): above the 5 s the server waits for `hello`. */
export const WELCOME_WITHIN = 8000;

/** @extends {Emitter<LinkEvents>} */
export class Link extends Emitter {
  #opening;
  /** The socket, once it is open. @type {import("./opening.js").WebSocketLike | null} */
  #socket = null;
  /** @type {import("./clock.js").Clock} */
  #clock;
  #journal;
  #heardAt = 0;
  #answered = true;
  #cancelTimer = () => {};
  #closed = false;
  /** @type {string | null} */
  #complaint = null;
  /** The server's greeting, once it came. @type {import("./protocol.js").Welcome | null} */
  welcome = null;
  /** What the server said about leaving, once it did. @type {import("./protocol.js").GoAway | null} */
  goaway = null;
  /** Whether a newer link of this page took its members: that the server closes it as replaced is no end then. */
  outrun = false;

  /**
   * @param {object} options
   * @param {() => string} options.address where to; asked for each socket
   * @param {string | undefined} options.token
   * @param {string} options.client what to call ourselves in `hello`
   * @param {import("./opening.js").WebSocketConstructor} options.WebSocket
   * @param {import("./clock.js").Clock} options.clock
   * @param {import("./journal.js").Journal} [options.journal]
   */
  constructor({ address, token, client, WebSocket, clock, journal }) {
    super();
    this.#clock = clock;
    this.#journal = journal;
    const protocols = token ? [SUBPROTOCOL, `bearer.${token}`] : [SUBPROTOCOL];
    this.#opening = new Opening({
      make: () => new WebSocket(address(), protocols),
      clock,
      opened: (socket) => this.#use(socket, token ? null : build.hello({ client })),
      failed: (code, reason) => this.#end(code, reason),
    });
    this.#cancelTimer = clock.after(WELCOME_WITHIN, () => this.#giveUp("no welcome"));
  }

  /** Whether frames can be sent. */
  get open() {
    return !this.#closed && this.welcome !== null;
  }

  /**
   * Sends one frame; returns false if the socket is not open.
   * @param {Record<string, any>} frame
   */
  send(frame) {
    if (this.#closed || !this.#socket || this.#socket.readyState !== this.#socket.OPEN) return false;
    this.#socket.send(JSON.stringify(frame));
    this.#journal?.add("sent", frame);
    return true;
  }

  /** Asks the server for a sign of life now, for instance after the network changed; asking again gains it no time. */
  probe() {
    if (!this.open || !this.#answered) return;
    this.#answered = false;
    this.send(build.ping({}));
    this.#timer(PONG_WITHIN, () => (this.#answered ? this.#watch() : this.#giveUp("ping timeout")));
  }

  /** Closes the socket for good; `closed` follows at once. @param {number} [code] 1000 or 3000–4999 */
  close(code = 1000) {
    this.#opening.close(code);
    this.#socket?.close(code);
    this.#end(code, "");
  }

  /**
   * @param {import("./opening.js").WebSocketLike} socket
   * @param {Record<string, any> | null} greeting
   */
  #use(socket, greeting) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#end(code, reason);
    if (greeting) this.send(greeting);
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#closed) return;
    this.#heardAt = this.#clock.now();
    this.#answered = true;
    const frame = typeof data === "string" ? parse(data) : null;
    if (!frame) return;
    this.#journal?.add("received", frame);
    if (frame.type === "goaway") this.goaway = frame;
    if (isAboutConnection(frame)) this.#complaint = frame.message;
    if (frame.type === "welcome") this.#greet(frame);
    else this.emit("frame", frame);
  }

  /** @param {import("./protocol.js").Welcome} welcome */
  #greet(welcome) {
    this.welcome = welcome;
    this.#watch();
    this.emit("welcome", welcome);
  }

  /** Waits until the link has been silent for the heartbeat interval, then probes it. */
  #watch() {
    const patience = (this.welcome?.ping ?? DEFAULTS.ping) * 1000;
    const silent = this.#clock.now() - this.#heardAt;
    if (silent >= patience) this.probe();
    else this.#timer(patience - silent, () => this.#watch());
  }

  /** @param {string} reason */
  #giveUp(reason) {
    this.#opening.close(4001);
    this.#socket?.close(4001, reason);
    this.#end(4001, reason);
  }

  /**
   * @param {number} code
   * @param {string} reason
   */
  #end(code, reason) {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTimer();
    this.emit("closed", { code, reason, welcomed: this.welcome !== null, message: this.#complaint });
  }

  /**
   * @param {number} ms
   * @param {() => void} run
   */
  #timer(ms, run) {
    this.#cancelTimer();
    this.#cancelTimer = this.#clock.after(ms, run);
  }
}

/**
 * Whether a frame answers no request and no message: it says what is wrong with the connection.
 * @param {any} frame
 * @returns {frame is import("./protocol.js").ErrorFrame}
 */
export function isAboutConnection(frame) {
  return frame.type === "error" && frame.id === undefined && frame.mid === undefined && frame.user === undefined;
}

/** How long an absent member may come back, in milliseconds. @param {Link | null} link */
export function graceOf(link) {
  return (link?.welcome?.grace ?? DEFAULTS.grace) * 1000;
}
