import { Emitter } from "./events.js";
import { SignalError } from "./protocol.js";

/**
 * Labelled data channels to one peer. Each side sends over an RTCDataChannel of its own and reads the other side's of
 * the same label, so that neither has to ask the other. A replaced connection gets new ones; what the browser had
 * buffered for the old one is lost, what waited here follows.
 *
 * @typedef {import("./peer.js").Peer} Peer
 *
 * @typedef {object} ChannelOptions how this side sends
 * @property {boolean} [ordered] true by default
 * @property {number} [maxRetransmits] how often a lost packet is repeated; without it, until it arrives
 *
 * @typedef {{message: any, open: void}} ChannelEvents `message`: an ArrayBuffer where the other side sent bytes, else its value
 * @typedef {{payload: string | ArrayBuffer | ArrayBufferView, bytes: number, resolve: () => void, reject: (error: Error) => void}} Queued
 */

/** How much the browser may buffer before `send` waits (bytes). */
const HIGH = 1024 * 1024;

/** At which rest of that it goes on (bytes). */
const LOW = 256 * 1024;

/** How much may wait for a connection (bytes). */
const MOST_WAITING = 16 * 1024 * 1024;

/** How many messages are kept for the first listener. */
const MOST_UNHEARD = 256;

/** @extends {Emitter<ChannelEvents>} */
export class Channel extends Emitter {
  #label;
  #options;
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  /** @type {RTCDataChannel | null} */
  #own = null;
  /** @type {Queued[]} */
  #queue = [];
  #queued = 0;
  /** What came before anybody listened. @type {any[]} */
  #unheard = [];
  #isHeard = false;
  #isOver = false;

  /**
   * @param {string} label
   * @param {ChannelOptions} options
   */
  constructor(label, options) {
    super();
    this.#label = label;
    this.#options = options;
  }

  /** The label. */
  get label() {
    return this.#label;
  }

  /**
   * The first listener of `message` is called at once with what came before.
   * @protected
   * @override
   * @param {keyof ChannelEvents} name
   */
  current(name) {
    if (name !== "message") return [];
    this.#isHeard = true;
    return this.#unheard.splice(0);
  }

  /**
   * Sends bytes, or a value that JSON can carry. Resolves once the browser has taken it, which is when there is room for
   * more; rejects with a SignalError: `too_large` for the connection, `limit_exceeded` if too much waits for one, `closed`.
   * @param {any} data
   * @returns {Promise<void>}
   */
  async send(data) {
    const payload = data instanceof ArrayBuffer || ArrayBuffer.isView(data) ? data : JSON.stringify(data);
    if (payload === undefined) throw new TypeError("JSON cannot carry this value");
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload).length : payload.byteLength;
    if (this.#isOver) throw closed();
    if (this.#queued + bytes > MOST_WAITING) throw new SignalError({ code: "limit_exceeded", message: `more than ${MOST_WAITING} bytes wait on channel ${this.#label}` });
    return new Promise((resolve, reject) => {
      this.#queue.push({ payload, bytes, resolve, reject });
      this.#queued += bytes;
      this.#flush();
    });
  }

  /** Sends over this connection from now on; null: waits for the next one. @param {RTCPeerConnection | null} pc @internal */
  use(pc) {
    this.#pc = pc;
    this.#own = null;
    if (this.#queue.length > 0) this.#flush();
  }

  /** Sends so from now on, unless it has sent already. @param {ChannelOptions} options @internal */
  choose(options) {
    this.#options = options;
  }

  /** Reads what the other side sends. @param {import("./held-channels.js").HeldChannel} channel @internal */
  read(channel) {
    channel.read((data) => this.#receive(data));
  }

  /** Nothing is sent any more. @internal */
  end() {
    this.#isOver = true;
    this.use(null);
    for (const { reject } of this.#queue.splice(0)) reject(closed());
  }

  /** @param {string | ArrayBuffer} data */
  #receive(data) {
    const message = typeof data === "string" ? json(data) : data;
    if (message === undefined) return;
    if (this.#isHeard) this.emit("message", message);
    else if (this.#unheard.length < MOST_UNHEARD) this.#unheard.push(message);
  }

  #flush() {
    const own = (this.#own ??= this.#open());
    while (own?.readyState === "open" && this.#queue.length > 0 && own.bufferedAmount < HIGH) this.#sendFirst(own);
  }

  /** @param {RTCDataChannel} own */
  #sendFirst(own) {
    const { payload, bytes, resolve, reject } = /** @type {Queued} */ (this.#queue.shift());
    const most = this.#pc?.sctp?.maxMessageSize ?? Infinity;
    this.#queued -= bytes;
    if (bytes > most) return reject(new SignalError({ code: "too_large", message: `${bytes} bytes in one message, ${most} at most; files.js sends any size` }));
    try {
      own.send(/** @type {any} */ (payload));
      resolve();
    } catch (error) {
      reject(/** @type {Error} */ (error));
    }
  }

  #open() {
    const own = this.#pc?.createDataChannel(this.#label, this.#options) ?? null;
    if (!own) return null;
    own.bufferedAmountLowThreshold = LOW;
    own.onopen = () => {
      this.emit("open", undefined);
      this.#flush();
    };
    own.onbufferedamountlow = () => this.#flush();
    return own;
  }
}

/** The channels of each peer. @type {WeakMap<Peer, Channels>} */
const CHANNELS = new WeakMap();

/**
 * Returns the channel of that label to `peer`, which lives as long as the member is in the room. It waits while there is
 * no connection and goes on over the next.
 * @param {Peer} peer
 * @param {string} label
 * @param {ChannelOptions} [options] taken from the first call
 */
export function channel(peer, label, options = {}) {
  return of(peer).get(label, options);
}

/**
 * Calls `opened` with each channel that the other side has opened or opens, and that this side has not asked for.
 * @param {Peer} peer
 * @param {(channel: Channel) => void} opened
 * @returns {() => void} stops that
 */
export function onChannel(peer, opened) {
  return of(peer).on("opened", opened);
}

/** @param {Peer} peer */
function of(peer) {
  const channels = CHANNELS.get(peer) ?? new Channels(peer);
  CHANNELS.set(peer, channels);
  return channels;
}

/** @extends {Emitter<{opened: Channel}>} */
class Channels extends Emitter {
  /** @type {Map<string, Channel>} */
  #channels = new Map();
  /** Those that only the other side has asked for. @type {Set<Channel>} */
  #foreign = new Set();
  /** @type {RTCPeerConnection | null} */
  #pc = null;
  #peer;

  /** @param {Peer} peer */
  constructor(peer) {
    super();
    this.#peer = peer;
    peer.on("connection", (pc) => this.#use(pc));
    peer.on("channel", (channel) => this.#read(channel));
    peer.on("state", (state) => state === "closed" && this.#end());
  }

  /**
   * @protected
   * @override
   */
  current() {
    return this.#foreign;
  }

  /**
   * @param {string} label
   * @param {ChannelOptions} options
   */
  get(label, options) {
    const known = this.#channels.get(label);
    if (known && this.#foreign.delete(known)) known.choose(options);
    return known ?? this.#add(label, options);
  }

  /** Moves all channels to a connection, or off it. @param {RTCPeerConnection | null} pc */
  #use(pc) {
    this.#pc = pc;
    for (const channel of this.#channels.values()) channel.use(pc);
  }

  #end() {
    for (const channel of this.#channels.values()) channel.end();
  }

  /** @param {import("./held-channels.js").HeldChannel} channel */
  #read(channel) {
    const known = this.#channels.get(channel.label);
    const one = known ?? this.#add(channel.label, {});
    one.read(channel);
    if (known) return;
    this.#foreign.add(one);
    this.emit("opened", one);
  }

  /**
   * @param {string} label
   * @param {ChannelOptions} options
   */
  #add(label, options) {
    const channel = new Channel(label, options);
    channel.use(this.#pc);
    if (this.#peer.state === "closed") channel.end(); // no connection will follow, and no further event
    this.#channels.set(label, channel);
    return channel;
  }
}

/** Reads a value; undefined if it is none. @param {string} text */
function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function closed() {
  return new SignalError({ code: "closed", message: "the peer is gone" });
}
