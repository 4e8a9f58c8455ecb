import { Consent } from "./consent.js";
import { Emitter } from "./events.js";
import { Negotiation, asError } from "./negotiation.js";
import { isNegotiation } from "./negotiation-message.js";
import { randomName } from "./random.js";
import { MAIN } from "./publication.js";
import { RemoteStreams } from "./remote-streams.js";
import { holdChannels } from "./held-channels.js";
import { readFacts } from "./facts.js";
import { Restarts } from "./restarts.js";
import { Senders } from "./senders.js";

/**
 * One other member of a room, and the RTCPeerConnection to it.
 *
 * Messages carry `session`, random per RTCPeerConnection this side chose to open, and `for`, the
 * other side's session as far as known. A new `session` means the other side started over, so the
 * connection here is replaced; a wrong `for` means the message was meant for a predecessor.
 *
 * @typedef {"new" | "connecting" | "connected" | "reconnecting" | "failed" | "closed"} PeerState
 * @typedef {{code: number, text: string, url: string}} IceError
 * @typedef {import("./remote-streams.js").RemoteStream} RemoteStream
 * @typedef {{state: PeerState, stream: MediaStream | null, open: void, message: any, iceError: IceError, error: Error,
 *   connection: RTCPeerConnection | null, channel: import("./held-channels.js").HeldChannel, added: RemoteStream, changed: RemoteStream, removed: RemoteStream}} PeerEvents
 * @typedef {{session: string, for?: string, closed?: true} & import("./negotiation.js").Message} PeerMessage `closed`: the sender has ended the
 *   connection; it comes with an empty candidate, which SDK 0.1.0 takes for the end of candidates
 *
 * @typedef {object} Media what all peers of a room share; the room changes it, peers read it
 * @property {typeof RTCPeerConnection | undefined} RTCPeerConnection absent: signaling only
 * @property {() => RTCIceServer[]} iceServers
 * @property {RTCIceTransportPolicy} iceTransportPolicy
 * @property {Iterable<import("./publication.js").Publication>} publications those that were not stopped
 * @property {(peer: Peer) => boolean} [connect]
 * @property {(configuration: RTCConfiguration, peer: Peer) => RTCConfiguration} [configure]
 * @property {(pc: RTCPeerConnection, peer: Peer) => void} [opened]
 */

/** How often the other side may start over within {@link STARTS_WITHIN}. Each costs a connection with its sockets. */
const MOST_STARTS = 10;

/** Time over which starts are counted (ms). */
const STARTS_WITHIN = 60_000;

/** @extends {Emitter<PeerEvents>} */
export class Peer extends Emitter {
  #media;
  #clock;
  #send;
  #session = randomName();
  /** @type {string | null} */
  #remoteSession = null;
  /** When the other side started over of late. @type {number[]} */
  #starts = [];
  /** @type {Negotiation | null} */
  #negotiation = null;
  /** @type {Senders | null} */
  #senders = null;
  /** @type {RTCDataChannel | null} */
  #channel = null;
  /** What the other side has opened on `pc`. @type {import("./held-channels.js").HeldChannel[]} */
  #channels = [];
  #remote = new RemoteStreams((event, remote) => this.emit(event, remote));
  /** @type {Restarts} */
  #restarts;
  #consent = new Consent(() => this.#media.connect?.(this) ?? true);
  /** @type {import("./facts.js").Sample | null} */
  #sample = null;

  /** The connection, once there is one; replaced when the other side starts over. @type {RTCPeerConnection | null} */
  pc = null;
  /** What the other side sends under the label `main`. @type {MediaStream | null} */
  stream = null;
  /** @type {PeerState} */
  state = "new";
  /** The member's rank: joins of the room, counted. */
  n = 0;
  /** The `sub` of the member's token, if it has one. @type {string | undefined} */
  user = undefined;
  /** Whether this side gives way when offers cross. */
  polite = false;
  /** Whether the member lost its socket and may still come back. */
  away = false;
  /** What the member says about itself. @type {any} */
  meta = undefined;

  /**
   * @param {object} options
   * @param {import("./protocol.js").Member} options.member
   * @param {Media} options.media
   * @param {import("./clock.js").Clock} options.clock
   * @param {(data: PeerMessage) => void} options.send passes `data` to the other side
   */
  constructor({ member, media, clock, send }) {
    super();
    this.#media = media;
    this.#clock = clock;
    this.#send = send;
    this.#restarts = new Restarts(clock, () => this.#restart());
    /** The member's id in the room. */
    this.id = member.id;
    this.describe(member);
  }

  /**
   * A listener of `stream`, `added`, `connection` or `channel` is called at once with what is there already.
   * @protected
   * @override
   * @param {keyof PeerEvents} name
   * @returns {Iterable<any>}
   */
  current(name) {
    if (name === "channel") return this.#channels;
    if (name === "added") return this.streams.values();
    if (name === "connection") return this.pc ? [this.pc] : [];
    return name === "stream" && this.stream ? [this.stream] : [];
  }

  /** What the other side sends, by label. @returns {ReadonlyMap<string, RemoteStream>} */
  get streams() {
    return this.#remote.streams;
  }

  /** Takes over what the room says about this member. @param {Partial<import("./protocol.js").Member>} member @internal */
  describe(member) {
    const { n = this.n, user = this.user, polite = this.polite, away = this.away, meta = this.meta } = member;
    Object.assign(this, { n, user, polite, away, meta });
  }

  /** Whether media and data flow right now. */
  get connected() {
    return this.pc?.connectionState === "connected" && this.#channel?.readyState === "open";
  }

  /** Connects to a member that the room's option `connect` leaves out, or again after `disconnect`. */
  connect() {
    const kept = this.#consent.give();
    if (this.pc) return;
    if (kept.length === 0) this.renew({ offers: true });
    for (const data of kept) this.receive(data);
  }

  /** Ends the connection on both sides and keeps the member; either side may `connect` again. */
  disconnect() {
    this.#consent.withdraw();
    if (!this.pc) return;
    this.#tell({ candidate: { candidate: "" }, closed: true });
    this.#hangUp();
  }

  /** Opens the connection; with `offers` this side speaks first. @param {{offers: boolean}} options @internal */
  start({ offers }) {
    if (!this.pc) this.#open(offers);
  }

  /** Starts over on this side: the other one replaces its connection too. @param {{offers: boolean}} options @internal */
  renew({ offers }) {
    this.#session = randomName();
    this.#remoteSession = null;
    this.#consent.isRefused = false;
    this.#open(offers);
  }

  /** Offers again where that helps: messages may have been lost, or the path broke. @internal */
  renegotiate() {
    if (this.state === "closed" || this.#consent.isRefused) return;
    if (!this.#negotiation) this.#open(true);
    else if (this.connected) this.#negotiation.remind();
    else this.#negotiation.again();
  }

  /** Takes `data` of a signal of this member. @param {PeerMessage} data @internal */
  receive(data) {
    if (!isNegotiation(data)) return this.emit("error", new TypeError("a negotiation message lacks its session, description or candidate"));
    if (data.closed) return this.#refused(data);
    if (data.description?.type === "offer") this.#consent.isRefused = false;
    if (!this.pc && !this.#consent.isGiven) return this.#consent.keep(data);
    if (!this.pc) this.#open(false);
    if (data.for !== undefined && data.for !== this.#session) return this.#introduce(data);
    if (this.#remoteSession !== null && data.session !== this.#remoteSession) {
      if (!this.#mayStartOver()) return this.emit("error", new RangeError("the other side starts over too often: a session of it was ignored"));
      this.#open(false);
    } else if (this.polite && data.description?.type === "offer" && this.#negotiation?.isOpening) this.#open(false);
    this.#remoteSession = data.session;
    this.#negotiation?.receive(data);
  }

  /** Sends an application message on the data channel; returns false if that is not open. @param {string} message */
  send(message) {
    if (this.#channel?.readyState !== "open") return false;
    this.#channel.send(message);
    return true;
  }

  /** Takes over fresh ICE servers; restarts ICE only where that is needed, and not before its time. @param {{strict: boolean}} options @internal */
  refresh({ strict }) {
    if (!this.#configure()) return;
    const mayRecover = this.state === "reconnecting" && this.#restarts.count === 0;
    if (strict || (this.#negotiation?.begun && !this.connected && !mayRecover)) this.#negotiation?.again();
  }

  /**
   * Takes over a changed transport policy. Browsers keep a direct path in use when an ICE restart
   * finds no relay, so `relay` starts over: what is promised is that nothing flows around it. @internal
   */
  reroute() {
    if (!this.pc) return;
    if (this.#media.iceTransportPolicy === "relay") this.renew({ offers: true });
    else if (this.#configure()) this.#negotiation?.again();
  }

  /** Sends what the room publishes and nothing else; a track that replaces one of its kind needs no negotiation. @internal */
  async publish() {
    await this.#senders?.publish([...this.#media.publications].filter((one) => one.isFor(this.id)));
  }

  /** Returns what the connection is made of and how it fares. @returns {Promise<{state: PeerState} & import("./facts.js").Facts>} */
  async facts() {
    const report = await this.pc?.getStats();
    const { facts, sample } = readFacts(/** @type {any} */ (report ?? new Map()), this.#sample);
    this.#sample = sample;
    return { state: this.state, ...facts };
  }

  /** How the connection stands, for a report of a fault. @returns {Promise<Record<string, unknown>>} */
  async dump() {
    const { id, n, polite, away } = this;
    const { connectionState, iceConnectionState, iceGatheringState, signalingState } = this.pc ?? {};
    const facts = await this.facts();
    return { id, n, polite, away, labels: [...this.streams.keys()], connectionState, iceConnectionState, iceGatheringState, signalingState, ...facts };
  }

  /** Ends the connection for good. @internal */
  close() {
    this.#drop();
    this.#show("closed");
  }

  /** The other side has ended the connection. @param {PeerMessage} data */
  #refused(data) {
    if (data.for !== undefined && data.for !== this.#session) return;
    this.#consent.refused();
    this.#hangUp();
  }

  /** Ends the connection; the next one is no start-over of the other side. */
  #hangUp() {
    this.#remoteSession = null;
    this.#drop();
    this.#show("new");
  }

  /** Counts a start of the other side; false if there were too many. */
  #mayStartOver() {
    const now = this.#clock.now();
    this.#starts = this.#starts.filter((at) => now - at < STARTS_WITHIN);
    if (this.#starts.length >= MOST_STARTS) return false;
    this.#starts.push(now);
    return true;
  }

  /** @param {boolean} offers */
  #open(offers) {
    const { RTCPeerConnection } = this.#media;
    if (!RTCPeerConnection || this.state === "closed" || this.#consent.isRefused || !this.#consent.isGiven) return;
    this.#drop();
    if (!this.#guard(() => this.#assemble(RTCPeerConnection, offers))) {
      this.#drop();
      return this.#show("failed");
    }
    this.#show("connecting");
    this.#restarts.opened();
  }

  /**
   * @param {typeof RTCPeerConnection} RTCPeerConnection
   * @param {boolean} offers
   */
  #assemble(RTCPeerConnection, offers) {
    const pc = new RTCPeerConnection(this.#configuration({}));
    this.pc = pc;
    this.#media.opened?.(pc, this);
    const send = (/** @type {import("./negotiation.js").Message} */ message) => this.#tell(message);
    const failed = (/** @type {Error} */ error) => this.emit("error", error);
    this.#negotiation = new Negotiation({ pc, polite: this.polite, mayOffer: offers, send, failed, remote: this.#remote });
    this.#listen(pc);
    this.#listenTo(pc.createDataChannel("app", { negotiated: true, id: 0 }));
    this.#senders = new Senders(pc, () => this.#negotiation?.tell());
    this.emit("connection", pc);
    this.publish().catch((error) => this.emit("error", asError(error)));
  }

  /**
   * Runs calls to the browser that throw, for instance at an ICE server it cannot read. The caller handles a
   * frame of the whole room, so the fault ends here, as the event `error` of this peer. Returns whether none was thrown.
   * @param {() => void} act
   */
  #guard(act) {
    try {
      act();
      return true;
    } catch (error) {
      this.emit("error", asError(error));
      return false;
    }
  }

  /** @param {RTCPeerConnection} pc */
  #listen(pc) {
    pc.ontrack = (event) => {
      const { label, stream } = this.#remote.add(event);
      if (label !== MAIN) return;
      stream.addEventListener("removetrack", this.#trackRemoved);
      this.emit("stream", (this.stream = stream));
    };
    pc.onconnectionstatechange = () => this.#follow(pc.connectionState);
    holdChannels(pc, (channel) => this.#channels.push(channel) && this.emit("channel", channel));
    pc.onicecandidateerror = ({ errorCode, errorText, url }) =>
      this.emit("iceError", { code: errorCode, text: errorText, url: url ?? "" });
  }

  /** The other side sends a track no more; without any it has no stream. */
  #trackRemoved = (/** @type {Event} */ { target }) => {
    if (target === this.stream && this.stream?.getTracks().length === 0) this.emit("stream", (this.stream = null));
  };

  /** @param {RTCDataChannel} channel */
  #listenTo(channel) {
    this.#channel = channel;
    channel.onopen = () => this.emit("open", undefined);
    channel.onmessage = ({ data }) => this.emit("message", data);
  }

  /** @param {RTCPeerConnectionState} state */
  #follow(state) {
    if (state === "connected") {
      this.#restarts.connected();
      this.#show("connected");
    } else if (state === "disconnected") {
      this.#show("reconnecting");
      this.#restarts.interrupted();
    } else if (state === "failed") {
      this.#show("failed");
      this.#restarts.failed();
    } else if (state === "connecting" && this.state === "failed") {
      this.#show("reconnecting");
    }
  }

  /** A member that is away cannot answer and is offered to when it is back; one that never spoke may have no WebRTC. */
  #restart() {
    if (!this.away && this.#negotiation?.begun) this.renegotiate();
  }

  /** Makes the connection use the room's ICE servers and policy from the next gathering on. */
  #configure() {
    const { pc } = this;
    if (!pc || pc.signalingState === "closed") return false;
    return this.#guard(() => pc.setConfiguration(this.#configuration(pc.getConfiguration())));
  }

  /** @param {RTCConfiguration} current @returns {RTCConfiguration} */
  #configuration(current) {
    const { iceServers, iceTransportPolicy, configure } = this.#media;
    const configuration = { ...current, iceServers: iceServers(), iceTransportPolicy };
    return configure?.(configuration, this) ?? configuration;
  }

  /** The other side talks to a predecessor of this connection: if it waits for us, speak up. @param {PeerMessage} data */
  #introduce(data) {
    if (data.description?.type !== "offer" || this.#negotiation?.begun) return;
    if (this.pc?.signalingState === "stable") this.#negotiation?.again();
  }

  /** @param {import("./negotiation.js").Message & {closed?: true}} message */
  #tell(message) {
    const target = this.#remoteSession === null ? {} : { for: this.#remoteSession };
    const labels = message.description && { labels: this.#senders?.labels };
    this.#send({ session: this.#session, ...target, ...message, ...labels });
  }

  #drop() {
    const { pc } = this;
    this.#restarts.stop();
    this.#channels = [];
    this.pc = this.#negotiation = this.#senders = this.#channel = this.#sample = null;
    this.#remote.clear();
    if (this.stream) this.emit("stream", (this.stream = null));
    if (!pc) return;
    pc.onnegotiationneeded = pc.onicecandidate = pc.onconnectionstatechange = pc.ontrack = pc.onicecandidateerror = null;
    pc.close();
    this.emit("connection", null);
  }

  /** @param {PeerState} state */
  #show(state) {
    if (this.state === state) return;
    this.state = state;
    this.emit("state", state);
  }
}
