import { CallReports } from "./call-reports.js";
import { SignalError } from "./protocol.js";
import { Emitter } from "./events.js";
import { Identity } from "./identity.js";
import { graceOf } from "./link.js";
import { Membership } from "./membership.js";
import { Messages } from "./messages.js";
import { NegotiationFilter } from "./negotiation-message.js";
import { Peer } from "./peer.js";
import { Publications } from "./publication.js";
import { Roster } from "./roster.js";
import { FIRST_PAUSE } from "./outgoing.js";

/**
 * One room as a member sees it: the peers in it, what they say, what this member says to them.
 * `membership.js` keeps it joined, `messages.js` keeps its messages in order, `roster.js` its peers.
 *
 * @typedef {import("./link.js").Link} Link
 * @typedef {import("./protocol.js").Joined} Joined
 * @typedef {"joining" | "joined" | "away" | "left"} RoomState
 *
 * @typedef {object} JoinOptions
 * @property {any} [meta] what others see of this member; 4 KiB at most
 * @property {{to?: string, call: string}} [call] the call that gives the right to enter, as `Call.join` sets it
 * @property {MediaStream | null} [stream] camera, microphone or anything else to send to every peer, as `publish` does
 * @property {RTCIceTransportPolicy} [iceTransportPolicy] `relay`: media only through TURN
 * @property {typeof RTCPeerConnection | null} [RTCPeerConnection] null: signaling only
 * @property {boolean | ((peer: Peer) => boolean)} [connect] whom to connect to by itself, everyone by default; a connection needs the
 *   will of both sides, and `peer.connect()` gives it
 * @property {(configuration: RTCConfiguration, peer: Peer) => RTCConfiguration} [configure] changes the configuration of each RTCPeerConnection
 * @property {(pc: RTCPeerConnection, peer: Peer) => void} [opened] is called with each RTCPeerConnection, before its first offer
 * @property {AbortSignal} [signal] ends the join while it is under way; afterwards it has no effect
 * @property {number} [timeout] milliseconds after which the join is given up; without it, passing trouble is waited out
 *
 * @typedef {object} RoomEvents
 * @property {{recovery: import("./protocol.js").Recovery, dropped: number}} joined in (again); a new member gave `dropped` messages up
 * @property {Peer} peer somebody is in the room
 * @property {{peer: Peer, reason: string}} peerLeft
 * @property {Peer} peerUpdated new `meta` or `away`
 * @property {{from: string, to?: string, data: any, volatile: boolean}} signal application data
 * @property {{reason: string}} left this membership ended and does not come back by itself
 * @property {void} reset the server lost history: what was in flight may be gone
 * @property {{code: string, message: string, mid?: number, to?: string}} error a message was refused, or a warning
 * @property {RoomState} state
 *
 * @typedef {object} RoomContext
 * @property {string} name
 * @property {{to?: string, call: string}} [call] the call that gives the right to enter
 * @property {import("./connection.js").Connection} connection
 * @property {import("./ice.js").IceServers} ice
 * @property {import("./clock.js").Clock} clock
 * @property {() => number} random uniform in [0, 1)
 * @property {Identity} [identity]
 * @property {boolean} [reports] whether the node is told how calls go; true by default
 * @property {(room: Room) => void} [ended] called once the membership is over
 */

/** Before ICE is restarted, the servers to restart with are renewed. @type {ReadonlySet<import("./peer.js").PeerState>} */
const BROKEN = new Set(["reconnecting", "failed"]);

/** @extends {Emitter<RoomEvents>} */
export class Room extends Emitter {
  #context;
  #identity;
  #messages;
  #roster;
  /** @type {import("./peer.js").Media} */
  #media;
  #publications = new Publications(async () => void (await Promise.all([...this.peers.values()].map((peer) => peer.publish()))));
  #meta;
  #membership;
  #negotiations = new NegotiationFilter();
  #forgetServers;
  #reports;
  /** @type {(value: Room) => void} */
  #resolve = () => {};
  /** @type {(reason: Error) => void} */
  #reject = () => {};

  /** This member, once joined. @type {{id: string, n: number} | null} */
  self = null;
  /** @type {RoomState} */
  state = "joining";
  /** Resolves when first joined. @type {Promise<Room>} */
  ready;
  /** Resolves when the server has been told that this member left. @type {Promise<void> | null} */
  gone = null;

  /**
   * @param {RoomContext} context
   * @param {JoinOptions} [options]
   */
  constructor(context, { meta, stream = null, connect, ...options } = {}) {
    super();
    const { RTCPeerConnection, iceTransportPolicy = "all", configure, opened } = options;
    this.#context = context;
    this.#identity = context.identity ?? new Identity(context.name);
    this.#meta = meta;
    this.#media = {
      RTCPeerConnection: RTCPeerConnection === null ? undefined : RTCPeerConnection ?? globalThis.RTCPeerConnection,
      iceServers: () => context.ice.list,
      iceTransportPolicy,
      publications: this.#publications,
      connect: typeof connect === "boolean" ? () => connect : connect,
      configure,
      opened,
    };
    this.#reports = new CallReports({ room: context.name, clock: context.clock, link: () => this.#membership.link, on: context.reports ?? true });
    this.#roster = new Roster(this.#rosterHooks(), context.clock);
    this.#membership = new Membership(context, this.#identity, this.#membershipHooks());
    this.#messages = new Messages({
      room: context.name,
      clock: context.clock,
      link: () => this.#membership.link,
      refused: (refusal) => this.emit("error", refusal),
    });
    if (stream) this.#publications.publish(stream);
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.ready.catch(() => {}); // whoever called join() has the same promise and handles it
    this.#forgetServers = context.ice.on("servers", (how) => this.peers.forEach((peer) => peer.refresh(how)));
  }

  /**
   * A listener of `peer` is called at once for everyone who is in the room already.
   * @protected
   * @override
   * @param {keyof RoomEvents} name
   * @returns {Iterable<any>}
   */
  current(name) {
    return name === "peer" ? this.peers.values() : [];
  }

  /** The room's name. */
  get name() {
    return this.#context.name;
  }

  /** The other members by id. @returns {ReadonlyMap<string, Peer>} */
  get peers() {
    return this.#roster.peers;
  }

  /** How many own messages are not settled yet. */
  get unsettled() {
    return this.#messages.length;
  }

  /** Whether the membership waits for nothing on `link`. @param {Link} link @internal */
  settledOn(link) {
    return this.#membership.link === link || this.state === "left";
  }

  /**
   * Sends `data` to one member, to several, or, without `to`, to everyone else; kept, ordered, delivered once.
   * With `volatile` it is told once or lost (cursor, volume). What cannot be taken rejects `settled` and is told by the
   * event `error` (`too_large`, `limit_exceeded`, `bad_request`).
   * @param {any} data
   * @param {{to?: string | readonly string[], volatile?: boolean}} [options]
   */
  signal(data, options) {
    return this.#messages.signal(data, options);
  }

  /** Replaces this member's `meta` as a whole. @param {any} meta */
  update(meta) {
    this.#meta = meta;
    return this.#messages.update(meta);
  }

  /** Replaces some keys of this member's `meta`; a key that is `undefined` is removed. @param {Record<string, any>} change */
  patch(change) {
    return this.update({ ...this.#meta, ...change });
  }

  /** Leaves for good, at any time; the key is forgotten, so that a later join is a new member. */
  async leave() {
    this.#reports.end();
    this.gone ??= this.#membership.leave();
    this.#end("left");
    await this.gone;
  }

  /**
   * Removes another member, with the right to moderate.
   * @param {string} peer
   * @param {{ban?: number}} [options] `ban` in seconds
   * @returns {Promise<void>}
   */
  kick(peer, { ban } = {}) {
    return this.#membership.kick(peer, ban);
  }

  /**
   * Sends `media` to every peer from now on, instead of what was sent under the same label; null: nothing.
   * @param {MediaStream | MediaStreamTrack | null} media
   * @param {import("./publication.js").PublishOptions} [options]
   */
  publish(media, options) {
    return this.#publications.publish(media, options);
  }

  /** Changes where media may flow and moves running calls there. @param {RTCIceTransportPolicy} policy */
  setTransportPolicy(policy) {
    this.#media.iceTransportPolicy = policy;
    this.peers.forEach((peer) => peer.reroute());
  }

  /** Tells the node why there is no camera or microphone. @param {unknown} error what `getUserMedia` rejected with */
  mediaFailed(error) {
    this.#reports.media(error);
  }

  /** How the room stands, for a report of a fault. @returns {Promise<Record<string, unknown>>} */
  async dump() {
    const { name, state, self, unsettled } = this;
    return { name, state, self, unsettled, peers: await Promise.all([...this.peers.values()].map((peer) => peer.dump())) };
  }

  /** Prepares the identity; to be called once before anything is joined. @internal */
  async prepare() {
    await this.#identity.claim();
  }

  /** The room cannot be joined, for a reason of this page. @param {Error} error @internal */
  fail(error) {
    this.#end("stopped", error);
  }

  /** Joins where the connection is now, if it is anywhere. @internal */
  attach() {
    if (this.state !== "left") this.#membership.settle();
  }

  /** Moves, as the same member, to a link that was just welcomed. @param {Link} link @internal */
  moveTo(link) {
    if (this.state !== "left") this.#membership.join(link);
  }

  /** The link is gone; the membership waits for the next one. @param {Link} link @internal */
  detach(link) {
    if (this.state === "left") return;
    const moving = this.#membership.movesFrom(link);
    this.#membership.lost(link);
    if (this.self && !this.#membership.link && !moving) this.#show("away");
  }

  /** The server asks for silence: what is kept waits, what is volatile is dropped. @param {number} [ms] @internal */
  slowDown(ms = FIRST_PAUSE) {
    this.#messages.pause(ms);
  }

  /** The connection has stopped for good. @param {{code: number | string | null, reason: string, message?: string}} why @internal */
  stopped({ code, reason, message = reason }) {
    const error = new SignalError(code === null ? this.#notJoined("closed", "close() was called") : { code: String(code), message });
    this.#end(code === 4202 ? "replaced" : code === 4203 ? "kicked" : "stopped", error);
  }

  /**
   * Takes one frame that names this room.
   * @param {import("./protocol.js").ServerFrame} frame
   * @param {Link} link @internal
   */
  handle(frame, link) {
    if (this.state === "left" || !this.#membership.takes(frame, link)) return;
    switch (frame.type) {
      case "reset": return this.#reset(frame);
      case "ack": return this.#messages.ack(frame.mid);
      case "error": return this.#failed(frame, link);
      case "signal": return this.#signalled(frame);
      case "peer_joined": return this.#roster.add(frame.peer);
      case "peer_updated": return this.#updated(frame.peer);
      case "peer_left": return this.#roster.remove(frame.peer, frame.reason);
    }
  }

  /**
   * @param {Joined} frame
   * @param {Link} link
   */
  #joined(frame, link) {
    this.self = frame.self;
    if (frame.ice !== undefined) this.#context.ice.accept(frame.ice);
    const dropped = frame.recovery === "new" ? this.#messages.restart(link) : 0;
    const refused = frame.recovery === "new" ? [] : this.#messages.resume(link, frame);
    this.#show("joined");
    this.#reports.flush();
    if (frame.recovery === "new") this.#roster.begin(frame.peers ?? [], graceOf(link));
    if (frame.recovery === "snapshot") this.#roster.compare(frame.peers ?? []);
    this.emit("joined", { recovery: frame.recovery, dropped });
    for (const error of refused) this.emit("error", error);
    this.#resolve(this);
  }

  /** @param {import("./protocol.js").Signal} frame */
  #signalled(frame) {
    const { from, to, data, volatile = false } = frame;
    if (this.#media.RTCPeerConnection && this.#negotiations.accepts(frame)) this.#reports.receive(this.peers.get(from), data);
    else this.emit("signal", { from, to, data, volatile });
  }

  /** @param {import("./protocol.js").PeerUpdated["peer"]} change */
  #updated(change) {
    if (change.away !== undefined) this.#negotiations.forget(change.id);
    this.#roster.update(change);
  }

  /** @param {import("./protocol.js").Reset} frame */
  #reset(frame) {
    const { link } = this.#membership;
    if (link) this.#messages.resume(link, { mid: frame.mid });
    this.#roster.reset(frame.peers, graceOf(link));
    this.emit("reset", undefined);
  }

  /**
   * An error about one of this member's messages.
   * @param {import("./protocol.js").ErrorFrame} frame
   * @param {Link} link
   */
  #failed(frame, link) {
    const { code, mid, retry, after } = frame;
    const handedOver = code === "not_joined" || (retry && link !== this.#membership.link);
    if (code === "rate_limited" && mid === undefined) return this.slowDown(after);
    if (mid === undefined || handedOver) return; // it is sent again on the newer link
    this.#messages.failed({ ...frame, mid });
  }

  /** This member was removed and joins anew: nothing of the old one goes on. */
  #expired() {
    this.#roster.clear("expired");
    this.#messages.restart(null);
    if (this.self) this.#show("away");
  }

  /**
   * @param {string} reason
   * @param {Error} [error]
   */
  #end(reason, error) {
    if (this.state === "left") return;
    this.#membership.stop();
    this.#messages.end();
    this.#forgetServers();
    this.#roster.clear("left");
    if (reason === "stopped") this.#identity.release();
    else this.#identity.forget();
    this.#show("left");
    this.#context.ended?.(this);
    this.#reject(error ?? new SignalError(this.#notJoined(reason, reason === "left" ? "leave() was called" : `the server said ${reason}`)));
    this.emit("left", { reason });
  }

  /**
   * Says why the promise of `join` is rejected.
   * @param {string} code
   * @param {string} cause
   */
  #notJoined(code, cause) {
    return { code, message: `room ${this.name} was not joined: ${cause} before the join was answered` };
  }

  /** @returns {import("./membership.js").MembershipHooks} */
  #membershipHooks() {
    return {
      own: () => ({ meta: this.#meta, mid: this.#messages.settled }),
      joined: (frame, link) => this.#joined(frame, link),
      unlinked: () => this.#messages.suspend(),
      expired: () => this.#expired(),
      delayed: ({ code, message }) => this.emit("error", { code, message }),
      ended: (reason, error) => this.#end(reason, error),
    };
  }

  /** @returns {import("./roster.js").RosterHooks} */
  #rosterHooks() {
    return {
      create: (member) => {
        const send = this.#reports.noting(member.id, (data) => this.#messages.negotiate(member.id, data));
        const peer = new Peer({ member, media: this.#media, clock: this.#context.clock, send });
        this.#reports.follow(peer);
        peer.on("state", (state) => BROKEN.has(state) && this.#context.ice.want());
        return peer;
      },
      entered: (peer) => this.emit("peer", peer),
      updated: (peer) => this.emit("peerUpdated", peer),
      left: (peer, reason) => this.emit("peerLeft", { peer, reason }),
    };
  }

  /** @param {RoomState} state */
  #show(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }
}
