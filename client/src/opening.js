/**
 * The opening of one WebSocket: a second one is opened beside the first if that takes long, since its node may be
 * stopped or the path to it dead, and the one that opens first is used (RFC 8305 §5, at the pace of handshakes). The
 * other one is closed before anything was said on it.
 *
 * A socket that is refused is not slow: no second one is opened then, and how to go on is decided by `connection.js`.
 */

/** A second socket is opened if the first has not opened after this long (ms). */
export const SECOND_AFTER = 1000;

export class Opening {
  #make;
  #opened;
  #failed;
  /** @type {Set<WebSocket>} */
  #sockets = new Set();
  #cancelSecond;

  /**
   * @param {object} options
   * @param {() => WebSocket} options.make
   * @param {import("./clock.js").Clock} options.clock
   * @param {(socket: WebSocket) => void} options.opened called once at most
   * @param {(code: number, reason: string) => void} options.failed every socket ended before one opened
   */
  constructor({ make, clock, opened, failed }) {
    this.#make = make;
    this.#opened = opened;
    this.#failed = failed;
    this.#open();
    this.#cancelSecond = clock.after(SECOND_AFTER, () => this.#openSecond());
  }

  /** Ends what is being opened. @param {number} code */
  close(code) {
    this.#cancelSecond();
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

  #openSecond() {
    try {
      this.#open();
    } catch {
      // The browser takes this address for unfit, such as ws: on a page of https:. The first may still open.
    }
  }

  /** @param {WebSocket} socket */
  #use(socket) {
    this.#sockets.delete(socket);
    this.close(1000);
    this.#opened(socket);
  }

  /**
   * @param {WebSocket} socket
   * @param {number} code
   * @param {string} reason
   */
  #ended(socket, code, reason) {
    this.#sockets.delete(socket);
    if (this.#sockets.size > 0) return;
    this.#cancelSecond();
    this.#failed(code, reason);
  }
}

/**
 * @param {WebSocket} socket
 * @param {number} code
 */
function discard(socket, code) {
  socket.onopen = socket.onclose = null;
  socket.close(code);
}
