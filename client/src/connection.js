import { Addresses } from "./addresses.js";
import { NetworkWatch, browserEvents } from "./network.js";
import { backoff, between } from "./backoff.js";
import { CLIENT_NAME, build, closeAction } from "./protocol.js";
import { explainClose, explainError } from "./explain.js";
import { diagnose } from "./diagnosis.js";
import { Emitter } from "./events.js";
import { Journal } from "./journal.js";
import { Link, isAboutConnection } from "./link.js";
import { Requests } from "./requests.js";
import { Tokens, renewIn } from "./token.js";
import { systemClock } from "./clock.js";

/**
 * Keeps one link to the cluster open: decides when the next socket is opened, and whether.
 *
 * A lost socket is replaced after full jitter, as far as its close code allows. A node that says
 * `goaway` is left without a gap: the next link is opened beside the current one, rooms join there,
 * and `promote` closes the old one. A next link that cannot be opened, or on which the rooms do not
 * arrive in time, is given up, and the current one stays in use.
 *
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "stopped"} Phase
 * @typedef {object} ConnectionState
 * @property {Phase} phase
 * @property {number | string | null} code the close or error code behind it, if any
 * @property {string} reason what happened, in words
 * @property {string} todo what a person can do about it
 * @property {string} [message] what the server said was wrong, for a developer
 * @property {number} [retryIn] milliseconds until the next attempt, while waiting
 *
 * @typedef {object} ConnectionOptions
 * @property {string | readonly string[]} url `ws(s)://` or `http(s)://`; `/v1/ws` is appended to the path, unless that ends so; of several,
 *   each attempt takes the next, and so do the further sockets of an attempt that takes long
 * @property {import("./token.js").TokenSource} [token]
 * @property {string} [client] what to call ourselves in `hello`
 * @property {(attempt: number, why: {code: number | string, reason: string}) => number | false | undefined} [retry] decides how long to
 *   wait (ms) before the next attempt, 0 being the first after a loss; false: stop; undefined: as the SDK finds right
 * @property {(entry: import("./journal.js").LogEntry) => void} [log] is told of each state, and of each frame in outline
 * @property {import("./opening.js").WebSocketConstructor} [WebSocket] the constructor, where the host has none (Node below 22)
 * @property {import("./clock.js").Clock} [clock]
 * @property {() => number} [random] uniform in [0, 1)
 * @property {typeof globalThis.fetch | null} [fetch] asks why no WebSocket comes about; the host's own by default
 * @property {EventTarget | null} [network] emits what `network.js` lists
 *
 * @typedef {{state: ConnectionState, link: {link: Link, handover: boolean}, lost: Link,
 *   frame: {frame: import("./protocol.js").ServerFrame, link: Link}}} ConnectionEvents
 */

/** Said to a link whose last member is on a newer one. */
const REPLACED = 4202;

/** What a browser says of a WebSocket that ended without a close frame, or never opened (RFC 6455 §7.1.5). */
const LOST = 1006;

/** Of so many attempts that fail, one is followed by the question why. */
const DIAGNOSE_EVERY = 5;

/** How often in a row a token may be refused before the provider is considered unable to help. */
const REFUSALS = 3;

/** A link that lived this long (ms) proves that the server is well; the next loss starts from the shortest wait. */
const STABLE_AFTER = 5000;

/** Told that a node lost its memory, a client tries another after 5–15 s, so that an outage causes no storm (ms). */
const LEAVE_NODE_AFTER = /** @type {const} */ ([5000, 15000]);

/** How long the next link may take until every room has arrived on it (ms); the current one is good meanwhile. */
const HANDOVER_WITHIN = 10_000;

/** How long a token provider may take (ms). A request on a dead network may hang for minutes. */
const TOKEN_WITHIN = 10_000;

/** @extends {Emitter<ConnectionEvents>} */
export class Connection extends Emitter {
  #options;
  #clock;
  #random;
  #tokens;
  /** @type {Link | null} */
  #current = null;
  /** @type {Link | null} the link that is to replace `#current` */
  #next = null;
  /** Why `#current` is to be replaced, if it is. @type {null | "drain" | "outage"} */
  #moving = null;
  #attempt = 0;
  #wasWelcomed = false;
  /** Why the attempts so far failed, as far as it was found out. @type {import("./diagnosis.js").Diagnosis | null} */
  #diagnosis = null;
  #refusals = 0;
  #welcomedAt = 0;
  /** Makes attempts obsolete that were overtaken while they waited for a token. */
  #turn = 0;
  #addresses;
  #network;
  #cancelAttempt = () => {};
  #cancelHandover = () => {};
  #cancelRenewal = () => {};
  /** Replies by request id, for everything that is sent on any link. */
  requests = new Requests();
  /** @type {ConnectionState} */
  state = { phase: "idle", code: null, reason: "Not connected yet.", todo: "" };

  /** @param {ConnectionOptions} options */
  constructor(options) {
    super();
    const host = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch?.bind(globalThis) };
    this.#options = { client: CLIENT_NAME, ...host, ...options };
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#tokens = new Tokens(options.token, this.#clock);
    this.journal = new Journal(this.#clock, options.log);
    this.#addresses = new Addresses(options.url, this.#random);
    this.#network = new NetworkWatch(options.network === undefined ? browserEvents() : options.network, (change) => this.#onNetworkChange(change));
  }

  /** The link frames are sent on, while one is open. */
  get link() {
    return this.#current?.open ? this.#current : null;
  }

  /** The link that is to take over from `link`, while it is open. */
  get successor() {
    return this.#next?.open ? this.#next : null;
  }

  /** Connects, if it has not been done or was stopped. */
  start() {
    if (this.state.phase !== "idle" && this.state.phase !== "stopped") return;
    this.#attempt = this.#refusals = 0;
    this.#network.start();
    this.#connect();
  }

  /** Closes every socket and stays closed. */
  stop() {
    this.#halt({ code: null, reason: "The connection was closed here.", todo: "" });
  }

  /** Makes `link` the current one and closes the link it replaces. @param {Link} link */
  promote(link) {
    if (link !== this.#next) return;
    const old = this.#current;
    this.#take(link);
    if (old) this.requests.lost(old);
    old?.close();
  }

  /** Gives up the link that should have taken over: its node cannot help either. @param {Link} link */
  abandon(link) {
    if (link === this.#next) link.close();
  }

  /** Finds out now rather than later. @param {"may be back" | "may be gone"} change of the network */
  #onNetworkChange(change) {
    if (this.state.phase !== "waiting") this.#current?.probe();
    else if (change === "may be back") this.#connect();
  }

  async #connect() {
    this.#cancelAttempt();
    this.#show({ phase: "connecting", code: this.state.code, reason: "Connecting to the server.", todo: "" });
    await this.#open((link) => {
      this.#current = link;
    });
  }

  /**
   * Fetches a token and opens a link, unless that fails or is overtaken. `keep` runs in the same turn as
   * the check of `#turn`: were the link returned from here, a `stop()` in the microtasks before the caller
   * has it would find no link to close.
   * @param {(link: Link) => void} keep
   */
  async #open(keep) {
    const turn = ++this.#turn;
    const token = await this.#inTime(this.#tokens.get());
    if (turn !== this.#turn) return;
    if (token === null) return this.#lostBeforeOpening();
    try {
      keep(this.#watch(new Link({ ...this.#options, address: () => this.#addresses.next(), token, clock: this.#clock, journal: this.journal })));
    } catch (error) {
      this.#halt({ code: "bad_request", reason: String(error), todo: "Check the address and the token." });
    }
  }

  /**
   * Returns what `token` resolves to, or null if it fails or takes too long.
   * @param {Promise<string | undefined>} token
   * @returns {Promise<string | undefined | null>}
   */
  #inTime(token) {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(TOKEN_WITHIN, () => resolve(null));
      token.catch(() => null).then((answer) => {
        cancel();
        resolve(answer);
      });
    });
  }

  /** No token could be fetched. */
  #lostBeforeOpening() {
    const { what, todo } = explainError("no_token");
    if (this.#current?.open) this.#handover(backoff(this.#attempt++, this.#random));
    else this.#wait({ code: "no_token", reason: what, todo });
  }

  /** @param {Link} link */
  #watch(link) {
    link.on("welcome", () => this.#welcomed(link));
    link.on("frame", (frame) => this.#frame(frame, link));
    link.on("closed", (closed) => this.#closed(link, closed));
    return link;
  }

  /** @param {Link} link */
  #welcomed(link) {
    this.#refusals = 0;
    this.#wasWelcomed = true;
    this.#renewLater();
    const handover = link === this.#next;
    if (!handover) this.#take(link);
    this.emit("link", { link, handover });
  }

  /** @param {Link} link */
  #take(link) {
    this.#current = link;
    this.#next = null;
    this.#moving = null;
    this.#cancelHandover();
    this.#welcomedAt = this.#clock.now();
    this.#show({ phase: "open", code: null, reason: "Connected.", todo: "" });
    if (link.goaway) this.#goAway(link.goaway); // said before its turn had come
  }

  /**
   * @param {import("./protocol.js").ServerFrame} frame
   * @param {Link} link
   */
  #frame(frame, link) {
    if (link === this.#current && frame.type === "goaway") this.#goAway(frame);
    if (link === this.#current && isOutage(frame)) this.#leaveNode();
    this.emit("frame", { frame, link });
    this.requests.settle(frame, link);
  }

  /** @param {import("./protocol.js").GoAway} goaway */
  #goAway({ after }) {
    this.#moving = "drain";
    this.#attempt = 0;
    this.#handover(after);
  }

  /** The node has lost its memory. However often it says so, the wait is the first one. */
  #leaveNode() {
    if (this.#moving) return;
    this.#moving = "outage";
    this.#handover(between(...LEAVE_NODE_AFTER, this.#random));
  }

  /** Opens the next link in `ms` milliseconds, beside the current one. @param {number} ms */
  #handover(ms) {
    if (this.#next) return;
    this.#cancelHandover();
    this.#cancelHandover = this.#clock.after(ms, () => this.#open((link) => {
      this.#next = link;
      this.#cancelHandover = this.#clock.after(HANDOVER_WITHIN, () => this.abandon(link));
    }));
  }

  /**
   * @param {Link} link
   * @param {import("./link.js").Closed} closed
   */
  #closed(link, closed) {
    this.requests.lost(link);
    if (link === this.#next) this.#nextFailed(closed);
    else if (link === this.#current) this.#currentLost(link, closed);
    else return;
    this.emit("lost", link);
  }

  /**
   * @param {Link} link
   * @param {import("./link.js").Closed} closed
   */
  #currentLost(link, closed) {
    this.#current = null;
    this.#cancelHandover();
    this.#turn += 1;
    if (this.#clock.now() - this.#welcomedAt > STABLE_AFTER && closed.welcomed) this.#attempt = 0;
    if (this.#next) this.#inherit(this.#next);
    else this.#followUp(closed, link.outrun && closed.code === REPLACED ? "resume" : closeAction(closed.code));
  }

  /** The link that should have taken over is gone; a draining node leaves time for another try. @param {import("./link.js").Closed} closed */
  #nextFailed({ code }) {
    this.#next = null;
    this.#cancelHandover();
    const action = closeAction(code);
    if (action === "token") this.#tokens.drop();
    if (this.#moving === "drain" && action !== "stop") this.#handover(backoff(this.#attempt++, this.#random));
    else this.#moving = null;
  }

  /** The old link went before the new one was promoted. @param {Link} next */
  #inherit(next) {
    if (next.open) return this.#take(next);
    this.#current = next;
    this.#next = null;
    this.#show({ phase: "connecting", code: null, reason: "Moving to another server.", todo: "" });
  }

  /**
   * @param {import("./link.js").Closed} closed
   * @param {import("./protocol.js").CloseAction} action
   */
  #followUp({ code, message }, action) {
    const { what: reason, todo } = explainClose(code);
    const why = { code, reason, todo, ...(message && { message }) };
    this.#moving = null;
    if (action === "token") this.#tokens.drop();
    const hopeless = action === "token" && (!this.#tokens.renewable || ++this.#refusals > REFUSALS);
    if (action === "stop" || hopeless) this.#halt(why);
    else this.#wait(why);
    if (code === LOST && !this.#wasWelcomed) this.#diagnose();
  }

  /**
   * Says why no connection has come about yet. Asks at the first failure and then seldom, so that an outage does not
   * double the requests to the servers.
   */
  async #diagnose() {
    const turn = this.#turn;
    if (this.#attempt % DIAGNOSE_EVERY === 1) this.#diagnosis = await diagnose(this.#addresses.last, this.#options.fetch, this.#clock);
    if (this.#diagnosis === null || turn !== this.#turn || this.state.phase !== "waiting") return;
    const { what: reason, todo } = explainError(this.#diagnosis);
    this.#show({ ...this.state, code: this.#diagnosis, reason, todo });
  }

  /** @param {{code: number | string, reason: string, todo: string, message?: string}} why */
  #wait(why) {
    const attempt = this.#attempt++;
    const retryIn = this.#options.retry?.(attempt, why) ?? backoff(attempt, this.#random);
    if (retryIn === false) return this.#halt(why);
    this.#show({ phase: "waiting", ...why, retryIn });
    this.#cancelAttempt = this.#clock.after(retryIn, () => this.#connect());
  }

  /** @param {{code: number | string | null, reason: string, todo: string, message?: string}} why */
  #halt(why) {
    this.#turn += 1;
    for (const cancel of [this.#cancelAttempt, this.#cancelHandover, this.#cancelRenewal]) cancel();
    this.#network.stop();
    const links = [this.#current, this.#next];
    this.#current = this.#next = null;
    this.#show({ phase: "stopped", ...why });
    for (const link of links) link?.close();
  }

  /** Renews the token before it expires, on the open socket. */
  #renewLater() {
    this.#cancelRenewal();
    const { left, renewable } = this.#tokens;
    if (left === null || !renewable) return;
    this.#cancelRenewal = this.#clock.after(renewIn(left), () => this.#renew());
  }

  async #renew() {
    const token = await this.#inTime(this.#tokens.renew());
    if (this.state.phase === "stopped") return; // else a closed client would ask for tokens for ever
    if (token && this.link) this.requests.send(this.link, (id) => build.auth({ id, token }), () => {});
    this.#renewLater();
  }

  /** @param {ConnectionState} state */
  #show(state) {
    this.state = state;
    this.journal.add("state", state);
    this.emit("state", state);
  }
}

/** Whether the node says, outside of any request, that it cannot reach its memory. @param {any} frame */
function isOutage(frame) {
  return isAboutConnection(frame) && frame.code === "unavailable";
}
