import { readFacts } from "./facts.js";

/**
 * What the page knows of one attempt to connect, for a report to the node: times, kinds and codes. Addresses and SDP are looked
 * at here and go nowhere.
 *
 * @typedef {"pending" | "connected" | "recovered" | "failed" | "ended"} CallState
 * @typedef {"left" | "peer_left" | "restarted" | "disconnected"} EndReason
 * @typedef {{offers: number, answers: number, candidates: number}} SignalCounts
 * @typedef {{relay: string, transport: string, code: number, count: number, at: number}} RelayFault
 * @typedef {import("./peer.js").PeerMessage} PeerMessage
 */

/** Relays and codes that one report tells of; a node takes no more. */
const MOST_ERRORS = 8;

/** The longest name of a relay that a node takes. */
const LONGEST_RELAY = 64;

/** Code of a server that has not answered (W3C WebRTC §4.8.2). Browsers give a TURN server over UDP 40 s; the SDK restarts ICE before. */
const NO_ANSWER = 701;

/** A relay that has given no candidate after this long is reported as silent (ms). */
const ANSWER_WITHIN = 10_000;

/** `stun:`, `turn:` or `turns:`, host and port, transport (RFC 7064, RFC 7065). */
const ICE_URL = /^(stuns?|turns?):([^?]*)(?:\?transport=(udp|tcp))?/;

/** The type of a candidate in its line (RFC 8839 §5.1). */
const TYPE = / typ (host|srflx|relay)/;

export class CallAttempt {
  #clock;
  #pc;
  #began;
  /** @type {Record<string, number>} */
  #times = {};
  /** @type {Pick<import("./facts.js").Facts, "local" | "remote" | "protocol" | "roundTripTime"> | null} */
  #path = null;
  #relays = { udp: 0, tcp: 0, tls: 0 };
  /** @type {{relay: string, transport: string}[]} */
  #addresses = [];
  /** @type {number | undefined} */
  #expires;
  #relayOnly = false;
  #gathered = { host: 0, srflx: 0, relay: 0 };
  /** @type {Map<string, RelayFault>} */
  #errors = new Map();
  /** @type {string | undefined} */
  #fragment;
  #restarts = -1;
  #sent = { offers: 0, answers: 0, candidates: 0 };
  #received = { offers: 0, answers: 0, candidates: 0 };
  #dtlsFailed = false;
  /** Whether it was reported as undecided. */
  isPending = false;
  /** Whether the browser has gathered, and found nothing. */
  foundNothing = false;
  /** Whether the path was interrupted since it was up. */
  interrupted = false;
  /** How often offers crossed. */
  glare = 0;

  /**
   * @param {number} number counts the attempts from 1
   * @param {RTCPeerConnection} pc
   * @param {import("./clock.js").Clock} clock
   */
  constructor(number, pc, clock) {
    this.number = number;
    this.#pc = pc;
    this.#clock = clock;
    this.#began = clock.now();
    this.#readConfiguration();
  }

  /** Whether media could flow at any time. */
  get wasConnected() {
    return this.#times.connected !== undefined;
  }

  /** Whether something is known of how it goes. */
  get isDecided() {
    return this.wasConnected || this.#times.failed !== undefined;
  }

  /** Notes a message of this side. @param {PeerMessage} message */
  sent({ description, candidate, closed }) {
    this.#count(this.#sent, description, candidate);
    const type = TYPE.exec(candidate?.candidate ?? "")?.[1];
    if (type) this.#gathered[/** @type {"host" | "srflx" | "relay"} */ (type)] += 1;
    if (type) this.#times.candidate ??= this.#now();
    this.foundNothing = candidate?.candidate === "" && !closed && this.#sent.candidates === 0;
    const fragment = /^a=ice-ufrag:(.*)$/m.exec(description?.sdp ?? "")?.[1];
    if (fragment === undefined || fragment === this.#fragment) return;
    this.#fragment = fragment;
    this.#restarts += 1;
  }

  /** Notes a message of the other side. @param {PeerMessage} message */
  received({ description, candidate }) {
    this.#count(this.#received, description, candidate);
  }

  /** Notes what a relay answered. @param {import("./peer.js").IceError} error */
  error({ code, url }) {
    const server = readUrl(url);
    if (!server) return;
    const { relay, transport } = server;
    const key = `${relay} ${transport} ${code}`;
    if (!this.#errors.has(key) && this.#errors.size < MOST_ERRORS) this.#errors.set(key, { relay, transport, code, count: 0, at: this.#now() });
    const known = this.#errors.get(key);
    if (known) known.count += 1;
  }

  /** Media can flow: reads the path. Returns what to report. @returns {Promise<CallState | null>} */
  async connected() {
    const state = !this.wasConnected ? "connected" : this.interrupted ? "recovered" : null;
    this.#times.connected ??= this.#now();
    this.interrupted = false;
    const report = await this.#pc.getStats().catch(() => new Map());
    const { facts } = readFacts(/** @type {any} */ (report), null);
    if (facts.local !== null) this.#path = facts;
    return state;
  }

  /** The path was lost, or none was found. */
  failed() {
    this.interrupted = true;
    this.#times.failed = this.#now();
    this.#dtlsFailed ||= this.#pc.sctp?.transport?.state === "failed";
  }

  /**
   * Returns the report as the protocol has it, without what is unknown or zero.
   * @param {CallState} state
   * @param {{reason?: EndReason, polite: boolean}} details
   */
  report(state, { reason, polite }) {
    const { local, remote, protocol, roundTripTime } = this.#path ?? {};
    return {
      attempt: this.number, state, reason, ...this.#times, now: this.#now(), local: local ?? undefined, remote: remote ?? undefined,
      protocol: protocol ?? undefined, rtt: roundTripTime ?? undefined, relay_only: this.#relayOnly || undefined, relays: this.#relays,
      expires: this.#expires, gathered: this.#gathered, errors: this.#faults(), restarts: Math.max(0, this.#restarts) || undefined,
      glare: this.glare || undefined, polite: polite || undefined, dtls_failed: this.#dtlsFailed || undefined, sent: this.#sent,
      received: this.#received, browser: browser(),
    };
  }

  /**
   * What relays answered; one that has neither answered nor given a candidate in time is listed with a count of 0, unless the
   * browser has ceased to gather since it was connected.
   * @returns {RelayFault[]}
   */
  #faults() {
    const errors = [...this.#errors.values()];
    const at = this.#now();
    if (this.#gathered.relay > 0 || at < ANSWER_WITHIN || this.wasConnected) return errors;
    const hasError = (/** @type {string} */ relay, /** @type {string} */ transport) => errors.some((error) => error.relay === relay && error.transport === transport);
    const silent = this.#addresses.filter(({ relay, transport }) => !hasError(relay, transport));
    return [...errors, ...silent.map((server) => ({ ...server, code: NO_ANSWER, count: 0, at }))].slice(0, MOST_ERRORS);
  }

  /** Milliseconds since the attempt began. */
  #now() {
    return Math.round(this.#clock.now() - this.#began);
  }

  /**
   * @param {SignalCounts} counts
   * @param {RTCSessionDescriptionInit | undefined} description
   * @param {RTCIceCandidateInit | undefined} candidate
   */
  #count(counts, description, candidate) {
    if (candidate?.candidate) counts.candidates += 1;
    if (description?.type !== "offer" && description?.type !== "answer") return;
    counts[`${description.type}s`] += 1;
    this.#times[description.type] ??= this.#now();
  }

  #readConfiguration() {
    const { iceServers = [], iceTransportPolicy } = this.#pc.getConfiguration();
    this.#relayOnly = iceTransportPolicy === "relay";
    for (const { urls, username = "" } of iceServers) {
      const expiry = /^(\d+):/.exec(username)?.[1];
      if (expiry) this.#expires = Number(expiry);
      for (const url of [urls].flat()) this.#countRelay(url);
    }
  }

  /** @param {string} url */
  #countRelay(url) {
    const server = readUrl(url);
    if (!server?.isRelay) return;
    const { relay, transport } = server;
    this.#relays[transport] += 1;
    this.#addresses.push({ relay, transport });
  }
}

/** @param {string} url @returns {{relay: string, transport: "udp" | "tcp" | "tls", isRelay: boolean} | null} */
function readUrl(url) {
  const [, scheme = "", relay, transport = "udp"] = ICE_URL.exec(url) ?? [];
  if (!relay || relay.length > LONGEST_RELAY) return null;
  return { relay, transport: scheme.endsWith("s") ? "tls" : /** @type {"udp" | "tcp"} */ (transport), isRelay: scheme.startsWith("turn") };
}

/** The family of the browser, and nothing that tells one device from another. */
function browser() {
  const agent = globalThis.navigator?.userAgent ?? "";
  if (/Firefox\//.test(agent)) return "firefox";
  if (/Chrom(e|ium)\//.test(agent)) return "chromium";
  return /Safari\//.test(agent) ? "safari" : "other";
}
