/**
 * The opening of one WebSocket: another one is opened each second while those before have not opened, since their node may
 * be stopped or the path to it dead, and the one that opens first is used (RFC 8305 §5, at the pace of handshakes). The
 * others are closed before anything was said on them.
 *
 * A socket that is refused is not slow: no other one is opened then, and how to go on is decided by `connection.js`.
 *
 * @typedef {object} WebSocketLike what the SDK uses of a WebSocket, so that `ws` of Node fits as well as that of a browser
 * @property {number} readyState
 * @property {number} OPEN
 * @property {((event: any) => void) | null} onopen
 * @property {((event: any) => void) | null} onmessage
 * @property {((event: any) => void) | null} onclose
 * @property {((event: any) => void) | null} onerror
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 *
 * @typedef {new (url: string, protocols?: string[]) => WebSocketLike} WebSocketConstructor
 */

/** Another socket is opened if none has opened after this long (ms). */
export const ANOTHER_AFTER = 1000;

/** Sockets that are opened at once at most: of three nodes one may be lost, and a balancer may choose it each time. */
const MOST_AT_ONCE = 5;

export class Opening {
  #make;
  #clock;
  #opened;
  #failed;
  /** @type {Set<WebSocketLike>} */
  #sockets = new Set();
  #cancelNext = () => {};

  /**
   * @param {object} options
   * @param {() => WebSocketLike} options.make
   * @param {import("./clock.js").Clock} options.clock
   * @param {(socket: WebSocketLike) => void} options.opened called once at most
   * @param {(code: number, reason: string) => void} options.failed every socket ended before one opened
   */
  constructor({ make, clock, opened, failed }) {
    this.#make = make;
    this.#clock = clock;
    this.#opened = opened;
    this.#failed = failed;
    this.#open();
    this.#expectAnother();
  }

  /** Ends what is being opened. @param {number} code */
  close(code) {
    this.#cancelNext();
    for (const socket of this.#sockets) discard(socket, code);
    this.#sockets.clear();
  }

  #open() {
    const socket = this.#make();
    this.#sockets.add(socket);
    socket.onopen = () => this.#use(socket);
    socket.onclose = ({ code, reason }) => this.#ended(socket, code, reason);
    socket.onerror = () => {}; // always followed by close
  }

  #expectAnother() {
    this.#cancelNext = this.#clock.after(ANOTHER_AFTER, () => this.#openAnother());
  }

  #openAnother() {
    try {
      this.#open();
    } catch {
      // The browser takes this address for unfit, such as ws: on a page of https:. Those before may still open.
    }
    if (this.#sockets.size < MOST_AT_ONCE) this.#expectAnother();
  }

  /** @param {WebSocketLike} socket */
  #use(socket) {
    this.#sockets.delete(socket);
    this.close(1000);
    this.#opened(socket);
  }

  /**
   * @param {WebSocketLike} socket
   * @param {number} code
   * @param {string} reason
   */
  #ended(socket, code, reason) {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    this.#cancelNext();
    this.#failed(code, reason);
  }
}

/**
 * @param {WebSocketLike} socket
 * @param {number} code
 */
function discard(socket, code) {
  socket.onopen = socket.onclose = null;
  socket.close(code);
}
