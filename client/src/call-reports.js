import { CallAttempt } from "./call-attempt.js";
import { build } from "./protocol.js";

/**
 * Reports to the node how the calls of one room go, so that an operator can be told why one failed. It watches the peers and has
 * no part in what they do. Only a node that says so in `welcome` is sent reports; the option `reports` of the client ends them.
 *
 * @typedef {import("./peer.js").Peer} Peer
 * @typedef {import("./peer.js").PeerMessage} PeerMessage
 * @typedef {import("./call-attempt.js").CallState} CallState
 * @typedef {import("./call-attempt.js").EndReason} EndReason
 * @typedef {{peer: Peer, count: number, attempt: CallAttempt | null, crossed: boolean, cancel: () => void}} Watched
 */

/** What a node that takes reports names in the `features` of `welcome`. */
const FEATURE = "report";

/** An attempt that is undecided after this long is reported as it stands (ms). */
const PENDING_AFTER = 15_000;

/** Reports that are sent at once, and the time after which one more may be (ms); a node drops what is above its own rate. */
const BURST = 100;
const ONE_EVERY = 1_000;

/** Reports that wait while no link carries the room. */
const HELD = 16;

/** What the exceptions of `getUserMedia` are called in a report. @type {Readonly<Record<string, string>>} */
const MEDIA_FAULTS = Object.freeze({ NotAllowedError: "not_allowed", NotFoundError: "not_found", NotReadableError: "not_readable" });

export class CallReports {
  #room;
  #clock;
  #link;
  /** @type {Map<string, Watched>} */
  #watched = new Map();
  /** What waits for a link; each is made when it is sent, since it says how long ago things were. @type {(() => Record<string, any>)[]} */
  #held = [];
  #allowed = BURST;
  #countedAt;

  /**
   * @param {object} options
   * @param {string} options.room
   * @param {import("./clock.js").Clock} options.clock
   * @param {() => import("./link.js").Link | null} options.link the one that carries the room
   * @param {boolean} options.on
   */
  constructor({ room, clock, link, on }) {
    this.#room = room;
    this.#clock = clock;
    this.#link = link;
    this.#countedAt = clock.now();
    this.on = on;
  }

  /** Watches a peer until it is closed. @param {Peer} peer */
  follow(peer) {
    if (!this.on) return;
    /** @type {Watched} */
    const watched = { peer, count: 0, attempt: null, crossed: false, cancel: () => {} };
    this.#watched.set(peer.id, watched);
    peer.on("connection", (pc) => (pc ? this.#begin(watched, pc) : this.#over(watched)));
    peer.on("iceError", (error) => watched.attempt?.error(error));
    peer.on("state", (state) => this.#onState(watched, state));
  }

  /**
   * Returns what sends a message to the peer `id` by `send`, and notes it.
   * @param {string} id
   * @param {(message: PeerMessage) => void} send
   * @returns {(message: PeerMessage) => void}
   */
  noting(id, send) {
    return (message) => {
      const watched = this.#watched.get(id);
      watched?.attempt?.sent(message);
      send(message);
      if (watched?.attempt?.foundNothing) this.#reportPending(watched, watched.attempt);
    };
  }

  /** Passes on what the other side sends, and notes it. @param {Peer | undefined} peer @param {any} message */
  receive(peer, message) {
    if (!peer) return;
    const watched = this.#watched.get(peer.id);
    // Asked before the peer acts, since the polite side takes a new connection for the other side's offer.
    if (watched) watched.crossed = message?.description?.type === "offer" && peer.pc?.signalingState === "have-local-offer";
    peer.receive(message);
    watched?.attempt?.received(message);
    if (watched?.attempt && watched.crossed) watched.attempt.glare += 1;
  }

  /** Reports the end of every attempt, before the node is told that this member leaves. */
  end() {
    for (const watched of this.#watched.values()) {
      const { attempt } = watched;
      watched.attempt = null;
      watched.cancel();
      if (attempt) this.#report(watched, attempt, "ended", "left");
    }
    this.#watched.clear();
  }

  /** Reports why there is no camera or microphone. @param {unknown} error */
  media(error) {
    const media = MEDIA_FAULTS[/** @type {any} */ (error)?.name] ?? "other";
    if (this.on) this.#send(() => ({ media }));
  }

  /** Sends what waited for a link. */
  flush() {
    for (const make of this.#held.splice(0)) this.#send(make);
  }

  /** @param {Watched} watched @param {RTCPeerConnection} pc */
  #begin(watched, pc) {
    const attempt = new CallAttempt((watched.count += 1), pc, this.#clock);
    watched.attempt = attempt;
    watched.cancel();
    watched.cancel = this.#clock.after(PENDING_AFTER, () => this.#reportPending(watched, attempt));
  }

  /** @param {Watched} watched @param {CallAttempt} attempt */
  #reportPending(watched, attempt) {
    watched.cancel();
    if (attempt.isDecided || attempt.isPending) return;
    attempt.isPending = true;
    this.#report(watched, attempt, "pending");
  }

  /** The connection is closed; whether another one follows is known once the peer has done what it is about to do. @param {Watched} watched */
  #over(watched) {
    const { attempt } = watched;
    if (!attempt) return;
    watched.attempt = null;
    watched.cancel();
    queueMicrotask(() => {
      const isClosed = watched.peer.state === "closed";
      const reason = isClosed ? "peer_left" : watched.attempt ? "restarted" : "disconnected";
      this.#report(watched, attempt, "ended", reason);
      if (isClosed) this.#watched.delete(watched.peer.id);
    });
  }

  /** @param {Watched} watched @param {import("./peer.js").PeerState} state */
  async #onState(watched, state) {
    const { attempt } = watched;
    if (!attempt) return;
    if (state === "reconnecting") attempt.interrupted = true;
    if (state === "failed") {
      attempt.failed();
      this.#report(watched, attempt, "failed");
    }
    const reached = state === "connected" ? await attempt.connected() : null;
    if (reached) this.#report(watched, attempt, reached);
  }

  /**
   * @param {Watched} watched
   * @param {CallAttempt} attempt
   * @param {CallState} state
   * @param {EndReason} [reason]
   */
  #report({ peer }, attempt, state, reason) {
    this.#send(() => ({ peer: peer.id, call: attempt.report(state, { reason, polite: peer.polite }) }));
  }

  /** @param {() => Record<string, any>} make */
  #send(make) {
    const link = this.#link();
    if (!link) this.#held = [...this.#held, make].slice(-HELD);
    else if (link.welcome?.features?.includes(FEATURE) && this.#mayReport()) {
      link.send(build.report({ room: this.#room, at: this.#clock.date(), ...make() }));
    }
  }

  #mayReport() {
    const earned = Math.floor((this.#clock.now() - this.#countedAt) / ONE_EVERY);
    this.#allowed = Math.min(BURST, this.#allowed + earned);
    this.#countedAt += earned * ONE_EVERY;
    if (this.#allowed === 0) return false;
    this.#allowed -= 1;
    return true;
  }
}
