import { Calls } from "./calls.js";
import { Connection } from "./connection.js";
import { Device } from "./device.js";
import { Emitter } from "./events.js";
import { IceServers } from "./ice.js";
import { Identity } from "./identity.js";
import { isAboutConnection } from "./link.js";
import { Room } from "./room.js";
import { Waiting, mayBegin } from "./waiting.js";
import { Watches } from "./watches.js";
import { CLIENT_NAME, build } from "./protocol.js";
import { systemClock } from "./clock.js";

/**
 * The client of a signaling cluster: one connection, any number of rooms, WebRTC peers in them.
 *
 * ```js
 * const client = new SignalClient({ url: "https://signal.example", token: fetchToken });
 * const room = await client.join("demo", { meta: { name: "Ana" }, stream });
 * room.on("peer", (peer) => peer.on("stream", (stream) => { video.srcObject = stream; }));
 * ```
 *
 * @typedef {import("./connection.js").ConnectionOptions} SignalClientOptions
 * @typedef {import("./connection.js").ConnectionState} ConnectionState
 * @typedef {import("./room.js").JoinOptions} JoinOptions
 * @typedef {import("./ice.js").IceWarning} IceWarning
 * @typedef {object} ClientEvents
 * @property {ConnectionState} state the connection changed
 * @property {IceWarning | null} warning about the relays; null when it is over
 * @property {import("./call.js").Call} call a user calls: `accept()` or `decline()`
 * @property {{reason: string}} offline this page is no device of its user any more: another one has taken it, or it was refused
 */

/** @extends {Emitter<ClientEvents>} */
export class SignalClient extends Emitter {
  #connection;
  #ice;
  #clock;
  #random;
  #identityOptions;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  /** Rooms that the server may still hold this client a member of. @type {Map<string, Promise<unknown>>} */
  #leaving = new Map();
  #waiting;
  #reports;
  #device;
  #watches;
  #calls;

  /**
   * @param {SignalClientOptions & {identity?: import("./identity.js").IdentityOptions, reports?: boolean}} options `reports`: whether the
   *   node is told how calls go, without addresses; true by default
   */
  constructor(options) {
    super();
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#connection = new Connection(options);
    this.#waiting = new Waiting(this.#clock, () => this.state);
    this.#ice = new IceServers({ clock: this.#clock, ask: () => this.#askForIce() });
    this.#identityOptions = options.identity;
    this.#reports = options.reports;
    const context = { connection: this.#connection, clock: this.#clock, random: this.#random };
    this.#device = new Device({
      ...context,
      // No room has this name.
      identity: () => new Identity("~online", options.identity),
      ended: (reason) => this.emit("offline", { reason }),
      settled: () => this.#promoteWhenReady(),
    });
    this.#watches = new Watches(context);
    this.#calls = new Calls({
      ...context,
      rang: (call) => this.emit("call", call),
      join: (room, options) => this.join(room, options),
    });
    this.#ice.on("warning", (warning) => this.emit("warning", warning));
    this.#connection.on("link", ({ link }) => this.#moveTo(link));
    this.#connection.on("frame", ({ frame, link }) => this.#dispatch(frame, link));
    this.#connection.on("lost", (link) => this.#lost(link));
    this.#connection.on("state", (state) => this.#follow(state));
  }

  /** The connection's state. */
  get state() {
    return this.#connection.state;
  }

  /** What a person should know about the relays, or null. */
  get warning() {
    return this.#ice.warning;
  }

  /** The id of the node connected to, if any. */
  get node() {
    return this.#connection.link?.welcome?.node ?? null;
  }

  /**
   * Joins a room, connecting first if need be. Rejects with a SignalError when the room is full, locked or
   * forbidden, the connection is refused for good, or `timeout` is over, and with the reason of `signal` when that
   * is aborted; other passing trouble is waited out. Calls for a room that is being joined share the room: it is
   * given up when each of them is.
   * @param {string} name 1–64 of `A–Z a–z 0–9 . _ -`
   * @param {JoinOptions} [options]
   * @returns {Promise<Room>}
   */
  async join(name, options = {}) {
    mayBegin(options);
    return this.#waiting.joined(this.#rooms.get(name) ?? this.#enter(name, options), options);
  }

  /**
   * Makes this page a device of its user, seen by those who watch the user, or changes how it is; resolves with the id of the
   * device. It comes back by itself after a reconnect and after a reload, until `offline()`.
   * @param {import("./device.js").DeviceStatus} [status]
   * @returns {Promise<string>}
   */
  online(status = {}) {
    return this.#device.online(status);
  }

  /** This page is no device of its user any more. */
  offline() {
    return this.#device.offline();
  }

  /**
   * Watches users: the event `presence` of what is returned says how each one is, now and at each change.
   * @param {Iterable<string>} users subjects of tokens
   * @returns {import("./watch.js").Watch}
   */
  watch(users) {
    return this.#watches.open(users);
  }

  /**
   * Calls a user: all devices of the user that are online ring, and one of them may accept.
   * @param {string} user the subject of a token
   * @param {import("./calls.js").CallOptions} [options]
   * @returns {import("./call.js").Call}
   */
  call(user, options = {}) {
    return this.#calls.begin(user, options);
  }

  /**
   * Returns how everything stands and what happened of late, for a report of a fault. It holds no token, no SDP, no
   * address and nothing that the application has sent.
   * @returns {Promise<Record<string, unknown> & {log: import("./journal.js").LogEntry[]}>}
   */
  async dump() {
    const rooms = await Promise.all([...this.#rooms.values()].map((room) => room.dump()));
    const { journal } = this.#connection;
    return { client: CLIENT_NAME, at: this.#clock.now(), node: this.node, state: this.state, warning: this.warning, rooms, log: [...journal.entries] };
  }

  /**
   * Closes the connection. Rooms not left before are kept by the server for its grace period; a `join`
   * that is not answered yet is rejected with the code `closed`.
   */
  close() {
    this.#connection.stop();
  }

  /**
   * Returns a room that is on its way in; what goes wrong rejects its `ready`.
   * @param {string} name
   * @param {JoinOptions} options
   */
  #enter(name, options) {
    const room = this.#create(name, options);
    // A node takes no join on a connection that has not left the room yet.
    Promise.all([room.prepare(), this.#leaving.get(name)]).then(() => {
      // Whoever called close() meanwhile has stopped the connection, and start() would open it again.
      if (room.state === "left") return;
      this.#connection.start();
      room.attach();
    }).catch((error) => room.fail(error));
    return room;
  }

  /**
   * @param {string} name
   * @param {JoinOptions} [options]
   */
  #create(name, options) {
    const identity = new Identity(name, this.#identityOptions);
    const context = { name, call: options?.call, connection: this.#connection, ice: this.#ice, clock: this.#clock, random: this.#random, reports: this.#reports };
    const room = new Room({ ...context, identity, ended: (room) => this.#forget(room) }, options);
    this.#rooms.set(name, room);
    return room;
  }

  /** @param {import("./link.js").Link} link */
  #moveTo(link) {
    this.#eachRoom((room) => room.moveTo(link));
    this.#device.moveTo(link);
    this.#watches.moveTo(link);
    this.#calls.moveTo(link);
    this.#promoteWhenReady();
  }

  /** @param {Room} room */
  #forget({ name, gone }) {
    this.#rooms.delete(name);
    this.#promoteWhenReady();
    if (!gone) return;
    const leaving = Promise.all([this.#leaving.get(name), gone]);
    this.#leaving.set(name, leaving);
    leaving.then(() => this.#leaving.get(name) === leaving && this.#leaving.delete(name));
  }

  /** The old link goes once every room has arrived on the new one. */
  #promoteWhenReady() {
    const { successor } = this.#connection;
    if (!successor || !this.#device.settledOn(successor)) return;
    if ([...this.#rooms.values()].every((room) => room.settledOn(successor))) this.#connection.promote(successor);
  }

  /** @param {import("./link.js").Link} link */
  #lost(link) {
    this.#eachRoom((room) => room.detach(link));
    this.#device.lost(link);
  }

  /**
   * @param {import("./protocol.js").ServerFrame} frame
   * @param {import("./link.js").Link} link
   */
  #dispatch(frame, link) {
    if (frame.type === "ice") return this.#ice.accept(frame.ice);
    if (frame.type === "presence") return this.#watches.tell(frame, link);
    if (isOfCall(frame)) return this.#calls.take(frame);
    if (frame.type === "offline") return this.#device.ended(frame, link);
    if (isOfUser(frame)) return this.#watches.failed(frame, link);
    if (isSlowDown(frame)) this.#eachRoom((room) => room.slowDown(frame.after));
    const room = this.#addressee(frame);
    room?.handle(frame, link);
    if (frame.type === "joined") this.#promoteWhenReady();
    return undefined;
  }

  /** An error about a message may leave out the room where there is only one. @param {any} frame */
  #addressee(frame) {
    if (frame.room !== undefined) return this.#rooms.get(frame.room);
    return frame.mid !== undefined && this.#rooms.size === 1 ? [...this.#rooms.values()][0] : undefined;
  }

  /** @param {ConnectionState} state */
  #follow(state) {
    if (state.phase === "stopped") {
      this.#ice.stop();
      this.#eachRoom((room) => room.stopped(state));
      this.#device.stopped(state);
      this.#watches.stopped(state);
      this.#calls.stopped();
    }
    this.emit("state", state);
  }

  #askForIce() {
    const { link, requests } = this.#connection;
    if (link) requests.send(link, (id) => build.ice({ id }), () => {});
  }

  /** @param {(room: Room) => void} act */
  #eachRoom(act) {
    for (const room of [...this.#rooms.values()]) act(room);
  }
}

/** @param {any} frame @returns {frame is import("./calls.js").CallFrame} */
function isOfCall(frame) {
  return ["ring", "ringing", "call_accepted", "call_ended"].includes(frame.type);
}

/** @param {any} frame @returns {frame is import("./protocol.js").ErrorFrame & {user: string}} */
function isOfUser(frame) {
  return frame.type === "error" && frame.id === undefined && typeof frame.user === "string";
}

/**
 * Whether the node asks the connection to slow down, rather than to repeat a request or a message.
 * @param {any} frame
 * @returns {frame is {after?: number}}
 */
function isSlowDown(frame) {
  return isAboutConnection(frame) && frame.code === "rate_limited" && frame.room === undefined;
}

export { Call } from "./call.js";
export { Connection } from "./connection.js";
export { Peer } from "./peer.js";
export { Room } from "./room.js";
export { Watch } from "./watch.js";
export { SignalError } from "./protocol.js";
export { explainClose, explainError } from "./explain.js";
