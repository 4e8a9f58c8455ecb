import { FakeClock, settle } from "./clock.js";

/** Plays the server's side of every socket a client opens; the test says what it answers. */
export class FakeServer {
  /** Every socket opened so far, the newest last. */
  sockets = [];
  clock = new FakeClock();

  /** Options for a Connection or SignalClient that talks to this server. */
  options(more = {}) {
    const server = this;
    class WebSocket {
      OPEN = 1;
      readyState = 0;
      sent = [];
      constructor(url, protocols) {
        Object.assign(this, { url, protocols });
        server.sockets.push(this);
      }
      send(text) {
        this.sent.push(JSON.parse(text));
      }
      close(code) {
        this.readyState = 3;
        this.closedWith = code;
      }
    }
    return { url: "http://node.test", WebSocket, clock: this.clock, random: () => 0.5, network: null, fetch: null, ...more };
  }

  /** The socket opened last. */
  get socket() {
    return this.sockets.at(-1);
  }

  /** Waits for the client to open its socket number `count` and accepts it. */
  async accept(count = this.sockets.length, { welcome = true, ...fields } = {}) {
    await settle();
    if (this.sockets.length < count) throw new Error(`only ${this.sockets.length} sockets were opened`);
    this.socket.readyState = 1;
    this.socket.onopen();
    if (welcome) this.say({ ...WELCOME, ...fields });
    await settle();
    return this.socket;
  }

  /** Greets the client on the newest socket. */
  async welcome(fields = {}) {
    this.say({ ...WELCOME, ...fields });
    await settle();
  }

  /** Sends frames to the client. */
  say(...frames) {
    for (const frame of frames) this.tell(this.socket, frame);
  }

  /** Sends one frame on a given socket. */
  tell(socket, frame) {
    socket.onmessage({ data: JSON.stringify(frame) });
  }

  /** Closes a socket from the server's side. */
  close(code, socket = this.socket) {
    socket.readyState = 3;
    socket.onclose({ code, reason: "" });
  }

  /** The frames of one type the client sent on a socket. */
  sent(type, socket = this.socket) {
    return socket.sent.filter((frame) => frame.type === type);
  }

  /** Answers the last join on a socket. */
  joined(fields = {}, socket = this.socket) {
    const { id, room } = this.sent("join", socket).at(-1);
    const frame = { type: "joined", id, room, seq: 100, recovery: "new", mid: 0, self: { id: "p_me", n: 7 }, ...fields };
    if (frame.recovery !== "replay") frame.peers ??= [];
    this.tell(socket, frame);
  }
}

export const WELCOME = {
  type: "welcome",
  node: "n_1",
  ping: 10,
  grace: 30,
  features: ["resume", "volatile", "ice"],
  limits: { message: 65536, rooms: 8, rate: 100, burst: 2000, unacked: 256 },
};

/** A Storage without a browser. */
export class FakeStorage {
  items = new Map();
  getItem = (key) => this.items.get(key) ?? null;
  setItem = (key, value) => void this.items.set(key, value);
  removeItem = (key) => void this.items.delete(key);
}

/** Web Locks shared by the pages of one test; a lock that is taken is refused at once. */
export class FakeLocks {
  held = new Set();
  request = async (name, _options, hold) => {
    if (this.held.has(name)) throw new DOMException("taken", "AbortError");
    this.held.add(name);
    await hold();
    this.held.delete(name);
  };
}
